"""Installed, upgraded, rolled back, uninstalled and installed again by Helm 3 and by Helm 4 on a real API server with its controller manager."""

import json

import pytest
import yaml

import controlplane
from cluster import eventually
from controlplane import RestError
from helmrig import CHARTS, HELMS, helm

pytestmark = pytest.mark.timeout(300)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OURS = "/apis/watchbell.dev/v1alpha1"
CONNECTOR = "smtp.host=smtp.example.com,smtp.from=alerts@example.com"


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory):
    """A control plane without our CRDs, and with the controllers that end namespaces and make pods of Deployments."""
    with controlplane.start(tmp_path_factory.mktemp("cluster"), with_controller_manager=True) as plane:
        yield plane


@pytest.fixture
def rest(control_plane):
    """The administrator, and an empty cluster before and after."""
    rest = control_plane.rest()
    assert our_crds(rest) == set()
    yield rest
    for name in our_crds(rest):
        rest.delete(f"{CRDS}/{name}")
    eventually(lambda: our_crds(rest) == set(), "the CRDs are gone")


def our_crds(rest):
    return {one["metadata"]["name"] for one in rest.get(CRDS)["items"] if one["spec"]["group"] == "watchbell.dev"}


def exists(rest, path):
    try:
        rest.get(path)
    except RestError as problem:
        if problem.status == 404:
            return False
        raise
    return True


class Release:
    """One release of a chart in a namespace, by one Helm."""

    def __init__(self, plane, program, chart, namespace):
        self.plane, self.program, self.chart, self.namespace = plane, program, chart, namespace
        self.name = {"watchbell": "watchbell", "watchbell-config": "mail"}[chart]

    def does(self, *arguments):
        done = self.says(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def says(self, *arguments):
        return helm(self.program, *arguments, f"--namespace={self.namespace}", kubeconfig=self.plane.kubeconfig)

    def install(self, *arguments):
        return self.does("install", self.name, CHARTS[self.chart], "--create-namespace", *arguments)

    def upgrade(self, *arguments):
        return self.does("upgrade", self.name, CHARTS[self.chart], *arguments)

    def uninstall(self):
        return self.does("uninstall", self.name)

    @property
    def history(self):
        return [one["status"] for one in json.loads(self.does("history", self.name, "--output=json"))]


def deployment(rest, namespace="watchbell-system"):
    return rest.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/watchbell")


def connector(rest):
    return rest.get(f"{OURS}/namespaces/observability/smtpconnectors/default")


@pytest.mark.parametrize("program", HELMS)
def test_a_whole_life_with_objects_that_outlive_the_operator(control_plane, rest, program):
    operator = Release(control_plane, program, "watchbell", "watchbell-system")
    config = Release(control_plane, program, "watchbell-config", "observability")
    operator.install()
    config.install(f"--set={CONNECTOR}")
    made = connector(rest)

    operator.upgrade("--set=replicas=2,config.clusterName=prod")
    assert deployment(rest)["spec"]["replicas"] == 2
    assert connector(rest)["metadata"]["uid"] == made["metadata"]["uid"]
    config.upgrade(f"--set={CONNECTOR},smtp.fromName=Alerts")
    assert connector(rest)["spec"]["from"]["name"] == "Alerts"
    operator.does("rollback", "watchbell", "1")
    assert deployment(rest)["spec"]["replicas"] == 1
    assert operator.history == ["superseded", "superseded", "deployed"]

    operator.uninstall()
    assert len(our_crds(rest)) == 9
    assert connector(rest)["metadata"]["uid"] == made["metadata"]["uid"]
    assert not exists(rest, "/apis/rbac.authorization.k8s.io/v1/clusterroles/watchbell")
    operator.install()
    assert connector(rest)["metadata"]["uid"] == made["metadata"]["uid"]

    config.uninstall()
    assert rest.get(f"{OURS}/smtpconnectors")["items"] == []
    operator.uninstall()
    for namespace in ("watchbell-system", "observability"):
        rest.delete(f"/api/v1/namespaces/{namespace}")
    for namespace in ("watchbell-system", "observability"):
        eventually(lambda where=namespace: not exists(rest, f"/api/v1/namespaces/{where}"), f"{namespace} is gone", 60)


def test_a_namespace_with_live_objects_ends_though_the_operator_is_gone(control_plane, rest):
    operator = Release(control_plane, "helm", "watchbell", "watchbell-system")
    config = Release(control_plane, "helm", "watchbell-config", "observability")
    operator.install()
    config.install(f"--set={CONNECTOR}")
    operator.uninstall()
    rest.delete("/api/v1/namespaces/observability")
    eventually(lambda: not exists(rest, "/api/v1/namespaces/observability"), "the namespace is gone", 60)
    assert rest.get(f"{OURS}/smtpconnectors")["items"] == []
    rest.delete("/api/v1/namespaces/watchbell-system")
    eventually(lambda: not exists(rest, "/api/v1/namespaces/watchbell-system"), "the namespace is gone", 60)


def test_crds_of_another_release_are_taken_over_when_that_is_asked_for(control_plane, rest):
    first = Release(control_plane, "helm", "watchbell", "one")
    first.install()
    first.uninstall()
    second = Release(control_plane, "helm", "watchbell", "two")
    refused = second.says("install", "watchbell", CHARTS["watchbell"], "--create-namespace")
    assert refused.returncode != 0
    assert "ownership" in refused.stderr
    assert len(our_crds(rest)) == 9
    second.install("--take-ownership")
    second.uninstall()


def test_crds_that_are_not_to_be_kept_go_with_the_chart(control_plane, rest):
    release = Release(control_plane, "helm", "watchbell", "three")
    release.install("--set=crds.keep=false")
    release.uninstall()
    eventually(lambda: our_crds(rest) == set(), "the CRDs are gone")


def test_an_upgrade_brings_new_fields_of_the_crds(control_plane, rest, tmp_path):
    """What a chart with its CRDs in `crds/` would not do."""
    release = Release(control_plane, "helm", "watchbell", "four")
    release.install()
    path = f"{CRDS}/smtptests.watchbell.dev"
    old = rest.get(path)
    versions = old["spec"]["versions"]
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("timeoutSeconds")
    rest.put(path, old)
    release.upgrade("--force-conflicts")
    new = rest.get(path)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert "timeoutSeconds" in new
    release.uninstall()


def pods_of(rest, namespace):
    return rest.get(f"/api/v1/namespaces/{namespace}/pods")["items"]


def test_its_pods_are_admitted_where_the_restricted_standard_is_enforced(control_plane, rest):
    enforce = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
    rest.post("/api/v1/namespaces", {"metadata": {"name": "strict", "labels": enforce}})
    release = Release(control_plane, "helm", "watchbell", "strict")
    text = release.install("--dry-run=server", "--output=json")
    release.install()
    eventually(lambda: len(pods_of(rest, "strict")) == 1, "the Deployment has its pod", 60)
    (pod,) = pods_of(rest, "strict")
    assert pod["spec"]["automountServiceAccountToken"] is True
    assert any("serviceAccountToken" in source for volume in pod["spec"]["volumes"] if "projected" in volume
               for source in volume["projected"]["sources"])  # fmt: skip
    # The pod of `helm test` is as restricted.
    (hook,) = [one for one in json.loads(text)["hooks"] if one["kind"] == "Pod"]
    test_pod = yaml.safe_load(hook["manifest"])
    answer = rest.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All", test_pod)
    assert answer["metadata"]["name"] == test_pod["metadata"]["name"]
    # And the namespace does refuse what is not.
    test_pod["spec"]["securityContext"] = {"runAsUser": 0}
    with pytest.raises(RestError, match="violates PodSecurity"):
        rest.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All", test_pod)
    release.uninstall()
