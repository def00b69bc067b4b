"""The bench's own client of the API server: many requests in flight, merge patches, a watch. Nothing of watchbell's client is used."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from controlplane import Access

IN_FLIGHT = 16
CONNECTIONS_MAX = 80
T = TypeVar("T")
LINE_BYTES = 4 * 1024 * 1024
MERGE = {"Content-Type": "application/merge-patch+json"}


class Api:
    """Requests to one control plane as its administrator; a context manager."""

    def __init__(self, access: Access) -> None:
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=access.ca_pem), limit=CONNECTIONS_MAX)
        self._session = aiohttp.ClientSession(
            access.url,
            connector=connector,
            headers={"Authorization": f"Bearer {access.token}"},
            read_bufsize=LINE_BYTES,
            raise_for_status=_refuse,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """The object or list at `path`."""
        async with self._session.get(path) as answer:
            return dict(await answer.json())

    async def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Creates `body` in the collection at `path`; returns when the answer is there."""
        async with self._session.post(path, json=body) as answer:
            await answer.read()

    async def patch(self, path: str, body: Mapping[str, Any]) -> None:
        """A JSON merge patch."""
        async with self._session.patch(path, data=json.dumps(body), headers=MERGE) as answer:
            await answer.read()

    def prepared_patch(self, path: str, body: Mapping[str, Any]) -> "Patch":
        """A JSON merge patch, ready to be sent."""
        return Patch(path, json.dumps(body).encode())

    async def send(self, patch: "Patch") -> None:
        """Sends a prepared patch; returns when the answer is there."""
        async with self._session.patch(patch.path, data=patch.body, headers=MERGE) as answer:
            await answer.read()

    async def delete_all(self, path: str, params: Mapping[str, str] | None = None) -> None:
        """Deletes the collection at `path`."""
        async with self._session.delete(path, params=params) as answer:
            await answer.read()

    async def create_all(self, path: str, bodies: Iterable[Mapping[str, Any]]) -> None:
        """Creates them, IN_FLIGHT at once."""
        await at_once(bodies, lambda body: self.create(path, body))

    async def watch(self, path: str, version: str) -> AsyncIterator[dict[str, Any]]:
        """Events after `version`."""
        limits = aiohttp.ClientTimeout(total=None)
        async with self._session.get(path, params={"watch": "1", "resourceVersion": version}, timeout=limits) as answer:
            async for line in answer.content:
                yield dict(json.loads(line))


@dataclass(frozen=True, slots=True)
class Patch:
    """One write that was made ready before the clock runs."""

    path: str
    body: bytes


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        raise RuntimeError(f"{answer.method} {answer.url.path}: {answer.status} {(await answer.text())[:500]}")


async def at_once(items: Iterable[T], work: Callable[[T], Awaitable[None]], in_flight: int = IN_FLIGHT) -> None:
    """Does `work` for each item, `in_flight` of them at a time; the first failure ends it."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())


async def until(
    condition: Callable[[], bool | Awaitable[bool]], what: str, within_s: float, every_s: float = 0.05
) -> None:
    """Waits until `condition` holds. Raises RuntimeError when time is over."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        found = condition()
        if await found if isinstance(found, Awaitable) else found:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"it did not come to pass within {within_s:g} s that {what}")
        await asyncio.sleep(every_s)
