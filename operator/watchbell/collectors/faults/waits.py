"""Containers that should run and do not (pure): CrashLoopBackOff, ImagePullFailed, ContainerConfigError, from why the kubelet says a container waits.

Before: `crash` hands over one container. After: `incidents`. All of them stand: each look finds them again, with the same time and text, as long as
it is so. The kubelet's words: pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go, pkg/kubelet/kuberuntime/kuberuntime_container.go.
"""

import re
from datetime import datetime

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.faults.ends import failed_to_start
from watchbell.collectors.faults.sight import Quiet, Sight, Verdict, container_finding, first_selected, gone_quiet
from watchbell.collectors.seen.pod import ContainerStatus, Pod

CRASH_LOOP = "CrashLoopBackOff"
PULL_BACK_OFF = "ImagePullBackOff"
STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""What a container waits for on its normal way."""
PULL_FAILURES = frozenset(
    {
        PULL_BACK_OFF,
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "ImageVolumeMountFailed",
    }
)
CONFIG_FAILURES = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "PreCreateHookError",
        "PreStartHookError",
        "PostStartHookError",
        "RunContainerError",
        "CreatePodSandboxError",
        "ConfigPodSandboxError",
        "VerifyNonRootError",
    }
)
_AFTER_START = frozenset({"RunContainerError", "PostStartHookError"})
"""The runtime was asked to start it, so there is an end that tells the same trouble."""
_PULL_PREFIX = re.compile(r"\ABack-off pulling image \"[^\"]{0,1024}\": (?:ErrImagePull|RegistryUnavailable): ")


def crash_loop(sight: Sight) -> Verdict:
    """The kubelet holds the container back. Also after exit code 0: what should run does not."""
    if sight.new.waiting_reason != CRASH_LOOP:
        return Quiet.NOTHING_ENDED
    if (quiet := gone_quiet(sight.pod)) is not None:
        return quiet
    kinds = [IncidentKind.INIT_CONTAINER_FAILED] if sight.is_init else []
    kind = first_selected(sight.rules, *kinds, IncidentKind.CRASH_LOOP_BACK_OFF)
    end = sight.new.ended_before
    seen_time = moment(end.finished_at) if end else waiting_since(sight.pod, sight.new)
    return container_finding(sight, kind, end, seen_time=seen_time, is_standing=True)


def image_pull_failed(sight: Sight) -> Verdict:
    """The image cannot be had. `ErrImagePull` (just tried) and `ImagePullBackOff` (tries again later) take turns and are one finding."""
    reason = sight.new.waiting_reason
    if reason not in PULL_FAILURES:
        return Quiet.NOTHING_ENDED
    reason = PULL_BACK_OFF if reason == "ErrImagePull" else reason
    return _stands(sight, IncidentKind.IMAGE_PULL_FAILED, reason, _PULL_PREFIX.sub("", _message(sight.new)))


def config_failed(sight: Sight) -> Verdict:
    """The container cannot be made: a ConfigMap, Secret or key is missing, a mount or a user is not possible."""
    reason = sight.new.waiting_reason
    if reason not in CONFIG_FAILURES:
        return Quiet.STARTING if sight.new.state is not None and sight.new.state.waiting else Quiet.NOTHING_ENDED
    end = sight.new.ended_before
    if reason in _AFTER_START and end is not None and (failed_to_start(end) or end.exit_code != 0):
        return Quiet.TOLD_BY_ITS_END
    return _stands(sight, IncidentKind.CONTAINER_CONFIG_ERROR, reason, _message(sight.new))


def _stands(sight: Sight, kind: IncidentKind, reason: str, message: str) -> Verdict:
    if (quiet := gone_quiet(sight.pod)) is not None:
        return quiet
    since = waiting_since(sight.pod, sight.new)
    return container_finding(sight, kind, None, seen_time=since, is_standing=True, reason=reason, message=message)


def _message(status: ContainerStatus) -> str:
    return (status.state.waiting.message or "") if status.state is not None and status.state.waiting is not None else ""


def waiting_since(pod: Pod, status: ContainerStatus) -> datetime | None:
    """Since when a container does not run, by the pod's own word; the same at each look.

    The kubelet gives waiting no time, so it is the latest of what must have come before.
    """
    ready = pod.status.condition("Ready")
    end = status.ended_before
    times = (
        moment(end.finished_at) if end else None,
        moment(ready.last_transition_time) if ready else None,
        moment(pod.metadata.creation_timestamp),
    )
    known = [time for time in times if time is not None]
    return max(known) if known else None
