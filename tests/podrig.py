"""Pods as a kubelet describes them, for tests of what is judged by them. Knows no running component."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from watchbell.collectors.seen.pod import Pod

EPOCH = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def stamp(time_: datetime) -> str:
    return time_.strftime("%Y-%m-%dT%H:%M:%SZ")


def running_state(since: datetime) -> dict[str, Any]:
    return {"running": {"startedAt": stamp(since)}}


def ended(at: datetime, code: int = 1, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "startedAt": stamp(at - timedelta(seconds=9)),
            "finishedAt": stamp(at),
            "containerID": f"containerd://{code}-{at.timestamp():.0f}",
        }
        | more
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def pod_condition(
    type_: str, status: str = "False", reason: str = "", at: datetime = EPOCH, message: str = ""
) -> dict[str, Any]:
    """A condition as the control plane and the kubelet write it."""
    written = {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": stamp(at)}
    return written | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def backing_off() -> dict[str, Any]:
    return {
        "waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=collector pod=x"}
    }


def container(name: str = "collector", **fields: Any) -> dict[str, Any]:
    """A container's status as the kubelet writes it; healthy unless told otherwise."""
    return {
        "name": name,
        "ready": True,
        "restartCount": 0,
        "image": "docker.io/otel/opentelemetry-collector-contrib:0.110.0",
        "imageID": "docker.io/otel/opentelemetry-collector-contrib@sha256:" + "ab" * 32,
        "state": running_state(EPOCH - timedelta(hours=1)),
        "lastState": {},
    } | fields


def looping(at: datetime, restarts: int = 1, **end: Any) -> dict[str, Any]:
    """As a kubelet describes a container that it holds back."""
    return container(state=backing_off(), lastState=ended(at, **end), restartCount=restarts, ready=False)


def owned_by(kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}


def pod_body(
    name: str = "gateway-0", namespace: str = "obs", owner: str = "gateway", **metadata: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": "gateway", "pod-template-hash": "6b7f9"},
            "ownerReferences": [owned_by("ReplicaSet", f"{owner}-6b7f9")],
        }
        | metadata,
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "collector", "image": "otel/x:1", "resources": {"limits": {"memory": "512Mi", "cpu": "1"}}}
            ],
        },
    }


def status_body(*containers: dict[str, Any], phase: str = "Running", **fields: Any) -> dict[str, Any]:
    return {"phase": phase, "containerStatuses": list(containers)} | fields


def pod(*containers: dict[str, Any], name: str = "gateway-0", **more: Any) -> Pod:
    """A decoded pod. `status` and `spec` merge into those parts, everything else into the metadata."""
    status, spec = more.pop("status", {}), more.pop("spec", {})
    body = pod_body(name, **({"uid": f"uid-{name}"} | more))
    body["metadata"].setdefault("creationTimestamp", stamp(EPOCH - timedelta(hours=2)))
    body["spec"] |= spec
    body["status"] = status_body(*(containers or (container(),))) | status
    return msgspec.json.decode(msgspec.json.encode(body), type=Pod)
