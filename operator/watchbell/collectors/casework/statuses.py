"""The incidents' own statuses: written at once where people are told by what stands there, else together, and after all that is more urgent.

Before: `desk` and `mailroom` change a case. After: `kubectl get colinc` shows it, and a process that takes over reads it. An alert never waits
for this.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from watchbell.api.names import API_VERSION
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.incidents import Incident, closed_at
from watchbell.collectors.casework.letters import INCIDENT_KIND
from watchbell.collectors.casework.records import MANAGER, incident_status
from watchbell.collectors.casework.surroundings import Surroundings
from watchbell.kube.client import custom
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status
from watchbell.kube.workqueue import WorkQueue

INCIDENTS = custom("collectorincidents")
FLUSH_S = 0.5
"""A status waits so long for company."""
PATIENCE_S = 15.0
"""And so long at most for tellings under way."""
BUSY_POLL_S = 0.5
WORKERS = 4
_KEPT = ("type", "status", "lastTransitionTime")
"""What the next merge needs of a condition."""


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Statuses:
    """Writes the status of cases. One write of a case at a time, each with what is so at that moment."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._turns: dict[str, _Turn] = {}
        self._queue: WorkQueue[str] = WorkQueue(
            self._flush, workers=WORKERS, name="incident statuses", clock=around.clock
        )

    @property
    def failures(self) -> int:
        """Units of work that ended in an unexpected error."""
        return self._queue.failures

    async def run(self) -> None:
        """Works until cancelled."""
        await self._queue.run()

    async def idle(self) -> None:
        """Waits until no status is being written; timers may be set."""
        await self._queue.idle()

    def note(self, case: Case) -> None:
        """The case's status is not what stands in the object any more."""
        if case.dirty_since is None:
            case.dirty_since = self._around.clock()
            self._queue.add_after(case.fingerprint, FLUSH_S)

    async def write(self, case: Case) -> bool:
        """Whether the status stands there now; an object that somebody deleted takes its case with it."""
        async with self._turn(case.fingerprint):
            case.dirty_since, case.is_changed = None, False
            incident = case.incident
            status = incident_status(incident, case.conditions, self._around.now(), case.rest, case.rest_by)
            try:
                written = await write_status(
                    self._around.client, INCIDENTS, reference(incident), status, None, manager=MANAGER
                )
            except BaseException:
                self.note(case)
                raise
            if written is Written.GONE:
                self._lose(case)
                return False
            case.conditions = [{key: item[key] for key in _KEPT} for item in status["conditions"]]
            if case.incident.notifications == incident.notifications:
                case.is_intent_due = False
            return True

    @asynccontextmanager
    async def _turn(self, fingerprint: str) -> AsyncIterator[None]:
        """One after the other, so that what is written last is what is so."""
        turn = self._turns.setdefault(fingerprint, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[fingerprint]

    async def _flush(self, fingerprint: str) -> float | None:
        around = self._around
        case = around.load.cases.get(fingerprint)
        if case is None or case.dirty_since is None or not case.incident.uid or not around.leading():
            return None
        if around.is_busy() and around.clock() - case.dirty_since < PATIENCE_S:
            return BUSY_POLL_S
        await self.write(case)
        return None

    def _lose(self, case: Case) -> None:
        around = self._around
        if around.load.cases.get(case.fingerprint) is case:
            around.load.drop(case.fingerprint)
            around.load.succeed(case.fingerprint, closed_at(case.incident, around.now()))
            around.on_change(case.policy_key)


def reference(incident: Incident) -> ObjectRef:
    """The very object of an incident."""
    return ObjectRef(API_VERSION, INCIDENT_KIND, incident.name, incident.group.namespace, incident.uid)
