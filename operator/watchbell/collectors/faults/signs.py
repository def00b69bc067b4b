"""Signs of health (pure): what it takes to call a container or a pod well, or still wrong.

Before: `watch` gives the pods. After: `health` judges incidents by it. Looks at one moment only; how long it must last is decided elsewhere.
"""

from datetime import datetime

from watchbell.api.times import moment
from watchbell.collectors.seen.pod import ContainerStatus, Pod, is_sidecar


def is_healthy(pod: Pod, container: str, since: datetime) -> bool:
    """Whether the container is ready and has run without a restart since `since`; an init container that did its work counts as ready.

    Without a container the whole pod is meant: ready, with every container running since then.
    """
    if pod.is_finished or pod.is_being_deleted:
        return False
    if not container:
        return is_ready(pod) and all(_runs_since(status, since) for status in pod.status.container_statuses)
    for status in pod.status.container_statuses:
        if status.name == container:
            return status.ready and _runs_since(status, since)
    for status in pod.status.init_container_statuses:
        if status.name == container:
            if not is_sidecar(pod, container):
                return status.ended is not None and status.ended.exit_code == 0
            return status.ready and _runs_since(status, since)
    return False


def is_ready(pod: Pod) -> bool:
    """Whether the pod is Ready by its condition (of which only one that is not True is kept) and by its containers."""
    return pod.status.phase == "Running" and pod.status.is_ready


def _runs_since(status: ContainerStatus, since: datetime) -> bool:
    started = moment(status.state.running.started_at) if status.state and status.state.running else None
    return started is not None and started <= since
