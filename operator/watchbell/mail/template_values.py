"""What a template may say of an incident: plain values under documented names, bounded and fit to be shown.

Before: the facts of the built-in mails, which anybody may have written. After: `template.render`. A value that is not known is nothing (`nil` in
Liquid), which is false in a condition; lists may be empty. `VALUES` is the documentation (docs/templates.md) and is tested against what is made here.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from watchbell.mail import evidence
from watchbell.mail.document import Block, Listing, Paragraph, moment
from watchbell.mail.drift import KIND as DRIFT
from watchbell.mail.facts import CrashFacts, DifferenceFacts, PodFacts
from watchbell.mail.incident import lasted, names_of, restarts, sentence, subject, subject_rows, title, total_pods
from watchbell.mail.kinds import words
from watchbell.mail.links import web_address
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import name, visible

MAX_DIFFERENCES = 50

VALUES: Mapping[str, str] = {
    "incident.name": "the CollectorIncident",
    "incident.transition": "`Fired`, `Repeated`, `Escalated` or `Resolved`",
    "incident.resolved": "true in the mail that ends the incident",
    "incident.title": "one line: `prod/otel-gateway is crash looping`",
    "incident.subject": "the subject of the built-in mail; the same for the whole life of the incident, so mail programs thread by it",
    "incident.severity": "`Critical`, `Warning` or `Info`, as it is now",
    "incident.escalatedFrom": "the severity before, in the mail that tells of the change",
    "incident.kind": "what it began as, such as `CrashLoopBackOff`",
    "incident.worst": "what it became; often the same",
    "incident.cluster": "the name of the cluster, if the operator was given one",
    "incident.namespace": "where the pods are",
    "incident.policy": "the CollectorPolicy, with its namespace: `monitoring/collectors`",
    "incident.ownerKind": "`Deployment`, `DaemonSet`, `Node`, …",
    "incident.owner": "the name of the workload or node",
    "incident.container": "the container",
    "incident.image": "its image",
    "incident.imageDigest": "the digest that runs",
    "incident.startTime": "when it began: `2026-11-21 14:02:11 UTC`",
    "incident.time": "when this mail was written; of a resolved incident when it was resolved",
    "incident.duration": "how long it has gone on, or went on: `3 h 5 min`",
    "incident.affectedPods": "how many pods, also where the list is shorter",
    "incident.restarts": "of all listed pods together",
    "incident.flaps": "how often it failed again after having been well",
    "incident.note": "one more sentence, such as that a liveness probe killed it",
    "incident.acknowledgedBy": "who acknowledged it",
    "incident.hiddenPods": "pods on a lost node whose own alerts are held back",
    "incident.dashboardURL": "`links.dashboardURLTemplate` of the policy, filled in",
    "incident.runbookURL": "`links.runbookURL` of the policy",
    "incident.meaning": "list of sentences: what that usually means",
    "incident.changes": "list of sentences: what changed before; of a resolved incident meanwhile",
    "incident.events": "list of lines: the last warning events of the pod",
    "incident.log": "list of lines: the end of the log, redacted, where the policy asks for it",
    "incident.logPod": "the pod that the log is of",
    "incident.pods": "list of the affected pods, at most 50",
    "incident.pods[].name": "the pod",
    "incident.pods[].node": "where it runs",
    "incident.pods[].reason": "the reason that Kubernetes gives",
    "incident.pods[].exitCode": "a number",
    "incident.pods[].signal": "a number",
    "incident.pods[].restarts": "a number",
    "incident.pods[].lastTime": "when the container last ended",
    "incident.pods[].message": "what it left as its last message, redacted",
    "incident.pods[].memoryLimit": "such as `512Mi`",
    "incident.differences": "of drift: list of the departures from the baseline, at most 50",
    "incident.moreDifferences": "how many there are beyond the list",
    "incident.returnReason": "of a drift that ended: `RolledBack`, `BaselineAccepted`, `PodsReplaced`, `PodsGone` or `Unknown`",
    "incident.differences[].check": "the check that found it, such as `Image`",
    "incident.differences[].path": "the field",
    "incident.differences[].expected": "what the baseline says",
    "incident.differences[].actual": "what is there",
}


def incident_values(facts: CrashFacts, *, is_resolved: bool = False) -> dict[str, Any]:
    """`{"incident": {…}}` with exactly the names of `VALUES`; dict, list, str, int, bool and None only."""
    names, kind = names_of(facts), words(facts.kind)
    rows = dict(subject_rows(facts, names))
    shown_log, log_pod = evidence.log(facts), facts.log_pod or (facts.pods[0].name if facts.pods else "")
    values: dict[str, Any] = {
        "name": name(facts.incident),
        "transition": _transition(facts, is_resolved=is_resolved),
        "resolved": is_resolved,
        "title": title(names, kind),
        "subject": subject(names, kind),
        "severity": visible(facts.severity, 20),
        "escalatedFrom": visible(facts.escalated_from, 20) or None,
        "kind": visible(facts.kind, 63),
        "worst": visible(facts.worst or facts.kind, 63),
        "cluster": names.cluster or None,
        "namespace": names.where,
        "policy": f"{names.namespace}/{name(facts.policy)}",
        "ownerKind": names.owner_kind,
        "owner": names.owner,
        "container": names.container or None,
        "image": rows["Image"] or None,
        "imageDigest": rows["Image digest"] or None,
        "startTime": moment(facts.start_time),
        "time": moment(facts.now),
        "duration": lasted(facts),
        "affectedPods": total_pods(facts),
        "restarts": restarts(facts),
        "flaps": facts.flaps,
        "note": sentence(facts.note) or None,
        "acknowledgedBy": visible(facts.acknowledged_by, 120) or None,
        "hiddenPods": facts.hidden_pods,
        "dashboardURL": web_address(facts.dashboard_url) or None,
        "runbookURL": web_address(facts.runbook_url) or None,
        "meaning": _lines(evidence.meaning(facts, words(facts.worst or facts.kind))),
        "changes": _lines(evidence.changes(facts.changes, "")),
        "events": _lines(evidence.events(facts.events)),
        "log": _lines(shown_log),
        "logPod": (name(log_pod) or None) if shown_log else None,
        "pods": [_pod(pod) for pod in facts.pods[: evidence.MAX_PODS]],
        "moreDifferences": facts.more_differences + max(len(facts.differences) - MAX_DIFFERENCES, 0),
        "returnReason": str(facts.return_reason) if is_resolved and facts.kind == DRIFT else None,
        "differences": [_difference(one) for one in facts.differences[:MAX_DIFFERENCES]],
    }
    return {"incident": values}


def _transition(facts: CrashFacts, *, is_resolved: bool) -> str:
    if is_resolved:
        return "Resolved"
    if facts.escalated_from:
        return "Escalated"
    return "Repeated" if facts.is_reminder else "Fired"


def _lines(blocks: Iterable[Block]) -> list[str]:
    """The sentences or lines of a block of the built-in mails, as they were bounded and redacted there."""
    lines: list[str] = []
    for block in blocks:
        match block:
            case Paragraph():
                lines += block.sentences
            case Listing():
                lines += block.lines
            case _:
                raise TypeError(f"{type(block).__name__} has no lines")
    return lines


def _pod(pod: PodFacts) -> dict[str, Any]:
    return {
        "name": name(pod.name),
        "node": name(pod.node) or None,
        "reason": visible(pod.reason, 63) or None,
        "exitCode": pod.exit_code,
        "signal": pod.signal,
        "restarts": pod.restarts,
        "lastTime": _moment(pod.last_time),
        "message": visible(redact(pod.message[:4096]), 300) or None,
        "memoryLimit": visible(pod.memory_limit, 32) or None,
    }


def _moment(when: datetime | None) -> str | None:
    return moment(when) or None


def _difference(one: DifferenceFacts) -> dict[str, Any]:
    return {
        "check": visible(one.check, 63),
        "path": visible(one.path, 300),
        "expected": visible(redact(one.expected[:4096]), 300),
        "actual": visible(redact(one.actual[:4096]), 300),
    }
