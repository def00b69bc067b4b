"""A stand-in for controller manager and scheduler: the objects and counts that they would write for one Deployment of one pod.

The demo's own control plane has none of them. What is made here is what they make: ReplicaSets with their revision, pods that are owned and bound to
a node, and the Deployment's status, by which everybody tells a roll-out that is done from one that is under way.
"""

import json
from dataclasses import dataclass
from typing import Any

from demo.kubectl import Kubectl
from demo.manifests import COLLECTOR, CONTAINER, NAMESPACE

REVISION = "deployment.kubernetes.io/revision"
SELECTOR = {"app": COLLECTOR}
LABELS = SELECTOR | {"app.kubernetes.io/component": "collector", "team": "telemetry"}
NODE = "worker-1"


@dataclass(frozen=True, slots=True)
class Revision:
    """One template of the Deployment: its number, what its controller adds to the names, and the image."""

    number: int
    hash: str
    suffix: str
    image: str

    @property
    def replica_set(self) -> str:
        """The ReplicaSet's name."""
        return f"{COLLECTOR}-{self.hash}"

    @property
    def pod(self) -> str:
        """The pod's name."""
        return f"{self.replica_set}-{self.suffix}"


class StandInControllers:
    """One Deployment and what belongs to it."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def deploy(self, revision: Revision) -> None:
        """The Deployment with this template, a ReplicaSet of it, and one pod; the roll-out is under way."""
        hashed = LABELS | {"pod-template-hash": revision.hash}
        numbered = {"annotations": {REVISION: str(revision.number)}}
        spec = {"selector": {"matchLabels": SELECTOR}, "template": _template(revision, LABELS)}
        deployment = self._make("Deployment", {"name": COLLECTOR, "labels": LABELS} | numbered, spec)
        owned = {"labels": hashed, "ownerReferences": [_reference(deployment)]}
        spec = {"selector": {"matchLabels": hashed}, "template": _template(revision, hashed)}
        replicas = self._make("ReplicaSet", {"name": revision.replica_set} | owned | numbered, spec)
        owned = {"labels": hashed, "ownerReferences": [_reference(replicas)]}
        bound = _template(revision, hashed)["spec"] | {"nodeName": NODE, "restartPolicy": "Always"}
        self._make("Pod", {"name": revision.pod} | owned, bound)

    def retire(self, revision: Revision) -> None:
        """The pod of a former template goes."""
        self._kubectl.run("scale", "replicaset", revision.replica_set, "-n", NAMESPACE, "--replicas=0")
        self._kubectl.run("delete", "pod", revision.pod, "-n", NAMESPACE, "--grace-period=0", "--force")

    def rolled_out(self) -> None:
        """The Deployment's status says so."""
        generation = self._kubectl.get("deployment", COLLECTOR, "-n", NAMESPACE)["metadata"]["generation"]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
        patch = json.dumps({"status": {"observedGeneration": generation} | counts})
        what = ("deployment", COLLECTOR, "-n", NAMESPACE)
        self._kubectl.run("patch", *what, "--subresource=status", "--type=merge", "-p", patch)

    def _make(self, kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        version = "v1" if kind == "Pod" else "apps/v1"
        placed = metadata | {"namespace": NAMESPACE}
        self._kubectl.apply(json.dumps({"apiVersion": version, "kind": kind, "metadata": placed, "spec": spec}))
        return self._kubectl.get(kind.lower(), metadata["name"], "-n", NAMESPACE)


def _template(revision: Revision, labels: dict[str, str]) -> dict[str, Any]:
    container = {"name": CONTAINER, "image": revision.image, "terminationMessagePolicy": "FallbackToLogsOnError"}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


def _reference(owner: dict[str, Any]) -> dict[str, Any]:
    meta = owner["metadata"]
    named = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return named | {"controller": True}
