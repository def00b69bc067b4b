"""Pods that fail, or end, each in a way of its own, and what a real kubelet and a real scheduler write about them: `tests/recordings`.

The demo's recordings are stories to be replayed; these are rows for the tests of detection, so they keep the whole pod as far as detection reads it.
What needs a second node, a node that dies or systemd cannot be recorded here: node loss, node shutdown, eviction under pressure.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controlplane import ControlPlaneError, Rest
from controlplane.programs import program_named
from controlplane.progress import say
from realnode.image import IMAGE
from realnode.node import NODE_NAME, Node
from realnode.recorder import make_namespace
from realnode.watch import Seen, watched

NAMESPACE = "cases"
FOLDER = Path(__file__).resolve().parent.parent.parent / "tests" / "recordings"
_LONGEST_S = 120.0
_HIGH = "cases-high"
Body = dict[str, Any]
Act = Callable[[Rest, str], None]
"""Something done to the pod of that name once it runs."""


@dataclass(frozen=True, slots=True)
class Case:
    """A pod, what is done to it once it runs, and the words that the last status holds (searched in its JSON)."""

    what: str
    spec: Body
    until: tuple[str, ...]
    act: Act | None = None
    labels: Body = field(default_factory=dict)


def _sh(script: str, name: str = "collector", **more: object) -> Body:
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script]} | more


def _pod(*containers: Body, **more: object) -> Body:
    return {"containers": list(containers), "terminationGracePeriodSeconds": 2} | more


def _failing_probe() -> Body:
    return {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 1}


def _delete(rest: Rest, name: str) -> None:
    rest.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}?gracePeriodSeconds=2")


def _drain(rest: Rest, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    rest.post(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", body)


def _preempt(rest: Rest, name: str) -> None:
    """A pod of higher priority needs the room that this one takes."""
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": _HIGH},
        "value": 1000,
    }
    rest.post("/apis/scheduling.k8s.io/v1/priorityclasses", priority)
    spec = _pod(_sh("exec sleep 3600", resources=_most_of_the_node(rest)), priorityClassName=_HIGH)
    _make(rest, f"{name}-by", spec, {})


def _most_of_the_node(rest: Rest) -> Body:
    allocatable = rest.get(f"/api/v1/nodes/{NODE_NAME}")["status"]["allocatable"]["cpu"]
    millis = int(allocatable.removesuffix("m")) if allocatable.endswith("m") else int(allocatable) * 1000
    return {"requests": {"cpu": f"{millis - 100}m"}}


_SLEEP = "exec sleep 3600"
_STAYS = "trap : TERM; while :; do sleep 1; done"
CASES: Mapping[str, Case] = MappingProxyType(
    {
        "init-container": Case(
            "An init container ends with exit code 1, again and again.",
            _pod(_sh(_SLEEP), initContainers=[_sh("echo 'no such bucket' >&2; exit 1", "fetch")]),
            ('"reason": "CrashLoopBackOff"',),
        ),
        "sidecar": Case(
            "An init container that is a sidecar ends with exit code 2, again and again, while the main container runs.",
            _pod(_sh(_SLEEP), initContainers=[_sh("sleep 2; exit 2", "proxy", restartPolicy="Always")]),
            ('"reason": "CrashLoopBackOff"', '"exitCode": 2', '"running"'),
        ),
        "beside-main": Case(
            "The second container of a pod ends with exit code 2 while the first one runs.",
            _pod(_sh(_SLEEP), _sh("sleep 2; exit 2", "reloader")),
            ('"reason": "CrashLoopBackOff"', '"exitCode": 2'),
        ),
        "config-error": Case(
            "An env variable comes from a Secret that is not there.",
            _pod(
                _sh(
                    _SLEEP,
                    env=[{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "a"}}}],
                )
            ),
            ('"reason": "CreateContainerConfigError"',),
        ),
        "never-pull": Case(
            "The image must be on the node and is not.",
            _pod({"name": "collector", "image": "registry.invalid/no/such:1", "imagePullPolicy": "Never"}),
            ('"reason": "ErrImageNeverPull"',),
        ),
        "invalid-image": Case(
            "The image's name is none.",
            _pod({"name": "collector", "image": "Not_A_Name::1"}),
            ('"reason": "InvalidImageName"',),
        ),
        "start-error": Case(
            "The command is not in the image.",
            _pod({"name": "collector", "image": IMAGE, "command": ["/no/such/program"]}),
            ('"reason": "CrashLoopBackOff"',),
        ),
        "hook-error": Case(
            "The postStart hook fails.",
            _pod(_sh(_SLEEP, lifecycle={"postStart": {"exec": {"command": ["false"]}}})),
            ('"reason": "CrashLoopBackOff"',),
        ),
        "liveness-kill": Case(
            "A liveness probe fails and the program does not heed SIGTERM.",
            _pod(_sh(_STAYS, livenessProbe=_failing_probe())),
            ('"restartCount": 1', '"exitCode": 137'),
        ),
        "liveness-stop": Case(
            "A liveness probe fails and the program stops in order.",
            _pod(_sh("trap 'exit 0' TERM; while :; do sleep 1; done", livenessProbe=_failing_probe())),
            ('"restartCount": 1', '"exitCode": 0'),
        ),
        "child-out-of-memory": Case(
            "A child process runs out of the container's memory, its parent ends well.",
            _pod(_sh("tail /dev/zero; exit 0", resources={"limits": {"memory": "24Mi"}})),
            ('"restartCount": 1', '"terminated"'),
        ),
        "dead-child": Case(
            "A supervisor writes into its termination message that a process within it died.",
            _pod(_sh("echo 'child process exporter exited with status 139' > /dev/termination-log; exit 1")),
            ('"restartCount": 1', "child process exporter"),
        ),
        "not-ready": Case(
            "A readiness probe never succeeds.",
            _pod(_sh(_SLEEP, readinessProbe=_failing_probe())),
            ('"running"', '"reason": "ContainersNotReady"'),
        ),
        "unschedulable": Case(
            "No node has the label that the pod asks for.",
            _pod(_sh(_SLEEP), nodeSelector={"no-such": "node"}),
            ('"reason": "Unschedulable"',),
        ),
        "turned-away": Case(
            "The pod is bound to a node that has not enough of what it asks for.",
            _pod(_sh(_SLEEP, resources={"requests": {"cpu": "1000"}}), nodeName=NODE_NAME),
            ('"reason": "OutOfcpu"',),
        ),
        "deleted": Case(
            "Somebody deletes the pod, and its program does not heed SIGTERM.",
            _pod(_sh(_STAYS)),
            ('"deletionTimestamp"', '"exitCode": 137'),
            _delete,
        ),
        "drained": Case(
            "The pod is evicted by the eviction API, as a drain does it.",
            _pod(_sh(_STAYS)),
            ('"reason": "EvictionByEvictionAPI"', '"exitCode": 137'),
            _drain,
        ),
        "preempted": Case(
            "A pod of higher priority needs the room.",
            _pod(_sh(_STAYS, resources={"requests": {"cpu": "700m"}})),
            ('"reason": "PreemptionByScheduler"', '"exitCode": 137'),
            _preempt,
        ),
        "deadline": Case(
            "The pod may run for three seconds only.",
            _pod(_sh(_SLEEP), activeDeadlineSeconds=3, restartPolicy="Never"),
            ('"reason": "DeadlineExceeded"', '"terminated"'),
        ),
        "bare-failed": Case(
            "A pod that may not restart ends with exit code 3.",
            _pod(_sh("exit 3"), restartPolicy="Never"),
            ('"phase": "Failed"', '"exitCode": 3'),
        ),
    }
)


def record_cases(node: Node, folder: Path = FOLDER) -> None:
    """Runs every case on ``node`` and writes one file for each. Raises ControlPlaneError for what did not come to its end."""
    rest = node.plane.rest()
    make_namespace(rest, NAMESPACE)
    folder.mkdir(parents=True, exist_ok=True)
    with watched(node.plane, NAMESPACE, _as_detection_reads_it) as watch:
        # One that takes most of the node's room comes last.
        for name, case in sorted(CASES.items(), key=lambda item: item[1].act is _preempt):
            say(f"Recording {name} ...")
            _make(rest, name, case.spec, case.labels)
            if case.act is not None:
                _wait(node, name, lambda name=name: _runs(watch.of(name)))  # type: ignore[misc]  # mypy knows no default here
                case.act(rest, name)
        for name, case in CASES.items():
            _wait(node, name, lambda name=name, case=case: _is_over(watch.of(name), case))  # type: ignore[misc]  # the same
            (folder / f"{name}.json").write_text(_text(case, _until(watch.of(name), case)))


def _make(rest: Rest, name: str, spec: Body, labels: Body) -> None:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name} | labels}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    rest.post(f"/api/v1/namespaces/{NAMESPACE}/pods", body)


def _wait(node: Node, name: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LONGEST_S
    while not is_so():
        if time.monotonic() > deadline:
            raise ControlPlaneError(f"The pod {name} never came to its end.\n{node.logs()}")
        time.sleep(0.2)


def _runs(seen: tuple[Seen, ...]) -> bool:
    return any('"running"' in json.dumps(one.status) for one in seen[-1:])


def _is_over(seen: tuple[Seen, ...], case: Case) -> bool:
    return any(_has(one, case) for one in seen)


def _has(seen: Seen, case: Case) -> bool:
    text = json.dumps(seen.status)
    return all(word in text for word in case.until)


def _until(seen: tuple[Seen, ...], case: Case) -> tuple[Seen, ...]:
    last = next(number for number, one in enumerate(seen) if _has(one, case))
    return seen[: last + 1]


def _as_detection_reads_it(pod: Body) -> Body:
    """The pod without what says nothing here (managedFields, addresses, tokens)."""
    meta, spec = pod["metadata"], pod["spec"]
    named = (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
    )
    kept = ("containers", "initContainers", "nodeName", "restartPolicy")
    return {
        "metadata": {key: meta[key] for key in named if key in meta},
        "spec": {key: spec[key] for key in kept if key in spec},
        "status": pod["status"],
    }


def _text(case: Case, steps: tuple[Seen, ...]) -> str:
    head = {
        "what": f"{case.what} Written by a real kubelet, containerd and scheduler; nothing in it was changed.",
        "kubernetes": program_named("kubelet").version,
    }
    # A step a line: what changed between two recordings can be read in a diff.
    lines = ",\n".join(json.dumps(one.status, ensure_ascii=False, separators=(",", ":")) for one in steps)
    return json.dumps(head, ensure_ascii=False)[:-1] + f', "steps": [\n{lines}\n]}}\n'
