"""Watches come and go with the policies that need them; the whole route from a pod's status to a message is quick."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta

import pytest

from collectorrig import OURS, Site, component, condition, container, ended, until
from kuberig import client_of, running
from watchbell.collectors.policies import Scope
from watchbell.collectors.seen.pod import Owner
from watchbell.collectors.seen.watch import PodWatches
from watchbell.kube.client import PODS


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


async def test_policies_with_equal_selectors_share_one_watch_and_the_last_one_ends_it(control_plane, site):
    site.make_pod("gateway-a")
    site.make_pod("gateway-b")
    async with client_of(control_plane) as client:
        heard = []
        watches = PodWatches(client, on_pod=lambda scope, old, new: heard.append((scope, new)), limit=1)
        scope, other = Scope(site.namespace, "app=gateway"), Scope(site.namespace, "app=other")
        assert watches.subscribe((site.namespace, "one"), scope)
        assert watches.subscribe((site.namespace, "two"), scope)
        assert not watches.subscribe((site.namespace, "three"), other)
        async with running(watches.run()):
            await until(lambda: watches.is_synced(scope), "it is listed")
            assert len(heard) == watches.pod_count == 2
            owned = watches.pods_of(scope, Owner("Deployment", "gateway"))
            assert {pod.metadata.name for pod in owned} == {"gateway-a", "gateway-b"}
            site.remove_pod("gateway-a")
            await until(lambda: len(watches.pods_of(scope, Owner("Deployment", "gateway"))) == 1, "one is gone")
            watches.unsubscribe((site.namespace, "one"))
            assert watches.pod_count == 1
            watches.unsubscribe((site.namespace, "two"))
            assert (watches.pod_count, watches.is_synced(scope)) == (0, False)
            assert watches.subscribe((site.namespace, "three"), other)
            await until(lambda: watches.is_synced(other), "there is room again")


async def test_a_pod_that_did_its_work_is_not_kept(control_plane, site):
    site.make_pod("gateway-a")
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        await until(lambda: started.collectors.matched_pods == 1, "it is seen")
        site.tell(
            "gateway-a", container(state=ended(datetime.now(UTC), 0, "Completed"), ready=False), phase="Succeeded"
        )
        await until(lambda: started.collectors.matched_pods == 0, "it is left out")
        assert started.collectors.open_incidents == 0


async def test_a_selector_that_matches_nothing_shows_in_the_policy(control_plane, site):
    policy = site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        stored = await until(
            lambda: condition(site.listed("collectorpolicies")[0], "Ready") and site.listed("collectorpolicies")[0],
            "the policy is judged",
        )
    assert condition(stored, "Ready")["reason"] == "NoPodsMatch"
    assert stored["status"]["observedGeneration"] == stored["metadata"]["generation"]


async def test_a_connector_that_comes_later_resolves_the_reference(control_plane, site):
    policy = site.make_policy(
        routes=[{"name": "a", "to": ["a@example.com"], "connectorRef": {"kind": "SmtpConnector", "name": "late"}}]
    )
    connector = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "SmtpConnector",
        "metadata": {"name": "late", "namespace": site.namespace},
        "spec": {"host": "relay.example.com", "from": {"address": "a@example.com"}},
    }

    def refs() -> str:
        return condition(site.listed("collectorpolicies")[0], "ResolvedRefs").get("status", "")

    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        await until(lambda: refs() == "False", "it is missed")
        site.rest.post(f"{OURS}/{site.namespace}/smtpconnectors", connector)
        started.collectors.connectors_changed()
        await until(lambda: refs() == "True", "it is found")


async def test_a_suspended_policy_tells_nothing_and_catches_up_when_it_is_resumed(control_plane, site):
    policy = site.make_policy(suspend=True)
    # An end in whole seconds may not look older than the policy.
    site.make_pod("gateway-a", container(state=ended(datetime.now(UTC) + timedelta(seconds=2)), ready=False))
    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        await until(
            lambda: condition(site.listed("collectorpolicies")[0], "Ready").get("reason") == "Suspended", "it says so"
        )
        assert (started.collectors.matched_pods, site.incidents()) == (0, [])
        path = f"{OURS}/{site.namespace}/collectorpolicies/collectors"
        started.collectors.policy_changed(site.rest.merge(path, {"spec": {"suspend": False}}))
        await until(lambda: started.outbox.bodies, "the crash is told")


async def test_from_the_written_status_to_the_message_nothing_waits(control_plane, site):
    owners = [f"w{number}" for number in range(20)]
    for owner in owners:
        site.make_pod(f"{owner}-a", owner=owner)
    policy = site.make_policy(grouping={"waitSeconds": 0, "maxIncidentsPerMessage": 1})
    took_ms: list[float] = []
    told = asyncio.Event()

    class Stopwatch:
        def submit(self, body):
            took_ms.append((time.perf_counter() - started_at) * 1000)
            told.set()

    async with client_of(control_plane) as client, component(client, site.namespace, sink=Stopwatch()) as started:
        started.collectors.policy_changed(policy)
        await until(lambda: started.collectors.matched_pods == len(owners), "all are seen")
        await started.collectors.idle()
        for owner in owners:
            told.clear()
            started_at = time.perf_counter()
            crashed = {"status": {"containerStatuses": [container(state=ended(datetime.now(UTC)), ready=False)]}}
            await client.patch(PODS, f"{owner}-a", crashed, site.namespace, subresource="status")
            async with asyncio.timeout(30):
                await told.wait()
    # Three calls to the API server; the bench measures it on a quiet machine, here a busy one must not fail the test.
    assert statistics.median(took_ms) < 4000, took_ms
