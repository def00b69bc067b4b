"""Incidents as objects (pure): the value ⇄ CollectorIncident, and the EmailMessages of a telling.

Before: `decisions` says what to write. After: `reconcile` writes it. What is read back after a restart is less than what was known (no
uids of pods, no image): `incidents.fold` fills it again as the pods are seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from watchbell.api import names
from watchbell.api.conditions import Condition, merge
from watchbell.api.enums import IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.api.times import moment, stamp
from watchbell.collectors.incidents import (
    FAMILIES,
    Affected,
    Group,
    Incident,
    Notification,
    Past,
    Resolution,
    ended,
    message_name,
)
from watchbell.collectors.pod import Owner
from watchbell.mail.document import Rendered
from watchbell.mail.redaction import redact

INCIDENT_KIND = "CollectorIncident"
MANAGER = "watchbell-collectors"
MANAGED_BY = "watchbell"
LISTED_PODS_MAX = 50
LISTED_NOTIFICATIONS_MAX = 50
STATUS_MESSAGE_MAX = 512
MESSAGE_TTL_S = 604_800
"""A week: as long as its incident is kept after its end."""


class _Ref(msgspec.Struct):
    name: str = ""


class _OwnerSpec(msgspec.Struct):
    kind: str = ""
    name: str = ""


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] = {}


class _Spec(msgspec.Struct, rename="camel"):
    kind: str = ""
    severity: str = ""
    container: str = ""
    fingerprint: str = ""
    start_time: str = ""
    policy_ref: _Ref = msgspec.field(default_factory=_Ref)
    owner: _OwnerSpec = msgspec.field(default_factory=_OwnerSpec)


class _AffectedPod(msgspec.Struct, rename="camel"):
    name: str = ""
    node: str = ""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int = 0
    last_time: str = ""
    message: str = ""


class _Notification(msgspec.Struct, rename="camel"):
    sequence: int = 0
    transition: str = ""
    time: str = ""
    message_ref: _Ref | None = None


class _Condition(msgspec.Struct, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    last_transition_time: str = ""


class _Status(msgspec.Struct, rename="camel"):
    conditions: list[_Condition] = []
    affected_pods: list[_AffectedPod] = []
    affected_count: int = 0
    occurrences: int = 0
    last_seen_time: str = ""
    resolved_time: str = ""
    notifications: list[_Notification] = []


class IncidentRecord(msgspec.Struct):
    """A CollectorIncident as the informer decodes it."""

    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def past(self) -> Past | None:
        """What it is to the next incident of its group; None while it is open."""
        resolved = moment(self.status.resolved_time)
        if resolved is None:
            return None
        times = ((pod.name, moment(pod.last_time)) for pod in self.status.affected_pods)
        return ended(self.metadata.name, resolved, ((name, time, "") for name, time in times if time is not None))


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail of a telling: to whom, by which connector, and the finished text. `connector_ref` as the route has it."""

    route: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    connector_ref: Mapping[str, str] | None
    rendered: Rendered


def incident_body(incident: Incident) -> dict[str, Any]:
    """The object that opens an incident; making it is the intent of its first mail."""
    group = incident.group
    return {
        "apiVersion": names.API_VERSION,
        "kind": INCIDENT_KIND,
        "metadata": {
            "name": incident.name,
            "namespace": group.namespace,
            "labels": _labels(group),
        },
        "spec": {
            "policyRef": {"name": group.policy},
            "kind": str(incident.kind),
            "owner": {"kind": group.owner.kind, "name": group.owner.name},
            "container": group.container,
            "severity": str(incident.severity),
            "fingerprint": group.fingerprint,
            "startTime": stamp(incident.start_time),
        },
    }


def _labels(group: Group) -> dict[str, str]:
    labels = {names.LABEL_MANAGED_BY: MANAGED_BY, names.LABEL_FINGERPRINT: group.fingerprint}
    # A label's value ends at 63 characters, a policy's name at 253; the reference in the spec is always whole.
    return labels | ({names.LABEL_POLICY: group.policy} if len(group.policy) <= 63 else {})


def incident_status(incident: Incident, existing: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """The whole status; `resolvedTime` only once every mail of the incident is in the outbox, since it takes the object out of our sight."""
    pods = sorted(incident.affected.values(), key=lambda pod: (pod.last_time, pod.name), reverse=True)
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": merge(existing, _conditions(incident), 1, now),
        "affectedPods": [_affected_pod(pod) for pod in pods[:LISTED_PODS_MAX]],
        "affectedCount": incident.affected_count,
        "occurrences": incident.occurrences,
        "lastSeenTime": stamp(incident.last_seen),
        "notifications": [_notification(item) for item in incident.notifications[-LISTED_NOTIFICATIONS_MAX:]],
        "thread": thread_key(incident),
    }
    if incident.is_closed and incident.resolution is not None:
        status["resolvedTime"] = stamp(incident.resolution.time)
    return status


def thread_key(incident: Incident) -> str:
    """What all mails of the incident have in common."""
    return incident.uid


def _affected_pod(pod: Affected) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "name": pod.name,
        "node": pod.node,
        "reason": pod.reason,
        "restarts": pod.restarts,
        "lastTime": stamp(pod.last_time),
        "message": redact(pod.message)[:STATUS_MESSAGE_MAX],
    }
    numbers = {"exitCode": pod.exit_code, "signal": pod.signal}
    return listed | {name: number for name, number in numbers.items() if number is not None}


def _notification(item: Notification) -> dict[str, Any]:
    listed = {"sequence": item.sequence, "transition": str(item.transition), "time": stamp(item.time)}
    return listed | {"messageRef": {"name": item.messages[0]}} if item.messages else listed


def _conditions(incident: Incident) -> tuple[Condition, ...]:
    return (_resolved(incident), _notified(incident))


def _resolved(incident: Incident) -> Condition:
    if incident.resolution is None:
        return Condition("Resolved", "False", Reason.FIRING, Reason.FIRING.doc)
    return Condition("Resolved", "True", incident.resolution.reason, incident.resolution.reason.doc)


def _notified(incident: Incident) -> Condition:
    if not incident.notifications or incident.pending is not None:
        return Condition("Notified", "False", Reason.NOTIFICATION_PENDING, Reason.NOTIFICATION_PENDING.doc)
    last = incident.notifications[-1]
    if not last.messages:
        return Condition("Notified", "False", Reason.NO_ROUTE, Reason.NO_ROUTE.doc)
    return Condition("Notified", "True", Reason.MESSAGES_CREATED, f"EmailMessage {', '.join(last.messages)}.")


def message_body(incident: Incident, sequence: int, letter: Letter) -> dict[str, Any]:
    """The EmailMessage of one route of one telling; owned by the incident, so it goes when that goes."""
    spec: dict[str, Any] = {
        "to": list(letter.to),
        "cc": list(letter.cc),
        "bcc": list(letter.bcc),
        "connectorRef": dict(letter.connector_ref) if letter.connector_ref else None,
        "subject": letter.rendered.subject,
        "body": {"text": letter.rendered.text, "html": letter.rendered.html},
        "priority": "High" if incident.severity is Severity.CRITICAL else "Normal",
        "ttlSecondsAfterFinished": MESSAGE_TTL_S,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "EmailMessage",
        "metadata": {
            "name": message_name(incident.name, sequence, letter.route),
            "namespace": incident.group.namespace,
            "labels": _labels(incident.group),
            "annotations": {names.ANNOTATION_THREAD: thread_key(incident)},
            "ownerReferences": [_owner_reference(incident)],
        },
        "spec": {key: value for key, value in spec.items() if value not in (None, [], "")},
    }


def _owner_reference(incident: Incident) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": INCIDENT_KIND,
        "name": incident.name,
        "uid": incident.uid,
        "controller": True,
    }


def group_of_record(record: IncidentRecord, policy_uid: str) -> Group | None:
    """The group that the record belongs to if the policy of its name has this uid; None if it was made for another policy, or by hand."""
    kind = _enum(IncidentKind, record.spec.kind)
    if kind is None:
        return None
    owner = Owner(record.spec.owner.kind, record.spec.owner.name)
    meta, spec = record.metadata, record.spec
    group = Group(meta.namespace, spec.policy_ref.name, policy_uid, owner, FAMILIES[kind], spec.container)
    return group if group.fingerprint == spec.fingerprint else None


def read_incident(record: IncidentRecord, group: Group, now: datetime) -> Incident:
    """The value that the object holds. Times that cannot be read become `now`."""
    kind = _enum(IncidentKind, record.spec.kind) or IncidentKind.CONTAINER_ERROR
    status, start = record.status, moment(record.spec.start_time) or now
    affected = {item.name: _read_affected(item, kind, start) for item in status.affected_pods}
    return Incident(
        group=group,
        name=record.metadata.name,
        kind=kind,
        severity=_enum(Severity, record.spec.severity) or Severity.WARNING,
        start_time=start,
        last_seen=moment(status.last_seen_time) or start,
        uid=record.metadata.uid,
        affected=affected,
        affected_count=max(status.affected_count, len(affected)),
        occurrences=status.occurrences,
        notifications=tuple(_read_notification(item, record, now) for item in status.notifications),
        resolution=_read_resolution(status, now),
        is_acknowledged=bool(record.metadata.annotations.get(names.ANNOTATION_ACKNOWLEDGED_BY)),
    )


def _read_affected(item: _AffectedPod, kind: IncidentKind, start: datetime) -> Affected:
    return Affected(
        name=item.name,
        kind=_enum(IncidentKind, item.reason) or (IncidentKind.CONTAINER_ERROR if item.reason else kind),
        last_time=moment(item.last_time) or start,
        node=item.node,
        reason=item.reason,
        exit_code=item.exit_code,
        signal=item.signal,
        restarts=item.restarts,
        message=item.message,
    )


def _read_notification(item: _Notification, record: IncidentRecord, now: datetime) -> Notification:
    transition = _enum(Transition, item.transition) or Transition.FIRED
    messages: tuple[str, ...] | None = (item.message_ref.name,) if item.message_ref else None
    if messages is None and _is_without_route(record):
        messages = ()
    return Notification(item.sequence, transition, moment(item.time) or now, messages)


def _is_without_route(record: IncidentRecord) -> bool:
    return any(item.type == "Notified" and item.reason == Reason.NO_ROUTE for item in record.status.conditions)


def _read_resolution(status: _Status, now: datetime) -> Resolution | None:
    for item in status.conditions:
        if item.type == "Resolved" and item.status == "True":
            reason = _enum(Reason, item.reason) or Reason.HEALTHY_AGAIN
            return Resolution(reason, moment(item.last_transition_time) or now)
    return None


def _enum(kind: type[Any], text: str) -> Any:  # noqa: ANN401 - the caller's enum
    try:
        return kind(text)
    except ValueError:
        return None
