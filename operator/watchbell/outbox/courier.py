"""Attempts to hand over messages: the stage where the outbox touches the wire.

Before it: the queue gave a sender one slot, or several of one lane. After it: the ledger writes what this tells. The order is what makes it safe:
a message is checked and built before anything is opened; the journal entry is on its way while MAIL, RCPT and DATA are said and must stand before
the first byte of the body; the lease is asked before MAIL and again before the body. What happens after that is known, or counts as unknown.

Several messages go one after the other over one session, and their journal entries are one write. Before the next body goes out it stands in the
journal that the one before was taken, so a process that dies leaves at most one mail a connection in doubt; where one was not taken, those behind it
go back into the queue. None waits longer than `round_s` for those before it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, TypeVar

import msgspec

from watchbell import metrics
from watchbell.api.enums import OnUnavailable, Priority
from watchbell.api.reasons import Reason
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import ApiError, NotFound
from watchbell.logs import about
from watchbell.outbox.connections import Connections, Lent
from watchbell.outbox.letters.content import PATIENCE_S, Lack, Moments, changed, held_up
from watchbell.outbox.letters.envelope import Batch, batch_of, misfit
from watchbell.outbox.letters.letter import Composed, Flaw, Letter, compose, filled, read
from watchbell.outbox.letters.minting import NO_MINTER, Minter
from watchbell.outbox.letters.sources import Sources
from watchbell.outbox.limits.flow import Flow
from watchbell.outbox.limits.gate import Blocked, Pass, Request
from watchbell.outbox.note import note_of, progress_of
from watchbell.outbox.outlet import ConnectorKey, Outlet, OutletSource, Unavailable
from watchbell.outbox.progress import Progress
from watchbell.outbox.records.entry import Accepted, Entry
from watchbell.outbox.records.journal import Journal
from watchbell.outbox.retry import DEFAULT_SCHEDULE, Schedule
from watchbell.outbox.settle import Held, Rules, Settled, Tried, discarded, overdue, rejected, resumed, settle
from watchbell.outbox.slot import Slot
from watchbell.smtp.model import Fault, RecipientOutcome, RecipientResult, RetryClass, StageName, SubmitReport
from watchbell.smtp.submit import submit

log = logging.getLogger(__name__)

MESSAGES = custom("emailmessages")
ROUND_BYTES_MAX = 16 * 1024 * 1024
"""So much mail one sender prepares ahead at most, and one mail more: large ones wait in the API server, not in memory."""
_LARGE_BYTES = 256 * 1024
"""What is composed in a thread: 10 MiB take a third of a second, in which nobody else would be heard. So is what is signed."""
_HUNG_UP = frozenset({Reason.CONNECTION_CLOSED, Reason.CONNECTION_RESET, Reason.SERVER_BUSY})


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing was sent and nothing is known: try again in `after_s` seconds, or (`is_held`) when the connector changes.

    `is_apart`: never again in one mail with others.
    """

    after_s: float
    is_held: bool = False
    is_apart: bool = False


class Gone:
    """The message was deleted or finished meanwhile."""


GONE = Gone()
_Made = TypeVar("_Made")
Outcome = Settled | Stopped | Gone | Blocked
OnOutcome = Callable[[Slot, Outcome], None]
"""Called exactly once for each message of an attempt, as soon as it is known where it stands."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every attempt needs. `fence(seconds)`: whether the lease outlives the next seconds; `margin_s` is how many are asked for."""

    client: Client
    outlets: OutletSource
    connections: Connections
    journal: Journal
    flow: Flow
    fence: Callable[[float], bool]
    now: Callable[[], datetime]
    chance: Callable[[], float]
    schedule: Schedule = DEFAULT_SCHEDULE
    margin_s: float = 2.0
    cluster_name: str = ""
    pause_s: float = 1.0
    round_s: float = 1.0
    on_limit: Callable[[ConnectorKey, int], None] = lambda _lane, _connections: None
    minter: Minter = NO_MINTER
    sources: Sources | None = None
    patience_s: float = PATIENCE_S


@dataclass(slots=True)
class Sending:
    """One transaction, ready or under way: what is to be known if it is cut short. `others`: entries of the messages that share its mail."""

    slot: Slot
    progress: Progress
    rules: Rules
    batch: Batch
    payload: bytes
    outlet: Outlet
    entry: Entry
    passed: Pass | None = None
    others: tuple[Entry, ...] = ()
    entered: asyncio.Task[bool] | None = None
    is_stopped: bool = False
    is_body_out: bool = False
    is_taken: bool = False


@dataclass(slots=True)
class Round:
    """Messages that go one after the other; `lent` is the session that the one before left in good order, `taken` its uid."""

    name: str
    waiting: deque[Sending] = field(default_factory=deque)
    lent: Lent | None = None
    taken: str = ""


class Courier:
    """Carries out attempts; keeps nothing between them but the sessions in `desk.connections`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rounds = count(1)

    async def attempt(self, slots: Sequence[Slot], done: OnOutcome) -> None:
        """Try messages of one lane now. Whatever goes wrong is in what `done` is told; where a message stands is changed there."""
        batch = Round(str(next(self._rounds)))
        timer = asyncio.get_running_loop().call_later(self._desk.round_s, self._put_back, batch, done)
        try:
            for slot in slots:
                if sum(len(sending.payload) for sending in batch.waiting) > ROUND_BYTES_MAX:
                    done(slot, Stopped(0.0))
                    continue
                made = await self._guarded(slot, self._prepare(slot))
                if isinstance(made, Sending):
                    made.entry = msgspec.structs.replace(made.entry, party=batch.name, place=len(batch.waiting))
                    batch.waiting.append(made)
                else:
                    done(slot, made)
            while batch.waiting:
                sending = batch.waiting.popleft()
                outcome = await self._timed(sending, batch)
                done(sending.slot, outcome)
                if not sending.is_taken:
                    self._put_back(batch, done)
        finally:
            timer.cancel()
            self._end(batch)

    async def _timed(self, sending: Sending, batch: Round) -> Outcome:
        try:
            with metrics.SEND_SECONDS.time():
                return await self._guarded(sending.slot, self._carry_out(sending, batch))
        finally:
            self._unused(sending)

    def _put_back(self, batch: Round, done: OnOutcome) -> None:
        """The relay is slow, or took one of them not: what has not begun goes to whoever has a connection."""
        while batch.waiting:
            sending = batch.waiting.popleft()
            self._unused(sending)
            done(sending.slot, Stopped(0.0))

    def _end(self, batch: Round) -> None:
        for sending in batch.waiting:
            self._desk.journal.forget(sending.slot.uid)
            self._unused(sending)
        if batch.lent is not None:
            self._desk.connections.give_back(batch.lent)

    def _unused(self, sending: Sending) -> None:
        """What the limits granted and was not used up; nothing to do once the relay was tried."""
        passed, sending.passed = sending.passed, None
        if passed is not None and sending.is_body_out:
            self._desk.flow.ended(passed, None)
        elif passed is not None:
            self._desk.flow.unused(passed)

    async def _guarded(self, slot: Slot, work: "Coroutine[None, None, _Made]") -> "_Made | Stopped":
        try:
            return await work
        except Exception:
            log.exception("a message could not be worked on and is tried again", extra=about(message=slot.label))
            metrics.WORK_FAILURES.labels("outbox").inc()
            return Stopped(self._desk.pause_s * 30)

    async def _prepare(self, slot: Slot) -> Sending | Outcome:
        seen = await self._read(slot)
        return await self._compose(slot, *seen) if isinstance(seen, tuple) else seen

    async def _read(self, slot: Slot) -> tuple[Progress, Letter, Rules, dict[str, Any]] | Outcome:
        """The message as it stands; an outcome where that tells enough."""
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
        return over or (slot.progress, letter, rules, body)

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

    async def _minted(self, progress: Progress, letter: Letter, rules: Rules, body: dict[str, Any]) -> Letter | Settled:
        """The letter with a text that may stand nowhere, made now."""
        desk = self._desk
        made = await desk.minter.mint(body)
        if isinstance(made, Flaw):
            return rejected(progress, Reason.INVALID_MESSAGE, str(made))
        if isinstance(made, Unavailable):
            held = settle(progress, Held(made.reason, made.message), rules, desk.now(), desk.chance())
            # What is missing is no connector, whose change would bring it forward, and such mail has only minutes.
            soon = desk.now() + timedelta(seconds=desk.pause_s * 10)
            return replace(held, due=min(held.due, soon)) if held.due is not None else held
        return filled(letter, made)

    async def _whole(
        self, progress: Progress, letter: Letter, rules: Rules, outlet: Outlet
    ) -> tuple[Letter, Progress] | Settled:
        """The letter with what it names elsewhere, and that it was so; or where the message stands without it."""
        desk = self._desk
        sources = desk.sources or Sources(desk.client)
        found = await sources.whole(letter, outlet.limits.max_message_bytes)
        if isinstance(found, Lack):
            moments = Moments(desk.now(), letter.since, desk.pause_s * 5, desk.patience_s)
            return held_up(progress, found, rules, moments)
        ended = changed(progress, found.digest)
        return ended or (found.letter, replace(progress, content_digest=found.digest))

    async def _composed(self, letter: Letter, outlet: Outlet, known_message_id: str) -> Composed | Flaw:
        size_bytes = sum(len(item.content) for item in letter.attachments if item.data is not None)
        if size_bytes <= _LARGE_BYTES and outlet.dkim is None:
            return compose(letter, outlet, known_message_id, self._desk.cluster_name)
        return await asyncio.to_thread(compose, letter, outlet, known_message_id, self._desk.cluster_name)

    async def _compose(
        self, slot: Slot, progress: Progress, letter: Letter, rules: Rules, body: dict[str, Any]
    ) -> Sending | Outcome:
        desk = self._desk
        outlet = await desk.outlets.outlet(letter.namespace, letter.connector, letter.use)
        if isinstance(outlet, Unavailable):
            if outlet.is_unjudged:
                return Stopped(desk.pause_s * 10, is_held=True)
            return self._without(progress, letter, rules, Held(outlet.reason, outlet.message))
        if letter.is_minted:
            minted = await self._minted(progress, letter, rules, body)
            if isinstance(minted, Settled):
                return minted
            letter = minted
        if letter.has_sources:
            whole = await self._whole(progress, letter, rules, outlet)
            if isinstance(whole, Settled):
                return whole
            letter, progress = whole
        composed = await self._composed(letter, outlet, slot.message_id)
        if isinstance(composed, Flaw):
            if composed.is_of_connector:
                held = Held(Reason.CONNECTOR_NOT_READY, f"the connector {outlet.key} cannot send: {composed}")
                return self._without(progress, letter, rules, held)
            return rejected(progress, Reason.INVALID_MESSAGE, str(composed))
        if outlet.stands_in_for is not None and (problem := misfit(letter, progress.due(desk.now()), outlet, composed)):
            text = f"{outlet.stands_in_for} is not ready, and its fallback {outlet.key} cannot take this message: {problem}"
            return self._without(progress, letter, rules, Held(Reason.CONNECTOR_NOT_READY, text))
        if len(composed.payload) > outlet.limits.max_message_bytes:
            sizes = (
                f"the mail has {len(composed.payload)} bytes, and the connector takes {outlet.limits.max_message_bytes}"
            )
            return rejected(progress, Reason.MESSAGE_TOO_LARGE, sizes)
        slot.message_id = composed.message_id
        if not progress.due(desk.now()):
            return resumed(progress, rules, desk.now())
        # A fallback has mail of its own, and takes no more connections than one for each connector that leans on it.
        desk.on_limit(slot.lane, 1 if outlet.stands_in_for else outlet.limits.max_connections)
        started = desk.now()
        batch = batch_of(letter, progress.due(started), outlet.limits, composed)
        entry = Entry(
            slot.uid,
            slot.namespace,
            slot.name,
            progress.attempts + 1,
            started,
            batch.indexes,
            composed.message_id,
            content_digest=progress.content_digest,
        )
        return self._admit(Sending(slot, progress, rules, batch, composed.payload, outlet, entry), letter)

    def _admit(self, sending: Sending, letter: Letter) -> Sending | Outcome:
        """The last question before the wire: limits and breaker."""
        count = len(sending.batch.indexes)
        if not count:
            return sending
        request = Request(sending.slot.lane, count, is_high=letter.priority is Priority.HIGH)
        answer = self._desk.flow.admit(sending.outlet, request)
        if isinstance(answer, Pass):
            sending.passed = answer
            return sending
        if answer.reason is Reason.RATE_LIMITED or letter.on_unavailable is OnUnavailable.HOLD:
            return answer
        return self._without(sending.progress, letter, sending.rules, Held(answer.reason, answer.message))

    def _without(self, progress: Progress, letter: Letter, rules: Rules, held: Held) -> Settled:
        """No connector takes the message now: it waits, or ends, as `onUnavailable` says."""
        desk = self._desk
        if letter.on_unavailable is OnUnavailable.DISCARD:
            return discarded(progress, held)
        return settle(progress, held, rules, desk.now(), desk.chance())

    async def _carry_out(self, sending: Sending, batch: Round) -> Outcome:
        desk = self._desk
        tried = await self._send(sending, batch)
        if tried is None:
            return Stopped(desk.pause_s)
        settled = settle(sending.progress, tried, sending.rules, desk.now(), desk.chance())
        if settled.verdict.status == "True" and tried.fault is None:
            desk.journal.accept(accepted_entry(sending.entry, tried), is_awaited=bool(batch.waiting))
            sending.is_taken, batch.taken = True, sending.slot.uid
            if sending.outlet.stands_in_for is not None:
                metrics.FALLBACK_MESSAGES.inc()
        return settled

    async def _send(self, sending: Sending, batch: Round) -> Tried | None:
        """None = stopped before anything was sent: the lease or the journal is not ours now."""
        if not sending.batch.indexes:
            return Tried(sending.entry.started, sending.batch.refused)
        report: SubmitReport | Fault | None = None
        for is_second in (False, True):
            lent = await self._session(sending, batch, fresh=is_second)
            if isinstance(lent, Fault):
                report = lent
                break
            report = await self._submit(lent, sending, batch)
            if lent.is_fresh or report is None or not _has_hung_up(report):
                break
        return self._result(sending, report) if report else None

    async def _session(self, sending: Sending, batch: Round, *, fresh: bool) -> Lent | Fault:
        """The one that the message before left open, if it goes to the same relay."""
        connections, kept, batch.lent = self._desk.connections, batch.lent, None
        if kept is not None and not fresh and connections.serves(kept, sending.outlet.relay):
            return Lent(kept.session, is_fresh=False)
        if kept is not None:
            connections.give_back(kept)
        return await connections.borrow(sending.outlet.relay, fresh=fresh)

    def _enter(self, sending: Sending, batch: Round) -> None:
        """The entries of this message and of those that follow it, in one write."""
        for one in (sending, *batch.waiting):
            if one.entered is None:
                entering = self._stand(one) if one.others else self._desk.journal.enter(one.entry)
                one.entered = asyncio.get_running_loop().create_task(entering, name="outbox-journal-entry")

    async def _stand(self, sending: Sending) -> bool:
        """The entries of all messages of one mail: before its body goes out it stands in the journal which they are."""
        entering = [self._desk.journal.enter(entry) for entry in (sending.entry, *sending.others)]
        return all(await asyncio.gather(*entering))

    async def _submit(self, lent: Lent, sending: Sending, batch: Round) -> SubmitReport | None:
        """One transaction on one session; the journal entry is written meanwhile."""
        desk = self._desk
        if not desk.fence(desk.margin_s):
            desk.connections.give_back(lent)
            return None
        if sending.entered is None:
            self._enter(sending, batch)
        try:
            report = await submit(
                lent.session, sending.batch.envelope, sending.payload, lambda: self._may_send_body(sending, batch)
            )
        except asyncio.CancelledError:
            if not sending.is_body_out:
                for entry in (sending.entry, *sending.others):
                    desk.journal.forget(entry.uid)
            raise
        except Exception:
            log.exception("an attempt broke off", extra=about(message=sending.slot.label))
            report = _broken_off(sending)
        if report.fault is None and batch.waiting:
            # A message that was taken leaves nothing to be reset (RFC 5321 §4.1.1.4).
            batch.lent = lent
        else:
            desk.connections.give_back(lent)
        return None if sending.is_stopped else report

    async def _may_send_body(self, sending: Sending, batch: Round) -> bool:
        """The last gate: the journal holds the entry, and that the one before it was taken; and the lease outlives the send."""
        is_entered = sending.entered is not None and await sending.entered
        if is_entered and batch.taken:
            is_entered = await self._desk.journal.stands(batch.taken)
        sending.is_body_out = is_entered and self._desk.fence(self._desk.margin_s)
        sending.is_stopped = not sending.is_body_out
        return sending.is_body_out

    def _result(self, sending: Sending, report: SubmitReport | Fault) -> Tried:
        fault = report if isinstance(report, Fault) else report.fault
        if sending.passed is not None:
            self._desk.flow.ended(sending.passed, fault or _shared(report))
            sending.passed = None
        if fault is not None and (isinstance(report, Fault) or fault.retry is not RetryClass.NEVER):
            self._desk.outlets.report(sending.outlet.key, fault)
        told = fault.message if fault else ""
        results = dict(sending.batch.refused)
        if isinstance(report, SubmitReport):
            told = report.server_response or told
            results |= zip(sending.batch.indexes, report.recipients, strict=True)
        return Tried(sending.entry.started, results, fault, told, str(sending.outlet.key))


def _shared(report: SubmitReport | Fault) -> Fault | None:
    """The provider's wish to slow down is often told for each recipient: it counts if all of them heard it."""
    faults = [result.fault for result in report.recipients] if isinstance(report, SubmitReport) else []
    reasons = {fault.reason if fault else None for fault in faults}
    return faults[0] if len(reasons) == 1 and reasons <= {Reason.RATE_LIMITED, Reason.QUOTA_EXCEEDED} else None


def accepted_entry(entry: Entry, tried: Tried) -> Entry:
    """The line of the journal once the server has taken the mail: with what it answered."""
    codes = tuple((tried.results[i].code, tried.results[i].enhanced_code) for i in entry.indexes)
    return msgspec.structs.replace(entry, accepted=Accepted(tried.server_response[:128], codes))


def _has_hung_up(report: SubmitReport) -> bool:
    """A kept session that the server had closed meanwhile: seen at MAIL, before anything was sent, and no fault of the message's."""
    fault = report.fault
    return fault is not None and fault.stage is StageName.SENDER and fault.reason in _HUNG_UP


def _broken_off(sending: Sending) -> SubmitReport:
    """Our own code failed: after the journal's gate the outcome counts as unknown, before it nothing was sent."""
    outcome = RecipientOutcome.UNKNOWN if sending.is_body_out else RecipientOutcome.DEFERRED
    return SubmitReport(tuple(RecipientResult(address, outcome) for address in sending.batch.envelope.recipients))
