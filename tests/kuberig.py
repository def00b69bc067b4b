"""What the tests of the Kubernetes façade share: clients for a control plane, small objects, and waiting for a condition."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from controlplane import Access as Cluster
from faultproxy import FaultProxy
from watchbell.kube.access import Access
from watchbell.kube.client import CONFIGMAPS, NAMESPACES, Client


class Meta(msgspec.Struct, rename="camel"):
    name: str
    uid: str
    resource_version: str
    namespace: str = ""


class Settings(msgspec.Struct):
    """A ConfigMap, typed."""

    metadata: Meta
    data: dict[str, str] = {}


def access_to(plane: Cluster, user: str = "admin") -> Access:
    context = ssl.create_default_context(cadata=plane.ca_pem)
    return Access(plane.url, context, lambda: plane.token_for(user), "default")


@asynccontextmanager
async def client_of(plane: Cluster, user: str = "admin", **options: Any) -> AsyncIterator[Client]:
    client = Client(access_to(plane, user), **options)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def proxied(plane: Cluster, user: str = "admin", **options: Any) -> AsyncIterator[tuple[FaultProxy, Client]]:
    async with FaultProxy(plane.url, plane.ca_pem) as proxy:
        client = Client(Access(proxy.url, None, lambda: plane.token_for(user), "default"), **options)
        try:
            yield proxy, client
        finally:
            await client.close()


@asynccontextmanager
async def fresh_namespace(client: Client) -> AsyncIterator[str]:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "kube-"}}
    made = await client.create(NAMESPACES, body)
    name = made["metadata"]["name"]
    try:
        yield name
    finally:
        await client.delete(NAMESPACES, name)


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels or {}},
        "data": data,
    }


async def make(client: Client, namespace: str, *names: str) -> None:
    for name in names:
        await client.create(CONFIGMAPS, config_map(name), namespace)


async def until(condition: Callable[[], object], within_s: float = 40.0) -> None:
    """Waits until the condition holds; fails with its source line after `within_s`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {condition}")
        await asyncio.sleep(0.005)


@asynccontextmanager
async def running(*runs: Any) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Runs coroutines beside the test, and ends them; one that failed fails the test."""
    tasks = [asyncio.ensure_future(run) for run in runs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
