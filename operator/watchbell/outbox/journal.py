"""The memory of what is on the wire: written before a body goes out, so that a successor knows what may have been sent.

Before it: the courier is about to send. After it: `submit` writes the body. It is one ConfigMap in the operator's namespace with a line for each
message that is being sent or whose result is not yet written: a few hundred bytes each, bounded by `BYTES_MAX`. All lines are under one key: a key
for each would cost the API server twice as much, since it keeps book of who owns which.

Group commit: while one write is on its way, all that come meanwhile share the next one. What the server took is told with the next write too, so
that its result may be written when there is time. Entries that are no longer needed leave with the next write, or with an idle flush.

Each write carries the resourceVersion of the last one, so two processes that both believe to lead cannot both write: the one that finds another's
name in it has lost, and sends no more.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from watchbell.kube.client import CONFIGMAPS, Client
from watchbell.kube.errors import AlreadyExists, ApiError, Conflict, NotFound

log = logging.getLogger(__name__)

JOURNAL_NAME = "watchbell-outbox-journal"
BYTES_MAX = 900_000
"""A ConfigMap holds 1 MiB."""
BYTES_CARRIED_MAX = 600_000
"""With so much in it (some 1,800 mails), results are written at once: each line is part of every write."""
LINES = "entries"
HOLDER = "watchbell.dev/holder"
_IDLE_FLUSH_S = 1.0
_ACCEPTED_FLUSH_S = 0.02
_WRITES_MAX = 3


class Accepted(msgspec.Struct, frozen=True):
    """The server took the message for all recipients of the entry: (code, enhanced code) of each. Its result need not be written at once then."""

    response: str
    codes: tuple[tuple[int | None, str | None], ...]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message whose body may be on the wire: attempt number `attempt`, for the recipients at these indexes.

    Those of one `party` go one after the other, by `place`, each only when it stands here that the one before was taken.
    """

    uid: str
    namespace: str
    name: str
    attempt: int
    started: datetime
    indexes: tuple[int, ...]
    message_id: str
    accepted: Accepted | None = None
    party: str = ""
    place: int = 0
    content_digest: str = ""


def doubtful(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Of what a process left behind, the messages that may be out and are not known to be: of each party the first that was not taken."""
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.accepted is None:
            party = entry.party or f"alone:{entry.uid}"
            if party not in first or entry.place < first[party].place:
                first[party] = entry
    return tuple(first.values())


class Journal:
    """The outbox's own record in the cluster. `identity` must differ between any two processes."""

    def __init__(self, client: Client, namespace: str, identity: str, *, on_lost: Callable[[], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._on_lost = on_lost
        self._entries: dict[str, str] = {}
        self._strays: dict[str, str] = {}
        self._size_bytes = 0
        self._version = ""
        self._waiters: list[asyncio.Future[bool]] = []
        self._writer: asyncio.Task[None] | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._soon: asyncio.TimerHandle | None = None
        self._unsaid: set[str] = set()
        self._is_stale = False
        self._is_flush_due = False
        self.is_lost = False
        self.is_failing = False
        self.writes = 0
        self.failures = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def has_room(self) -> bool:
        """Whether results may stay unwritten for a while, known to the journal alone."""
        return not self.is_lost and self._size_bytes < BYTES_CARRIED_MAX

    async def open(self) -> tuple[Entry, ...]:
        """Take the journal over and return what the process before left in it; its entries stay until `forget`. Raises ApiError."""
        for _ in range(_WRITES_MAX):
            try:
                return await self._take_over()
            except (AlreadyExists, NotFound, Conflict) as error:
                log.info("The journal changed while it was taken over (%s); reading it again", error.reason)
        return await self._take_over()

    async def _take_over(self) -> tuple[Entry, ...]:
        try:
            found = await self._client.get(CONFIGMAPS, JOURNAL_NAME, self._namespace)
        except NotFound:
            self._take({})
            written = await self._client.create(CONFIGMAPS, self._object(""), self._namespace)
            self._adopt(written)
            return ()
        entries = self._take(found.get("data") or {})
        written = await self._client.replace(CONFIGMAPS, self._object(_version(found)), self._namespace)
        self._adopt(written)
        return entries

    def _take(self, data: Mapping[str, str]) -> tuple[Entry, ...]:
        """What stands there is ours now; what cannot be read stays as it is."""
        entries = []
        self._entries, self._strays, self._size_bytes = {}, {}, 0
        for key, value in data.items():
            for line in value.split("\n"):
                if (entry := _decoded(line)) is None:
                    self._strays[f"unread-{len(self._strays)}" if key == LINES else key] = line
                else:
                    entries.append(entry)
                    self._keep(entry.uid, line)
        return tuple(entries)

    def _keep(self, uid: str, line: str) -> None:
        self._size_bytes += len(line) - len(self._entries.get(uid, ""))
        self._entries[uid] = line

    def _adopt(self, written: Mapping[str, Any]) -> None:
        self._version = _version(written)
        self.is_lost = False

    async def enter(self, entry: Entry) -> bool:
        """Write that this message is about to be sent. True = it stands in the cluster; False = it does not, so nothing may be sent."""
        is_full = entry.uid not in self._entries and self._size_bytes >= BYTES_MAX
        if self.is_lost or is_full or not self._version:
            return False
        self._keep(entry.uid, msgspec.json.encode(entry).decode())
        return await self.stands()

    def accept(self, entry: Entry) -> None:
        """The server took this message, which was `enter`ed: it goes into the next write, or one of its own soon."""
        if entry.uid not in self._entries or self.is_lost:
            return
        self._keep(entry.uid, msgspec.json.encode(entry).decode())
        self._unsaid.add(entry.uid)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_ACCEPTED_FLUSH_S, self._on_soon)

    async def stands(self) -> bool:
        """Write all that was told so far. True = it stands in the cluster."""
        if self.is_lost or not self._version:
            return False
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._start_writer()
        return await waiter

    def forget(self, uid: str) -> None:
        """The result is written. The entry leaves with the next write, or after a second of quiet."""
        line = self._entries.pop(uid, None)
        if line is None or self.is_lost:
            return
        self._size_bytes -= len(line)
        self._unsaid.discard(uid)
        self._is_stale = True
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_IDLE_FLUSH_S, self._on_quiet)

    async def close(self) -> None:
        """Write what is still to be forgotten, and stop. What cannot be written stays for the successor to find."""
        if self._is_stale and not self.is_lost:
            self._is_flush_due = True
            self._start_writer()
        if self._writer is not None:
            await self._writer
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    # --- writing

    def _on_quiet(self) -> None:
        self._flush = None
        if self._is_stale:
            self._is_flush_due = True
            self._start_writer()

    def _on_soon(self) -> None:
        """Results that are neither written nor told of in the journal yet would be doubles, should the process die now."""
        self._soon = None
        if self._unsaid and not self.is_lost:
            self._is_flush_due = True
            self._start_writer()

    def _start_writer(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="outbox-journal")

    async def _write_all(self) -> None:
        """One write after the other until nobody waits. What is only stale waits for the next write or for a quiet second."""
        try:
            await self._write_until_quiet()
        finally:
            self._answer(self._waiters, is_written=False)

    async def _write_until_quiet(self) -> None:
        while (self._waiters or self._is_flush_due) and not self.is_lost:
            waiters, self._waiters = self._waiters, []
            self._is_stale = self._is_flush_due = is_written = False
            self._unsaid.clear()
            try:
                is_written = await self._write()
            finally:
                self._answer(waiters, is_written=is_written)
            self.is_failing = not is_written
            if not is_written:
                self.failures += 1
                self._is_stale = True
                self._flush = self._flush or asyncio.get_running_loop().call_later(_IDLE_FLUSH_S, self._on_quiet)
                return

    def _answer(self, waiters: list[asyncio.Future[bool]], *, is_written: bool) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(is_written)
        waiters.clear()

    async def _write(self) -> bool:
        for _ in range(_WRITES_MAX):
            body = self._object(self._version)
            try:
                self._version = _version(await self._client.replace(CONFIGMAPS, body, self._namespace, brief=True))
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
                self.writes += 1
                return True
        return False

    async def _reread(self) -> bool:
        """The journal as it is. False when it could not be read or another process holds it."""
        try:
            found = await self._client.get(CONFIGMAPS, JOURNAL_NAME, self._namespace)
        except NotFound:
            return await self._create_again()
        except ApiError as error:
            log.warning("The outbox journal could not be read: %s", error)
            return False
        holder = (found["metadata"].get("annotations") or {}).get(HOLDER)
        if holder != self._identity:
            self._lose(str(holder))
            return False
        self._version = _version(found)
        return True

    async def _create_again(self) -> bool:
        """Somebody deleted it. Whoever creates it is the holder; a second one finds it there."""
        try:
            written = await self._client.create(CONFIGMAPS, self._object(""), self._namespace)
        except ApiError as error:
            log.warning("The outbox journal is gone and could not be made again: %s", error)
            return False
        self._version = _version(written)
        return True

    def _lose(self, holder: str) -> None:
        log.error("The outbox journal is held by %s: this process sends no more mail", holder)
        self.is_lost = True
        self._answer(self._waiters, is_written=False)
        self._on_lost()

    def _object(self, version: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": JOURNAL_NAME,
            "namespace": self._namespace,
            "labels": {"app.kubernetes.io/managed-by": "watchbell", "app.kubernetes.io/component": "outbox"},
            "annotations": {HOLDER: self._identity},
        }
        if version:
            metadata["resourceVersion"] = version
        data = self._strays | ({LINES: "\n".join(self._entries.values())} if self._entries else {})
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])


def _decoded(text: str) -> Entry | None:
    try:
        return msgspec.json.decode(text, type=Entry)
    except msgspec.MsgspecError:
        log.exception("an entry of the outbox journal cannot be read and is left alone")
        return None
