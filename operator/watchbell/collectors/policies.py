"""A policy as collectors need it (pure): the parsed object → scope, rules of crash and drift, plan, severities, routes and links.

Before: an event about a CollectorPolicy. After: `reconcile` watches the scope and judges by the rules; `sightings` says how the policy stands.
Defaults are the API model's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watchbell.api.baseline import Pinned as PinnedBlock
from watchbell.api.baseline import ReplicaRange
from watchbell.api.enums import ConnectorKind, IncidentKind, ResolvedMail, SelectorOperator, Severity
from watchbell.api.meta import LabelSelector, Problem, parse, selects
from watchbell.api.names import ANNOTATION_REQUESTED_AT, DEFAULT_CONNECTOR
from watchbell.api.policy import CollectorPolicy, CollectorPolicySpec
from watchbell.api.route import Links, Route
from watchbell.api.times import moment
from watchbell.collectors.rules import CrashRules, DriftRules, Pinned, PinnedContainer, Plan, Range, Severities

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
_NO_DRIFT = DriftRules()
_NO_PLAN = Plan(0, 0, 0, tells_resolved=False)
_EVEN = Severities()
_NO_LINKS = Links()


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
    selector: LabelSelector | None = None
    rules: CrashRules = _NO_RULES
    drift: DriftRules = _NO_DRIFT
    plan: Plan = _NO_PLAN
    severities: Severities = _EVEN
    routes: tuple[Route, ...] = ()
    links: Links = _NO_LINKS
    log_tail_lines: int = 0

    @property
    def is_enforced(self) -> bool:
        """Whether it watches and tells."""
        return not self.problems and not self.is_suspended

    def would_watch(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels would be one of its pods."""
        return self.selector is not None and selects(self.selector, labels)

    def severity_of(self, kind: IncidentKind) -> Severity:
        """How bad an incident of this kind is."""
        return self.severities.of(kind)

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
    return replace(bare, problems=parsed) if isinstance(parsed, tuple) else _with_spec(bare, parsed)


def _created(meta: Mapping[str, Any]) -> datetime:
    return moment(meta.get("creationTimestamp")) or datetime.min.replace(tzinfo=UTC)


def _with_spec(bare: Policy, parsed: CollectorPolicy) -> Policy:
    spec = parsed.spec
    return replace(
        bare,
        is_suspended=spec.suspend,
        scope=Scope(bare.key[0], selector_text(spec.selector)),
        selector=spec.selector,
        rules=_crash_rules(spec),
        drift=_drift_rules(spec),
        plan=_plan(spec),
        severities=Severities(
            spec.severity.default, tuple((item.kind, item.severity) for item in spec.severity.overrides)
        ),
        routes=spec.routes,
        links=spec.links,
        log_tail_lines=spec.crash.log_tail_lines,
    )


def _crash_rules(spec: CollectorPolicySpec) -> CrashRules:
    crash = spec.crash
    return CrashRules(
        frozenset(IncidentKind(kind) for kind in crash.kinds),
        frozenset(spec.containers.include),
        frozenset(spec.containers.exclude),
        restart_threshold=crash.restart_threshold,
        restart_window_s=crash.restart_window_seconds,
        not_ready_s=crash.not_ready_seconds,
        pod_conditions=tuple((item.type, str(item.status)) for item in crash.pod_conditions),
    )


def _drift_rules(spec: CollectorPolicySpec) -> DriftRules:
    drift, baseline = spec.drift, spec.baseline
    return DriftRules(
        frozenset(drift.checks),
        baseline.mode,
        baseline.capture_revision or "",
        _pinned(baseline.pinned) if baseline.pinned else None,
        frozenset(drift.label_keys),
        frozenset(drift.ignored_env_names),
        drift.config_hash_annotations,
        _range(drift.replicas),
        drift.pending_seconds,
        frozenset(spec.containers.include),
        frozenset(spec.containers.exclude),
    )


def _pinned(block: PinnedBlock) -> Pinned:
    return Pinned(
        tuple(
            PinnedContainer(item.name, item.images, item.image_digests, item.args_hash or "", item.env_hash or "")
            for item in block.containers
        ),
        tuple((item.name, item.data_hash) for item in block.config_maps),
        _range(block.replicas),
    )


def _range(bounds: ReplicaRange | None) -> Range | None:
    return Range(bounds.min, bounds.max) if bounds else None


def _plan(spec: CollectorPolicySpec) -> Plan:
    grouping = spec.grouping
    return Plan(
        wait_s=grouping.wait_seconds,
        repeat_s=max(grouping.repeat_seconds, grouping.period_seconds) if grouping.repeat_seconds else 0,
        resolve_after_s=grouping.resolve_after_seconds,
        tells_resolved=any(route.resolved is ResolvedMail.SEND for route in spec.routes),
        period_s=grouping.period_seconds,
        max_incidents=grouping.max_incidents_per_message,
        messages_per_hour=spec.throttle.messages_per_hour,
    )


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


def named_templates(policy: Policy) -> tuple[str, ...]:
    """The EmailTemplates that routes name, each once."""
    return tuple(dict.fromkeys(route.template_ref.name for route in policy.routes if route.template_ref))


def absent_containers(rules: DriftRules, present: Iterable[str]) -> tuple[str, ...]:
    """What a pinned baseline names and `present` (the containers of all pods) does not have: a slip of the pen, else never noticed."""
    if rules.pinned is None:
        return ()
    found = frozenset(present)
    return tuple(item.name for item in rules.pinned.containers if item.name not in found)
