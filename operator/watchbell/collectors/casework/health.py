"""Is it really better (pure): an incident, and its pods, workload or node as they are now → failing, ready, replaced, gone, or not known.

Before: `reconcile` gathers a `View`. After: `decisions` holds this against time. That a failed pod was replaced proves nothing: its successors
must be ready. And a picture that may be stale, or a question that nobody can answer, is never proof of health.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from watchbell.api.times import moment
from watchbell.collectors.casework.incidents import Affected, Family, Incident
from watchbell.collectors.faults.crash import is_healthy
from watchbell.collectors.seen.pod import BARE, Pod, status_of


class Standing(StrEnum):
    """How the trouble stands. REPLACED: every pod that failed is gone, and its successors, or those that ran all along, are ready.

    UNKNOWN is no proof of anything.
    """

    FAILING = "Failing"
    READY = "Ready"
    REPLACED = "Replaced"
    GONE = "Gone"
    UNKNOWN = "Unknown"


WELL = frozenset({Standing.READY, Standing.REPLACED, Standing.GONE})


@dataclass(frozen=True, slots=True)
class Health:
    """How the trouble stands, and how many pods of it are failing now."""

    standing: Standing
    failing: int = 0


def _no_node(_name: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class View:
    """All that can be seen of an incident's workload now.

    `pods` are all pods of its owner that the policy sees, `are_fresh` whether they are what the API server has. `rollout`, `node` and `drift`
    say how the roll-out, the node (of a NodeLost) and the comparison with the baseline stand; what nobody asked or could tell is UNKNOWN.
    `conditions` are (type, status) pairs by which a supervisor in a pod reports that something is wrong. `is_lost`: whether a node is, whose
    pods look as they did when it was last heard of. `is_given_up`: the workload itself says that it failed for good, as a Job does.
    """

    pods: tuple[Pod, ...] = ()
    are_fresh: bool = True
    rollout: Standing = Standing.UNKNOWN
    node: Standing = Standing.UNKNOWN
    drift: Standing = Standing.UNKNOWN
    conditions: tuple[tuple[str, str], ...] = ()
    is_lost: Callable[[str], bool] = _no_node
    is_given_up: bool = False


_STALE = Health(Standing.UNKNOWN)
Judge = Callable[[Pod], bool]
"""Whether a pod is well again, as far as a family is concerned."""


def judge(incident: Incident, view: View, now: datetime) -> Health:
    """How the trouble stands, by what its family calls well."""
    match incident.group.family:
        case Family.NODE:
            return Health(view.node, len(incident.pods) if view.node is Standing.FAILING else 0)
        case Family.ROLLOUT:
            return Health(view.rollout)
        case Family.DRIFT:
            return Health(view.drift, len(incident.pods) if view.drift is Standing.FAILING else 0)
    if view.is_given_up:
        return Health(Standing.FAILING, 1)
    return _of_pods(incident, view, now) if view.are_fresh else _STALE


def assess(incident: Incident, pods: Iterable[Pod], now: datetime) -> Health:
    """The same for an incident about pods, given all pods of its owner that the policy sees and nothing else."""
    return _of_pods(incident, View(tuple(pods)), now)


def _of_pods(incident: Incident, view: View, now: datetime) -> Health:
    """Judged are the pods that failed, and those made after the incident began (their successors).

    Older pods that never failed say only that the workload runs, once all the others are gone.
    """
    is_well = _judge_of(incident, now, view.conditions)
    failing, present, successors = 0, 0, 0
    older: list[Pod] = []
    for pod in view.pods:
        if _has_left(incident, pod):
            continue
        was_hit = _was_hit(incident, pod)
        is_successor = not was_hit and _is_after(pod, incident.start_time) and _has(pod, incident.group.container)
        if not (was_hit or is_successor):
            older += [pod] if _has(pod, incident.group.container) else []
            continue
        present, successors = present + was_hit, successors + is_successor
        failing += not is_well(pod) or view.is_lost(pod.spec.node_name)
    if failing:
        return Health(Standing.FAILING, failing)
    if present:
        return Health(Standing.READY)
    runs_on = bool(older) and all(is_well(pod) and not view.is_lost(pod.spec.node_name) for pod in older)
    return Health(Standing.REPLACED if successors or runs_on else Standing.GONE)


def _judge_of(incident: Incident, now: datetime, conditions: tuple[tuple[str, str], ...]) -> Judge:
    container = incident.group.container
    by_family: Mapping[Family, Judge] = {
        Family.SCHEDULING: lambda pod: bool(pod.spec.node_name) and not pod.is_finished,
        Family.READINESS: is_ready,
        Family.EVICTION: is_ready,
    }
    if container:
        return by_family.get(incident.group.family, lambda pod: is_healthy(pod, container, now))
    return by_family.get(incident.group.family, lambda pod: is_ready(pod) and not _reports(pod, conditions))


def is_ready(pod: Pod) -> bool:
    """Whether the pod as a whole is ready: its condition does not deny it, and all its containers are."""
    return pod.status.is_ready and not pod.is_finished and not pod.is_being_deleted


def _reports(pod: Pod, conditions: tuple[tuple[str, str], ...]) -> bool:
    return any((item.type, item.status) in conditions for item in pod.status.conditions)


def _has_left(incident: Incident, pod: Pod) -> bool:
    """Whether it is no part of its workload any more.

    A pod that was ended as a whole (evicted, its node shut down) stays for days as Failed beside the one that its controller made for it; a bare pod
    that failed has nobody who makes another.
    """
    if pod.is_being_deleted or pod.status.phase == "Succeeded":
        return True
    return pod.is_finished and incident.group.owner.kind != BARE


def _was_hit(incident: Incident, pod: Pod) -> bool:
    entry: Affected | None = incident.affected.get(pod.metadata.name)
    return entry is not None and entry.uid in {"", pod.metadata.uid}


def _is_after(pod: Pod, time: datetime) -> bool:
    created = moment(pod.metadata.creation_timestamp)
    return created is not None and created >= time


def _has(pod: Pod, container: str) -> bool:
    """Whether the pod has this container at all; before the kubelet's first word its spec says so."""
    if not container or status_of(pod, container) is not None:
        return True
    return pod.spec.shape.find(container) is not None
