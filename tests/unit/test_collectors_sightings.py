"""What the status of a policy says, and what is kept in it."""

from datetime import timedelta

import pytest

from collectorrig import policy_body
from podrig import EPOCH, stamp
from watchbell.api.reasons import Reason
from watchbell.collectors.policies import read_policy
from watchbell.collectors.sightings import DriftSight, Sighting, Unresolved, policy_status


def policy(annotations=None, status=None, **spec):
    body = policy_body(**spec)
    body["metadata"] |= {
        "uid": "u",
        "generation": 3,
        "creationTimestamp": stamp(EPOCH - timedelta(days=1)),
        "annotations": annotations or {},
    }
    return read_policy(body | {"status": status or {}})


def judged(seen, sighting):
    status = policy_status(seen, sighting, EPOCH)
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


@pytest.mark.parametrize(
    ("spec", "sighting", "expected"),
    [
        ({}, Sighting(matched=2), {"Ready": ("True", "Enforced"), "Crashing": ("False", "AllHealthy")}),
        ({}, Sighting(matched=0), {"Ready": ("True", "NoPodsMatch")}),
        ({}, Sighting(2, 1, 1), {"Ready": ("True", "Enforced"), "Crashing": ("True", "PodsCrashing")}),
        ({}, Sighting(2), {"ResolvedRefs": ("True", "ResolvedRefs"), "Drifted": ("False", "NoDrift")}),
        ({}, Sighting(2, 0, 1, drift_incidents=1), {"Crashing": ("False", "AllHealthy")}),
        (
            {},
            Sighting(2, 0, 1, DriftSight(2, ("DaemonSet/otel",)), drift_incidents=1),
            {"Drifted": ("True", "PodsDrifted"), "Ready": ("True", "Enforced")},
        ),
        *(
            ({}, Sighting(2, unresolved=(Unresolved(reason, "x"),)), {"ResolvedRefs": ("False", str(reason))})
            for reason in (
                Reason.CONNECTOR_NOT_FOUND,
                Reason.OWNERS_FORBIDDEN,
                Reason.RECIPIENTS_NOT_FOUND,
                Reason.TEMPLATE_NOT_FOUND,
                Reason.TEMPLATE_FAILED,
                Reason.BASELINE_CONTAINER_NOT_FOUND,
            )
        ),
        ({}, Sighting(2, unresolved=(Unresolved(Reason.OWNERS_FORBIDDEN, "x"),)), {"Ready": ("True", "Enforced")}),
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


def test_a_request_is_answered_in_the_status():
    asked = policy(annotations={"watchbell.dev/requested-at": "now-1"})
    assert policy_status(asked, Sighting(), EPOCH)["lastHandledRequest"] == "now-1"


def condition(seen, sighting, type_):
    return next(item for item in policy_status(seen, sighting, EPOCH)["conditions"] if item["type"] == type_)


def test_of_several_things_that_are_missing_the_one_that_stops_mails_names_the_reason_and_all_are_told():
    missing = (Unresolved(Reason.TEMPLATE_FAILED, "No words."), Unresolved(Reason.CONNECTOR_NOT_FOUND, "No relay."))
    found = condition(policy(), Sighting(1, unresolved=missing), "ResolvedRefs")
    assert (found["reason"], found["message"]) == ("ConnectorNotFound", "No relay. No words.")


def test_of_very_many_things_that_are_missing_ten_are_told_and_the_rest_counted():
    missing = tuple(Unresolved(Reason.OWNERS_FORBIDDEN, f"No {number}.") for number in range(64))
    message = condition(policy(), Sighting(1, unresolved=missing), "ResolvedRefs")["message"]
    assert message.startswith("No 0. No 1. ")
    assert message.endswith("No 9. And 54 more.")


@pytest.mark.parametrize(("crashing", "said"), [(1, "1 pod is crashing"), (2, "2 pods are crashing")])
def test_what_is_open_is_counted_in_words(crashing, said):
    message = condition(policy(), Sighting(3, open_incidents=1, crashing=crashing), "Crashing")["message"]
    assert message == f"1 incident is open, {said}."


def test_of_workloads_that_cannot_be_read_nobody_says_that_they_are_as_they_should_be():
    forbidden = (Unresolved(Reason.OWNERS_FORBIDDEN, "x"),)
    found = condition(policy(), Sighting(2, unresolved=forbidden), "Drifted")
    assert (found["status"], found["reason"]) == ("Unknown", "OwnersForbidden")
    found = condition(policy(), Sighting(2, unresolved=forbidden, drift=DriftSight(1, ("DaemonSet/a",))), "Drifted")
    assert found["status"] == "True"


def test_a_drifted_policy_names_the_first_workloads_and_the_command_that_shows_more():
    drift = DriftSight(9, tuple(f"DaemonSet/agent-{number}" for number in range(7)))
    message = condition(policy(), Sighting(9, drift=drift), "Drifted")["message"]
    assert message.startswith("DaemonSet/agent-0, DaemonSet/agent-1, ")
    assert "agent-4 and 2 more: 9 pods are not as the baseline says" in message
    assert "watchbell baseline diff collectors -n obs" in message


@pytest.mark.parametrize(("pods", "said"), [(0, "the workload is not as"), (1, "1 pod is not as")])
def test_drift_of_a_workload_is_not_told_as_that_of_no_pods(pods, said):
    message = condition(policy(), Sighting(9, drift=DriftSight(pods, ("DaemonSet/a",))), "Drifted")["message"]
    assert f"DaemonSet/a: {said} the baseline says" in message


CAPTURED = {"mode": "Captured", "revision": "v1", "hash": "sha256:0123456789abcdef"}


@pytest.mark.parametrize("spec", [{}, {"suspend": True}, {"routes": []}], ids=["enforced", "suspended", "invalid"])
def test_a_captured_baseline_stays_in_the_status_until_somebody_knows_better(spec):
    seen = policy(status={"baseline": CAPTURED}, **spec)
    assert policy_status(seen, Sighting(), EPOCH)["baseline"] == CAPTURED


def test_what_is_known_of_the_baseline_replaces_what_was_written():
    seen = policy(status={"baseline": CAPTURED})
    fresh = {"mode": "Captured", "revision": "v2"}
    assert policy_status(seen, Sighting(baseline=fresh), EPOCH)["baseline"] == fresh
    assert "baseline" not in policy_status(seen, Sighting(baseline={}), EPOCH)


def test_a_baseline_that_was_not_captured_is_not_kept():
    seen = policy(status={"baseline": {"mode": "OwnerTemplate"}})
    assert "baseline" not in policy_status(seen, Sighting(), EPOCH)


def test_the_figures_of_drift_stand_in_the_status():
    assert policy_status(policy(), Sighting(drift=DriftSight(4, ("DaemonSet/a",))), EPOCH)["driftedPods"] == 4
