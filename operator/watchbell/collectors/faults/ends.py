"""Runs that ended (pure): ContainerError, OOMKilled, InitContainerFailed, SubprocessCrashed, from what the kubelet says of a container's last ends.

Before: `crash` hands over one container. After: `incidents`. One end gives one finding, under the most telling kind that the policy selects:
what ran out of memory says why, where it happened (init container, beside the main one) comes next, and a plain error is what is left.
"""

import re
from datetime import datetime, timedelta

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.faults.sight import Quiet, Sight, Verdict, container_finding, first_selected
from watchbell.collectors.findings import Finding
from watchbell.collectors.seen.pod import OUT_OF_MEMORY, ContainerStatus, Pod, Terminated, is_sidecar, owner_of, spec_of

UNTOLD_ENDS = frozenset({"ContainerStatusUnknown", "Unknown"})
"""The runtime's words for "I lost track": the node or the runtime restarted, and nobody saw the program fail."""
EVENTS_KEPT = timedelta(hours=1)
"""How long an API server keeps Events (--event-ttl)."""
KILLED, TERMINATED = 137, 143
"""Exit codes of SIGKILL and SIGTERM (128 + signal)."""
PROBE_NOTE = "Nobody deleted the pod and a signal from outside ended it: most often that is the kubelet after a failed liveness or startup probe."
PROBE_DOUBT = (
    "The kubelet ended it because its liveness or startup probe failed; it then stopped in order, with exit 0."
)
KILL_NOTE = (
    "A signal from outside ended it, and not for its own memory limit: a postStart hook that failed, the node's out-of-memory killer, or somebody on "
    "the node."
)
STOP_NOTE = "Something within the pod or on its node asked it to stop (SIGTERM), though nobody deleted the pod."
_DEAD_CHILD = re.compile(
    r"\b(?:sub-?process|child(?:[ -]process)?|worker(?:[ -]process)?|plugin(?:[ -]process)?|extension[ -]process|supervised[ -]process)\b"
    r"[^\n]{0,80}?\b(?:exited|died|crashed|killed|terminated|exit (?:status|code)|aborted|signal)\b",
    re.IGNORECASE,
)


def earlier_end(sight: Sight) -> Verdict:
    """The end before the present run: a crash that came and went between two looks, or that an older look told already."""
    return _judged(sight, sight.new.ended_before)


def present_end(sight: Sight) -> Verdict:
    """The end of the present run."""
    return _judged(sight, sight.new.ended)


def _judged(sight: Sight, end: Terminated | None) -> Verdict:
    if end is None:
        return Quiet.NOTHING_ENDED
    quiet = _why_quiet(sight, end)
    return quiet if quiet is not None else container_finding(sight, _kind(sight, end), end, note=_note(sight, end))


def doubtful_end(sight: Sight) -> Finding | None:
    """An end with exit code 0 of a container that should run and has a probe: a collector that the kubelet stops for a failed probe ends so too.

    Only an Event tells the two apart.
    """
    end = sight.new.ended_before or sight.new.ended
    if end is None or end.exit_code != 0 or end.reason == OUT_OF_MEMORY or _why_no_news(sight, end) is not None:
        return None
    spec = spec_of(sight.pod, sight.new.name)
    should_run = is_sidecar(sight.pod, sight.new.name) if sight.is_init else sight.pod.spec.restart_policy == "Always"
    if spec is None or not spec.is_probed or not should_run or _is_forgotten(end, sight.now):
        return None
    return container_finding(sight, _kind(sight, end), end, note=PROBE_DOUBT)


def _is_forgotten(end: Terminated, now: datetime) -> bool:
    """Whether the Events of that time are gone."""
    time = moment(end.finished_at)
    return time is not None and now - time > EVENTS_KEPT


def failed_to_start(end: Terminated) -> bool:
    """Whether the runtime could not even start it (containerd, dockershim); the waiting reason then says the same once more."""
    return end.reason in {"StartError", "ContainerCannotRun"}


def _kind(sight: Sight, end: Terminated) -> IncidentKind:
    if end.reason == OUT_OF_MEMORY:
        return IncidentKind.OOM_KILLED
    where = []
    if sight.is_init:
        where.append(IncidentKind.INIT_CONTAINER_FAILED)
    elif sight.is_beside_running_main or names_dead_child(end.message):
        where.append(IncidentKind.SUBPROCESS_CRASHED)
    return first_selected(sight.rules, *where, IncidentKind.CONTAINER_ERROR)


def names_dead_child(message: str | None) -> bool:
    """Whether a termination message tells of a process within the container that died."""
    return bool(message) and _DEAD_CHILD.search(message or "") is not None


def _note(sight: Sight, end: Terminated) -> str:
    if end.reason != OUT_OF_MEMORY and end.exit_code in {KILLED, TERMINATED}:
        spec = spec_of(sight.pod, sight.new.name)
        if spec is not None and spec.is_probed:
            return PROBE_NOTE
        return KILL_NOTE if end.exit_code == KILLED else STOP_NOTE
    if sight.is_beside_running_main:
        return "It died while the pod's main container runs on."
    return "Its termination message names a process within it that died." if names_dead_child(end.message) else ""


def _why_quiet(sight: Sight, end: Terminated) -> Quiet | None:
    if end.exit_code == 0 and end.reason != OUT_OF_MEMORY and not names_dead_child(end.message):
        return Quiet.ENDED_WELL
    return _why_no_news(sight, end)


def _why_no_news(sight: Sight, end: Terminated) -> Quiet | None:
    if end.reason in UNTOLD_ENDS:
        return Quiet.END_NOT_TOLD
    if _is_seen_before(sight.old, end):
        return Quiet.SEEN_BEFORE
    time = moment(end.finished_at)
    if _is_wanted_end(sight.pod, time):
        return Quiet.BEING_DELETED
    if _ended_with_its_pod(sight.pod):
        return Quiet.POD_FINISHED
    if _is_disrupted(sight.pod, time):
        return Quiet.DISRUPTED
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

    The kubelet gives the reason first and the final phase only when all containers have ended. A bare pod that may not restart and failed is a crash
    all the same.
    """
    if pod.status.reason:
        return True
    return pod.is_finished and (pod.status.phase == "Succeeded" or owner_of(pod).kind == "Job")


def _is_disrupted(pod: Pod, time: datetime | None) -> bool:
    """Whether the end came after the control plane or the kubelet chose the pod to go (core/v1 DisruptionTarget)."""
    target = pod.status.condition("DisruptionTarget")
    chosen = moment(target.last_transition_time) if target is not None and target.status == "True" else None
    return chosen is not None and (time is None or time >= chosen)
