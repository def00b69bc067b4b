"""Which key is to be worked on next: the pure half of `workqueue`. Time comes in as an argument.

A key waits at most once, is worked on by one worker at a time, and one that is added while it is being worked on waits again afterwards,
so no change is ever missed. First come, first served: a key that comes back often stands behind all others each time.
"""

import heapq
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays after failures in a row, in seconds: doubling from `first_s`, never above `most_s`."""

    first_s: float = 0.5
    most_s: float = 300.0

    def delay_s(self, failures: int) -> float:
        """The wait after the `failures`-th failure in a row (1, 2, …)."""
        return float(min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 32)))


class Agenda(Generic[K]):
    """Keys that wait, keys that are being worked on, keys that are due later; and how often each failed in a row."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._line: deque[K] = deque()
        self._waiting: set[K] = set()
        self._taken: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = count()
        self._failures: dict[K, int] = {}

    @property
    def depth(self) -> int:
        """Keys that could be taken now or as soon as their worker is done."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is being worked on; timers may still be set."""
        return not self._waiting and not self._taken

    def add(self, key: K) -> None:
        """The key waits from now on, if it does not yet."""
        if key not in self._waiting:
            self._waiting.add(key)
            if key not in self._taken:
                self._line.append(key)

    def add_at(self, key: K, due: float) -> None:
        """The key waits from `due` on. Of several times set for a key the earliest counts: coming once too often does no harm."""
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))

    def forget(self, key: K) -> None:
        """No timer, no waiting, no count of failures is left of the key; a worker that has it finishes."""
        self._due.pop(key, None)
        self._failures.pop(key, None)
        if key in self._waiting:
            self._waiting.remove(key)
            if key not in self._taken:
                self._line.remove(key)

    def take(self, now: float) -> K | None:
        """The next key to work on, or None if there is none. `done` must follow."""
        self._ripen(now)
        if not self._line:
            return None
        key = self._line.popleft()
        self._waiting.remove(key)
        self._taken.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker let go of the key; if it was added meanwhile, it waits at the end of the line."""
        self._taken.remove(key)
        if key in self._waiting:
            self._line.append(key)

    def succeeded(self, key: K) -> None:
        """The next failure of the key counts as the first."""
        self._failures.pop(key, None)

    def failed(self, key: K, now: float) -> float:
        """Sets the next try and returns the delay in seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = self._backoff.delay_s(self._failures[key])
        self.add_at(key, now + delay_s)
        return delay_s

    def next_due(self) -> float | None:
        """When the next timer runs out; None if there is none."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _ripen(self, now: float) -> None:
        due = self.next_due()
        while due is not None and due <= now:
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            self.add(key)
            due = self.next_due()

    def _is_stale(self, entry: tuple[float, int, K]) -> bool:
        return self._due.get(entry[2]) != entry[0]
