"""Crash detection (pure): what was seen of a pod before, what is seen now, the policy's rules → findings.

Before: `watch` hands over each change of a pod. After: `incidents` folds findings into incidents, so it does no harm to find the same thing
twice; what may never happen is to miss one. A crash between two events is still seen, since the kubelet keeps the last end of a container
(`lastState.terminated`). Knows no time but what it is told, and nobody's routes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.findings import Finding, Look
from watchbell.collectors.pod import ContainerStatus, Pod, Terminated, is_sidecar, memory_limit, owner_of
from watchbell.collectors.rules import CrashRules

CRASH_LOOP = "CrashLoopBackOff"
OUT_OF_MEMORY = "OOMKilled"
UNTOLD_ENDS = frozenset({"ContainerStatusUnknown", "Unknown"})
"""The runtime's words for "I lost track": the node or the runtime restarted, and nobody saw the program fail."""


class Quiet(StrEnum):
    """Why a container is no news: the named reasons for saying nothing."""

    NOTHING_ENDED = "NothingEnded"
    CONTAINER_NOT_SELECTED = "ContainerNotSelected"
    KIND_NOT_SELECTED = "KindNotSelected"
    ENDED_WELL = "EndedWell"
    SEEN_BEFORE = "SeenBefore"
    BASELINE = "Baseline"
    BEING_DELETED = "BeingDeleted"
    POD_FINISHED = "PodFinished"
    END_NOT_TOLD = "EndNotTold"


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

    @property
    def ends(self) -> tuple[Terminated, ...]:
        """The ends that the kubelet tells of, the later one first."""
        return tuple(end for end in (self.new.ended, self.new.ended_before) if end is not None)


def detect(old: Pod | None, new: Pod, rules: CrashRules, now: datetime) -> Look:
    """What is wrong in `new` and was not told by `old`; at most one finding for each container and kind.

    `old` None means: never seen before, so ends before `rules.news_since` are baseline. A crash loop that stands now is news at any age; whether it
    was told already, the open incidents know.
    """
    if old is not None and old.metadata.uid != new.metadata.uid:
        old = None  # a StatefulSet's next pod of the same name
    found: list[Finding] = []
    for status, is_init in _statuses(new):
        if status.state is not None and status.state.running is not None and status.last_state is None:
            continue  # the usual case, ten thousand times at a start
        before = _by_name(old).get(status.name) if old is not None else None
        judged = judge(Sight(old, new, before, status, is_init, rules, now))
        if not isinstance(judged, Quiet):
            found.extend(judged)
    return Look(tuple(found))


def judge(sight: Sight) -> tuple[Finding, ...] | Quiet:
    """The findings of one container, or the reason why there are none."""
    if not sight.rules.takes(sight.new.name):
        return Quiet.CONTAINER_NOT_SELECTED
    quiet = Quiet.NOTHING_ENDED
    found: dict[IncidentKind, Finding] = {}
    for detector in DETECTORS:
        verdict = detector(sight)
        if isinstance(verdict, Quiet):
            quiet = verdict if quiet is Quiet.NOTHING_ENDED else quiet
        elif verdict.kind in sight.rules.kinds:
            found.setdefault(verdict.kind, verdict)
        else:
            quiet = Quiet.KIND_NOT_SELECTED
    return tuple(found.values()) or quiet


def _crashed_end(sight: Sight) -> Finding | Quiet:
    """OOMKilled or ContainerError, from the latest end that is a crash and news. One end gives one finding: out of memory wins."""
    quiet = Quiet.NOTHING_ENDED
    for end in sight.ends:
        reason = _why_quiet(sight, end)
        if reason is None:
            kind = IncidentKind.OOM_KILLED if end.reason == OUT_OF_MEMORY else IncidentKind.CONTAINER_ERROR
            return _finding(sight, kind, end)
        quiet = reason if quiet is Quiet.NOTHING_ENDED else quiet
    return quiet


def _crash_loop(sight: Sight) -> Finding | Quiet:
    """The kubelet holds the container back. Also after exit code 0: what should run does not."""
    if sight.new.waiting_reason != CRASH_LOOP:
        return Quiet.NOTHING_ENDED
    if sight.pod.is_being_deleted:
        return Quiet.BEING_DELETED
    if sight.pod.is_finished:
        return Quiet.POD_FINISHED
    end = sight.new.ended_before
    return _finding(sight, IncidentKind.CRASH_LOOP_BACK_OFF, end, is_standing=True)


DETECTORS: tuple[Callable[[Sight], Finding | Quiet], ...] = (_crashed_end, _crash_loop)


def _why_quiet(sight: Sight, end: Terminated) -> Quiet | None:
    if end.exit_code == 0 and end.reason != OUT_OF_MEMORY:
        return Quiet.ENDED_WELL
    if end.reason in UNTOLD_ENDS:
        return Quiet.END_NOT_TOLD
    if _is_seen_before(sight.old, end):
        return Quiet.SEEN_BEFORE
    time = moment(end.finished_at)
    if _is_wanted_end(sight.pod, time):
        return Quiet.BEING_DELETED
    if _ended_with_its_pod(sight.pod):
        return Quiet.POD_FINISHED
    since = sight.rules.news_since
    if sight.old_pod is None and since is not None and time is not None and time < since:
        return Quiet.BASELINE
    return None


def _is_seen_before(old: ContainerStatus | None, end: Terminated) -> bool:
    return old is not None and any(
        before is not None and before.identity == end.identity for before in (old.ended, old.ended_before)
    )


def _is_wanted_end(pod: Pod, time: datetime | None) -> bool:
    """Whether the end came after somebody asked for the pod's deletion; `deletionTimestamp` lies a grace period after that request."""
    deadline = moment(pod.metadata.deletion_timestamp)
    if deadline is None:
        return False
    asked = deadline - timedelta(seconds=pod.metadata.deletion_grace_period_seconds or 0)
    return time is None or time >= asked


def _ended_with_its_pod(pod: Pod) -> bool:
    """A Job's pod that is through, a pod that succeeded, or one that was ended as a whole (eviction, shutdown of its node).

    A bare pod that may not restart and failed is a crash all the same.
    """
    if not pod.is_finished:
        return False
    return pod.status.phase == "Succeeded" or bool(pod.status.reason) or owner_of(pod).kind == "Job"


def _finding(sight: Sight, kind: IncidentKind, end: Terminated | None, *, is_standing: bool = False) -> Finding:
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
        seen_time=(moment(end.finished_at) if end else None) or sight.now,
        is_standing=is_standing,
        is_live=sight.old_pod is not None,
        exit_code=end.exit_code if end else None,
        signal=end.signal if end else None,
        reason=(end.reason or "") if end else "",
        message=(end.message or "") if end else "",
        image=status.image,
        image_id=status.image_id,
        memory_limit=memory_limit(pod, status.name),
        end_id=(end.container_id or "") if end else "",
    )


def _statuses(pod: Pod) -> tuple[tuple[ContainerStatus, bool], ...]:
    plain = tuple((status, False) for status in pod.status.container_statuses)
    if not pod.status.init_container_statuses:
        return plain
    return plain + tuple((status, True) for status in pod.status.init_container_statuses)


def _by_name(pod: Pod) -> Mapping[str, ContainerStatus]:
    return {status.name: status for status, _ in _statuses(pod)}


def is_healthy(pod: Pod, container: str, since: datetime) -> bool:
    """Whether the container is ready and has run without a restart since `since`; an init container that did its work counts as ready."""
    if pod.is_finished or pod.is_being_deleted:
        return False
    for status, is_init in _statuses(pod):
        if status.name != container:
            continue
        if is_init and not is_sidecar(pod, container):
            return status.ended is not None and status.ended.exit_code == 0
        started = moment(status.state.running.started_at) if status.state and status.state.running else None
        return status.ready and started is not None and started <= since
    return False
