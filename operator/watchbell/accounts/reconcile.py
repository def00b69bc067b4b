"""AccountRecoveries at work: each gets one EmailMessage, and then the end that its message comes to.

Before it: the API server. After it: the outbox, which has the text made by `minter` when the mail goes out. Only the leader's queue does anything.
Kept in memory are the names of those that are not finished, and of their messages.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import msgspec

from watchbell.accounts import plans, standing
from watchbell.accounts.expiry import Expiry
from watchbell.accounts.keys import Trouble
from watchbell.accounts.minter import RECOVERIES
from watchbell.accounts.standing import Standing
from watchbell.accounts.vault import Vault
from watchbell.api.account import AccountRecovery
from watchbell.api.conditions import find
from watchbell.api.enums import ConditionStatus, RecoveryType
from watchbell.api.events import Action
from watchbell.api.meta import parse
from watchbell.api.names import API_VERSION, LABEL_RECOVERY
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import AlreadyExists, NotFound
from watchbell.kube.events import EventRecorder
from watchbell.kube.informers import Informers
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status
from watchbell.kube.workqueue import WorkQueue

MESSAGES = custom("emailmessages")
MANAGER = "watchbell-accounts"
UNFINISHED = "status.completionTime="
WORKERS = 2
AGAIN_S = 10.0
"""Whatever is missing is looked for so often: an AccountRecovery has minutes."""
AUDIT_S = 60.0

Key = tuple[str, str]


class _Owner(msgspec.Struct, rename="camel"):
    name: str = ""
    kind: str = ""
    controller: bool = False


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    resource_version: str
    owner_references: tuple[_Owner, ...] = ()


class _Record(msgspec.Struct):
    """An AccountRecovery, or its message, by name only."""

    metadata: _Meta


class Sink(Protocol):
    """Who takes a message that was just made: the outbox, without waiting for its watch."""

    def submit(self, body: dict[str, Any]) -> None: ...  # noqa: D102 - as the class says


@dataclass(frozen=True, slots=True)
class AccountParts:
    """What Accounts are built of. `namespaces` empty = all; `now` is the wall clock, `clock` a monotonic one in seconds."""

    client: Client
    vault: Vault
    sink: Sink
    recorder: EventRecorder
    namespaces: tuple[str, ...]
    leading: Callable[[], bool]
    now: Callable[[], datetime]
    clock: Callable[[], float]
    again_s: float = AGAIN_S


class Accounts:
    """Works on every AccountRecovery until it is finished."""

    def __init__(self, parts: AccountParts) -> None:
        self._parts = parts
        self._queue: WorkQueue[Key] = WorkQueue(self._look, workers=WORKERS, name="accounts", clock=parts.clock)
        self._expiry = Expiry(parts.client, parts.now, parts.namespaces, parts.leading)
        self._recoveries = self._informers(parts, "accountrecoveries", self._heed, "")
        self._messages = self._informers(parts, "emailmessages", self._heed_message, LABEL_RECOVERY)

    @staticmethod
    def _informers(
        parts: AccountParts, plural: str, heed: Callable[[_Record | None, _Record | None], None], label: str
    ) -> Informers[_Record]:
        return Informers(
            parts.client,
            custom(plural),
            _Record,
            parts.namespaces,
            label_selector=label,
            field_selector=UNFINISHED,
            on_change=heed,
        )

    @property
    def is_synced(self) -> bool:
        """Whether every unfinished AccountRecovery was seen once."""
        return self._recoveries.is_synced

    @property
    def unfinished(self) -> int:
        """How many are not finished."""
        return len(self._recoveries)

    def lead(self) -> None:
        """This process works from now on."""
        for key in self._recoveries:
            self._queue.add(key)

    async def run(self) -> None:
        """Watches and works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recoveries.run())
            group.create_task(self._messages.run())
            group.create_task(self._queue.run())
            group.create_task(self._expiry.run())

    # ------------------------------------------------------------------ what is heard

    def _heed(self, old: _Record | None, new: _Record | None) -> None:
        if new is not None and old is None:
            # What is in it cannot change, and its status is our own.
            self._queue.add((new.metadata.namespace, new.metadata.name))
        elif new is None and old is not None:
            self._queue.forget((old.metadata.namespace, old.metadata.name))

    def _heed_message(self, old: _Record | None, new: _Record | None) -> None:
        """A message that leaves the watch is finished, or deleted."""
        record = new or old
        for owner in record.metadata.owner_references if record else ():
            if record is not None and owner.controller and owner.kind == plans.KIND:
                self._queue.add((record.metadata.namespace, owner.name))

    # ------------------------------------------------------------------ what is done

    async def _look(self, key: Key) -> float | None:
        if not self._parts.leading() or key not in self._recoveries:
            return None
        namespace, name = key
        try:
            body = await self._parts.client.get(RECOVERIES, name, namespace)
        except NotFound:
            return None
        if body["metadata"].get("deletionTimestamp") or (body.get("status") or {}).get("completionTime"):
            return None
        recovery = parse(AccountRecovery, body)
        if isinstance(recovery, tuple):
            judged = standing.invalid(recovery)
            await self._write(body, judged, standing.invalid_status(body, judged, self._parts.now()))
            return None
        return await self._advance(recovery, body)

    async def _advance(self, recovery: AccountRecovery, body: Mapping[str, Any]) -> float | None:
        judged = await self._judge(recovery, body.get("status") or {})
        status = standing.status_of(recovery, judged, body.get("status") or {}, self._parts.now())
        written = await self._write(body, judged, status)
        if judged.is_final:
            if written is not Written.GONE:
                self._expiry.finished(body, self._parts.now())
            return None
        left_s = (plans.expires(recovery) - self._parts.now()).total_seconds()
        return max(0.1, min(AUDIT_S if judged.has_message else self._parts.again_s, left_s))

    async def _judge(self, recovery: AccountRecovery, status: Mapping[str, Any]) -> Standing:
        """Where it stands now; its message is made on the way, if it is not there yet."""
        name, namespace = plans.message_name(recovery), recovery.metadata.namespace
        try:
            message = await self._parts.client.get(MESSAGES, name, namespace)
        except NotFound:
            if status.get("messageRef"):
                return standing.MESSAGE_DELETED
            return await self._begin(recovery, status)
        if not plans.stranger(message, recovery):
            return standing.of_message(message)
        return self._overdue(recovery, status) or standing.waiting(plans.taken("EmailMessage", name))

    def _overdue(self, recovery: AccountRecovery, status: Mapping[str, Any]) -> Standing | None:
        if self._parts.now() < plans.expires(recovery):
            return None
        before = find(status.get("conditions") or (), "Succeeded") or {}
        return standing.overdue(str(before.get("message", "")))

    async def _begin(self, recovery: AccountRecovery, status: Mapping[str, Any]) -> Standing:
        over = self._overdue(recovery, status)
        if over is not None:
            return over
        trouble = await self._prepare(recovery)
        if trouble is not None:
            return standing.waiting(trouble)
        try:
            made = await self._parts.client.create(
                MESSAGES, plans.message_of(recovery, self._parts.now()), recovery.metadata.namespace
            )
        except AlreadyExists:
            return standing.waiting(plans.taken("EmailMessage", plans.message_name(recovery)))
        self._parts.sink.submit(made)
        return standing.of_message(made)

    async def _prepare(self, recovery: AccountRecovery) -> Trouble | None:
        """What the mail needs is looked at before there is a message: what is wrong then shows where the user looks first."""
        ring = await self._parts.vault.keys(recovery)
        if isinstance(ring, Trouble):
            return ring
        if recovery.spec.type is RecoveryType.RECOVERY_CODES:
            return await self._parts.vault.make_codes(recovery, ring)
        return None

    async def _write(self, body: Mapping[str, Any], judged: Standing, status: Mapping[str, Any]) -> Written:
        meta = body["metadata"]
        ref = ObjectRef(API_VERSION, plans.KIND, str(meta["name"]), str(meta["namespace"]), str(meta["uid"]))
        written = await write_status(
            self._parts.client, RECOVERIES, ref, status, body.get("status") or {}, manager=MANAGER
        )
        if written is Written.APPLIED and judged.is_final:
            is_good = judged.state is ConditionStatus.TRUE
            self._parts.recorder.emit(
                ref,
                type_="Normal" if is_good else "Warning",
                reason=str(judged.reason),
                action=Action.SEND,
                note=judged.message,
            )
        return written
