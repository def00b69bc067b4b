"""Workloads of which no pod ever came: the API server refuses them (a quota, a webhook), so no pod tells of it, and yet nothing is collected."""

from datetime import UTC, datetime, timedelta

import pytest

from collectorrig import Site, component, mail_of, until
from kuberig import client_of

APPS = "/apis/apps/v1/namespaces"
NOTHING_WAITS = {"waitSeconds": 0, "maxIncidentsPerMessage": 1}
REFUSED = 'pods "gateway-7c9-x" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4'


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


def long_ago():
    return (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_workload(site, name, labels, kind="Deployment"):
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "collector", "image": "otel:1"}]}}
    body = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    site.rest.post(f"{APPS}/{site.namespace}/{kind.lower()}s", body)


def tell(site, name, status, kind="Deployment"):
    site.rest.merge(
        f"{APPS}/{site.namespace}/{kind.lower()}s/{name}/status", {"status": {"observedGeneration": 1, **status}}
    )


def refused():
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": REFUSED,
        "lastTransitionTime": long_ago(),
        "lastUpdateTime": long_ago(),
    }
    return {"conditions": [condition]}


@pytest.mark.parametrize("order", ["seen at the start", "refused while watched"])
async def test_a_deployment_that_never_got_a_pod_is_told_with_what_the_api_server_said(control_plane, site, order):
    make_workload(site, "gateway", {"app": "gateway", "tier": "collector"})
    make_workload(site, "shop", {"app": "shop"})
    if order == "seen at the start":
        tell(site, "gateway", refused())
    tell(site, "shop", refused())
    policy = site.make_policy(selector={"matchLabels": {"tier": "collector"}}, grouping=NOTHING_WAITS)
    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        await until(lambda: started.collectors.is_ready, "all is seen")
        if order == "refused while watched":
            tell(site, "gateway", refused())
        await until(lambda: started.outbox.bodies, "it is told")
        (incident,) = site.incidents()
        assert incident["spec"]["kind"] == "RolloutStuck"
        assert incident["spec"]["owner"] == {"kind": "Deployment", "name": "gateway"}
        (body,) = started.outbox.bodies
        assert f"FailedCreate: {REFUSED}." in mail_of(body).text


async def test_its_end_is_told_when_its_pods_may_come(control_plane, site):
    make_workload(site, "gateway", {"app": "gateway"})
    tell(site, "gateway", refused())
    policy = site.make_policy(
        selector={"matchExpressions": [{"key": "app", "operator": "In", "values": ["gateway"]}]},
        grouping={**NOTHING_WAITS, "resolveAfterSeconds": 0},
    )
    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        await until(lambda: len(started.outbox.bodies) == 1, "it is told")
        counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
        tell(site, "gateway", {**counts, "conditions": []})
        await until(lambda: len(started.outbox.bodies) == 2, "its end is told")


async def test_a_deployment_that_was_scaled_to_nothing_is_well(control_plane, site):
    make_workload(site, "gateway", {"app": "gateway"})
    tell(site, "gateway", {"replicas": 0})
    site.rest.merge(f"{APPS}/{site.namespace}/deployments/gateway", {"spec": {"replicas": 0}})
    tell(site, "gateway", {"observedGeneration": 2})
    make_workload(site, "refused", {"app": "gateway", "copy": "2"})
    tell(site, "refused", refused())
    policy = site.make_policy(selector={"matchLabels": {"app": "gateway"}}, grouping=NOTHING_WAITS)
    async with client_of(control_plane) as client, component(client, site.namespace) as started:
        started.collectors.policy_changed(policy)
        await until(lambda: started.outbox.bodies, "the other one is told")
        assert [item["spec"]["owner"]["name"] for item in site.incidents()] == ["refused"]
