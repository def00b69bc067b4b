"""From a draft to the bytes that go on the wire: the last pure stage before the outbox.

Before: a rendered subject, text and HTML, and checked mailboxes. After: the outbox keeps the bytes and hands the same ones to every attempt, so
building is deterministic: identifier, date and boundaries come from the draft. Not known here: envelopes, Bcc, servers.

The standard library's `EmailMessage` takes 0.8 ms for a mail of 3 KB; this writer takes about a tenth of that (`tests/unit/test_mail_cost.py`)
and the tests read its output back with the standard library's parser.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from watchbell.mail import attachment, content, headers
from watchbell.mail.address import AddressProblem, Mailbox, parse_mailbox, wire_address, wire_domain
from watchbell.mail.attachment import Attachment
from watchbell.mail.content import Enclosed

MAX_SUBJECT_CHARACTERS = 998
MAX_MAILBOXES = 500
MAX_EXTRA_HEADERS = 32

# MS-OXCMAIL: not `All`, which would suppress reports of non-delivery too.
SUPPRESSED_ANSWERS = "OOF, AutoReply, DR, RN, NRN"

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,200}@(?:[A-Za-z0-9.-]{1,255}|\[[A-Za-z0-9.:]{1,64}\])>")
_LIST_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_EXTRA_NAME = re.compile(r"(?:X-[A-Za-z0-9-]{1,74}|List-[A-Za-z]{1,40}|Reply-To|Feedback-ID|Importance)", re.IGNORECASE)
_LISTED = re.compile(r'(?:"(?:[^"\\]|\\.)*+"|[^",])++')


class Importance(StrEnum):
    """How a mail program should show the mail; the values are those of `priority` in the API."""

    HIGH = "High"
    NORMAL = "Normal"
    LOW = "Low"


@dataclass(frozen=True, slots=True)
class MessageProblem:
    """What cannot become a mail: the field of the draft, and one sentence about it."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Draft:
    """All that a mail is made of. `date` is aware; `message_id` and `thread_root` come from the functions below; Bcc is never a header."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    text: str
    message_id: str
    date: datetime
    html: str = ""
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    thread_root: str = ""
    importance: Importance = Importance.NORMAL
    list_id: str = ""
    extra_headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    enclosed: tuple[Enclosed, ...] = ()


class _RefusedError(Exception):
    """Carries a problem from the depth of a header to `build`; never leaves this module."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field)
        self.problem = MessageProblem(field, message)


def build(draft: Draft) -> bytes | MessageProblem:
    """The whole message: CRLF line ends, 7-bit, lines of at most 998 bytes (RFC 5322 §2.1.1), not yet dot-stuffed.

    Only an address whose local part is beyond ASCII puts raw UTF-8 into its header (RFC 6532), as `WireAddress.needs_smtputf8` has told.
    Of a header that both a field of the draft and `extra_headers` set, the field wins.
    """
    try:
        lines = dict(_draft_headers(draft))
        for name, value in _extra_headers(draft.extra_headers, {name.lower() for name in lines}):
            lines[name] = _reply_to(name, value) if name.lower() == "reply-to" else headers.unstructured(name, value)
        if flaw := attachment.problem(draft.attachments):
            return MessageProblem(flaw.field, flaw.message)
        body_type, body = content.body(draft.text, draft.html, draft.attachments, draft.message_id, draft.enclosed)
    except _RefusedError as refused:
        return refused.problem
    except content.ContentError as error:
        return MessageProblem(error.field, error.message)
    lines["MIME-Version"] = "MIME-Version: 1.0\r\n"
    block = "".join(lines.values()).encode() + body_type
    if not headers.is_block_sound(block, [*lines, *content.header_names(body_type)], allow_utf8=_needs_utf8(draft)):
        return MessageProblem("headers", "the finished header block does not hold exactly the headers that were put in")
    return block + b"\r\n" + body


def message_id(seed_parts: Sequence[str], domain: str) -> str:
    """`<32 hex digits@domain>`: equal seeds give the same identifier, so every retry carries the same one. ValueError for a bad domain."""
    return f"<{_digest(seed_parts)}@{_identifier_domain(domain)}>"


def thread_root(key: str, domain: str) -> str:
    """The identifier of a mail that never was, to which all mails of one thread refer: relays may replace a real Message-ID (SES does)."""
    return f"<alert-{_digest((key,))}@{_identifier_domain(domain)}>"


def _needs_utf8(draft: Draft) -> bool:
    shown = (draft.sender, *draft.to, *draft.cc, *draft.reply_to)
    return any(not mailbox.address.rpartition("@")[0].isascii() for mailbox in shown)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _identifier_domain(domain: str) -> str:
    encoded = wire_domain(domain)
    if isinstance(encoded, AddressProblem):
        raise ValueError(encoded.message)  # noqa: TRY004 - the type is right, the value is not
    return encoded


def _draft_headers(draft: Draft) -> Iterator[tuple[str, str]]:
    if len(draft.to) + len(draft.cc) > MAX_MAILBOXES:
        raise _RefusedError("to", f"has more than {MAX_MAILBOXES} mailboxes")
    yield "From", _mailboxes("From", "from", (draft.sender,))
    yield "To", _mailboxes("To", "to", draft.to) if draft.to else "To: undisclosed-recipients:;\r\n"
    if draft.cc:
        yield "Cc", _mailboxes("Cc", "cc", draft.cc)
    if draft.reply_to:
        yield "Reply-To", _mailboxes("Reply-To", "replyTo", draft.reply_to)
    subject = _subject(draft.subject)
    yield "Subject", headers.unstructured("Subject", subject)
    yield "Date", f"Date: {_date(draft.date)}\r\n"
    yield "Message-ID", f"Message-ID: {_identifier('messageID', draft.message_id)}\r\n"
    if draft.thread_root:
        yield from _thread_headers(_identifier("threadRoot", draft.thread_root), subject)
    yield "Auto-Submitted", "Auto-Submitted: auto-generated\r\n"  # RFC 3834 §5
    yield "X-Auto-Response-Suppress", f"X-Auto-Response-Suppress: {SUPPRESSED_ANSWERS}\r\n"
    if draft.list_id:
        yield "List-Id", _list_id(draft.list_id)
    yield from _importance_headers(draft.importance)


def _mailboxes(header: str, field: str, mailboxes: Sequence[Mailbox]) -> str:
    return headers.listing(header, [_mailbox(field, mailbox, len(header) + 2) for mailbox in mailboxes])


def _mailbox(field: str, mailbox: Mailbox, offset: int) -> str:
    wire = wire_address(mailbox.address)
    if isinstance(wire, AddressProblem):
        raise _RefusedError(field, wire.message)
    if not mailbox.name:
        return wire.text
    name = _value(field, mailbox.name)
    return f"{headers.phrase(name, offset)} <{wire.text}>" if name else wire.text


def _subject(text: str) -> str:
    if len(text) > MAX_SUBJECT_CHARACTERS:
        raise _RefusedError("subject", f"is longer than {MAX_SUBJECT_CHARACTERS} characters")
    return _value("subject", text)


def _value(field: str, value: str) -> str:
    if problem := headers.value_problem(value):
        raise _RefusedError(field, problem)
    return value.strip()


def _identifier(field: str, value: str) -> str:
    if not _MESSAGE_ID.fullmatch(value):
        raise _RefusedError(field, "is not of the form <letters-and-digits@example.org>")
    return value


def _thread_headers(root: str, subject: str) -> Iterator[tuple[str, str]]:
    yield "In-Reply-To", f"In-Reply-To: {root}\r\n"
    yield "References", f"References: {root}\r\n"
    yield "Thread-Topic", headers.unstructured("Thread-Topic", subject.removeprefix("Re: "))


def _list_id(value: str) -> str:
    if not _LIST_ID.fullmatch(value):
        raise _RefusedError("listID", "is not of the form name.example.org (letters, digits, dots and hyphens)")
    return f"List-Id: <{value}>\r\n"


def _importance_headers(importance: Importance) -> Iterator[tuple[str, str]]:
    match importance:
        case Importance.HIGH:
            yield "Importance", "Importance: high\r\n"
            yield "X-Priority", "X-Priority: 1\r\n"
        case Importance.LOW:
            yield "Importance", "Importance: low\r\n"
            yield "X-Priority", "X-Priority: 5\r\n"
        case Importance.NORMAL:
            return


def _extra_headers(extra: Sequence[tuple[str, str]], taken: set[str]) -> Iterator[tuple[str, str]]:
    if len(extra) > MAX_EXTRA_HEADERS:
        raise _RefusedError("headers", f"has more than {MAX_EXTRA_HEADERS} entries")
    seen: set[str] = set()
    for name, value in extra:
        if not _EXTRA_NAME.fullmatch(name):
            raise _RefusedError(
                f"headers[{name[:80]!a}]", "may not be set: only X-*, List-*, Reply-To, Feedback-ID and Importance may"
            )
        if name.lower() in seen:
            raise _RefusedError(f"headers[{name}]", "is set twice")
        seen.add(name.lower())
        checked = _value(f"headers[{name}]", value)
        if name.lower() not in taken:
            yield name, checked


def _reply_to(header: str, text: str) -> str:
    """A Reply-To given as text: mailboxes with commas between them."""
    field = f"headers[{header}]"
    found = []
    for item in _LISTED.findall(text):
        mailbox = parse_mailbox(item)
        if isinstance(mailbox, AddressProblem):
            raise _RefusedError(field, mailbox.message)
        if not mailbox.address.rpartition("@")[0].isascii():
            raise _RefusedError(field, "needs an address in ASCII before the @; set replyTo instead")
        found.append(mailbox)
    if not found:
        raise _RefusedError(field, "names no address")
    return _mailboxes(header, field, found)


def _date(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("the date of a draft must be aware")
    utc = moment.astimezone(UTC)
    return f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04} {utc:%H:%M:%S} +0000"
