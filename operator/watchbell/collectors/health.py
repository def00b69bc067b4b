"""Is it really better (pure): an incident and the pods of its workload as they are now → failing, ready or gone.

Before: `watch` gives the pods. After: `decisions` holds this against time. That a failed pod was replaced proves nothing: its successors
must be ready.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from watchbell.api.times import moment
from watchbell.collectors.crash import is_healthy
from watchbell.collectors.incidents import Affected, Incident
from watchbell.collectors.pod import BARE, Pod, status_of


class Standing(StrEnum):
    """How the workload stands. REPLACED: every pod that failed is gone, and its successors are ready."""

    FAILING = "Failing"
    READY = "Ready"
    REPLACED = "Replaced"
    GONE = "Gone"


@dataclass(frozen=True, slots=True)
class Health:
    """How the workload stands, and how many of its pods are failing now."""

    standing: Standing
    failing: int = 0


def assess(incident: Incident, pods: Iterable[Pod], now: datetime) -> Health:
    """How the workload of `incident` stands, given all pods of its owner that the policy sees.

    Judged are the pods that failed, and those made after the incident began (their successors); older pods that never failed say nothing.
    """
    failing, present, successors = 0, 0, 0
    for pod in pods:
        if _has_left(incident, pod):
            continue
        was_hit = _was_hit(incident, pod)
        is_successor = not was_hit and _is_after(pod, incident.start_time) and _has(pod, incident.group.container)
        if not (was_hit or is_successor):
            continue
        present, successors = present + was_hit, successors + is_successor
        failing += not is_healthy(pod, incident.group.container, now)
    if failing:
        return Health(Standing.FAILING, failing)
    if present:
        return Health(Standing.READY)
    return Health(Standing.REPLACED if successors else Standing.GONE)


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
    if status_of(pod, container) is not None:
        return True
    return any(item.name == container for item in (*pod.spec.containers, *pod.spec.init_containers))
