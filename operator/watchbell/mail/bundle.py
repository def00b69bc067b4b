"""The mail that several messages of users share (`spec.batch`): a table of their subjects, and each one's text in full.

Before: the outbox knows which go together. After: `message`. Whoever may create a message writes its text, so the text is shown as text; HTML of
theirs is never taken into the page: it could restyle or hide what others wrote. It goes along as the mail that it would have been (`message/rfc822`).

Bounds: 50 rows and 100 KB of HTML. What is not in the page is in the text part and in `messages.txt`, which are always whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape

from watchbell.mail import page, plain
from watchbell.mail.attachment import Attachment
from watchbell.mail.document import Block, Document, Item, Items, Listing, Paragraph, Rendered, Tone, count, utc
from watchbell.mail.untrusted import name, visible

TEXT_NAME = "messages.txt"
MAX_ROWS = 50
MAX_BYTES = 82_000
"""Of rows and texts together: with all else the page stays below 100 KB."""
_ROW_BYTES = 850
_HEADING_BYTES = 900
_LINE_BYTES = 60


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """One message: its object's name, when it was made, what it says; `enclosed`: the file that it went along as, empty if its text is all."""

    message: str
    subject: str
    text: str
    made: datetime
    enclosed: str = ""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """All that the mail says. `entries` in the order in which they were made."""

    cluster: str
    namespace: str
    key: str
    entries: tuple[BundleEntry, ...]


def render_bundle(facts: BundleFacts) -> Rendered:
    """The mail."""
    blocks = [_block(number, entry) for number, entry in enumerate(facts.entries, 1)]
    rows = _rows(facts.entries)
    whole = _document(facts, (Items("Messages", rows), *blocks))
    text = plain.write(whole)
    shown = _fitting(rows, blocks)
    if len(shown) == len(blocks) and len(rows) <= MAX_ROWS:
        return Rendered(subject_of(facts), text, page.write(whole))
    table = Items("Messages", rows[:MAX_ROWS], max(0, len(rows) - MAX_ROWS))
    cut = replace(whole, blocks=(table, *shown, _rest(len(blocks) - len(shown))))
    return Rendered(subject_of(facts), text, page.write(cut), (Attachment(TEXT_NAME, "text/plain", text),))


def subject_of(facts: BundleFacts) -> str:
    """`nightly-reports: 12 messages from prod on prod-eu-1`."""
    on = f" on {visible(facts.cluster, 80)}" if facts.cluster else ""
    return visible(f"{name(facts.key)}: {_counted(facts)} from {name(facts.namespace)}{on}", 240)


def _counted(facts: BundleFacts) -> str:
    return count(len(facts.entries), "message")


def _document(facts: BundleFacts, blocks: tuple[Block, ...]) -> Document:
    cluster = visible(facts.cluster, 80)
    subjects = dict.fromkeys(visible(entry.subject, 80) for entry in facts.entries)
    return Document(
        tone=Tone.INFO,
        status="Digest",
        context=f"on cluster {cluster}" if cluster else "",
        title=f"{_counted(facts)} of {name(facts.key)}",
        summary=f"They share a mail because they have the same batch key and recipients. Each is below in full, the oldest first. {_times(facts)}",
        preheader=visible("; ".join(subjects), 200),
        blocks=blocks,
        origin=f"Sent by watchbell for EmailMessages of namespace {name(facts.namespace)} with batch.key {name(facts.key)}.",
    )


def _times(facts: BundleFacts) -> str:
    first, last = _moment(facts.entries[0].made), _moment(facts.entries[-1].made)
    return f"Made {first} UTC." if first == last else f"Made from {first} to {last} UTC."


def _moment(when: datetime) -> str:
    return f"{utc(when):%Y-%m-%d %H:%M}"


def _rows(entries: Sequence[BundleEntry]) -> tuple[Item, ...]:
    return tuple(
        Item(
            f"{number}. {visible(entry.subject, 240)}",
            f"EmailMessage {name(entry.message)}",
            f"{utc(entry.made):%H:%M} UTC",
            entry.enclosed,
        )
        for number, entry in enumerate(entries, 1)
    )


def _block(number: int, entry: BundleEntry) -> Listing:
    lines = tuple(_whole_lines(entry.text))
    note = f"Its HTML and files are in {entry.enclosed}, attached as it would have been sent." if entry.enclosed else ""
    if not lines:
        return Listing(_heading(number, entry), ("It has no text part.",), note)
    return Listing(_heading(number, entry), lines, note)


def _heading(number: int, entry: BundleEntry) -> str:
    return f"{number}. {visible(entry.subject, 240)}"


def _whole_lines(text: str) -> Iterator[str]:
    """Each line made harmless and none cut: an escape takes at most six characters."""
    for line in text.rstrip().splitlines():
        yield visible(line, 6 * len(line) + 1)


def _fitting(rows: Sequence[Item], blocks: Sequence[Listing]) -> list[Listing]:
    """The first blocks for which there is room beside the table; from the first that does not fit, none does."""
    room = MAX_BYTES - sum(_ROW_BYTES + _size(row.name + row.place + row.when) for row in rows[:MAX_ROWS])
    shown: list[Listing] = []
    for block in blocks:
        room -= _HEADING_BYTES + _size(block.title + block.note)
        room -= sum(_LINE_BYTES + _size(line) for line in block.lines)
        if room < 0:
            return shown
        shown.append(block)
    return shown


def _size(text: str) -> int:
    return len(escape(text).encode())


def _rest(left_out: int) -> Paragraph:
    held = f"{TEXT_NAME} is attached: it has every message in full"
    if not left_out:
        return Paragraph("All messages", (f"{held}.",))
    return Paragraph(
        "Not shown above", (f"There was no room for {count(left_out, 'message')} here: the last ones. {held}.",)
    )
