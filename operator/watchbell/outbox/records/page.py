"""One page of the journal: a ConfigMap with a line for each message, written as a whole.

Before it: `journal` chose the page. After it: the API server. All lines are under one key: a key for each would cost the API server twice as much,
since it keeps book of who owns which.

Group commit: while one write is on its way, all that come meanwhile share the next one. Lines that are no longer needed leave with the next write,
or with one of their own after a second of quiet. Each write carries the resourceVersion of the last one, so of two processes that both believe
to hold the page only one can write; the other finds a name that is not its own, and has lost.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watchbell.kube.client import CONFIGMAPS, Client
from watchbell.kube.errors import ApiError, Conflict, NotFound
from watchbell.outbox.records.entry import Entry, entry_of

log = logging.getLogger(__name__)

BYTES_MAX = 900_000
"""A ConfigMap holds 1 MiB."""
LINES = "entries"
HOLDER = "watchbell.dev/holder"
_IDLE_FLUSH_S = 1.0
_SOON_S = 0.02
_WRITES_MAX = 3


@dataclass(slots=True)
class Hold:
    """Whose journal it is, shared by its pages. `identity` must differ between any two processes; `on_lost` hears once that another one has it."""

    identity: str
    on_lost: Callable[[], None]
    is_lost: bool = False
    writes: int = 0
    failures: int = 0

    def lose(self, holder: str) -> None:
        """Another process holds a page of it."""
        log.error("The outbox journal is held by %s: this process sends no more mail", holder)
        self.is_lost = True
        self.on_lost()


class Page:
    """The lines of one ConfigMap, whose resourceVersion `version` is. `first`: the page that says who holds them all; None for that page itself."""

    def __init__(self, client: Client, namespace: str, name: str, hold: Hold, first: "Page | None" = None) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._hold = hold
        self._first = first
        self._lines: dict[str, str] = {}
        self._strays: dict[str, str] = {}
        self.version = ""
        self._unsaid: set[str] = set()
        self._flying: set[str] = set()
        self._waiting: list[asyncio.Future[bool]] = []
        self._aboard: list[asyncio.Future[bool]] = []
        self._writer: asyncio.Task[None] | None = None
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._is_stale = False
        self._is_due = False
        self.size_bytes = 0
        self.is_failing = False

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, uid: str) -> bool:
        return uid in self._lines

    # --- taking it over

    async def claim(self, *, is_made: bool = True) -> tuple[Entry, ...] | None:
        """Make it ours and return what the process before left in it; those lines stay until `forget`. Raises ApiError.

        None = there is none and, without `is_made`, none was made.
        """
        try:
            found = await self._client.get(CONFIGMAPS, self._name, self._namespace)
        except NotFound:
            if not is_made:
                return None
            self._take({})
            self._adopt(await self._client.create(CONFIGMAPS, self._object(""), self._namespace))
            return ()
        entries = self._take(found.get("data") or {})
        self._adopt(await self._client.replace(CONFIGMAPS, self._object(_version(found)), self._namespace))
        return entries

    def _take(self, data: Mapping[str, str]) -> tuple[Entry, ...]:
        """What stands there is ours now; what cannot be read stays as it is."""
        entries = []
        self._lines, self._strays, self.size_bytes = {}, {}, 0
        for key, value in data.items():
            for line in value.split("\n"):
                if (entry := entry_of(line)) is None:
                    log.error("a line of the outbox journal %s cannot be read and is left alone", self._name)
                    self._strays[f"unread-{len(self._strays)}" if key == LINES else key] = line
                else:
                    entries.append(entry)
                    self._put(entry.uid, line)
        return tuple(entries)

    def _adopt(self, written: Mapping[str, Any]) -> None:
        self.version = _version(written)

    # --- what is in it

    def has_room_for(self, uid: str) -> bool:
        """Whether a line more fits into one object."""
        return bool(self.version) and (uid in self._lines or self.size_bytes < BYTES_MAX)

    def tell(self, uid: str, line: str) -> None:
        """The line that stands for this message from the next write on, which comes soon."""
        self._put(uid, line)
        self._unsaid.add(uid)
        self._later(_SOON_S, self._on_soon)

    def _put(self, uid: str, line: str) -> None:
        self.size_bytes += len(line) - len(self._lines.get(uid, ""))
        self._lines[uid] = line

    def forget(self, uid: str) -> None:
        """The line leaves with the next write, or after a second of quiet."""
        line = self._lines.pop(uid, None)
        if line is None or self._hold.is_lost:
            return
        self.size_bytes -= len(line)
        self._unsaid.discard(uid)
        self._is_stale = True
        self._later(_IDLE_FLUSH_S, self._on_quiet)

    async def stands(self, uid: str) -> bool:
        """True = what was told of this message stands in the cluster, written now if it was not; False = it does not."""
        if self._hold.is_lost or not self.version:
            return False
        if uid in self._unsaid:
            return await self.write()
        if uid in self._flying:
            return await self._joined(self._aboard)
        return True

    async def write(self) -> bool:
        """Write all that was told so far. True = it stands in the cluster."""
        if self._hold.is_lost or not self.version:
            return False
        written = self._joined(self._waiting)
        self._start_writer()
        return await written

    def hasten(self) -> None:
        """Begin to write what was told, for nobody in particular."""
        if self._unsaid and not self._hold.is_lost:
            self._is_due = True
            self._start_writer()

    @staticmethod
    def _joined(group: list[asyncio.Future[bool]]) -> asyncio.Future[bool]:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        group.append(waiter)
        return waiter

    async def close(self) -> None:
        """Write what is still to be forgotten, and stop. What cannot be written stays for the successor to find."""
        if self._is_stale and not self._hold.is_lost:
            self._is_due = True
            self._start_writer()
        if self._writer is not None:
            await self._writer
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # --- writing

    def _later(self, after_s: float, call: Callable[[], None]) -> None:
        """Once after a while; while it is on its way, a second wish for the same changes nothing."""
        if call not in self._timers:
            self._timers[call] = asyncio.get_running_loop().call_later(after_s, self._on_time, call)

    def _on_time(self, call: Callable[[], None]) -> None:
        del self._timers[call]
        call()

    def _on_quiet(self) -> None:
        if self._is_stale and not self._hold.is_lost:
            self._is_due = True
            self._start_writer()

    def _on_soon(self) -> None:
        """Results that are neither written nor told of in the journal yet would be doubles, should the process die now."""
        self.hasten()

    def _start_writer(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="outbox-journal")

    async def _write_all(self) -> None:
        """One write after the other until nobody waits. What is only stale waits for the next write or for a quiet second."""
        try:
            while (self._waiting or self._is_due) and not self._hold.is_lost:
                if not await self._write_once():
                    return
        finally:
            _answer(self._waiting, is_written=False)

    async def _write_once(self) -> bool:
        self._aboard, self._waiting = self._waiting, []
        self._flying, self._unsaid = self._unsaid, set()
        self._is_stale = self._is_due = is_written = False
        try:
            is_written = await self._put_object()
        finally:
            if not is_written:
                self._unsaid |= self._flying & self._lines.keys()
            self._flying = set()
            _answer(self._aboard, is_written=is_written)
        self.is_failing = not is_written
        if not is_written:
            self._hold.failures += 1
            self._is_stale = True
            self._later(_IDLE_FLUSH_S, self._on_quiet)
        return is_written

    async def _put_object(self) -> bool:
        for _ in range(_WRITES_MAX):
            body = self._object(self.version)
            try:
                self._adopt(await self._client.replace(CONFIGMAPS, body, self._namespace, brief=True))
            except Conflict:
                if not await self._reread():
                    return False
            except NotFound:
                if not await self._create_again():
                    return False
            except ApiError as error:
                log.warning("The outbox journal could not be written, so nothing is sent: %s", error)
                # A write without an answer may have been done: the next one must not run into its own shadow.
                await self._reread()
                return False
            else:
                self._hold.writes += 1
                return True
        return False

    async def _reread(self) -> bool:
        """The page as it is. False when it could not be read or another process holds it."""
        try:
            found = await self._client.get(CONFIGMAPS, self._name, self._namespace)
        except NotFound:
            return await self._create_again()
        except ApiError as error:
            log.warning("The outbox journal could not be read: %s", error)
            return False
        holder = (found["metadata"].get("annotations") or {}).get(HOLDER)
        if holder != self._hold.identity:
            self._hold.lose(str(holder))
            return False
        self._adopt(found)
        return True

    async def _create_again(self) -> bool:
        """Somebody deleted it. Whoever creates it is the holder, if the first page says so too; a second one finds it there."""
        try:
            self._adopt(await self._client.create(CONFIGMAPS, self._object(""), self._namespace))
        except ApiError as error:
            log.warning("The outbox journal is gone and could not be made again: %s", error)
            return False
        return self._first is None or await self._first.write()

    def _object(self, version: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": {"app.kubernetes.io/managed-by": "watchbell", "app.kubernetes.io/component": "outbox"},
            "annotations": {HOLDER: self._hold.identity},
        }
        if version:
            metadata["resourceVersion"] = version
        data = self._strays | ({LINES: "\n".join(self._lines.values())} if self._lines else {})
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _answer(waiters: list[asyncio.Future[bool]], *, is_written: bool) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(is_written)
    waiters.clear()


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])
