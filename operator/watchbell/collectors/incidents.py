"""Incidents (pure): which findings are one trouble, what is known of it, and under which name it is kept.

Before: `crash` finds. After: `decisions` says what is due, `records` writes the value as a CollectorIncident and reads it back. A crash loop,
the errors that lead to it and an OOM kill of the same container of the same workload are one trouble to the people who get the mail, so they are one
incident, whose kind may rise while it is open.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from watchbell.api.enums import IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.collectors.findings import Finding
from watchbell.collectors.pod import Owner

AFFECTED_MAX = 2000
"""Pods kept for one incident in memory; the object lists fewer, and the count goes on."""
STEM_MAX = 40
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


class Family(StrEnum):
    """Kinds that are one trouble when they hit the same container of the same workload."""

    CRASH = "Crash"


FAMILIES: Mapping[IncidentKind, Family] = {
    IncidentKind.CONTAINER_ERROR: Family.CRASH,
    IncidentKind.CRASH_LOOP_BACK_OFF: Family.CRASH,
    IncidentKind.OOM_KILLED: Family.CRASH,
}
RANKS: Mapping[IncidentKind, int] = {
    IncidentKind.CONTAINER_ERROR: 0,
    IncidentKind.CRASH_LOOP_BACK_OFF: 1,
    IncidentKind.OOM_KILLED: 2,
}
"""Which kind says more about the same trouble: OOM names the cause, a loop says that it does not run now."""


@dataclass(frozen=True, slots=True)
class Group:
    """What makes two findings the same trouble. Identity only, never text."""

    namespace: str
    policy: str
    policy_uid: str
    owner: Owner
    family: Family
    container: str

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits, fit for a label."""
        return _digest(self.policy_uid, self.owner.kind, self.owner.name, self.family, self.container)[:16]


@dataclass(frozen=True, slots=True)
class Affected:
    """One pod as the incident saw it last. `uid` and `end_id` (which run ended) are empty when it was read back from the object."""

    name: str
    kind: IncidentKind
    last_time: datetime
    uid: str = ""
    node: str = ""
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int = 0
    message: str = ""
    memory_limit: str = ""
    end_id: str = ""

    def is_same_end(self, time: datetime, end_id: str) -> bool:
        """Whether this is the end that is known. The kubelet's times are whole seconds, in which a container can end twice."""
        return self.last_time == time and (self.end_id == end_id or not (self.end_id and end_id))


@dataclass(frozen=True, slots=True)
class Notification:
    """One telling. `messages` None = intended and not yet in the outbox; empty = no route takes it."""

    sequence: int
    transition: Transition
    time: datetime
    messages: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """That it is over, and how."""

    reason: Reason
    time: datetime


@dataclass(frozen=True, slots=True)
class Past:
    """The last incident of the same group that is over: its end tells old crashes from news, its name leads to the next one.

    `ends` are the ends it knew that came in the very second in which it was over, or later: (pod, time, which run; empty if not known).
    """

    name: str
    resolved_time: datetime
    ends: tuple[tuple[str, datetime, str], ...] = ()

    def knew(self, finding: Finding) -> bool:
        """Whether this very end was one of its own."""
        return any(
            pod == finding.pod
            and time == finding.seen_time
            and (end_id == finding.end_id or not (end_id and finding.end_id))
            for pod, time, end_id in self.ends
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """One trouble from its first sign to its end. `uid` is empty until the object is there; `healthy_since` lives in memory only.

    `kind` is what it began as and stays (mails of one incident keep their subject); `worst` is what it has become.
    """

    group: Group
    name: str
    kind: IncidentKind
    severity: Severity
    start_time: datetime
    last_seen: datetime
    uid: str = ""
    worst: IncidentKind | None = None
    is_init: bool = False
    image: str = ""
    image_id: str = ""
    affected: Mapping[str, Affected] = field(default_factory=dict)
    affected_count: int = 0
    occurrences: int = 0
    notifications: tuple[Notification, ...] = ()
    healthy_since: datetime | None = None
    resolution: Resolution | None = None
    is_acknowledged: bool = False
    is_closed: bool = False

    @property
    def pending(self) -> Notification | None:
        """The telling that was begun and not finished."""
        return next((item for item in self.notifications if item.messages is None), None)

    @property
    def is_looping(self) -> bool:
        """Whether it came back while it was open."""
        return self.occurrences > 1 or any(
            pod.kind is IncidentKind.CRASH_LOOP_BACK_OFF or pod.restarts > 1 for pod in self.affected.values()
        )


class Outcome(StrEnum):
    """What a finding did to its group; the last four are the named reasons for doing nothing."""

    OPENED = "Opened"
    UPDATED = "Updated"
    ESCALATED = "Escalated"
    NOTHING_NEW = "NothingNew"
    OLDER_THAN_KNOWN = "OlderThanKnown"
    ALREADY_TOLD = "AlreadyTold"
    BEING_RESOLVED = "BeingResolved"


CHANGING = frozenset({Outcome.OPENED, Outcome.UPDATED, Outcome.ESCALATED})


def group_of(namespace: str, policy: str, policy_uid: str, finding: Finding) -> Group:
    """The group that a finding belongs to under a policy."""
    return Group(namespace, policy, policy_uid, finding.owner, FAMILIES[finding.kind], finding.container)


def incident_name(group: Group, predecessor: str) -> str:
    """The object's name: who starts from the same state writes the same name, so that no two processes open it twice."""
    digest = _digest(group.fingerprint, predecessor)[:10]
    return "-".join(part for part in (_stem(group.owner.name), group.family.lower(), digest) if part)


def _stem(owner: str) -> str:
    """The owner's name as the beginning of another. Whoever makes a pod by hand may write anything into its owner reference."""
    if not _NAME.fullmatch(owner):
        owner = re.sub(r"[^a-z0-9]+", "-", owner.lower())
    return owner[:STEM_MAX].strip("-.")


def message_name(incident: str, sequence: int, route: str) -> str:
    """The EmailMessage of one route of one telling."""
    return f"{incident}-{sequence}-{route}"


def fold(
    incident: Incident | None, group: Group, findings: Iterable[Finding], past: Past | None, severity: Severity
) -> tuple[Incident | None, Outcome]:
    """The incident after `findings` of its group, and the most that any of them did. Folding the same again changes nothing."""
    most = Outcome.NOTHING_NEW
    for finding in findings:
        if incident is None:
            incident, outcome = _open(group, finding, past, severity)
        else:
            incident, outcome = _update(incident, finding)
        if _WEIGHTS[outcome] > _WEIGHTS[most]:
            most = outcome
    return incident, most


_WEIGHTS = {
    Outcome.NOTHING_NEW: 0,
    Outcome.OLDER_THAN_KNOWN: 1,
    Outcome.ALREADY_TOLD: 2,
    Outcome.BEING_RESOLVED: 3,
    Outcome.UPDATED: 4,
    Outcome.ESCALATED: 5,
    Outcome.OPENED: 6,
}


def is_told(finding: Finding, past: Past | None) -> bool:
    """Whether the incident before already covered it, as far as times can tell what was found on a first look at a pod.

    The kubelet's times are whole seconds, so the same second counts as news, unless the incident knew that very end.
    """
    if past is None or finding.is_standing or finding.is_live:
        return False
    return finding.seen_time < _second(past.resolved_time) or past.knew(finding)


def closed_at(incident: Incident, resolved_time: datetime) -> Past:
    """What an incident that is over is to the next one of its group."""
    ends = ((pod.name, pod.last_time, pod.end_id) for pod in incident.affected.values())
    return ended(incident.name, resolved_time, ends)


def ended(name: str, resolved_time: datetime, ends: Iterable[tuple[str, datetime, str]]) -> Past:
    """The same of an object: of the ends that it lists only those are kept that its time does not tell."""
    return Past(name, resolved_time, tuple(end for end in ends if end[1] >= _second(resolved_time)))


def _second(time: datetime) -> datetime:
    return time.replace(microsecond=0)


def _open(group: Group, finding: Finding, past: Past | None, severity: Severity) -> tuple[Incident | None, Outcome]:
    if is_told(finding, past):
        return None, Outcome.ALREADY_TOLD
    opened = Incident(
        group=group,
        name=incident_name(group, past.name if past else ""),
        kind=finding.kind,
        severity=severity,
        start_time=finding.seen_time,
        last_seen=finding.seen_time,
        is_init=finding.is_init,
        image=finding.image,
        image_id=finding.image_id,
        affected={finding.pod: _affected(finding, None)},
        affected_count=1,
        occurrences=1,
    )
    return opened, Outcome.OPENED


def _update(incident: Incident, finding: Finding) -> tuple[Incident, Outcome]:
    if incident.resolution is not None:
        return incident, Outcome.BEING_RESOLVED
    before = incident.affected.get(finding.pod)
    if before is not None and before.uid not in {"", finding.pod_uid}:
        before = None
    if before is not None and finding.seen_time < before.last_time:
        return incident, Outcome.OLDER_THAN_KNOWN
    after = _affected(finding, before)
    if before is not None and after == replace(
        before,
        uid=after.uid,
        signal=after.signal,
        memory_limit=after.memory_limit,
        end_id=before.end_id or after.end_id,
    ):
        return _remember(incident, finding, after), Outcome.NOTHING_NEW
    is_worse = RANKS[finding.kind] > RANKS[incident.worst or incident.kind]
    grown = replace(
        _remember(incident, finding, after),
        affected_count=incident.affected_count + (finding.pod not in incident.affected),
        occurrences=incident.occurrences + _new_ends(before, after),
        # Once written, the object's startTime is fixed.
        start_time=incident.start_time if incident.uid else min(incident.start_time, finding.seen_time),
        last_seen=max(incident.last_seen, finding.seen_time),
        worst=finding.kind if is_worse else incident.worst,
        healthy_since=None,
    )
    return grown, Outcome.ESCALATED if is_worse else Outcome.UPDATED


def _remember(incident: Incident, finding: Finding, after: Affected) -> Incident:
    """The incident with this pod's entry, and with what its object does not keep (image, kind of container)."""
    if incident.affected.get(after.name) == after and incident.image:
        return incident
    affected = {**incident.affected, after.name: after}
    if len(affected) > AFFECTED_MAX:
        del affected[min(affected.values(), key=lambda pod: pod.last_time).name]
    return replace(incident, affected=affected, is_init=finding.is_init, image=finding.image, image_id=finding.image_id)


def _affected(finding: Finding, before: Affected | None) -> Affected:
    """The pod's entry; of two findings for the same end the one that says more stands."""
    is_same_end = before is not None and before.is_same_end(finding.seen_time, finding.end_id)
    kind = finding.kind
    if before is not None and is_same_end and RANKS[before.kind] > RANKS[kind]:
        kind = before.kind
    return Affected(
        name=finding.pod,
        kind=kind,
        last_time=finding.seen_time,
        uid=finding.pod_uid,
        node=finding.node,
        reason=_reason(kind, finding),
        exit_code=finding.exit_code,
        signal=finding.signal,
        restarts=max(finding.restarts, before.restarts) if before else finding.restarts,
        message=finding.message,
        memory_limit=finding.memory_limit,
        end_id=finding.end_id,
    )


def _reason(kind: IncidentKind, finding: Finding) -> str:
    """The kubelet's word for it; for a plain error the runtime's (Error, StartError, …)."""
    return finding.reason if kind is IncidentKind.CONTAINER_ERROR and finding.reason else str(kind)


def _new_ends(before: Affected | None, after: Affected) -> int:
    if before is None:
        return 1
    if before.is_same_end(after.last_time, after.end_id):
        return 0
    return max(1, after.restarts - before.restarts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
