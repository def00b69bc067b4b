"""Which Events are written, joined into a series, or left out: the pure half of `events`. Time comes in as an argument.

The same event again (same object, type, reason, action, note) is counted in one Event's series instead of making another; an object that
brings ever new ones gets a burst and then one each five minutes, as client-go's recorder does.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from watchbell.kube.resources import ObjectRef

BURST = 25
REFILL_S = 300.0
SERIES_IDLE = timedelta(minutes=6)
SERIES_WRITE_EVERY = timedelta(minutes=5)
KEPT_MAX = 4096


class EventKey(NamedTuple):
    """Equal for events that belong to one series."""

    regarding: ObjectRef
    type: str
    reason: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Series:
    """One Event in the cluster: its name, how often it happened, and how often of these the cluster knows."""

    name: str
    count: int
    written_count: int
    last: datetime
    written: datetime

    def is_due(self) -> bool:
        """Whether the new count should be written now: the second time at once, later ones each five minutes."""
        if self.count == self.written_count:
            return False
        return self.written_count == 1 or self.last - self.written >= SERIES_WRITE_EVERY


class Ledger:
    """What was emitted lately, bounded in number and age."""

    def __init__(self) -> None:
        self._series: dict[EventKey, Series] = {}
        self._tokens: dict[ObjectRef, tuple[float, datetime]] = {}

    def seen(self, key: EventKey, now: datetime) -> Series | None:
        """Counts the event into its series and returns it; None = it has none yet."""
        series = self._series.get(key)
        if series is None or now - series.last > SERIES_IDLE:
            return None
        series = replace(series, count=series.count + 1, last=now)
        self._series[key] = series
        return series

    def begin(self, key: EventKey, name: str, now: datetime) -> None:
        """The event was written as `name`; later ones of the key join it."""
        while len(self._series) >= KEPT_MAX:
            del self._series[next(iter(self._series))]
        self._series.pop(key, None)
        self._series[key] = Series(name, 1, 1, now, now)

    def written(self, key: EventKey, series: Series) -> None:
        """The cluster knows of `series.count` now."""
        current = self._series.get(key)
        if current is not None and current.name == series.name:
            self._series[key] = replace(current, written_count=series.count, written=series.last)

    def drop(self, key: EventKey) -> None:
        """The Event is no longer there; the next one begins anew."""
        self._series.pop(key, None)

    def admits(self, regarding: ObjectRef, now: datetime) -> bool:
        """Whether the object may have another Event now (a token bucket for each object)."""
        tokens, since = self._tokens.pop(regarding, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - since).total_seconds() / REFILL_S)
        admitted = tokens >= 1
        while len(self._tokens) >= KEPT_MAX:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[regarding] = (tokens - 1 if admitted else tokens, now)
        return admitted

    def sweep(self, now: datetime) -> tuple[tuple[EventKey, Series], ...]:
        """Series whose counts the cluster does not know and should; those that went quiet are forgotten once they were written."""
        due = []
        for key, series in list(self._series.items()):
            is_quiet = now - series.last > SERIES_IDLE
            if series.count > series.written_count and (is_quiet or now - series.written >= SERIES_WRITE_EVERY):
                due.append((key, series))
            if is_quiet:
                del self._series[key]
        return tuple(due)
