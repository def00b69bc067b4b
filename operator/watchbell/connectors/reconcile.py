"""Route 1: key → gather → decide → probe → verdict → one server-side apply on `/status`. The same for every cause.

Before it kopf's events (through `handlers`), a changed Secret, a failed send and the clock put keys into the queue; after it the outbox finds
an outlet here for each connector that is Ready. Nothing here knows what a mail says.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from watchbell.api.conditions import Condition, merge
from watchbell.api.connector import ConnectorSpec
from watchbell.api.enums import ConnectorKind, Level
from watchbell.api.names import API_VERSION, DEFAULT_CONNECTOR
from watchbell.api.reasons import Reason
from watchbell.connectors import outcome, schedule
from watchbell.connectors.announce import Announcer
from watchbell.connectors.assemble import NEWLINE_NOTE, Assembled, assemble
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.gather import Found, Gatherer
from watchbell.connectors.parts import Parts
from watchbell.connectors.records import Record, key_of, record_of, refresh
from watchbell.connectors.restore import restored
from watchbell.connectors.tenancy import use_refusal
from watchbell.kube.client import custom
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.logs import about
from watchbell.outbox.outlet import ConnectorKey, ConnectorRef, Outlet, Unavailable, Use
from watchbell.smtp.model import Fault, ProbeReport, ServerFacts
from watchbell.smtp.probe import probe
from watchbell.smtp.providers import warnings
from watchbell.smtp.remedies import personalise

log = logging.getLogger(__name__)

MANAGER = "watchbell-connectors"
RESOURCES = {
    ConnectorKind.SMTP_CONNECTOR: custom("smtpconnectors"),
    ConnectorKind.CLUSTER_SMTP_CONNECTOR: custom("clustersmtpconnectors", namespaced=False),
}
REFUSED_AGAIN_S = 300.0
"""What was missing is looked for again so often; in watch mode, or when it is an object of ours, it is noticed at once."""

Dependency = tuple[str, str, str]


class Connectors:
    """All connectors: keeps them proven, and answers how mail may go out."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._records: dict[ConnectorKey, Record] = {}
        self._dependents: dict[Dependency, set[ConnectorKey]] = defaultdict(set)
        self._gatherer = Gatherer(parts.client, parts.home, self._cluster_record)
        self._announcer = Announcer(parts.recorder)
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
            self._wake_children(key)

    def identities(self, kind: str) -> frozenset[tuple[str, str]]:
        """(namespace, name) of every connector of a kind in memory; the audit compares them with what is listed."""
        return frozenset((key.namespace, key.name) for key in self._records if key.kind == kind)

    def dependency_changed(self, kind: str, namespace: str, name: str) -> None:
        """A Secret or ConfigMap changed, came or went."""
        for key in self._dependents.get((kind, namespace, name), ()):
            self.queue.add(key)

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
        log.info("send failed, connector will be probed", extra=about(connector=str(key), reason=str(fault.reason)))
        self.queue.add(key)

    def lead(self) -> None:
        """This replica works from now on: look at everything."""
        for key in self._records:
            self.queue.add(key)

    def _wake(self, key: ConnectorKey) -> None:
        self.queue.add(key)
        self._wake_children(key)

    def _wake_children(self, key: ConnectorKey) -> None:
        if key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR:
            self.dependency_changed(ConnectorKind.CLUSTER_SMTP_CONNECTOR, "", key.name)

    def _cluster_record(self, name: str) -> Record | None:
        return self._records.get(ConnectorKey(ConnectorKind.CLUSTER_SMTP_CONNECTOR, "", name))

    # ------------------------------------------------------------------ what is asked

    def find(self, namespace: str, ref: ConnectorRef | None) -> Record | Unavailable:
        """The connector that `ref` names for `namespace`; without one the default: named `default` here, else the cluster's."""
        kinds = (ref.kind,) if ref else (ConnectorKind.SMTP_CONNECTOR, ConnectorKind.CLUSTER_SMTP_CONNECTOR)
        name = ref.name if ref else DEFAULT_CONNECTOR
        for kind in kinds:
            where = namespace if kind == ConnectorKind.SMTP_CONNECTOR else ""
            record = self._records.get(ConnectorKey(kind, where, name))
            if record is not None:
                return record
        wanted = (
            f"{ref.kind} {ref.name}"
            if ref
            else f"SmtpConnector {name} in namespace {namespace}, and no ClusterSmtpConnector {name}"
        )
        return Unavailable(
            Reason.CONNECTOR_NOT_FOUND, f"there is no {wanted}; create it, or name another in spec.connectorRef"
        )

    async def permitted(self, record: Record, namespace: str, use: Use) -> Refusal | None:
        """None if `namespace` may use the connector for `use`."""
        spec = record.spec()
        if isinstance(spec, Refusal):
            return spec
        if record.key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR:
            refusal = await self._gatherer.namespace_refusal(spec, record.key.name, namespace)
            return refusal or use_refusal(spec.allowed_uses, record.key.name, use)
        parent = self._cluster_record(spec.parent_ref.name) if spec.parent_ref else None
        base = parent.spec() if parent else None
        if parent is None or base is None or isinstance(base, Refusal):
            return None
        return use_refusal(base.allowed_uses, parent.key.name, use)

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
        return Unavailable(reason, message, is_unjudged=record.ready_reason is Reason.NOT_PROBED)

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
        self._depend(record, _dependencies(found, record, self._parts.home))
        if isinstance(found, Refusal):
            return await self._refused(record, found)
        assembled = self._assemble(key, found)
        if isinstance(assembled, Refusal):
            return await self._refused(record, assembled)
        return await self._advance(record, found, assembled)

    async def _refused(self, record: Record, refusal: Refusal) -> float:
        keeps = refusal.reason is Reason.MASKED_PLACEHOLDER and record.outlet is not None and record.ready
        if not keeps:
            record.outlet = None
        conditions = outcome.refused(refusal, still_proven="the last good credential stays in use" if keeps else "")
        await self._settle(record, conditions, {})
        return REFUSED_AGAIN_S

    async def _advance(self, record: Record, found: Found, assembled: Assembled) -> float | None:
        rhythm = _rhythm(found, assembled.outlet, self._parts.chance())
        now = self._parts.now()
        if record.memory.last_probe is None:
            record.memory = restored(record.status(), found, record.generation, rhythm, now)
        self._note_rotation(record, found)
        record.outlet = assembled.outlet
        decision = schedule.decide(record.memory, rhythm, found.fingerprint, record.request, now)
        if decision.cause in {schedule.Cause.DISABLED, schedule.Cause.SUSPENDED}:
            reason = Reason.SUSPENDED if decision.cause is schedule.Cause.SUSPENDED else Reason.PROBE_DISABLED
            record.memory = schedule.Memory(handled_request=record.request)
            await self._settle(
                record, outcome.unprobed(_subject(found, assembled), reason), _basics(record, found, assembled, None)
            )
            return None
        if decision.level is None:
            self._restore_ready(record)
            return max(0.0, (decision.due - now).total_seconds()) if decision.due else None
        report = await probe(assembled.outlet.relay, self._parts.dialer, decision.level)
        probed = schedule.Probed(found.fingerprint, decision.level, record.request, self._parts.now(), report)
        return await self._concluded(record, found, assembled, rhythm, probed)

    async def _concluded(
        self, record: Record, found: Found, assembled: Assembled, rhythm: schedule.Rhythm, probed: schedule.Probed
    ) -> float:
        record.memory = schedule.remember(record.memory, probed, rhythm)
        due = schedule.next_due(record.memory, rhythm)
        report = personal(probed.report, assembled, self._parts.home)
        self._announcer.probed(record, report, probed.at)
        details = _basics(record, found, assembled, due) | {
            "stages": outcome.stage_entries(report.stages),
            "remediation": [line[:512] for line in _advice(report, assembled.outlet)],
        }
        server = (
            outcome.server_entry(report.server) if report.server != ServerFacts() else record.status().get("server")
        )
        if server:
            details["server"] = server
        await self._settle(record, outcome.probed(_subject(found, assembled), report, record.memory), details)
        return max(1.0, (due - self._parts.now()).total_seconds())

    def _note_rotation(self, record: Record, found: Found) -> None:
        version = found.secret.resource_version if found.secret else ""
        if record.secret_version and version and record.secret_version != version:
            self._announcer.rotated(record)
        record.secret_version = version

    def _restore_ready(self, record: Record) -> None:
        """A connector whose status vouches for it takes mail again after a restart, without a probe."""
        if record.memory.is_proven and not record.ready:
            self._set_ready(record, (Condition("Ready", "True", Reason.PROVEN, "proven before the operator started"),))

    async def _settle(self, record: Record, conditions: tuple[Condition, ...], details: Mapping[str, Any]) -> None:
        """Write what is true now, then let those who wait for the connector know."""
        key, current = record.key, record.status()
        wanted: dict[str, Any] = {
            **details,
            "observedGeneration": record.generation,
            "conditions": merge(current.get("conditions") or [], conditions, record.generation, self._parts.now()),
        }
        if record.request:
            wanted["lastHandledRequest"] = record.request[:256]
        ref = ObjectRef(API_VERSION, key.kind, key.name, key.namespace or None, record.uid)
        self._set_ready(record, conditions)
        written = await write_status(
            self._parts.client, RESOURCES[ConnectorKind(key.kind)], ref, wanted, current, manager=MANAGER
        )
        if written is Written.APPLIED:
            record.status_json = msgspec.json.encode(wanted)

    def _set_ready(self, record: Record, conditions: tuple[Condition, ...]) -> None:
        ready = next(condition for condition in conditions if condition.type == "Ready")
        before = record.ready, record.ready_reason is Reason.NOT_PROBED
        record.ready = ready.status == "True"
        record.ready_reason, record.ready_message = ready.reason, ready.message
        self._announcer.readiness(record)
        if before != (record.ready, False):
            self._parts.on_ready(record.key)

    def _depend(self, record: Record, wanted: tuple[Dependency, ...]) -> None:
        for old in set(record.dependencies) - set(wanted):
            self._dependents[old].discard(record.key)
            if not self._dependents[old]:
                del self._dependents[old]
        for new in wanted:
            self._dependents[new].add(record.key)
        record.dependencies = wanted


def _dependencies(found: Found | Refusal, record: Record, home: str) -> tuple[Dependency, ...]:
    """What to listen to, whether it is there or not."""
    spec = record.spec() if isinstance(found, Refusal) else found.spec
    if isinstance(spec, Refusal):
        return ()
    if spec.parent_ref is not None:
        parent = ((str(ConnectorKind.CLUSTER_SMTP_CONNECTOR), "", spec.parent_ref.name),)
        return parent + (() if isinstance(found, Refusal) else _references(found.base, home))
    return _references(spec, record.key.namespace or home)


def _references(base: ConnectorSpec, namespace: str) -> tuple[Dependency, ...]:
    tls, auth = base.tls, base.auth
    secrets = [
        auth.secret_ref if auth else None,
        tls.ca_secret_ref if tls else None,
        tls.client_cert_secret_ref if tls else None,
    ]
    maps = [tls.ca_config_map_ref] if tls else []
    return tuple(("Secret", namespace, ref.name) for ref in secrets if ref) + tuple(
        ("ConfigMap", namespace, ref.name) for ref in maps if ref
    )


def _rhythm(found: Found, outlet: Outlet, chance: float) -> schedule.Rhythm:
    rules = found.base.probe
    return schedule.Rhythm(
        level=rules.level if rules else Level.AUTHENTICATE,
        period_s=rules.period_seconds if rules else 600,
        auth_period_s=rules.auth_period_seconds if rules else 3600,
        failure_threshold=rules.failure_threshold if rules else 3,
        is_suspended=bool(found.spec.suspend or found.base.suspend),
        needs_login=outlet.relay.auth is not None,
        chance=chance,
    )


def _advice(report: ProbeReport, outlet: Outlet) -> tuple[str, ...]:
    """What to do about the fault, and what is known to go wrong at this provider even if all is well today."""
    auth = outlet.relay.auth
    known = warnings(
        outlet.relay.host,
        auth.username if auth else "",
        outlet.relay.mail_from,
        has_password=auth is not None and auth.password is not None,
    )
    remedies = report.fault.remedies if report.fault else ()
    return tuple(dict.fromkeys((*remedies, *known)))[:8]


def _subject(found: Found, assembled: Assembled) -> outcome.Subject:
    relay = assembled.outlet.relay
    note = (
        (Reason.TRAILING_NEWLINE, NEWLINE_NOTE)
        if assembled.had_newline
        else (Reason.RESOLVED_REFS, "all references were resolved")
    )
    return outcome.Subject(
        endpoint=relay.endpoint,
        tls_mode=relay.tls.mode,
        verifies=relay.tls.verify,
        has_login=relay.auth is not None,
        level=found.base.probe.level if found.base.probe else Level.AUTHENTICATE,
        note=note[0],
        note_message=note[1],
    )


def _basics(record: Record, found: Found, assembled: Assembled, due: datetime | None) -> dict[str, Any]:
    """The plain facts of `status`, absent ones left out."""
    memory, relay = record.memory, assembled.outlet.relay
    login = outcome.timestamp(memory.last_login)
    credentials = {"secretResourceVersion": found.secret.resource_version} if found.secret else {}
    entries: dict[str, Any] = {
        "endpoint": relay.endpoint,
        "tlsMode": str(relay.tls.mode),
        "resolvedFrom": str(found.base_key),
        "lastProbeTime": outcome.timestamp(memory.last_probe),
        "lastSuccessTime": outcome.timestamp(memory.last_success),
        "nextProbeTime": outcome.timestamp(due),
        "consecutiveFailures": memory.failures,
        "credentials": (credentials | ({"lastAuthenticationTime": login} if login else {})) or None,
    }
    return {key: value for key, value in entries.items() if value is not None}


def personal(report: ProbeReport, assembled: Assembled, home: str) -> ProbeReport:
    """The report with the names of this connector in the commands of its remedies."""
    if report.fault is None:
        return report
    names = {
        "NAMESPACE": assembled.secret_namespace,
        "CONNECTOR": assembled.outlet.key.name,
        "SECRET": assembled.secret_name or "NAME",
        "OPERATOR_NAMESPACE": home,
    }
    return replace(report, fault=replace(report.fault, remedies=personalise(report.fault.remedies, names)))
