"""What every scenario stands on: a fresh control plane with the CRDs, the sink, and a client."""

import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

import controlplane
import objects
from apiserver import Api, until
from controlplane import Access
from processes import Process, Sink, operator, sink

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class Stage:
    """A running control plane and what stands beside it. `load` is the machine's load when it was made, `name` the scenario's."""

    access: Access
    api: Api
    sink: Sink
    load: float
    name: str

    def operator(self, *flags: str, name: str = "") -> contextlib.AbstractContextManager[Process]:
        """A new operator; the log of a scenario's last one (of each `name`) stays in `OUT`."""
        log = OUT / f"operator-{'-'.join(filter(None, (self.name, name)))}.log"
        return operator(self.access.kubeconfig, self.sink.relay, log, *flags)

    async def space(self, name: str) -> str:
        """A namespace with the sink's CA in it; the path of our kinds in it."""
        await self.api.create("/api/v1/namespaces", objects.namespace(name))
        await self.api.create(f"/api/v1/namespaces/{name}/configmaps", objects.authority(self.sink.relay))
        return f"{objects.GROUP}/namespaces/{name}"

    async def secrets(self, namespace: str, names: tuple[str, ...]) -> None:
        """A Secret with the login under each name."""
        path = f"/api/v1/namespaces/{namespace}/secrets"
        await self.api.create_all(path, (objects.secret(name, self.sink.relay) for name in names))

    async def connectors(self, namespace: str, names: tuple[str, ...], period_s: int = 3600) -> None:
        """A connector and its Secret under each name."""
        await self.secrets(namespace, names)
        path = f"{objects.GROUP}/namespaces/{namespace}/smtpconnectors"
        await self.api.create_all(path, (objects.connector(name, self.sink.relay, period_s) for name in names))


def load() -> float:
    """The machine's load of the last minute."""
    return os.getloadavg()[0]


def say(sentence: str) -> None:
    """One line on stderr, at once."""
    print(f"bench: {sentence} (load {load():.2f})", file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def stage(name: str) -> AsyncIterator[Stage]:
    """All of it, gone again at the end."""
    before = load()
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="watchbell-bench-") as folder, controlplane.start(folder) as plane:
        async with Api(plane) as api, sink() as server:
            await _install(api)
            await api.create("/api/v1/namespaces", objects.namespace(objects.HOME))
            yield Stage(plane, api, server, before, name)


async def _install(api: Api) -> None:
    crds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    for crd in crds:
        await api.create(CRDS, crd)
    for crd in crds:
        name, plural = crd["metadata"]["name"], crd["spec"]["names"]["plural"]
        await until(partial(_is_established, api, f"{CRDS}/{name}"), f"{name} is established", 30)
        await until(partial(_is_served, api, f"{objects.GROUP}/{plural}"), f"{plural} are served", 30)


async def _is_established(api: Api, path: str) -> bool:
    return objects.is_true(await api.get(path), "Established")


async def _is_served(api: Api, path: str) -> bool:
    try:
        await api.get(path)
    except RuntimeError:
        return False
    return True
