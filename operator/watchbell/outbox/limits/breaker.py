"""Whether it makes sense to try a relay at all: one circuit breaker for each server and login. Pure; the hour comes in.

Before it: a mail is to go to a relay. After it: it goes, or it waits and no attempt is counted. Three openings of a session in a row that fail
(DNS, connect, TLS, greeting; a 421 at any time) or one refused login open it; after a rest one mail tries, and the others wait for its result.
A relay that was reached and then broke off in the middle of one mail's transaction says nothing about other mail, and changes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from watchbell.api.reasons import Reason
from watchbell.smtp.model import Fault, StageName

FAILURES_MAX = 3
RESTS_S = (30.0, 60.0, 120.0, 300.0)
"""How long it stays open, each time that the try after it fails."""
REFUSED_S = 3600.0
"""After a refused login: providers lock accounts. A new password is another circuit and tried at once."""
TRIAL_S = 60.0
"""A try whose result is not known is looked for again so much later."""

_TRANSACTION = frozenset({StageName.SENDER, StageName.RECIPIENT, StageName.DATA})
_LOGIN = frozenset({StageName.TOKEN, StageName.AUTHENTICATE})
_SAYS_NOTHING = frozenset(
    {
        Reason.CONNECTION_CLOSED,
        Reason.CONNECTION_RESET,
        Reason.COMMAND_TIMED_OUT,
        Reason.PROTOCOL_VIOLATION,
        Reason.DELIVERY_OUTCOME_UNKNOWN,
    }
)


class Cause(StrEnum):
    """Why a breaker opened; the label of its metric."""

    UNREACHABLE = "Unreachable"
    REFUSED = "Refused"


class Answer(StrEnum):
    """GO: as always. TRY: as the one mail that finds out. WAIT: not before `until`."""

    GO = "Go"
    TRY = "Try"
    WAIT = "Wait"


@dataclass(frozen=True, slots=True)
class Breaker:
    """`until` 0 = closed; else the relay is left alone until then. `openings` counts those in a row, `fault` is the last failure."""

    failures: int = 0
    until: float = 0.0
    openings: int = 0
    is_trying: bool = False
    fault: Fault | None = None

    @property
    def is_open(self) -> bool:
        """Whether mail waits for it."""
        return self.until > 0.0


CLOSED = Breaker()


def ask(breaker: Breaker, now: float) -> Answer:
    """What a mail may do now; after TRY call `trying`."""
    if not breaker.is_open:
        return Answer.GO
    return Answer.WAIT if now < breaker.until else Answer.TRY


def trying(breaker: Breaker, now: float) -> Breaker:
    """One mail finds out; until its result is known the others wait."""
    return Breaker(breaker.failures, now + TRIAL_S, breaker.openings, is_trying=True, fault=breaker.fault)


def half_open(breaker: Breaker, now: float) -> Breaker:
    """One mail may try at once: a probe passed, or the mail that was to find out did not come to it."""
    return Breaker(breaker.failures, now, breaker.openings, fault=breaker.fault) if breaker.is_open else breaker


def after(breaker: Breaker, fault: Fault | None, now: float) -> Breaker:
    """The state after a session, or the attempt to open one."""
    if fault is None or (fault.stage in _TRANSACTION and fault.reason not in _SAYS_NOTHING | {Reason.SERVER_BUSY}):
        return CLOSED
    if fault.reason in _SAYS_NOTHING and fault.stage in _TRANSACTION:
        return half_open(breaker, now) if breaker.is_trying else breaker
    failures = breaker.failures + 1
    if is_refusal(fault):
        return Breaker(failures, now + REFUSED_S, breaker.openings + 1, fault=fault)
    if failures < FAILURES_MAX and not breaker.is_open:
        return Breaker(failures, fault=fault)
    rest_s = RESTS_S[min(breaker.openings, len(RESTS_S) - 1)]
    return Breaker(failures, now + rest_s, breaker.openings + 1, fault=fault)


def is_refusal(fault: Fault) -> bool:
    """The server, or the token endpoint, said no to the login for good."""
    return fault.is_permanent and fault.stage in _LOGIN


def cause_of(fault: Fault) -> Cause:
    """Why it opened."""
    return Cause.REFUSED if is_refusal(fault) else Cause.UNREACHABLE
