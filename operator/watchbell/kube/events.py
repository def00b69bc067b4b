"""Posts Events (events.k8s.io/v1) about objects, without ever making anybody wait or fail.

Before it: reconcilers, which call `emit`. `series` decides what is joined; this holds the bounded queue and does the calls. An Event is a
courtesy: what cannot be posted is dropped, counted in `dropped` and logged once a minute, never silently.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from watchbell.kube.client import EVENTS, Client
from watchbell.kube.errors import ApiError, NotFound, ServerError, Throttled, Unreachable
from watchbell.kube.resources import ObjectRef
from watchbell.kube.series import EventKey, Ledger, Series

log = logging.getLogger(__name__)

QUEUE_MAX = 1000
NOTE_MAX = 1024
SWEEP_S = 60.0
LINGER_S = 0.05
"""After a rest the first Event waits so long: what it tells of is being worked on in the same moment, and that goes first."""
_ATTEMPTS = 3
_RETRY_S = 2.0
_TEMPORARY = (Unreachable, ServerError, Throttled)


class EventRecorder:
    """`dropped` counts by cause: `QueueFull`, `Flood` (too many about one object), or the API's reason."""

    def __init__(
        self,
        client: Client,
        *,
        reporting_controller: str,
        instance: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._client = client.in_background
        self._controller = reporting_controller
        self._instance = instance[:128]
        self._now = now
        self._ledger = Ledger()
        self._queue: asyncio.Queue[tuple[EventKey, datetime]] = asyncio.Queue(QUEUE_MAX)
        self._told = 0

    def emit(self, regarding: ObjectRef, *, type_: str, reason: str, action: str, note: str) -> None:
        """`type_` is Normal or Warning; `reason` and `action` are CamelCase; a note over 1,024 characters is cut. Returns at once."""
        key = EventKey(regarding, type_, reason[:128], action[:128], _cut(note))
        try:
            self._queue.put_nowait((key, self._now()))
        except asyncio.QueueFull:
            self.dropped["QueueFull"] += 1

    async def run(self) -> None:
        """Posts until cancelled. Nothing that the API answers ends it."""
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + SWEEP_S
        while True:
            has_rested = self._queue.empty()
            try:
                async with asyncio.timeout_at(sweep_at):
                    key, at = await self._queue.get()
            except TimeoutError:
                sweep_at = loop.time() + SWEEP_S
                await self._sweep()
                continue
            try:
                if has_rested:
                    await asyncio.sleep(LINGER_S)
                await self._post(key, at)
            finally:
                self._queue.task_done()

    async def flushed(self) -> None:
        """Waits until all that was emitted so far was posted or dropped."""
        await self._queue.join()

    async def _post(self, key: EventKey, at: datetime) -> None:
        series = self._ledger.seen(key, at)
        if series is not None:
            if series.is_due():
                await self._extend(key, series)
            return
        if not self._ledger.admits(key.regarding, at):
            self.dropped["Flood"] += 1
            return
        name = f"{key.regarding.name[:230]}.{secrets.token_hex(8)}"
        try:
            done = await self._call(lambda: self._client.create(EVENTS, self._body(key, name, at), _namespace(key)))
        except NotFound as error:
            self.dropped[error.reason] += 1
            return
        if done:
            self._ledger.begin(key, name, at)

    async def _extend(self, key: EventKey, series: Series) -> None:
        body = {"series": {"count": series.count, "lastObservedTime": _stamp(series.last)}}
        try:
            done = await self._call(lambda: self._client.patch(EVENTS, series.name, body, _namespace(key)))
        except NotFound:
            # Events live an hour; the next one begins a new series.
            self._ledger.drop(key)
            return
        if done:
            self._ledger.written(key, series)

    async def _sweep(self) -> None:
        for key, series in self._ledger.sweep(self._now()):
            await self._extend(key, series)
        total = self.dropped.total()
        if total > self._told:
            log.warning("%d Events were dropped since the last such line: %s", total - self._told, dict(self.dropped))
            self._told = total

    async def _call(self, call: Callable[[], Awaitable[object]]) -> bool:
        """Whether it was done; NotFound is for the caller, temporary failures are tried again, all others are counted."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await call()
            except NotFound:
                raise
            except _TEMPORARY as error:
                if attempt == _ATTEMPTS:
                    self.dropped[error.reason] += 1
                    return False
                await asyncio.sleep(_RETRY_S * attempt)
            except ApiError as error:
                self.dropped[error.reason] += 1
                log.info("An Event was refused: %s", error)
                return False
            else:
                return True
        return False

    def _body(self, key: EventKey, name: str, at: datetime) -> dict[str, Any]:
        return {
            "apiVersion": EVENTS.api_version,
            "kind": "Event",
            "metadata": {"name": name, "namespace": _namespace(key)},
            "eventTime": _stamp(at),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "regarding": key.regarding.as_regarding(),
            "type": key.type,
            "reason": key.reason,
            "action": key.action,
            "note": key.note,
        }


def _namespace(key: EventKey) -> str:
    """Events about kinds without a namespace live in `default`, as the API asks."""
    return key.regarding.namespace or "default"


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _cut(note: str) -> str:
    """The API counts bytes."""
    raw = note.encode()
    return note if len(raw) <= NOTE_MAX else raw[: NOTE_MAX - 3].decode("utf-8", "ignore") + "…"
