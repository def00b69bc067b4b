"""Incidents (pure): which findings are one trouble, what is known of it, and under which name it is kept.

Before: `crash`, `drift` and their neighbours find. After: `folding` puts findings in, `decisions` says what is due, `records` writes the value as a
CollectorIncident and reads it back. A crash loop, the errors that lead to it and an OOM kill of the same container of the same workload are one
trouble to the people who get the mail, so they are one incident, whose kind may rise while it is open.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from watchbell.api.enums import IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.collectors.casework.naming import digest, stem
from watchbell.collectors.findings import Difference, Finding
from watchbell.collectors.seen.pod import Owner

AFFECTED_MAX = 2000
"""Pods kept for one incident in memory; the object lists fewer, and the count goes on."""


class Family(StrEnum):
    """Kinds that are one trouble when they hit the same container of the same workload."""

    CRASH = "Crash"
    START = "Start"
    SCHEDULING = "Scheduling"
    READINESS = "Readiness"
    EVICTION = "Eviction"
    ROLLOUT = "Rollout"
    NODE = "Node"
    DRIFT = "Drift"


FAMILIES: Mapping[IncidentKind, Family] = {
    IncidentKind.CONTAINER_ERROR: Family.CRASH,
    IncidentKind.SUBPROCESS_CRASHED: Family.CRASH,
    IncidentKind.INIT_CONTAINER_FAILED: Family.CRASH,
    IncidentKind.RESTART_BURST: Family.CRASH,
    IncidentKind.CRASH_LOOP_BACK_OFF: Family.CRASH,
    IncidentKind.OOM_KILLED: Family.CRASH,
    IncidentKind.CONTAINER_CONFIG_ERROR: Family.START,
    IncidentKind.IMAGE_PULL_FAILED: Family.START,
    IncidentKind.UNSCHEDULABLE: Family.SCHEDULING,
    IncidentKind.NOT_READY: Family.READINESS,
    IncidentKind.EVICTED: Family.EVICTION,
    IncidentKind.ROLLOUT_STUCK: Family.ROLLOUT,
    IncidentKind.NODE_LOST: Family.NODE,
    IncidentKind.DRIFT: Family.DRIFT,
}
RANKS: Mapping[IncidentKind, int] = {kind: rank for rank, kind in enumerate(FAMILIES)}
"""Which kind says more about the same trouble, within a family: OOM names the cause, a loop says that it does not run now."""
_WHOLE = frozenset({Family.SCHEDULING, Family.READINESS, Family.EVICTION, Family.ROLLOUT, Family.NODE, Family.DRIFT})
"""Families that are about pods or workloads as a whole, so about no container."""
_LEVELS: Mapping[Severity, int] = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


def is_worse(one: Severity, other: Severity) -> bool:
    """Whether `one` is worse than `other`."""
    return _LEVELS[one] > _LEVELS[other]


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of several; Info of none."""
    return max(severities, key=lambda severity: _LEVELS[severity], default=Severity.INFO)


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
        return digest(self.policy_uid, self.owner.kind, self.owner.name, self.family, self.container)[:16]


@dataclass(frozen=True, slots=True)
class Affected:
    """One pod as the incident saw it last; without a name, the workload. `uid` and `end_id` (which run ended) are empty when it was read back."""

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
    note: str = ""

    def is_same_end(self, time: datetime, end_id: str) -> bool:
        """Whether this is the end that is known. The kubelet's times are whole seconds, in which a container can end twice."""
        return self.last_time == time and (self.end_id == end_id or not (self.end_id and end_id))


@dataclass(frozen=True, slots=True)
class Notification:
    """One telling, and how bad it was then. `messages` None = intended and not yet in the outbox; empty = no route takes it."""

    sequence: int
    transition: Transition
    time: datetime
    messages: tuple[str, ...] | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """That it is over, and how."""

    reason: Reason
    time: datetime


@dataclass(frozen=True, slots=True)
class Past:
    """The last incident of the same group that is over: its end tells old crashes from news, its name leads to the next one.

    `ends` are the ends it knew that came in the very second in which it was over, or later: (pod, time, which run; empty if not known).
    `last_seen` and `interval_s` (the longest time between two of its ends) tell how often the trouble comes back.
    """

    name: str
    resolved_time: datetime
    ends: tuple[tuple[str, datetime, str], ...] = ()
    last_seen: datetime | None = None
    interval_s: float = 0.0

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

    `kind` and `first_severity` are what it began as and stay (mails of one incident keep their subject); `worst` and `severity` are what it has
    become.
    `flaps`: how often it failed again after it had been well. `interval_s`: the longest time between two ends. `silenced_by`: the silence that held
    back something of it which nobody has been told since. `thread`: the mail thread it was first told in; empty = its own. `is_under_way`: its
    pending telling is being put into the outbox, so that nothing can take it back.
    """

    group: Group
    name: str
    kind: IncidentKind
    severity: Severity
    start_time: datetime
    last_seen: datetime
    uid: str = ""
    first_severity: Severity | None = None
    worst: IncidentKind | None = None
    is_init: bool = False
    image: str = ""
    image_id: str = ""
    affected: Mapping[str, Affected] = field(default_factory=dict)
    affected_count: int = 0
    occurrences: int = 0
    flaps: int = 0
    interval_s: float = 0.0
    differences: tuple[Difference, ...] = ()
    notifications: tuple[Notification, ...] = ()
    healthy_since: datetime | None = None
    resolution: Resolution | None = None
    silenced_by: str = ""
    thread: str = ""
    is_acknowledged: bool = False
    acknowledged_by: str = ""
    is_under_way: bool = False
    is_closed: bool = False

    @property
    def pending(self) -> Notification | None:
        """The telling that was begun and not finished."""
        last = self.notifications[-1] if self.notifications else None
        return last if last is not None and last.messages is None else None

    @property
    def told(self) -> Notification | None:
        """The last telling that is in the outbox, or that no route took."""
        return next((item for item in reversed(self.notifications) if item.messages is not None), None)

    @property
    def pods(self) -> tuple[Affected, ...]:
        """The pods, the one hit last first."""
        named = (pod for pod in self.affected.values() if pod.name)
        return tuple(sorted(named, key=lambda pod: (pod.last_time, pod.name), reverse=True))

    @property
    def is_looping(self) -> bool:
        """Whether its container came back and failed again while it was open."""
        return self.group.family is Family.CRASH and (
            self.occurrences > 1
            or any(pod.kind is IncidentKind.CRASH_LOOP_BACK_OFF or pod.restarts > 1 for pod in self.affected.values())
        )


def group_of(namespace: str, policy: str, policy_uid: str, finding: Finding) -> Group:
    """The group that a finding belongs to under a policy."""
    family = FAMILIES[finding.kind]
    return Group(namespace, policy, policy_uid, finding.owner, family, "" if family in _WHOLE else finding.container)


def incident_name(group: Group, predecessor: str) -> str:
    """The object's name: who starts from the same state writes the same name, so that no two processes open it twice."""
    end = digest(group.fingerprint, predecessor)[:10]
    return "-".join(part for part in (stem(group.owner.name), group.family.lower(), end) if part)


def relapsed(incident: Incident) -> Incident:
    """It fails again. An end that nobody has been told of yet is taken back."""
    resolution, notifications = incident.resolution, incident.notifications
    pending = incident.pending
    if resolution is not None and pending is not None and not incident.is_under_way:
        resolution, notifications = None, notifications[:-1]
    was_well = incident.healthy_since is not None or resolution is not incident.resolution
    return replace(
        incident,
        resolution=resolution,
        notifications=notifications,
        healthy_since=None,
        flaps=incident.flaps + was_well,
    )


def is_being_closed(incident: Incident) -> bool:
    """Whether its end stands: somebody is being told of it, or was, or nobody is to be."""
    return incident.resolution is not None and (incident.pending is None or incident.is_under_way)


def closed_at(incident: Incident, resolved_time: datetime) -> Past:
    """What an incident that is over is to the next one of its group."""
    ends = ((pod.name, pod.last_time, pod.end_id) for pod in incident.affected.values())
    past = ended(incident.name, resolved_time, ends)
    return replace(past, last_seen=incident.last_seen, interval_s=incident.interval_s)


def ended(name: str, resolved_time: datetime, ends: Iterable[tuple[str, datetime, str]]) -> Past:
    """The same of an object: of the ends that it lists only those are kept that its time does not tell."""
    return Past(name, resolved_time, tuple(end for end in ends if end[1] >= second(resolved_time)))


def second(time: datetime) -> datetime:
    """The time as a kubelet would write it."""
    return time.replace(microsecond=0)
