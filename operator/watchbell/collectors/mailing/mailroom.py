"""The mailroom: one room for each policy, in which tellings that do not go at once wait for company, for the period's end, or for the budget.

Before: `desk` offers a telling that is due. After: `telling` makes the mail of it and of those that `batches` puts beside it. A digest's
EmailMessage is
the record of who was told what: what is in memory here can be lost at any line. A batch that was begun is finished as it is, however often that
takes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from watchbell.api.enums import Transition
from watchbell.collectors.casework.batches import Batch, History, Request, Why, plan_mails
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.decisions import Rest, wait_s
from watchbell.collectors.casework.statuses import Statuses
from watchbell.collectors.casework.surroundings import Surroundings
from watchbell.collectors.mailing.telling import LeftoverMessageError, Teller
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.kube.errors import ApiError
from watchbell.kube.workqueue import WorkQueue
from watchbell.logs import about

log = logging.getLogger(__name__)

WORKERS = 8
INTENTS_AT_ONCE = 16
NO_RECIPIENTS_POLL_S = 30.0
"""So often it is looked whether the recipients of a telling that nobody could get are there."""


@dataclass(slots=True)
class _Room:
    """`alone`: tellings that go by themselves and are not in the outbox yet; `todo`: batches that were begun, `rests`: why the others wait."""

    history: History = field(default_factory=History)
    waiting: dict[str, Request] = field(default_factory=dict)
    rests: dict[str, Rest] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    todo: deque[Batch] = field(default_factory=deque)


class Mailroom:
    """See the module's text. `prepare` gathers what a mail about one incident says; `finish` hears of each telling that is in the outbox."""

    def __init__(
        self,
        around: Surroundings,
        teller: Teller,
        statuses: Statuses,
        prepare: Callable[[Case, Policy], Awaitable[None]],
        finish: Callable[[Case], None],
    ) -> None:
        self._around, self._teller, self._statuses = around, teller, statuses
        self._prepare, self._finish = prepare, finish
        self._rooms: dict[PolicyKey, _Room] = {}
        self._queue: WorkQueue[PolicyKey] = WorkQueue(self._work, workers=WORKERS, name="mails", clock=around.clock)

    @property
    def failures(self) -> int:
        """Units of work that ended in an unexpected error."""
        return self._queue.failures

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way."""
        return any(room.todo for room in self._rooms.values())

    async def run(self) -> None:
        """Works until cancelled."""
        await self._queue.run()

    async def idle(self) -> None:
        """Waits until no batch is being made; timers may be set."""
        await self._queue.idle()

    def remember(self, key: PolicyKey, history: History) -> None:
        """What went out before this process began."""
        self._rooms[key] = _Room(history)

    def clear(self) -> None:
        """Somebody else leads now."""
        self._rooms.clear()

    def forget(self, key: PolicyKey) -> None:
        """The policy is gone; another of its name begins anew."""
        self._rooms.pop(key, None)
        self._queue.forget(key)

    def wake(self, key: PolicyKey) -> None:
        """The policy changed: what waits may be due."""
        if key in self._rooms:
            self._queue.add(key)

    # --- one telling

    def offer(self, case: Case, policy: Policy) -> Rest | None:
        """Why the case's pending telling waits; None = it goes now, alone, and the caller makes its mail (then `done`)."""
        room = self._rooms.setdefault(policy.key, _Room())
        request = self._request(case, policy)
        fingerprint = case.fingerprint
        known = room.waiting.get(fingerprint)
        if known is not None and replace(known, due=request.due) == request:
            return room.rests.get(fingerprint, Rest.WAITING_FOR_MORE)
        if not room.waiting and (policy.plan.max_incidents == 1 or not (room.alone or room.todo)):
            mailing = plan_mails((request,), room.history, policy.plan, self._around.now())
            if mailing.batches and not mailing.batches[0].is_digest:
                room.history = mailing.history
                room.alone.add(fingerprint)
                return None
        room.waiting[fingerprint] = request
        self._queue.add(policy.key)
        return room.rests.setdefault(fingerprint, Rest.WAITING_FOR_MORE)

    def done(self, case: Case) -> None:
        """A telling that went alone is in the outbox, or failed and is tried again: the others need not wait for it."""
        room = self._rooms.get(case.policy_key)
        if room is not None and case.fingerprint in room.alone:
            room.alone.discard(case.fingerprint)
            if room.waiting:
                self._queue.add(case.policy_key)

    def _request(self, case: Case, policy: Policy) -> Request:
        incident, now = case.incident, self._around.now()
        pending = incident.pending
        transition = pending.transition if pending is not None else Transition.FIRED
        due = now
        if policy.plan.max_incidents > 1:
            # What began together ends together and is due for a reminder together.
            wait = timedelta(seconds=wait_s(incident, policy.plan))
            since = pending.time if pending is not None and transition is not Transition.FIRED else incident.start_time
            # A node's clock that runs ahead delays no mail for longer than the wait.
            due = min(since + wait, now + wait)
        return Request(case.fingerprint, transition, incident.severity, due, incident.silenced_by)

    # --- many

    async def _work(self, key: PolicyKey) -> float | None:
        room, policy = self._rooms.get(key), self._around.policy(key)
        if room is None or policy is None:
            self._rooms.pop(key, None)
            return None
        if not policy.is_enforced or not self._around.leading():
            return None
        wait_s = None
        if policy.plan.max_incidents == 1 or not room.alone:
            wait_s = self._plan(room, policy)
        if room.todo:
            retry_s = await self._send_all(room, policy)
            return retry_s if retry_s is not None else 0.0
        return wait_s

    def _plan(self, room: _Room, policy: Policy) -> float | None:
        for fingerprint in [key for key in room.waiting if not self._is_wanted(key)]:
            room.waiting.pop(fingerprint)
            room.rests.pop(fingerprint, None)
        mailing = plan_mails(room.waiting.values(), room.history, policy.plan, self._around.now())
        for fingerprint, rest in mailing.held:
            self._show(room, fingerprint, rest)
        room.history = mailing.history
        for batch in mailing.batches:
            room.todo.append(batch)
            for fingerprint in batch.keys:
                room.waiting.pop(fingerprint, None)
                room.rests.pop(fingerprint, None)
                case = self._around.load.cases[fingerprint]
                case.incident = replace(case.incident, is_under_way=True)
        return mailing.wait_s

    def _is_wanted(self, fingerprint: str) -> bool:
        case = self._around.load.cases.get(fingerprint)
        return case is not None and case.incident.pending is not None and not case.incident.is_under_way

    def _show(self, room: _Room, fingerprint: str, rest: Rest) -> None:
        if room.rests.get(fingerprint) is rest:
            return
        room.rests[fingerprint] = rest
        case = self._around.load.cases.get(fingerprint)
        if case is not None and case.rest is not rest:
            case.rest, case.rest_by = rest, ""
            self._statuses.note(case)

    async def _send_all(self, room: _Room, policy: Policy) -> float | None:
        """Each batch once; what fails stays, and keeps nobody else waiting. The seconds until it is worth trying again what nobody could get."""
        error: Exception | None = None
        retry_s = None
        for batch in tuple(room.todo):
            try:
                is_told = await self._send(policy, batch)
            except (ApiError, LeftoverMessageError) as failed:
                error = failed
                log.warning("a mail could not be made yet: %s", failed, extra=about(policy="/".join(policy.key)))
                continue
            if is_told:
                room.todo.remove(batch)
            else:
                retry_s = NO_RECIPIENTS_POLL_S
        if error is not None:
            raise error
        return retry_s

    async def _send(self, policy: Policy, batch: Batch) -> bool:
        found = [self._around.load.cases.get(fingerprint) for fingerprint in batch.keys]
        cases = await self._intended([case for case in found if case is not None and case.incident.pending is not None])
        if not cases:
            return True
        if batch.is_digest:
            silence = self._around.silences.find(policy.key[0], batch.silence) if batch.silence else None
            is_told = await self._teller.tell_together(cases, policy, batch, silence)
        else:
            await self._prepare(cases[0], policy)
            pending = cases[0].incident.pending
            is_told = pending is None or await self._teller.tell(cases[0], policy, pending)
        for case in cases:
            if is_told:
                self._finish(case)
            else:
                case.rest = Rest.RECIPIENTS_NOT_FOUND
                self._statuses.note(case)
        if is_told and batch.why is not Why.TOGETHER:
            log.info("digest made", extra=about(policy="/".join(policy.key), why=batch.why, tellings=len(cases)))
        return is_told

    async def _intended(self, cases: Sequence[Case]) -> list[Case]:
        """The cases whose intent stands in their status; those whose object somebody deleted are left out."""
        places = asyncio.Semaphore(INTENTS_AT_ONCE)

        async def write(case: Case) -> bool:
            async with places:
                return not case.is_intent_due or await self._statuses.write(case)

        results = await asyncio.gather(*(write(case) for case in cases), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [case for case, is_there in zip(cases, results, strict=True) if is_there]
