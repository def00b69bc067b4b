"""What the tests of connectors share: the reconcilers on a real API server, a mail server to prove, and short ways to make objects."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import smtprig
from controlplane import Access as Cluster
from kuberig import client_of
from watchbell.connectors.assemble import Allowances
from watchbell.connectors.parts import Parts
from watchbell.connectors.reconcile import Connectors
from watchbell.connectors.trial import Trials
from watchbell.kube.client import SECRETS, Client, custom
from watchbell.kube.events import EventRecorder
from watchbell.outbox.outlet import ConnectorKey
from watchbell.smtp.egress import EgressPolicy

API = "watchbell.dev/v1alpha1"
KINDS = {
    "SmtpConnector": custom("smtpconnectors"),
    "ClusterSmtpConnector": custom("clustersmtpconnectors", namespaced=False),
    "SmtpTest": custom("smtptests"),
}
DEADLINE_S = 40.0
LOGIN = {"username": smtprig.USER, "password": smtprig.CANARY}


def spec(port: int, **changes: Any) -> dict[str, Any]:
    """A connector's spec for a server on loopback with STARTTLS and a login; a change to None leaves the field out."""
    base = {
        "host": "127.0.0.1",
        "port": port,
        "tls": {"caConfigMapRef": {"name": "ca"}},
        "auth": {"secretRef": {"name": "relay"}},
        "from": {"address": smtprig.USER},
    }
    return {key: value for key, value in (base | changes).items() if value is not None}


@dataclass
class Rig:
    """Running reconcilers, the client under them, and the namespace of the test."""

    client: Client
    namespace: str
    connectors: Connectors
    trials: Trials
    recorder: EventRecorder
    ready: list[ConnectorKey] = field(default_factory=list)
    proven: list[ConnectorKey] = field(default_factory=list)

    async def make(self, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        """Create an object and let the reconciler see it, as kopf would."""
        namespaced = KINDS[kind].namespaced
        where = self.namespace if namespaced else None
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
        made = await self.client.create(KINDS[kind], body, where)
        self.see(made)
        return made

    def see(self, body: dict[str, Any]) -> None:
        """An event of the object."""
        (self.trials if body["kind"] == "SmtpTest" else self.connectors).changed(body)

    async def patch(self, kind: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        """Change an object and let the reconciler see it."""
        body = await self.client.patch(KINDS[kind], name, change, self.namespace if KINDS[kind].namespaced else None)
        self.see(body)
        return body

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object as it stands."""
        return await self.client.get(KINDS[kind], name, self.namespace if KINDS[kind].namespaced else None)

    async def secret(
        self, name: str, data: dict[str, str], *, opted_in: bool = True, namespace: str = "", **metadata: Any
    ) -> None:
        """Create a Secret."""
        labels = {"watchbell.dev/smtp": "true"} if opted_in else {}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": labels, **metadata},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }
        await self.client.create(SECRETS, body, namespace or self.namespace)

    async def conditions(self, kind: str, name: str) -> dict[str, tuple[str, str, str]]:
        """type → (status, reason, message)."""
        status = (await self.get(kind, name)).get("status") or {}
        return {one["type"]: (one["status"], one["reason"], one["message"]) for one in status.get("conditions", [])}

    async def until(
        self, kind: str, name: str, type_: str, status: str, reason: str
    ) -> dict[str, tuple[str, str, str]]:
        """The conditions once one of them says so."""

        async def says() -> dict[str, tuple[str, str, str]] | None:
            found = await self.conditions(kind, name)
            return found if found.get(type_, ("", "", ""))[:2] == (status, reason) else None

        try:
            return await eventually(says)
        except TimeoutError:
            raise AssertionError(f"never {type_}={status}/{reason}: {await self.conditions(kind, name)}") from None


async def eventually(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The first answer that is not empty. Raises TimeoutError."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        answer = await ask()
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise TimeoutError


@asynccontextmanager
async def rig(
    cluster: Cluster,
    namespace: str,
    *,
    insecure: bool = False,
    egress: EgressPolicy = smtprig.LOOPBACK,
    user: str = "admin",
) -> AsyncIterator[Rig]:
    """Connectors and Trials at work on the cluster; the operator's namespace is the test's own."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(client_of(cluster, user))
        dialer = smtprig.dialer(egress)
        ready: list[ConnectorKey] = []
        proven: list[ConnectorKey] = []
        recorder = EventRecorder(
            client, reporting_controller="watchbell.dev/test", instance="test", now=lambda: datetime.now(UTC)
        )
        parts = Parts(
            client=client,
            dialer=dialer,
            recorder=recorder,
            home=namespace,
            cluster_name="test",
            allowances=Allowances(egress, insecure),
            workers=50,
            clock=time.monotonic,
            now=lambda: datetime.now(UTC),
            chance=lambda: 0.5,
            leading=lambda: True,
            on_ready=ready.append,
            on_proven=proven.append,
        )
        connectors = Connectors(parts)
        trials = Trials(parts, connectors)
        tasks = [asyncio.create_task(job) for job in (connectors.run(), trials.run(), recorder.run())]
        try:
            yield Rig(client, namespace, connectors, trials, recorder, ready, proven)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
