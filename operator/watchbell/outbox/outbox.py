"""The outbox as a whole: messages in, mail out, nothing forgotten.

Before it: the runtime builds it; collectors hand their messages to `submit` in the same process, and an informer brings those of everybody else
and whatever an earlier process left. After it: SMTP, and the result on each message. Here the parts are put together and nothing is decided:
`queue` says what is next, `courier` tries it, `settle` says what that means, `ledger` writes it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from watchbell import metrics
from watchbell.api.events import Action
from watchbell.api.reasons import Reason
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, Invalid
from watchbell.kube.events import EventRecorder
from watchbell.kube.informers import Informers
from watchbell.kube.status import Written
from watchbell.logs import about
from watchbell.outbox.connections import KEEPING, Connections, Keeping
from watchbell.outbox.courier import GONE, MESSAGES, Desk, Outcome, Stopped
from watchbell.outbox.expiry import AUDIT_S, Expiry
from watchbell.outbox.letters.content import PATIENCE_S
from watchbell.outbox.letters.minting import NO_MINTER, NO_WORDS, Minter, Words
from watchbell.outbox.letters.sources import Sources
from watchbell.outbox.limits.counts import Counts
from watchbell.outbox.limits.flow import Flow
from watchbell.outbox.limits.gate import Blocked, Gate
from watchbell.outbox.limits.lines import Lines
from watchbell.outbox.note import Note, note_of
from watchbell.outbox.outlet import ConnectorKey, OutletSource
from watchbell.outbox.queue import QueueState, WorkingSet
from watchbell.outbox.records.entry import Entry, doubtful
from watchbell.outbox.records.inheritance import settle_inherited
from watchbell.outbox.records.journal import Journal
from watchbell.outbox.records.ledger import Ledger
from watchbell.outbox.retry import DEFAULT_SCHEDULE, Schedule
from watchbell.outbox.senders import Senders
from watchbell.outbox.settle import Settled
from watchbell.outbox.slot import Slot
from watchbell.outbox.together.sharing import SharingCourier
from watchbell.outbox.verdict import Verdict
from watchbell.smtp.session import Dialer

log = logging.getLogger(__name__)

CLOSE_S = 3.0
_T = TypeVar("_T")
UNFINISHED = "status.completionTime="
_ENDS = (
    ("True", Reason.ACCEPTED_BY_SERVER),
    ("False", Reason.RECIPIENTS_REFUSED),
    ("False", Reason.MESSAGE_REJECTED),
    ("False", Reason.DEADLINE_EXCEEDED),
    ("False", Reason.OUTCOME_UNKNOWN),
    ("False", Reason.INVALID_MESSAGE),
)
for _result, _reason in _ENDS:
    # Prometheus sees no increase in a series that begins at 1.
    metrics.MESSAGES.labels(_result, _reason.value)


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """The knobs. `namespaces` empty = all; `margin_s`: for how long the lease must still hold when a mail goes out.

    `connections_each`: how many connections a connector gets until its own limit is known; `messages_together`: how many messages one sender
    takes at most, so that their journal entries are one write.
    """

    namespaces: tuple[str, ...] = ()
    send_workers: int = 4
    connections_each: int = 1
    messages_together: int = 16
    patience_s: float = 0.5
    margin_s: float = 2.0
    pause_s: float = 1.0
    grace_s: float = 0.02
    keeping: Keeping = KEEPING
    schedule: Schedule = DEFAULT_SCHEDULE
    audit_s: float = AUDIT_S
    sources_patience_s: float = PATIENCE_S
    cluster_name: str = ""


def _utc_now() -> datetime:
    return datetime.now(UTC)


async def at_once() -> None:
    """For a process that leads from the start: no lease to wait for."""


class Outbox:
    """Sends what is in the cluster's EmailMessages. One process at a time may send: `fence` and the journal see to that.

    `namespace` is the operator's own, where the journal lives; `identity` must differ between any two processes. `lead` returns when this
    process may begin to send (the lease is held).
    """

    def __init__(  # noqa: PLR0913 - the one place where the parts meet; all but three by name
        self,
        client: Client,
        outlets: OutletSource,
        dialer: Dialer,
        *,
        namespace: str,
        identity: str,
        fence: Callable[[float], bool],
        lead: Callable[[], Awaitable[None]] = at_once,
        now: Callable[[], datetime] = _utc_now,
        chance: Callable[[], float] = random.random,
        settings: OutboxSettings = OutboxSettings(),
        minter: Minter = NO_MINTER,
        recorder: EventRecorder | None = None,
        words: Words = NO_WORDS,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._fence = fence
        self._lead = lead
        self._now = now
        self._settings = settings
        self._wake = asyncio.Event()
        self._lost = asyncio.Event()
        self._is_draining = False
        self._workset = WorkingSet(lane_limit=settings.connections_each, grace_s=settings.grace_s)
        self._senders = Senders(settings.send_workers, on_free=self._wake.set, patience_s=settings.patience_s)
        self._journal = Journal(client, namespace, identity, on_lost=self._lost.set)
        self._connections = Connections(dialer, settings.keeping)
        self._ledger = Ledger(client, self._journal, now, self._on_written)
        self._lines = Lines(self._workset, self._ledger.put, settings.schedule)
        self._gate = Gate(settings.schedule)
        self._counts = Counts(client, namespace, self._gate, now)
        self._expiry = Expiry(client, now, settings.namespaces, settings.audit_s)
        self._desk = Desk(
            client,
            outlets,
            self._connections,
            self._journal,
            Flow(self._gate, outlets, now, self._counts.keep, self._resume),
            fence,
            now,
            chance,
            settings.schedule,
            settings.margin_s,
            settings.cluster_name,
            settings.pause_s,
            on_limit=self._widen,
            minter=minter,
            sources=Sources(client, words, namespace),
            patience_s=settings.sources_patience_s,
        )
        self._courier = SharingCourier(self._desk)
        self._informers = Informers(
            client,
            MESSAGES,
            Note,
            settings.namespaces,
            field_selector=UNFINISHED,
            on_change=self._on_change,
            on_added=self._on_added,
        )

    # --- what others call

    def submit(self, body: dict[str, Any]) -> None:
        """A message that was just created in the API: it goes out without waiting for the watch to bring it."""
        if self._workset.add(note_of(body), self._seconds(), body):
            self._wake.set()

    def connector_changed(self, key: ConnectorKey) -> None:
        """Messages that wait for this connector are looked at again at once."""
        if self._workset.release(key, self._seconds()):
            self._wake.set()

    def connector_proven(self, key: ConnectorKey) -> None:
        """A probe of this connector passed: if its relay was left alone, a mail may try it now."""
        self._resume(self._gate.proven(key, self._seconds()))

    @property
    def queue_depth(self) -> int:
        """Messages that are not finished."""
        return len(self._workset)

    @property
    def census(self) -> Mapping[QueueState, tuple[int, float]]:
        """Unfinished messages by state: how many, and the age of the oldest in seconds."""
        return self._workset.census(self._seconds())

    @property
    def open_breakers(self) -> int:
        """Relays that are left alone at present."""
        return self._gate.open_breakers

    @property
    def is_synced(self) -> bool:
        """Whether every unfinished message of the cluster has been seen."""
        return self._informers.is_synced

    async def run(self) -> None:
        """Watches at once, sends when `lead` returns. Returns when another process has taken the journal: then this one must not lead."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._informers.run()), group.create_task(self._work())]
                await self._lost.wait()
                for task in tasks:
                    task.cancel()
        finally:
            await self._close()

    async def drain(self, deadline_s: float) -> None:
        """Take nothing new, and wait up to `deadline_s` for what is under way and its results. `run` still has to be cancelled after it."""
        self._is_draining = True
        try:
            async with asyncio.timeout(deadline_s):
                await self._until_quiet()
        except TimeoutError:
            log.warning(
                "not all mail under way ended in time; the journal knows which", extra=about(left=self._senders.busy)
            )

    # --- inside

    def _seconds(self) -> float:
        return self._now().timestamp()

    def _on_added(self, new: Note, whole: bytes) -> None:
        """A message that was made since this process has the journal: nobody else can have sent it, so it need not be read again."""
        began, version = self._journal.began, new.metadata.resource_version
        if began is None or new.status.conditions or not version.isdecimal() or int(version) <= began:
            return
        if self._workset.add(new, self._seconds(), whole):
            self._wake.set()

    def _on_change(self, old: Note | None, new: Note | None) -> None:
        """The watch tells of new and of vanished messages; between these the outbox itself is the only one who writes their status."""
        if new is not None:
            if new.metadata.deletion_timestamp is not None:
                self._workset.cancel(new.metadata.uid)
            elif self._workset.add(new, self._seconds()):
                self._wake.set()
        elif old is not None:
            self._workset.cancel(old.metadata.uid)

    async def _work(self) -> None:
        await self._lead()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ledger.run())
            await self._take_over(group)
            group.create_task(self._expiry.run())
            await self._dispatch(group)

    async def _take_over(self, group: asyncio.TaskGroup) -> None:
        """Nothing is sent before every mail is settled that an earlier process left under way. What it knew to be out only waits for its result."""
        entries = await self._until_done(self._journal.open)
        await self._until_done(self._counts.open)
        in_doubt = doubtful(entries)
        for entry in in_doubt:
            await self._until_done(partial(self._inherit, entry))
        known = {entry.uid for entry in in_doubt}
        for entry in entries:
            if entry.accepted is not None:
                self._workset.remove(entry.uid)
            elif entry.uid not in known:
                self._journal.forget(entry.uid)  # its turn had not come
        taken = [entry for entry in entries if entry.accepted is not None]
        group.create_task(self._inherit_all(taken), name="outbox-inherited")

    async def _inherit_all(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            await self._until_done(partial(self._inherit, entry))

    async def _until_done(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Again and again, ever more slowly, until the API server lets it be done."""
        failures = 0
        while True:
            try:
                return await work()
            except ApiError as error:
                failures += 1
                pause_s = min(30.0, self._settings.pause_s * 2**failures)
                log.warning("the outbox cannot take over yet, next try in %.0f s: %s", pause_s, error)
                await asyncio.sleep(pause_s)

    async def _inherit(self, entry: Entry) -> None:
        try:
            await settle_inherited(self._desk, entry)
            self._workset.look_again(entry.uid, self._seconds())
        except (Invalid, msgspec.ValidationError):
            # One object that the schema and we read differently must not keep all the other mail waiting.
            log.exception(
                "an entry of the journal cannot be settled", extra=about(message=f"{entry.namespace}/{entry.name}")
            )

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            is_blocked = self._journal.is_failing or not self._fence(self._settings.margin_s)
            while not is_blocked and not self._is_draining and self._senders.has_room:
                slots = self._workset.take_party(self._seconds(), self._settings.messages_together)
                if not slots:
                    break
                group.create_task(self._serve(slots), name=f"outbox-send {slots[0].label}")
            self._lines.tell_newcomers(self._seconds())
            await self._sleep(is_blocked=is_blocked)

    async def _sleep(self, *, is_blocked: bool) -> None:
        """Until something happens, or the next message is due; while lease or journal are in doubt, a moment."""
        due = self._workset.next_due()
        pause_s = self._settings.pause_s if is_blocked else None
        if pause_s is None and due is not None and not self._is_draining and self._senders.has_room:
            pause_s = max(0.0, due - self._seconds())
        timer = None if pause_s is None else asyncio.get_running_loop().call_later(pause_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _serve(self, slots: Sequence[Slot]) -> None:
        seat = self._senders.sit()
        try:
            await self._courier.attempt(slots, self._on_outcome)
        finally:
            for slot in slots:
                self._workset.finished(slot)
            seat.leave()

    def _on_outcome(self, slot: Slot, outcome: Outcome) -> None:
        self._workset.finished(slot)
        self._workset.drop_body(slot)
        self._take_in(slot, outcome)
        self._wake.set()

    def _widen(self, lane: ConnectorKey, connections: int) -> None:
        """A connector's own limit is known once a message looked it up."""
        self._workset.widen(lane, connections)

    def _resume(self, lanes: Iterable[ConnectorKey]) -> None:
        """What these lanes waited for is there, or may be."""
        if lanes := tuple(lanes):
            self._workset.resume(lanes)
            self._wake.set()

    def _take_in(self, slot: Slot, outcome: Outcome) -> None:
        if isinstance(outcome, Settled):
            slot.progress = outcome.progress
            self._ledger.put(slot, outcome)
            return
        self._journal.forget(slot.uid)
        if isinstance(outcome, Blocked):
            self._lines.stand(slot, outcome, self._seconds())
        elif isinstance(outcome, Stopped):
            if outcome.is_apart:
                self._workset.part(slot)
            self._workset.put_back(slot, self._seconds() + outcome.after_s, is_held=outcome.is_held)
            self._wake.set()
        elif outcome is GONE:
            self._workset.remove(slot.uid)

    def _on_written(self, slot: Slot, settled: Settled, written: Written) -> None:
        verdict = settled.verdict
        log.info(
            "mail",
            extra=about(
                message=slot.label,
                result=verdict.status,
                reason=verdict.reason.value,
                attempts=settled.progress.attempts,
            ),
        )
        if written is Written.GONE or settled.due is None:
            self._workset.remove(slot.uid)
            if written is not Written.GONE:
                metrics.MESSAGES.labels(verdict.status, verdict.reason.value).inc()
                self._expiry.finished(slot.note, self._now())
                self._tell_failure(slot, verdict)
        elif settled.is_in_line:
            self._lines.returned(slot, settled)
        else:
            self._workset.put_back(slot, settled.due.timestamp(), is_held=settled.is_held)
        self._wake.set()

    def _tell_failure(self, slot: Slot, verdict: Verdict) -> None:
        """A mail that did not go out is told as an Event (and a metric, and its condition), never as another mail."""
        if self._recorder is None or verdict.status != "False":
            return
        note = f"{verdict.reason}: {verdict.message}"
        self._recorder.emit(slot.ref, type_="Warning", reason="MailFailed", action=Action.SEND, note=note)

    async def _until_quiet(self) -> None:
        while self._senders.busy or len(self._ledger):
            self._wake.clear()
            await self._wake.wait()

    async def _close(self) -> None:
        await self._connections.close()
        try:
            # A process that is to end has seconds; a successor finds that these entries are settled.
            async with asyncio.timeout(CLOSE_S):
                await self._journal.close()
                await self._counts.close(is_lost=self._journal.is_lost)
        except (ApiError, TimeoutError) as error:
            log.warning(
                "the outbox journal keeps entries that are settled: %s", str(error) or f"no answer within {CLOSE_S:g} s"
            )
