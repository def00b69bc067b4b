"""`watchbell baseline capture|diff|accept` as processes against a real API server: what is printed is what the operator computes."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from commandrig import OURS, Commander
from otelrig import otel_crd
from watchbell.api.times import stamp
from watchbell.collectors.baselines.baseline import Baseline, CapturedContainer, CapturedWorkload, baseline_json
from watchbell.collectors.baselines.digests import text_hash
from watchbell.collectors.seen.pod import Owner

DIGEST = "sha256:" + "ab" * 32
IMAGE = "otel/opentelemetry-collector-contrib:0.138.0"
LABELS = {"app": "gateway"}
HASHED = LABELS | {"pod-template-hash": "6b7f9"}
OWNER = "Deployment/gateway"
NODE_INFO = dict.fromkeys(
    (
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ),
    "x",
)
OTEL_OWNER = {
    "apiVersion": "opentelemetry.io/v1beta1",
    "kind": "OpenTelemetryCollector",
    "name": "gw",
    "uid": "a5b3",
    "controller": True,
}


def template(labels, **container):
    body = {
        "name": "otc-container",
        "image": IMAGE,
        "args": ["--config=/conf/relay.yaml"],
        "env": [{"name": "TOKEN", "value": "hunter2-hunter2"}],
        "volumeMounts": [{"name": "conf", "mountPath": "/conf"}],
    }
    volumes = [{"name": "conf", "configMap": {"name": "gateway"}}]
    return {"metadata": {"labels": labels}, "spec": {"containers": [body | container], "volumes": volumes}}


class Place:
    """A namespace with a Deployment as its controllers would have made it, and a policy for it."""

    def __init__(self, rest, namespace):
        self.rest, self.namespace = rest, namespace
        self.core, self.apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
        self.policies = f"{OURS}/{namespace}/collectorpolicies"

    def fill(self, nodes=("worker-1", "worker-1")):
        config = {"metadata": {"name": "gateway"}, "data": {"relay.yaml": "receivers: {otlp: {}}"}}
        self.rest.post(f"{self.core}/configmaps", config)
        spec = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template(LABELS)}
        deployment = self._owner("deployments", "Deployment", "gateway", spec, None)
        spec = {"replicas": 2, "selector": {"matchLabels": HASHED}, "template": template(HASHED)}
        replicas = self._owner("replicasets", "ReplicaSet", "gateway-6b7f9", spec, deployment)
        for suffix, node in zip("ab", nodes, strict=True):
            self._pod(f"gateway-6b7f9-{suffix}", node, replicas)

    def _owner(self, plural, kind, name, spec, owner):
        body = {"apiVersion": "apps/v1", "kind": kind, "metadata": meta(name, LABELS, owner), "spec": spec}
        made = self.rest.post(f"{self.apps}/{plural}", body)
        counts = {"replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 1}
        counts |= {"updatedReplicas": 2} if kind == "Deployment" else {}
        self.rest.merge(f"{self.apps}/{plural}/{name}/status", {"status": counts})
        return made

    def _pod(self, name, node, owner):
        spec = template(HASHED)["spec"] | {"nodeName": node}
        self.rest.post(f"{self.core}/pods", {"metadata": meta(name, HASHED, owner), "spec": spec})
        started = stamp(datetime.now(UTC) + timedelta(seconds=1))
        container = {
            "name": "otc-container",
            "ready": True,
            "restartCount": 0,
            "image": IMAGE,
            "imageID": f"docker.io/{IMAGE.partition(':')[0]}@{DIGEST}",
            "state": {"running": {"startedAt": started}},
        }
        self.rest.merge(
            f"{self.core}/pods/{name}/status", {"status": {"phase": "Running", "containerStatuses": [container]}}
        )

    def make_policy(self, **spec):
        body = {
            "apiVersion": "watchbell.dev/v1alpha1",
            "kind": "CollectorPolicy",
            "metadata": {"name": "collectors"},
            "spec": {"selector": {"matchLabels": LABELS}, "routes": [{"name": "oncall", "to": ["a@example.com"]}]}
            | spec,
        }
        self.rest.post(self.policies, body)

    def edit_image(self, pod, image):
        self.rest.merge(
            f"{self.core}/pods/{pod}",
            {"spec": {"containers": [template(HASHED, image=image)["spec"]["containers"][0]]}},
        )


def meta(name, labels, owner):
    body = {"name": name, "labels": labels}
    if owner is not None:
        owned = {"apiVersion": "apps/v1", "kind": owner["kind"], "name": owner["metadata"]["name"], "controller": True}
        body["ownerReferences"] = [owned | {"uid": owner["metadata"]["uid"]}]
    return body


@pytest.fixture
def place(control_plane, namespace):
    made = Place(control_plane.rest(), namespace)
    made.fill()
    return made


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


def test_where_nothing_differs_nothing_is_printed_and_the_exit_code_is_0(place, watchbell):
    place.make_policy()
    said = watchbell("baseline", "diff", "collectors")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_a_pod_that_somebody_edited_is_printed_with_what_should_be(place, watchbell):
    place.make_policy(drift={"pendingSeconds": 3600})
    place.edit_image("gateway-6b7f9-b", "otel/opentelemetry-collector-contrib:0.137.0")
    said = watchbell("baseline", "diff", "collectors")
    assert (said.code, said.err) == (1, "")
    assert said.out.splitlines() == [
        f"{OWNER} (1 of 2 pods: gateway-6b7f9-b)",
        "  containers[otc-container].image [Image]",
        f"    - {IMAGE}",
        "    + otel/opentelemetry-collector-contrib:0.137.0",
    ]
    (listed,) = json.loads(watchbell("baseline", "diff", "collectors", "-o", "json").out)["differences"]
    assert listed["owner"] == {"kind": "Deployment", "name": "gateway"}
    assert listed["actual"] == "otel/opentelemetry-collector-contrib:0.137.0"


def test_what_an_opentelemetrycollector_asks_for_is_compared_too(place, watchbell):
    place.make_policy()
    place.rest.merge(f"{place.apps}/deployments/gateway", {"metadata": {"ownerReferences": [OTEL_OWNER]}})
    with otel_crd(place.rest):
        path = f"/apis/opentelemetry.io/v1beta1/namespaces/{place.namespace}/opentelemetrycollectors"
        body = {"apiVersion": "opentelemetry.io/v1beta1", "kind": "OpenTelemetryCollector", "metadata": {"name": "gw"}}
        place.rest.post(path, body | {"spec": {"image": "otel/opentelemetry-collector-contrib:0.139.0"}})
        said = watchbell("baseline", "diff", "collectors", "-o", "json")
    assert said.code in {0, 1}
    found = json.loads(said.out)["differences"]
    assert [(item["check"], item["expected"], item["actual"]) for item in found] == [
        ("Image", "otel/opentelemetry-collector-contrib:0.139.0", IMAGE)
    ]


def test_two_digests_of_one_tag_are_version_skew_but_not_on_nodes_of_two_architectures(
    control_plane, namespace, watchbell
):
    rest, nodes = control_plane.rest(), (f"{namespace}-amd64", f"{namespace}-arm64")
    place = Place(rest, namespace)
    place.fill(nodes)
    place.make_policy()
    path = f"{place.core}/pods/gateway-6b7f9-b"
    status = rest.get(path)["status"]["containerStatuses"][0]
    other = status | {"imageID": "docker.io/otel/x@sha256:" + "cd" * 32}
    rest.merge(f"{path}/status", {"status": {"containerStatuses": [other]}})
    skewed = json.loads(watchbell("baseline", "diff", "collectors", "-o", "json").out)["differences"]
    assert [item["check"] for item in skewed] == ["ImageDigest"]
    try:
        for node in nodes:
            rest.post("/api/v1/nodes", {"metadata": {"name": node}})
            info = {"nodeInfo": NODE_INFO | {"architecture": node.rpartition("-")[2]}}
            rest.merge(f"/api/v1/nodes/{node}/status", {"status": info})
        assert watchbell("baseline", "diff", "collectors").code == 0
    finally:
        for node in nodes:
            rest.delete(f"/api/v1/nodes/{node}")


def test_what_is_captured_is_a_baseline_that_nothing_differs_from_until_something_does(place, watchbell):
    place.make_policy()
    said = watchbell("baseline", "capture", "collectors")
    assert (said.code, said.err) == (0, "")
    assert "hunter2" not in said.out
    printed = yaml.safe_load(said.out)
    pinned = printed["spec"]["baseline"]["pinned"]
    assert pinned["containers"][0]["images"] == [IMAGE]
    assert pinned["containers"][0]["imageDigests"] == [DIGEST]
    assert [item["name"] for item in pinned["configMaps"]] == ["gateway"]
    assert json.loads(watchbell("baseline", "capture", "collectors", "-o", "json").out) == printed
    place.rest.merge(f"{place.policies}/collectors", printed)
    assert watchbell("baseline", "diff", "collectors").code == 0
    place.rest.merge(f"{place.core}/configmaps/gateway", {"data": {"relay.yaml": "receivers: {}"}})
    after = watchbell("baseline", "diff", "collectors", "-o", "yaml")
    assert after.code == 1
    assert [item["check"] for item in yaml.safe_load(after.out)["differences"]] == ["ConfigMapContent"]


def test_pods_that_left_their_template_are_captured_with_a_warning(place, watchbell):
    place.make_policy()
    for pod in ("gateway-6b7f9-a", "gateway-6b7f9-b"):
        place.edit_image(pod, "otel/opentelemetry-collector-contrib:0.137.0")
    said = watchbell("baseline", "capture", "collectors")
    assert (said.code, said.err) == (
        0,
        f"watchbell: {OWNER} is captured as its pods are, which is not as its template is: containers[otc-container].image\n",
    )
    assert "0.137.0" in said.out


def test_what_is_not_healthy_is_not_captured(place, watchbell):
    place.make_policy()
    place.rest.merge(f"{place.apps}/deployments/gateway/status", {"status": {"updatedReplicas": 1}})
    said = watchbell("baseline", "capture", "collectors")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines() == [
        f"watchbell: {OWNER} is left out: a roll-out is under way",
        "watchbell: nothing could be captured: a baseline is what healthy pods are",
    ]
    assert watchbell("baseline", "diff", "collectors").err.startswith(f"watchbell: {OWNER} is not compared: A roll-out")
    assert watchbell("baseline", "diff", "collectors").code == 2


def test_a_captured_baseline_is_read_from_the_policys_status(place, watchbell):
    place.make_policy(baseline={"mode": "Captured", "captureRevision": "one"})
    nothing = watchbell("baseline", "diff", "collectors")
    assert (nothing.code, nothing.out) == (2, "")
    assert f"{OWNER} is not compared: No healthy state was captured yet." in nothing.err
    container = CapturedContainer(
        "otc-container", image="otel/opentelemetry-collector-contrib:0.136.0", command_hash=text_hash(())
    )
    captured = Baseline(
        "one", datetime(2026, 11, 21, tzinfo=UTC), (CapturedWorkload(Owner("Deployment", "gateway"), (container,)),)
    )
    status = {"baseline": baseline_json(captured)}
    place.rest.merge(f"{place.policies}/collectors/status", {"status": status})
    found = yaml.safe_load(watchbell("baseline", "diff", "collectors", "-o", "yaml").out)["differences"]
    images = [(item["expected"], item["actual"]) for item in found if item["check"] == "Image"]
    assert images == [("otel/opentelemetry-collector-contrib:0.136.0", IMAGE)]


def test_accepting_sets_another_revision_and_says_what_belongs_into_git(place, watchbell):
    place.make_policy(baseline={"mode": "Captured", "captureRevision": "one"})
    said = watchbell("baseline", "accept", "collectors", "--revision=two")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(
        "collectorpolicy.watchbell.dev/collectors captures what is healthy now as its baseline (revision two)\n"
    )
    assert "captureRevision: 'two'" in said.out
    baseline = place.rest.get(f"{place.policies}/collectors")["spec"]["baseline"]
    assert baseline == {"mode": "Captured", "captureRevision": "two"}
    again = watchbell("baseline", "accept", "collectors", "--revision=two")
    assert (again.code, again.out) == (1, "")
    assert "has the revision two already" in again.err
    made_up = watchbell("baseline", "accept", "collectors", "-o", "json")
    assert json.loads(made_up.out)["spec"]["baseline"]["captureRevision"] not in {"one", "two", ""}


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        ({}, "the policy collectors follows the templates of its workloads: roll out what is to be"),
        (
            {"baseline": {"mode": "Pinned", "pinned": {"replicas": {"min": 1}}}},
            "has its baseline in spec.baseline.pinned: print a new one with `watchbell baseline capture collectors`",
        ),
    ],
)
def test_only_what_is_captured_can_be_accepted(place, watchbell, baseline, told):
    place.make_policy(**baseline)
    said = watchbell("baseline", "accept", "collectors")
    assert (said.code, said.out) == (1, "")
    assert told in said.err


def test_what_cannot_be_told_is_exit_code_2_and_one_line(control_plane, namespace, tmp_path, watchbell):
    missing = watchbell("baseline", "diff", "nobody")
    assert (missing.code, missing.out) == (2, "")
    assert missing.err == f'watchbell: collectorpolicies.watchbell.dev "nobody" not found in namespace {namespace}\n'
    Place(control_plane.rest(), namespace).make_policy()
    empty = watchbell("baseline", "diff", "collectors")
    assert (empty.code, empty.err) == (
        2,
        f"watchbell: no pod of namespace {namespace} matches the policy's selector 'app=gateway'\n",
    )
    refused = Commander(control_plane, namespace, tmp_path, user="plain")("baseline", "capture", "collectors")
    assert (refused.code, refused.out) == (1, "")
    assert "is forbidden" in refused.err
