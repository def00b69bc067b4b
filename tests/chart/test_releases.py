"""Installed, upgraded, rolled back, uninstalled and installed again by Helm 3 and by Helm 4 on a real API server with its controller manager."""

import json
import re
import shutil

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
    eventually(lambda: our_crds(rest) == set(), "the CRDs are gone", 90)


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

    def install(self, *arguments, chart=None):
        return self.does("install", self.name, chart or CHARTS[self.chart], "--create-namespace", *arguments)

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


@pytest.fixture
def older_chart(tmp_path):
    """The chart as an earlier release might have been: without a field of a CRD that this one has."""
    chart = shutil.copytree(CHARTS["watchbell"], tmp_path / "watchbell")
    about = chart / "Chart.yaml"
    about.write_text(re.sub(r"^version: .*$", "version: 0.0.9", about.read_text(), flags=re.MULTILINE))
    crd = chart / "templates" / "crds" / "watchbell.dev_smtptests.yaml"
    crd.write_text(crd.read_text().replace("timeoutSeconds:", "patienceSeconds:"))
    return chart


def fields_of_a_test(rest):
    version = rest.get(f"{CRDS}/smtptests.watchbell.dev")["spec"]["versions"][0]
    return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


@pytest.mark.parametrize("program", HELMS)
def test_a_whole_life_with_objects_that_outlive_the_operator(control_plane, rest, program, older_chart):
    operator = Release(control_plane, program, "watchbell", "watchbell-system")
    config = Release(control_plane, program, "watchbell-config", "observability")
    operator.install(chart=older_chart)
    config.install(f"--set={CONNECTOR}")
    made = connector(rest)
    assert "timeoutSeconds" not in fields_of_a_test(rest)

    operator.upgrade("--set=replicas=2,config.clusterName=prod")
    assert "timeoutSeconds" in fields_of_a_test(rest), "CRDs in crds/ would have stayed as they were"
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

    operator.uninstall()
    for namespace in ("watchbell-system", "observability"):
        rest.delete(f"/api/v1/namespaces/{namespace}")
    for namespace in ("watchbell-system", "observability"):
        gone = f"{namespace} is gone, though there is no operator to say good-bye to its objects"
        eventually(lambda where=namespace: not exists(rest, f"/api/v1/namespaces/{where}"), gone, 90)
    assert rest.get(f"{OURS}/smtpconnectors")["items"] == []


def test_crds_of_another_release_are_taken_over_on_request_and_go_if_they_are_not_to_be_kept(control_plane, rest):
    first = Release(control_plane, "helm", "watchbell", "one")
    first.install()
    first.uninstall()
    second = Release(control_plane, "helm", "watchbell", "two")
    refused = second.says("install", "watchbell", CHARTS["watchbell"], "--create-namespace")
    assert refused.returncode != 0
    assert "ownership" in refused.stderr
    assert len(our_crds(rest)) == 9
    second.install("--take-ownership", "--set=crds.keep=false")
    second.uninstall()
    eventually(lambda: our_crds(rest) == set(), "the CRDs are gone", 90)


def pods_of(rest, namespace):
    return rest.get(f"/api/v1/namespaces/{namespace}/pods")["items"]


def test_its_pods_are_admitted_where_the_restricted_standard_is_enforced(control_plane, rest):
    enforce = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    rest.post("/api/v1/namespaces", {"metadata": {"name": "strict", "labels": enforce}})
    release = Release(control_plane, "helm", "watchbell", "strict")
    text = release.install("--dry-run=server", "--output=json", "--set=crds.enabled=false")
    release.install("--set=crds.enabled=false")
    eventually(lambda: len(pods_of(rest, "strict")) == 1, "the Deployment has its pod", 90)
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
