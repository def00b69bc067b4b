"""What is wrong with a pod as a whole (pure): Evicted, NodeLost, Unschedulable, NotReady, and the conditions that a supervisor sets.

Before: `crash`, after it looked at each container. After: `incidents`. Deliberate ends (a drain by the eviction API, a node shut down in order, a
taint that somebody set, a scheduling gate) are named and quiet.

Sources: core/v1 types.go (DisruptionTarget and its reasons), pkg/kubelet/eviction, pkg/kubelet/nodeshutdown, pkg/kubelet/preemption, pkg/controller/
nodelifecycle (marks pods of a lost node not ready), pkg/controller/podgc, pkg/kubelet/status/generate.go (reasons of Ready).
"""

from datetime import datetime

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.faults.sight import Later, PodSight, Quiet, Verdict, gone_quiet, pod_finding
from watchbell.collectors.faults.waits import STARTING
from watchbell.collectors.findings import NODE_OWNER
from watchbell.collectors.seen.pod import ContainerStatus, Owner, Pod, PodCondition, is_sidecar

EVICTED, PREEMPTED, NODE_LOST = "Evicted", "Preempting", "NodeLost"
SHUT_DOWN = frozenset({"Terminated", "NodeShutdown", "Shutdown"})
"""A pod's reason when the kubelet ended it, or turned it away, because its node goes down in order."""
WANTED = SHUT_DOWN | {"DeadlineExceeded"}
DISRUPTION = "DisruptionTarget"
PREEMPTED_NOTE = "It had to make room for a pod of higher priority."
REFUSED_NOTE = "The scheduler had chosen the node, and the kubelet there turned the pod away."
NO_SCHEDULER_NOTE = "No scheduler has looked at the pod."
NODE_SILENT_NOTE = "Its node no longer answers: the control plane marked the pod not ready."
NODE_REMOVED_NOTE = "Its node was removed from the cluster."


def evicted(sight: PodSight) -> Verdict:
    """Ended by its kubelet for want of a resource, or made to give way (preemption)."""
    pod, target = sight.pod, _disruption(sight.pod)
    reason = pod.status.reason
    if reason in SHUT_DOWN:
        return Quiet.NODE_SHUT_DOWN
    if reason in {EVICTED, PREEMPTED}:
        note, message = (PREEMPTED_NOTE if reason == PREEMPTED else ""), pod.status.message or ""
        return _once(sight, IncidentKind.EVICTED, _disrupted_at(pod), reason, message, note)
    match target.reason if target is not None else "":
        case "PreemptionByScheduler":
            message = target.message if target else ""
            return _once(sight, IncidentKind.EVICTED, _disrupted_at(pod), "Preempted", message, PREEMPTED_NOTE)
        case "EvictionByEvictionAPI":
            return Quiet.DRAINED
        case "DeletionByTaintManager":
            return Quiet.TAINTED
    return Quiet.HEALTHY


def node_lost(sight: PodSight) -> Verdict:
    """What a pod's own status tells of a node that is gone; the owner is the node, so all its pods are one trouble.

    A node that does not answer cannot write: the control plane marks Ready False without the kubelet's reason, while the containers still read ready.
    """
    pod, target, node = sight.pod, _disruption(sight.pod), sight.pod.spec.node_name
    if not node or (pod.is_finished and pod.status.reason in WANTED):
        return Quiet.HEALTHY
    ready = pod.status.condition("Ready")
    if target is not None and target.reason == "DeletionByPodGC":
        seen_time, note = moment(target.last_transition_time), NODE_REMOVED_NOTE
    elif pod.status.reason == NODE_LOST or (ready is not None and _is_marked_by_control_plane(pod, ready)):
        seen_time, note = (moment(ready.last_transition_time) if ready else None), NODE_SILENT_NOTE
    else:
        return Quiet.HEALTHY
    message = pod.status.message or (target.message if target else "")
    if seen_time is None:
        seen_time = _disrupted_at(pod)
    owner = Owner(NODE_OWNER, node)
    kind = IncidentKind.NODE_LOST
    return pod_finding(sight, kind, seen_time=seen_time, reason=NODE_LOST, message=message, note=note, owner=owner)


def unschedulable(sight: PodSight) -> Verdict:
    """No node takes the pod, for longer than the policy allows; or the chosen one turned it away."""
    pod = sight.pod
    if _was_turned_away(pod):
        created = moment(pod.metadata.creation_timestamp)
        reason, message = pod.status.reason or "", pod.status.message or ""
        return _once(sight, IncidentKind.UNSCHEDULABLE, created, reason, message, REFUSED_NOTE)
    if (quiet := gone_quiet(pod)) is not None:
        return quiet
    if pod.spec.node_name:
        return Quiet.HEALTHY
    scheduled = pod.status.condition("PodScheduled")
    if scheduled is not None and scheduled.reason == "SchedulingGated":
        return Quiet.GATED
    since = moment(scheduled.last_transition_time) if scheduled else None
    since = since or moment(pod.metadata.creation_timestamp)
    if (later := _not_yet(sight, IncidentKind.UNSCHEDULABLE, since)) is not None:
        return later
    reason = (scheduled.reason if scheduled else "") or "Unschedulable"
    message, note = (scheduled.message, "") if scheduled else ("", NO_SCHEDULER_NOTE)
    return pod_finding(sight, IncidentKind.UNSCHEDULABLE, seen_time=since, reason=reason, message=message, note=note)


def reported_subprocess(sight: PodSight) -> Verdict:
    """A condition of the pod that the policy names: a supervisor within it tells so of a process that died."""
    if not sight.rules.pod_conditions:
        return Quiet.HEALTHY
    if (quiet := gone_quiet(sight.pod)) is not None:
        return quiet
    for type_, status in sight.rules.pod_conditions:
        found = sight.pod.status.condition(type_)
        if found is not None and found.status == status:
            return pod_finding(
                sight,
                IncidentKind.SUBPROCESS_CRASHED,
                seen_time=moment(found.last_transition_time),
                reason=found.reason or found.type,
                message=found.message,
                note=f"The pod's condition {found.type} is {found.status}.",
            )
    return Quiet.HEALTHY


def not_ready(sight: PodSight) -> Verdict:
    """Not ready for longer than the policy allows, and no other kind tells why."""
    pod = sight.pod
    if (quiet := gone_quiet(pod)) is not None:
        return quiet
    if not pod.spec.node_name:
        return Quiet.ANOTHER_KIND
    ready = pod.status.condition("Ready")
    if ready is None and pod.status.phase != "Pending":
        return Quiet.HEALTHY
    if (quiet := _why_another(sight, ready)) is not None:
        return quiet
    since = moment(ready.last_transition_time) if ready else None
    since = since or moment(pod.metadata.creation_timestamp)
    if (later := _not_yet(sight, IncidentKind.NOT_READY, since)) is not None:
        return later
    return pod_finding(
        sight,
        IncidentKind.NOT_READY,
        seen_time=since,
        reason=(ready.reason if ready else "") or "NotReady",
        message=ready.message if ready else "",
        note=_unready_note(pod),
    )


def _why_another(sight: PodSight, ready: PodCondition | None) -> Quiet | None:
    """Why this is no NotReady: a container waits for what another kind tells, has done its work, or is none of the policy's."""
    pod = sight.pod
    if ready is not None and (ready.reason == "PodCompleted" or _is_marked_by_control_plane(pod, ready)):
        return Quiet.ANOTHER_KIND if ready.reason != "PodCompleted" else Quiet.PARTLY_FINISHED
    init, plain = pod.status.init_container_statuses, pod.status.container_statuses
    if any(_is_held(one) for one in (*init, *plain)) or any(one.ended and not _is_through(pod, one) for one in plain):
        return Quiet.ANOTHER_KIND
    if any(_is_through(pod, status) for status in pod.status.container_statuses):
        return Quiet.PARTLY_FINISHED
    unready = _unready(pod)
    if unready and not any(sight.rules.takes(name) for name in unready):
        return Quiet.CONTAINER_NOT_SELECTED
    return None


def _is_held(status: ContainerStatus) -> bool:
    """Whether it waits for what another kind tells, or failed and is about to be started again."""
    return status.waiting_reason not in STARTING or (status.ended is not None and status.ended.exit_code != 0)


def _is_through(pod: Pod, status: ContainerStatus) -> bool:
    """Whether the container ended and will not be started again."""
    end = status.ended
    if end is None:
        return False
    return pod.spec.restart_policy == "Never" or (pod.spec.restart_policy == "OnFailure" and end.exit_code == 0)


def _unready(pod: Pod) -> tuple[str, ...]:
    """The containers for which the pod waits: an init container that is not done, else those that are not ready."""
    for status in pod.status.init_container_statuses:
        is_done = status.ended is not None and status.ended.exit_code == 0
        if not (is_done or (is_sidecar(pod, status.name) and status.ready)):
            return (status.name,)
    return tuple(status.name for status in pod.status.container_statuses if not status.ready)


def _unready_note(pod: Pod) -> str:
    names = _unready(pod)
    return f"Not ready: {', '.join(names)}." if names else ""


def _is_marked_by_control_plane(pod: Pod, ready: PodCondition) -> bool:
    """The kubelet gives Ready False a reason, always; and it would not call the containers ready."""
    statuses = pod.status.container_statuses
    return ready.status != "True" and not ready.reason and bool(statuses) and all(one.ready for one in statuses)


def _was_turned_away(pod: Pod) -> bool:
    """Failed with a reason of the kubelet's admission (OutOfcpu, UnexpectedAdmissionError, …) before anything ran."""
    status = pod.status
    if status.phase != "Failed" or not status.reason or status.reason in WANTED | {EVICTED, PREEMPTED, NODE_LOST}:
        return False
    return not any(one.ended is not None or one.ended_before is not None for one in status.container_statuses)


def _once(
    sight: PodSight, kind: IncidentKind, seen_time: datetime | None, reason: str, message: str, note: str
) -> Verdict:
    """A thing that happens to a pod once and stays in its status: news if the last look did not have it and it is not from before our time."""
    old, since = sight.old_pod, sight.rules.news_since
    if old is not None and (old.status.reason, _disruption_reason(old)) == (
        sight.pod.status.reason,
        _disruption_reason(sight.pod),
    ):
        return Quiet.SEEN_BEFORE
    if old is None and since is not None and seen_time is not None and seen_time < since:
        return Quiet.BASELINE
    return pod_finding(sight, kind, seen_time=seen_time, reason=reason, message=message, note=note, is_standing=False)


def _not_yet(sight: PodSight, kind: IncidentKind, since: datetime | None) -> Later | None:
    if since is None:
        return Later(kind, sight.rules.not_ready_s)
    left_s = sight.rules.not_ready_s - (sight.now - since).total_seconds()
    return Later(kind, left_s) if left_s > 0 else None


def _disruption(pod: Pod) -> PodCondition | None:
    target = pod.status.condition(DISRUPTION)
    return target if target is not None and target.status == "True" else None


def _disruption_reason(pod: Pod) -> str:
    target = _disruption(pod)
    return target.reason if target else ""


def _disrupted_at(pod: Pod) -> datetime | None:
    """When the pod was ended as a whole, as near as its status tells."""
    target, ready = _disruption(pod), pod.status.condition("Ready")
    for condition in (target, ready):
        if condition is not None and (time := moment(condition.last_transition_time)) is not None:
            return time
    ends = (status.ended for status in pod.status.container_statuses)
    times = [time for end in ends if end is not None and (time := moment(end.finished_at)) is not None]
    return max(times) if times else moment(pod.metadata.creation_timestamp)
