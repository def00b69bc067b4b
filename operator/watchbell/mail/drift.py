"""The built-in mails about a workload that is not what its baseline says, and about one that is so again.

Before: an incident of kind Drift with its differences. After: `message`. A drift is rarely an emergency: the mail leads to one of two ways out,
accepting what runs or going back, and says what each takes.
"""

from dataclasses import replace

from watchbell.mail import evidence, page, plain
from watchbell.mail.commands import baseline as baseline_commands
from watchbell.mail.differences import check_names, differences
from watchbell.mail.document import Block, Commands, Document, Facts, Paragraph, Rendered, Tone, count, moment, span
from watchbell.mail.facts import CrashFacts, DifferenceFacts, PodFacts, Return
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
    sentence,
    subject,
    subject_rows,
    title,
    total_pods,
)
from watchbell.mail.kinds import words
from watchbell.mail.untrusted import visible

__all__ = ["KIND", "CrashFacts", "DifferenceFacts", "Return", "render_back_to_baseline", "render_drift"]

KIND = "Drift"
MAX_PODS = 10
"""Fewer than in other mails: the room is for fifty differences."""
_BASELINES = {
    "OwnerTemplate": "the template of its owner",
    "Captured": "the captured baseline",
    "Pinned": "the baseline pinned in the policy",
}
_RETURNS = {
    Return.ROLLED_BACK: ("was rolled back", "It was rolled back: the workload is again what the baseline says."),
    Return.BASELINE_ACCEPTED: (
        "baseline accepted",
        "The baseline was changed: what runs is now what it should be. The workload itself was not touched.",
    ),
    Return.PODS_REPLACED: (
        "pods replaced",
        "The pods that differed were replaced by new ones, and these are what the baseline says.",
    ),
    Return.PODS_GONE: (
        "what differed is gone",
        "What differed is gone, and nothing runs in its place. So nothing differs now, but nothing shows that new pods would be right.",
    ),
    Return.UNKNOWN: ("back to baseline", "Nothing differs from the baseline any more."),
}


def render_drift(facts: CrashFacts) -> Rendered:
    """The first mail about a drift, or a reminder of it."""
    names, kind = names_of(facts), words(KIND)
    checks = check_names(facts.differences)
    total = len(facts.differences) + facts.more_differences
    found = count(total, "difference") if total else "Differences"
    listed = f": {', '.join(checks[:6])}{' and more' if len(checks) > 6 else ''}" if checks else ""
    document = Document(
        tone=TONES.get(facts.severity, Tone.WARNING),
        status=visible(facts.severity, 20),
        context=names.context,
        title=title(names, kind),
        summary=_summary(facts, names, f"{found}{listed}."),
        preheader=preheader(names, f"{found}{listed}. Since {moment(facts.start_time)}."),
        blocks=(
            *links(facts.dashboard_url, facts.runbook_url),
            *differences(facts.differences, "What differs", facts.more_differences),
            *evidence.changes(facts.changes, "What changed before it began"),
            _way_out(facts, names),
            baseline_commands(facts, names),
            *evidence.pods(_without_ends(facts), "Pod that differs", "Pods that differ", MAX_PODS),
            _details(facts, names),
            *_next_steps(facts, names),
            *about_mail(facts.template_failure),
        ),
        origin=origin(facts, names),
    )
    return Rendered(subject(names, kind), plain.write(document), page.write(document))


def render_back_to_baseline(facts: CrashFacts) -> Rendered:
    """The mail that ends a drift: a reply to the first one, with how it came back."""
    names, kind = names_of(facts), words(KIND)
    how = Return.PODS_GONE if facts.are_pods_gone else facts.return_reason
    short, sentence_of_it = _RETURNS[how]
    is_gone = how is Return.PODS_GONE
    document = Document(
        tone=Tone.INFO if is_gone else Tone.GOOD,
        status="Resolved",
        context=names.context,
        title=f"{names.workload}: what differed is gone" if is_gone else f"{names.workload} is back to its baseline",
        summary=f"{sentence(facts.belated)} {sentence_of_it} It had drifted for {lasted(facts)}.".lstrip(),
        preheader=preheader(names, f"{short} after {lasted(facts)}."),
        blocks=(
            *links(facts.dashboard_url, facts.runbook_url),
            *differences(facts.differences, "What had differed", facts.more_differences),
            *evidence.changes(facts.changes, "What changed meanwhile"),
            _history(facts, names, "" if how is Return.UNKNOWN else short),
            Commands("If you want to look back", (incident_command(facts, names),)),
            *about_mail(facts.template_failure),
        ),
        origin=origin(facts, names),
    )
    return Rendered(f"Re: {subject(names, kind)}", plain.write(document), page.write(document))


def _without_ends(facts: CrashFacts) -> CrashFacts:
    """The pods by name and node alone: how a container last ended is another story."""
    return replace(facts, pods=tuple(PodFacts(pod.name, pod.node) for pod in facts.pods))


def _baseline(facts: CrashFacts) -> str:
    return _BASELINES.get(facts.baseline, "its baseline")


def _summary(facts: CrashFacts, names: Names, found: str) -> str:
    still = f"Reminder: it has gone on for {lasted(facts)}." if facts.is_reminder else ""
    total = total_pods(facts)
    what = (
        f"{count(total, 'pod')} of {names.owner_words} {'is' if total == 1 else 'are'}"
        if total
        else f"{names.owner_words} is"
    )
    flapping = f"It is flapping, {count(facts.flaps, 'time')} so far." if facts.flaps else ""
    told = (
        sentence(facts.belated),
        still,
        f"{what} not what {_baseline(facts)} says.",
        found,
        sentence(facts.note),
        flapping,
    )
    return " ".join(filter(None, told))


_BACK = "Was it not? Then go back to the revision before, and find out who changed it."
# What some checks ask for whatever the baseline is: accepting helps nobody there.
_REMEDIES = {
    "StaleConfig": "Of the configuration: restart the pods. A hash of it in an annotation of the pod template makes each change a roll-out.",
    "NodeCoverage": "Of the nodes without a collector: taints, room or a pod that does not become ready; the events of the DaemonSet say which.",
}


def _way_out(facts: CrashFacts, names: Names) -> Block:
    """Both ways, the one through Git first: what is changed by hand drifts again."""
    checks = dict.fromkeys(item.check for item in facts.differences)
    remedies = tuple(_REMEDIES[check] for check in checks if check in _REMEDIES)
    if checks and len(remedies) == len(checks):
        return Paragraph("What to do", remedies)
    return Paragraph("What to do", (*_accept_or_back(facts, names), *remedies))


def _accept_or_back(facts: CrashFacts, names: Names) -> tuple[str, str]:
    match facts.baseline:
        case "Captured":
            now = f" (now {visible(facts.capture_revision, 64)})" if facts.capture_revision else ""
            return (
                (
                    f"Was it meant? Then accept it: set spec.baseline.captureRevision of the policy to a new word{now}, in Git, or run the command "
                    "below. What runs then becomes the baseline."
                ),
                _BACK,
            )
        case "Pinned":
            return (
                "Was it meant? Then change spec.baseline.pinned of the policy in Git; the command below prints the block for what runs now.",
                _BACK,
            )
        case "OwnerTemplate":
            return (
                (
                    f"The baseline is the pod template of {names.owner_words}. Was it meant? Then put it there, in Git; the new pods will have it "
                    "and nothing differs."
                ),
                "Was it not? Then make the pods anew from the template; if it comes back, a webhook or another controller changes them.",
            )
        case _:
            return ("Was it meant? Then make it the baseline, in Git.", _BACK)


def _details(facts: CrashFacts, names: Names) -> Facts:
    rows = (
        *subject_rows(facts, names),
        ("Baseline", facts.baseline and visible(facts.baseline, 40)),
        ("Capture revision", visible(facts.capture_revision, 64)),
        ("Since", f"{moment(facts.start_time)} ({lasted(facts)} ago)"),
        *counted_rows(facts),
    )
    return Facts("Details", rows)


def _history(facts: CrashFacts, names: Names, how: str) -> Facts:
    table = history(facts, names, "Right since")
    return Facts(table.title, (*table.rows, ("How it came back", how)))


def _next_steps(facts: CrashFacts, names: Names) -> tuple[Block, ...]:
    sentences = ["Further differences of this workload belong to this incident: no mail for each."]
    if facts.repeat_seconds:
        sentences.append(f"If it stays so, you are reminded in {span(facts.repeat_seconds)}.")
    if facts.send_resolved:
        sentences.append(
            f"When {names.owner} is what its baseline says, a reply to this mail says so, and how it came to be."
        )
    return (Paragraph("What watchbell does next", (" ".join(sentences),)),)
