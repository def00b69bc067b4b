"""Crash detection (pure): what was seen of a pod before, what is seen now, the policy's rules → findings.

Before: `watch` hands over each change of a pod. After: `incidents` folds findings into incidents, so it does no harm to find the same thing
twice; what may never happen is to miss one. A crash between two events is still seen, since the kubelet keeps the last end of a container
(`lastState.terminated`). Knows no time but what it is told, and nobody's routes. The detectors are in `ends`, `waits`, `bursts` and `podwide`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.bursts import restart_burst
from watchbell.collectors.faults.ends import doubtful_end, earlier_end, present_end
from watchbell.collectors.faults.podwide import evicted, node_lost, not_ready, reported_subprocess, unschedulable
from watchbell.collectors.faults.restarts import Restarts
from watchbell.collectors.faults.sight import Later, PodSight, Quiet, Sight, Verdict
from watchbell.collectors.faults.signs import is_healthy
from watchbell.collectors.faults.waits import config_failed, crash_loop, image_pull_failed
from watchbell.collectors.findings import Finding, Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import OUT_OF_MEMORY, ContainerStatus, Pod

__all__ = ["Quiet", "Sight", "detect", "is_healthy", "judge", "judge_pod", "still_wrong"]

CONTAINER_DETECTORS: tuple[Callable[[Sight], Verdict], ...] = (
    earlier_end,
    present_end,
    crash_loop,
    image_pull_failed,
    config_failed,
    restart_burst,
)
POD_DETECTORS: tuple[Callable[[PodSight], Verdict], ...] = (
    evicted,
    node_lost,
    unschedulable,
    reported_subprocess,
    not_ready,
)
_SAYS_NOTHING = frozenset({Quiet.NOTHING_ENDED, Quiet.HEALTHY, Quiet.FEW_RESTARTS})
_GIVES_WAY = _SAYS_NOTHING | {Quiet.STARTING}
"""Reasons that give way to what another detector has to say."""


def detect(old: Pod | None, new: Pod, rules: CrashRules, now: datetime, tally: Restarts | None = None) -> Look:
    """What is wrong in `new` and was not told by `old`; at most one finding for each container and kind, in the order of time.

    `old` None means: never seen before, so ends before `rules.news_since` are baseline. What stands now (a crash loop, an image that cannot be
    had) is news at any age; whether it was told already, the open incidents know. `tally` remembers restarts over more than two looks.
    """
    if old is not None and old.metadata.uid != new.metadata.uid:
        old = None  # a StatefulSet's next pod of the same name
    found: list[Finding] = []
    doubtful: list[Finding] = []
    before: Mapping[str, ContainerStatus] | None = None
    for status, is_init in _statuses(new):
        if _is_plainly_well(status):
            continue  # the usual case, ten thousand times at a start
        if before is None:
            before = {one.name: one for one, _ in _statuses(old)} if old is not None else {}
        sight = Sight(old, new, before.get(status.name), status, is_init, rules, now, tally)
        judged = judge(sight)
        if not isinstance(judged, Quiet):
            found.extend(judged)
        elif judged is Quiet.ENDED_WELL and (doubt := doubtful_end(sight)) is not None and doubt.kind in rules.kinds:
            doubtful.append(doubt)
    if _is_pod_plainly_well(new):
        return Look(tuple(found), None, tuple(doubtful))
    findings, again_in_s = _of_pod(PodSight(old, new, rules, now))
    return Look((*found, *findings), again_in_s, tuple(doubtful))


def judge(sight: Sight) -> tuple[Finding, ...] | Quiet:
    """The findings of one container, or the reason why there are none."""
    if not sight.rules.takes(sight.new.name):
        return Quiet.CONTAINER_NOT_SELECTED
    verdicts = [detector(sight) for detector in CONTAINER_DETECTORS]
    return _settle(verdicts, sight.rules)


def judge_pod(sight: PodSight) -> tuple[Finding, ...] | Quiet:
    """The findings of a pod as a whole, or the reason why there are none."""
    return _settle([detector(sight) for detector in POD_DETECTORS], sight.rules)


def _settle(verdicts: list[Verdict], rules: CrashRules) -> tuple[Finding, ...] | Quiet:
    quiet = Quiet.NOTHING_ENDED
    found: dict[IncidentKind, Finding] = {}
    for verdict in verdicts:
        match verdict:
            case Quiet() | Later():
                reason = Quiet.NOT_YET if isinstance(verdict, Later) else verdict
                quiet = reason if quiet in _GIVES_WAY and reason not in _SAYS_NOTHING else quiet
            case Finding() if verdict.kind not in rules.kinds:
                quiet = Quiet.KIND_NOT_SELECTED
            case _:
                # Of two ends of one kind the later counts, of an init container's end and its being held back the latter, which stands.
                found[verdict.kind] = verdict
    return tuple(found.values()) or quiet


def still_wrong(pod: Pod, kinds: frozenset[IncidentKind], container: str, rules: CrashRules, now: datetime) -> bool:
    """Whether anything of these kinds stands in this pod now, for this container (empty: the pod as a whole)."""
    look = detect(pod, pod, rules, now)
    return any(one.is_standing and one.kind in kinds and one.container == container for one in look.findings)


def _of_pod(sight: PodSight) -> tuple[tuple[Finding, ...], float | None]:
    verdicts = [detector(sight) for detector in POD_DETECTORS]
    found = tuple(one for one in verdicts if isinstance(one, Finding) and one.kind in sight.rules.kinds)
    waits = [one.in_s for one in verdicts if isinstance(one, Later) and one.kind in sight.rules.kinds]
    return found, min(waits, default=None)


def _is_plainly_well(status: ContainerStatus) -> bool:
    """It runs and never ended, or it is an init container that did its work at once."""
    state = status.state
    if state is None or status.last_state is not None:
        return False
    if state.running is not None:
        return True
    end = state.terminated
    return end is not None and end.exit_code == 0 and not end.message and end.reason != OUT_OF_MEMORY


def _is_pod_plainly_well(pod: Pod) -> bool:
    status = pod.status
    return not status.conditions and status.reason is None and status.phase in {"Running", "Succeeded"}


def _statuses(pod: Pod) -> tuple[tuple[ContainerStatus, bool], ...]:
    plain = tuple((status, False) for status in pod.status.container_statuses)
    if not pod.status.init_container_statuses:
        return plain
    return plain + tuple((status, True) for status in pod.status.init_container_statuses)
