"""Findings become incidents (pure): the first opens one, the next ones add to it, and the same again changes nothing.

Before: what was found, in any order, as often as it likes. After: `caseload` keeps the value, `decisions` says what is due.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum

from watchbell.api.enums import IncidentKind
from watchbell.collectors.casework.incidents import (
    AFFECTED_MAX,
    FAMILIES,
    RANKS,
    Affected,
    Family,
    Group,
    Incident,
    Past,
    incident_name,
    is_being_closed,
    is_worse,
    relapsed,
    second,
)
from watchbell.collectors.findings import Finding
from watchbell.collectors.rules import Severities

INTERVAL_MAX_S = 3600.0
"""What comes back more rarely than this is another incident each time."""


class Outcome(StrEnum):
    """What a finding did to its group; those after ESCALATED are the named reasons for doing nothing."""

    OPENED = "Opened"
    UPDATED = "Updated"
    ESCALATED = "Escalated"
    NOTHING_NEW = "NothingNew"
    OLDER_THAN_KNOWN = "OlderThanKnown"
    ALREADY_TOLD = "AlreadyTold"
    BEING_RESOLVED = "BeingResolved"
    INHIBITED = "Inhibited"


CHANGING = frozenset({Outcome.OPENED, Outcome.UPDATED, Outcome.ESCALATED})
_WEIGHTS = {
    Outcome.NOTHING_NEW: 0,
    Outcome.OLDER_THAN_KNOWN: 1,
    Outcome.ALREADY_TOLD: 2,
    Outcome.INHIBITED: 3,
    Outcome.BEING_RESOLVED: 4,
    Outcome.UPDATED: 5,
    Outcome.ESCALATED: 6,
    Outcome.OPENED: 7,
}


def fold(
    incident: Incident | None, group: Group, findings: Iterable[Finding], past: Past | None, severities: Severities
) -> tuple[Incident | None, Outcome]:
    """The incident after `findings` of its group, and the most that any of them did. Folding the same again changes nothing."""
    most = Outcome.NOTHING_NEW
    for finding in findings:
        if incident is None:
            incident, outcome = _open(group, finding, past, severities)
        else:
            incident, outcome = _update(incident, finding, severities)
        if _WEIGHTS[outcome] > _WEIGHTS[most]:
            most = outcome
    return incident, most


def is_told(finding: Finding, past: Past | None) -> bool:
    """Whether the incident before already covered it, as far as times can tell what was found on a first look at a pod.

    The kubelet's times are whole seconds, so the same second counts as news, unless the incident knew that very end.
    """
    if past is None or finding.is_standing or finding.is_live:
        return False
    return finding.seen_time < second(past.resolved_time) or past.knew(finding)


def _open(group: Group, finding: Finding, past: Past | None, severities: Severities) -> tuple[Incident | None, Outcome]:
    if is_told(finding, past):
        return None, Outcome.ALREADY_TOLD
    severity = severities.of(finding.kind)
    affected = _listed({}, finding)
    opened = Incident(
        group=group,
        name=incident_name(group, past.name if past else ""),
        kind=finding.kind,
        severity=severity,
        first_severity=severity,
        start_time=finding.seen_time,
        last_seen=finding.seen_time,
        is_init=finding.is_init,
        image=finding.image,
        image_id=finding.image_id,
        affected=affected,
        affected_count=_named(affected),
        occurrences=1,
        interval_s=_interval_before(finding, past),
        differences=finding.differences,
    )
    return opened, Outcome.OPENED


def _interval_before(finding: Finding, past: Past | None) -> float:
    """A trouble that came back soon after its last incident comes at intervals, also over the border between the two."""
    if past is None or past.last_seen is None:
        return 0.0
    gap_s = (finding.seen_time - past.last_seen).total_seconds()
    return max(gap_s, past.interval_s) if 0 < gap_s <= INTERVAL_MAX_S else 0.0


def _update(incident: Incident, finding: Finding, severities: Severities) -> tuple[Incident, Outcome]:
    if is_being_closed(incident):
        return incident, Outcome.BEING_RESOLVED
    before = incident.affected.get(finding.pod)
    if before is not None and before.uid not in {"", finding.pod_uid}:
        before = None
    # More restarts than were known are later, whatever the clock of the node says: it may have been set back.
    if before is not None and finding.seen_time < before.last_time and finding.restarts <= before.restarts:
        return incident, Outcome.OLDER_THAN_KNOWN
    affected = _listed(incident.affected, finding)
    after = affected[finding.pod]
    if before is not None and _is_nothing_new(incident, finding, before, affected):
        return _remember(incident, finding, affected), Outcome.NOTHING_NEW
    return _grown(incident, finding, affected, severities, _new_ends(incident, before, after))


def _as_known(before: Affected, after: Affected) -> Affected:
    """What is known, with what an object does not keep."""
    return replace(
        before,
        uid=after.uid,
        signal=after.signal,
        memory_limit=after.memory_limit,
        end_id=before.end_id or after.end_id,
        note=before.note or after.note,
    )


def _is_nothing_new(incident: Incident, finding: Finding, before: Affected, affected: dict[str, Affected]) -> bool:
    after = affected[finding.pod]
    if finding.pod:
        return after == _as_known(before, after)
    # What stands is found at each look, with the time of the look; it is news when it had been well in between.
    is_same = (before.message, before.kind, incident.differences) == (after.message, after.kind, finding.differences)
    return is_same and affected.keys() == incident.affected.keys() and incident.healthy_since is None


def _grown(
    incident: Incident, finding: Finding, affected: dict[str, Affected], severities: Severities, new_ends: int
) -> tuple[Incident, Outcome]:
    rises = RANKS[finding.kind] > RANKS[incident.worst or incident.kind]
    worst = finding.kind if rises else incident.worst
    severity = severities.of(worst or incident.kind)
    gap_s = (finding.seen_time - incident.last_seen).total_seconds() if new_ends else 0.0
    failed_again = relapsed(incident) if new_ends or finding.is_standing else incident
    grown = replace(
        _remember(failed_again, finding, affected),
        affected_count=_count(incident, affected, finding),
        occurrences=incident.occurrences + new_ends,
        # Once written, the object's startTime is fixed.
        start_time=incident.start_time if incident.uid else min(incident.start_time, finding.seen_time),
        last_seen=max(incident.last_seen, finding.seen_time),
        worst=worst,
        severity=severity if is_worse(severity, incident.severity) else incident.severity,
        interval_s=max(incident.interval_s, min(gap_s, INTERVAL_MAX_S)),
        differences=finding.differences,
    )
    return grown, Outcome.ESCALATED if rises else Outcome.UPDATED


def _count(incident: Incident, affected: dict[str, Affected], finding: Finding) -> int:
    if not finding.pod:
        return _named(affected)
    return incident.affected_count + (finding.pod not in incident.affected)


def _named(affected: dict[str, Affected]) -> int:
    return len(affected) - ("" in affected)


def _remember(incident: Incident, finding: Finding, affected: dict[str, Affected]) -> Incident:
    """The incident with these entries, and with what its object does not keep (image, kind of container)."""
    image, image_id = finding.image or incident.image, finding.image_id or incident.image_id
    if incident.affected == affected and (incident.image, incident.image_id) == (image, image_id):
        return incident
    return replace(incident, affected=affected, is_init=finding.is_init, image=image, image_id=image_id)


def _listed(known: Mapping[str, Affected], finding: Finding) -> dict[str, Affected]:
    """The entries with this finding's. One about a workload says anew whom it concerns."""
    before = dict(known)
    entry = _affected(finding, before.get(finding.pod))
    if not finding.pod:
        concerned = {name: before.get(name) or replace(entry, name=name, message="") for name in finding.pods}
        return {**concerned, "": entry}
    before[finding.pod] = entry
    if len(before) > AFFECTED_MAX:
        del before[min(before.values(), key=lambda pod: pod.last_time).name]
    return before


def _affected(finding: Finding, before: Affected | None) -> Affected:
    """The pod's entry; of two findings for the same end the one that says more stands."""
    if before is not None and before.uid not in {"", finding.pod_uid}:
        before = None
    is_same_end = before is not None and before.is_same_end(finding.seen_time, finding.end_id)
    kind, message = finding.kind, finding.message
    if before is not None and is_same_end:
        kind = before.kind if RANKS[before.kind] > RANKS[kind] else kind
        message = before.message if len(before.message) > len(message) else message
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
        message=message,
        memory_limit=finding.memory_limit,
        end_id=finding.end_id,
        note=finding.note,
    )


def _reason(kind: IncidentKind, finding: Finding) -> str:
    """The kubelet's word for it where it says more than the kind: a plain error's (Error, StartError, …), a node's, the checks of a drift."""
    is_plain = kind is IncidentKind.CONTAINER_ERROR or FAMILIES[kind] not in {Family.CRASH, Family.START}
    return finding.reason if is_plain and finding.reason else str(kind)


def _new_ends(incident: Incident, before: Affected | None, after: Affected) -> int:
    if not after.name:
        return int(incident.healthy_since is not None)
    if before is None:
        return 1
    if before.is_same_end(after.last_time, after.end_id):
        return 0
    return max(1, after.restarts - before.restarts)
