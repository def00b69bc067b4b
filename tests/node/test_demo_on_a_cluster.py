"""`make demo CONTEXT=…` in a cluster that was there before: real pods, four mails, and nothing left but what was there."""

import os
import subprocess
import sys

import pytest

from cluster import eventually
from controlplane import RestError
from realnode import IMAGE

pytestmark = pytest.mark.timeout(480)
NAMESPACES = {"observability", "watchbell-system"}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def demo(plane, folder):
    command = [sys.executable, "-m", "demo", "--once", "--context=test", f"--image={IMAGE}", f"--out={folder / 'out'}"]
    environment = os.environ | {"KUBECONFIG": str(plane.kubeconfig), "PYTHONPATH": "hack"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=440)


def names(rest, path):
    return {one["metadata"]["name"] for one in rest.get(path)["items"]}


def test_the_demo_tells_of_real_pods_from_crash_to_baseline_and_leaves_the_cluster_as_it_was(control_plane, tmp_path):
    rest = control_plane.rest()
    before = names(rest, CRDS)
    done = demo(control_plane, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The demo is complete." in done.stdout
    assert "(node worker-1): exit 1" in done.stdout
    assert "is back to its baseline" in done.stdout
    assert len(list((tmp_path / "out" / "mails").glob("*.eml"))) == 4
    eventually(lambda: not NAMESPACES & names(rest, "/api/v1/namespaces"), "its namespaces are gone", 60)
    assert names(rest, CRDS) == before
    assert names(rest, "/apis/watchbell.dev/v1alpha1/clustersmtpconnectors") == set()


def test_the_demo_does_not_start_where_its_namespace_is_somebodys(control_plane, tmp_path):
    rest = control_plane.rest()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "watchbell-system"}}
    rest.post("/api/v1/namespaces", body)
    try:
        done = demo(control_plane, tmp_path)
        assert done.returncode == 1
        assert "namespace/watchbell-system already" in done.stderr
        assert rest.get("/api/v1/namespaces/watchbell-system")["status"]["phase"] == "Active"
    finally:
        rest.delete("/api/v1/namespaces/watchbell-system")
    eventually(lambda: _is_gone(rest, "/api/v1/namespaces/watchbell-system"), "the namespace is gone", 60)


def _is_gone(rest, path):
    try:
        rest.get(path)
    except RestError as problem:
        return problem.status == 404
    return False
