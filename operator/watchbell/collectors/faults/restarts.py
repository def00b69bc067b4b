"""How often containers were restarted (pure memory): restart counts of the looks at pods → times of restarts within a window.

Before: each look at a pod, by `heed`. After: `bursts` counts. A look tells only how many restarts there were and when the last run ended, so
what lies between two looks is spread evenly between them; the last one is exact. Pods that were never restarted cost no memory.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from watchbell.api.times import moment
from watchbell.collectors.seen.pod import ContainerStatus, Pod

KEPT_MAX = 100
"""Times kept of a container: a policy's threshold is at most that."""
WINDOW_MAX_S = 86_400.0


class Tally(NamedTuple):
    """What is known of one container: the highest count seen, and when its latest restarts were, oldest first."""

    total: int
    times: tuple[datetime, ...]


class Restarts:
    """The restarts of all containers under watch. Hearing the same twice, or an older state again, changes nothing."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, Tally]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def heed(self, old: Pod | None, new: Pod, now: datetime) -> None:
        """A look at a pod; `old` is the look before, None when there was none."""
        statuses = (*new.status.container_statuses, *new.status.init_container_statuses)
        if not any(status.restart_count for status in statuses):
            return
        known = self._pods.setdefault(new.metadata.uid, {})
        for status in statuses:
            before = known.get(status.name)
            tally = tally_of(before or _count_before(old, new, status), new, status, now)
            if tally != before:
                known[status.name] = tally

    def forget(self, pod: Pod) -> None:
        """The pod is gone."""
        self._pods.pop(pod.metadata.uid, None)

    def times(self, pod: Pod, container: str) -> tuple[datetime, ...]:
        """When the container was restarted, oldest first."""
        tally = self._pods.get(pod.metadata.uid, {}).get(container)
        return tally.times if tally else ()


def times_without_memory(old: Pod | None, new: Pod, status: ContainerStatus, now: datetime) -> tuple[datetime, ...]:
    """What two looks alone can tell."""
    return tally_of(_count_before(old, new, status), new, status, now).times


def tally_of(before: Tally | None, pod: Pod, status: ContainerStatus, now: datetime) -> Tally:
    """What is known after a look. Without one before, the restarts are spread over the pod's life."""
    count = status.restart_count
    if before is not None and count <= before.total:
        return before
    last, times = _last_end(status, now), before.times if before is not None else ()
    if before is None:
        start, fresh = moment(pod.metadata.creation_timestamp), count
    else:
        start, fresh = (times[-1] if times else None), count - before.total
    oldest = now - timedelta(seconds=WINDOW_MAX_S)
    kept = (time for time in (*times, *_spread(start or last, last, fresh)) if time >= oldest)
    return Tally(count, tuple(kept)[-KEPT_MAX:])


def _count_before(old: Pod | None, new: Pod, status: ContainerStatus) -> Tally | None:
    if old is None or old.metadata.uid != new.metadata.uid:
        return None
    for before in (*old.status.container_statuses, *old.status.init_container_statuses):
        if before.name == status.name:
            return Tally(before.restart_count, ())
    return None


def _last_end(status: ContainerStatus, now: datetime) -> datetime:
    """When the run before the present one ended. A node's clock may go ahead of ours."""
    end = status.ended_before or status.ended
    return min(moment(end.finished_at) or now, now) if end else now


def _spread(start: datetime, end: datetime, number: int) -> tuple[datetime, ...]:
    """So many times after `start`, the last of them at `end`; of very many only the latest."""
    step = max(end - start, timedelta(0)) / number
    return tuple(end - step * back for back in range(min(number, KEPT_MAX) - 1, -1, -1))
