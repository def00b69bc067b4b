"""Signs of life of what must go on for ever: watches, and the event loop itself. Pure but for the clock it is given.

Before it: each watch says `beat` whenever it hears something or tries again, so a server that is down is no reason to end. After it: /livez, which
lets the kubelet end a process in which one of them hangs, and a metric. `limit_s` is how long each may be silent at most.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import NamedTuple


class Pulse(NamedTuple):
    """One stream: how people call it, how long it may be silent, and when it gave its last sign, by the clock of `Pulses`."""

    name: str
    limit_s: float
    at: float


def silent(pulses: Mapping[Hashable, Pulse], now: float) -> tuple[str, ...]:
    """A sentence for each that was silent for longer than it may, the longest first."""
    late = [(now - pulse.at, pulse) for pulse in pulses.values() if now - pulse.at > pulse.limit_s]
    return tuple(
        f"{pulse.name} was last heard of {age_s:.0f} s ago, the limit is {pulse.limit_s:.0f} s"
        for age_s, pulse in sorted(late, key=lambda pair: -pair[0])
    )


def ages(pulses: Mapping[Hashable, Pulse], now: float) -> Mapping[str, float]:
    """Seconds since the last sign, of several with one name the oldest."""
    oldest: dict[str, float] = {}
    for pulse in pulses.values():
        oldest[pulse.name] = max(oldest.get(pulse.name, 0.0), now - pulse.at)
    return oldest


class Pulses:
    """Those that run now, by a key of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pulses: dict[Hashable, Pulse] = {}

    def beat(self, key: Hashable, name: str, limit_s: float) -> None:
        """It lives."""
        self._pulses[key] = Pulse(name, limit_s, self._clock())

    def end(self, key: Hashable) -> None:
        """It is not needed any more."""
        self._pulses.pop(key, None)

    def silent(self) -> tuple[str, ...]:
        """What is wrong now; empty = nothing."""
        return silent(self._pulses, self._clock())

    def ages(self) -> Mapping[str, float]:
        """Seconds since the last sign of each name."""
        return ages(self._pulses, self._clock())
