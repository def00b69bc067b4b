"""What the tests of collectors share: pods as a kubelet describes them, a policy, and the running component beside a recording outbox."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from controlplane import Rest
from podrig import (
    EPOCH,
    backing_off,
    container,
    ended,
    looping,
    owned_by,
    pod,
    pod_body,
    running_state,
    stamp,
    status_body,
)
from watchbell.api.enums import BuiltinTemplate
from watchbell.api.names import API_VERSION
from watchbell.collectors.reconcile import Collectors, CollectorSettings
from watchbell.kube.client import Client
from watchbell.kube.resources import ObjectRef
from watchbell.mail.builtin import FACTS, unpack
from watchbell.mail.document import Rendered

__all__ = [
    "EPOCH",
    "backing_off",
    "container",
    "ended",
    "looping",
    "owned_by",
    "pod",
    "pod_body",
    "running_state",
    "stamp",
    "status_body",
]

OURS = "/apis/watchbell.dev/v1alpha1/namespaces"


def policy_body(name: str = "collectors", namespace: str = "obs", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "CollectorPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "gateway"}},
            "crash": {"logTailLines": 0},
            "routes": [{"name": "oncall", "to": ["oncall@example.com"]}],
            "grouping": {"waitSeconds": 0, "resolveAfterSeconds": 0, "periodSeconds": 1},
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
            **options,
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


async def until(condition: Callable[[], Any], what: str, deadline_s: float = 40.0) -> Any:
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


def mail_of(message: dict[str, Any]) -> Rendered:
    """What an EmailMessage of the operator will say: as written, or rendered from its facts."""
    spec = message["spec"]
    if "body" in spec:
        return Rendered(spec["subject"], spec["body"]["text"], spec["body"].get("html", ""))
    facts = next(item["value"] for item in spec["parameters"] if item["name"] == FACTS)
    rendered = unpack(BuiltinTemplate(spec["templateRef"]["builtin"]), facts)
    assert isinstance(rendered, Rendered), rendered
    return rendered
