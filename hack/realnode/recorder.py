"""Records what a real kubelet writes about containers that really crash, into the files that the demo's stand-in replays.

Nothing in a status is changed: names and addresses were chosen beforehand so that they may be published (the demo's own names, RFC 5737
addresses), and Kubernetes' own crash-loop pauses hold.
"""

import datetime as dt
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controlplane import ControlPlaneError, Rest
from controlplane.programs import program_named
from controlplane.progress import say
from realnode import pods
from realnode.image import IMAGE
from realnode.node import Node
from realnode.pods import CONTAINER, Script
from realnode.watch import Seen, watched

NAMESPACE = "observability"
FOLDER = Path(__file__).resolve().parent.parent / "demo" / "recordings"
_LONGEST_S = 240.0
_CRASHES = 4
_HASH = "7c9f8d6b5"


@dataclass(frozen=True, slots=True)
class Recording:
    """One file: the statuses of ``pod`` from the one where ``begins`` holds (the first) to the one where ``ends`` holds."""

    what: str
    pod: str
    ends: Callable[[Mapping[str, Any]], bool]
    begins: Callable[[Mapping[str, Any]], bool] = lambda _status: True


def state(status: Mapping[str, Any]) -> tuple[str, str, int]:
    """(kind of state, its reason, restarts) of the container; empty while there is none."""
    for one in status.get("containerStatuses", ()):
        if one["name"] == CONTAINER:
            ((kind, detail),) = one["state"].items()
            return kind, detail.get("reason", ""), one["restartCount"]
    return "", "", 0


def _waits(reason: str, restarts: int) -> Callable[[Mapping[str, Any]], bool]:
    return lambda status: state(status) == ("waiting", reason, restarts)


def _runs(restarts: int) -> Callable[[Mapping[str, Any]], bool]:
    return lambda status: state(status) == ("running", "", restarts)


_GATEWAY, _ONCE, _OOM, _DONE, _PULL = (
    f"otel-gateway-{_HASH}-{tail}" for tail in ("x2v4k", "q7m2d", "t5n8r", "b4z6w", "k9c3s")
)

PODS: Mapping[str, tuple[Script, str]] = MappingProxyType(
    {
        _GATEWAY: (pods.crashes_then_runs(_CRASHES), IMAGE),
        _ONCE: (pods.crashes_then_runs(1), IMAGE),
        _OOM: (pods.runs_out_of_memory(), IMAGE),
        _DONE: (pods.ends_well(), IMAGE),
        _PULL: (pods.runs(), "registry.invalid/watchbell/collector:0.138.0"),
    }
)

RECORDINGS: Mapping[str, Recording] = MappingProxyType(
    {
        "crash-loop": Recording(
            "A container is ready for three seconds and ends with exit code 1, again and again, into CrashLoopBackOff.",
            _GATEWAY,
            _waits("CrashLoopBackOff", _CRASHES - 1),
        ),
        "recovered": Recording(
            "The pod of crash-loop.json afterwards: it waits, starts once more and stays.",
            _GATEWAY,
            _runs(_CRASHES),
            _waits("CrashLoopBackOff", _CRASHES - 1),
        ),
        "error-once": Recording("A container ends once with exit code 1, is started again and stays.", _ONCE, _runs(1)),
        "oom": Recording(
            "A container with a memory limit of 32Mi is ended by the kernel, again and again.",
            _OOM,
            _waits("CrashLoopBackOff", 2),
        ),
        "completed": Recording(
            "A container ends with exit code 0 and is started again, as often as it ends.", _DONE, _runs(2)
        ),
        "image-pull": Recording(
            "The image cannot be pulled: its registry has no address.", _PULL, _waits("ImagePullBackOff", 0)
        ),
    }
)


def record(node: Node, folder: Path = FOLDER) -> None:
    """Runs the pods on ``node`` and writes one file for each of RECORDINGS. Raises ControlPlaneError when one did not come to its end."""
    rest = node.plane.rest()
    make_namespace(rest, NAMESPACE)
    deadline = time.monotonic() + _LONGEST_S
    with watched(node.plane, NAMESPACE) as watch:
        for name, (script, image) in PODS.items():
            make_pod(rest, NAMESPACE, name, pods.pod_spec(script, image))
        for file, recording in RECORDINGS.items():
            say(f"Recording {file} ...")
            while (steps := chosen(recording, watch.of(recording.pod))) is None:
                if time.monotonic() > deadline:
                    last = watch.of(recording.pod)[-1:]
                    raise ControlPlaneError(f"{recording.pod} never came to the end of {file}: {last}\n{node.logs()}")
                time.sleep(0.2)
            (folder / f"{file}.json").write_text(_text(recording, steps))
    _remove_namespace(rest, NAMESPACE)


def chosen(recording: Recording, seen: Sequence[Seen]) -> tuple[Seen, ...] | None:
    """The recording's part of what was seen; None while its end has not come."""
    first = next((number for number, one in enumerate(seen) if recording.begins(one.status)), len(seen))
    last = next((number for number, one in enumerate(seen) if number >= first and recording.ends(one.status)), None)
    return None if last is None else tuple(seen[first : last + 1])


def make_namespace(rest: Rest, name: str) -> None:
    """Makes a namespace and waits for the service account that its pods need."""
    rest.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    deadline = time.monotonic() + 30
    accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
    while not any(one["metadata"]["name"] == "default" for one in rest.get(accounts)["items"]):
        if time.monotonic() > deadline:
            raise ControlPlaneError(f"The controller manager made no service account in {name}.")
        time.sleep(0.05)


def _remove_namespace(rest: Rest, name: str) -> None:
    rest.delete(f"/api/v1/namespaces/{name}")
    deadline = time.monotonic() + 60
    while any(one["metadata"]["name"] == name for one in rest.get("/api/v1/namespaces")["items"]):
        if time.monotonic() > deadline:
            raise ControlPlaneError(f"The namespace {name} was deleted a minute ago and is still there.")
        time.sleep(0.2)


def make_pod(rest: Rest, namespace: str, name: str, spec: Mapping[str, Any]) -> None:
    """Makes a pod that is labelled as a collector."""
    labels = {"app": "otel-gateway", "app.kubernetes.io/component": "collector"}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    rest.post(
        f"/api/v1/namespaces/{namespace}/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )


def _text(recording: Recording, steps: Sequence[Seen]) -> str:
    script, image = PODS[recording.pod]
    before = [steps[0].at_s, *(one.at_s for one in steps)]
    # The last status is this long ago: its file is written a little later.
    written = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=time.monotonic() - steps[-1].at_s)
    content = {
        "what": f"{recording.what} Written by a real kubelet with containerd; nothing in the statuses was changed, so image names are those of "
        "the image that ran (Debian's busybox with the command below), not the demo's.",
        "kubernetes": program_named("kubelet").version,
        "image": image,
        "command": script.command,
        "recordedAt": written.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "steps": [
            {"afterSeconds": round(one.at_s - earlier, 3), "status": one.status}
            for one, earlier in zip(steps, before, strict=False)
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
