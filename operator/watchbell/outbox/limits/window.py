"""How many were counted in the last minute, or the last day: a sliding window of slots. Pure; the hour comes in as seconds since the epoch.

Before it: `budget` grants a mail. After it: `budget` asks what is left, and when. A token bucket of a minute's worth lets twice the limit through
in one minute (the full bucket and what drips in), and providers count in a sliding window; so this does as well. A count stays for the whole of
the slot that it fell into, so the window is never shorter than its span, and longer by one slot at most.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """`span_s` is what a limit speaks of, `slot_s` how exactly it is kept."""

    span_s: int
    slot_s: int


MINUTE = Span(60, 1)
DAY = Span(86_400, 1800)

Row = tuple[int, int]
"""The number of a slot since the epoch, and what was counted in it."""


class Window:
    """Counts of one thing. Every call takes the time; times may go back a little (NTP), which forgets nothing."""

    __slots__ = ("_seen", "_slots", "_span", "_total")

    def __init__(self, span: Span, rows: Iterable[Row] = ()) -> None:
        self._span = span
        self._slots: dict[int, int] = {}
        self._total = 0
        self._seen = -1
        for slot, count in rows:
            self._put(slot, count)

    def add(self, now: float, count: int) -> None:
        """Count so many at `now`; negative with an earlier time: they were not used after all."""
        slot = int(now // self._span.slot_s)
        self._put(slot, max(count, -self._slots.get(slot, 0)))

    def used(self, now: float) -> int:
        """How many count at `now`: all of the last `span_s` seconds, and none older than that and a slot."""
        self._forget(now)
        return self._total

    def free_at(self, now: float, limit: int, count: int) -> float:
        """When `count` more (at most `limit`) are within `limit`: `now`, or the first time after it if nothing is added meanwhile."""
        over = self.used(now) + min(count, limit) - limit
        if over <= 0:
            return now
        for slot in sorted(self._slots):
            over -= self._slots[slot]
            if over <= 0:
                return self._end(slot)
        raise AssertionError("all slots together hold what was used")

    def rows(self, now: float) -> tuple[Row, ...]:
        """What has to be kept over a restart."""
        self._forget(now)
        return tuple(sorted(self._slots.items()))

    def _put(self, slot: int, count: int) -> None:
        self._slots[slot] = self._slots.get(slot, 0) + count
        self._total += count

    def _end(self, slot: int) -> float:
        """When a slot counts no more."""
        return float((slot + 1) * self._span.slot_s + self._span.span_s)

    def _forget(self, now: float) -> None:
        """What is over; and what a clock that was wrong has put into the far future counts as of now, or it would never be over."""
        current, last = int(now // self._span.slot_s), int((now + self._span.span_s) // self._span.slot_s)
        if current == self._seen:
            return
        self._seen = current
        for slot in [slot for slot in self._slots if self._end(slot) <= now or slot > last]:
            count = self._slots.pop(slot)
            self._total -= count
            if slot > last:
                self._put(current, count)
