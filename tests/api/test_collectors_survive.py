"""Killed at any line, replaced, or told of things twice: nothing is lost and nothing is doubled."""

from datetime import UTC, datetime
from typing import Any

import pytest

from collectorrig import (
    Component,
    Site,
    component,
    condition,
    container,
    ended,
    looping,
    running_state,
    until,
)
from kuberig import access_to, client_of
from watchbell.kube.client import Client
from watchbell.kube.errors import Unreachable


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


async def settled(running: Component) -> None:
    await until(lambda: running.collectors.is_ready and running.collectors.matched_pods > 0, "the caches are full")
    await running.collectors.idle()


async def test_a_restart_tells_nothing_twice(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client:
        async with component(client, site.namespace) as first:
            first.collectors.policy_changed(policy)
            await until(lambda: first.outbox.bodies, "the crash is told")
            await until(lambda: site.incidents()[0]["status"].get("notifications"), "the incident says so")
        before = site.incidents()[0]
        for _ in range(2):
            async with component(client, site.namespace) as again:
                await until(lambda: again.collectors.open_incidents == 1, "the incident is taken over")
                await settled(again)
                assert again.outbox.bodies == []
    (after,) = site.incidents()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["notifications"] == before["status"]["notifications"]
    assert after["status"]["occurrences"] == before["status"]["occurrences"]
    assert len(site.messages()) == 1


class DyingClient(Client):
    """Dies at one kind of write, as the process would: from then on nothing gets through."""

    def __init__(self, *arguments: Any, dies_at: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.dies_at, self.is_dead = dies_at, False

    async def create(self, resource, body, namespace=None, **options):
        if self.is_dead or resource.plural == self.dies_at:
            self.is_dead = True
            raise Unreachable("killed")
        return await super().create(resource, body, namespace, **options)

    async def apply_status(self, resource, *arguments, **options):
        if self.is_dead or (resource.plural, "status") == tuple(self.dies_at.split("/")):
            self.is_dead = True
            raise Unreachable("killed")
        return await super().apply_status(resource, *arguments, **options)


@pytest.mark.parametrize("line", ["emailmessages", "collectorincidents/status"])
async def test_killed_between_two_writes_the_next_process_finishes_the_telling(control_plane, site, line):
    site.make_pod("gateway-a")
    policy = site.make_policy()
    dying = DyingClient(access_to(control_plane), dies_at=line)
    try:
        async with component(dying, site.namespace) as first:
            first.collectors.policy_changed(policy)
            await settled(first)
            site.tell("gateway-a", container(state=ended(now()), ready=False))
            await until(lambda: dying.is_dead, "it died")
            told = len(first.outbox.bodies)
    finally:
        await dying.close()
    assert len(site.incidents()) == 1
    assert not site.incidents()[0]["status"].get("notifications")
    assert len(site.messages()) == told
    async with client_of(control_plane) as client, component(client, site.namespace) as second:
        await until(lambda: site.incidents()[0]["status"].get("notifications"), "the telling is finished")
        assert len(second.outbox.bodies) == 1 - told
    assert len(site.incidents()) == len(site.messages()) == 1


async def test_what_crashed_while_nobody_looked_is_told_and_what_was_told_and_over_is_not(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client:
        async with component(client, site.namespace) as first:
            first.collectors.policy_changed(policy)
            await until(lambda: first.outbox.bodies, "the crash is told")
            site.remove_pod("gateway-a")
            await until(lambda: first.collectors.open_incidents == 0, "it is over")
        count = len(site.messages())
        async with component(client, site.namespace) as quiet:
            await until(lambda: quiet.collectors.is_ready, "the caches are full")
            await quiet.collectors.idle()
        assert len(site.messages()) == count
        site.make_pod("gateway-b", container(lastState=ended(now()), restartCount=1, state=running_state(now())))
        async with component(client, site.namespace) as second:
            await until(lambda: second.outbox.bodies, "the crash of the meantime is told")
    assert len(site.incidents()) == 2


async def test_a_standby_writes_nothing_and_takes_over_at_once(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as standby:
        standby.is_leading = False
        standby.collectors.policy_changed(policy)
        await until(lambda: standby.collectors.is_ready and standby.collectors.matched_pods == 1, "its caches are warm")
        await standby.collectors.idle()
        assert (site.incidents(), site.messages()) == ([], [])
        assert "conditions" not in site.listed("collectorpolicies")[0]["status"]
        standby.is_leading = True
        standby.collectors.leadership_changed()
        await until(lambda: standby.outbox.bodies, "it tells as soon as it leads")


async def test_two_processes_that_both_think_they_lead_open_one_incident(control_plane, site):
    site.make_pod("gateway-a")
    policy = site.make_policy()
    async with (
        client_of(control_plane) as client,
        component(client, site.namespace) as one,
        component(client, site.namespace) as two,
    ):
        for running in (one, two):
            running.collectors.policy_changed(policy)
            await settled(running)
        site.tell("gateway-a", container(state=ended(now()), ready=False))
        await until(lambda: one.collectors.open_incidents == two.collectors.open_incidents == 1, "both see it")
        await until(site.messages, "it is told")
        for running in (one, two):
            await running.collectors.idle()
        assert len(one.outbox.bodies) + len(two.outbox.bodies) == 1
    assert len(site.incidents()) == len(site.messages()) == 1


async def test_a_deleted_policy_closes_its_incidents_and_says_why(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the crash is told")
        site.rest.delete(f"/apis/watchbell.dev/v1alpha1/namespaces/{site.namespace}/collectorpolicies/collectors")
        running.collectors.policy_deleted((site.namespace, "collectors"))
        (incident,) = await until(
            lambda: [item for item in site.incidents() if item["status"].get("resolvedTime")], "it is closed"
        )
        assert len(running.outbox.bodies) == 1
        assert running.collectors.matched_pods == 0
    assert condition(incident, "Resolved")["reason"] == "PolicyDeleted"


async def test_a_policy_deleted_while_nobody_looked_closes_its_incidents_too(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    path = f"/apis/watchbell.dev/v1alpha1/namespaces/{site.namespace}/collectorpolicies/collectors"
    async with client_of(control_plane) as client:
        async with component(client, site.namespace) as first:
            first.collectors.policy_changed(policy)
            await until(lambda: first.outbox.bodies, "the crash is told")
        site.rest.delete(path)
        site.make_policy()
        async with component(client, site.namespace):
            await until(
                lambda: len(site.incidents()) == 2, "the new policy of the same name has an incident of its own"
            )
            await until(
                lambda: (
                    {condition(item, "Resolved").get("reason") for item in site.incidents()}
                    == {"PolicyDeleted", "Firing"}
                ),
                "the old one is closed",
            )


async def test_an_incident_that_somebody_deletes_is_told_again_only_if_it_still_stands(control_plane, site):
    site.make_pod("gateway-a", looping(now()))
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.outbox.bodies, "the crash is told")
        name = site.incidents()[0]["metadata"]["name"]
        site.rest.delete(f"/apis/watchbell.dev/v1alpha1/namespaces/{site.namespace}/collectorincidents/{name}")
        await until(lambda: running.collectors.open_incidents == 0, "it is forgotten")
        site.tell("gateway-a", looping(now(), restarts=2))
        await until(lambda: len(running.outbox.bodies) == 2, "it still loops, so it is told")
        assert site.incidents()[0]["metadata"]["name"] != name


async def test_an_invalid_policy_says_which_field_and_watches_nothing(control_plane, site):
    broken = site.make_policy()
    broken["spec"]["routes"] = [{"name": "oncall"}]
    broken["metadata"]["generation"] = 1
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(broken)
        await until(
            lambda: condition(site.listed("collectorpolicies")[0], "Accepted").get("status"), "the policy is judged"
        )
        if condition(site.listed("collectorpolicies")[0], "Accepted")["status"] == "True":
            broken["metadata"]["generation"] = 2
            running.collectors.policy_changed(broken)
        stored = await until(
            lambda: (
                condition(site.listed("collectorpolicies")[0], "Accepted").get("status") == "False"
                and site.listed("collectorpolicies")[0]
            ),
            "the policy is refused",
        )
    assert condition(stored, "Ready")["reason"] == "InvalidSpec"
    assert "spec.routes[0]" in condition(stored, "Accepted")["message"]
