"""Deletes finished AccountRecoveries whose `ttlSecondsAfterFinished` is over; those without one are kept.

Before it: `reconcile` has written a completion time. One that finished under this process gets a timer; a slow audit of all finds what an earlier
process left. With an AccountRecovery go its message and the Secret with the hashes of its codes.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchbell.accounts.minter import RECOVERIES
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, Conflict, NotFound
from watchbell.kube.workqueue import WorkQueue

log = logging.getLogger(__name__)

AUDIT_S = 1800.0
FINISHED = "status.completionTime!="
_WORKERS = 2
Key = tuple[str, str, str]


class _Meta(msgspec.Struct):
    name: str
    namespace: str
    uid: str


class _Spec(msgspec.Struct, rename="camel"):
    ttl_seconds_after_finished: int | None = None


class _Status(msgspec.Struct, rename="camel"):
    completion_time: datetime | None = None


class _Finished(msgspec.Struct):
    metadata: _Meta
    spec: _Spec
    status: _Status


class _Page(msgspec.Struct):
    items: list[_Finished] | None = None


_PAGE = msgspec.json.Decoder(_Page)


class Expiry:
    """Deletions that are due, in `namespaces` (empty = all), while `leading()`."""

    def __init__(
        self,
        client: Client,
        now: Callable[[], datetime],
        namespaces: tuple[str, ...],
        leading: Callable[[], bool],
    ) -> None:
        self._client = client
        self._now = now
        self._namespaces = namespaces
        self._leading = leading
        self._queue: WorkQueue[Key] = WorkQueue(self._delete, workers=_WORKERS, name="account-expiry")

    def finished(self, body: Mapping[str, Any], completion: datetime) -> None:
        """This AccountRecovery is finished since `completion`: delete it in time, if it asks for that."""
        ttl_s = (body.get("spec") or {}).get("ttlSecondsAfterFinished")
        if isinstance(ttl_s, int):
            meta = body["metadata"]
            self._set_timer((str(meta["namespace"]), str(meta["name"]), str(meta["uid"])), ttl_s, completion)

    async def run(self) -> None:
        """Deletes and audits until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            while True:
                if self._leading():
                    await self._audit()
                await asyncio.sleep(AUDIT_S if self._leading() else 1.0)

    def _set_timer(self, key: Key, ttl_s: int, completion: datetime) -> None:
        left_s = (completion + timedelta(seconds=ttl_s) - self._now()).total_seconds()
        if left_s <= AUDIT_S:
            self._queue.add_after(key, max(0.0, left_s))

    async def _audit(self) -> None:
        try:
            for namespace in self._namespaces or (None,):
                async with aclosing(self._client.pages(RECOVERIES, namespace, field_selector=FINISHED)) as pages:
                    async for page in pages:
                        self._take(_PAGE.decode(page).items or [])
        except ApiError as error:
            log.warning("finished AccountRecoveries cannot be listed, next try in %.0f s: %s", AUDIT_S, error)

    def _take(self, items: list[_Finished]) -> None:
        for item in items:
            ttl_s, completion = item.spec.ttl_seconds_after_finished, item.status.completion_time
            if ttl_s is not None and completion is not None:
                self._set_timer((item.metadata.namespace, item.metadata.name, item.metadata.uid), ttl_s, completion)

    async def _delete(self, key: Key) -> None:
        if not self._leading():
            return
        namespace, name, uid = key
        with contextlib.suppress(NotFound, Conflict):
            await self._client.delete(RECOVERIES, name, namespace, uid=uid)
