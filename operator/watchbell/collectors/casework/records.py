"""Incidents as objects (pure): the value ⇄ CollectorIncident.

Before: `decisions` says what to write. After: `desk` writes it. What is read back after a restart is less than what was known (no uids of pods, no
image): `folding` fills it again as the pods are seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from sys import intern
from typing import Any

import msgspec

from watchbell.api import names
from watchbell.api.conditions import Condition, merge
from watchbell.api.enums import DriftCheck, IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.api.times import moment, stamp
from watchbell.collectors.casework.decisions import Rest
from watchbell.collectors.casework.incidents import (
    FAMILIES,
    Affected,
    Family,
    Group,
    Incident,
    Notification,
    Past,
    Resolution,
    ended,
)
from watchbell.collectors.casework.letters import INCIDENT_KIND, labels, thread_key
from watchbell.collectors.findings import Difference
from watchbell.collectors.seen.pod import Owner
from watchbell.mail.redaction import redact

MANAGER = "watchbell-collectors"
LISTED_PODS_MAX = 50
LISTED_NOTIFICATIONS_MAX = 50
LISTED_DIFFERENCES_MAX = 50
STATUS_MESSAGE_MAX = 512
DIFFERENCE_MAX = 1024


class _Ref(msgspec.Struct, gc=False):
    name: str = ""


class _OwnerSpec(msgspec.Struct, gc=False):
    kind: str = ""
    name: str = ""


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] = {}


class _Spec(msgspec.Struct, rename="camel", gc=False):
    kind: str = ""
    severity: str = ""
    container: str = ""
    fingerprint: str = ""
    start_time: str = ""
    policy_ref: _Ref = msgspec.field(default_factory=_Ref)
    owner: _OwnerSpec = msgspec.field(default_factory=_OwnerSpec)

    def __post_init__(self) -> None:
        self.kind, self.severity, self.container = intern(self.kind), intern(self.severity), intern(self.container)


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
    severity: str = ""
    message_ref: _Ref | None = None


class _Difference(msgspec.Struct, rename="camel"):
    path: str = ""
    check: str = ""
    expected: str = ""
    actual: str = ""


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
    worst: str = ""
    severity: str = ""
    flaps: int = 0
    interval_seconds: int = 0
    silenced_by: str = ""
    thread: str = ""
    differences: list[_Difference] = []


_STATUS = msgspec.json.Decoder(_Status)


class IncidentRecord(msgspec.Struct):
    """A CollectorIncident as the informer decodes it.

    Its status is kept as text: it is read once, when a process takes over, and as objects it would take three times the memory of the incident
    itself. Raises msgspec.ValidationError for a status that is none.
    """

    metadata: _Meta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status_json: msgspec.Raw = msgspec.field(name="status", default=msgspec.Raw(b"{}"))

    def __post_init__(self) -> None:
        # What came is a part of a page or of a line, which would be kept with it.
        self.status_json = self.status_json.copy()
        _STATUS.decode(self.status_json)

    @property
    def status(self) -> _Status:
        """Decoded anew each time."""
        return _STATUS.decode(self.status_json)

    @property
    def past(self) -> Past | None:
        """What it is to the next incident of its group; None while it is open."""
        status = self.status
        resolved = moment(status.resolved_time)
        if resolved is None:
            return None
        times = ((pod.name, moment(pod.last_time)) for pod in status.affected_pods)
        past = ended(self.metadata.name, resolved, ((name, time, "") for name, time in times if time is not None))
        last_seen = moment(status.last_seen_time)
        return replace(past, last_seen=last_seen, interval_s=float(status.interval_seconds))


def incident_body(incident: Incident) -> dict[str, Any]:
    """The object that opens an incident; making it is the intent of its first mail."""
    group = incident.group
    return {
        "apiVersion": names.API_VERSION,
        "kind": INCIDENT_KIND,
        "metadata": {
            "name": incident.name,
            "namespace": group.namespace,
            "labels": labels(group) | {names.LABEL_FINGERPRINT: group.fingerprint},
        },
        "spec": {
            "policyRef": {"name": group.policy},
            "kind": str(incident.kind),
            "owner": {"kind": group.owner.kind, "name": group.owner.name},
            "severity": str(incident.first_severity or incident.severity),
            "fingerprint": group.fingerprint,
            "startTime": stamp(incident.start_time),
        }
        | ({"container": group.container} if group.container else {}),
    }


def incident_status(
    incident: Incident,
    existing: Sequence[Mapping[str, Any]],
    now: datetime,
    rest: Rest | None = None,
    rest_by: str = "",
) -> dict[str, Any]:
    """The whole status; `resolvedTime` only once every mail of the incident is in the outbox, since it takes the object out of our sight.

    `rest`, `rest_by`: why nobody is told now, and what keeps it from people.
    """
    status: dict[str, Any] = {
        "observedGeneration": 1,
        "conditions": merge(existing, _conditions(incident, rest, rest_by), 1, now),
        "affectedPods": [_affected_pod(pod) for pod in incident.pods[:LISTED_PODS_MAX]],
        "affectedCount": incident.affected_count,
        "occurrences": incident.occurrences,
        "worst": str(incident.worst or incident.kind),
        "severity": str(incident.severity),
        "flaps": incident.flaps,
        "intervalSeconds": int(incident.interval_s),
        "lastSeenTime": stamp(incident.last_seen),
        "notifications": [_notification(item) for item in incident.notifications[-LISTED_NOTIFICATIONS_MAX:]],
        "thread": thread_key(incident),
    }
    if incident.differences:
        status["differences"] = [_difference(item) for item in incident.differences[:LISTED_DIFFERENCES_MAX]]
    if incident.silenced_by:
        status["silencedBy"] = incident.silenced_by
    if incident.is_closed and incident.resolution is not None:
        status["resolvedTime"] = stamp(incident.resolution.time)
    return status


def _difference(item: Difference) -> dict[str, str]:
    return {
        "path": item.path[:STATUS_MESSAGE_MAX],
        "check": str(item.check),
        "expected": item.expected[:DIFFERENCE_MAX],
        "actual": item.actual[:DIFFERENCE_MAX],
    }


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
    listed |= {"severity": str(item.severity)} if item.severity else {}
    return listed | {"messageRef": {"name": item.messages[0]}} if item.messages else listed


def _conditions(incident: Incident, rest: Rest | None, rest_by: str) -> tuple[Condition, ...]:
    return (_resolved(incident), _notified(incident, rest, rest_by), _silenced(rest, rest_by))


def _resolved(incident: Incident) -> Condition:
    if incident.resolution is None:
        return Condition("Resolved", "False", Reason.FIRING, Reason.FIRING.doc)
    return Condition("Resolved", "True", incident.resolution.reason, incident.resolution.reason.doc)


_WAITS: Mapping[Rest, Reason] = {
    Rest.WAITING_FOR_MORE: Reason.WAITING,
    Rest.HELD_FOR_DIGEST: Reason.HELD_FOR_DIGEST,
    Rest.THROTTLED: Reason.THROTTLED,
    Rest.SILENCED: Reason.SILENCED,
    Rest.INHIBITED: Reason.INHIBITED,
    Rest.RECIPIENTS_NOT_FOUND: Reason.RECIPIENTS_NOT_FOUND,
}


def _notified(incident: Incident, rest: Rest | None, rest_by: str) -> Condition:
    reason = _WAITS.get(rest) if rest is not None else None
    if reason is not None and (incident.pending is not None or rest in {Rest.SILENCED, Rest.INHIBITED}):
        return Condition("Notified", "False", reason, f"{reason.doc} ({rest_by})" if rest_by else reason.doc)
    if not incident.notifications or incident.pending is not None:
        return Condition("Notified", "False", Reason.NOTIFICATION_PENDING, Reason.NOTIFICATION_PENDING.doc)
    last = incident.notifications[-1]
    if not last.messages:
        return Condition("Notified", "False", Reason.NO_ROUTE, Reason.NO_ROUTE.doc)
    text = f"EmailMessage {', '.join(last.messages)}."
    if incident.is_acknowledged:
        return Condition("Notified", "True", Reason.ACKNOWLEDGED, f"{text} {Reason.ACKNOWLEDGED.doc}")
    return Condition("Notified", "True", Reason.MESSAGES_CREATED, text)


def _silenced(rest: Rest | None, rest_by: str) -> Condition:
    if rest is Rest.SILENCED:
        return Condition("Silenced", "True", Reason.SILENCED, f"{Reason.SILENCED.doc} ({rest_by})")
    return Condition("Silenced", "False", Reason.NOT_SILENCED, Reason.NOT_SILENCED.doc)


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
    first = _enum(Severity, record.spec.severity) or Severity.WARNING
    worst = _enum(IncidentKind, status.worst)
    acknowledged_by = record.metadata.annotations.get(names.ANNOTATION_ACKNOWLEDGED_BY, "")
    return Incident(
        group=group,
        name=record.metadata.name,
        kind=kind,
        severity=_enum(Severity, status.severity) or first,
        first_severity=first,
        start_time=start,
        last_seen=moment(status.last_seen_time) or start,
        uid=record.metadata.uid,
        worst=worst if worst is not kind else None,
        affected=affected,
        affected_count=max(status.affected_count, len(affected)),
        occurrences=status.occurrences,
        flaps=status.flaps,
        interval_s=float(status.interval_seconds),
        differences=tuple(found for item in status.differences if (found := _read_difference(item))),
        notifications=tuple(_read_notification(item, now) for item in status.notifications),
        resolution=_read_resolution(status, now),
        silenced_by=status.silenced_by,
        thread=status.thread if status.thread != record.metadata.uid else "",
        is_acknowledged=bool(acknowledged_by),
        acknowledged_by=acknowledged_by,
    )


def _read_difference(item: _Difference) -> Difference | None:
    check = _enum(DriftCheck, item.check)
    return Difference(check, item.path, item.expected, item.actual) if check else None


def _read_affected(item: _AffectedPod, kind: IncidentKind, start: datetime) -> Affected:
    return Affected(
        name=item.name,
        kind=_enum(IncidentKind, item.reason) or _plain(kind, item.reason),
        last_time=moment(item.last_time) or start,
        node=item.node,
        reason=item.reason,
        exit_code=item.exit_code,
        signal=item.signal,
        restarts=item.restarts,
        message=item.message,
    )


def _plain(kind: IncidentKind, reason: str) -> IncidentKind:
    """What a pod's reason stands for that is no kind by itself: among crashes a plain error."""
    return IncidentKind.CONTAINER_ERROR if reason and FAMILIES[kind] is Family.CRASH else kind


def _read_notification(item: _Notification, now: datetime) -> Notification:
    transition = _enum(Transition, item.transition) or Transition.FIRED
    messages: tuple[str, ...] | None = (item.message_ref.name,) if item.message_ref else None
    severity = _enum(Severity, item.severity)
    if messages is None and severity is not None:
        messages = ()  # told as far as anybody was to be told: the severity is written with the end of a telling
    return Notification(item.sequence, transition, moment(item.time) or now, messages, severity)


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
