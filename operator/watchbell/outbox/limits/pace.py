"""How fast a login may send after its provider asked to slow down. Pure; the hour comes in.

Before it: a reply was `RateLimited`. After it: `gate` holds the login to so many messages a minute. The rate is halved, and a tenth of the full
rate comes back each ten minutes. Where nobody set a rate, the full one is what was sent in the minute before the provider complained.
"""

from dataclasses import dataclass

STEP_S = 600.0
STEP = 0.1
HOLD_S = 60.0
"""Refusals that come so soon after each other are one: several connections hear the same."""
_LEAST = 2


@dataclass(frozen=True, slots=True)
class Pace:
    """`factor` of `full_per_minute` was allowed at `since`."""

    full_per_minute: int
    factor: float
    since: float

    def factor_at(self, now: float) -> float:
        """Between 0 and 1; 1 = as before."""
        steps = max(0.0, now - self.since) // STEP_S
        return min(1.0, self.factor + STEP * steps)

    def limit_at(self, now: float) -> int:
        """Messages a minute; 0 = it has recovered."""
        factor = self.factor_at(now)
        return 0 if factor > 1.0 - STEP / 100 else max(1, int(self.full_per_minute * factor))

    @property
    def recovered_at(self) -> float:
        """When the full rate is back."""
        steps = -(-(1.0 - self.factor - STEP / 100) // STEP)
        return self.since + STEP_S * max(0.0, steps)


def slowed(pace: Pace | None, limit: int, sent_per_minute: int, now: float) -> Pace:
    """Half of what was allowed. `limit` is the rate that was set (0 = none), `sent_per_minute` what was sent in the last minute."""
    if pace is None or not pace.limit_at(now):
        return Pace(max(_LEAST, limit or sent_per_minute), 0.5, now)
    if now - pace.since < HOLD_S:
        return pace
    return Pace(pace.full_per_minute, max(pace.factor_at(now) / 2, 1 / 64), now)
