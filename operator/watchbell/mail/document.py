"""What a built-in mail says, before it is text or HTML: a title, a summary, and blocks in reading order.

Before: `crash`, `drift`, `digest` and `trial` decide what to say. After: `plain` and `page` write the same document
twice, so the text part is complete by construction. All strings here are already fit to be shown (`untrusted`), none is escaped for HTML.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from watchbell.mail.attachment import Attachment


class Tone(StrEnum):
    """The colour of a mail. Never its only signal: `Document.status` says the same in words."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished subject, both bodies and what is attached; lines end in LF."""

    subject: str
    text: str
    html: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences under a heading."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Pairs of label and value; a value that is empty is left out."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of a list, in two lines: what and where on the left, how bad and when on the right; `note` is a third line below.

    An empty `name` goes on with the thing above: it has one more trouble.
    """

    name: str
    place: str
    state: str
    when: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Items:
    """A table of alike things; `more` of them are not in it. `tone` colours the heading of a group in a mail that has several."""

    title: str
    rows: tuple[Item, ...]
    more: int = 0
    tone: Tone | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a value; `is_other`: this is what differs."""

    text: str
    is_other: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What should be there and what is, at one path."""

    path: str
    what: str
    expected: tuple[Span, ...]
    actual: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Differences one below the other, as a phone shows them best; `more` of them are not in it."""

    title: str
    rows: tuple[Change, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines to be shown as they are, in a type of fixed width: a log, a transcript."""

    title: str
    lines: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Commands:
    """What to run next: why, and the line to copy."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Links:
    """Named addresses (http or https) out of the mail."""

    rows: tuple[tuple[str, str], ...]


Block = Paragraph | Facts | Items | Changes | Listing | Commands | Links


@dataclass(frozen=True, slots=True)
class Document:
    """A whole mail. `preheader` is what an inbox shows after the subject; `origin` stands small at the end: who sent this and why."""

    tone: Tone
    status: str
    context: str
    title: str
    summary: str
    preheader: str
    blocks: tuple[Block, ...]
    origin: str


def utc(when: datetime) -> datetime:
    """The same moment in UTC. At the ends of the calendar, where that is no date, the date as it stands: facts may come from anybody."""
    try:
        return when.astimezone(UTC)
    except OverflowError:
        return when.replace(tzinfo=UTC)


def moment(when: datetime | None) -> str:
    """`2026-11-21 14:02:11 UTC`; empty for None."""
    return f"{utc(when):%Y-%m-%d %H:%M:%S} UTC" if when else ""


def span(seconds: float) -> str:
    """A duration for people, in its two largest units: `48 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"


def count(number: int, noun: str) -> str:
    """`1 pod`, `3 pods`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
