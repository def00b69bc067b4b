"""Route 1: key → gather → decide → probe → verdict → one server-side apply on `/status`. The same for every cause.

Before it kopf's events (through `handlers`), a changed Secret, a failed send and the clock put keys into the queue; after it the outbox finds
an outlet here for each connector that is Ready. Nothing here knows what a mail says.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from watchbell.api.conditions import Condition, merge
from watchbell.api.enums import ConnectorKind
from watchbell.api.names import API_VERSION, DEFAULT_CONNECTOR
from watchbell.api.reasons import Reason
from watchbell.connectors import outcome, schedule
from watchbell.connectors.announce import Announcer
from watchbell.connectors.assemble import Assembled, assemble
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.details import advice, basics, personal, rhythm_of, slowdown_entry, subject_of
from watchbell.connectors.drill import with_drill, without_drill
from watchbell.connectors.fallback import explained, fallback_key, standing_in
from watchbell.connectors.gather import Found, Gatherer, dependencies
from watchbell.connectors.gauges import shown, shown_in
from watchbell.connectors.lineage import Lineage, concerns_children, failed_report, inherited, relieved
from watchbell.connectors.parts import Parts
from watchbell.connectors.records import Dependency, Record, key_of, record_of, refresh
from watchbell.connectors.restore import restored
from watchbell.connectors.tenancy import use_refusal
from watchbell.kube.client import custom
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.logs import about
from watchbell.outbox.outlet import ConnectorKey, ConnectorRef, Outlet, Slowdown, Unavailable, Use
from watchbell.smtp.model import Fault, ProbeReport, ServerFacts
from watchbell.smtp.probe import probe

log = logging.getLogger(__name__)

MANAGER = "watchbell-connectors"
RESOURCES = {
    ConnectorKind.SMTP_CONNECTOR: custom("smtpconnectors"),
    ConnectorKind.CLUSTER_SMTP_CONNECTOR: custom("clustersmtpconnectors", namespaced=False),
}
PARENT_AGAIN_S = 5.0
"""A child looks again so often whether its parent was probed; the parent also wakes it."""
_STANDS = frozenset(
    {
        schedule.Cause.NOT_DUE,
        schedule.Cause.SEND_FAILED,
        schedule.Cause.PERIOD,
        schedule.Cause.RETRY,
        schedule.Cause.AUTH_PERIOD,
    }
)
"""Nothing that the connector stands on has changed since its last probe, so what a send found out is true of it as it is."""
REFUSED_AGAIN_S = 300.0
"""What was missing is looked for again so often; in watch mode, or when it is an object of ours, it is noticed at once."""


def candidates(namespace: str, ref: ConnectorRef | None) -> tuple[ConnectorKey, ...]:
    """The connectors that `ref` may mean for `namespace`, the first that exists counts; no reference means the default ones."""
    kinds = (ref.kind,) if ref else (ConnectorKind.SMTP_CONNECTOR, ConnectorKind.CLUSTER_SMTP_CONNECTOR)
    name = ref.name if ref else DEFAULT_CONNECTOR
    return tuple(ConnectorKey(kind, namespace if kind == ConnectorKind.SMTP_CONNECTOR else "", name) for kind in kinds)


def not_found(namespace: str, ref: ConnectorRef | None) -> Unavailable:
    """There is none of the candidates."""
    name = DEFAULT_CONNECTOR
    wanted = (
        f"{ref.kind} {ref.name}"
        if ref
        else f"SmtpConnector {name} in namespace {namespace}, and no ClusterSmtpConnector {name}"
    )
    return Unavailable(
        Reason.CONNECTOR_NOT_FOUND, f"there is no {wanted}; create it, or name another in spec.connectorRef"
    )


class Connectors:
    """All connectors: keeps them proven, and answers how mail may go out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._records: dict[ConnectorKey, Record] = {}
        self._dependents: dict[Dependency, set[ConnectorKey]] = defaultdict(set)
        self._gatherer = Gatherer(parts.client, parts.home, self._parent)
        self._announcer = Announcer(parts.recorder)
        self.on_seen: Callable[[ConnectorKey], None] = lambda _key: None
        self.queue: WorkQueue[ConnectorKey] = WorkQueue(
            self._reconcile, workers=parts.workers, name="connectors", clock=parts.clock
        )

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

    # ------------------------------------------------------------------ what is heard

    def changed(self, body: Mapping[str, Any]) -> bool:
        """A connector was seen (listed, added or modified); True if it is a new one."""
        key = key_of(body)
        record = self._records.get(key)
        if record is None:
            self._records[key] = record_of(body)
        elif not refresh(record, body):
            return False
        self._wake(key)
        return record is None

    def deleted(self, body: Mapping[str, Any]) -> None:
        """A connector is gone."""
        key = key_of(body)
        record = self._records.pop(key, None)
        self.queue.forget(key)
        if record is not None:
            self._depend(record, ())
            self._announcer.forget(key)
            self._parts.on_ready(key)
            self.on_seen(key)
            self._wake_children(key)

    def identities(self, kind: str) -> frozenset[tuple[str, str]]:
        """(namespace, name) of every connector of a kind in memory; the audit compares them with what is listed."""
        return frozenset((key.namespace, key.name) for key in self._records if key.kind == kind)

    def dependency_changed(self, kind: str, namespace: str, name: str) -> None:
        """A Secret or ConfigMap changed, came or went."""
        for key in self._dependents.get((kind, namespace, name), ()):
            self.queue.add(key)

    @property
    def known(self) -> Collection[Record]:
        """Every connector in memory, for metrics."""
        return self._records.values()

    def dependencies(self) -> tuple[Dependency, ...]:
        """All Secrets and ConfigMaps that connectors stand on."""
        return tuple(self._dependents)

    def report(self, key: ConnectorKey, fault: Fault) -> None:
        """A send ended in a fault of the session: probe again soon. After one that is for good, no mail goes out before that probe."""
        record = self._records.get(key)
        if record is None:
            return
        record.memory = replace(
            record.memory, is_suspect=True, is_proven=record.memory.is_proven and not fault.is_permanent
        )
        if fault.is_permanent:
            record.ready, record.ready_reason, record.ready_message = False, fault.reason, fault.message
            self._parts.on_ready(key)
        log.info("send failed, connector will be probed", extra=about(connector=str(key), reason=str(fault.reason)))
        self.queue.add(key)

    def broken(self, key: ConnectorKey, fault: Fault) -> None:
        """Mail does not get through, again and again, or the login was refused: that counts as probes, and stands in the status at once."""
        record = self._records.get(key)
        if record is not None:
            record.broken = fault
            self.queue.add(key)

    def slowed(self, key: ConnectorKey, slowdown: Slowdown) -> None:
        """The provider asked to slow down."""
        record = self._records.get(key)
        if record is not None:
            record.slowdown = slowdown
            self._announcer.slowed(record, slowdown)
            self.queue.add(key)

    def lead(self) -> None:
        """This replica works from now on: look at everything."""
        for key in self._records:
            self.queue.add(key)
            self.on_seen(key)

    def _wake(self, key: ConnectorKey) -> None:
        self.queue.add(key)
        self.on_seen(key)
        self._wake_children(key)

    def _wake_children(self, key: ConnectorKey) -> None:
        if key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR:
            self.dependency_changed(ConnectorKind.CLUSTER_SMTP_CONNECTOR, "", key.name)

    async def _parent(self, name: str) -> Record | None:
        return await self._record(ConnectorKey(ConnectorKind.CLUSTER_SMTP_CONNECTOR, "", name))

    async def _record(self, key: ConnectorKey) -> Record | None:
        """The connector from memory, or as it stands in the cluster: one that was not heard of may only not have been listed yet."""
        if key in self._records:
            return self._records[key]
        resource = RESOURCES[ConnectorKind(key.kind)]
        found = await self._parts.client.list(
            resource, key.namespace or None, field_selector=f"metadata.name={key.name}"
        )
        return record_of({"kind": key.kind, **found[0]}) if found else None

    # ------------------------------------------------------------------ what is asked

    def find(self, namespace: str, ref: ConnectorRef | None) -> Record | Unavailable:
        """The connector that `ref` names for `namespace`; without one the default: named `default` here, else the cluster's."""
        for key in candidates(namespace, ref):
            record = self._records.get(key)
            if record is not None:
                return record
        return not_found(namespace, ref)

    async def located(self, namespace: str, ref: ConnectorRef | None) -> Record | Unavailable:
        """As `find`, but asks the cluster for what was not heard of: for what ends with the answer and is not asked again."""
        for key in candidates(namespace, ref):
            record = await self._record(key)
            if record is not None:
                return record
        return not_found(namespace, ref)

    async def permitted(self, record: Record, namespace: str, use: Use) -> Refusal | None:
        """None if `namespace` may use the connector for `use`."""
        spec = record.spec()
        if isinstance(spec, Refusal):
            return spec
        if record.key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR:
            refusal = await self._gatherer.namespace_refusal(spec, record.key.name, namespace)
            return refusal or use_refusal(spec.allowed_uses, record.key.name, use)
        parent = await self._parent(spec.parent_ref.name) if spec.parent_ref else None
        base = parent.spec() if parent else None
        if parent is None or base is None or isinstance(base, Refusal):
            return None
        refusal = await self._gatherer.namespace_refusal(base, parent.key.name, namespace)
        return refusal or use_refusal(base.allowed_uses, parent.key.name, use)

    async def outlet(self, namespace: str, ref: ConnectorRef | None, use: Use) -> Outlet | Unavailable:
        """How a mail of this namespace may go out now."""
        record = self.find(namespace, ref)
        if isinstance(record, Unavailable):
            return record
        refusal = await self.permitted(record, namespace, use)
        if refusal is not None:
            return Unavailable(refusal.reason, refusal.message)
        if record.ready and record.outlet is not None:
            return record.outlet
        reason = Reason.SUSPENDED if record.ready_reason is Reason.SUSPENDED else Reason.CONNECTOR_NOT_READY
        message = f"{record.key} is not ready ({record.ready_reason}): {record.ready_message}"
        primary = Unavailable(reason, message, is_unjudged=record.ready_reason is Reason.NOT_PROBED)
        # Who suspends a connector wants its mail held.
        return (
            primary
            if primary.is_unjudged or reason is Reason.SUSPENDED
            else await self._fallback(record, primary, namespace, use)
        )

    async def _fallback(self, record: Record, primary: Unavailable, namespace: str, use: Use) -> Outlet | Unavailable:
        """How a mail goes out while its connector is not ready: through the fallback, by the fallback's own rules."""
        spec = record.spec()
        parent = await self._parent(spec.parent_ref.name) if not isinstance(spec, Refusal) and spec.parent_ref else None
        base = parent.spec() if parent else spec
        if isinstance(spec, Refusal) or isinstance(base, Refusal):
            return primary
        key = fallback_key(spec, base, record.key.namespace)
        if key is None:
            return primary
        candidate = self._records.get(key)
        refusal = await self.permitted(candidate, namespace, use) if candidate else None
        found = refusal or standing_in(record, key, candidate)
        if found is None:
            return replace(primary, is_unjudged=True)
        if isinstance(found, Refusal):
            return explained(primary, key, found)
        self._announcer.standing_in(record, key)
        return found

    async def assembled(self, record: Record) -> Assembled | Refusal:
        """Gather and assemble anew, whatever the readiness; for tests of a connector."""
        found = await self._gatherer.gather(record)
        return found if isinstance(found, Refusal) else self._assemble(record.key, found)

    def _assemble(self, key: ConnectorKey, found: Found) -> Assembled | Refusal:
        return assemble(key, found, self._parts.allowances)

    # ------------------------------------------------------------------ what is done

    async def _reconcile(self, key: ConnectorKey) -> float | None:
        record = self._records.get(key)
        if record is None or not self._parts.leading():
            return None
        found = await self._gatherer.gather(record)
        self._depend(record, dependencies(found, record, self._parts.home))
        if isinstance(found, Refusal):
            return await self._refused(record, found)
        assembled = self._assemble(key, found)
        if isinstance(assembled, Refusal):
            return await self._refused(record, assembled)
        return await self._advance(record, found, assembled)

    async def _refused(self, record: Record, refusal: Refusal) -> float:
        keeps = refusal.reason is Reason.MASKED_PLACEHOLDER and record.outlet is not None and record.ready
        if not keeps:
            # What was proven before is proven again once it may be used again: its status says no more that it was.
            record.outlet, record.memory = None, schedule.Memory()
        conditions = outcome.refused(refusal, still_proven="the last good credential stays in use" if keeps else "")
        self._announcer.refused(record, refusal)
        await self._settle(record, conditions, without_drill(record.status()) if keeps else {})
        return REFUSED_AGAIN_S

    async def _advance(self, record: Record, found: Found, assembled: Assembled) -> float | None:
        rhythm = rhythm_of(found, assembled.outlet, self._parts.chance())
        now = self._parts.now()
        if record.memory.last_probe is None:
            record.memory = restored(record.status(), found, rhythm, now)
        record.memory = relieved(record.memory, self._records.get(found.base_key), found)
        self._note_rotation(record, found)
        self._take_outlet(record, assembled)
        decision = schedule.decide(record.memory, rhythm, found.fingerprint, record.request, now)
        if decision.cause in {schedule.Cause.DISABLED, schedule.Cause.SUSPENDED}:
            reason = Reason.SUSPENDED if decision.cause is schedule.Cause.SUSPENDED else Reason.PROBE_DISABLED
            record.memory = schedule.Memory(handled_request=record.request)
            await self._settle(
                record,
                outcome.unprobed(subject_of(found, assembled), reason),
                basics(record, found, assembled, None, now),
            )
            return None
        sent, record.broken = record.broken, None
        if sent is not None and decision.cause in _STANDS:
            record.memory = schedule.failed_sends(record.memory)
            probed = schedule.Probed(found.fingerprint, rhythm.level, "", now, failed_report(sent))
            return await self._concluded(record, found, assembled, rhythm, probed)
        if decision.level is None:
            self._restore_ready(record)
            await self._show_slowdown(record)
            return max(0.0, (decision.due - now).total_seconds()) if decision.due else None
        told = self._told_by_parent(record, found)
        if told is Lineage.WAIT:
            return PARENT_AGAIN_S
        report = told or await probe(assembled.outlet.relay, self._parts.dialer, decision.level)
        probed = schedule.Probed(found.fingerprint, decision.level, record.request, self._parts.now(), report)
        return await self._concluded(record, found, assembled, rhythm, probed)

    async def _concluded(
        self, record: Record, found: Found, assembled: Assembled, rhythm: schedule.Rhythm, probed: schedule.Probed
    ) -> float:
        before, record.memory = record.memory, schedule.remember(record.memory, probed, rhythm)
        due = schedule.next_due(record.memory, rhythm)
        report = personal(probed.report, assembled, self._parts.home)
        self._announcer.probed(record, report, probed.at)
        details = basics(record, found, assembled, due, self._parts.now()) | {
            "stages": outcome.stage_entries(report.stages),
            "remediation": [line[:512] for line in advice(report, assembled.outlet)],
        }
        server = (
            outcome.server_entry(report.server) if report.server != ServerFacts() else record.status().get("server")
        )
        if server:
            details["server"] = server
        await self._settle(record, outcome.probed(subject_of(found, assembled), report, record.memory), details)
        if report.fault is None and probed.level is rhythm.level:
            self._parts.on_proven(record.key)
        if concerns_children(before, record.memory):
            self._wake_children(record.key)
        return max(1.0, (due - self._parts.now()).total_seconds())

    def _take_outlet(self, record: Record, assembled: Assembled) -> None:
        """How mail goes out from now on. Messages that wait for a limit have to hear of a new one."""
        before, record.outlet = record.outlet, assembled.outlet
        if before is not None and before.limits != assembled.outlet.limits:
            self._parts.on_ready(record.key)

    async def _show_slowdown(self, record: Record) -> None:
        """Between two probes the status changes only for this."""
        current, entry = record.status(), slowdown_entry(record, self._parts.now())
        if current.get("slowdown") == entry:
            return
        wanted = {name: value for name, value in current.items() if name != "slowdown"}
        await self._write(record, wanted | ({"slowdown": entry} if entry else {}), current)

    def _note_rotation(self, record: Record, found: Found) -> None:
        version = found.secret.resource_version if found.secret else ""
        if record.secret_version and version and record.secret_version != version:
            self._announcer.rotated(record)
        record.secret_version = version

    def _told_by_parent(self, record: Record, found: Found) -> ProbeReport | Lineage | None:
        """A child logs in with its parent's password, so it asks the parent first how that went."""
        if found.base_key == record.key:
            return None
        told = inherited(self._records.get(found.base_key), found)
        if told is Lineage.WAIT:
            self.queue.add(found.base_key)
        return told

    def _restore_ready(self, record: Record) -> None:
        """After a restart: a connector whose status vouches for it takes mail without a probe, and one that was rejected says so."""
        memory = record.memory
        if not record.shown:
            record.shown, record.certificate_expiry = shown_in(record.status())
        if memory.is_proven and not record.ready:
            self._set_ready(record, (Condition("Ready", "True", Reason.PROVEN, "proven before the operator started"),))
        elif memory.fault is not None and record.ready_reason is Reason.NOT_PROBED:
            self._set_ready(record, (Condition("Ready", "False", memory.fault.reason, memory.fault.message),))

    async def _settle(self, record: Record, conditions: tuple[Condition, ...], details: Mapping[str, Any]) -> None:
        """Write what is true now, then let those who wait for the connector know."""
        current = record.status()
        wanted: dict[str, Any] = {
            **details,
            "observedGeneration": record.generation,
            "conditions": merge(current.get("conditions") or [], conditions, record.generation, self._parts.now()),
        }
        if record.request:
            wanted["lastHandledRequest"] = record.request[:256]
        record.shown = shown((one.type, one.status, one.reason) for one in conditions)
        self._set_ready(record, conditions)
        await self._write(record, wanted, current)

    async def _write(self, record: Record, wanted: dict[str, Any], current: Mapping[str, Any]) -> None:
        key = record.key
        ref = ObjectRef(API_VERSION, key.kind, key.name, key.namespace or None, record.uid)
        written = await write_status(
            self._parts.client, RESOURCES[ConnectorKind(key.kind)], ref, wanted, without_drill(current), manager=MANAGER
        )
        if written is Written.APPLIED:
            record.status_json = msgspec.json.encode(with_drill(wanted, current))

    def _set_ready(self, record: Record, conditions: tuple[Condition, ...]) -> None:
        ready = next(condition for condition in conditions if condition.type == "Ready")
        before = record.ready, record.ready_reason is Reason.NOT_PROBED
        record.ready = ready.status == "True"
        record.ready_reason, record.ready_message = ready.reason, ready.message
        self._announcer.readiness(record)
        if before != (record.ready, False):
            self._parts.on_ready(record.key)
            # Those that it stands in for, whose mail may go out through it now.
            for leaning in self._dependents.get((record.key.kind, record.key.namespace, record.key.name), ()):
                self._parts.on_ready(leaning)

    def _depend(self, record: Record, wanted: tuple[Dependency, ...]) -> None:
        for old in set(record.dependencies) - set(wanted):
            self._dependents[old].discard(record.key)
            if not self._dependents[old]:
                del self._dependents[old]
        for new in wanted:
            self._dependents[new].add(record.key)
        record.dependencies = wanted
