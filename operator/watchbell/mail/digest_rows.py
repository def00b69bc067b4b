"""The tables of a digest: incidents by severity, then by owner, as many as fit.

Before: `digest` parted what fails from what is over. After: `document.Items`, one for each severity.

Bounds: 50 incidents and 72 KB of HTML for all tables together, so that with all else a digest stays below 100 KB.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from itertools import groupby

from watchbell.mail.document import Item, Items, Tone, count, utc
from watchbell.mail.exits import exit_label
from watchbell.mail.facts import DigestEntry, DigestFacts, PodFacts
from watchbell.mail.incident import TONES, sentence
from watchbell.mail.kinds import About, words
from watchbell.mail.untrusted import name, visible

MAX_ROWS = 50
MAX_BYTES = 72_000
_ROW_BYTES = 950
RANKS = {severity: rank for rank, severity in enumerate(TONES)}
_UNKNOWN_RANK = len(RANKS)
_GROUPS = (*TONES.items(), ("Other", Tone.WARNING))


class Room:
    """How many rows and bytes are left for the tables of one mail."""

    __slots__ = ("_bytes", "_rows")

    def __init__(self) -> None:
        self._rows = MAX_ROWS
        self._bytes = MAX_BYTES

    def takes(self, row: Item) -> bool:
        """Whether the row still fits; from the first that does not, none does."""
        text = row.name + row.place + row.state + row.when + row.note
        self._rows -= 1
        self._bytes -= _ROW_BYTES + len(escape(text).encode())
        return self._rows >= 0 and self._bytes >= 0


def worst_of(entries: Sequence[DigestEntry]) -> str:
    """The worst severity among them; empty for none."""
    return visible(min(entries, key=_rank).severity, 20) if entries else ""


def standing(entries: Sequence[DigestEntry], facts: DigestFacts) -> tuple[tuple[Items, ...], Room]:
    """A table for each severity, the worst first, and what room is left."""
    room = Room()
    ordered = sorted(entries, key=lambda entry: (_rank(entry), *_owner_key(entry)))
    blocks = [_table(*_GROUPS[rank], tuple(members), (facts, room)) for rank, members in groupby(ordered, key=_rank)]
    return tuple(blocks), room


def over(entries: Sequence[DigestEntry], facts: DigestFacts, heading: str, room: Room) -> tuple[Items, ...]:
    """The table of what is over; nothing when nothing is."""
    ordered = sorted(entries, key=_owner_key)
    return (_table(heading, Tone.GOOD, ordered, (facts, room)),) if ordered else ()


def _rank(entry: DigestEntry) -> int:
    return RANKS.get(entry.severity, _UNKNOWN_RANK)


def _owner_key(entry: DigestEntry) -> tuple[str, str, str, str, str]:
    return (entry.workload_namespace, entry.owner_name, entry.owner_kind, entry.container, entry.kind)


def _table(heading: str, tone: Tone, entries: Sequence[DigestEntry], within: tuple[DigestFacts, Room]) -> Items:
    facts, room = within
    rows = tuple(_fitting(_rows(entries, facts), room))
    return Items(f"{heading}: {count(len(entries), 'incident')}", rows, len(entries) - len(rows), tone)


def _fitting(rows: Iterable[Item], room: Room) -> Iterable[Item]:
    for row in rows:
        if not room.takes(row):
            return
        yield row


def _rows(entries: Sequence[DigestEntry], facts: DigestFacts) -> Iterable[Item]:
    """The name of an owner once, above all that is wrong with it."""
    above = ("", "", "")
    for entry in entries:
        owner = (entry.workload_namespace, entry.owner_kind, entry.owner_name)
        yield _row(entry, "" if owner == above else _owner(entry, facts), facts.now)
        above = owner


def _owner(entry: DigestEntry, facts: DigestFacts) -> str:
    elsewhere = entry.workload_namespace and entry.workload_namespace != facts.namespace
    shown = f"{visible(entry.owner_kind, 40)} {name(entry.owner_name)}".strip()
    return f"{shown} in {name(entry.workload_namespace)}" if elsewhere else shown


def _row(entry: DigestEntry, owner: str, now: datetime) -> Item:
    return Item(
        name=owner,
        place=_what(entry),
        state=count(max(entry.pods_count, len(entry.pods)), "pod") if entry.pods_count or entry.pods else "",
        when=_when(entry, now),
        note=_note(entry),
    )


def _what(entry: DigestEntry) -> str:
    """`crash looping`, `still crash looping`, `was crash looping`; what is no state is told as `before: image cannot be pulled`."""
    kind = words(entry.kind)
    is_state = kind.link == " is "
    match entry.transition:
        case "Repeated":
            return f"still {kind.phrase}" if is_state else f"still: {kind.phrase}"
        case "Escalated":
            return f"worse now: {kind.phrase}"
        case "Resolved":
            return f"was {kind.phrase}" if is_state else f"before: {kind.phrase}"
        case _:
            return kind.phrase


def _note(entry: DigestEntry) -> str:
    """Where and what in one line: container, how the first pod ended or the reason; and which pod, if it is one."""
    pod = entry.pods[0] if entry.pods else None
    container = f"container {name(entry.container)}" if entry.container else ""
    told = [", ".join(filter(None, (container, _ending(pod, entry.kind) if pod and not entry.reason else "")))]
    told += [sentence(entry.reason, 160)] if entry.reason else []
    if pod is not None and max(entry.pods_count, len(entry.pods)) == 1:
        told.append(f"pod {name(pod.name)}{' on ' + name(pod.node) if pod.node else ''}")
    told += [f"flapping, {count(entry.flaps, 'time')}"] if entry.flaps else []
    return "; ".join(filter(None, told))


def _ending(pod: PodFacts, kind: str) -> str:
    """`exit 1`, `limit 512Mi`; nothing that the kind has said already."""
    label = exit_label(pod.exit_code, pod.signal, visible(pod.reason, 40)) or visible(pod.reason, 40)
    limit = f"limit {visible(pod.memory_limit, 32)}" if pod.memory_limit and kind == "OOMKilled" else ""
    return ", ".join(filter(None, ("" if label == kind else label, limit)))


def _when(entry: DigestEntry, now: datetime) -> str:
    """`36 failures, 14:02 to 14:14 UTC`; with the date where it is another day than that of the mail."""
    is_counted = entry.occurrences and words(entry.kind).about is About.CONTAINER
    failures = count(entry.occurrences, "failure") if is_counted else ""
    if entry.first_time is None:
        return failures
    times = _clock(entry.first_time, now)
    if entry.last_time is not None and entry.last_time != entry.first_time:
        times = f"{times} to {_clock(entry.last_time, now)}"
    return f"{failures}, {times} UTC" if failures else f"{times} UTC"


def _clock(when: datetime, now: datetime) -> str:
    shown = utc(when)
    return f"{shown:%H:%M}" if shown.date() == utc(now).date() else f"{shown:%Y-%m-%d %H:%M}"
