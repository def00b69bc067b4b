"""Attachments of text: their checks and their MIME headers.

Before: a rendered mail or a user's message names them. After: `content` puts the parts together. A file name is somebody's text: it is
refused when it could be a path or a header, and beyond ASCII it goes as RFC 2231 has it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from watchbell.mail.untrusted import HIDDEN

MAX_ATTACHMENTS = 10
MAX_TEXT_BYTES = 4 * 1024 * 1024
MAX_TOTAL_BYTES = 10 * 1024 * 1024
MAX_NAME_CHARACTERS = 120

_TYPE_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9!#$&^_.+-]{0,62})"  # RFC 6838 §4.2
_TYPE = re.compile(rf"({_TYPE_NAME})/({_TYPE_NAME})(?:; ?charset=\"?utf-8\"?)?", re.IGNORECASE)
_FORBIDDEN_NAME = re.compile(rf"[{HIDDEN}\"\\/:*?<>|]")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9 !#$&+^_`{}~.,()=@-]{1,60}")
# RFC 2231 §7 attribute-char; `%` begins an octet and is not one of them.
_ATTRIBUTE_SAFE = "!#$&+-.^_`{}~"
_PIECE = 50


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of text. `content_type` is `text/csv`, `application/json`, …; the charset is always UTF-8."""

    filename: str
    content_type: str
    text: str


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
        where = f"attachments[{index}]"
        for name, found in (
            ("filename", _name_problem(item.filename)),
            ("contentType", _type_problem(item.content_type)),
            ("text", _text_problem(item.text)),
        ):
            if found:
                return AttachmentProblem(f"{where}.{name}", found)
        if item.filename.lower() in taken:
            return AttachmentProblem(f"{where}.filename", "names a file that is there already")
        taken.add(item.filename.lower())
        total_bytes += len(item.text.encode())
    if total_bytes > MAX_TOTAL_BYTES:
        return AttachmentProblem("attachments", f"are larger than {MAX_TOTAL_BYTES} bytes in all")
    return None


def is_text(content_type: str) -> bool:
    """Whether line ends may be written as CRLF, as RFC 2046 §4.1.1 asks of `text/*`."""
    return content_type.lower().startswith("text/")


def head(attachment: Attachment, encoding: str) -> bytes:
    """The header lines of its part (RFC 2183); `attachment` has passed `problem`."""
    match = _TYPE.fullmatch(attachment.content_type)
    if match is None:
        raise ValueError("an attachment's type was not checked")
    charset = "; charset=utf-8" if is_text(attachment.content_type) else ""
    return (
        f"Content-Type: {match[1].lower()}/{match[2].lower()}{charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
        f"Content-Disposition: attachment;{_file_name(attachment.filename)}\r\n"
    ).encode("ascii")


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
    match = _TYPE.fullmatch(content_type)
    if match is None:
        return "is not a media type such as text/csv (the charset is always utf-8)"
    if match[1].lower() in {"multipart", "message"}:
        return "may be neither multipart nor message: those hold other parts"
    return None


def _text_problem(text: str) -> str | None:
    if "\0" in text:
        return "contains the character U+0000"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which is not a character"
    return f"is larger than {MAX_TEXT_BYTES} bytes" if size > MAX_TEXT_BYTES else None
