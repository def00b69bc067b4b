"""Silences (pure): which of them mutes an incident now, and when that may change.

Before: `hush` keeps the AlertSilences. After: `decisions` holds back what is muted; `hush` writes how each silence stands. Knows no client and no
clock.

All matchers of a silence must match. A matcher of Policy, Owner, Pod or Node compares whole names, or beginnings where the value ends in `*`; an
owner is `Kind/name` or only `name`. An incident may have many pods on many nodes: `In` matches only if *all* of them match, `NotIn` only if none
does, so a pod that joins a silenced incident from outside of the silence is heard (Alertmanager, whose alerts have one pod each, comes to the same).
Where an incident has no pod, or no node, `In` does not match and `NotIn` does, as with Kubernetes' label selectors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from watchbell.api.enums import IncidentKind, MatchOperator, Severity, SilenceField
from watchbell.api.meta import Problem, parse
from watchbell.api.silence import AlertSilence
from watchbell.api.times import moment, stamp
from watchbell.collectors.findings import NODE_OWNER

SilenceKey = tuple[str, str]
WILDCARD = "*"
_CLOSED_SETS = frozenset({SilenceField.KIND, SilenceField.SEVERITY})
"""Fields whose values are words of the API; the model knows them, and beginnings of them mean nothing."""
_ALWAYS = datetime.min.replace(tzinfo=UTC)


class Window(StrEnum):
    """Where a silence stands in its time; `Active` includes its start and not its end."""

    PENDING = "Pending"
    ACTIVE = "Active"
    EXPIRED = "Expired"


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """What a silence can look at. `kind` and `severity` are the worst so far: what gets worse than its silence is heard."""

    policy: str
    owner_kind: str
    owner_name: str
    pods: tuple[str, ...]
    nodes: tuple[str, ...]
    kind: IncidentKind
    severity: Severity

    def names(self, field: SilenceField) -> tuple[str, ...]:
        """What stands in that field; several only for pods and nodes."""
        match field:
            case SilenceField.POLICY:
                return (self.policy,)
            case SilenceField.OWNER:
                return (f"{self.owner_kind}/{self.owner_name}",)
            case SilenceField.POD:
                return self.pods
            case SilenceField.NODE:
                return self.nodes or ((self.owner_name,) if self.owner_kind == NODE_OWNER else ())
            case SilenceField.KIND:
                return (str(self.kind),)
            case SilenceField.SEVERITY:
                return (str(self.severity),)


@dataclass(frozen=True, slots=True)
class Matcher:
    """One matcher."""

    field: SilenceField
    operator: MatchOperator
    values: tuple[str, ...]

    def matches(self, facts: IncidentFacts) -> bool:
        """Whether the incident lies within it."""
        named = facts.names(self.field)
        hits = [any(_fits(self.field, value, name) for value in self.values) for name in named]
        return not any(hits) if self.operator is MatchOperator.NOT_IN else bool(hits) and all(hits)


@dataclass(frozen=True, slots=True)
class Silence:
    """One AlertSilence. It mutes from `start` until before `end`; `ended_told` is when the mail about its end went to the outbox."""

    key: SilenceKey
    uid: str
    matchers: tuple[Matcher, ...]
    start: datetime
    end: datetime
    comment: str = ""
    created_by: str = ""
    ended_told: datetime | None = None

    def window(self, now: datetime) -> Window:
        """Before, within or after its time."""
        if now >= self.end:
            return Window.EXPIRED
        return Window.ACTIVE if now >= self.start else Window.PENDING

    def mutes(self, facts: IncidentFacts) -> bool:
        """Whether the incident lies within it, whatever the time."""
        return all(matcher.matches(facts) for matcher in self.matchers)

    @property
    def sentence(self) -> str:
        """For a condition: which silence, until when, and what its author said."""
        by = f" by {self.created_by}" if self.created_by else ""
        return f"AlertSilence {self.key[1]}{by} mutes it until {stamp(self.end)}: {self.comment}"


def muted_by(facts: IncidentFacts, silences: Iterable[Silence], now: datetime) -> Silence | None:
    """The silence that mutes the incident now; of several the one that ends last, since until then nobody is told."""
    muting = (silence for silence in silences if silence.window(now) is Window.ACTIVE and silence.mutes(facts))
    return max(muting, key=lambda silence: (silence.end, silence.key), default=None)


def boundary_s(silence: Silence, now: datetime) -> float | None:
    """Seconds until it begins or ends; None once it has ended."""
    match silence.window(now):
        case Window.PENDING:
            return (min(silence.start, silence.end) - now).total_seconds()
        case Window.ACTIVE:
            return (silence.end - now).total_seconds()
        case Window.EXPIRED:
            return None


def read_silence(body: Mapping[str, Any]) -> Silence | tuple[Problem, ...]:
    """The silence in a body as the API server gave it, or what is wrong with it; never raises for what a user wrote."""
    parsed = parse(AlertSilence, body)
    if isinstance(parsed, tuple):
        return parsed
    spec, meta = parsed.spec, parsed.metadata
    return Silence(
        key=(meta.namespace, meta.name),
        uid=meta.uid,
        matchers=tuple(Matcher(one.field, one.operator, tuple(one.values)) for one in spec.matchers),
        start=spec.start_time or meta.creation_timestamp or _ALWAYS,
        end=spec.end_time,
        comment=spec.comment,
        created_by=spec.created_by or "",
        ended_told=_told(body.get("status") or {}, spec.end_time),
    )


def _told(status: Mapping[str, Any], end: datetime) -> datetime | None:
    """When this end was told; a mail from before it was about an earlier end, and the silence was made longer since."""
    told = moment(status.get("endedMessageTime"))
    return told if told is not None and told >= end.replace(microsecond=0) else None


def _fits(field: SilenceField, value: str, name: str) -> bool:
    if field in _CLOSED_SETS:
        return value == name
    if field is SilenceField.OWNER and "/" not in value:
        name = name.partition("/")[2]
    return name.startswith(value[:-1]) if value.endswith(WILDCARD) else name == value
