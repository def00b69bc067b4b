"""What was sent today, kept over a restart: one ConfigMap in the operator's namespace, beside the journal.

Before it: `gate` counts in memory. After it: a successor begins with these counts. No mail waits for this and none costs a write: a count is kept
when half of its margin is used (a hundredth of the limit), all that are due in one write, and what stands there is ahead by a whole margin. So
after kill -9 a day's count is too high by a hundredth of its limit (one mail at least), and too low only by what goes out while one write is on
its way. The lines of a minute are not kept. Where nothing has a limit by the day, nothing is written.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from watchbell.kube.client import CONFIGMAPS, Client
from watchbell.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from watchbell.outbox.limits.budget import Measure
from watchbell.outbox.limits.gate import Closure, Gate
from watchbell.outbox.limits.pace import Pace
from watchbell.outbox.limits.window import Row

log = logging.getLogger(__name__)

COUNTS_NAME = "watchbell-outbox-counts"
LINES = "counts"
BYTES_MAX = 900_000
"""A ConfigMap holds 1 MiB; a scope takes some 400 bytes."""
AGAIN_S = 10.0


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One scope (`messages`, `recipients` by slot of half an hour) or one account (`pace`, `closed`: seconds since the epoch)."""

    scope: str
    messages: tuple[Row, ...] = ()
    recipients: tuple[Row, ...] = ()
    pace: tuple[int, float, float] | None = None
    closed: tuple[float, float] | None = None


_FIELDS = {Measure.MESSAGES_PER_DAY: "messages", Measure.RECIPIENTS_PER_DAY: "recipients"}
_DAY_SLOT_S = Measure.MESSAGES_PER_DAY.span.slot_s


class Counts:
    """Keeps what the gate counts. `open` first; then `keep` after each mail, which returns at once."""

    def __init__(self, client: Client, namespace: str, gate: Gate, now: Callable[[], datetime]) -> None:
        self._client = client
        self._namespace = namespace
        self._gate = gate
        self._now = now
        self._version = ""
        self._writer: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._is_ahead = False
        self.writes = 0

    async def open(self) -> None:
        """Begin with what an earlier process has counted. Raises ApiError."""
        try:
            found = await self._client.get(CONFIGMAPS, COUNTS_NAME, self._namespace)
        except NotFound:
            return
        self._version = _version(found)
        for text in (found.get("data") or {}).get(LINES, "").split("\n"):
            if text:
                self._load(text)

    def keep(self) -> None:
        """Have the counts written if that is due."""
        is_due = self._gate.is_changed or self._gate.budgets.is_due
        if is_due and self._again is None and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write_all(), name="outbox-counts")

    async def close(self, *, is_lost: bool = False) -> None:
        """Write the exact counts, once, unless (`is_lost`) another process counts by now. Raises ApiError."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._writer is not None:
            await self._writer
        is_exact = not self._is_ahead and not self._gate.is_changed and self._gate.budgets.is_saved
        if is_lost or is_exact:
            return
        try:
            await self._write(is_ahead=False)
        except (AlreadyExists, Conflict):
            log.info("another process counts by now; what it knows stays")

    # --- inside

    def _load(self, text: str) -> None:
        try:
            line = msgspec.json.decode(text, type=Line)
        except msgspec.MsgspecError:
            # Sending a little too much is better than sending nothing because of a line that somebody has edited.
            log.exception("a line of %s cannot be read; its count begins anew", COUNTS_NAME)
            return
        for measure, field in _FIELDS.items():
            if rows := getattr(line, field):
                self._gate.budgets.load(line.scope, measure, rows)
        if line.pace is not None:
            self._gate.paces[line.scope] = Pace(*line.pace)
        if line.closed is not None:
            self._gate.closures[line.scope] = Closure(*line.closed)

    async def _write_all(self) -> None:
        gate = self._gate
        while gate.is_changed or gate.budgets.is_due:
            try:
                await self._write(is_ahead=True)
            except ApiError as error:
                log.warning("what was sent today cannot be kept, next try in %.0f s: %s", AGAIN_S, error)
                self._again = asyncio.get_running_loop().call_later(AGAIN_S, self._try_again)
                return

    def _try_again(self) -> None:
        self._again = None
        self.keep()

    async def _write(self, *, is_ahead: bool) -> None:
        gate = self._gate
        unsaved = gate.budgets.saving()
        was_changed, gate.is_changed = gate.is_changed, False
        try:
            await self._put(self._text(is_ahead=is_ahead), is_last=not is_ahead)
        except BaseException:
            gate.budgets.unsaved(unsaved)
            gate.is_changed = gate.is_changed or was_changed
            raise
        self._is_ahead = is_ahead
        self.writes += 1

    async def _put(self, text: str, *, is_last: bool) -> None:
        """The journal sees to it that one process sends; so while we do, whatever else stands in the object is older than what we know."""
        try:
            if not self._version:
                written = await self._client.create(CONFIGMAPS, self._object(text), self._namespace)
            else:
                written = await self._client.replace(CONFIGMAPS, self._object(text), self._namespace, brief=True)
        except (AlreadyExists, Conflict):
            if is_last:
                raise
            found = await self._client.get(CONFIGMAPS, COUNTS_NAME, self._namespace)
            self._version = _version(found)
            written = await self._client.replace(CONFIGMAPS, self._object(text), self._namespace, brief=True)
        except NotFound:
            self._version = ""
            written = await self._client.create(CONFIGMAPS, self._object(text), self._namespace)
        self._version = _version(written)

    def _text(self, *, is_ahead: bool) -> str:
        lines, size_bytes = [], 0
        for line in self._lines(is_ahead=is_ahead):
            text = msgspec.json.encode(line).decode()
            size_bytes += len(text) + 1
            if size_bytes > BYTES_MAX:
                log.warning("%s is full: the counts of some connectors would not survive a restart", COUNTS_NAME)
                break
            lines.append(text)
        return "\n".join(lines)

    def _lines(self, *, is_ahead: bool) -> list[Line]:
        gate, now = self._gate, self._now().timestamp()
        fields: dict[str, dict[str, Any]] = {}
        for (scope, measure), rows in gate.budgets.kept(now).items():
            margin = gate.budgets.margin((scope, measure)) if is_ahead else 0
            fields.setdefault(scope, {})[_FIELDS[measure]] = ahead(rows, now, margin)
        for account, pace in gate.paces.items():
            fields.setdefault(account, {})["pace"] = (pace.full_per_minute, pace.factor, pace.since)
        for account, closure in gate.closures.items():
            fields.setdefault(account, {})["closed"] = (closure.start, closure.until)
        return [Line(scope, **values) for scope, values in sorted(fields.items())]

    def _object(self, text: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "name": COUNTS_NAME,
            "namespace": self._namespace,
            "labels": {"app.kubernetes.io/managed-by": "watchbell", "app.kubernetes.io/component": "outbox"},
        }
        if self._version:
            metadata["resourceVersion"] = self._version
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {LINES: text}}


def ahead(rows: tuple[Row, ...], now: float, margin: int) -> tuple[Row, ...]:
    """The rows with `margin` more in the present slot."""
    if not margin:
        return rows
    slot = int(now // _DAY_SLOT_S)
    return tuple(sorted({**dict(rows), slot: dict(rows).get(slot, 0) + margin}.items()))


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])
