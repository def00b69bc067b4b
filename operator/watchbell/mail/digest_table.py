"""All pods of all incidents of a digest as CSV (RFC 4180): what a mail has no room for.

Before: `DigestFacts`. After: an attachment. Spreadsheets run cells that begin like a formula, and pods name themselves, so such a cell gets an
apostrophe first (OWASP "CSV Injection").

Bound: 480 KB; an EmailMessage holds attachments of 512 KiB, and etcd objects of 1.5 MiB. What is left out is counted in the last row.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from watchbell.mail.document import utc
from watchbell.mail.facts import DigestEntry, DigestFacts, PodFacts
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import visible

MAX_BYTES = 480_000
MAX_CELL_CHARACTERS = 300

COLUMNS = (
    "cluster",
    "namespace",
    "owner_kind",
    "owner",
    "container",
    "kind",
    "severity",
    "transition",
    "incident",
    "first_time_utc",
    "last_time_utc",
    "occurrences",
    "affected_pods",
    "reason",
    "image",
    "pod",
    "node",
    "pod_reason",
    "exit_code",
    "signal",
    "restarts",
    "pod_last_time_utc",
)
_PLAIN = re.compile(r"(?![- ])[A-Za-z0-9_.:/ ()%-]*")
# The last four are the full-width forms of the first four, which some spreadsheets read alike.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Table:
    """The text, with CRLF as RFC 4180 has it, and how many of the rows below the header are in it."""

    text: str
    rows: int
    total: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing had to be left out."""
        return self.rows == self.total


def digest_csv(facts: DigestFacts) -> str:
    """A header and a row for each pod; an incident without a known pod has one row of its own."""
    return table(facts).text


def table(facts: DigestFacts) -> Table:
    """The same with its counts."""
    lines = [",".join(COLUMNS)]
    total = sum(max(len(entry.pods), 1) for entry in facts.entries)
    room = MAX_BYTES - len(lines[0]) - 100
    for line in _lines(facts):
        room -= (len(line) if line.isascii() else len(line.encode())) + 2
        if room < 0:
            left_out = total - len(lines) + 1
            lines.append(f"{left_out} more rows left out: a mail cannot be larger" + "," * (len(COLUMNS) - 1))
            return Table("\r\n".join(lines) + "\r\n", len(lines) - 2, total)
        lines.append(line)
    return Table("\r\n".join(lines) + "\r\n", total, total)


def cell(text: str) -> str:
    """One line of at most 300 characters, harmless in a spreadsheet, quoted where RFC 4180 asks for it."""
    if len(text) <= MAX_CELL_CHARACTERS and _PLAIN.fullmatch(text):
        return text
    first = text[:1]
    shown = visible(text, MAX_CELL_CHARACTERS)
    if first in _FORMULA or shown.lstrip()[:1] in _FORMULA:
        shown = f"'{shown}"
    return '"' + shown.replace('"', '""') + '"' if any(mark in shown for mark in ',"\r\n') else shown


def _lines(facts: DigestFacts) -> Iterator[str]:
    """A line at a time, so that a table that is cut is not made first."""
    for entry in facts.entries:
        head = _entry(entry, facts)
        if not entry.pods:
            yield f"{head},,,,,,,"
        for pod in entry.pods:
            yield f"{head},{_pod(pod)}"


def _entry(entry: DigestEntry, facts: DigestFacts) -> str:
    texts = (
        facts.cluster,
        entry.workload_namespace or facts.namespace,
        entry.owner_kind,
        entry.owner_name,
        entry.container,
        entry.kind,
        entry.severity,
        entry.transition,
        entry.incident,
        _time(entry.first_time),
        _time(entry.last_time),
        str(entry.occurrences),
        str(max(entry.pods_count, len(entry.pods))),
        redact(entry.reason[: MAX_CELL_CHARACTERS * 4]),
        entry.image,
    )
    return ",".join([cell(text) for text in texts])


def _pod(pod: PodFacts) -> str:
    numbers = f"{_number(pod.exit_code)},{_number(pod.signal)},{pod.restarts}"
    return f"{cell(pod.name)},{cell(pod.node)},{cell(pod.reason)},{numbers},{_time(pod.last_time)}"


def _number(number: int | None) -> str:
    """An integer is written bare: even one that begins with a minus is no formula but a number."""
    return "" if number is None else str(number)


def _time(when: datetime | None) -> str:
    """`2026-11-21 14:02:11`, which a spreadsheet takes for a time; the name of the column says that it is UTC."""
    return utc(when).isoformat(" ", "seconds")[:19] if when else ""
