"""When a connector is probed, and how far. Pure: what is remembered, what is there now, and the time come in; a decision with its cause goes out.

Before this stage `gather` has found out what the connector names; after it `probe` acts on the decision. A wrong password is never tried
again in a loop (accounts get locked): only when the Secret or the spec changes, on request, or after a back-off that starts at 15 minutes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchbell.api.reasons import Reason
from watchbell.smtp.model import Fault, Level, ProbeReport, RetryClass, StageName

AUTH_STAGES = frozenset({StageName.TOKEN, StageName.AUTHENTICATE})
MIN_SPACING_S = 30
"""Between two probes of a relay in trouble, also when many failed sends ask for one: one probe answers them all."""
AUTH_BACKOFF_S = (900, 1800, 3600, 7200, 14400, 28800, 86400)
SENDS_UNTIL_BROKEN = 3
_MAY_PASS = frozenset(
    {
        Reason.HOST_NOT_FOUND,
        Reason.HOST_HAS_NO_ADDRESS,
        Reason.OUTBOUND_SMTP_BLOCKED,
        Reason.CONNECT_DENIED_LOCALLY,
        Reason.GREETING_REJECTED,
    }
)
"""Permanent for a connector that never worked. One that was proven with this very spec tells another story: the relay is down, or DNS is."""
_BACKOFF_S = {
    RetryClass.A: (30, 60, 120, 240, 300),
    RetryClass.B: (300, 600, 1200, 1800),
    RetryClass.C: (3600,),
    RetryClass.D: (21600,),
    RetryClass.GREYLIST: (60, 300, 900),
    RetryClass.NOW: (30,),
    RetryClass.NEVER: (3600,),
}


class Cause(StrEnum):
    """Why a probe runs, or why none does."""

    FIRST = "First"
    CHANGED = "Changed"
    REQUESTED = "Requested"
    SEND_FAILED = "SendFailed"
    RETRY = "Retry"
    PERIOD = "Period"
    AUTH_PERIOD = "AuthPeriod"
    NOT_DUE = "NotDue"
    DISABLED = "Disabled"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often and how far, from the spec; `chance` in [0, 1) spreads connectors over ±10 % of a period."""

    level: Level
    period_s: int
    auth_period_s: int
    failure_threshold: int
    is_suspended: bool
    needs_login: bool
    chance: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of a connector from probes before. `fingerprint` names what was probed: generations, Secret and CA versions."""

    fingerprint: str = ""
    handled_request: str = ""
    last_probe: datetime | None = None
    last_login: datetime | None = None
    last_success: datetime | None = None
    failures: int = 0
    rejected_logins: int = 0
    is_proven: bool = False
    fault: Fault | None = None
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """`level` is None when nothing is to be done before `due`."""

    cause: Cause
    level: Level | None
    due: datetime | None


def decide(memory: Memory, rhythm: Rhythm, fingerprint: str, request: str, now: datetime) -> Decision:
    """The next step for one connector."""
    if rhythm.is_suspended:
        return Decision(Cause.SUSPENDED, None, None)
    if rhythm.level is Level.DISABLED:
        return Decision(Cause.DISABLED, None, None)
    full = rhythm.level
    if memory.last_probe is None:
        return Decision(Cause.FIRST, full, now)
    if memory.fingerprint != fingerprint:
        return Decision(Cause.CHANGED, full, now)
    if request and memory.handled_request != request:
        return Decision(Cause.REQUESTED, full, now)
    return _by_time(memory, rhythm, now)


def _by_time(memory: Memory, rhythm: Rhythm, now: datetime) -> Decision:
    last_probe = memory.last_probe or now
    due, cause = next_due(memory, rhythm), Cause.PERIOD if memory.fault is None else Cause.RETRY
    if memory.is_suspect and not is_login_rejected(memory.fault):
        spaced = last_probe + timedelta(seconds=MIN_SPACING_S)
        due, cause = min((due, cause), (spaced, Cause.SEND_FAILED))
    if now < due:
        return Decision(Cause.NOT_DUE, None, due)
    if memory.fault is not None or not rhythm.needs_login or memory.is_suspect:
        return Decision(cause, rhythm.level, now)
    login_due = (memory.last_login or last_probe) + timedelta(seconds=rhythm.auth_period_s)
    if now >= login_due:
        return Decision(Cause.AUTH_PERIOD, rhythm.level, now)
    return Decision(cause, shallow(rhythm.level), now)


def shallow(level: Level) -> Level:
    """The level without a login: logins count against limits and lock-outs, so they have a longer period of their own."""
    return Level.TLS if level in {Level.AUTHENTICATE, Level.SENDER} else level


def next_due(memory: Memory, rhythm: Rhythm) -> datetime:
    """When the next probe is due if nothing changes before."""
    last = memory.last_probe
    if last is None:
        raise ValueError("a connector that was never probed is due now")
    if memory.fault is None:
        return last + timedelta(seconds=rhythm.period_s * (0.9 + 0.2 * rhythm.chance))
    if is_login_rejected(memory.fault):
        return last + timedelta(seconds=AUTH_BACKOFF_S[min(memory.rejected_logins, len(AUTH_BACKOFF_S)) - 1])
    is_back_soon = memory.last_success is not None and memory.fault.reason in _MAY_PASS
    steps = _BACKOFF_S[RetryClass.B if is_back_soon else memory.fault.retry]
    delay = steps[min(max(memory.failures, 1), len(steps)) - 1]
    if not memory.fault.is_permanent:
        # A relay that is down for a while is looked at as often as one that is up.
        delay = min(delay, max(rhythm.period_s, MIN_SPACING_S))
    return last + timedelta(seconds=delay * (0.9 + 0.2 * rhythm.chance))


def is_login_rejected(fault: Fault | None) -> bool:
    """The server, or the token endpoint, said no to the credentials for good."""
    return fault is not None and fault.is_permanent and fault.stage in AUTH_STAGES


def failed_sends(memory: Memory) -> Memory:
    """The memory when mail failed as often in a row as the outbox's breaker waits for, before the last of these is remembered as a probe."""
    return replace(memory, failures=memory.failures + SENDS_UNTIL_BROKEN - 1)


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe that ran: what was probed, how far, for which request, when, and what came out."""

    fingerprint: str
    level: Level
    request: str
    at: datetime
    report: ProbeReport


def remember(memory: Memory, probed: Probed, rhythm: Rhythm) -> Memory:
    """The memory after a probe.

    A login that was proven stays proven over shallow probes; a temporary fault does not unprove a connector before `failure_threshold`
    failures in a row.
    """
    fault = probed.report.fault
    same = memory.fingerprint == probed.fingerprint
    failures = 0 if fault is None else (memory.failures if same else 0) + 1
    rejected = (memory.rejected_logins if same else 0) + 1 if is_login_rejected(fault) else 0
    deep = probed.level is rhythm.level
    keeps = (
        same
        and memory.is_proven
        and fault is not None
        and (not fault.is_permanent or fault.reason in _MAY_PASS)
        and failures < rhythm.failure_threshold
    )
    return replace(
        memory,
        fingerprint=probed.fingerprint,
        handled_request=probed.request or memory.handled_request,
        last_probe=probed.at,
        last_login=probed.at if deep and fault is None else (memory.last_login if same else None),
        last_success=probed.at if fault is None else memory.last_success,
        failures=failures,
        rejected_logins=rejected,
        is_proven=(fault is None and (deep or (same and memory.is_proven))) or keeps,
        fault=fault,
        is_suspect=False,
    )
