"""How the operator behaves as a guest in a cluster: it writes nothing but status, keeps to its namespaces, and does not storm a server."""

import asyncio

from cluster import fresh_namespace
from operatorrig import KINDS, Gate, condition, until, world
from watchbell.kube.client import PODS

OURS = ("spec", "labels", "annotations", "finalizers", "ownerReferences")


def what_users_wrote(body):
    return {key: body["spec"] if key == "spec" else body["metadata"].get(key) for key in OURS}


def writers(body):
    """(manager, subresource) of everybody who wrote to the object, but for the test itself."""
    fields = body["metadata"]["managedFields"]
    return {
        (one["manager"], one.get("subresource", ""))
        for one in fields
        if one["manager"].startswith(("watchbell-", "kopf"))
    }


async def test_nothing_is_written_to_users_objects_but_their_status(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        marks = {"labels": {"team": "telemetry"}, "annotations": {"note": "ours"}}
        await operator.ready()
        await at.secret()
        await at.authority_map()
        before = {
            "SmtpConnector": await at.make("SmtpConnector", "default", at.connector_spec(), **marks),
            "CollectorPolicy": await at.policy(),
        }
        pod = await at.pod("gateway-a")
        before["SmtpTest"] = await at.make("SmtpTest", "try", {"to": ["you@example.com"]}, **marks)
        await at.has("SmtpTest", "try", "Succeeded", "True")
        await at.crash("gateway-a")
        await at.settled(1)
        await at.has("CollectorPolicy", "collectors", "Crashing", "True")
        names = {"SmtpConnector": "default", "CollectorPolicy": "collectors", "SmtpTest": "try"}
        for kind, old in before.items():
            new = await at.get(kind, names[kind])
            assert what_users_wrote(new) == what_users_wrote(old)
            assert new["metadata"]["generation"] == old["metadata"]["generation"] == 1
            assert {subresource for _, subresource in writers(new)} == {"status"}
        after = await at.client.get(PODS, "gateway-a", namespace)
        assert what_users_wrote(after) == what_users_wrote(pod)
        assert writers(after) == set()
        operator.terminate()
        assert await operator.ended() == 0
        for kind, name in names.items():
            await at.client.delete(KINDS[kind], name, namespace)
            assert name not in [one["metadata"]["name"] for one in await at.listed(kind)], "nothing holds a deletion"


async def test_only_the_named_namespaces_are_served_and_cluster_connectors_still(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        with fresh_namespace(control_plane.rest(), "other") as other:
            for where in (other, at.home):
                await at.secret(namespace=where)
                await at.authority_map(where)
            await at.connector()
            connector = {
                "apiVersion": "watchbell.dev/v1alpha1",
                "kind": "SmtpConnector",
                "metadata": {"name": "default"},
            }
            await at.client.create(KINDS["SmtpConnector"], connector | {"spec": at.connector_spec()}, other)
            shared = f"shared-{at.home}"
            spec = at.connector_spec(allowedNamespaces={"from": "All"})
            await at.make("ClusterSmtpConnector", shared, spec)
            try:
                for where in (namespace, other):
                    await at.policy(where)
                    await at.pod("gateway-a", namespace=where)
                async with at.operator(f"--watch-namespaces={namespace}", "--secret-access=Watch") as operator:
                    await operator.ready()
                    await at.crash("gateway-a", namespace=other)
                    await at.crash("gateway-a")
                    await at.has("ClusterSmtpConnector", shared, "Ready", "True")
                    await at.settled(1)
                    (theirs,) = await at.client.list(KINDS["SmtpConnector"], other)
                    (policy,) = await at.client.list(KINDS["CollectorPolicy"], other)
                    assert not theirs["status"].get("conditions")
                    assert not policy["status"].get("conditions")
                    assert await at.listed("CollectorIncident", other) == []
                    assert len(at.inbox.messages) == 1
                    late = await at.make("SmtpConnector", "late", at.connector_spec())
                    assert late["metadata"]["namespace"] == namespace
                    await at.has("SmtpConnector", "late", "Ready", "True")
            finally:
                await at.client.delete(KINDS["ClusterSmtpConnector"], shared)


async def test_two_hundred_connectors_are_proven_without_more_sessions_at_once_than_allowed(
    control_plane, namespace, tmp_path
):
    count, workers = 200, 12
    async with (
        world(control_plane, namespace, tmp_path) as at,
        Gate(at.port) as gate,
        at.operator(f"--probe-workers={workers}") as operator,
    ):
        await operator.ready()
        await at.secret()
        await at.authority_map()
        spec = at.connector_spec(port=gate.port)
        limit = asyncio.Semaphore(20)

        async def make(number):
            async with limit:
                await at.make("SmtpConnector", f"c-{number:03}", spec)

        await asyncio.gather(*(make(number) for number in range(count)))

        async def all_ready():
            found = await at.listed("SmtpConnector")
            return sum(condition(one, "Ready").get("status") == "True" for one in found) == count

        await until(all_ready, "every connector is Ready")
        assert gate.sessions == count, "each was proven once"
        assert 2 < gate.most <= workers
        assert (await operator.metrics()).count('watchbell_connector_ready{kind="SmtpConnector"') == count
