"""The parts of a mail that show what failed pods left behind: what changed, the end of a log, warnings of Kubernetes, and the list of pods.

Before: `facts`. After: `crash`, which decides in which order a mail says it.

Bounds, so that no pod can make a mail that Gmail clips (102 KB): 50 pods with 16 KB of names, 40 log lines of 300 characters and 16 KB in all,
10 events and 10 changes of 300 characters, names as `untrusted`.
"""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from watchbell.mail.document import Block, Item, Items, Listing, Paragraph, count, span
from watchbell.mail.exits import exit_label, exit_meaning
from watchbell.mail.facts import CrashFacts, PodFacts
from watchbell.mail.incident import sentence, total_pods
from watchbell.mail.kinds import About, KindWords
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import name, visible

MAX_PODS = 50
MAX_POD_BYTES = 16_000
MAX_LOG_LINES = 40
MAX_LOG_LINE_CHARACTERS = 300
MAX_LOG_BYTES = 16_000
MAX_REDACTED_CHARACTERS = 64 * 1024
MAX_EVENTS = 10
MAX_CHANGES = 10
_LAST_MESSAGE_LINES = 12


def meaning(facts: CrashFacts, kind: KindWords) -> tuple[Block, ...]:
    """Each different explanation once, at most four: of the exit codes for a container that ended, else of the kind."""
    own = visible(facts.exit_meaning, 500)
    ended = facts.pods[:MAX_PODS] if kind.about is About.CONTAINER else ()
    found = (
        [own]
        if own
        else [exit_meaning(pod.exit_code, pod.signal, pod.reason, visible(pod.memory_limit, 32)) for pod in ended]
    )
    sentences = tuple(dict.fromkeys(text for text in (*kind.usually, *found) if text))[:4]
    return (Paragraph("What that usually means", sentences),) if sentences else ()


def last_message(facts: CrashFacts, *, is_own: bool) -> tuple[Block, ...]:
    """What the container itself left as its termination message, or what Kubernetes says of the pod."""
    message = next((pod.message for pod in facts.pods[:MAX_PODS] if pod.message.strip()), "")
    lines = (visible(line, 300) for line in redact(message[:4096]).splitlines()[-_LAST_MESSAGE_LINES:])
    said = tuple(line for line in lines if line.strip())
    return (Listing("Its own last message" if is_own else "What Kubernetes says", said),) if said else ()


def changes(texts: Sequence[str], heading: str) -> tuple[Block, ...]:
    """What changed, one sentence a change."""
    sentences = tuple(filter(None, (sentence(text) for text in texts[:MAX_CHANGES])))
    if len(texts) > MAX_CHANGES:
        sentences = (*sentences, f"And {count(len(texts) - MAX_CHANGES, 'more change')}.")
    return (Paragraph(heading, sentences),) if sentences else ()


def events(texts: Sequence[str]) -> tuple[Block, ...]:
    """The last warnings of Kubernetes about the pod, newest last."""
    # Redacted as one text: a key may span events as it spans lines.
    text = redact("\n".join([text[:4096] for text in texts[-MAX_EVENTS:]]))
    lines = tuple(line for line in (visible(raw, 300) for raw in text.splitlines()[-MAX_EVENTS * 2 :]) if line.strip())
    return (Listing("Warning events", lines, "The newest is the last one."),) if lines else ()


def pods(facts: CrashFacts, one: str, several: str, most: int = MAX_PODS) -> tuple[Block, ...]:
    """The affected pods in a table, under a heading for `one` or for `several`, then with their number; nothing when none is known."""
    total = total_pods(facts)
    if not facts.pods:
        return ()
    rows = _rows(facts, most)
    heading = one if total == 1 else f"{several} ({total})"
    return (Items(heading, rows, total - len(rows)),)


def _rows(facts: CrashFacts, most: int) -> tuple[Item, ...]:
    """The first pods, at most so many, and as many as fit in bytes of HTML."""
    rows: list[Item] = []
    room = MAX_POD_BYTES
    for pod in facts.pods[:most]:
        row = _pod(pod, facts.now)
        room -= len(escape(row.name + row.place + row.state).encode())
        if room < 0:
            break
        rows.append(row)
    return tuple(rows)


def _pod(pod: PodFacts, now: datetime) -> Item:
    ended = f"{span((now - pod.last_time).total_seconds())} ago" if pod.last_time else ""
    restarts = count(pod.restarts, "restart") if pod.restarts else ""
    label = exit_label(pod.exit_code, pod.signal, visible(pod.reason, 40)) or visible(pod.reason, 40)
    when = ", ".join(filter(None, (restarts, ended)))
    return Item(name(pod.name), f"node {name(pod.node)}" if pod.node else "", label, when)


def log(facts: CrashFacts) -> tuple[Block, ...]:
    """The end of the log, redacted; nothing when there is none."""
    lines = log_lines(facts.log_lines)
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


def log_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
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
