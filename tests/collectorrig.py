"""What the tests of collectors share: pods as a kubelet describes them, a policy, and the running component beside a recording outbox."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from controlplane import Rest
from watchbell.api.names import API_VERSION
from watchbell.collectors.pod import Pod
from watchbell.collectors.reconcile import Collectors, CollectorSettings
from watchbell.kube.client import Client
from watchbell.kube.resources import ObjectRef

EPOCH = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OURS = "/apis/watchbell.dev/v1alpha1/namespaces"


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


def policy_body(name: str = "collectors", namespace: str = "obs", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "CollectorPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "gateway"}},
            "crash": {"logTailLines": 0},
            "routes": [{"name": "oncall", "to": ["oncall@example.com"]}],
            "grouping": {"waitSeconds": 0, "resolveAfterSeconds": 0},
        }
        | spec,
    }


class Outbox:
    """Takes what the outbox would take."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def submit(self, body: dict[str, Any]) -> None:
        self.bodies.append(body)


class Events:
    """Takes what would become Events."""

    def __init__(self) -> None:
        self.emitted: list[tuple[str, str]] = []

    def emit(self, regarding: ObjectRef, *, type_: str, reason: str, action: str, note: str) -> None:
        self.emitted.append((regarding.name, reason))


class Site:
    """One namespace of a real API server with pods whose status the test writes."""

    def __init__(self, rest: Rest, namespace: str) -> None:
        self.rest, self.namespace = rest, namespace

    def make_pod(self, name: str, *containers: dict[str, Any], **metadata: Any) -> None:
        self.rest.post(f"/api/v1/namespaces/{self.namespace}/pods", pod_body(name, self.namespace, **metadata))
        self.tell(name, *(containers or (container(),)))

    def tell(self, name: str, *containers: dict[str, Any], **fields: Any) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/status"
        self.rest.merge(path, {"status": status_body(*containers, **fields)})

    def remove_pod(self, name: str) -> None:
        self.rest.delete(f"/api/v1/namespaces/{self.namespace}/pods/{name}?gracePeriodSeconds=0")

    def make_policy(self, **spec: Any) -> dict[str, Any]:
        return self.rest.post(
            f"{OURS}/{self.namespace}/collectorpolicies", policy_body(namespace=self.namespace, **spec)
        )

    def listed(self, plural: str) -> list[dict[str, Any]]:
        return self.rest.get(f"{OURS}/{self.namespace}/{plural}")["items"]

    def incidents(self) -> list[dict[str, Any]]:
        return self.listed("collectorincidents")

    def messages(self) -> list[dict[str, Any]]:
        return self.listed("emailmessages")


class Component:
    """The running Collectors of one process."""

    def __init__(self, client: Client, namespace: str, **options: Any) -> None:
        self.outbox, self.events, self.is_leading = Outbox(), Events(), True
        settings = CollectorSettings(
            cluster_name="test", namespaces=(namespace,), tick_s=0.05, policy_status_delay_s=0.05
        )
        self.collectors = Collectors(
            client,
            sink=options.pop("sink", self.outbox),
            recorder=self.events,
            clock=time.monotonic,
            now=lambda: datetime.now(UTC),
            leading=lambda: self.is_leading,
            settings=options.pop("settings", settings),
        )


@asynccontextmanager
async def component(client: Client, namespace: str, **options: Any) -> AsyncIterator[Component]:
    """Runs until the block ends, then is cut off as a killed process is: nothing is finished."""
    started = Component(client, namespace, **options)
    task = asyncio.create_task(started.collectors.run())
    try:
        yield started
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and task.exception() is not None:
            raise task.exception()


async def until(condition: Callable[[], Any], what: str, deadline_s: float = 20.0) -> Any:
    """What `condition` gives once it is true; it may block shortly, so it runs in a thread."""
    end = time.monotonic() + deadline_s
    while True:
        found = await asyncio.to_thread(condition)
        if found:
            return found
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.02)


def condition(body: dict[str, Any], type_: str) -> dict[str, Any]:
    return next((item for item in body.get("status", {}).get("conditions", ()) if item["type"] == type_), {})
