"""A typed, always current picture of one kind: list once, watch for ever, tell every change.

Before it: `client` (raw pages and watch lines). After it: whoever gave `on_change` (it puts a key into a queue). It decodes straight into
the caller's `msgspec.Struct` with only the needed fields, which is what keeps ten thousand pods in some fifty megabytes.

What can go wrong and what is done: a cut or a silence → watch again from the last seen version; 410 in any form → list again and compare,
so that deletions in the gap are told; an object that does not decode → logged and left out; a refusal (403, 404) → `failure`, and asked
again slowly. Watches never follow each other faster than one a second unless the last one brought something.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

import msgspec

from watchbell.kube.client import PAGE_LIMIT, Client, Resource
from watchbell.kube.errors import (
    ApiError,
    Forbidden,
    Gone,
    NotFound,
    ServerError,
    Status,
    StreamCut,
    Throttled,
    Unauthorized,
    error_from_status,
)

log = logging.getLogger(__name__)

Key = tuple[str, str]
_FAILURES_BEFORE_LIST = 3
_SILENT_MOST_S = 300.0
"""A watch that neither hears nor tries anything for so long hangs: a stall ends after a minute, a call after seconds, and no pause is longer."""


class Meta(Protocol):
    """What the informer must know of an object's metadata."""

    @property
    def name(self) -> str: ...  # noqa: D102 - Kubernetes' own field
    @property
    def namespace(self) -> str: ...  # noqa: D102 - Kubernetes' own field; empty for kinds without one
    @property
    def uid(self) -> str: ...  # noqa: D102 - Kubernetes' own field
    @property
    def resource_version(self) -> str: ...  # noqa: D102 - Kubernetes' own field


class Watched(Protocol):
    """A decoded object: any `msgspec.Struct` with such a `metadata`."""

    @property
    def metadata(self) -> Meta: ...  # noqa: D102 - Kubernetes' own field


T = TypeVar("T", bound=Watched)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often and how long, in seconds. `stall_s` must exceed the minute in which bookmarks come."""

    rewatch_s: float = 1.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 30.0
    refused_s: float = 30.0
    stall_s: float = 70.0
    watch_s: int = 600
    page_limit: int = PAGE_LIMIT

    def backoff_s(self, failures: int, chance: float) -> float:
        """The wait before the next try after `failures` in a row: doubling, capped, the upper half left to `chance` (0…1)."""
        if failures == 0:
            return 0.0
        most = min(self.backoff_most_s, self.backoff_first_s * 2.0 ** min(failures - 1, 16))
        return most * (0.5 + chance / 2)


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T] | None = None


class _RawPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _BareMeta(msgspec.Struct, rename="camel"):
    resource_version: str
    name: str = ""
    namespace: str = ""


class _Bare(msgspec.Struct):
    metadata: _BareMeta


_RAW_PAGE = msgspec.json.Decoder(_RawPage)
_EVENT = msgspec.json.Decoder(_Event)
_BARE = msgspec.json.Decoder(_Bare)
_STATUS = msgspec.json.Decoder(Status)


class Informer(Generic[T]):
    """Watches one kind in one namespace (None = all) under one selector; see the module's text.

    `store` holds what is known by (namespace, name); `synced` is set after the first complete list; `failure` is why the picture may be
    stale right now (None = it is current). `on_change(old, new)` is called in order, on the loop; what it raises is logged. `on_added(new, whole)`
    is called before it for an object that the watch brings as new, with all of it as JSON: whoever needs the rest soon need not ask for it.
    """

    def __init__(  # noqa: PLR0913 - what to watch, whom to tell and three sources of time and chance, all by name
        self,
        client: Client,
        resource: Resource,
        kind: type[T],
        *,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        on_change: Callable[[T | None, T | None], None],
        on_added: Callable[[T, bytes], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        pace: Pace = Pace(),
    ) -> None:
        self.store: dict[Key, T] = {}
        self.synced = asyncio.Event()
        self.failure: ApiError | None = None
        self.lists = 0
        self.heard_at = clock()
        self._client = client
        self._resource = resource
        self._namespace = namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._on_change = on_change
        self._on_added = on_added
        self._clock = clock
        self._chance = chance
        self._pace = pace
        self._object = cast("msgspec.json.Decoder[T]", msgspec.json.Decoder(kind))
        self._page = cast("msgspec.json.Decoder[_Page[T]]", msgspec.json.Decoder(_Page[kind]))  # type: ignore[valid-type]  # at run time
        self._version = ""
        self._failures = 0

    async def run(self) -> None:
        """Lists and watches until cancelled. No ApiError leaves it: each is retried, and told in `failure` while it lasts."""
        try:
            await self._go_on()
        finally:
            self._client.pulses.end(self)

    def _beat(self, pause_s: float = 0.0) -> None:
        self._client.pulses.beat(self, self._resource.plural, _SILENT_MOST_S + pause_s)

    async def _go_on(self) -> None:
        while True:
            self._beat()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except StreamCut as error:
                log.info("%s; watching again", error)
            except Gone:
                # The first time at once; a server that says so again and again is asked ever more slowly.
                self._version = ""
                delay_s = self._pace.backoff_s(self._failures, self._chance())
                self._failures += 1
                await asyncio.sleep(delay_s)
            except ApiError as error:
                await self._pause_after(error)

    async def _pause_after(self, error: ApiError) -> None:
        self._failures += 1
        refused = isinstance(error, Forbidden | NotFound | Unauthorized)
        if refused or self._failures > 1:
            self.failure = error
        delay_s = self._pace.backoff_s(self._failures, self._chance())
        if refused:
            delay_s = self._pace.refused_s * (0.5 + self._chance() / 2)
        if isinstance(error, Throttled):
            delay_s = max(delay_s, error.retry_after_s)
        if self._failures >= _FAILURES_BEFORE_LIST:
            # Should it be this version that the server stumbles over, then a fresh list is the way out.
            self._version = ""
        log.warning("%s cannot be watched, next try in %.1f s: %s", self._resource.plural, delay_s, error)
        self._beat(delay_s)
        await asyncio.sleep(delay_s)

    def _came_through(self) -> None:
        self._failures = 0
        self.failure = None

    # --- listing

    async def _list(self) -> None:
        """The whole of it, page by page; what the store has and no page had was deleted while nobody looked."""
        self.lists += 1
        seen: set[Key] = set()
        version = ""
        async for items, page_version in self._decoded_pages():
            version = page_version
            for item in items:
                key = _key(item)
                seen.add(key)
                self._put(key, item)
        for key in self.store.keys() - seen:
            self._drop(key)
        self._version = version
        self.failure = None
        self.heard_at = self._clock()
        self.synced.set()

    async def _decoded_pages(self) -> AsyncIterator[tuple[list[T], str]]:
        names = {"label_selector": "labelSelector", "field_selector": "fieldSelector"}
        params = {names[name]: text for name, text in self._selectors.items() if text}
        params["limit"] = str(self._pace.page_limit)
        while True:
            data = await self._client.page(self._resource, self._namespace, params)
            self._beat()
            items, meta = self._decode_page(data)
            yield items, meta.resource_version
            if not meta.continue_:
                return
            params["continue"] = meta.continue_

    def _decode_page(self, data: bytes) -> tuple[list[T], _ListMeta]:
        try:
            page = self._page.decode(data)
        except msgspec.MsgspecError:
            return self._decode_one_by_one(data)
        return page.items or [], page.metadata

    def _decode_one_by_one(self, data: bytes) -> tuple[list[T], _ListMeta]:
        """The slow way, when an object of the page is not what was expected: it is left out, the others are not."""
        try:
            page = _RAW_PAGE.decode(data)
        except msgspec.MsgspecError as error:
            raise ServerError(200, "NotJSON", f"a page of {self._resource.plural} is not a list: {error}") from error
        decoded = (self._decode_object(raw) for raw in page.items or ())
        return [item for item in decoded if item is not None], page.metadata

    def _decode_object(self, raw: msgspec.Raw) -> T | None:
        try:
            return self._object.decode(raw)
        except msgspec.MsgspecError as error:
            meta = _BARE.decode(raw).metadata
            log.warning("%s %s/%s is left out: %s", self._resource.plural, meta.namespace, meta.name, error)
            return None

    # --- watching

    async def _watch(self) -> None:
        """One watch to its end. Returns (or raises) no sooner than `rewatch_s` after it began, unless something came."""
        started, before = self._clock(), self._version
        try:
            await self._follow()
        except StreamCut:
            await self._keep_pace(started, before)
            raise
        self._came_through()
        await self._keep_pace(started, before)

    async def _keep_pace(self, started: float, before: str) -> None:
        if self._version == before:
            await asyncio.sleep(max(0.0, started + self._pace.rewatch_s - self._clock()))

    async def _follow(self) -> None:
        timeout_s = int(self._pace.watch_s * (0.5 + self._chance() / 2)) or 1
        lines = self._client.watch(
            self._resource,
            self._namespace,
            resource_version=self._version,
            timeout_s=timeout_s,
            stall_s=self._pace.stall_s,
            **self._selectors,
        )
        async with aclosing(lines):
            async for line in lines:
                self.heard_at = self._clock()
                self._beat()
                self._heed(line)

    def _heed(self, line: bytes) -> None:
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                raise error_from_status(_STATUS.decode(event.object))
            version = _BARE.decode(event.object).metadata.resource_version
        except msgspec.MsgspecError as error:
            raise StreamCut(f"The watch of {self._resource.plural} brought what is no event: {error}") from error
        if event.type in {"ADDED", "MODIFIED", "DELETED"}:
            self._heed_object(event)
        self._version = version
        self._came_through()

    def _heed_object(self, event: _Event) -> None:
        item = self._decode_object(event.object)
        if item is None:
            return
        if event.type == "DELETED":
            self._drop(_key(item))
            return
        if event.type == "ADDED" and self._on_added is not None and _key(item) not in self.store:
            self._on_added(item, bytes(event.object))
        self._put(_key(item), item)

    # --- telling

    def _put(self, key: Key, item: T) -> None:
        old = self.store.get(key)
        if old is not None and old.metadata.uid != item.metadata.uid:
            self._drop(key)
            old = None
        if old is not None and old.metadata.resource_version == item.metadata.resource_version:
            return
        self.store[key] = item
        self._tell(old, item)

    def _drop(self, key: Key) -> None:
        old = self.store.pop(key, None)
        if old is not None:
            self._tell(old, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        try:
            self._on_change(old, new)
        except Exception:
            log.exception("A change of %s was not handled; the watch goes on", self._resource.plural)


def _key(item: Watched) -> Key:
    return item.metadata.namespace, item.metadata.name
