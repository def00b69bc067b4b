"""What objects say of incidents that this process did not make (pure): after a restart, a take-over, or when a name turns out to be taken.

Before: a body or record from the API server. After: the caseload holds it as if it had been there all along.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchbell.collectors.caseload import Case
from watchbell.collectors.incidents import Family, Group, Incident, Past
from watchbell.collectors.pod import Owner
from watchbell.collectors.policies import Policy
from watchbell.collectors.records import IncidentRecord, group_of_record, read_incident

_NEVER = datetime.min.replace(tzinfo=UTC)


class IncidentPage(msgspec.Struct):
    """A page of incidents as a list gives it."""

    items: list[IncidentRecord] | None = None


def record_of(body: dict[str, Any]) -> IncidentRecord:
    """A body as the record type."""
    return msgspec.convert(body, IncidentRecord)


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
        worst=mine.worst,
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
