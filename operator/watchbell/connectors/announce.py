"""Says what changed: Events on transitions only, metrics and one log line for each probe.

Called by `reconcile` after a probe. It remembers what it said last of each connector, so a fault that stands is told once.
"""

import logging
from datetime import datetime, timedelta

from watchbell import metrics
from watchbell.api.conditions import find
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.api.times import moment, stamp
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.records import Record
from watchbell.kube.events import EventRecorder
from watchbell.kube.resources import ObjectRef
from watchbell.logs import about
from watchbell.outbox.outlet import ConnectorKey, Slowdown
from watchbell.smtp.model import ProbeReport

log = logging.getLogger(__name__)

EXPIRY_WARNING = timedelta(days=21)


class Announcer:
    """One for all connectors."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder
        self._told: dict[ConnectorKey, Reason] = {}
        self._standing_in: dict[ConnectorKey, ConnectorKey] = {}

    def probed(self, record: Record, report: ProbeReport, now: datetime) -> None:
        """A probe is over."""
        fault = report.fault
        reason = fault.reason if fault else Reason.PROVEN
        for stage in report.stages:
            metrics.CONNECTOR_STAGE_SECONDS.labels(str(stage.name)).observe(stage.duration_ms / 1000)
        metrics.CONNECTOR_PROBES.labels("failed" if fault else "passed", str(reason)).inc()
        log.info(
            "connector probed", extra=about(connector=str(record.key), reason=str(reason), generation=record.generation)
        )
        if self._is_new(record, reason):
            if fault is None:
                self._emit(record, "Normal", "ProbeSucceeded", "Probe", "every stage passed")
            else:
                self._emit(
                    record, "Warning", "ProbeFailed", "Probe", f"{fault.reason} at stage {fault.stage}: {fault.message}"
                )
        self._certificate(record, report, now)

    def refused(self, record: Record, refusal: Refusal) -> None:
        """The connector cannot be probed as it stands."""
        if self._is_new(record, refusal.reason):
            self._emit(record, "Warning", "ProbeFailed", "Probe", f"{refusal.reason}: {refusal.message}")

    def _is_new(self, record: Record, reason: Reason) -> bool:
        """Whether this is a transition. What an earlier process told stands in the status."""
        before = self._told.get(record.key)
        if before is None:
            before = (find(record.status().get("conditions") or [], "Ready") or {}).get("reason")
        self._told[record.key] = reason
        return before != reason

    def _certificate(self, record: Record, report: ProbeReport, now: datetime) -> None:
        tls = report.server.tls
        expiry = moment(tls.not_after) if tls else None
        if report.fault is None or expiry is not None:
            # A probe that did not come to TLS says nothing about the certificate.
            record.certificate_expiry = expiry.timestamp() if expiry else None
        if tls is None or expiry is None:
            return
        if expiry - now < EXPIRY_WARNING and not _was_expiring(record, tls.sha256, expiry):
            self._emit(
                record,
                "Warning",
                "CertificateExpiring",
                "Probe",
                f"the server's certificate ({tls.subject}) expires at {tls.not_after}",
            )

    def rotated(self, record: Record) -> None:
        """The Secret has a new version."""
        metrics.CREDENTIALS_ROTATED.inc()
        self._emit(
            record, "Normal", "CredentialsRotated", "Probe", "the Secret changed; the connector is being proven with it"
        )

    def readiness(self, record: Record) -> None:
        """A connector that is ready again needs its fallback no more."""
        fallback = self._standing_in.pop(record.key, None) if record.ready else None
        if fallback is not None:
            self._emit(record, "Normal", "FallbackEnded", "Send", f"mail no longer goes through {fallback}")

    def standing_in(self, record: Record, fallback: ConnectorKey) -> None:
        """Mail goes through the fallback; told once until the connector is ready again."""
        if self._standing_in.get(record.key) != fallback:
            self._standing_in[record.key] = fallback
            note = f"mail goes through {fallback}, since this connector is not ready ({record.ready_reason})"
            self._emit(record, "Warning", "FallbackUsed", "Send", note)

    def slowed(self, record: Record, slowdown: Slowdown) -> None:
        """The provider asked to slow down."""
        rate = f"{slowdown.messages_per_minute} messages a minute" if slowdown.messages_per_minute else "no mail"
        note = f"{slowdown.reason}: {slowdown.reason.doc} Sending {rate} for now, as before from {stamp(slowdown.end)}"
        self._emit(record, "Warning", "SlowedDown", "Send", note)

    def forget(self, key: ConnectorKey) -> None:
        """The connector is gone."""
        self._told.pop(key, None)
        self._standing_in.pop(key, None)

    def _emit(self, record: Record, type_: str, reason: str, action: str, note: str) -> None:
        key = record.key
        ref = ObjectRef(API_VERSION, key.kind, key.name, key.namespace or None, record.uid)
        self._recorder.emit(ref, type_=type_, reason=reason, action=action, note=note)


def _was_expiring(record: Record, sha256: str, expiry: datetime) -> bool:
    """Whether the last status was about this certificate, and it was due for the warning then."""
    status = record.status()
    shown = ((status.get("server") or {}).get("tls") or {}).get("sha256")
    probed_at = moment(status.get("lastProbeTime"))
    return shown == sha256 and probed_at is not None and expiry - probed_at < EXPIRY_WARNING
