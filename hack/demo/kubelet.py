"""A stand-in for controller manager, scheduler and kubelet: one pod whose statuses were recorded from a real kubelet and are replayed here.

The demo's own control plane has no node. The statuses are not made up: `recordings/*.json` holds what a kubelet wrote for a container that
really crashed (image and command stand in the file), step by step with the time between them. Only the times and the name of the image are set
anew.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from demo.kubectl import Kubectl
from demo.manifests import COLLECTOR, NAMESPACE

HASH = "7c9f8d6b5"
POD = f"{COLLECTOR}-{HASH}-x2v4k"
IMAGE = "otel/opentelemetry-collector-contrib:0.138.0"
CONTAINER = {"name": "otc-container", "image": IMAGE, "terminationMessagePolicy": "FallbackToLogsOnError"}


@dataclass(frozen=True, slots=True)
class Step:
    """One status, when it was recorded, and the time after the step before it."""

    time: datetime
    after_s: float
    status: dict[str, Any]


class Timeline:
    """Times of a recording as times of its replay, which takes its pauses shorter: a time keeps its place between the steps around it."""

    def __init__(self) -> None:
        self._marks: list[tuple[datetime, datetime]] = []

    def reach(self, recorded: datetime, played: datetime) -> None:
        """A step comes now. Marks only grow, so that what was told once keeps its time."""
        self._marks.append((recorded, played))

    def moved(self, recorded: datetime) -> datetime:
        """When that was in the replay; before its first step as long before as in the recording."""
        before: tuple[datetime, datetime] | None = None
        for mark in self._marks:
            if recorded <= mark[0]:
                return _between(before, mark, recorded)
            before = mark
        return self._marks[-1][1]


def _between(
    before: tuple[datetime, datetime] | None, after: tuple[datetime, datetime], recorded: datetime
) -> datetime:
    if before is None or after[0] == before[0]:
        return after[1] - (after[0] - recorded)
    return before[1] + (after[1] - before[1]) * ((recorded - before[0]) / (after[0] - before[0]))


def recording(name: str) -> list[Step]:
    """The steps of a recording."""
    text = (resources.files("demo") / "recordings" / f"{name}.json").read_text(encoding="utf-8")
    parsed = json.loads(text)
    # The last step came within the second that began then; no time in a status lies after the step that told of it.
    end = datetime.fromisoformat(parsed["recordedAt"]) + timedelta(seconds=1)
    pauses = [float(entry["afterSeconds"]) for entry in parsed["steps"]]
    return [
        Step(end - timedelta(seconds=sum(pauses[number + 1 :])), pauses[number], _named(entry["status"]))
        for number, entry in enumerate(parsed["steps"])
    ]


def _named(status: dict[str, Any]) -> dict[str, Any]:
    containers = [one | {"image": IMAGE} for one in status.get("containerStatuses", ())]
    return status | {"containerStatuses": containers} if containers else status


def moved(value: Any, at: Callable[[datetime], datetime]) -> Any:  # noqa: ANN401 - any JSON
    """A status with all its times moved."""
    if isinstance(value, dict):
        return {key: moved(inner, at) for key, inner in value.items()}
    if isinstance(value, list):
        return [moved(inner, at) for inner in value]
    if isinstance(value, str) and len(value) == 20 and value.endswith("Z"):
        return at(datetime.fromisoformat(value)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


class StandIn:
    """Makes the objects that controllers would make, then plays statuses."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def create(self) -> None:
        """A Deployment, its ReplicaSet and one pod of it, owned as in a real cluster."""
        labels = {"app": COLLECTOR, "app.kubernetes.io/component": "collector"}
        template: dict[str, Any] = {
            "metadata": {"labels": labels},
            "spec": {"containers": [CONTAINER]},
        }
        deployment = self._make(
            "apps/v1",
            "Deployment",
            COLLECTOR,
            {"selector": {"matchLabels": labels}, "template": template},
            None,
            labels,
        )
        hashed = labels | {"pod-template-hash": HASH}
        template["metadata"] = {"labels": hashed}
        replicas = self._make(
            "apps/v1",
            "ReplicaSet",
            f"{COLLECTOR}-{HASH}",
            {"selector": {"matchLabels": hashed}, "template": template},
            deployment,
            hashed,
        )
        self._make(
            "v1", "Pod", POD, {**template["spec"], "nodeName": "worker-1", "restartPolicy": "Always"}, replicas, hashed
        )

    def _make(
        self, version: str, kind: str, name: str, spec: object, owner: dict[str, Any] | None, labels: dict[str, str]
    ) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": name, "namespace": NAMESPACE, "labels": labels}
        if owner is not None:
            metadata["ownerReferences"] = [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                }
            ]
        self._kubectl.apply(json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}))
        return self._kubectl.get(kind.lower(), name, "-n", NAMESPACE)

    def play(self, name: str, hurry: float = 1.0) -> Iterator[dict[str, Any]]:
        """Write the statuses of a recording one after the other; `hurry` divides the pauses."""
        timeline = Timeline()
        for step in recording(name):
            time.sleep(min(2.0, step.after_s / hurry))
            timeline.reach(step.time, datetime.now(UTC))
            status = moved(step.status, timeline.moved)
            patch = json.dumps({"status": status})
            self._kubectl.run("patch", "pod", POD, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
            yield status
