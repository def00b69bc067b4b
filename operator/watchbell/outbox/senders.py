"""The small fixed pool of senders, and what keeps it from filling up with patience. Not pure only in that it sets timers.

Before it: `outbox` wants to start an attempt. After it: the attempt runs in a seat. A seat that is held longer than `patience_s` (a relay that
never greets, ten minutes of silence after the final dot) moves aside and frees its place: slow relays wait in places of their own, each lane
with no more than its connections, and never in the way of the quick ones.
"""

import asyncio
from collections.abc import Callable


class Senders:
    """`workers` quick places and `aside_max` slow ones; `on_free` is called whenever a quick place comes free."""

    def __init__(
        self, workers: int, *, on_free: Callable[[], None], aside_max: int = 64, patience_s: float = 0.5
    ) -> None:
        self._workers = workers
        self._aside_max = aside_max
        self._patience_s = patience_s
        self._on_free = on_free
        self._quick = 0
        self._aside = 0

    @property
    def has_room(self) -> bool:
        """Whether another attempt may start."""
        return self._quick < self._workers

    @property
    def busy(self) -> int:
        """Attempts under way."""
        return self._quick + self._aside

    def sit(self) -> "Seat":
        """Take a quick place; call `leave` on it when done."""
        self._quick += 1
        return Seat(self, self._patience_s)

    def step_aside(self) -> bool:
        """Make a quick place slow; False when the slow ones are full."""
        if self._aside >= self._aside_max:
            return False
        self._quick -= 1
        self._aside += 1
        self._on_free()
        return True

    def free(self, *, is_aside: bool) -> None:
        """An attempt is over."""
        if is_aside:
            self._aside -= 1
        else:
            self._quick -= 1
        self._on_free()


class Seat:
    """The place of one attempt."""

    def __init__(self, senders: Senders, patience_s: float) -> None:
        self._senders = senders
        self._patience_s = patience_s
        self._is_aside = False
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._lose_patience)

    def leave(self) -> None:
        """The attempt is over."""
        self._timer.cancel()
        self._senders.free(is_aside=self._is_aside)

    def _lose_patience(self) -> None:
        self._is_aside = self._senders.step_aside()
        if not self._is_aside:
            self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._lose_patience)
