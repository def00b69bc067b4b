"""What one attempt means for a message: results in, the next state and time out. Pure; the place where nothing may be forgotten or doubled.

Before it: the courier (or the journal at take-over) says what happened. After it: `record` makes a status of the answer and the queue takes the
time. A recipient only moves from open to final, never back; a second copy is allowed for `Uncertain` ones alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watchbell.api.enums import OnUncertain, RecipientOutcome
from watchbell.api.message import RecipientState
from watchbell.api.reasons import Reason
from watchbell.outbox.progress import Progress, RecipientProgress
from watchbell.outbox.retry import Schedule, delay_s, is_connector_fault
from watchbell.outbox.verdict import Verdict, ended, expired, invalid, retrying, waiting
from watchbell.smtp.model import Fault, RecipientResult, RetryClass


@dataclass(frozen=True, slots=True)
class Rules:
    """What the message and the operator's settings say about trying again."""

    deadline: datetime
    on_uncertain: OnUncertain
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt began at `started`: per recipient index what the server said, and the fault of the session or transaction if there was one.

    `connector` is the one that it went through.
    """

    started: datetime
    results: Mapping[int, RecipientResult]
    fault: Fault | None = None
    server_response: str = ""
    connector: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing was tried: the connector is not available. No attempt is counted."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Inherited:
    """The journal of a process that is gone says that attempt number `attempt` for these recipients was under way."""

    attempt: int
    started: datetime
    indexes: tuple[int, ...]


Happening = Tried | Held | Inherited


@dataclass(frozen=True, slots=True)
class Settled:
    """Where a message stands. `due` None = finished; `is_held` = a change of the connector may bring it forward.

    `is_in_line`: it keeps its place among those that wait for a limit, and `due` is when its turn is expected.
    """

    progress: Progress
    verdict: Verdict
    due: datetime | None
    is_held: bool = False
    is_in_line: bool = False


def settle(progress: Progress, happening: Happening, rules: Rules, now: datetime, chance: float) -> Settled:
    """The next state of a message after one happening. `chance` is uniform in [0, 1)."""
    match happening:
        case Held(reason, message):
            held_s = delay_s(rules.schedule, RetryClass.C, 1, chance) or 0.0
            return _open(progress, waiting(reason, message), now + timedelta(seconds=held_s), rules, now, is_held=True)
        case Inherited():
            return _inherit(progress, happening, rules, now)
        case Tried():
            return _tried(progress, happening, rules, now, chance)


def rejected(progress: Progress, reason: Reason, message: str) -> Settled:
    """The end of a message that can never be sent as it is."""
    return Settled(progress, invalid(reason, message), None)


def discarded(progress: Progress, held: Held) -> Settled:
    """The end of a message that does not wait for a connector (`onUnavailable: Discard`)."""
    closed = replace(
        progress, recipients=tuple(_closed(recipient) for recipient in progress.recipients), resend_time=None
    )
    return Settled(closed, invalid(held.reason, f"{held.message}; onUnavailable is Discard, so it was not sent"), None)


def overdue(progress: Progress, rules: Rules, now: datetime) -> Settled | None:
    """The end of a message whose deadline is over; None while it is not."""
    if now < rules.deadline:
        return None
    closed = replace(
        progress, recipients=tuple(_closed(recipient) for recipient in progress.recipients), resend_time=None
    )
    return Settled(closed, expired(closed), None)


def resumed(progress: Progress, rules: Rules, now: datetime) -> Settled:
    """Where a message stands that an earlier process left; it is no attempt."""
    return _conclude(progress, None, rules, now, now)


def _closed(recipient: RecipientProgress) -> RecipientProgress:
    return (
        replace(recipient, state=RecipientState.UNKNOWN) if recipient.state is RecipientState.UNCERTAIN else recipient
    )


def _open(
    progress: Progress, verdict: Verdict, due: datetime, rules: Rules, now: datetime, *, is_held: bool = False
) -> Settled:
    if over := overdue(progress, rules, now):
        return over
    return Settled(progress, verdict, min(due, rules.deadline), is_held)


def _inherit(progress: Progress, found: Inherited, rules: Rules, now: datetime) -> Settled:
    """An attempt whose result nobody knows counts as lost after the final dot; one whose result was written counts no second time."""
    if progress.attempts >= found.attempt:
        return resumed(progress, rules, now)
    lost = {i: RecipientResult("", RecipientOutcome.UNKNOWN) for i in found.indexes if i < len(progress.recipients)}
    moved = _moved(progress, lost, rules, found.started)
    return _conclude(replace(moved, attempts=found.attempt, last_attempt_time=found.started), None, rules, now, now)


def _tried(progress: Progress, raw: Tried, rules: Rules, now: datetime, chance: float) -> Settled:
    tried = replace(raw, results={i: _by_taxonomy(result) for i, result in raw.results.items()})
    moved = _moved(progress, tried.results, rules, now)
    is_progress = any(result.outcome is not RecipientOutcome.DEFERRED for result in tried.results.values())
    is_held = not is_progress and tried.fault is not None and is_connector_fault(tried.fault)
    moved = replace(
        moved,
        attempts=progress.attempts + (0 if is_held else 1),
        last_attempt_time=tried.started,
        server_response=tried.server_response[:512],
        connector=tried.connector or progress.connector,
    )
    wait_s = _wait_s(tried, moved, rules, chance, is_progress=is_progress)
    settled = _conclude(moved, tried.fault or _first_fault(tried), rules, now, now + timedelta(seconds=wait_s))
    return replace(settled, is_held=is_held and settled.due is not None)


def _by_taxonomy(result: RecipientResult) -> RecipientResult:
    """Whether a refusal is for good is decided by the fault's retry class, never by the first digit of the code alone."""
    if result.fault is None or result.outcome in (RecipientOutcome.ACCEPTED, RecipientOutcome.UNKNOWN):
        return result
    is_final = result.fault.retry is RetryClass.NEVER
    return replace(result, outcome=RecipientOutcome.REFUSED if is_final else RecipientOutcome.DEFERRED)


def _moved(progress: Progress, results: Mapping[int, RecipientResult], rules: Rules, now: datetime) -> Progress:
    recipients = tuple(
        _step(recipient, results[i], rules.on_uncertain) if i in results else recipient
        for i, recipient in enumerate(progress.recipients)
    )
    has_uncertain = any(recipient.state is RecipientState.UNCERTAIN for recipient in recipients)
    is_lost = any(result.outcome is RecipientOutcome.UNKNOWN for result in results.values())
    resend_time = progress.resend_time
    if is_lost:
        resend_time = now + timedelta(seconds=rules.schedule.resend_after_s)
    return replace(progress, recipients=recipients, resend_time=resend_time if has_uncertain else None)


def _step(before: RecipientProgress, result: RecipientResult, on_uncertain: OnUncertain) -> RecipientProgress:
    if not before.is_open:
        return before
    states = {
        RecipientOutcome.ACCEPTED: RecipientState.ACCEPTED,
        RecipientOutcome.REFUSED: RecipientState.REFUSED,
        RecipientOutcome.DEFERRED: before.state,
        RecipientOutcome.UNKNOWN: _after_loss(before.state, on_uncertain),
    }
    reason = result.fault.reason.value if result.fault else None
    if result.outcome is RecipientOutcome.UNKNOWN:
        reason = Reason.DELIVERY_OUTCOME_UNKNOWN.value
    return RecipientProgress(states[result.outcome], reason, result.code, result.enhanced_code)


def _after_loss(before: RecipientState, on_uncertain: OnUncertain) -> RecipientState:
    match on_uncertain:
        case OnUncertain.RESEND:
            return RecipientState.UNCERTAIN
        case OnUncertain.ASSUME_SENT:
            return RecipientState.UNKNOWN
        case OnUncertain.RESEND_ONCE:
            return RecipientState.UNKNOWN if before is RecipientState.UNCERTAIN else RecipientState.UNCERTAIN


def _wait_s(tried: Tried, moved: Progress, rules: Rules, chance: float, *, is_progress: bool) -> float:
    """The shortest wait that any open recipient's fault allows; none while some have not been tried at all.

    "At once" after a refusal needs progress, else two sides that disagree would spin.
    """
    faults = [result.fault for i, result in tried.results.items() if moved.recipients[i].is_open and result.fault]
    if tried.fault is not None and not faults:
        faults = [tried.fault]
    classes = {_retry(fault, is_progress=is_progress) for fault in faults}
    waits = [delay_s(rules.schedule, retry, moved.attempts, chance) for retry in classes]
    if tried.fault is None and any(i not in tried.results for i in moved.due(tried.started)):
        return 0.0
    fallback_s = delay_s(rules.schedule, RetryClass.A, moved.attempts, chance) or 0.0
    return min((wait for wait in waits if wait is not None), default=fallback_s)


def _retry(fault: Fault, *, is_progress: bool) -> RetryClass:
    return RetryClass.A if fault.retry is RetryClass.NOW and not is_progress else fault.retry


def _first_fault(tried: Tried) -> Fault | None:
    return next((result.fault for result in tried.results.values() if result.fault), None)


def _conclude(progress: Progress, fault: Fault | None, rules: Rules, now: datetime, pending_due: datetime) -> Settled:
    """Finished when no recipient is open; else due when the first of the open ones may be tried."""
    if not progress.has_open:
        return Settled(progress, ended(progress, fault, rules.on_uncertain), None)
    has_pending = any(recipient.state is RecipientState.PENDING for recipient in progress.recipients)
    resend = progress.resend_time or pending_due
    due = min(pending_due, resend) if has_pending else max(pending_due, resend)
    return _open(progress, retrying(progress, fault), due, rules, now)
