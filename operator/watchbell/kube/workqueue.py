"""Keys in, handler calls out: the level-triggered heart of every reconciler.

Before it: informers and kopf's events, which only say "look at this key". After it: the handler, which reads the world and acts. `agenda`
decides what is next; here are the workers, the one timer and the log.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from watchbell import metrics
from watchbell.kube.agenda import Agenda, Backoff
from watchbell.kube.errors import ApiError
from watchbell.metrics import WorkResult

__all__ = ["DEFAULT_BACKOFF", "Backoff", "WorkQueue"]

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
DEFAULT_BACKOFF = Backoff()
Handler = Callable[[K], Awaitable[float | None]]


class WorkQueue(Generic[K]):
    """Calls `handler(key)` for every key added: at most `workers` at once, one at a time for a key.

    A handler may return seconds after which to be called again. One that raises is logged, counted in `failures` and called again with
    back-off. Adding is allowed before and while `run` runs, from the loop's own thread only.
    """

    def __init__(
        self,
        handler: Handler[K],
        *,
        workers: int,
        name: str = "work",
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> None:
        self.failures = 0
        self.name = name
        self._handler = handler
        self._workers = workers
        self._clock = clock
        self._agenda: Agenda[K] = Agenda(backoff)
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running = 0
        self._seconds = metrics.RECONCILE_SECONDS.labels(name)
        self._results = {result: metrics.RECONCILES.labels(name, result) for result in WorkResult}
        self._unexpected = metrics.WORK_FAILURES.labels(name)

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return self._agenda.depth

    def add(self, key: K) -> None:
        """Have the key handled soon; a key that waits already is not put in twice."""
        self._agenda.add(key)
        self._idle.clear()
        self._wake.set()

    def add_after(self, key: K, delay_s: float) -> None:
        """Have the key handled in `delay_s` seconds, or earlier if something else asks for it."""
        if delay_s <= 0:
            self.add(key)
            return
        self._agenda.add_at(key, self._clock() + delay_s)
        self._wake.set()

    def forget(self, key: K) -> None:
        """The key is gone for good: no timers, no waiting, no back-off."""
        self._agenda.forget(key)
        self._mark_idle()

    async def idle(self) -> None:
        """Waits until nothing waits and nothing is being handled; timers may be set."""
        await self._idle.wait()

    async def run(self) -> None:
        """Works until cancelled; then the handlers that are under way are cancelled too."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                self._start_ready(group)
                await self._sleep()

    def _start_ready(self, group: asyncio.TaskGroup) -> None:
        while self._running < self._workers:
            key = self._agenda.take(self._clock())
            if key is None:
                return
            self._running += 1
            self._idle.clear()
            group.create_task(self._work(key))

    async def _sleep(self) -> None:
        due = self._agenda.next_due() if self._running < self._workers else None
        loop = asyncio.get_running_loop()
        timer = None if due is None else loop.call_later(max(0.0, due - self._clock()), self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _work(self, key: K) -> None:
        started = self._clock()
        try:
            again_s = await self._handler(key)
        except ApiError as error:
            # What the API server says or does not say is no bug of ours: one line, without the way through our code.
            log.warning("%s: %s failed, next try in %.1f s: %s", self.name, key, self._failed(key), error)
            self._measure(started, WorkResult.API_ERROR)
        except Exception:
            log.exception("%s: %s failed, next try in %.1f s", self.name, key, self._failed(key))
            self._measure(started, WorkResult.ERROR)
            self._unexpected.inc()
        else:
            self._agenda.succeeded(key)
            self._measure(started, WorkResult.SUCCEEDED)
            if again_s is not None:
                self.add_after(key, again_s)
        finally:
            self._agenda.done(key)
            self._running -= 1
            self._mark_idle()
            self._wake.set()

    def _failed(self, key: K) -> float:
        self.failures += 1
        return self._agenda.failed(key, self._clock())

    def _measure(self, started: float, result: WorkResult) -> None:
        self._seconds.observe(self._clock() - started)
        self._results[result].inc()

    def _mark_idle(self) -> None:
        if self._agenda.is_idle:
            self._idle.set()
