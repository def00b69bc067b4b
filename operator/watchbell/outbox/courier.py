"""One attempt to hand over one message: the stage where the outbox touches the wire.

Before it: the queue gave a slot to a sender. After it: the ledger writes what this returns. The order is what makes it safe: the message is
checked and built before anything is opened; the journal entry is on its way while MAIL, RCPT and DATA are said and must stand before the first
byte of the body; the lease is asked before MAIL and again before the body. What happens after that is known, or counts as unknown.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbell.api.reasons import Reason
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import ApiError, NotFound
from watchbell.logs import about
from watchbell.outbox.connections import Connections, Lent
from watchbell.outbox.envelope import Batch, batch_of
from watchbell.outbox.journal import Entry, Journal
from watchbell.outbox.letter import Composed, Flaw, Letter, compose, read
from watchbell.outbox.note import note_of, progress_of
from watchbell.outbox.outlet import Outlet, OutletSource, Unavailable
from watchbell.outbox.progress import Progress
from watchbell.outbox.queue import Slot
from watchbell.outbox.retry import DEFAULT_SCHEDULE, Schedule
from watchbell.outbox.settle import Held, Rules, Settled, Tried, overdue, rejected, resumed, settle
from watchbell.smtp.model import Fault, RecipientOutcome, RecipientResult, RetryClass, StageName, SubmitReport
from watchbell.smtp.submit import submit

log = logging.getLogger(__name__)

MESSAGES = custom("emailmessages")
_HUNG_UP = frozenset({Reason.CONNECTION_CLOSED, Reason.CONNECTION_RESET, Reason.SERVER_BUSY})


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing was sent and nothing is known: try again in `after_s` seconds, or (`is_held`) when the connector changes."""

    after_s: float
    is_held: bool = False


class Gone:
    """The message was deleted or finished meanwhile."""


GONE = Gone()
Outcome = Settled | Stopped | Gone


@dataclass(frozen=True, slots=True)
class Desk:
    """What every attempt needs. `fence(seconds)`: whether the lease outlives the next seconds; `margin_s` is how many are asked for."""

    client: Client
    outlets: OutletSource
    connections: Connections
    journal: Journal
    fence: Callable[[float], bool]
    now: Callable[[], datetime]
    chance: Callable[[], float]
    schedule: Schedule = DEFAULT_SCHEDULE
    margin_s: float = 2.0
    cluster_name: str = ""
    pause_s: float = 1.0


@dataclass(slots=True)
class _Sending:
    """One transaction under way: what is to be known if it is cut short."""

    slot: Slot
    batch: Batch
    payload: bytes
    outlet: Outlet
    entry: Entry
    entered: asyncio.Task[bool] | None = None
    is_stopped: bool = False
    is_body_out: bool = False


class Courier:
    """Carries out attempts; keeps nothing between them but the sessions in `desk.connections`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def attempt(self, slot: Slot) -> Outcome:
        """Try one message now. Whatever goes wrong outside of our own code is in the answer; where the message stands is changed by the caller."""
        try:
            body = slot.body or await self._fetch(slot)
        except ApiError as error:
            log.warning("a message cannot be read and waits: %s", error, extra=about(message=slot.label))
            return Stopped(self._desk.pause_s * 5)
        if body is None:
            return GONE
        letter = read(body)
        if isinstance(letter, Flaw):
            return rejected(slot.progress or Progress(()), Reason.INVALID_MESSAGE, str(letter))
        if slot.progress is None:
            resend_after_s = self._desk.schedule.resend_after_s
            slot.progress = slot.written = progress_of(slot.note.status, len(letter.recipients), resend_after_s)
        rules = Rules(letter.deadline, letter.on_uncertain, self._desk.schedule)
        over = overdue(slot.progress, rules, self._desk.now())
        return over or await self._deliver(slot, slot.progress, letter, rules)

    async def _fetch(self, slot: Slot) -> dict[str, Any] | None:
        """The message as it stands. What was finished meanwhile, by whoever, is not sent: the informer may lag, this read does not."""
        try:
            body = await self._desk.client.get(MESSAGES, slot.name, slot.namespace)
        except NotFound:
            return None
        note = note_of(body)
        if note.is_finished or note.metadata.uid != slot.uid:
            return None
        if slot.progress is None:
            slot.learn(note)
        return body

    async def _deliver(self, slot: Slot, progress: Progress, letter: Letter, rules: Rules) -> Outcome:
        desk = self._desk
        outlet = await desk.outlets.outlet(letter.namespace, letter.connector, letter.use)
        if isinstance(outlet, Unavailable):
            if outlet.is_unjudged:
                return Stopped(desk.pause_s * 10, is_held=True)
            return settle(progress, Held(outlet.reason, outlet.message), rules, desk.now(), desk.chance())
        composed = compose(letter, outlet, slot.message_id, desk.cluster_name)
        if isinstance(composed, Flaw):
            if composed.is_of_connector:
                held = Held(Reason.CONNECTOR_NOT_READY, f"the connector {outlet.key} cannot send: {composed}")
                return settle(progress, held, rules, desk.now(), desk.chance())
            return rejected(progress, Reason.INVALID_MESSAGE, str(composed))
        if len(composed.payload) > outlet.limits.max_message_bytes:
            sizes = (
                f"the mail has {len(composed.payload)} bytes, and the connector takes {outlet.limits.max_message_bytes}"
            )
            return rejected(progress, Reason.MESSAGE_TOO_LARGE, sizes)
        slot.message_id = composed.message_id
        if not progress.due(desk.now()):
            return resumed(progress, rules, desk.now())
        tried = await self._send(self._prepare(slot, progress, letter, outlet, composed))
        return settle(progress, tried, rules, desk.now(), desk.chance()) if tried else Stopped(desk.pause_s)

    def _prepare(self, slot: Slot, progress: Progress, letter: Letter, outlet: Outlet, composed: Composed) -> _Sending:
        started = self._desk.now()
        batch = batch_of(letter, progress.due(started), outlet.limits, composed)
        entry = Entry(
            slot.uid,
            slot.namespace,
            slot.name,
            progress.attempts + 1,
            started,
            batch.indexes,
            composed.message_id,
        )
        return _Sending(slot, batch, composed.payload, outlet, entry)

    async def _send(self, sending: _Sending) -> Tried | None:
        """None = stopped before anything was sent: the lease or the journal is not ours now."""
        if not sending.batch.indexes:
            return Tried(sending.entry.started, sending.batch.refused)
        report: SubmitReport | Fault | None = None
        for is_second in (False, True):
            lent = await self._desk.connections.borrow(sending.outlet.relay, fresh=is_second)
            if isinstance(lent, Fault):
                report = lent
                break
            report = await self._submit(lent, sending)
            if lent.is_fresh or report is None or not _has_hung_up(report):
                break
        return self._result(sending, report) if report else None

    async def _submit(self, lent: Lent, sending: _Sending) -> SubmitReport | None:
        """One transaction on one session; the journal entry is written meanwhile."""
        desk = self._desk
        if not desk.fence(desk.margin_s):
            desk.connections.give_back(lent)
            return None
        if sending.entered is None:
            entering = desk.journal.enter(sending.entry)
            sending.entered = asyncio.get_running_loop().create_task(entering, name="outbox-journal-entry")
        try:
            report = await submit(
                lent.session, sending.batch.envelope, sending.payload, lambda: self._may_send_body(sending)
            )
        except asyncio.CancelledError:
            if not sending.is_body_out:
                desk.journal.forget(sending.slot.uid)
            raise
        except Exception:
            log.exception("an attempt broke off", extra=about(message=sending.slot.label))
            report = _broken_off(sending)
        desk.connections.give_back(lent)
        return None if sending.is_stopped else report

    async def _may_send_body(self, sending: _Sending) -> bool:
        """The last gate: the journal holds the entry, and the lease outlives the send."""
        is_entered = sending.entered is not None and await sending.entered
        sending.is_body_out = is_entered and self._desk.fence(self._desk.margin_s)
        sending.is_stopped = not sending.is_body_out
        return sending.is_body_out

    def _result(self, sending: _Sending, report: SubmitReport | Fault) -> Tried:
        fault = report if isinstance(report, Fault) else report.fault
        if fault is not None and (isinstance(report, Fault) or fault.retry is not RetryClass.NEVER):
            self._desk.outlets.report(sending.outlet.key, fault)
        told = fault.message if fault else ""
        results = dict(sending.batch.refused)
        if isinstance(report, SubmitReport):
            told = report.server_response or told
            results |= zip(sending.batch.indexes, report.recipients, strict=True)
        return Tried(sending.entry.started, results, fault, told)


def _has_hung_up(report: SubmitReport) -> bool:
    """A kept session that the server had closed meanwhile: seen at MAIL, before anything was sent, and no fault of the message's."""
    fault = report.fault
    return fault is not None and fault.stage is StageName.SENDER and fault.reason in _HUNG_UP


def _broken_off(sending: _Sending) -> SubmitReport:
    """Our own code failed: after the journal's gate the outcome counts as unknown, before it nothing was sent."""
    outcome = RecipientOutcome.UNKNOWN if sending.is_body_out else RecipientOutcome.DEFERRED
    return SubmitReport(tuple(RecipientResult(address, outcome) for address in sending.batch.envelope.recipients))
