"""What is known of an incident, and the parts of a mail that show what failed pods left behind: the list of them and the end of a log.

Before: the collectors, who fill in the facts. After: `crash`, which decides what a mail says.

Bounds, so that no pod can make a mail that Gmail clips (102 KB): 50 pods with 16 KB of names, 40 log lines of 300 characters and 16 KB in all,
names as `untrusted`.
"""

from dataclasses import dataclass
from datetime import datetime
from html import escape

from watchbell.mail.document import Block, Item, Items, Listing, count, span
from watchbell.mail.exits import exit_label
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import name, visible

MAX_PODS = 50
MAX_POD_BYTES = 16_000
MAX_LOG_LINES = 40
MAX_LOG_LINE_CHARACTERS = 300
MAX_LOG_BYTES = 16_000
MAX_REDACTED_CHARACTERS = 64 * 1024


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One affected pod as its status told; `last_time` is when the container last ended, `memory_limit` a quantity such as `512Mi`."""

    name: str
    node: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    restarts: int = 0
    last_time: datetime | None = None
    message: str = ""
    memory_limit: str = ""
    is_never_restarted: bool = False


@dataclass(frozen=True, slots=True)
class CrashFacts:
    """All that the mails of one incident say. Every text may be hostile. `now` is when the mail is written, for a resolved one when it was resolved.

    `kind` is what the incident began as and stays, `worst` what it became. `affected_count` is the number of all affected pods, should `pods` hold
    fewer; `log_lines` are of the first pod unless `log_pod` names another; `exit_meaning` replaces our own explanation; 0 in `repeat_seconds` or
    `resolve_after_seconds` says nothing about what comes next. `are_pods_gone`: it is over because nothing is left that could fail, which does not
    say that it would run. `well_since`: since when nothing failed any more, which is before the incident was called over.
    """

    cluster: str
    namespace: str
    policy: str
    incident: str
    owner_kind: str
    owner_name: str
    kind: str
    severity: str
    container: str
    image: str
    pods: tuple[PodFacts, ...]
    start_time: datetime
    now: datetime
    affected_count: int = 0
    log_lines: tuple[str, ...] = ()
    log_pod: str = ""
    exit_meaning: str = ""
    repeat_seconds: int = 0
    resolve_after_seconds: int = 0
    send_resolved: bool = True
    worst: str = ""
    is_reminder: bool = False
    are_pods_gone: bool = False
    well_since: datetime | None = None
    dashboard_url: str = ""
    runbook_url: str = ""


def pods(facts: CrashFacts, title: str) -> tuple[Block, ...]:
    """The affected pods in a table, under `title` (in the plural with their number, if there are several); nothing when none is known."""
    total = max(facts.affected_count, len(facts.pods))
    if not facts.pods:
        return ()
    rows = _rows(facts)
    heading = title if total == 1 else f"{title.replace('pod', 'pods').replace('Pod', 'Pods')} ({total})"
    return (Items(heading, rows, total - len(rows)),)


def _rows(facts: CrashFacts) -> tuple[Item, ...]:
    """The first pods, as many as fit in bytes of HTML."""
    rows: list[Item] = []
    room = MAX_POD_BYTES
    for pod in facts.pods[:MAX_PODS]:
        row = _pod(pod, facts.now)
        room -= len(escape(row.name + row.place + row.state).encode())
        if room < 0:
            break
        rows.append(row)
    return tuple(rows)


def _pod(pod: PodFacts, now: datetime) -> Item:
    ended = f", {span((now - pod.last_time).total_seconds())} ago" if pod.last_time else ""
    label = exit_label(pod.exit_code, pod.signal, visible(pod.reason, 40)) or visible(pod.reason, 40)
    return Item(
        name(pod.name), f"node {name(pod.node)}" if pod.node else "", label, count(pod.restarts, "restart") + ended
    )


def log(facts: CrashFacts) -> tuple[Block, ...]:
    """The end of the log, redacted; nothing when there is none."""
    lines = _log_lines(facts.log_lines)
    if not lines:
        return ()
    pod = name(facts.log_pod or (facts.pods[0].name if facts.pods else ""))
    return (
        Listing(
            "Last log lines",
            lines,
            f"{f'From {pod}, the run that failed. ' if pod else ''}What looks like a secret is redacted.",
        ),
    )


def _log_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The last lines that fit. Redacted as one text first: keys span lines, and a cut secret has no shape to be known by."""
    text = "\n".join(line.rstrip("\r\n")[:4096] for line in lines[-MAX_LOG_LINES * 5 :])
    if len(text) > MAX_REDACTED_CHARACTERS:
        text = text[-MAX_REDACTED_CHARACTERS:].partition("\n")[2]
    redacted = redact(text).rstrip("\n")
    kept: list[str] = []
    room = MAX_LOG_BYTES
    for raw in reversed(redacted.split("\n")[-MAX_LOG_LINES:]):
        line = visible(raw, MAX_LOG_LINE_CHARACTERS)
        room -= len(escape(line).encode()) + 1
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept)) if any(kept) else ()
