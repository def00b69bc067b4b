"""Writes results: one server-side apply on `/status` for each attempt, tried until it stands.

Before it: `settle` decided. After it: the journal's entry may go, and the message waits for its next attempt or leaves the working set. A result
that is not written yet keeps its journal entry: should the process die now, its successor takes the outcome for unknown and not for untried.
What the server took for good is told in the journal already, so its result waits until nobody else asks the API server for anything.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbell.api.conditions import find
from watchbell.kube.client import Client
from watchbell.kube.status import Written, write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.outbox.courier import MESSAGES
from watchbell.outbox.records.journal import Journal
from watchbell.outbox.records.record import status_of
from watchbell.outbox.settle import Settled
from watchbell.outbox.slot import Slot

log = logging.getLogger(__name__)

MANAGER = "watchbell-outbox"
_WORKERS = 8
_LATER_WORKERS = 4


OnWritten = Callable[[Slot, Settled, Written], None]


@dataclass(frozen=True, slots=True)
class _Result:
    slot: Slot
    settled: Settled
    time: datetime


class Ledger:
    """Results on their way to the API server, one at most for a message. `on_written` is told of each when it stands, or when its object is gone."""

    def __init__(self, client: Client, journal: Journal, now: Callable[[], datetime], on_written: OnWritten) -> None:
        self._client = client
        self._journal = journal
        self._now = now
        self._on_written = on_written
        self._results: dict[str, _Result] = {}
        self._queue: WorkQueue[str] = WorkQueue(self._write, workers=_WORKERS, name="outbox-ledger")
        self._later: WorkQueue[str] = WorkQueue(self._write_later, workers=_LATER_WORKERS, name="outbox-ledger-later")

    def __len__(self) -> int:
        return len(self._results)

    def put(self, slot: Slot, settled: Settled) -> None:
        """Have the result written; returns at once."""
        self._results[slot.uid] = _Result(slot, settled, self._now())
        can_wait = settled.verdict.status == "True" and self._journal.has_room
        (self._later if can_wait else self._queue).add(slot.uid)

    async def run(self) -> None:
        """Writes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._later.run())

    async def idle(self) -> None:
        """Waits until every result that can be written now is written."""
        await self._queue.idle()
        await self._later.idle()

    async def _write(self, uid: str) -> None:
        await self._write_by(self._client, uid)

    async def _write_later(self, uid: str) -> None:
        await self._write_by(self._client.in_background, uid)

    async def _write_by(self, client: Client, uid: str) -> None:
        result = self._results.get(uid)
        if result is None:
            return
        written = await self._apply(client, result)
        self._results.pop(uid, None)
        self._journal.forget(uid)
        self._on_written(result.slot, result.settled, written)

    async def _apply(self, client: Client, result: _Result) -> Written:
        slot = result.slot
        generation = slot.note.metadata.generation
        status = status_of(result.settled, generation, slot.message_id, slot.conditions, result.time)
        is_news = slot.written != result.settled.progress or not _says_the_same(slot.conditions, status["conditions"])
        is_news = is_news or result.settled.is_in_line
        if not is_news and not result.settled.verdict.is_final:
            return Written.UNCHANGED
        written = await write_status(client, MESSAGES, slot.ref, status, None, manager=MANAGER)
        if written is Written.APPLIED:
            slot.conditions = tuple(status["conditions"])
            slot.written = result.settled.progress
        return written


def _says_the_same(before: tuple[dict[str, Any], ...], after: list[dict[str, Any]]) -> bool:
    old, new = find(before, "Succeeded"), find(after, "Succeeded")
    return (
        old is not None and new is not None and all(old.get(key) == new[key] for key in ("status", "reason", "message"))
    )
