"""What a mail says is so, and every incident comes to an end: pods that are ended as a whole, workloads that vanish, odd owners, mail that waits."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from collectorrig import OURS, Site, component, condition, container, looping, mail_of, running_state, until
from kuberig import access_to, client_of
from watchbell.collectors import desk
from watchbell.kube.client import Client
from watchbell.kube.errors import Unreachable


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


def text_of(message: dict[str, Any]) -> str:
    return mail_of(message).text


async def closed(site: Site) -> dict[str, Any]:
    (incident,) = await until(
        lambda: [item for item in site.incidents() if item["status"].get("resolvedTime")], "the incident is closed"
    )
    return incident


async def test_an_evicted_pod_that_stays_as_failed_does_not_keep_its_incident_open(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy(crash={"kinds": ["CrashLoopBackOff"]})
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the crash is told")
        await asyncio.to_thread(site.make_pod, "gateway-b", container(state={"waiting": {"reason": "x"}}, ready=False))
        site.tell("gateway-a", looping(now(), 2), phase="Failed", reason="Evicted")
        site.tell("gateway-b", container(state=running_state(now())))
        incident = await closed(site)
        await until(lambda: running.collectors.open_incidents == 0, "nothing is open")
    assert condition(incident, "Resolved")["reason"] == "HealthyAgain"
    assert "runs again" in text_of(running.outbox.bodies[-1])


async def test_of_a_workload_that_is_scaled_away_nobody_says_that_it_runs_again(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the crash is told")
        site.remove_pod("gateway-a")
        incident = await closed(site)
        await until(lambda: running.collectors.open_incidents == 0, "nothing is open")
    assert condition(incident, "Resolved")["reason"] == "PodsGone"
    said = text_of(running.outbox.bodies[-1])
    assert "The pod that failed is gone" in said
    assert "runs again" not in said
    assert "ready" not in said


async def test_a_pod_whose_owner_has_an_odd_name_is_told_all_the_same(control_plane, site):
    owner = {
        "apiVersion": "x.example/v1",
        "kind": "Odd Kind<b>" * 9,
        "name": "Some Owner\r\nBcc: a@b.c/..",
        "uid": "u",
        "controller": True,
    }
    site.make_pod("odd", looping(now()), ownerReferences=[owner], labels={"app": "gateway"})
    policy = site.make_policy()
    async with client_of(control_plane) as client:
        async with component(client, site.namespace) as running:
            running.collectors.policy_changed(policy)
            await until(lambda: running.outbox.bodies, "the crash is told")
            await until(lambda: site.incidents()[0]["status"].get("notifications"), "the incident says so")
        async with component(client, site.namespace) as again:
            await until(lambda: again.collectors.is_ready and again.collectors.open_incidents, "it is taken over")
            await again.collectors.idle()
            assert again.outbox.bodies == []
    (incident,) = site.incidents()
    assert incident["metadata"]["name"].startswith("some-owner-bcc-a-b-c-crash-")
    assert "resolvedTime" not in incident["status"]


class Stubborn(Client):
    """Does not let the status of an incident be written while `refuses`."""

    refuses = False
    refused = 0

    async def apply_status(self, resource, *arguments, **options):
        if self.refuses and resource.plural == "collectorincidents":
            self.refused += 1
            raise Unreachable("not now")
        return await super().apply_status(resource, *arguments, **options)


async def test_nobody_is_told_of_an_end_that_is_not_written_yet(control_plane, site):
    """Else a death in that moment leaves an open incident of which people believe that it is over."""
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    client = Stubborn(access_to(control_plane))
    try:
        async with component(client, site.namespace) as running:
            running.collectors.policy_changed(policy)
            await until(lambda: running.outbox.bodies, "the crash is told")
            await until(lambda: site.incidents()[0]["status"].get("notifications"), "the incident says so")
            client.refuses = True
            site.remove_pod("gateway-a")
            await until(lambda: client.refused >= 2, "it was tried again")
            assert len(site.messages()) == 1
            client.refuses = False
            await closed(site)
            assert len(site.messages()) == 2
    finally:
        await client.close()


async def test_nobody_is_reminded_of_a_mail_that_still_waits(control_plane, site, monkeypatch):
    monkeypatch.setattr(desk, "WAITING_MAIL_POLL_S", 0.1)
    site.make_pod("gateway-a", looping(now()))
    grouping = {"waitSeconds": 0, "repeatSeconds": 1, "periodSeconds": 1}
    policy = site.make_policy(grouping=grouping)
    asked = []
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        get = client.get

        async def counted(resource, name, namespace=None):
            if resource.plural == "emailmessages":
                asked.append(name)
            return await get(resource, name, namespace)

        monkeypatch.setattr(client, "get", counted)
        running.collectors.policy_changed(policy)
        await until(lambda: len(asked) >= 3, "a reminder would have been due for a while")
        (message,) = running.outbox.bodies
        assert "Reminder" not in text_of(message)
        path = f"{OURS}/{site.namespace}/emailmessages/{message['metadata']['name']}/status"
        site.rest.merge(path, {"status": {"completionTime": "2026-11-21T00:00:00Z"}})
        await until(lambda: len(running.outbox.bodies) == 2, "people are reminded")
    assert "Reminder: it has gone on for" in text_of(running.outbox.bodies[1])
    assert running.outbox.bodies[1]["spec"]["subject"] == message["spec"]["subject"]
