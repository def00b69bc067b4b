"""Drift against a real API server: found after it stood, gone when mended, for every kind of owner; nothing of a pod's env leaves it."""

import json
import time
from dataclasses import replace

import pytest

from collectorrig import OURS, Site, component, policy_body
from driftrig import IMAGE, digest
from driftwatch import LABELS, Place, changed_at, lean_collector, reference, watching
from kuberig import client_of, running, until
from otelrig import otel_crd
from watchbell.api.enums import DriftCheck
from watchbell.collectors.baselines.configs import Configs
from watchbell.collectors.baselines.content import Content, Unread
from watchbell.collectors.baselines.verdicts import State
from watchbell.collectors.policies import read_policy
from watchbell.collectors.seen.pod import Owner
from watchbell.collectors.sightings import DriftSight
from watchbell.kube.client import custom

GATEWAY = Owner("Deployment", "gateway")
POLICIES = custom("collectorpolicies")
CANARY = "canary-value-of-a-password"


@pytest.fixture
def place(control_plane, namespace):
    return Place(control_plane.rest(), namespace)


def deployed(place, part=None, owner=None, template_annotations=None):
    """A Deployment with its ReplicaSet and one pod."""
    deployment = place.make_owner("Deployment", part=part, owner=owner, annotations=template_annotations)
    labels = LABELS | {"pod-template-hash": "6b7f9"}
    body = {"selector": {"matchLabels": labels}}
    replicas = place.rest.post(
        place.path("ReplicaSet"),
        {
            "metadata": {"name": "gateway-6b7f9", "ownerReferences": [reference(deployment)]},
            "spec": body
            | {
                "template": {
                    "metadata": deployment["spec"]["template"]["metadata"] | {"labels": labels},
                    "spec": deployment["spec"]["template"]["spec"],
                }
            },
        },
    )
    place.make_pod("gateway-6b7f9-a", replicas, part)
    return replicas


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job"])
async def test_a_pod_that_left_its_owners_template_is_drift_until_it_is_mended(control_plane, place, kind):
    owner = Owner(kind, "gateway")
    if kind == "Deployment":
        deployed(place)
    else:
        made = place.make_owner(kind)
        place.make_pod("gateway-6b7f9-a", made, **({"restartPolicy": "Never"} if kind == "Job" else {}))
    policy = place.make_policy()
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(owner, State.CLEAN)
        place.set_image("gateway-6b7f9-a", "evil/collector:2")
        await watcher.until(owner, State.DRIFTED)
        found = watcher.verdict(owner)
        assert [(one.check, one.path, one.expected, one.actual) for one in found.differences] == [
            (DriftCheck.IMAGE, "containers[collector].image", IMAGE, "evil/collector:2")
        ]
        assert found.pods == ("gateway-6b7f9-a",)
        assert watcher.drifts.sight(policy.key) == DriftSight(1, (f"{kind}/gateway",))
        place.set_image("gateway-6b7f9-a", IMAGE)
        await watcher.until(owner, State.CLEAN)
        assert [verdict.state for seen, verdict in watcher.reports if seen == owner][-2:] == [
            State.DRIFTED,
            State.CLEAN,
        ]
        assert watcher.drifts.failures == 0


async def test_a_difference_is_told_only_after_pending_seconds_and_by_time_alone(control_plane, place):
    deployed(place)
    place.set_image("gateway-6b7f9-a", "evil:1")
    policy = place.make_policy(drift={"pendingSeconds": 1})
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(GATEWAY, State.PENDING)
        assert watcher.verdict(GATEWAY).differences == ()
        await watcher.until(GATEWAY, State.DRIFTED)


async def test_what_the_api_server_itself_puts_into_a_pod_is_no_drift(control_plane, place):
    """Defaults, a LimitRange, and the token's volume where the server mounts one."""
    limits = {"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}
    place.rest.post(f"{place.core}/limitranges", {"metadata": {"name": "limits"}, "spec": {"limits": [limits]}})
    part = lean_collector(
        resources={"limits": {"cpu": "0.5"}}, args=["--a"], securityContext={"capabilities": {"drop": ["ALL"]}}
    )
    deployed(place, part)
    async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
        await watcher.until(GATEWAY, State.CLEAN)
        (pod,) = watcher.watches.pods(next(iter(watcher.policies.values())).scope).values()
        assert ("limits.memory", "1Gi") in pod.spec.shape.containers[0].resources


async def test_an_in_place_resize_is_drift_and_a_debug_container_is_not(control_plane, place):
    """As `kubectl patch --subresource resize` and `kubectl debug` do it."""
    deployed(place)
    pod = f"{place.core}/pods/gateway-6b7f9-a"
    async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
        await watcher.until(GATEWAY, State.CLEAN)
        debugger = {"name": "debugger", "image": "busybox", "targetContainerName": "collector"}
        place.rest.merge(f"{pod}/ephemeralcontainers", {"spec": {"ephemeralContainers": [debugger]}})
        place.tell_pod("gateway-6b7f9-a", resources=lean_collector()["resources"])
        body = place.rest.get(pod)
        assert body["spec"]["ephemeralContainers"][0]["name"] == "debugger"
        body["spec"]["containers"][0]["resources"]["limits"]["memory"] = "3Gi"
        place.rest.put(f"{pod}/resize", body)
        await watcher.until(GATEWAY, State.DRIFTED)
        assert [(one.path, one.actual) for one in watcher.verdict(GATEWAY).differences] == [
            ("containers[collector].resources.limits.memory", "3Gi")
        ]


async def test_nothing_is_said_while_a_roll_out_moves_or_is_paused(control_plane, place):
    deployed(place)
    policy = place.make_policy()
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(GATEWAY, State.CLEAN)
        path = place.path("Deployment", "gateway")
        template = {"spec": {"containers": [lean_collector(image="otel/x:2")]}}
        place.rest.merge(path, {"spec": {"template": template}})
        await watcher.until(GATEWAY, State.MOVING)
        place.rest.merge(path, {"spec": {"paused": True}})
        await watcher.until(GATEWAY, State.PAUSED)
        assert not any(verdict.differences for _, verdict in watcher.reports)
        place.rest.merge(path, {"spec": {"paused": False}})
        place.settle("Deployment")
        await watcher.until(GATEWAY, State.DRIFTED)


async def test_an_autoscaler_does_not_make_a_difference_wait_again_and_a_new_revision_does(control_plane, place):
    deployed(place)
    place.change_pod("gateway-6b7f9-a", {"metadata": {"labels": {"team": "x"}}})
    policy = place.make_policy(drift={"pendingSeconds": 3600})
    path = place.path("Deployment", "gateway")
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(GATEWAY, State.PENDING)
        (began,) = watcher.verdict(GATEWAY).standing.values()
        place.rest.merge(path, {"spec": {"replicas": 2}})
        await watcher.until(GATEWAY, State.MOVING)
        place.settle("Deployment", replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
        await watcher.until(GATEWAY, State.PENDING)
        assert list(watcher.verdict(GATEWAY).standing.values()) == [began]
        place.rest.merge(path, {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}})
        await watcher.until(GATEWAY, State.MOVING)
        place.settle("Deployment", replicas=2, updatedReplicas=2, readyReplicas=2, availableReplicas=2)
        await watcher.until(GATEWAY, State.PENDING)
        assert min(watcher.verdict(GATEWAY).standing.values()) > began


async def test_pods_that_an_update_on_delete_left_behind_are_drift(control_plane, place):
    owner = Owner("DaemonSet", "gateway")
    made = place.make_owner("DaemonSet", updateStrategy={"type": "OnDelete"})
    place.make_pod("gateway-a", made)
    async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
        await watcher.until(owner, State.CLEAN)
        template = {"spec": {"containers": [lean_collector(image="otel/x:2")]}}
        place.rest.merge(place.path("DaemonSet", "gateway"), {"spec": {"template": template}})
        place.settle("DaemonSet", updatedNumberScheduled=0)
        await watcher.until(owner, State.DRIFTED)
        assert watcher.verdict(owner).differences[0].expected == "otel/x:2"


async def test_replicas_scaled_out_of_their_range_are_drift_and_an_autoscaler_is_not(control_plane, place):
    deployed(place)
    policy = place.make_policy(drift={"pendingSeconds": 0, "replicas": {"min": 1, "max": 3}})
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(GATEWAY, State.CLEAN)
        for count, state in ((9, State.DRIFTED), (3, State.CLEAN)):
            place.rest.merge(place.path("Deployment", "gateway"), {"spec": {"replicas": count}})
            place.settle(
                "Deployment", replicas=count, updatedReplicas=count, readyReplicas=count, availableReplicas=count
            )
            await watcher.until(GATEWAY, state)


async def test_nodes_without_a_ready_collector_are_drift(control_plane, place):
    owner = Owner("DaemonSet", "gateway")
    made = place.make_owner("DaemonSet")
    place.make_pod("gateway-a", made)
    async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
        await watcher.until(owner, State.CLEAN)
        place.settle("DaemonSet", desiredNumberScheduled=3)
        await watcher.until(owner, State.DRIFTED)
        assert [one.check for one in watcher.verdict(owner).differences] == [DriftCheck.NODE_COVERAGE]
        place.settle(
            "DaemonSet", desiredNumberScheduled=3, currentNumberScheduled=3, updatedNumberScheduled=3, numberReady=3
        )
        await watcher.until(owner, State.CLEAN)


async def test_one_tag_with_two_digests_in_a_fleet_is_drift(control_plane, place):
    replicas = deployed(place)
    place.make_pod("gateway-6b7f9-b", replicas)
    place.make_pod("gateway-6b7f9-c", replicas)
    async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
        await watcher.until(GATEWAY, State.CLEAN)
        place.tell_pod("gateway-6b7f9-b", "b")
        await watcher.until(GATEWAY, State.DRIFTED)
        found = watcher.verdict(GATEWAY)
        assert (found.differences[0].actual, found.pods) == (digest("b"), ("gateway-6b7f9-b",))


async def test_env_that_was_read_from_a_config_map_before_it_changed_is_stale_until_the_restart(control_plane, place):
    place.make_config()
    deployed(place, lean_collector(envFrom=[{"configMapRef": {"name": "gateway-config"}}]))
    place.tell_pod("gateway-6b7f9-a", state={"running": {"startedAt": "2200-01-01T00:00:00Z"}})
    async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
        await watcher.until(GATEWAY, State.CLEAN)
        place.tell_pod("gateway-6b7f9-a")
        await watcher.until(GATEWAY, State.DRIFTED)
        (one,) = watcher.verdict(GATEWAY).differences
        assert (one.check, one.path) == (DriftCheck.STALE_CONFIG, "containers[collector].configMap[gateway-config]")
        place.tell_pod("gateway-6b7f9-a", state={"running": {"startedAt": "2200-01-01T00:00:00Z"}})
        await watcher.until(GATEWAY, State.CLEAN)


async def test_config_maps_are_read_in_rounds_by_those_who_need_them_and_no_more_than_the_limit(control_plane, place):
    place.make_config()
    heard = []
    async with client_of(control_plane) as client:
        configs = Configs(
            client, on_change=heard.append, clock=time.monotonic, leading=lambda: True, round_s=0.05, limit=2
        )
        configs.need("one", place.namespace, ["gateway-config"])
        configs.need("two", place.namespace, ["gateway-config", "nowhere", "too-many"])
        async with running(configs.run()):
            await until(lambda: isinstance(configs.state(place.namespace, "gateway-config"), Content))
            await until(lambda: configs.state(place.namespace, "nowhere") is Unread.MISSING)
            assert configs.state(place.namespace, "too-many") is Unread.TOO_MANY
            first = configs.state(place.namespace, "gateway-config")
            assert first.changed == changed_at(place.rest.get(f"{place.core}/configmaps/gateway-config"))
            heard.clear()
            place.set_config("processors: {}")
            await until(lambda: configs.state(place.namespace, "gateway-config") != first)
            assert [sorted(holders) for holders in heard] == [["one", "two"]]
            place.rest.delete(f"{place.core}/configmaps/gateway-config")
            await until(lambda: configs.state(place.namespace, "gateway-config") is Unread.MISSING)
            configs.need("one", place.namespace, [])
            configs.need("two", place.namespace, ["nowhere"])
            assert configs.state(place.namespace, "gateway-config") is Unread.NOT_YET
            assert configs.failures == 0


async def test_a_captured_baseline_is_kept_in_the_status_and_survives_a_restart(control_plane, place):
    place.make_config()
    deployed(place, lean_collector(env=[{"name": "PASSWORD", "value": CANARY}], args=[f"--token={CANARY}"]))
    policy = place.make_policy(baseline={"mode": "Captured", "captureRevision": "r1"})
    path = f"{OURS}/{place.namespace}/collectorpolicies/collectors"
    async with client_of(control_plane) as client:
        async with watching(client, policy) as watcher:
            assert watcher.drifts.baseline_status(policy.key) is None
            await watcher.until(GATEWAY, State.CLEAN)
            assert watcher.captures == [policy.key]
            status = watcher.drifts.baseline_status(policy.key)
            await write_baseline(client, policy, status)
        kept = place.rest.get(path)
        assert kept["status"]["baseline"] == status
        assert CANARY not in repr(kept)
        rolled_out = lean_collector(env=[{"name": "PASSWORD", "value": "other"}], args=[f"--token={CANARY}"])
        place.rest.merge(
            place.path("Deployment", "gateway"), {"spec": {"template": {"spec": {"containers": [rolled_out]}}}}
        )
        place.settle("Deployment")
        place.remove_pod("gateway-6b7f9-a")
        place.make_pod("gateway-6b7f9-b", place.rest.get(place.path("ReplicaSet", "gateway-6b7f9")), rolled_out)
        async with watching(client, read_policy(kept)) as watcher:
            await watcher.until(GATEWAY, State.DRIFTED)
            (one,) = watcher.verdict(GATEWAY).differences
            assert (one.path, one.expected, one.actual) == ("containers[collector].env", "as captured", "differs")
            assert watcher.captures == []
            accepted = place.rest.merge(path, {"spec": {"baseline": {"captureRevision": "r2"}}})
            watcher.begin(read_policy(accepted))
            await watcher.until(GATEWAY, State.CLEAN)
            assert watcher.drifts.baseline_status(policy.key)["revision"] == "r2"


async def write_baseline(client, policy, status):
    await client.apply_status(
        POLICIES,
        policy.key[1],
        {"baseline": status},
        policy.key[0],
        manager="test",
        api_version="watchbell.dev/v1alpha1",
        kind="CollectorPolicy",
    )


@pytest.mark.parametrize("is_sidecar", [False, True])
async def test_pods_that_do_not_run_the_image_of_their_opentelemetry_collector_are_drift(
    control_plane, place, is_sidecar
):
    """Made from it by way of a Deployment, or injected into pods of others, which keep an old sidecar for as long as they live."""
    path = f"/apis/opentelemetry.io/v1beta1/namespaces/{place.namespace}/opentelemetrycollectors"
    body = {"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector", "metadata": {"name": "gateway"}}
    part = lean_collector(name="otc-container")
    with otel_crd(control_plane.rest()):
        above = place.rest.post(path, body | {"spec": {"mode": "deployment", "image": IMAGE}})
        if is_sidecar:
            deployed(place, template_annotations={"sidecar.opentelemetry.io/inject": "gateway"})
            place.remove_pod("gateway-6b7f9-a")
            place.make_pod(
                "gateway-6b7f9-b", place.rest.get(place.path("ReplicaSet", "gateway-6b7f9")), lean_collector(), part
            )
        else:
            deployed(place, part, owner=reference(above))
        async with client_of(control_plane) as client, watching(client, place.make_policy()) as watcher:
            otel = Owner("OpenTelemetryCollector", "gateway")
            await until(lambda: watcher.workloads.get(place.namespace, otel))
            await watcher.until(GATEWAY, State.CLEAN)
            place.rest.merge(f"{path}/gateway", {"spec": {"image": "otel/new:2"}})
            await watcher.until(GATEWAY, State.DRIFTED)
            (one,) = watcher.verdict(GATEWAY).differences
            assert (one.path, one.expected, one.actual) == ("containers[otc-container].image", "otel/new:2", IMAGE)


async def test_a_bare_pod_is_compared_with_its_captured_self(control_plane, place):
    place.make_config()
    place.make_pod("lonely", None)
    owner = Owner("Pod", "lonely")
    policy = place.make_policy(baseline={"mode": "Captured"})
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(owner, State.CLEAN)
        place.change_pod("lonely", {"metadata": {"labels": {"team": "x"}}})
        await watcher.until(owner, State.DRIFTED)
        assert [one.check for one in watcher.verdict(owner).differences] == [DriftCheck.LABELS]


async def test_nothing_is_captured_before_the_workload_is_healthy(control_plane, place):
    place.make_config()
    deployed(place)
    place.tell_pod("gateway-6b7f9-a", ready=False)
    policy = place.make_policy(baseline={"mode": "Captured"})
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await until(lambda: "not all pods are ready" in watcher.detail(GATEWAY))
        assert watcher.state(GATEWAY) is State.NO_BASELINE
        assert watcher.captures == []
        place.tell_pod("gateway-6b7f9-a")
        await watcher.until(GATEWAY, State.CLEAN)
        assert watcher.captures == [policy.key]


async def test_content_of_a_config_map_that_left_the_pinned_hash_is_drift(control_plane, place):
    place.make_config()
    deployed(place)
    pinned = {"configMaps": [{"name": "gateway-config", "dataHash": digest("0")}]}
    policy = place.make_policy(
        baseline={"mode": "Pinned", "pinned": pinned}, drift={"pendingSeconds": 0, "checks": ["ConfigMapContent"]}
    )
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(GATEWAY, State.DRIFTED)
        actual = watcher.verdict(GATEWAY).differences[0].actual
        right = policy.drift.pinned
        watcher.begin(
            replace(
                policy, drift=replace(policy.drift, pinned=replace(right, config_maps=(("gateway-config", actual),)))
            )
        )
        await watcher.until(GATEWAY, State.CLEAN)
        place.set_config("processors: {}")
        await watcher.until(GATEWAY, State.DRIFTED)
        place.rest.delete(f"{place.core}/configmaps/gateway-config")
        await until(lambda: watcher.verdict(GATEWAY).differences[0].actual == "missing")


async def test_a_pinned_baseline_for_other_pods_says_so(control_plane, place):
    deployed(place)
    pinned = {"containers": [{"name": "otc-container", "images": ["x:1"]}]}
    policy = place.make_policy(baseline={"mode": "Pinned", "pinned": pinned})
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(GATEWAY, State.BASELINE_MISMATCH)
        assert "otc-container" in watcher.verdict(GATEWAY).detail


async def test_an_owner_that_may_not_be_read_says_which_right_is_missing(control_plane, place):
    deployed(place)
    place.set_image("gateway-6b7f9-a", "evil:1")
    policy = place.make_policy()
    async with (
        client_of(control_plane) as client,
        client_of(control_plane, "plain") as stranger,
        watching(client, policy, owners_client=stranger) as watcher,
    ):
        await watcher.until(GATEWAY, State.UNREADABLE)
        assert f"get, list and watch on deployments in {place.namespace}" in watcher.verdict(GATEWAY).detail
        assert watcher.drifts.sight(policy.key) == DriftSight()


async def test_a_config_map_that_may_not_be_read_says_nothing_and_the_other_checks_go_on(control_plane, place):
    place.make_config()
    deployed(place)
    place.set_image("gateway-6b7f9-a", "evil:1")
    policy = place.make_policy()
    async with (
        client_of(control_plane) as client,
        client_of(control_plane, "plain") as stranger,
        watching(client, policy, configs_client=stranger) as watcher,
    ):
        await watcher.until(GATEWAY, State.DRIFTED)
        assert [one.check for one in watcher.verdict(GATEWAY).differences] == [DriftCheck.IMAGE]
        assert watcher.drifts.failures == 0


async def test_an_owner_whose_pods_are_gone_is_reported_once_and_forgotten(control_plane, place):
    place.make_pod("lonely", None)
    owner = Owner("Pod", "lonely")
    policy = place.make_policy()
    async with client_of(control_plane) as client, watching(client, policy) as watcher:
        await watcher.until(owner, State.CLEAN)
        place.remove_pod("lonely")
        await watcher.until(owner, None)
        assert [verdict.state for _, verdict in watcher.reports] == [State.CLEAN, State.NO_PODS]


async def test_a_policy_that_is_gone_is_forgotten_and_a_standby_says_nothing(control_plane, place):
    deployed(place)
    policy = place.make_policy()
    leading = [False]
    async with client_of(control_plane) as client, watching(client, policy, is_leading=lambda: leading[0]) as watcher:
        await until(
            lambda: (
                watcher.watches.is_synced(policy.scope) and watcher.workloads.is_synced(place.namespace, "Deployment")
            )
        )
        await watcher.drifts.idle()
        assert watcher.reports == []
        leading[0] = True
        watcher.drifts.survey(policy.key)
        await watcher.until(GATEWAY, State.CLEAN)
        watcher.drifts.stand_by()
        assert watcher.state(GATEWAY) is None
        watcher.drifts.survey(policy.key)
        await watcher.until(GATEWAY, State.CLEAN)
        watcher.drifts.policy_gone(policy.key)
        assert watcher.drifts.verdicts(policy.key) == {}


async def test_no_value_of_env_and_no_secret_argument_is_in_anything_that_the_operator_writes(control_plane, place):
    """The whole route: drift in env and arguments becomes an incident and a message; the pod's own object is the only place of the values."""
    place.make_config()
    secret = {
        "env": [{"name": "PASSWORD", "value": CANARY}],
        "args": [f"--api-key={CANARY}", "--config=/conf/relay.yaml"],
    }
    deployed(
        place, lean_collector(env=[{"name": "PASSWORD", "value": f"{CANARY}-1"}], args=["--config=/conf/relay.yaml"])
    )
    place.remove_pod("gateway-6b7f9-a")
    place.make_pod(
        "gateway-6b7f9-b", place.rest.get(place.path("ReplicaSet", "gateway-6b7f9")), lean_collector(**secret)
    )
    body = policy_body(namespace=place.namespace, drift={"pendingSeconds": 0})
    made = place.rest.post(f"{OURS}/{place.namespace}/collectorpolicies", body)
    async with client_of(control_plane) as client, component(client, place.namespace) as started:
        started.collectors.policy_changed(made)
        site = Site(place.rest, place.namespace)
        await until(lambda: started.outbox.bodies)
        await until(lambda: site.incidents() and site.incidents()[0].get("status", {}).get("differences"))
        (incident,) = site.incidents()
        assert [one["path"] for one in incident["status"]["differences"]] == [
            "containers[collector].args",
            "containers[collector].env[PASSWORD]",
        ]
        path = f"{OURS}/{place.namespace}/collectorpolicies/collectors"
        await until(lambda: place.rest.get(path).get("status", {}).get("driftedPods") == 1)
        written = [incident, place.rest.get(path), *started.outbox.bodies, *site.messages()]
        assert CANARY not in json.dumps(written)
        assert "[redacted]" in json.dumps(incident)
