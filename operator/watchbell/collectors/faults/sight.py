"""What a detector looks at, and what it may answer (pure).

Before: `crash` takes a pod apart. After: the detectors in `ends`, `waits`, `restarts` and `podwide` each answer with a finding, with the named reason
for saying nothing, or with "not yet". Knows no policy but its rules.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.faults.restarts import Restarts
from watchbell.collectors.findings import Finding
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import (
    ContainerStatus,
    Owner,
    Pod,
    Terminated,
    main_container,
    memory_limit,
    owner_of,
)


class Quiet(StrEnum):
    """Why a container or a pod is no news: the named reasons for saying nothing."""

    NOTHING_ENDED = "NothingEnded"
    CONTAINER_NOT_SELECTED = "ContainerNotSelected"
    KIND_NOT_SELECTED = "KindNotSelected"
    ENDED_WELL = "EndedWell"
    SEEN_BEFORE = "SeenBefore"
    BASELINE = "Baseline"
    BEING_DELETED = "BeingDeleted"
    POD_FINISHED = "PodFinished"
    END_NOT_TOLD = "EndNotTold"
    TOLD_BY_ITS_END = "ToldByItsEnd"
    STARTING = "Starting"
    FEW_RESTARTS = "FewRestarts"
    DISRUPTED = "Disrupted"
    DRAINED = "Drained"
    NODE_SHUT_DOWN = "NodeShutDown"
    TAINTED = "Tainted"
    GATED = "Gated"
    HEALTHY = "Healthy"
    NOT_YET = "NotYet"
    ANOTHER_KIND = "AnotherKind"
    PARTLY_FINISHED = "PartlyFinished"


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing yet; if it stays as it is, there is something to say in so many seconds."""

    kind: IncidentKind
    in_s: float


Verdict: TypeAlias = Finding | Quiet | Later


@dataclass(frozen=True, slots=True)
class Sight:
    """One container, as it was at the last look and as it is now."""

    old_pod: Pod | None
    pod: Pod
    old: ContainerStatus | None
    new: ContainerStatus
    is_init: bool
    rules: CrashRules
    now: datetime
    tally: Restarts | None = None

    @property
    def is_beside_running_main(self) -> bool:
        """Whether it is not what the pod is there for, and that one runs on."""
        main = main_container(self.pod)
        if self.is_init or not main or self.new.name == main:
            return False
        return any(
            status.name == main and status.state is not None and status.state.running is not None
            for status in self.pod.status.container_statuses
        )


@dataclass(frozen=True, slots=True)
class PodSight:
    """One pod as a whole, as it was at the last look and as it is now."""

    old_pod: Pod | None
    pod: Pod
    rules: CrashRules
    now: datetime


def gone_quiet(pod: Pod) -> Quiet | None:
    """Why nothing that stands in this pod matters any more."""
    if pod.is_being_deleted:
        return Quiet.BEING_DELETED
    return Quiet.POD_FINISHED if pod.is_finished else None


def first_selected(rules: CrashRules, *kinds: IncidentKind) -> IncidentKind:
    """The first of the kinds, the most telling one before, that the policy selects; the first of all when it selects none."""
    for kind in kinds:
        if kind in rules.kinds:
            return kind
    return kinds[0]


def container_finding(  # noqa: PLR0913 - what a finding adds to its sight, each of its own kind, by name
    sight: Sight,
    kind: IncidentKind,
    end: Terminated | None,
    *,
    seen_time: datetime | None = None,
    is_standing: bool = False,
    reason: str = "",
    message: str = "",
    note: str = "",
) -> Finding:
    """What is wrong with one container; `end` is the run that it is about."""
    status, pod = sight.new, sight.pod
    return Finding(
        kind=kind,
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        owner=owner_of(pod),
        node=pod.spec.node_name,
        container=status.name,
        is_init=sight.is_init,
        restarts=status.restart_count,
        seen_time=seen_time or (moment(end.finished_at) if end else None) or sight.now,
        is_standing=is_standing,
        is_live=sight.old_pod is not None,
        exit_code=end.exit_code if end else None,
        signal=end.signal if end else None,
        reason=reason or ((end.reason or "") if end else ""),
        message=message or ((end.message or "") if end else ""),
        image=status.image,
        image_id=status.image_id,
        memory_limit=memory_limit(pod, status.name),
        end_id=(end.container_id or "") if end else "",
        note=note,
    )


def pod_finding(  # noqa: PLR0913 - what a finding adds to its sight, each of its own kind, by name
    sight: PodSight,
    kind: IncidentKind,
    *,
    seen_time: datetime | None,
    reason: str,
    message: str = "",
    note: str = "",
    owner: Owner | None = None,
    is_standing: bool = True,
) -> Finding:
    """What is wrong with a pod as a whole. Its image is that of the container that it is there for."""
    pod = sight.pod
    main = pod.spec.shape.find(main_container(pod))
    return Finding(
        kind=kind,
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        owner=owner or owner_of(pod),
        node=pod.spec.node_name,
        container="",
        is_init=False,
        restarts=max((status.restart_count for status in pod.status.container_statuses), default=0),
        seen_time=seen_time or sight.now,
        is_standing=is_standing,
        is_live=sight.old_pod is not None,
        reason=reason,
        message=message,
        image=main.image if main else "",
        note=note,
    )
