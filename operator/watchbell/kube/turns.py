"""Who may ask the API server now: what somebody waits for goes first, what can wait goes when nobody else asks.

Before it: `client`, whose `in_background` marks calls that nobody waits for (results of mails that are out, figures, Events). After it: `transport`.
In a storm the API server is what everything waits for; a status written a second later costs nobody anything, a mail does.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator

AT_ONCE = 4
"""So many patient calls are let go at a time."""
REST_S = 0.01
"""Between two steps of one case nobody asks for a moment; that is no rest."""
PATIENCE_S = 15.0
"""Longer than that no call waits, however much is going on."""


class Turns:
    """Counts the calls that somebody waits for, and holds the patient ones back meanwhile."""

    def __init__(self, *, at_once: int = AT_ONCE, rest_s: float = REST_S, patience_s: float = PATIENCE_S) -> None:
        self._at_once = at_once
        self._rest_s = rest_s
        self._patience_s = patience_s
        self._urgent = 0
        self._patient = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether calls are under way that somebody waits for, or were a moment ago."""
        return self._urgent > 0 or self._timer is not None

    @contextlib.contextmanager
    def urgent(self) -> Iterator[None]:
        """One call that somebody waits for."""
        self._urgent += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            yield
        finally:
            self._urgent -= 1
            if not self._urgent:
                self._timer = asyncio.get_running_loop().call_later(self._rest_s, self._rested)

    @contextlib.asynccontextmanager
    async def patient(self) -> AsyncIterator[None]:
        """One call that can wait: until nobody else asks, or its patience is over."""
        if self.is_busy or self._waiting or self._patient >= self._at_once:
            await self._wait()
        else:
            self._patient += 1
        try:
            yield
        finally:
            self._patient -= 1
            self._let_go()

    async def _wait(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        timer = asyncio.get_running_loop().call_later(self._patience_s, self._grant, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # It had its turn already, and gives it back.
                self._patient -= 1
                self._let_go()
            raise
        finally:
            timer.cancel()

    def _rested(self) -> None:
        self._timer = None
        self._let_go()

    def _let_go(self) -> None:
        while self._waiting and not self.is_busy and self._patient < self._at_once:
            self._grant(self._waiting.popleft())

    def _grant(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._patient += 1
            waiter.set_result(None)
