"""Workloads, nodes and Events as a real API server tells of them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from collectorrig import container, ended, owned_by, pod_body, status_body
from faultproxy import Hang
from kuberig import access_to, client_of, proxied, running, until
from otelrig import otel_crd
from podrig import pod
from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.faults.ends import PROBE_DOUBT
from watchbell.collectors.faults.podevents import probe_kill, warning_events
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.changes import changed_meanwhile, what_changed
from watchbell.collectors.seen.node import node_look
from watchbell.collectors.seen.nodes import Nodes
from watchbell.collectors.seen.pod import Owner
from watchbell.collectors.seen.rollouts import RolloutState, rollout_state
from watchbell.collectors.seen.workloads import Workloads
from watchbell.kube.access import Access
from watchbell.kube.client import Client
from watchbell.kube.errors import Forbidden

LABELS = {"app": "gateway"}
ALL = CrashRules(frozenset(IncidentKind))
GATEWAY = Owner("Deployment", "gateway")
FIVE = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}


def now():
    return datetime.now(UTC)


async def next_second() -> None:
    """The API server's times are whole seconds."""
    this = now().replace(microsecond=0)
    await until(lambda: now().replace(microsecond=0) > this)


def template(image="otel/x:1", labels=LABELS, **spec):
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "collector", "image": image}]} | spec}


def workload(kind, name="gateway", image="otel/x:1", **spec):
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": LABELS}}
    return body | {"spec": {"selector": {"matchLabels": LABELS}, "template": template(image)} | spec}


class Watched:
    """Workloads that note whose changes they hear of."""

    def __init__(self, client: Client, **options) -> None:
        self.heard: list[tuple[str, Owner]] = []
        self.all = Workloads(client, on_change=lambda *change: self.heard.append(change), now=now, **options)

    def has_heard(self, namespace: str, kind: str, name: str = "gateway") -> bool:
        return (namespace, Owner(kind, name)) in self.heard


async def test_workloads_of_every_kind_are_known_and_their_changes_are_told(control_plane, namespace):
    rest = control_plane.rest()
    apps, batch = f"/apis/apps/v1/namespaces/{namespace}", f"/apis/batch/v1/namespaces/{namespace}"
    rest.post(f"{apps}/deployments", workload("Deployment", replicas=2))
    rest.post(f"{apps}/statefulsets", workload("StatefulSet", serviceName="gateway"))
    rest.post(f"{apps}/daemonsets", workload("DaemonSet"))
    job = {"template": template(restartPolicy="Never")}
    rest.post(f"{batch}/jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "gateway"}, "spec": job})
    async with client_of(control_plane) as client:
        watched = Watched(client)
        watched.all.need(namespace, "policy")
        async with running(watched.all.run()):
            await until(lambda: watched.all.is_synced(namespace))
            rest.post(f"{apps}/replicasets", workload("ReplicaSet", replicas=1))
            await until(lambda: {owner.kind for _, owner in watched.heard} >= FIVE)
            for kind in FIVE:
                seen = watched.all.get(namespace, Owner(kind, "gateway"))
                assert seen.spec.template.spec.shape.containers[0].image == "otel/x:1"
            assert watched.all.get(namespace, GATEWAY).replicas == 2
            shapes = {id(watched.all.get(namespace, Owner(kind, "gateway")).spec.template.spec.shape) for kind in FIVE}
            assert len(shapes) == 1, "equal templates are one shape"
            watched.heard.clear()
            rest.merge(f"{apps}/deployments/gateway", {"spec": {"replicas": 3}})
            await until(lambda: watched.has_heard(namespace, "Deployment"))
            assert watched.all.get(namespace, GATEWAY).replicas == 3
            rest.delete(f"{apps}/deployments/gateway")
            await until(lambda: watched.all.get(namespace, GATEWAY) is None)
        assert watched.all.failure(namespace) is None


async def test_a_deployments_replica_sets_tell_its_revisions_and_are_told_as_its_change(control_plane, namespace):
    rest, path = control_plane.rest(), f"/apis/apps/v1/namespaces/{namespace}"
    rest.post(f"{path}/deployments", workload("Deployment"))
    async with client_of(control_plane) as client:
        watched = Watched(client)
        watched.all.need(namespace)
        async with running(watched.all.run()):
            await until(lambda: watched.all.is_synced(namespace))
            watched.heard.clear()
            for number, image in ("1", "otel/x:1"), ("2", "otel/x:2"):
                body = workload("ReplicaSet", f"gateway-{number}", image)
                body["metadata"] |= {
                    "annotations": {"deployment.kubernetes.io/revision": number},
                    "ownerReferences": [owned_by("Deployment", "gateway")],
                }
                rest.post(f"{path}/replicasets", body)
                await next_second()
            await until(lambda: len(watched.all.revisions(namespace, GATEWAY)) == 2)
            assert watched.has_heard(namespace, "Deployment")
            (told,) = what_changed(watched.all.revisions(namespace, GATEWAY), now(), now())
            assert told.startswith("Image of container collector: otel/x:1 → otel/x:2, ")
            assert told.endswith("before (revision 2)")
            began = now()
            rest.merge(f"{path}/deployments/gateway", {"spec": {"template": template("otel/x:2")}})
            await until(lambda: watched.all.get(namespace, GATEWAY).metadata.generation == 2)
            rest.merge(f"{path}/deployments/gateway", {"spec": {"template": template("otel/x:1")}})
            again = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3"}}}
            rest.merge(f"{path}/replicasets/gateway-1", again)
            await until(lambda: watched.all.revisions(namespace, GATEWAY)[-1].number == "3")
            await until(lambda: watched.all.get(namespace, GATEWAY).metadata.generation == 3)
            (told,) = changed_meanwhile(watched.all.revisions(namespace, GATEWAY), began, now())
            assert told.startswith("Image of container collector: otel/x:2 → otel/x:1, "), "a roll-back is seen too"


async def test_a_daemon_sets_revisions_are_those_that_were_seen_and_its_movement_has_a_beginning(
    control_plane, namespace
):
    rest, path = control_plane.rest(), f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    rest.post(path, workload("DaemonSet"))
    agent = Owner("DaemonSet", "gateway")
    async with client_of(control_plane) as client:
        watched = Watched(client)
        watched.all.need(namespace)
        async with running(watched.all.run()):
            await until(lambda: watched.all.is_synced(namespace))
            assert what_changed(watched.all.revisions(namespace, agent), now(), now()) == ()
            rest.merge(f"{path}/gateway", {"spec": {"template": template("otel/x:2")}})
            await until(lambda: len(watched.all.revisions(namespace, agent)) == 2)
            assert what_changed(watched.all.revisions(namespace, agent), now(), now())
            assert rollout_state(watched.all.get(namespace, agent)).state is RolloutState.MOVING
            began = watched.all.moving_since(namespace, agent)
            assert began is not None
            counts = {"observedGeneration": 2, "desiredNumberScheduled": 1, "currentNumberScheduled": 1}
            none = {"numberMisscheduled": 0, "numberReady": 0, "updatedNumberScheduled": 0}
            rest.merge(f"{path}/gateway/status", {"status": counts | none})
            await until(lambda: watched.all.get(namespace, agent).status.desired_number_scheduled == 1)
            assert watched.all.moving_since(namespace, agent) == began
            rest.merge(f"{path}/gateway/status", {"status": {"updatedNumberScheduled": 1}})
            await until(lambda: watched.all.moving_since(namespace, agent) is None)


async def test_a_namespace_is_watched_while_somebody_needs_it(control_plane, namespace):
    asked = []
    async with client_of(control_plane, on_request=lambda verb, _code: asked.append(verb)) as client:
        watched = Watched(client)
        async with running(watched.all.run()) as (task,):
            watched.all.need(namespace, "one")
            watched.all.need(namespace, "other")
            watched.all.need(namespace, "other")
            await until(lambda: watched.all.is_synced(namespace))
            watched.all.release(namespace, "one")
            assert watched.all.is_synced(namespace)
            watched.all.release(namespace, "other")
            watched.all.release(namespace, "other")
            assert not watched.all.is_synced(namespace)
            assert watched.all.get(namespace, GATEWAY) is None
            asked.clear()
            watched.all.need(namespace, "again")
            await until(lambda: watched.all.is_synced(namespace))
            assert asked.count("list") == len(FIVE)
            assert not task.done(), "what one namespace needs no more stops nothing else"


# --- OpenTelemetryCollectors


async def test_opentelemetry_collectors_are_watched_while_the_api_server_serves_them(control_plane, namespace):
    rest, owner = control_plane.rest(), Owner("OpenTelemetryCollector", "gateway")
    async with client_of(control_plane) as client:
        watched = Watched(client, discovery_s=0.2)
        watched.all.need(namespace)
        async with running(watched.all.run()) as (task,):
            await until(lambda: watched.all.is_synced(namespace))
            assert not watched.all.is_synced(namespace, "OpenTelemetryCollector")
            with otel_crd(rest):
                body = {"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector"}
                spec = {"mode": "daemonset", "image": "otel/x:1", "config": {"receivers": {}}}
                path = f"/apis/opentelemetry.io/v1beta1/namespaces/{namespace}/opentelemetrycollectors"
                rest.post(path, body | {"metadata": {"name": "gateway"}, "spec": spec})
                await until(lambda: watched.all.get(namespace, owner))
                seen = watched.all.get(namespace, owner)
                assert (seen.spec.mode, seen.spec.image, seen.owner) == ("daemonset", "otel/x:1", owner)
                assert watched.has_heard(namespace, "OpenTelemetryCollector")
            await until(lambda: not watched.all.is_synced(namespace, "OpenTelemetryCollector"))
            await until(lambda: watched.all.failure(namespace) is None)
            assert not task.done()


# --- what may not be read


def partly_allowed(control_plane, namespace: str, *resources: str) -> Access:
    """A service account that may read only these kinds of apps."""
    rest, core = control_plane.rest(), f"/api/v1/namespaces/{namespace}"
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    named = {"metadata": {"name": "reader"}}
    rest.post(f"{core}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount"} | named)
    rules = [{"apiGroups": ["apps"], "resources": list(resources), "verbs": ["get", "list", "watch"]}]
    rest.post(f"{rbac}/roles", {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": rules} | named)
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "subjects": [subject]}
    rest.post(f"{rbac}/rolebindings", binding | {"roleRef": role} | named)
    token = control_plane.service_account_token(namespace, "reader")
    admin = access_to(control_plane)
    return Access(admin.server, admin.ssl, lambda: token, namespace)


async def test_a_kind_that_may_not_be_read_shows_as_a_failure_and_the_others_go_on(control_plane, namespace):
    control_plane.rest().post(f"/apis/apps/v1/namespaces/{namespace}/deployments", workload("Deployment"))
    client = Client(partly_allowed(control_plane, namespace, "deployments", "replicasets"))
    try:
        watched = Watched(client)
        watched.all.need(namespace)
        async with running(watched.all.run()):
            await until(lambda: set(watched.all.failures(namespace)) == {"StatefulSet", "DaemonSet", "Job"})
            await until(lambda: watched.all.is_synced(namespace, "Deployment"))
            assert isinstance(watched.all.failure(namespace), Forbidden)
            assert watched.all.failure(namespace, "Deployment") is None
            assert watched.all.get(namespace, GATEWAY) is not None
            assert not watched.all.is_synced(namespace)
    finally:
        await client.close()


# --- nodes


@pytest.fixture
def node(control_plane) -> Iterator[str]:
    """A node of this test's own."""
    rest, name = control_plane.rest(), f"node-{time.time_ns()}"
    rest.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    yield name
    rest.delete(f"/api/v1/nodes/{name}")


def tell_ready(control_plane, name: str, status: str, since: datetime) -> None:
    stamp = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "Ready",
        "status": status,
        "reason": "Test",
        "lastTransitionTime": stamp,
        "lastHeartbeatTime": stamp,
    }
    control_plane.rest().merge(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [condition]}})


async def test_node_not_ready_is_noticed_and_a_heartbeat_is_no_change(control_plane, node):
    heard = []
    later = now() + timedelta(hours=1)
    async with client_of(control_plane) as client:
        nodes = Nodes(client, on_change=heard.append, now=lambda: later)
        async with running(nodes.run()):
            await until(lambda: nodes.known(node))
            tell_ready(control_plane, node, "True", now())
            await until(lambda: nodes.get(node).ready)
            heard.clear()
            control_plane.rest().merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"heartbeat": "1"}}})
            tell_ready(control_plane, node, "Unknown", later)
            await until(lambda: nodes.is_lost(node))
            assert heard == [node]
            assert nodes.lost_since(node) == later.replace(microsecond=0)
            (finding,) = node_look((pod(spec={"nodeName": node}),), nodes.get(node), ALL, later).findings
            assert finding.owner == ("Node", node)
            tell_ready(control_plane, node, "True", later)
            await until(lambda: not nodes.is_lost(node))
            assert (heard, nodes.is_synced, nodes.failure) == ([node, node], True, None)
        assert not nodes.is_lost("never-heard-of")


async def test_nodes_that_may_not_be_read_are_not_known_and_it_is_told_why(control_plane, node):
    async with client_of(control_plane, "plain") as client:
        nodes = Nodes(client, on_change=lambda _name: None, now=now)
        async with running(nodes.run()):
            await until(lambda: nodes.failure is not None)
            assert isinstance(nodes.failure, Forbidden)
            assert (nodes.known(node), nodes.is_lost(node), nodes.is_synced) == (False, False, False)


# --- Events


def post_event(rest, namespace: str, number: int, *, reason="BackOff", note="", type_="Warning", count=1) -> None:
    """As a kubelet writes it: core/v1, with a count."""
    at = (now() - timedelta(minutes=10 - number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"gateway-0.{number}"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "gateway-0", "namespace": namespace},
        "reason": reason,
        "message": note,
        "type": type_,
        "count": count,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": "kubelet"},
    }
    rest.post(f"/api/v1/namespaces/{namespace}/events", body)


async def test_events_of_the_pod_come_newest_last_counted_and_without_secrets(control_plane, namespace):
    rest = control_plane.rest()
    for number in range(6):
        post_event(rest, namespace, number, reason="Unhealthy", note=f"Readiness probe failed: {number}")
    post_event(rest, namespace, 7, note="Back-off restarting failed container", count=12)
    post_event(rest, namespace, 8, reason="FailedMount", note="mount https://user:hunter2@nfs.example failed")
    post_event(rest, namespace, 9, reason="Pulled", note="Image is there", type_="Normal")
    async with client_of(control_plane) as client:
        lines = await warning_events(client, namespace, "gateway-0", limit=4, deadline_s=5)
        assert lines[:2] == ("Unhealthy: Readiness probe failed: 4", "Unhealthy: Readiness probe failed: 5")
        assert lines[2] == "BackOff x12: Back-off restarting failed container"
        assert lines[3].startswith("FailedMount: mount https://user:")
        assert "hunter2" not in lines[3]
        assert await warning_events(client, namespace, "other", deadline_s=5) == ()


async def test_events_that_cannot_be_had_are_none_and_cost_no_time(control_plane, namespace):
    async with client_of(control_plane, "plain") as client:
        assert await warning_events(client, namespace, "gateway-0", deadline_s=5) == ()
    async with proxied(control_plane) as (proxy, client):
        proxy.plan = lambda _request: Hang()
        began = time.monotonic()
        assert await warning_events(client, namespace, "gateway-0", deadline_s=0.1) == ()
        assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("note", "is_confirmed"),
    [
        ("Container collector failed liveness probe, will be restarted", True),
        ("Container collector failed startup probe, will be restarted", True),
        ("Container other failed liveness probe, will be restarted", False),
        ("Stopping container collector", False),
    ],
)
async def test_an_event_tells_a_liveness_kill_from_a_restart_without_failure(
    control_plane, namespace, note, is_confirmed
):
    at = now().replace(microsecond=0)
    post_event(control_plane.rest(), namespace, 10, reason="Killing", note=note, type_="Normal")
    spec = pod_body()["spec"]
    spec["containers"][0]["livenessProbe"] = {"httpGet": {"path": "/", "port": 13133}}
    after = pod(container(lastState=ended(at, 0, "Completed"), restartCount=1), spec=spec)
    (doubt,) = detect(pod(spec=spec, status=status_body(container())), after, ALL, at).doubtful
    async with client_of(control_plane) as client:
        confirmed = await probe_kill(client, namespace, doubt, deadline_s=5)
        assert (confirmed is not None) is is_confirmed
        if confirmed is not None:
            assert (confirmed.note, confirmed.kind) == (PROBE_DOUBT, IncidentKind.CONTAINER_ERROR)
