"""What a policy means to collectors, and what its status says."""

from datetime import timedelta

import pytest

from collectorrig import EPOCH, policy_body, stamp
from watchbell.api.enums import ConnectorKind, CrashKind
from watchbell.api.meta import LabelSelector
from watchbell.api.reasons import Reason
from watchbell.collectors.policies import (
    HORIZON_S,
    Sighting,
    policy_status,
    read_policy,
    selector_text,
    wanted_connectors,
)
from watchbell.collectors.reconcile import Collectors

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


def test_a_route_without_a_connector_takes_either_default():
    routes = [
        {"name": "a", "to": ["a@example.com"]},
        {"name": "b", "to": ["a@example.com"], "connectorRef": {"kind": "ClusterSmtpConnector", "name": "relay"}},
    ]
    first, second = wanted_connectors(policy(routes=routes))
    assert {kind for kind, name in first.candidates if name == "default"} == set(ConnectorKind)
    assert second.candidates == ((ConnectorKind.CLUSTER_SMTP_CONNECTOR, "relay"),)


def judged(seen, sighting):
    status = policy_status(seen, sighting, EPOCH)
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


@pytest.mark.parametrize(
    ("spec", "sighting", "expected"),
    [
        ({}, Sighting(matched=2), {"Ready": ("True", "Enforced"), "Crashing": ("False", "AllHealthy")}),
        ({}, Sighting(matched=0), {"Ready": ("True", "NoPodsMatch")}),
        ({}, Sighting(2, 1, 1), {"Ready": ("True", "Enforced"), "Crashing": ("True", "PodsCrashing")}),
        ({}, Sighting(2, missing=("SmtpConnector x",)), {"ResolvedRefs": ("False", "ConnectorNotFound")}),
        ({}, Sighting(refusal=(Reason.PODS_FORBIDDEN, "no")), {"Ready": ("False", "PodsForbidden")}),
        ({"suspend": True}, Sighting(), {"Ready": ("False", "Suspended"), "Accepted": ("True", "Accepted")}),
        (
            {"routes": [{"name": "a"}]},
            Sighting(),
            {
                "Accepted": ("False", "InvalidSpec"),
                "Ready": ("False", "InvalidSpec"),
                "Stalled": ("True", "InvalidSpec"),
            },
        ),
        ({"selector": {}}, Sighting(), {"Accepted": ("False", "InvalidSpec")}),
        ({"grouping": {"waitSeconds": "soon"}}, Sighting(), {"Accepted": ("False", "InvalidSpec")}),
    ],
)
def test_the_conditions_say_how_it_stands(spec, sighting, expected):
    found = judged(policy(**spec), sighting)
    assert {type_: found[type_] for type_ in expected} == expected


def test_a_wrong_field_is_named_by_its_path_and_nothing_is_watched():
    broken = policy(routes=[{"name": "a", "to": ["not an address"]}])
    assert not broken.is_enforced
    (accepted,) = [
        item for item in policy_status(broken, Sighting(), EPOCH)["conditions"] if item["type"] == "Accepted"
    ]
    assert accepted["message"].startswith("spec.routes[0].to[0]: ")


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


def test_a_request_is_answered_in_the_status():
    asked = policy(annotations={"watchbell.dev/requested-at": "now-1"})
    assert policy_status(asked, Sighting(), EPOCH)["lastHandledRequest"] == "now-1"
