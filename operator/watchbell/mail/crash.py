"""The built-in mails about a collector that fails, and about one that runs again.

Before: an incident and what was seen of its pods. After: `message`. Subjects are stable for the life of an incident, without brackets (Gmail leaves
bracketed words out when it threads), and the resolved mail is a reply to the first one with its state in the body. Drift has a story of its own.
"""

from watchbell.mail import drift, evidence, page, plain
from watchbell.mail.commands import run_next
from watchbell.mail.document import Block, Commands, Document, Facts, Paragraph, Rendered, Tone, count, moment, span
from watchbell.mail.exits import exit_label
from watchbell.mail.facts import CrashFacts, PodFacts
from watchbell.mail.incident import (
    TONES,
    Names,
    about_mail,
    counted_rows,
    history,
    incident_command,
    lasted,
    links,
    names_of,
    origin,
    preheader,
    restarts,
    sentence,
    subject,
    subject_rows,
    title,
    total_pods,
)
from watchbell.mail.kinds import About, KindWords, words
from watchbell.mail.untrusted import visible

__all__ = ["CrashFacts", "PodFacts", "render_crash", "render_resolved"]

# The heading of the table of pods, for one and for several: while it lasts, and once it is over.
_PODS = {
    About.CONTAINER: ("Affected pod", "Affected pods"),
    About.POD: ("Affected pod", "Affected pods"),
    About.OWNER: ("Affected pod", "Affected pods"),
    About.NODE: ("Pod on it", "Pods on it"),
}
_PODS_BEFORE = {
    About.CONTAINER: ("Pod that failed", "Pods that failed"),
    About.POD: ("Pod that failed", "Pods that failed"),
    About.OWNER: ("Pod that failed", "Pods that failed"),
    About.NODE: ("Pod that was on it", "Pods that were on it"),
}


def render_crash(facts: CrashFacts) -> Rendered:
    """The first mail of an incident, or a reminder of it; with 20 log lines in less than half a millisecond (`test_mail_cost.py`)."""
    if facts.kind == drift.KIND:
        return drift.render_drift(facts)
    names, kind, worst = names_of(facts), words(facts.kind), words(facts.worst or facts.kind)
    last_end = _last_end(facts, worst)
    document = Document(
        tone=TONES.get(facts.severity, Tone.WARNING),
        status=visible(facts.severity, 20),
        context=names.context,
        title=title(names, kind),
        summary=_summary(facts, names, worst, last_end),
        preheader=preheader(names, f"{last_end} Since {moment(facts.start_time)}.".strip()),
        blocks=(
            *links(facts.dashboard_url, facts.runbook_url),
            *evidence.changes(facts.changes, "What changed before it began"),
            *evidence.meaning(facts, worst),
            *evidence.last_message(facts, is_own=_speaks_itself(facts)),
            *evidence.log(facts),
            *evidence.events(facts.events),
            run_next(facts, names),
            *evidence.pods(facts, *_PODS[worst.about]),
            _details(facts, names),
            _next_steps(facts, names, kind),
            *about_mail(facts.template_failure),
        ),
        origin=origin(facts, names),
    )
    return Rendered(subject(names, kind), plain.write(document), page.write(document))


def render_resolved(facts: CrashFacts) -> Rendered:
    """The mail that ends an incident: a reply to the first one, with how long it took and how often the pods restarted.

    It says "runs again" only where that was seen.
    """
    if facts.kind == drift.KIND:
        return drift.render_back_to_baseline(facts)
    names, kind = names_of(facts), words(facts.kind)
    headline, summary, shown_first = (_gone if facts.are_pods_gone else _recovered)(facts, names, kind)
    document = Document(
        tone=Tone.INFO if facts.are_pods_gone else Tone.GOOD,
        status="Resolved",
        context=names.context,
        title=headline,
        summary=f"{sentence(facts.belated)} {summary} {_state(kind)} for {lasted(facts)}.{_flapped(facts)}".lstrip(),
        preheader=preheader(names, shown_first),
        blocks=(
            *links(facts.dashboard_url, facts.runbook_url),
            *evidence.changes(facts.changes, "What changed meanwhile"),
            history(facts, names),
            *evidence.pods(facts, *_PODS_BEFORE[kind.about]),
            Commands("If you want to look back", (incident_command(facts, names),)),
            *about_mail(facts.template_failure),
        ),
        origin=origin(facts, names),
    )
    return Rendered(f"Re: {subject(names, kind)}", plain.write(document), page.write(document))


def _summary(facts: CrashFacts, names: Names, worst: KindWords, last_end: str) -> str:
    """Two or three sentences: what does what, how it last ended, and what makes this mail another than the first."""
    flapping = (
        f"It is flapping, {count(facts.flaps, 'time')} so far: well for a while, then the same again."
        if facts.flaps
        else ""
    )
    escalated = f"It was {visible(facts.escalated_from, 20)} before." if facts.escalated_from else ""
    still = f"Reminder: it has gone on for {lasted(facts)}." if facts.is_reminder else ""
    belated = sentence(facts.belated)
    told = (
        belated,
        still,
        f"{_who(facts, names, worst)} {worst.does}.",
        last_end,
        sentence(facts.note),
        flapping,
        escalated,
    )
    return " ".join(filter(None, (*told, _hidden(facts, worst))))


def _who(facts: CrashFacts, names: Names, kind: KindWords) -> str:
    """What the sentence is about: one container of a pod, a pod, the owner, the node."""
    total = total_pods(facts)
    match kind.about:
        case About.CONTAINER:
            of = f"{count(total, 'pod')} of " if total > 1 else ""
            container = f"Container {names.container}" if names.container else "A container"
            return f"{container} in {of}{names.owner_words}"
        case About.POD:
            return f"Each of {total} pods of {names.owner_words}" if total > 1 else f"A pod of {names.owner_words}"
        case About.OWNER:
            return names.owner_words
        case About.NODE:
            return f"Node {names.owner}"


def _hidden(facts: CrashFacts, kind: KindWords) -> str:
    """The pods of a lost node that open no incident of their own; those that were counted apart, or else all that are on it."""
    hidden = facts.hidden_pods or (total_pods(facts) if kind.about is About.NODE else 0)
    if not hidden:
        return ""
    of = f" of {count(facts.hidden_owners, 'workload')}" if facts.hidden_owners else ""
    one = hidden == 1
    return f"{count(hidden, 'pod')}{of} {'is on it; its own alert is' if one else 'are on it; their own alerts are'} held back."


def _recovered(facts: CrashFacts, names: Names, kind: KindWords) -> tuple[str, str, str]:
    """Title, summary and preheader where the workload was seen to be ready."""
    held = f" and stayed so for at least {span(facts.resolve_after_seconds)}" if facts.resolve_after_seconds else ""
    again = f" again after {lasted(facts)}."
    match kind.about:
        case About.NODE:
            return f"Node {names.owner} is back", f"Node {names.owner} reports again{held}.", f"reporting{again}"
        case About.OWNER:
            return (
                f"{names.workload}: roll-out complete",
                f"All pods of {names.owner_words} are of the new revision and ready{held}.",
                f"moving{again}",
            )
        case _:
            return (
                f"{names.workload} runs again",
                f"All pods of {names.owner_words} became ready{held}.",
                f"running{again}",
            )


def _gone(facts: CrashFacts, names: Names, kind: KindWords) -> tuple[str, str, str]:
    """The same where nothing is left to look at: scaled down, deleted, or out of the policy's selector."""
    if kind.about is About.NODE:
        gone = (
            f"Node {names.owner} has left the cluster, or no collector is on it any more. It was not seen to come back."
        )
        return f"Node {names.owner} is gone", gone, "the node is gone."
    one = total_pods(facts) == 1
    failed = (
        "What was rolled out is"
        if kind.about is About.OWNER
        else "The pod that failed is"
        if one
        else "The pods that failed are"
    )
    summary = (
        f"{failed} gone, and no new pod of {names.owner_words} has taken the place. "
        "So nothing fails now, but nothing shows that it would run."
    )
    return f"{names.workload}: what failed is gone", summary, "what failed is gone, and nothing runs in its place."


def _state(kind: KindWords) -> str:
    """`crash looping` was so for a while; a `container failed` is what happened, so it is said as a state."""
    return f"It was {kind.phrase}" if kind.link == " is " else "The trouble lasted"


def _flapped(facts: CrashFacts) -> str:
    return f" Meanwhile it was well and failed again {count(facts.flaps, 'time')}." if facts.flaps else ""


def _speaks_itself(facts: CrashFacts) -> bool:
    """Whether the message is what a program left when it ended, not what Kubernetes says of a pod that never began."""
    pod = facts.pods[0] if facts.pods else None
    return pod is not None and (pod.exit_code is not None or pod.signal is not None)


def _last_end(facts: CrashFacts, kind: KindWords) -> str:
    """`The last run ended with exit 1; 7 restarts so far.`; of what never ran, the reason for which it waits."""
    if not facts.pods or kind.about not in {About.CONTAINER, About.POD}:
        return ""
    pod = facts.pods[0]
    total = restarts(facts)
    so_far = f"{count(total, 'restart')} so far" if total else ""
    if pod.exit_code is None and pod.signal is None:
        reason = visible(pod.reason, 63)
        is_new = reason and reason not in {facts.kind, facts.worst}
        return f"Kubernetes gives the reason {reason}{'; ' + so_far if so_far else ''}." if is_new else ""
    label = exit_label(pod.exit_code, pod.signal, visible(pod.reason, 63))
    label = "" if label in {facts.kind, facts.worst} else label
    told = "; ".join(filter(None, (f"The last run ended with {label}" if label else "", so_far)))
    return f"{told}." if told else ""


def _details(facts: CrashFacts, names: Names) -> Facts:
    limits = dict.fromkeys(visible(pod.memory_limit, 32) for pod in facts.pods[: evidence.MAX_PODS] if pod.memory_limit)
    rows = (
        *subject_rows(facts, names),
        ("Memory limit", ", ".join(list(limits)[:3])),
        ("Since", f"{moment(facts.start_time)} ({lasted(facts)} ago)"),
        *counted_rows(facts),
    )
    return Facts("Details", rows)


def _next_steps(facts: CrashFacts, names: Names, kind: KindWords) -> Block:
    sentences = [
        "Whatever fails on this node belongs to this incident: no mail for each pod."
        if kind.about is About.NODE
        else "More failures of this kind belong to this incident: no mail for each restart."
        if kind.about is About.CONTAINER
        else "More pods with the same trouble belong to this incident: no mail for each of them."
    ]
    if facts.repeat_seconds:
        sentences.append(f"If it goes on, you are reminded in {span(facts.repeat_seconds)}.")
    if facts.send_resolved:
        held = f" for at least {span(facts.resolve_after_seconds)}" if facts.resolve_after_seconds else ""
        well = (
            f"When the node has reported again{held}, or is gone"
            if kind.about is About.NODE
            else f"When all pods of {names.owner} have been ready{held}, or are gone"
        )
        sentences.append(f"{well}, a reply to this mail says so.")
    return Paragraph("What watchbell does next", (" ".join(sentences),))
