"""A pod's status is written as a kubelet writes it; an incident and one mail appear, on a real API server."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from collectorrig import Site, component, condition, container, ended, looping, mail_of, running_state, until
from kuberig import client_of
from watchbell.api.names import ANNOTATION_THREAD, LABEL_FINGERPRINT, LABEL_POLICY


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


async def test_a_crash_becomes_one_incident_and_one_mail(control_plane, site):
    site.make_pod("gateway-a")
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        crash = now()
        site.tell("gateway-a", container(state=ended(crash), ready=False))
        (message,) = await until(lambda: running.outbox.bodies, "the outbox has the mail")
        site.tell("gateway-a", looping(crash))
        (incident,) = await until(
            lambda: [item for item in site.incidents() if item["status"].get("notifications")], "the status is written"
        )
        await until(
            lambda: site.incidents()[0]["status"]["affectedPods"][0]["reason"] == "CrashLoopBackOff", "it loops"
        )
        site.tell(
            "gateway-a", container(state=ended(now(), code=2), lastState=ended(crash), restartCount=1, ready=False)
        )
        await until(lambda: site.incidents()[0]["status"]["occurrences"] == 2, "the second crash is counted")
        assert len(site.incidents()) == len(site.messages()) == len(running.outbox.bodies) == 1
    assert incident["spec"]["owner"] == {"kind": "Deployment", "name": "gateway"}
    assert incident["spec"]["container"] == "collector"
    assert condition(incident, "Notified")["reason"] == "MessagesCreated"
    assert condition(incident, "Resolved")["status"] == "False"
    assert incident["status"]["notifications"][0]["messageRef"]["name"] == message["metadata"]["name"]
    assert message["metadata"]["name"] == f"{incident['metadata']['name']}-1-oncall"
    assert message["metadata"]["ownerReferences"][0]["uid"] == incident["metadata"]["uid"]
    assert message["metadata"]["labels"][LABEL_POLICY] == "collectors"
    assert message["metadata"]["labels"][LABEL_FINGERPRINT] == incident["spec"]["fingerprint"]
    assert message["metadata"]["annotations"][ANNOTATION_THREAD] == incident["status"]["thread"]
    assert message["spec"]["to"] == ["oncall@example.com"]
    assert "gateway-a" in mail_of(message).text
    assert "node-1" in mail_of(message).html


async def test_every_route_gets_its_mail(control_plane, site):
    routes = [
        {"name": "oncall", "to": ["a@example.com"], "connectorRef": {"kind": "SmtpConnector", "name": "relay"}},
        {"name": "team", "to": ["b@example.com"], "cc": ["c@example.com"], "resolved": "Omit"},
    ]
    site.make_pod("gateway-a", looping(now()))
    async with client_of(control_plane) as client, component(client, site.namespace):
        site.make_policy(routes=routes)
        messages = await until(lambda: len(site.messages()) == 2 and site.messages(), "both mails are there")
    specs = {item["metadata"]["name"].rsplit("-", 1)[1]: item["spec"] for item in messages}
    assert specs["oncall"]["connectorRef"] == {"kind": "SmtpConnector", "name": "relay"}
    assert "connectorRef" not in specs["team"]
    assert specs["team"]["cc"] == ["c@example.com"]


async def test_a_loop_that_stands_at_the_start_is_told_and_an_old_crash_is_not(control_plane, site):
    long_ago = now() - timedelta(days=3)
    site.make_pod("gateway-a", looping(long_ago))
    site.make_pod("other-b", container(lastState=ended(long_ago), restartCount=4), owner="other")
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the loop is told")
        stored = await until(
            lambda: (
                condition(site.listed("collectorpolicies")[0], "Crashing").get("status") == "True"
                and site.listed("collectorpolicies")[0]
            ),
            "the policy says so",
        )
        assert [item["spec"]["owner"]["name"] for item in site.incidents()] == ["gateway"]
    assert (stored["status"]["matchedPods"], stored["status"]["crashingPods"]) == (2, 1)
    assert condition(stored, "Ready")["reason"] == "Enforced"
    assert condition(stored, "ResolvedRefs")["reason"] == "ConnectorNotFound"


async def test_pods_that_fail_within_the_wait_share_one_mail(control_plane, site):
    for name in ("gateway-a", "gateway-b", "gateway-c"):
        site.make_pod(name)
    policy = site.make_policy(grouping={"waitSeconds": 1})
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 3, "the pods are seen")
        for name in ("gateway-a", "gateway-b", "gateway-c"):
            site.tell(name, container(state=ended(now()), ready=False))
        (message,) = await until(lambda: running.outbox.bodies, "the mail is there")
        await until(lambda: site.incidents()[0]["status"].get("affectedCount") == 3, "all three are counted")
        assert len(site.incidents()) == len(site.messages()) == 1
    for name in ("gateway-a", "gateway-b", "gateway-c"):
        assert name in mail_of(message).text


async def test_it_is_over_when_the_successor_is_ready_and_says_so_in_the_same_thread(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the crash is told")
        await asyncio.to_thread(
            site.make_pod, "gateway-b", container(state={"waiting": {"reason": "ContainerCreating"}}, ready=False)
        )
        site.remove_pod("gateway-a")
        await until(lambda: running.collectors.matched_pods == 1, "the pod is gone")
        assert len(running.outbox.bodies) == 1
        site.tell("gateway-b", container(state=running_state(now())))
        await until(lambda: len(running.outbox.bodies) == 2, "the end is told")
        (incident,) = await until(
            lambda: [item for item in site.incidents() if item["status"].get("resolvedTime")], "the incident is closed"
        )
        first, second = running.outbox.bodies
        await until(lambda: running.collectors.open_incidents == 0, "nothing is open")
    assert condition(incident, "Resolved")["reason"] == "HealthyAgain"
    assert [item["transition"] for item in incident["status"]["notifications"]] == ["Fired", "Resolved"]
    assert first["metadata"]["annotations"][ANNOTATION_THREAD] == second["metadata"]["annotations"][ANNOTATION_THREAD]
    assert second["metadata"]["name"].endswith("-2-oncall")


async def test_the_next_crash_after_the_end_is_the_next_incident(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the crash is told")
        site.remove_pod("gateway-a")
        await until(lambda: running.collectors.open_incidents == 0, "it is over")
        site.make_pod("gateway-b", looping(now()))
        await until(lambda: len(site.incidents()) == 2, "the next one is opened")
        await until(lambda: len(running.outbox.bodies) == 3, "and told")
    assert {condition(item, "Resolved").get("reason") for item in site.incidents()} >= {"PodsGone"}
