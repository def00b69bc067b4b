"""Deletes finished messages whose `ttlSecondsAfterFinished` is over; messages without one are kept.

Before it: the ledger has written a completion time. A message that finished under this process gets a timer; a slow audit of all finished ones
finds what an earlier process left. Only those due before the next audit are kept in mind, so a year of mail costs nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime, timedelta

import msgspec

from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, Conflict, NotFound
from watchbell.kube.workqueue import WorkQueue
from watchbell.outbox.courier import MESSAGES
from watchbell.outbox.note import Note

log = logging.getLogger(__name__)

AUDIT_S = 3600.0
FINISHED = "status.completionTime!="
_WORKERS = 2


class _Page(msgspec.Struct):
    items: list[Note] | None = None


_PAGE = msgspec.json.Decoder(_Page)
Key = tuple[str, str, str]


class Expiry:
    """Deletions that are due. `namespaces` as the outbox watches them; empty = all."""

    def __init__(
        self, client: Client, now: Callable[[], datetime], namespaces: tuple[str, ...], audit_s: float = AUDIT_S
    ) -> None:
        self._client = client
        self._now = now
        self._namespaces = namespaces
        self._audit_s = audit_s
        self._queue: WorkQueue[Key] = WorkQueue(self._delete, workers=_WORKERS, name="outbox-expiry")

    def finished(self, note: Note, completion: datetime) -> None:
        """A message is settled since `completion`: delete it in time, if it asks for that."""
        ttl_s = note.spec.ttl_seconds_after_finished
        if ttl_s is None:
            return
        left_s = (completion + timedelta(seconds=ttl_s) - self._now()).total_seconds()
        if left_s <= self._audit_s:
            meta = note.metadata
            self._queue.add_after((meta.namespace, meta.name, meta.uid), left_s)

    async def run(self) -> None:
        """Deletes and audits until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            while True:
                await self._audit()
                await asyncio.sleep(self._audit_s)

    async def _audit(self) -> None:
        try:
            for namespace in self._namespaces or (None,):
                await self._audit_namespace(namespace)
        except ApiError as error:
            log.warning("finished messages cannot be listed, next try in %.0f s: %s", self._audit_s, error)

    async def _audit_namespace(self, namespace: str | None) -> None:
        async with aclosing(self._client.pages(MESSAGES, namespace, field_selector=FINISHED)) as pages:
            async for page in pages:
                for note in _PAGE.decode(page).items or ():
                    if note.status.completion_time is not None:
                        self.finished(note, note.status.completion_time)

    async def _delete(self, key: Key) -> None:
        namespace, name, uid = key
        try:
            await self._client.delete(MESSAGES, name, namespace, uid=uid)
        except (NotFound, Conflict):
            log.debug("%s/%s is gone already", namespace, name)
