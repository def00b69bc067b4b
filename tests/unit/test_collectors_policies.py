"""What a policy means to collectors."""

from datetime import timedelta

import pytest

from collectorrig import EPOCH, policy_body, stamp
from watchbell.api.enums import BaselineMode, ConnectorKind, CrashKind, DriftCheck, IncidentKind, Severity
from watchbell.api.meta import LabelSelector
from watchbell.collectors.policies import (
    HORIZON_S,
    absent_containers,
    named_templates,
    read_policy,
    selector_text,
    wanted_connectors,
)
from watchbell.collectors.reconcile import Collectors
from watchbell.collectors.rules import DriftRules, Pinned, PinnedContainer, Range

DAY = timedelta(days=1)


def policy(created=EPOCH - DAY, annotations=None, **spec):
    body = policy_body(**spec)
    body["metadata"] |= {
        "uid": "u",
        "generation": 3,
        "creationTimestamp": stamp(created),
        "annotations": annotations or {},
    }
    return read_policy(body)


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["y", "x"]}]}, "tier in (x,y)"),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, "tier notin (x)"),
        ({"matchExpressions": [{"key": "canary", "operator": "Exists"}]}, "canary"),
        (
            {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]},
            "!canary,app=x",
        ),
    ],
)
def test_a_selector_becomes_one_text_whatever_its_order(selector, text):
    assert selector_text(LabelSelector.model_validate(selector)) == text


def test_a_selector_and_a_route_are_a_whole_policy():
    bare = policy(crash={}, grouping={})
    assert bare.is_enforced
    assert bare.rules.kinds == frozenset(CrashKind)
    assert (bare.plan.wait_s, bare.plan.repeat_s, bare.plan.resolve_after_s) == (5, 14400, 120)
    assert bare.plan.tells_resolved


def test_the_line_between_baseline_and_news_is_the_policys_birth_or_a_day():
    assert policy(created=EPOCH - timedelta(hours=1)).rules_at(EPOCH).news_since == EPOCH - timedelta(hours=1)
    assert policy(created=EPOCH - 9 * DAY).rules_at(EPOCH).news_since == EPOCH - timedelta(seconds=HORIZON_S)


def test_reminders_come_no_faster_than_the_period():
    assert policy(grouping={"repeatSeconds": 60, "periodSeconds": 600}).plan.repeat_s == 600
    assert policy(grouping={"repeatSeconds": 0, "periodSeconds": 600}).plan.repeat_s == 0


def test_routes_that_all_omit_the_end_tell_none():
    assert not policy(routes=[{"name": "a", "to": ["a@example.com"], "resolved": "Omit"}]).plan.tells_resolved


def test_all_that_is_compared_by_default_is_compared_with_the_template():
    drift = policy(drift={}, baseline={}).drift
    assert drift.checks == frozenset(DriftCheck)
    assert (drift.mode, drift.pinned, drift.replicas) == (BaselineMode.OWNER_TEMPLATE, None, None)
    assert (drift.config_hash_annotations, drift.pending_s) == (("checksum/config",), 60)


def test_an_empty_list_of_checks_or_kinds_turns_that_half_off():
    off = policy(drift={"checks": []}, crash={"kinds": []})
    assert off.drift.checks == off.rules.kinds == frozenset()


def test_every_field_of_the_crash_rules_is_read():
    rules = policy(
        containers={"include": ["collector"], "exclude": ["istio-proxy"]},
        crash={
            "kinds": ["OOMKilled"],
            "restartThreshold": 3,
            "restartWindowSeconds": 120,
            "notReadySeconds": 45,
            "podConditions": [{"type": "Subprocesses", "status": "False"}],
        },
    ).rules
    assert rules.kinds == {IncidentKind.OOM_KILLED}
    assert (rules.include, rules.exclude) == ({"collector"}, {"istio-proxy"})
    assert (rules.restart_threshold, rules.restart_window_s, rules.not_ready_s) == (3, 120, 45)
    assert rules.pod_conditions == (("Subprocesses", "False"),)


def test_every_field_of_drift_and_of_a_pinned_baseline_is_read():
    digest, text = "sha256:" + "ab" * 32, "sha256:0123456789abcdef"
    pinned = {
        "containers": [
            {"name": "collector", "images": ["otel:1"], "imageDigests": [digest], "argsHash": text, "envHash": text},
            {"name": "sidecar"},
        ],
        "configMaps": [{"name": "agent", "dataHash": text}],
        "replicas": {"min": 2},
    }
    drift = policy(
        containers={"exclude": ["istio-proxy"]},
        baseline={"mode": "Pinned", "captureRevision": "v7", "pinned": pinned},
        drift={
            "checks": ["Image", "Env"],
            "labelKeys": ["version"],
            "ignoredEnvNames": ["GOMEMLIMIT"],
            "configHashAnnotations": ["a/b", "c/d"],
            "replicas": {"min": 1, "max": 3},
            "pendingSeconds": 0,
        },
    ).drift
    assert drift == DriftRules(
        checks=frozenset({DriftCheck.IMAGE, DriftCheck.ENV}),
        mode=BaselineMode.PINNED,
        capture_revision="v7",
        pinned=Pinned(
            (PinnedContainer("collector", ("otel:1",), (digest,), text, text), PinnedContainer("sidecar")),
            (("agent", text),),
            Range(2, None),
        ),
        label_keys=frozenset({"version"}),
        ignored_env=frozenset({"GOMEMLIMIT"}),
        config_hash_annotations=("a/b", "c/d"),
        replicas=Range(1, 3),
        pending_s=0,
        exclude=frozenset({"istio-proxy"}),
    )


def test_a_pinned_container_that_no_pod_has_is_noticed():
    rules = DriftRules(pinned=Pinned((PinnedContainer("collector"), PinnedContainer("colector"))))
    assert absent_containers(rules, ["collector", "istio-proxy"]) == ("colector",)
    assert absent_containers(DriftRules(), ["collector"]) == ()


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        (IncidentKind.OOM_KILLED, Severity.CRITICAL),
        (IncidentKind.DRIFT, Severity.INFO),
        (IncidentKind.EVICTED, Severity.WARNING),
    ],
)
def test_a_kind_is_as_bad_as_the_override_says_or_the_default(kind, severity):
    overrides = [{"kind": "OOMKilled", "severity": "Critical"}, {"kind": "Drift", "severity": "Info"}]
    assert policy(severity={"default": "Warning", "overrides": overrides}).severity_of(kind) is severity


def test_grouping_and_throttle_become_the_plan():
    plan = policy(grouping={"periodSeconds": 60, "maxIncidentsPerMessage": 7}, throttle={"messagesPerHour": 3}).plan
    assert (plan.period_s, plan.max_incidents, plan.messages_per_hour) == (60, 7, 3)
    bare = policy(grouping={}).plan
    assert (bare.period_s, bare.max_incidents, bare.messages_per_hour) == (300, 50, 30)


def test_links_and_templates_are_at_hand():
    seen = policy(
        links={"runbookURL": "https://wiki.example.com/c"},
        routes=[
            {"name": "a", "to": ["a@example.com"], "templateRef": {"name": "short"}},
            {"name": "b", "to": ["a@example.com"], "templateRef": {"name": "short"}},
            {"name": "c", "toFrom": [{"configMapKeyRef": {"name": "people", "key": "to"}}]},
        ],
    )
    assert (seen.links.runbook_url, seen.links.dashboard_url_template) == ("https://wiki.example.com/c", None)
    assert named_templates(seen) == ("short",)
    assert seen.routes[2].to_from[0].config_map_key_ref.name == "people"
    assert (seen.routes[2].min_severity, seen.routes[2].kinds) == (Severity.INFO, ())


def test_a_route_without_a_connector_takes_either_default():
    routes = [
        {"name": "a", "to": ["a@example.com"]},
        {"name": "b", "to": ["a@example.com"], "connectorRef": {"kind": "ClusterSmtpConnector", "name": "relay"}},
    ]
    first, second = wanted_connectors(policy(routes=routes))
    assert {kind for kind, name in first.candidates if name == "default"} == set(ConnectorKind)
    assert second.candidates == ((ConnectorKind.CLUSTER_SMTP_CONNECTOR, "relay"),)


class NoOne:
    """An outbox and a recorder that must not be needed."""

    def submit(self, body):
        raise AssertionError(body)

    def emit(self, regarding, **event):
        raise AssertionError(event)


class OneList:
    """An API server whose list of policies is read while something else happens."""

    def __init__(self, bodies, meanwhile):
        self.bodies, self.meanwhile = bodies, meanwhile

    async def list(self, resource, namespace=None):
        self.meanwhile()
        return self.bodies


def body_of(name, generation=1, **spec):
    body = policy_body(name, **spec)
    body["metadata"] |= {"uid": f"uid-{name}", "generation": generation, "creationTimestamp": stamp(EPOCH)}
    return body


async def test_what_happens_while_an_audit_reads_is_neither_undone_nor_forgotten():
    def meanwhile():
        collectors.policy_changed(body_of("edited", 2, suspend=True))
        collectors.policy_changed(body_of("fresh"))
        collectors.policy_deleted(("obs", "going"))

    client = OneList([body_of("edited", 1), body_of("going")], meanwhile)
    collectors = Collectors(
        client, sink=NoOne(), recorder=NoOne(), clock=lambda: 0.0, now=lambda: EPOCH, leading=lambda: True
    )
    for name in ("edited", "deleted", "going"):
        collectors.policy_changed(body_of(name))
    await collectors._compare_policies()
    assert {key[1]: (policy.generation, policy.is_suspended) for key, policy in collectors._policies.items()} == {
        "edited": (2, True),
        "fresh": (1, False),
    }
