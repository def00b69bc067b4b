"""A policy as collectors need it (pure): the parsed object → scope, rules, plan and routes; and what its status says.

Before: an event about a CollectorPolicy. After: `reconcile` watches the scope and judges by the rules. Defaults are the API model's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watchbell.api.conditions import Condition, merge
from watchbell.api.enums import ConnectorKind, IncidentKind, ResolvedMail, SelectorOperator, Severity
from watchbell.api.meta import LabelSelector, Problem, parse
from watchbell.api.names import ANNOTATION_REQUESTED_AT, DEFAULT_CONNECTOR
from watchbell.api.policy import CollectorPolicy, Route
from watchbell.api.reasons import Reason
from watchbell.api.times import moment
from watchbell.collectors.rules import CrashRules, Plan

PolicyKey = tuple[str, str]
HORIZON_S = 86_400.0
"""An operator that was away tells of crashes up to a day old; what is older, or older than the policy, is how it found the place."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which pods: a namespace and a label selector in the API's query form, in one fixed order."""

    namespace: str
    selector: str


def selector_text(selector: LabelSelector) -> str:
    """The selector as a query (`app in (a,b),!canary,tier=x`), equal selectors giving equal text."""
    parts = [f"{key}={value}" for key, value in selector.match_labels.items()]
    for rule in selector.match_expressions:
        values = ",".join(sorted(rule.values))
        match rule.operator:
            case SelectorOperator.IN:
                parts.append(f"{rule.key} in ({values})")
            case SelectorOperator.NOT_IN:
                parts.append(f"{rule.key} notin ({values})")
            case SelectorOperator.EXISTS:
                parts.append(rule.key)
            case SelectorOperator.DOES_NOT_EXIST:
                parts.append(f"!{rule.key}")
    return ",".join(sorted(parts))


_NO_RULES = CrashRules(frozenset())
_NO_PLAN = Plan(0, 0, 0, tells_resolved=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """One CollectorPolicy. `problems` are not empty when it cannot be enforced; then the rest is as good as absent."""

    key: PolicyKey
    uid: str
    generation: int
    created: datetime
    status: Mapping[str, Any]
    requested_at: str = ""
    problems: tuple[Problem, ...] = ()
    is_suspended: bool = False
    scope: Scope | None = None
    rules: CrashRules = _NO_RULES
    plan: Plan = _NO_PLAN
    severity: Severity = Severity.WARNING
    routes: tuple[Route, ...] = ()
    log_tail_lines: int = 0

    @property
    def is_enforced(self) -> bool:
        """Whether it watches and tells."""
        return not self.problems and not self.is_suspended

    def rules_at(self, now: datetime) -> CrashRules:
        """The rules with the line between baseline and news drawn as of `now`."""
        horizon = now - timedelta(seconds=HORIZON_S)
        return replace(self.rules, news_since=max(self.created, horizon))


def read_policy(body: Mapping[str, Any]) -> Policy:
    """The policy in a body as the API server gave it; never raises for what a user wrote."""
    meta = body["metadata"]
    bare = Policy(
        key=(str(meta["namespace"]), str(meta["name"])),
        uid=str(meta.get("uid", "")),
        generation=int(meta.get("generation", 0)),
        created=_created(meta),
        status=body.get("status") or {},
        requested_at=str((meta.get("annotations") or {}).get(ANNOTATION_REQUESTED_AT, "")),
    )
    parsed = parse(CollectorPolicy, body)
    return _with_problems(bare, parsed) if isinstance(parsed, tuple) else _with_spec(bare, parsed)


def _created(meta: Mapping[str, Any]) -> datetime:
    return moment(meta.get("creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def _with_problems(bare: Policy, problems: tuple[Problem, ...]) -> Policy:
    return Policy(bare.key, bare.uid, bare.generation, bare.created, bare.status, bare.requested_at, problems)


def _with_spec(bare: Policy, parsed: CollectorPolicy) -> Policy:
    spec = parsed.spec
    grouping = spec.grouping
    return Policy(
        key=bare.key,
        uid=bare.uid,
        generation=bare.generation,
        created=bare.created,
        status=bare.status,
        requested_at=bare.requested_at,
        is_suspended=spec.suspend,
        scope=Scope(bare.key[0], selector_text(spec.selector)),
        rules=CrashRules(
            frozenset(IncidentKind(kind) for kind in spec.crash.kinds),
            frozenset(spec.containers.include),
            frozenset(spec.containers.exclude),
        ),
        plan=Plan(
            wait_s=grouping.wait_seconds,
            repeat_s=max(grouping.repeat_seconds, grouping.period_seconds) if grouping.repeat_seconds else 0,
            resolve_after_s=grouping.resolve_after_seconds,
            tells_resolved=any(route.resolved is ResolvedMail.SEND for route in spec.routes),
        ),
        severity=spec.severity.default,
        routes=spec.routes,
        log_tail_lines=spec.crash.log_tail_lines,
    )


@dataclass(frozen=True, slots=True)
class Sighting:
    """What there is to say about a policy now. `refusal` is why its pods cannot be watched, `missing` the connectors that are not there."""

    matched: int = 0
    crashing: int = 0
    open_incidents: int = 0
    refusal: tuple[Reason, str] | None = None
    missing: tuple[str, ...] = ()


def policy_status(policy: Policy, sighting: Sighting, now: datetime) -> dict[str, Any]:
    """The whole status."""
    status: dict[str, Any] = {
        "observedGeneration": policy.generation,
        "conditions": merge(_existing(policy), _conditions(policy, sighting), policy.generation, now),
        "matchedPods": sighting.matched,
        "crashingPods": sighting.crashing,
        "openIncidents": sighting.open_incidents,
    }
    return status | ({"lastHandledRequest": policy.requested_at} if policy.requested_at else {})


def _existing(policy: Policy) -> Sequence[Mapping[str, Any]]:
    conditions = policy.status.get("conditions")
    return conditions if isinstance(conditions, list) else ()


def _conditions(policy: Policy, sighting: Sighting) -> tuple[Condition, ...]:
    if policy.problems:
        text = "; ".join(str(problem) for problem in policy.problems)
        return (
            Condition("Accepted", "False", Reason.INVALID_SPEC, text),
            Condition("Ready", "False", Reason.INVALID_SPEC, text),
            Condition("Stalled", "True", Reason.INVALID_SPEC, text),
        )
    accepted = Condition("Accepted", "True", Reason.ACCEPTED, Reason.ACCEPTED.doc)
    return (accepted, _refs(sighting), _crashing(sighting), _ready(policy, sighting))


def _refs(sighting: Sighting) -> Condition:
    if sighting.missing:
        text = f"Not found: {', '.join(sighting.missing)}. Mails wait in the outbox until it is there."
        return Condition("ResolvedRefs", "False", Reason.CONNECTOR_NOT_FOUND, text)
    return Condition("ResolvedRefs", "True", Reason.RESOLVED_REFS, "Every route has its connector.")


def _crashing(sighting: Sighting) -> Condition:
    """Abnormal-true; it never lowers Ready, or it would hold up the very deploy that mends the crash."""
    if sighting.open_incidents:
        text = f"{sighting.open_incidents} incidents are open, {sighting.crashing} pods are crashing."
        return Condition("Crashing", "True", Reason.PODS_CRASHING, text)
    return Condition("Crashing", "False", Reason.ALL_HEALTHY, Reason.ALL_HEALTHY.doc)


def _ready(policy: Policy, sighting: Sighting) -> Condition:
    if policy.is_suspended:
        return Condition("Ready", "False", Reason.SUSPENDED, "`suspend` is set: nothing is watched, nobody is told.")
    if sighting.refusal:
        return Condition("Ready", "False", *sighting.refusal)
    if not sighting.matched:
        selector = policy.scope.selector if policy.scope else ""
        text = f"No pod matches now; see `kubectl get pods -n {policy.key[0]} -l '{selector}'`."
        return Condition("Ready", "True", Reason.NO_PODS_MATCH, text)
    return Condition("Ready", "True", Reason.ENFORCED, Reason.ENFORCED.doc)


@dataclass(frozen=True, slots=True)
class WantedConnector:
    """A connector that a route needs; any one of the candidates will do."""

    route: str
    candidates: tuple[tuple[ConnectorKind, str], ...]


def wanted_connectors(policy: Policy) -> tuple[WantedConnector, ...]:
    """For each route the connector it names, or for none the defaults in the order in which they serve."""
    default = tuple((kind, DEFAULT_CONNECTOR) for kind in ConnectorKind)
    return tuple(
        WantedConnector(
            route.name, ((route.connector_ref.kind, route.connector_ref.name),) if route.connector_ref else default
        )
        for route in policy.routes
    )
