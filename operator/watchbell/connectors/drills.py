"""Fire drills at work: a proof mail a period for each connector that asks for it, and the condition `Proven` that says what came of it.

Before: `reconcile` has seen the connectors. After: the outbox sends the message as any other; its result comes back by the watch. Only the leader's
queue does anything.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import msgspec

from watchbell import metrics
from watchbell.api.conditions import find, merge
from watchbell.api.connector import ConnectorSpec
from watchbell.api.enums import ConnectorKind
from watchbell.api.events import Action
from watchbell.api.names import API_VERSION, LABEL_DRILL
from watchbell.api.times import moment, stamp
from watchbell.connectors import drill
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.drill import Drill, Plan, Standing
from watchbell.connectors.parts import Parts
from watchbell.connectors.reconcile import RESOURCES, Connectors
from watchbell.connectors.records import Record
from watchbell.kube.client import custom
from watchbell.kube.errors import AlreadyExists
from watchbell.kube.informers import Informers
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.outbox.outlet import ConnectorKey, ConnectorRef

MESSAGES = custom("emailmessages")
MANAGER = "watchbell-drills"
WORKERS = 2
SYNC_S = 0.5
SUSPENDED_S = 3600.0
_KINDS = frozenset(ConnectorKind)


class _Owner(msgspec.Struct, rename="camel"):
    name: str = ""
    kind: str = ""
    uid: str = ""
    controller: bool = False


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    owner_references: tuple[_Owner, ...] = ()


class _Status(msgspec.Struct, rename="camel"):
    completion_time: datetime | None = None
    conditions: tuple[dict[str, Any], ...] = ()


class DrillMessage(msgspec.Struct):
    """An EmailMessage that is a drill."""

    metadata: _Meta
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def owner(self) -> _Owner | None:
        """The connector that it is a drill of."""
        return next((one for one in self.metadata.owner_references if one.controller and one.kind in _KINDS), None)

    def seen(self) -> Drill:
        """As the pure part sees it."""
        told = find(self.status.conditions, "Succeeded") or {}
        succeeded: Literal["True", "False", "Unknown"] = "Unknown"
        if self.status.completion_time is not None:
            succeeded = "True" if told.get("status") == "True" else "False"
        meta = self.metadata
        message = f"{told.get('reason', '')}: {told.get('message', '')}"
        return Drill(meta.name, meta.creation_timestamp, self.status.completion_time, succeeded, message)


class Sink(Protocol):
    """Who takes a message that was just made: the outbox."""

    def submit(self, body: dict[str, Any]) -> None: ...  # noqa: D102 - as the class says


@dataclass(slots=True)
class _Told:
    """What was last written of a connector."""

    uid: str
    status: dict[str, Any]

    @property
    def proven(self) -> datetime | None:
        return moment(self.status.get(drill.LAST_PROVEN))

    @property
    def reason(self) -> str:
        return str((find(self.status.get("conditions") or (), drill.PROVEN) or {}).get("reason", ""))


class Drills:
    """Of all connectors."""

    def __init__(self, parts: Parts, connectors: Connectors, sink: Sink) -> None:
        self._parts = parts
        self._connectors = connectors
        self._sink = sink
        self._told: dict[ConnectorKey, _Told] = {}
        self._informers = Informers(
            parts.client,
            MESSAGES,
            DrillMessage,
            parts.namespaces,
            label_selector=LABEL_DRILL,
            on_change=self._on_message,
        )
        self._queue: WorkQueue[ConnectorKey] = WorkQueue(self._look, workers=WORKERS, name="drills", clock=parts.clock)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._queue.run())

    def connector_changed(self, key: ConnectorKey) -> None:
        """A connector was seen, changed, came to be ready or went."""
        self._queue.add(key)

    def _on_message(self, old: DrillMessage | None, new: DrillMessage | None) -> None:
        message = new or old
        owner = message.owner if message else None
        if message is None or owner is None:
            return
        is_cluster = owner.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR
        self._queue.add(ConnectorKey(owner.kind, "" if is_cluster else message.metadata.namespace, owner.name))

    # ------------------------------------------------------------------ one connector

    async def _look(self, key: ConnectorKey) -> float | None:
        if not self._parts.leading():
            return None
        record = self._connectors.find(key.namespace, ConnectorRef(key.kind, key.name))
        if not isinstance(record, Record):
            self._forget(key)
            return None
        # Most connectors have none: a thousand of them are not parsed for that.
        spec = record.spec() if b'"drill"' in record.spec_json else None
        if spec is None or isinstance(spec, Refusal) or spec.drill is None or not self._is_served(key):
            await self._stop(record)
            return None
        if not self._informers.is_synced:
            return SYNC_S
        plan = Plan(key, record.uid, spec.drill.period_seconds, spec.drill.to)
        return await self._drill(record, plan, is_suspended=self._is_suspended(spec))

    def _is_served(self, key: ConnectorKey) -> bool:
        """Whether mail of the namespace in which its drills would be is sent at all."""
        served = self._parts.namespaces
        return not served or (key.namespace or self._parts.home) in served

    def _is_suspended(self, spec: ConnectorSpec) -> bool:
        if spec.suspend or spec.parent_ref is None:
            return bool(spec.suspend)
        parent = self._connectors.find("", ConnectorRef(ConnectorKind.CLUSTER_SMTP_CONNECTOR, spec.parent_ref.name))
        base = parent.spec() if isinstance(parent, Record) else None
        return isinstance(base, ConnectorSpec) and bool(base.suspend)

    async def _drill(self, record: Record, plan: Plan, *, is_suspended: bool) -> float:
        told, now = self._known(record), self._parts.now()
        if is_suspended:
            standing = drill.suspended(told.proven, now + timedelta(seconds=SUSPENDED_S))
        else:
            standing = drill.assess(plan, self._drills(plan), told.proven, now)
            if standing.missing is not None:
                await self._make(record, plan, standing.missing)
        await self._say(record, told, standing, now)
        return max(1.0, (standing.again - now).total_seconds())

    def _drills(self, plan: Plan) -> list[Drill]:
        return [
            one.seen() for one in self._informers.values() if (owner := one.owner) is not None and owner.uid == plan.uid
        ]

    async def _make(self, record: Record, plan: Plan, number: int) -> None:
        parts = self._parts
        endpoint = record.outlet.relay.endpoint if record.outlet else ""
        body = drill.message_of(plan, number, parts.home, (parts.cluster_name, endpoint))
        try:
            made = await parts.client.create(MESSAGES, body, body["metadata"]["namespace"])
        except AlreadyExists:
            return  # made before a restart: the watch brings it
        self._sink.submit(made)

    # ------------------------------------------------------------------ what is said

    def _known(self, record: Record) -> _Told:
        told = self._told.get(record.key)
        if told is None or told.uid != record.uid:
            status = record.status()
            said = find(status.get("conditions") or (), drill.PROVEN)
            known = {drill.LAST_PROVEN: status[drill.LAST_PROVEN]} if drill.LAST_PROVEN in status else {}
            told = self._told[record.key] = _Told(record.uid, known | ({"conditions": [said]} if said else {}))
        return told

    async def _say(self, record: Record, told: _Told, standing: Standing, now: datetime) -> None:
        condition = standing.condition
        before = told.reason
        conditions = merge(told.status.get("conditions") or (), (condition,), record.generation, now)
        wanted: dict[str, Any] = {"conditions": conditions}
        if standing.proven is not None:
            wanted[drill.LAST_PROVEN] = stamp(standing.proven)
        await self._write(record, told, wanted)
        labels = (record.key.kind, record.key.namespace, record.key.name)
        metrics.CONNECTOR_PROVEN.labels(*labels).set(condition.status == "True")
        if standing.proven is not None:
            metrics.LAST_PROVEN.labels(*labels).set(standing.proven.timestamp())
        if before != condition.reason and condition.status != "Unknown":
            is_well = condition.status == "True"
            self._parts.recorder.emit(
                _ref(record),
                type_="Normal" if is_well else "Warning",
                reason="DrillSucceeded" if is_well else str(condition.reason),
                action=Action.DRILL,
                note=condition.message,
            )

    async def _write(self, record: Record, told: _Told, wanted: Mapping[str, Any]) -> None:
        resource = RESOURCES[ConnectorKind(record.key.kind)]
        await write_status(self._parts.client, resource, _ref(record), wanted, told.status, manager=MANAGER)
        told.status = dict(wanted)

    async def _stop(self, record: Record) -> None:
        """There is no drill, or no more: what it said goes too."""
        if record.key in self._told or b'"type":"Proven"' in record.status_json:
            await self._write(record, self._known(record), {})
            self._forget(record.key)

    def _forget(self, key: ConnectorKey) -> None:
        self._told.pop(key, None)
        for gauge in (metrics.CONNECTOR_PROVEN, metrics.LAST_PROVEN):
            gauge.remove_by_labels({"kind": key.kind, "namespace": key.namespace, "name": key.name})


def _ref(record: Record) -> ObjectRef:
    key = record.key
    return ObjectRef(API_VERSION, key.kind, key.name, key.namespace or None, record.uid)
