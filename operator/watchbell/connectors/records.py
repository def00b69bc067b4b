"""What is kept in memory of each connector: small, so that thousands cost little. The spec is kept as bytes and parsed when it is needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchbell.api.connector import ClusterSmtpConnector, ConnectorSpec, SmtpConnector
from watchbell.api.enums import ConnectorKind
from watchbell.api.meta import Problem, parse
from watchbell.api.names import ANNOTATION_REQUESTED_AT
from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.schedule import Memory
from watchbell.outbox.outlet import ConnectorKey, Outlet, Slowdown
from watchbell.smtp.model import Fault

MODELS: Mapping[str, type[SmtpConnector] | type[ClusterSmtpConnector]] = {
    ConnectorKind.SMTP_CONNECTOR: SmtpConnector,
    ConnectorKind.CLUSTER_SMTP_CONNECTOR: ClusterSmtpConnector,
}


Dependency = tuple[str, str, str]
"""Kind, namespace and name of an object that a connector stands on."""
Shown = tuple[tuple[str, str, str], ...]
"""Conditions as type, status and reason."""


@dataclass(slots=True)
class Record:
    """One connector as it was last seen, and what is remembered of its probes.

    `status` is the status that stands there, as bytes; `outlet` how mail goes out while it is Ready; `dependencies` what it
    stands on. `shown` and `certificate_expiry` (Unix time) are for metrics; `shown` is empty until it was judged by this process.
    `broken` is why mail does not get through, told by the outbox and not yet in the status; `slowdown` what the provider asked for.
    """

    key: ConnectorKey
    uid: str
    generation: int
    request: str
    spec_json: bytes
    status_json: bytes
    memory: Memory = field(default_factory=Memory)
    outlet: Outlet | None = None
    secret_version: str = ""
    dependencies: tuple[Dependency, ...] = ()
    ready: bool = False
    ready_reason: Reason = Reason.NOT_PROBED
    ready_message: str = "not probed yet"
    shown: Shown = ()
    certificate_expiry: float | None = None
    broken: Fault | None = None
    slowdown: Slowdown | None = None

    def spec(self) -> ConnectorSpec | Refusal:
        """The spec as its model, or InvalidSpec with every problem's field."""
        body = {
            "metadata": {"name": self.key.name, "namespace": self.key.namespace, "uid": self.uid},
            "spec": msgspec.json.decode(self.spec_json),
        }
        parsed = parse(MODELS[self.key.kind], body)
        if isinstance(parsed, tuple):
            return invalid(parsed)
        return parsed.spec

    def status(self) -> dict[str, Any]:
        """The status that stands on the object, as far as it is known."""
        status: dict[str, Any] = msgspec.json.decode(self.status_json) if self.status_json else {}
        return status


def invalid(problems: tuple[Problem, ...]) -> Refusal:
    """InvalidSpec, naming the fields."""
    return Refusal(
        "Accepted", Reason.INVALID_SPEC, "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:8])
    )


def key_of(body: Mapping[str, Any]) -> ConnectorKey:
    """The key of a connector's body; a cluster connector has no namespace."""
    return ConnectorKey(str(body["kind"]), str(body["metadata"].get("namespace") or ""), str(body["metadata"]["name"]))


def record_of(body: Mapping[str, Any]) -> Record:
    """A fresh record of a body from the API server."""
    metadata = body["metadata"]
    return Record(
        key=key_of(body),
        uid=str(metadata["uid"]),
        generation=int(metadata.get("generation") or 0),
        request=str((metadata.get("annotations") or {}).get(ANNOTATION_REQUESTED_AT, "")),
        spec_json=msgspec.json.encode(body.get("spec") or {}),
        status_json=msgspec.json.encode(body.get("status") or {}),
    )


def refresh(record: Record, body: Mapping[str, Any]) -> bool:
    """Take over a newer body; True if anything changed that a reconcile must see (spec or request, not our own status).

    A list may be older than what a watch brought meanwhile; an older generation is never taken over.
    """
    newer = record_of(body)
    if newer.uid == record.uid and newer.generation < record.generation:
        return False
    changed = (newer.uid, newer.generation, newer.request) != (record.uid, record.generation, record.request)
    record.uid, record.generation, record.request = newer.uid, newer.generation, newer.request
    record.spec_json, record.status_json = newer.spec_json, newer.status_json
    return changed
