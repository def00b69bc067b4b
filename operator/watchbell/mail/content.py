"""The content of a mail: text, HTML and attachments as MIME parts in 7 bits.

Before: `message` has the headers. After: the bytes below them. Boundaries follow from the message's identifier, so building is deterministic.
"""

import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from watchbell.mail.attachment import Attachment, head, is_text
from watchbell.mail.untrusted import visible

MAX_BODY_BYTES = 4 * 1024 * 1024

_NEWLINE = re.compile(r"\r\n?|\n")
_NEWLINE_BYTES = re.compile(rb"\r\n?|\n")
_ASCII = bytes(range(128))
_SHOWN = re.compile(r"""(?:\b(?:src|background)\s*=\s*["']?|\burl\(\s*["']?)cid:([^"'\s>)]+)""", re.IGNORECASE)
_LINE = 76

Part = tuple[bytes, bytes]
"""Header lines of a part, and its encoded content."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A whole mail inside of another: its bytes as `message.build` made them, in ASCII, and the name of the file that it is to readers."""

    filename: str
    payload: bytes


class ContentError(Exception):
    """A body that no mail can hold: its field and why. `message` turns it into a value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message


def body(text: str, html: str, attachments: Sequence[Attachment], seed: str, enclosed: Sequence[Enclosed] = ()) -> Part:
    """The whole content. Text first, HTML last (RFC 2046 §5.1.4), attachments and mails in a multipart/mixed around both; they have been checked.

    Images that the HTML shows stand beside it in a multipart/related (RFC 2387).
    """
    inline = [item for item in attachments if item.is_inline]
    _check_shown(html, {item.filename for item in inline})
    parts = [_text_part("plain", text)] if text or not html else []
    if html:
        page = _text_part("html", html)
        parts.append(_related(page, inline, seed) if inline else page)
    content = parts[0] if len(parts) == 1 else _multipart("alternative", parts, seed)
    beside = [item for item in attachments if not item.is_inline]
    if not beside and not enclosed:
        return content
    return _multipart("mixed", [content, *map(_attached, beside), *map(_enclosed, enclosed)], seed)


def _check_shown(html: str, names: set[str]) -> None:
    """A picture that nothing shows, or that is not there, is a mistake that the recipient would see first."""
    shown = {unquote(unescape(found)) for found in _SHOWN.findall(html)}
    if missing := sorted(shown - names):
        raise ContentError(
            "html", f"shows cid:{visible(missing[0], 80)}, and no attachment with disposition Inline has this filename"
        )
    if unseen := sorted(names - shown):
        raise ContentError("html", f"does not show cid:{unseen[0]}, which is attached with disposition Inline")


def _related(page: Part, images: Sequence[Attachment], seed: str) -> Part:
    return _multipart("related", [page, *(_attached(item) for item in images)], seed, '; type="text/html"')


def header_names(head_lines: bytes) -> tuple[str, ...]:
    """The names of the header lines that `body` returned."""
    lines = (line for line in head_lines.split(b"\r\n") if line and not line.startswith(b" "))
    return tuple(line.partition(b":")[0].decode("ascii") for line in lines)


def _multipart(subtype: str, parts: Sequence[Part], seed: str, extra: str = "") -> Part:
    # `=_` occurs in neither quoted-printable nor base64 (RFC 2045 §6.7), so no part can hold the boundary.
    digest = hashlib.sha256(f"{seed}\0{subtype}".encode()).hexdigest()[:24]
    boundary = f"=_{digest}".encode()
    # The line end before a boundary is the boundary's (RFC 2046 §5.1.1): without the second one each part would lose its last.
    pieces = [b"--" + boundary + b"\r\n" + lines + b"\r\n" + content + b"\r\n" for lines, content in parts]
    return (
        b"Content-Type: multipart/" + subtype.encode() + extra.encode() + b';\r\n boundary="' + boundary + b'"\r\n',
        b"".join(pieces) + b"--" + boundary + b"--\r\n",
    )


def _text_part(subtype: str, text: str) -> Part:
    field = "text" if subtype == "plain" else "html"
    if "\0" in text:
        raise ContentError(field, "contains the character U+0000")
    try:
        raw = _NEWLINE.sub("\r\n", text).encode()
    except UnicodeEncodeError:
        raise ContentError(field, "contains half of a surrogate pair, which is not a character") from None
    if len(raw) > MAX_BODY_BYTES:
        raise ContentError(field, f"is larger than {MAX_BODY_BYTES} bytes")
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    encoding, content = _encoded(raw)
    lines = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return lines.encode(), content


def _attached(attachment: Attachment) -> Part:
    """Line ends of text become CRLF; anything else stays byte for byte, which only base64 can promise."""
    raw = attachment.content
    if is_text(attachment.content_type):
        encoding, content = _encoded(_NEWLINE_BYTES.sub(b"\r\n", raw))
    else:
        encoding, content = "base64", _base64(raw)
    return head(attachment, encoding), content


def _enclosed(item: Enclosed) -> Part:
    """As it is: a part of this type may be encoded no further (RFC 2046 §5.2.1)."""
    if not item.payload.isascii():
        raise ContentError("enclosed", f"{item.filename} is beyond ASCII, which a part of another mail may not be")
    lines = (
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n"
        f'Content-Disposition: attachment;\r\n filename="{item.filename}"\r\n'
    )
    return lines.encode("ascii"), item.payload


def _encoded(raw: bytes) -> tuple[str, bytes]:
    """The shorter of quoted-printable (3 bytes for each beyond ASCII) and base64 (4 for 3): both 7-bit, in lines of at most 76."""
    beyond_ascii = len(raw.translate(None, _ASCII))
    if beyond_ascii * 6 <= len(raw):
        return "quoted-printable", binascii.b2a_qp(raw, istext=True)
    return "base64", _base64(raw)


def _base64(raw: bytes) -> bytes:
    encoded = binascii.b2a_base64(raw, newline=False)
    return b"\r\n".join([encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]) + b"\r\n"
