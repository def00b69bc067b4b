"""What the tests share of a real cluster: the one control plane of a session, the CRDs on it, and a namespace for each test."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

import controlplane
from controlplane import Access, ExistingCluster, Rest, RestError

CRD_FOLDER = Path(__file__).resolve().parent.parent / "crds"
_GROUP = "watchbell.dev"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_DEADLINE_S = 60.0


@contextlib.contextmanager
def session_cluster(directory: Path) -> Iterator[Access]:
    """The cluster of this session: that of ``WATCHBELL_TEST_KUBECONFIG`` when it is set, else a control plane of its own."""
    theirs = os.environ.get("WATCHBELL_TEST_KUBECONFIG")
    with ExistingCluster(Path(theirs)) if theirs else controlplane.start(directory) as cluster:
        install_crds(cluster.rest())
        yield cluster


def install_crds(rest: Rest, folder: Path = CRD_FOLDER) -> tuple[str, ...]:
    """Applies every CRD of ``folder`` and waits until each is established and served; returns their names."""
    crds: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    for crd in crds:
        rest.apply(f"{_CRDS}/{crd['metadata']['name']}", crd)
    for crd in crds:
        name, spec = crd["metadata"]["name"], crd["spec"]
        eventually(partial(_is_established, rest, name), f"CRD {name} is established")
        listed = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        eventually(partial(_is_served, rest, listed), f"{listed} is served")
    return tuple(crd["metadata"]["name"] for crd in crds)


@contextlib.contextmanager
def fresh_namespace(rest: Rest, prefix: str = "t") -> Iterator[str]:
    """A namespace that is deleted at the end, with what could disturb later tests deleted first.

    Without a controller manager nobody finishes a namespace's deletion, so our objects and the pods in it are deleted one kind at a time.
    """
    name = f"{prefix}-{secrets.token_hex(4)}"
    rest.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        for collection in ("/api/v1/namespaces/{}/pods?gracePeriodSeconds=0", *_own_collections(rest)):
            rest.delete(collection.format(name))
        rest.delete(f"/api/v1/namespaces/{name}")


def eventually(condition: Callable[[], bool], what: str, within_s: float = _DEADLINE_S) -> None:
    """Waits until ``condition`` holds, or fails with the sentence ``what``. Blocks: for threads and set-up, not for a running event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to pass within {within_s:.0f} s that {what}")
        time.sleep(0.02)


def _is_established(rest: Rest, name: str) -> bool:
    conditions = rest.get(f"{_CRDS}/{name}").get("status", {}).get("conditions", [])
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def _is_served(rest: Rest, path: str) -> bool:
    try:
        rest.get(path)
    except RestError as problem:
        if problem.status in (404, 429, 503):
            return False
        raise
    return True


def _own_collections(rest: Rest) -> list[str]:
    try:
        versions = rest.get(f"/apis/{_GROUP}")["versions"]
    except RestError as problem:
        if problem.status == 404:
            return []
        raise
    found = []
    for version in (one["groupVersion"] for one in versions):
        resources = rest.get(f"/apis/{version}")["resources"]
        found += [
            f"/apis/{version}/namespaces/{{}}/{one['name']}"
            for one in resources
            if one["namespaced"] and "/" not in one["name"]
        ]
    return found
