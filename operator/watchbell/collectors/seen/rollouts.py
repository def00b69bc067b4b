"""Roll-outs (pure): does a workload's revision move, is it held on purpose, is it stuck; and Jobs that failed for good.

Before: `workloads` gives the object. After: `drift` says nothing while a revision moves, `incidents` hears of what is stuck. Counts of ready pods
alone are no movement: a pod that crashes long after its roll-out leaves it settled.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.findings import Finding, Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import OUT_OF_MEMORY, ContainerStatus, Owner, Pod, PodCondition, memory_limit
from watchbell.collectors.seen.workload import DaemonSet, Deployment, Job, ReplicaSet, StatefulSet, Workload

ON_DELETE = "OnDelete"
COMPLETE = "NewReplicaSetAvailable"
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
STUCK_AFTER_S = 600.0
"""How long a StatefulSet or DaemonSet may move; Deployments bring their own deadline, whose default this is."""


class RolloutState(StrEnum):
    """PAUSED: held on purpose (paused, suspended, OnDelete, a partition)."""

    SETTLED = "Settled"
    MOVING = "Moving"
    PAUSED = "Paused"
    STUCK = "Stuck"


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a roll-out stands; `detail` says it in words, `since` as far as the object tells."""

    state: RolloutState
    detail: str = ""
    since: datetime | None = None


def rollout_state(workload: Workload) -> Rollout:
    """How the roll-out of a workload's template stands."""
    if workload.spec.paused or workload.spec.suspend:
        return Rollout(RolloutState.PAUSED, "paused" if workload.spec.paused else "suspended")
    if workload.status.observed_generation < workload.metadata.generation:
        return Rollout(RolloutState.MOVING, "its controller has not looked at the last change yet")
    match workload.kind:
        case Deployment.kind:
            return _deployment(workload)
        case StatefulSet.kind:
            return _stateful_set(workload)
        case DaemonSet.kind:
            return _daemon_set(workload)
        case ReplicaSet.kind:
            return _refused(workload) or Rollout(RolloutState.SETTLED)
        case _:
            return Rollout(RolloutState.SETTLED)


def _deployment(workload: Workload) -> Rollout:
    status, progressing = workload.status, workload.status.condition("Progressing")
    if progressing is not None and progressing.reason == DEADLINE_EXCEEDED:
        return Rollout(RolloutState.STUCK, progressing.message, moment(progressing.last_transition_time))
    if (refused := _refused(workload)) is not None:
        return refused
    if status.updated_replicas < workload.replicas:
        return Rollout(RolloutState.MOVING, f"{status.updated_replicas} of {workload.replicas} pods are new")
    if status.replicas > status.updated_replicas:
        return Rollout(RolloutState.MOVING, f"{status.replicas - status.updated_replicas} old pods are still there")
    is_complete = progressing is None or progressing.reason == COMPLETE
    if not is_complete and status.available_replicas < status.updated_replicas:
        text = f"{status.available_replicas} of {status.updated_replicas} new pods are available"
        return Rollout(RolloutState.MOVING, text)
    return Rollout(RolloutState.SETTLED)


def _refused(workload: Workload) -> Rollout | None:
    """The API server does not take its pods (a quota, an admission webhook)."""
    failure = workload.status.condition("ReplicaFailure")
    if failure is None or failure.status != "True":
        return None
    return Rollout(RolloutState.STUCK, failure.message, moment(failure.last_transition_time))


def _stateful_set(workload: Workload) -> Rollout:
    status, strategy = workload.status, workload.spec.update_strategy
    if not status.update_revision or status.current_revision == status.update_revision:
        return Rollout(RolloutState.SETTLED)
    if strategy is not None and strategy.type == ON_DELETE:
        return Rollout(RolloutState.PAUSED, "pods take the new template when somebody deletes them (OnDelete)")
    partition = strategy.rolling_update.partition if strategy and strategy.rolling_update else 0
    wanted = max(0, workload.replicas - partition)
    if status.updated_replicas < wanted:
        return Rollout(RolloutState.MOVING, f"{status.updated_replicas} of {wanted} pods are new")
    return Rollout(RolloutState.PAUSED, f"pods below ordinal {partition} keep the old template (partition)")


def _daemon_set(workload: Workload) -> Rollout:
    status, strategy = workload.status, workload.spec.update_strategy
    if status.updated_number_scheduled >= status.current_number_scheduled:
        return Rollout(RolloutState.SETTLED)
    if strategy is not None and strategy.type == ON_DELETE:
        return Rollout(RolloutState.PAUSED, "pods take the new template when somebody deletes them (OnDelete)")
    text = f"{status.updated_number_scheduled} of {status.desired_number_scheduled} nodes have the new template"
    return Rollout(RolloutState.MOVING, text)


def stuck(workload: Workload, rules: CrashRules, now: datetime, moving_since: datetime | None = None) -> Look:
    """RolloutStuck: a deadline passed, pods are refused, a roll-out moves for too long, or a DaemonSet misses nodes.

    `moving_since` is when somebody first saw it move: StatefulSets and DaemonSets say nothing of time themselves.
    """
    if IncidentKind.ROLLOUT_STUCK not in rules.kinds or workload.metadata.deletion_timestamp is not None:
        return Look()
    rollout = rollout_state(workload)
    match rollout.state:
        case RolloutState.STUCK:
            since, patience_s = rollout.since or moving_since or now, _patience_s(rollout, workload, rules)
        case RolloutState.MOVING if workload.kind != Deployment.kind and moving_since is not None:
            since, patience_s = moving_since, STUCK_AFTER_S
        case RolloutState.SETTLED if (missed := _missed_nodes(workload)) and moving_since is not None:
            rollout, since, patience_s = replace(rollout, detail=missed), moving_since, rules.not_ready_s
        case _:
            return Look()
    left_s = (since + timedelta(seconds=patience_s) - now).total_seconds()
    if left_s > 0:
        return Look(again_in_s=left_s)
    return Look((_finding(workload, rollout, since),))


def _patience_s(rollout: Rollout, workload: Workload, rules: CrashRules) -> float:
    """A deadline that passed needs no more time; a refusal may be a quota that somebody raises."""
    progressing = workload.status.condition("Progressing")
    if progressing is not None and progressing.reason == DEADLINE_EXCEEDED:
        return 0.0
    return rules.not_ready_s if rollout.since is not None else 0.0


def misses_nodes(workload: Workload) -> bool:
    """Whether a DaemonSet has fewer pods than nodes that should run one; that those are ready is another matter."""
    return (
        workload.kind == DaemonSet.kind
        and workload.status.current_number_scheduled < workload.status.desired_number_scheduled
    )


def _missed_nodes(workload: Workload) -> str:
    status = workload.status
    if not misses_nodes(workload):
        return ""
    missing = status.desired_number_scheduled - status.current_number_scheduled
    return f"{missing} of {status.desired_number_scheduled} nodes that should run a pod have none"


def _finding(workload: Workload, rollout: Rollout, since: datetime) -> Finding:
    template = workload.spec.template
    containers = template.spec.shape.containers if template is not None else ()
    return Finding(
        kind=IncidentKind.ROLLOUT_STUCK,
        pod="",
        pod_uid="",
        owner=_owner(workload),
        node="",
        container="",
        is_init=False,
        restarts=0,
        seen_time=since,
        is_standing=True,
        reason=_word(workload),
        message=rollout.detail,
        image=containers[0].image if containers else "",
        note=f"{_word(workload)}: {rollout.detail}" if rollout.detail else "",
    )


def _owner(workload: Workload) -> Owner:
    """A ReplicaSet that a Deployment made is not what people know."""
    return workload.controller or workload.owner if workload.kind == ReplicaSet.kind else workload.owner


def _word(workload: Workload) -> str:
    for type_ in ("ReplicaFailure", "Progressing"):
        found = workload.status.condition(type_)
        if found is not None and (found.status == "True") == (type_ == "ReplicaFailure") and found.reason:
            return found.reason
    return "NodesMissed" if misses_nodes(workload) else "RolloutStuck"


# --- Jobs


def failed_job(workload: Workload, pods: Iterable[Pod], rules: CrashRules, now: datetime) -> Look:
    """A Job that gave up, told as the failure of the last of its pods. Each failed try before that is the Job's own business."""
    failed = workload.status.condition("Failed") if workload.kind == Job.kind else None
    if failed is None or failed.status != "True":
        return Look()
    time = moment(failed.last_transition_time) or now
    if rules.news_since is not None and time < rules.news_since:
        return Look()
    finding = _job_finding(workload, failed, _last_failure(pods), time)
    return Look((finding,) if finding.kind in rules.kinds and rules.takes(finding.container) else ())


def _last_failure(pods: Iterable[Pod]) -> tuple[Pod, ContainerStatus] | None:
    """The container that failed last, in whichever pod."""
    failures = [
        (end.finished_at or "", pod.metadata.name, pod, status)
        for pod in pods
        for status in (*pod.status.init_container_statuses, *pod.status.container_statuses)
        if (end := status.ended or status.ended_before) is not None and end.exit_code != 0
    ]
    if not failures:
        return None
    *_, pod, status = max(failures, key=lambda failure: failure[:2])
    return pod, status


def _job_finding(
    workload: Workload, failed: PodCondition, last: tuple[Pod, ContainerStatus] | None, time: datetime
) -> Finding:
    told = Finding(
        kind=IncidentKind.CONTAINER_ERROR,
        pod="",
        pod_uid="",
        owner=workload.owner,
        node="",
        container="",
        is_init=False,
        restarts=0,
        seen_time=time,
        reason=failed.reason or "JobFailed",
        message=failed.message,
        note=f"The Job gave up: {failed.message or failed.reason}",
    )
    if last is None:
        return told
    pod, status = last
    end = status.ended or status.ended_before
    is_oom = end is not None and end.reason == OUT_OF_MEMORY
    return replace(
        told,
        kind=IncidentKind.OOM_KILLED if is_oom else IncidentKind.CONTAINER_ERROR,
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        node=pod.spec.node_name,
        container=status.name,
        restarts=status.restart_count,
        exit_code=end.exit_code if end else None,
        signal=end.signal if end else None,
        reason=(end.reason or "") if end else told.reason,
        message=(end.message or "") if end else told.message,
        image=status.image,
        image_id=status.image_id,
        memory_limit=memory_limit(pod, status.name),
        end_id=(end.container_id or "") if end else "",
    )
