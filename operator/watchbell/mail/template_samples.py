"""Incidents that never were, for trying a template as soon as it is written: what is always there, what may be missing, what is hostile. Pure.

Before: an EmailTemplate that was written or changed. After: its condition. Each sample has a name, which the condition's message tells.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from watchbell.mail.facts import CrashFacts, DifferenceFacts, PodFacts
from watchbell.mail.recovery import RecoveryFacts, account_values
from watchbell.mail.template import Parameter
from watchbell.mail.template_values import incident_values

_NOW = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
_PODS = tuple(
    PodFacts(
        name=f"otel-gateway-7c9f8d6b5-{tail}",
        node=node,
        exit_code=137,
        signal=9,
        reason="OOMKilled",
        restarts=count,
        last_time=_NOW - timedelta(minutes=2),
        message="memory limit reached <heap> & stopped",
        memory_limit="512Mi",
    )
    for tail, node, count in (("x2x4q", "node-1", 7), ("zk8wd", "node-2", 3))
)
CRASH = CrashFacts(
    cluster="prod-1",
    namespace="monitoring",
    policy="collectors",
    incident="collectors-otel-gateway-5d8f",
    owner_kind="Deployment",
    owner_name="otel-gateway",
    kind="OOMKilled",
    severity="Critical",
    container="collector",
    image="otel/opentelemetry-collector:0.115.0",
    pods=_PODS,
    start_time=_NOW - timedelta(hours=3),
    now=_NOW,
    log_lines=("2026-01-31T08:28:11Z info  exporting", "2026-01-31T08:28:12Z fatal out of memory"),
    changes=("Image of container collector: 0.114.0 → 0.115.0, 3 min before (revision 12)",),
    events=("BackOff: Back-off restarting failed container collector",),
    image_id="sha256:" + "5d" * 32,
    note="A liveness probe killed it.",
    dashboard_url="https://grafana.example.com/d/otel?var-pod=otel-gateway",
    runbook_url="https://example.com/runbooks/collectors",
    flaps=2,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Values under a name that people understand, and a word to choose it by."""

    word: str
    name: str
    values: dict[str, Any]


@cache
def samples() -> tuple[Sample, ...]:
    """One for each thing that a template may not have thought of."""
    drift = replace(
        CRASH,
        kind="Drift",
        severity="Warning",
        container="",
        pods=(),
        log_lines=(),
        affected_count=2,
        differences=(
            DifferenceFacts("Image", "containers[collector].image", "collector:0.114.0", "collector:0.115.0"),
        ),
    )
    bare = CrashFacts(
        cluster="",
        namespace="monitoring",
        policy="collectors",
        incident="collectors-node-1-9c1e",
        owner_kind="Node",
        owner_name="node-1",
        kind="NodeLost",
        severity="Warning",
        container="",
        image="",
        pods=(),
        start_time=_NOW - timedelta(minutes=5),
        now=_NOW,
    )
    return (
        Sample("crash", "a crash of two pods", incident_values(CRASH)),
        Sample("reminder", "a reminder", incident_values(replace(CRASH, is_reminder=True))),
        Sample("escalation", "an escalation", incident_values(replace(CRASH, escalated_from="Warning"))),
        Sample("recovery", "a recovery", incident_values(CRASH, is_resolved=True)),
        Sample("drift", "a drift", incident_values(drift)),
        Sample("node", "a lost node of which no pod is known", incident_values(bare)),
    )


@cache
def account_samples() -> tuple[Sample, ...]:
    """The same for account mail."""
    facts = RecoveryFacts(
        "alice <&>", "app.example.com", _NOW, _NOW + timedelta(minutes=15), "shop", "reset-alice", "prod-1"
    )
    bare = replace(facts, application="", cluster="")
    return (
        Sample(
            "reset",
            "a link for a new password",
            account_values(facts, "https://app.example.com/reset?token=eyJhbGciOi"),
        ),
        Sample("codes", "recovery codes", account_values(bare, codes=("7K3QX-9MPRT", "0A1BC-2DEFG"))),
    )


def sample_parameters(parameters: tuple[Parameter, ...]) -> dict[str, str]:
    """A value for each that has no default."""
    return {one.name: "sample <&>"[: one.max_characters] for one in parameters if one.default is None}
