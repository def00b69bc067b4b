"""Files that go with a mail: their checks and their MIME headers.

Before: a rendered mail or a user's message names them. After: `content` puts the parts together. A file name is somebody's text: it is
refused when it could be a path or a header, and beyond ASCII it goes as RFC 2231 has it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from watchbell.api.media import INLINE_TYPES, PATTERN
from watchbell.mail import magic
from watchbell.mail.untrusted import HIDDEN

MAX_ATTACHMENTS = 10
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_TOTAL_BYTES = 10 * 1024 * 1024
MAX_NAME_CHARACTERS = 120

_TYPE = re.compile(rf"({PATTERN})(?:; ?charset=\"?utf-8\"?)?", re.IGNORECASE)
_FORBIDDEN_NAME = re.compile(rf"[{HIDDEN}\"\\/:*?<>|]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 !#$&+^_`{}~.,()=@-]{1,60}")
# RFC 2231 §7 attribute-char; `%` begins an octet and is not one of them.
_ATTRIBUTE_SAFE = "!#$&+-.^_`{}~"
_PIECE = 50
_CONTENT_ID = re.compile(r"[A-Za-z0-9._-]{1,120}")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file: of text, whose charset is always UTF-8, or of bytes as they were read from elsewhere (`data`, which then counts).

    `is_inline`: an image within the HTML, which shows it as `cid:filename` (RFC 2392).
    """

    filename: str
    content_type: str
    text: str = ""
    data: bytes | None = field(default=None, repr=False)
    is_inline: bool = False

    @property
    def content(self) -> bytes:
        """The bytes of the file; UnicodeEncodeError for half of a surrogate pair, which `problem` refuses."""
        return self.text.encode() if self.data is None else self.data


@dataclass(frozen=True, slots=True)
class AttachmentProblem:
    """What is wrong with one of them; `field` is the path below the message, such as `attachments[0].filename`."""

    field: str
    message: str


def problem(attachments: Sequence[Attachment]) -> AttachmentProblem | None:
    """The first reason why these cannot go into a mail; None when they can."""
    if len(attachments) > MAX_ATTACHMENTS:
        return AttachmentProblem("attachments", f"has more than {MAX_ATTACHMENTS} entries")
    taken: set[str] = set()
    total_bytes = 0
    for index, item in enumerate(attachments):
        if found := _item_problem(item):
            return AttachmentProblem(f"attachments[{index}].{found.field}".rstrip("."), found.message)
        if item.filename.lower() in taken:
            return AttachmentProblem(f"attachments[{index}].filename", "names a file that is there already")
        taken.add(item.filename.lower())
        total_bytes += len(item.content)
    if total_bytes > MAX_TOTAL_BYTES:
        return AttachmentProblem("attachments", f"are larger than {MAX_TOTAL_BYTES} bytes in all")
    return None


def _item_problem(item: Attachment) -> AttachmentProblem | None:
    """The first thing that is wrong with one file; its content is looked at once name, type and text are right."""
    found = _named_problem(item) or _text_problem(item.text)
    if found is not None:
        return found
    size_bytes = len(item.content)
    if size_bytes > MAX_FILE_BYTES:
        return AttachmentProblem(
            "text" if item.data is None else "", f"has {size_bytes} bytes, and a file may have {MAX_FILE_BYTES}"
        )
    told = magic.lie(_bare(item.content_type), item.content)
    return AttachmentProblem("contentType", told) if told else None


def _named_problem(item: Attachment) -> AttachmentProblem | None:
    if found := _name_problem(item.filename):
        return AttachmentProblem("filename", found)
    if found := _type_problem(item.content_type):
        return AttachmentProblem("contentType", found)
    if item.is_inline and _bare(item.content_type) not in INLINE_TYPES:
        text = "must be image/png, image/jpeg, image/gif or image/webp for a file that the HTML shows"
        return AttachmentProblem("contentType", text)
    if item.is_inline and not _CONTENT_ID.fullmatch(item.filename):
        return AttachmentProblem("filename", "must be letters, digits, '.', '_' and '-' for a file that the HTML shows")
    return None


def is_text(content_type: str) -> bool:
    """Whether line ends may be written as CRLF, as RFC 2046 §4.1.1 asks of `text/*`."""
    return content_type.lower().startswith("text/")


def head(attachment: Attachment, encoding: str) -> bytes:
    """The header lines of its part (RFC 2183, and RFC 2392 for the one that the HTML shows); `attachment` has passed `problem`."""
    if not _TYPE.fullmatch(attachment.content_type):
        raise ValueError("an attachment's type was not checked")
    charset = "; charset=utf-8" if is_text(attachment.content_type) else ""
    place = "inline" if attachment.is_inline else "attachment"
    identifier = f"Content-ID: <{attachment.filename}>\r\n" if attachment.is_inline else ""
    return (
        f"Content-Type: {_bare(attachment.content_type)}{charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
        f"{identifier}Content-Disposition: {place};{_file_name(attachment.filename)}\r\n"
    ).encode("ascii")


def _bare(content_type: str) -> str:
    """Lower case, without a charset."""
    return content_type.partition(";")[0].lower()


def _file_name(name: str) -> str:
    """`filename="a.csv"`, or what RFC 2231 §3 and §4 make of a long one or one beyond ASCII, each parameter on its own line."""
    if _PLAIN_NAME.fullmatch(name):
        return f'\r\n filename="{name}"'
    pieces, piece = [], ""
    for character in name:
        escaped = quote(character, safe=_ATTRIBUTE_SAFE)
        if len(piece) + len(escaped) > _PIECE:
            pieces.append(piece)
            piece = ""
        piece += escaped
    pieces.append(piece)
    if len(pieces) == 1:
        return f"\r\n filename*=utf-8''{pieces[0]}"
    pieces[0] = f"utf-8''{pieces[0]}"
    return ";".join([f"\r\n filename*{index}*={text}" for index, text in enumerate(pieces)])


def _name_problem(name: str) -> str | None:
    if not name.strip(" .") or name != name.strip() or len(name) > MAX_NAME_CHARACTERS:
        return f"must be a file name of 1 to {MAX_NAME_CHARACTERS} characters, not only dots and without spaces at its ends"
    found = _FORBIDDEN_NAME.search(name)
    return f"contains the character U+{ord(found[0]):04X}, which may not stand in a file name" if found else None


def _type_problem(content_type: str) -> str | None:
    if _TYPE.fullmatch(content_type) is None:
        return "is not a media type that may go with a mail, such as text/csv or application/pdf (the charset is always utf-8)"
    return None


def _text_problem(text: str) -> AttachmentProblem | None:
    if "\0" in text:
        return AttachmentProblem("text", "contains the character U+0000")
    try:
        text.encode()
    except UnicodeEncodeError:
        return AttachmentProblem("text", "contains half of a surrogate pair, which is not a character")
    return None
