"""Whether a file is what its type says: by its first bytes, since a name and a type are only somebody's words.

Before: `attachment` has the bytes of a file. After: they go into a part, or the message ends with the field that lies. Nothing is unpacked: an
archive is looked at from outside only. What has no known beginning is believed.
"""

from collections.abc import Callable
from dataclasses import dataclass

OCTETS = "application/octet-stream"
"""Claims nothing, so whatever is no program may go under it."""
_TEXT = "text/"
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_OLD_OFFICE = frozenset({"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"})


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of file: what people call it, how it begins, and which types may hold it."""

    name: str
    begins: Callable[[bytes], bool]
    fits: Callable[[str], bool]


def _with(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(prefixes)


def _only(*types: str) -> Callable[[str], bool]:
    return lambda declared: declared in types


def _is_windows_program(data: bytes) -> bool:
    """`MZ`, and the rest of a DOS header: a list whose first column is called MZ is none."""
    return data.startswith(b"MZ") and len(data) >= 64 and b"\0" in data[2:64]


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _is_zip_type(declared: str) -> bool:
    return declared == "application/zip" or declared.startswith((_OFFICE, _OPEN_DOCUMENT))


PROGRAMS = (
    ("a Windows program", _is_windows_program),
    ("a Linux program (ELF)", _with(b"\x7fELF")),
    (
        "a macOS program or Java class",
        _with(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"),
    ),
)
_KINDS = (
    _Kind("a PNG image", _with(b"\x89PNG\r\n\x1a\n"), _only("image/png")),
    _Kind("a JPEG image", _with(b"\xff\xd8\xff"), _only("image/jpeg")),
    _Kind("a GIF image", _with(b"GIF87a", b"GIF89a"), _only("image/gif")),
    _Kind("a WebP image", _is_webp, _only("image/webp")),
    _Kind("a PDF document", _with(b"%PDF-"), _only("application/pdf")),
    _Kind("a ZIP archive or a document made of one", _with(b"PK\x03\x04", b"PK\x05\x06"), _is_zip_type),
    _Kind("a gzip archive", _with(b"\x1f\x8b"), _only("application/gzip")),
    _Kind("a 7z archive", _with(b"7z\xbc\xaf\x27\x1c"), _only("application/x-7z-compressed")),
    _Kind("an xz archive", _with(b"\xfd7zXZ\x00"), _only("application/x-xz")),
    _Kind("an old Office document", _with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), _OLD_OFFICE.__contains__),
)


def lie(content_type: str, data: bytes) -> str | None:
    """Why `data` is not what `content_type` (lower case, without parameters) says, as the end of a sentence; None when it may be."""
    for name, begins in PROGRAMS:
        if begins(data):
            return f"says {content_type}, but the file is {name}: programs do not go by mail"
    found = next((kind for kind in _KINDS if kind.begins(data)), None)
    if found is not None and content_type != OCTETS and not found.fits(content_type):
        return f"says {content_type}, but the file is {found.name}; declare the type that it has"
    wanted = next((kind for kind in _KINDS if kind.fits(content_type)), None)
    if wanted is not None and found is None:
        return f"says {content_type}, but the file {'is empty' if not data else 'does not begin as one'}"
    return _no_text(data) if content_type.startswith(_TEXT) else None


def _no_text(data: bytes) -> str | None:
    """Text goes out as UTF-8, so it must be that."""
    try:
        is_text = "\0" not in data.decode()
    except UnicodeDecodeError:
        is_text = False
    return None if is_text else f"says text, but the file is not UTF-8 text; convert it, or declare {OCTETS}"
