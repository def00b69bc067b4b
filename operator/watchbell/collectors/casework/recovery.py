"""What objects say of incidents that this process did not make (pure): after a restart, a take-over, or when a name turns out to be taken.

Before: a body or record from the API server. After: the caseload holds it as if it had been there all along, and what earlier mails told is told.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchbell.api import names
from watchbell.api.enums import Transition
from watchbell.api.times import moment
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.decisions import intend
from watchbell.collectors.casework.incidents import Family, Group, Incident, Past
from watchbell.collectors.casework.naming import BatchMark, Member, read_mark, read_members
from watchbell.collectors.casework.records import IncidentRecord, group_of_record, read_incident
from watchbell.collectors.policies import Policy
from watchbell.collectors.seen.pod import Owner

_NEVER = datetime.min.replace(tzinfo=UTC)


class IncidentPage(msgspec.Struct):
    """A page of incidents as a list gives it."""

    items: list[IncidentRecord] | None = None


def record_of(body: dict[str, Any]) -> IncidentRecord:
    """A body as the record type."""
    return msgspec.json.decode(msgspec.json.encode(body), type=IncidentRecord)


def past_of(body: dict[str, Any], group: Group) -> Past | None:
    """What the object of a taken name is to `group`: its end if it is over, or a stranger that only takes the name; None = it is this incident."""
    record = record_of(body)
    if record.spec.fingerprint != group.fingerprint:
        return Past(record.metadata.name, _NEVER)
    return record.past


def adopt(case: Case, body: dict[str, Any], now: datetime) -> None:
    """The case becomes the incident that is there already; what was seen since is kept."""
    record = record_of(body)
    mine, there = case.incident, read_incident(record, case.incident.group, now)
    case.incident = replace(
        there,
        is_init=mine.is_init,
        image=mine.image,
        image_id=mine.image_id,
        worst=mine.worst or there.worst,
        differences=mine.differences,
        affected={**there.affected, **mine.affected},
        affected_count=max(there.affected_count, len({**there.affected, **mine.affected})),
        occurrences=max(there.occurrences, mine.occurrences),
        last_seen=max(there.last_seen, mine.last_seen),
    )
    case.conditions = conditions_of(record)


def case_of(record: IncidentRecord, policy: Policy | None, now: datetime) -> Case:
    """The case of an open incident. Without its policy (gone, or another of that name) it gets a group of nobody's, which `desk` abandons."""
    group = group_of_record(record, policy.uid) if policy is not None else None
    incident: Incident = read_incident(record, group or _orphaned(record), now)
    return Case(incident, conditions=conditions_of(record))


class _MailMeta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    creation_timestamp: str = ""
    annotations: dict[str, str] = {}


class _Mail(msgspec.Struct):
    metadata: _MailMeta


class MailPage(msgspec.Struct):
    """A page of the metadata of messages."""

    items: list[_Mail] | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that an earlier process made: which one, when, in which thread, and the tellings in it."""

    name: str
    namespace: str
    mark: BatchMark
    members: tuple[Member, ...]
    time: datetime
    thread: str

    @property
    def is_recovery(self) -> bool:
        """Whether it tells of ends only."""
        return all(member.transition is Transition.RESOLVED for member in self.members)


def sent_of(page: MailPage, now: datetime) -> tuple[Sent, ...]:
    """The mails of tellings among the messages of a page."""
    found: list[Sent] = []
    for item in page.items or ():
        meta = item.metadata
        mark = read_mark(meta.annotations.get(names.ANNOTATION_BATCH, ""))
        members = read_members(meta.annotations.get(names.ANNOTATION_INCIDENTS, ""))
        if mark is not None and members:
            time = moment(meta.creation_timestamp) or now
            thread = meta.annotations.get(names.ANNOTATION_THREAD, "")
            found.append(Sent(meta.name, meta.namespace, mark, members, time, thread))
    return tuple(found)


@dataclass(slots=True)
class Outgone:
    """All that went out before: by incident the tellings, by route the number of its last digest, by policy when."""

    tellings: dict[tuple[str, str], list[tuple[Sent, Member]]] = field(default_factory=dict)
    chains: dict[tuple[str, str], int] = field(default_factory=dict)
    times: dict[str, dict[tuple[Member, ...], tuple[datetime, bool]]] = field(default_factory=dict)

    def add(self, sent: Iterable[Sent], since: datetime) -> None:
        """Takes mails in; when one went matters only after `since`."""
        for mail in sent:
            route = (mail.mark.policy_uid, mail.mark.route)
            self.chains[route] = max(self.chains.get(route, 0), mail.mark.number)
            for member in mail.members:
                self.tellings.setdefault((mail.namespace, member.incident), []).append((mail, member))
            if mail.time >= since:
                times = self.times.setdefault(mail.mark.policy_uid, {})
                times.setdefault(mail.members, (mail.time, mail.is_recovery))

    def settle(self, case: Case) -> None:
        """The case with what was told of it, also where its own status does not say so yet."""
        incident = case.incident
        for mail, member in self.tellings.get((incident.group.namespace, incident.name), ()):
            case.sent[member.sequence, mail.mark.route] = mail.name
            if member.sequence == 1 and incident.told is None and mail.thread and mail.thread != incident.uid:
                incident = replace(incident, thread=mail.thread)
            if member.sequence == 1 and not incident.notifications:
                incident = intend(incident, member.transition, mail.time)
        pending = incident.pending
        if pending is not None and case.sent_of(pending.sequence):
            # It was begun: it goes on as it is, on the routes that it did not reach.
            incident, case.is_alone = replace(incident, is_under_way=True), True
        case.incident = incident


def conditions_of(record: IncidentRecord) -> list[dict[str, Any]]:
    """The conditions as JSON, for the next merge."""
    return [
        {"type": item.type, "status": item.status, "lastTransitionTime": item.last_transition_time}
        for item in record.status.conditions
    ]


def _orphaned(record: IncidentRecord) -> Group:
    owner = Owner(record.spec.owner.kind, record.spec.owner.name)
    marker = f"gone:{record.metadata.uid}"
    return Group(
        record.metadata.namespace, record.spec.policy_ref.name, marker, owner, Family.CRASH, record.spec.container
    )
