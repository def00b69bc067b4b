"""What a mail says of incidents (pure): the value, and what was seen beside it → the facts that `mail` renders.

Before: `telling` and `mailroom` know which tellings go together. After: the texts. Nothing is left out here but what an object would not list either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from watchbell.api.enums import BaselineMode, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.api.times import moment
from watchbell.collectors.casework.batches import Batch, Why
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.incidents import Affected, Family, Incident, is_worse, worst
from watchbell.collectors.policies import Policy
from watchbell.collectors.seen.pod import Pod, owner_of
from watchbell.collectors.silencing.silences import Silence
from watchbell.mail.facts import (
    CrashFacts,
    DifferenceFacts,
    DigestEntry,
    DigestFacts,
    DigestReason,
    PodFacts,
    Return,
    SilenceFacts,
)
from watchbell.mail.links import LinkValues, expand

LISTED_PODS_MAX = 50
Pods = Mapping[tuple[str, str], Pod]
_WHY = {
    Why.TOGETHER: DigestReason.BATCH,
    Why.THROTTLED: DigestReason.THROTTLED,
    Why.SILENCE_ENDED: DigestReason.SILENCE_ENDED,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands around the incidents of a mail."""

    cluster: str
    policy: Policy
    pods: Pods
    now: datetime


def incident_facts(case: Case, scene: Scene, transition: Transition) -> CrashFacts:
    """The facts of a mail about one incident."""
    incident, policy, over = case.incident, scene.policy, case.incident.resolution
    dashboard, runbook = _links(incident, scene)
    is_node = incident.group.family is Family.NODE
    return CrashFacts(
        cluster=scene.cluster,
        namespace=incident.group.namespace,
        policy=incident.group.policy,
        incident=incident.name,
        owner_kind=incident.group.owner.kind,
        owner_name=incident.group.owner.name,
        kind=str(incident.kind),
        worst=str(incident.worst or incident.kind),
        severity=str(incident.severity),
        container=incident.group.container,
        image=incident.image,
        image_id=incident.image_id,
        pods=_pods(incident, scene, LISTED_PODS_MAX),
        start_time=incident.start_time,
        now=over.time if over else scene.now,
        affected_count=incident.affected_count,
        log_lines=case.log_lines or (),
        log_pod=case.log_pod,
        events=case.events,
        changes=case.changes,
        flaps=incident.flaps,
        note=_note(incident),
        hidden_pods=incident.affected_count if is_node else 0,
        hidden_owners=_owners(incident, scene) if is_node else 0,
        repeat_seconds=int(policy.plan.repeat_s),
        resolve_after_seconds=int(policy.plan.resolve_after_s),
        send_resolved=policy.plan.tells_resolved,
        is_reminder=transition is Transition.REPEATED,
        well_since=incident.healthy_since if over else None,
        are_pods_gone=over is not None and over.reason is Reason.PODS_GONE,
        dashboard_url=dashboard,
        runbook_url=runbook,
        escalated_from=_severity_before(incident) if transition is Transition.ESCALATED else "",
        acknowledged_by=incident.acknowledged_by,
        differences=tuple(
            DifferenceFacts(str(item.check), item.path, item.expected, item.actual) for item in incident.differences
        ),
        baseline=str(policy.drift.mode),
        capture_revision=policy.drift.capture_revision,
        return_reason=_return(case, scene),
    )


def digest_facts(cases: Sequence[Case], scene: Scene, batch: Batch, silence: Silence | None) -> DigestFacts:
    """The facts of a mail about several."""
    policy = scene.policy
    incidents = [case.incident for case in cases]
    dashboard, runbook = _links(incidents[0], scene)
    return DigestFacts(
        cluster=scene.cluster,
        namespace=policy.key[0],
        policy=policy.key[1],
        severity=str(worst_of(incidents)),
        now=scene.now,
        entries=tuple(_entry(incident, scene) for incident in incidents),
        reason=_WHY[batch.why],
        dashboard_url=dashboard,
        runbook_url=runbook,
        silence=_silence(batch.silence, silence) if batch.silence else None,
        total=len(incidents),
        period_seconds=int(policy.plan.period_s),
        messages_per_hour=policy.plan.messages_per_hour,
    )


def worst_of(incidents: Sequence[Incident]) -> Severity:
    """How bad a mail about these is: as the worst of what is not over, or of all if all is."""
    open_ones = [incident.severity for incident in incidents if incident.resolution is None]
    return worst(open_ones or [incident.severity for incident in incidents])


def _entry(incident: Incident, scene: Scene) -> DigestEntry:
    pending = incident.pending
    return DigestEntry(
        incident=incident.name,
        owner_kind=incident.group.owner.kind,
        owner_name=incident.group.owner.name,
        kind=str(incident.worst or incident.kind),
        severity=str(incident.severity),
        transition=str(pending.transition if pending else Transition.FIRED),
        container=incident.group.container,
        pods_count=incident.affected_count,
        first_time=incident.start_time,
        last_time=incident.last_seen,
        occurrences=incident.occurrences,
        reason=_end(incident) or _note(incident),
        pods=_pods(incident, scene, None),
        flaps=incident.flaps,
        image=incident.image,
    )


def _return(case: Case, scene: Scene) -> Return:
    """How a drift ended, as far as it can be seen: with another baseline or template, with other pods, or nobody knows how."""
    incident, over = case.incident, case.incident.resolution
    if over is None or incident.group.family is not Family.DRIFT:
        return Return.UNKNOWN
    if over.reason is Reason.PODS_GONE:
        return Return.PODS_GONE
    if _captured_anew(scene.policy, incident.start_time):
        return Return.BASELINE_ACCEPTED
    if case.changes:
        return Return.ROLLED_BACK
    are_left = any((incident.group.namespace, pod.name) in scene.pods for pod in incident.pods)
    return Return.UNKNOWN if are_left or not incident.pods else Return.PODS_REPLACED


def _captured_anew(policy: Policy, since: datetime) -> bool:
    baseline = policy.status.get("baseline") or {}
    captured = moment(baseline.get("captureTime")) if policy.drift.mode is BaselineMode.CAPTURED else None
    return captured is not None and captured > since


def _note(incident: Incident) -> str:
    newest = incident.affected.get("") or (incident.pods[0] if incident.pods else None)
    return newest.note if newest is not None else ""


def _end(incident: Incident) -> str:
    return (
        incident.resolution.reason.doc.rstrip(".").replace("`resolveAfterSeconds`", "long enough")
        if incident.resolution
        else ""
    )


def _pods(incident: Incident, scene: Scene, most: int | None) -> tuple[PodFacts, ...]:
    return tuple(_pod(pod, scene.pods.get((incident.group.namespace, pod.name))) for pod in incident.pods[:most])


def _pod(pod: Affected, seen: Pod | None) -> PodFacts:
    return PodFacts(
        name=pod.name,
        node=pod.node or (seen.spec.node_name if seen is not None else ""),
        exit_code=pod.exit_code,
        signal=pod.signal,
        reason=pod.reason,
        restarts=pod.restarts,
        last_time=pod.last_time,
        message=pod.message,
        memory_limit=pod.memory_limit,
        is_never_restarted=seen is not None and seen.spec.restart_policy == "Never",
    )


def _owners(incident: Incident, scene: Scene) -> int:
    seen = (scene.pods.get((incident.group.namespace, pod.name)) for pod in incident.pods)
    return len({owner_of(pod) for pod in seen if pod is not None})


def _severity_before(incident: Incident) -> str:
    told = incident.told
    before = told.severity if told is not None else None
    return str(before) if before is not None and is_worse(incident.severity, before) else ""


def _links(incident: Incident, scene: Scene) -> tuple[str, str]:
    links = scene.policy.links
    if links.dashboard_url_template is None:
        return "", links.runbook_url or ""
    values = LinkValues(
        cluster=scene.cluster,
        namespace=incident.group.namespace,
        owner=incident.group.owner.name,
        kind=str(incident.kind),
        pod=incident.pods[0].name if incident.pods else "",
        incident=incident.name,
    )
    return expand(links.dashboard_url_template, values), links.runbook_url or ""


def _silence(name: str, silence: Silence | None) -> SilenceFacts:
    if silence is None:
        return SilenceFacts(name, was_deleted=True)
    return SilenceFacts(name, silence.start, silence.end, silence.comment, silence.created_by)
