"""The built-in mails about a collector that fails, and about one that runs again.

Before: an incident and what was seen of its pods. After: `message`. Subjects are stable for the life of an incident, without brackets (Gmail leaves
bracketed words out when it threads), and the resolved mail is a reply to the first one with its state in the body.
"""

import re
import shlex
from dataclasses import dataclass

from watchbell.mail import page, plain
from watchbell.mail.document import (
    Block,
    Commands,
    Document,
    Facts,
    Links,
    Listing,
    Paragraph,
    Rendered,
    Tone,
    count,
    moment,
    span,
)
from watchbell.mail.evidence import MAX_PODS, CrashFacts, PodFacts, log, pods
from watchbell.mail.exits import exit_label, exit_meaning
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import name, visible

__all__ = ["CrashFacts", "PodFacts", "render_crash", "render_resolved"]

# kind: (what the subject says, what the summary says of one container)
_KINDS = {
    "CrashLoopBackOff": ("crash looping", "keeps failing and waits longer before each restart"),
    "OOMKilled": ("out of memory", "was killed for using more memory than its limit"),
    "ContainerError": ("container failed", "ended with an error"),
}
_TONES = {"Critical": Tone.CRITICAL, "Warning": Tone.WARNING, "Info": Tone.INFO}
_ROLLOUTS = {"Deployment", "StatefulSet", "DaemonSet"}
_LAST_MESSAGE_LINES = 12
_URL = re.compile(r"https?://[!-~]{1,2000}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of an incident, fit to be shown."""

    cluster: str
    namespace: str
    owner_kind: str
    owner: str
    container: str

    @property
    def subject(self) -> str:
        return f"{self.namespace}/{self.owner}" if self.namespace else self.owner


def render_crash(facts: CrashFacts) -> Rendered:
    """The first mail of an incident, or a reminder of it; with 20 log lines in less than half a millisecond (`test_mail_cost.py`)."""
    names = _names(facts)
    words, _ = _kind(facts.kind)
    _, does = _kind(facts.worst or facts.kind)
    total = max(facts.affected_count, len(facts.pods))
    of = f"{count(total, 'pod')} of " if total > 1 else ""
    container = f"Container {names.container}" if names.container else "A container"
    still = f"Reminder: it has gone on for {_lasted(facts)}. " if facts.is_reminder else ""
    summary = f"{still}{container} in {of}{names.owner_kind} {names.owner} {does}. {_last_end(facts)}"
    document = Document(
        tone=_TONES.get(facts.severity, Tone.WARNING),
        status=visible(facts.severity, 20),
        context=_context(names.cluster),
        title=_title(names, words),
        summary=summary.strip(),
        preheader=f"{names.cluster + ': ' if names.cluster else ''}{_last_end(facts)} Since {moment(facts.start_time)}.",
        blocks=(
            *_meaning(facts),
            *log(facts),
            *pods(facts, "Affected pod"),
            _commands(facts, names),
            _details(facts, names),
            *_links(facts),
            *_next_steps(facts, names),
        ),
        origin=_origin(facts, names),
    )
    return Rendered(_subject(names, words), plain.write(document), page.write(document))


def render_resolved(facts: CrashFacts) -> Rendered:
    """The mail that ends an incident: a reply to the first one, with how long it took and how often the pods restarted.

    It says "runs again" only where that was seen.
    """
    names, lasted = _names(facts), _lasted(facts)
    words, _ = _kind(facts.kind)
    title, summary, preheader = (_gone if facts.are_pods_gone else _recovered)(facts, names)
    document = Document(
        tone=Tone.INFO if facts.are_pods_gone else Tone.GOOD,
        status="Resolved",
        context=_context(names.cluster),
        title=title,
        summary=f"{summary} {_state(words)} for {lasted}.",
        preheader=f"{names.cluster + ': ' if names.cluster else ''}{preheader}",
        blocks=(
            _history(facts, names, lasted),
            *pods(facts, "Pod that failed"),
            *_links(facts),
            Commands("If you want to look back", (_incident_command(facts, names),)),
        ),
        origin=_origin(facts, names),
    )
    return Rendered(f"Re: {_subject(names, words)}", plain.write(document), page.write(document))


def _recovered(facts: CrashFacts, names: _Names) -> tuple[str, str, str]:
    """Title, summary and preheader where the workload was seen to be ready."""
    held = f" and stayed so for at least {span(facts.resolve_after_seconds)}" if facts.resolve_after_seconds else ""
    summary = f"All pods of {names.owner_kind} {names.owner} became ready{held}."
    return f"{names.subject} runs again", summary, f"running again after {_lasted(facts)}."


def _gone(facts: CrashFacts, names: _Names) -> tuple[str, str, str]:
    """The same where nothing is left to look at: scaled down, deleted, or out of the policy's selector."""
    one = max(facts.affected_count, len(facts.pods)) == 1
    summary = (
        f"The {'pod that failed is' if one else 'pods that failed are'} gone, and no new pod of {names.owner_kind} {names.owner} has taken "
        "the place. So nothing fails now, but nothing shows that it would run."
    )
    return f"{names.subject}: what failed is gone", summary, "what failed is gone, and nothing runs in its place."


def _lasted(facts: CrashFacts) -> str:
    return span(((facts.well_since or facts.now) - facts.start_time).total_seconds())


def _state(words: str) -> str:
    """`crash looping` was so for a while; a `container failed` is what happened, so it is said as a state."""
    return "The trouble lasted" if words.startswith("container") else f"It was {words}"


def _names(facts: CrashFacts) -> _Names:
    return _Names(
        visible(facts.cluster, 80),
        name(facts.namespace),
        visible(facts.owner_kind, 63),
        name(facts.owner_name),
        name(facts.container),
    )


def _kind(kind: str) -> tuple[str, str]:
    return _KINDS.get(kind) or (f"failing with {visible(kind, 63)}", f"fails with {visible(kind, 63)}")


def _subject(names: _Names, words: str) -> str:
    on = f" on {names.cluster}" if names.cluster else ""
    return visible(f"Collector {names.subject} {words}{on}", 240)


def _title(names: _Names, words: str) -> str:
    return f"{names.subject}: {words}" if words.startswith("container") else f"{names.subject} is {words}"


def _context(cluster: str) -> str:
    return f"on cluster {cluster}" if cluster else ""


def _restarts(facts: CrashFacts) -> int:
    return sum(pod.restarts for pod in facts.pods)


def _last_end(facts: CrashFacts) -> str:
    if not facts.pods:
        return ""
    pod = facts.pods[0]
    label = exit_label(pod.exit_code, pod.signal, visible(pod.reason, 63))
    restarts = _restarts(facts)
    so_far = f"{count(restarts, 'restart')} so far" if restarts else ""
    told = "; ".join(filter(None, (f"The last run ended with {label}" if label else "", so_far)))
    return f"{told}." if told else ""


def _meaning(facts: CrashFacts) -> tuple[Block, ...]:
    """Each different explanation once, at most three; then what the container itself left as its termination message."""
    own = visible(facts.exit_meaning, 500)
    found = (
        [own]
        if own
        else [
            exit_meaning(pod.exit_code, pod.signal, pod.reason, visible(pod.memory_limit, 32))
            for pod in facts.pods[:MAX_PODS]
        ]
    )
    sentences = tuple(dict.fromkeys(sentence for sentence in found if sentence))[:3]
    message = next((pod.message for pod in facts.pods[:MAX_PODS] if pod.message.strip()), "")
    lines = (visible(line, 300) for line in redact(message[:4096]).splitlines()[-_LAST_MESSAGE_LINES:])
    said = tuple(line for line in lines if line.strip())
    meaning = (Paragraph("What that usually means", sentences),) if sentences else ()
    return (*meaning, Listing("Its own last message", said)) if said else meaning


def _subject_rows(facts: CrashFacts, names: _Names) -> tuple[tuple[str, str], ...]:
    """What it is about; the first rows of every mail's table."""
    return (
        ("Cluster", names.cluster),
        ("Namespace", names.namespace),
        ("Owner", f"{names.owner_kind} {names.owner}".strip()),
        ("Container", names.container),
        ("Image", name(facts.image)),
    )


def _details(facts: CrashFacts, names: _Names) -> Facts:
    limits = dict.fromkeys(visible(pod.memory_limit, 32) for pod in facts.pods[:MAX_PODS] if pod.memory_limit)
    rows = (
        *_subject_rows(facts, names),
        ("Memory limit", ", ".join(list(limits)[:3])),
        ("Since", f"{moment(facts.start_time)} ({_lasted(facts)} ago)"),
        ("Restarts", str(_restarts(facts))),
    )
    return Facts("Details", rows)


def _commands(facts: CrashFacts, names: _Names) -> Commands:
    kubectl = f"kubectl -n {shlex.quote(names.namespace)}"
    pod = shlex.quote(name(facts.pods[0].name)) if facts.pods else ""
    container = f" -c {shlex.quote(names.container)}" if names.container else ""
    rows = []
    if pod:
        previous = "" if facts.pods[0].is_never_restarted else " --previous"
        rows.append(("The log of the container that failed", f"{kubectl} logs {pod}{container}{previous} --tail=100"))
        rows.append(("Events, limits, probes and mounts of the pod", f"{kubectl} describe pod {pod}"))
    if pod and "OOMKilled" in (facts.kind, facts.worst):
        rows.append(("What it uses now", f"{kubectl} top pod {pod} --containers"))
    if facts.owner_kind in _ROLLOUTS:
        owner = shlex.quote(f"{facts.owner_kind.lower()}/{names.owner}")
        rows.append(("What changed before it began", f"{kubectl} rollout history {owner}"))
    rows.append(_incident_command(facts, names))
    return Commands("Run next", tuple(rows))


def _incident_command(facts: CrashFacts, names: _Names) -> tuple[str, str]:
    quoted = shlex.quote(name(facts.incident))
    return (
        "All that watchbell knows of this incident",
        f"kubectl -n {shlex.quote(names.namespace)} get collectorincident {quoted} -o yaml",
    )


def _links(facts: CrashFacts) -> tuple[Block, ...]:
    offered = (("Dashboard", facts.dashboard_url), ("Runbook", facts.runbook_url))
    rows = tuple((label, address) for label, address in offered if _URL.fullmatch(address))
    return (Links(rows),) if rows else ()


def _next_steps(facts: CrashFacts, names: _Names) -> tuple[Block, ...]:
    sentences = ["More failures of this kind belong to this incident: no mail for each restart."]
    if facts.repeat_seconds:
        sentences.append(f"If it goes on, you are reminded in {span(facts.repeat_seconds)}.")
    if facts.send_resolved:
        held = f" for at least {span(facts.resolve_after_seconds)}" if facts.resolve_after_seconds else ""
        sentences.append(
            f"When all pods of {names.owner} have been ready{held}, or are gone, a reply to this mail says so."
        )
    return (Paragraph("What watchbell does next", (" ".join(sentences),)),)


def _history(facts: CrashFacts, names: _Names, lasted: str) -> Facts:
    rows = (
        *_subject_rows(facts, names),
        ("Began", moment(facts.start_time)),
        ("Ready since", "" if facts.are_pods_gone else moment(facts.well_since)),
        ("Resolved", moment(facts.now)),
        ("Lasted", lasted),
        ("Restarts", str(_restarts(facts))),
    )
    return Facts("How it went", rows)


def _origin(facts: CrashFacts, names: _Names) -> str:
    return f"Sent by watchbell for CollectorPolicy {names.namespace}/{name(facts.policy)}, incident {name(facts.incident)}."
