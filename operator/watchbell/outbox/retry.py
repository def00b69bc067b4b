"""When a failed attempt is worth another one: every delay of the outbox stands in this table. Pure.

Before it: `smtp.verdict` gave the fault its retry class. After it: `settle` turns the delay into a time. Chance comes in as a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchbell.smtp.model import Fault, RetryClass, StageName

DEADLINE_DEFAULT_S = 86_400

_MINUTE = 60.0
_HOUR = 3600.0

_DELAYS_S: Mapping[RetryClass, tuple[float, ...]] = {
    RetryClass.A: (30.0, _MINUTE, 2 * _MINUTE, 5 * _MINUTE),
    RetryClass.B: (5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    RetryClass.C: (_HOUR,),
    RetryClass.D: (6 * _HOUR,),
    RetryClass.GREYLIST: (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    RetryClass.NOW: (0.0,),
}

_CONNECTOR_STAGES = frozenset(
    {
        StageName.POLICY,
        StageName.RESOLVE,
        StageName.CONNECT,
        StageName.TLS,
        StageName.GREETING,
        StageName.HELLO,
        StageName.START_TLS,
        StageName.TOKEN,
        StageName.AUTHENTICATE,
    }
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Delays in seconds for each class; the last of a row repeats. `jitter` 0.2 spreads each by ±20 %.

    `resend_after_s`: how long a lost final reply is waited for before the second copy, so that a server that took the first has filed it.
    """

    delays_s: Mapping[RetryClass, tuple[float, ...]] = field(default_factory=lambda: _DELAYS_S)
    resend_after_s: float = 600.0
    jitter: float = 0.2


DEFAULT_SCHEDULE = Schedule()


def delay_s(schedule: Schedule, retry: RetryClass, attempts: int, chance: float) -> float | None:
    """Seconds until the next attempt after `attempts` counted ones; None = never. `chance` is uniform in [0, 1)."""
    row = schedule.delays_s.get(retry)
    if not row:
        return None
    base = row[min(max(attempts, 1), len(row)) - 1]
    return base * (1 + schedule.jitter * (2 * chance - 1))


def deadline(created: datetime, not_before: datetime | None, active_s: int | None) -> datetime:
    """When a message is given up. Counted from `notBeforeTime` where that is later, else a mail for next week would expire unsent."""
    start = max(created, not_before) if not_before else created
    return start + timedelta(seconds=DEADLINE_DEFAULT_S if active_s is None else active_s)


def is_connector_fault(fault: Fault) -> bool:
    """Whether the fault lies with the connector and stays until somebody acts: the message waits for that, and its attempts are not counted."""
    return fault.is_permanent and (fault.stage in _CONNECTOR_STAGES or fault.retry is RetryClass.C)
