"""One look at a policy's pods, their owners and their ConfigMaps, read with the caller's rights.

Before: `baseline` read the policy. After: `collectors.baseline` captures and `collectors.drift` compares what is gathered here, as they do for the
operator, which watches the same objects all the time. What may not be read is told in `notes`, and is compared with nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from watchbell.collectors.baselines.baseline import Baseline
from watchbell.collectors.baselines.content import ConfigState, Unread, content_of
from watchbell.collectors.baselines.drift import wanted_configs
from watchbell.collectors.baselines.drifts import collector_above, desired_of, images_of
from watchbell.collectors.baselines.fleet import Subject, alike
from watchbell.collectors.policies import Scope
from watchbell.collectors.rules import DriftRules
from watchbell.collectors.seen.pod import Owner, Pod, owner_of
from watchbell.collectors.seen.watch import UNFINISHED
from watchbell.collectors.seen.workload import KINDS, OtelCollector, Workload, read_workload
from watchbell.kube.client import CONFIGMAPS, NODES, PODS, Client
from watchbell.kube.errors import ApiError, NotFound


class _Page(msgspec.Struct):
    items: list[Pod] | None = None


_PAGE = msgspec.json.Decoder(_Page)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workloads of a policy, by name, and one sentence for each thing that could not be read. `is_partial`: a workload is left out."""

    subjects: tuple[Subject, ...]
    notes: tuple[str, ...]
    is_partial: bool


class Reader:
    """Reads each object once. `notes` grows with what may not be read."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.notes: dict[str, None] = {}
        self._client = client
        self._namespace = namespace
        self._configs: dict[str, ConfigState] = {}

    async def pods_by_owner(self, selector: str) -> Mapping[Owner, tuple[Pod, ...]]:
        """Every unfinished pod that the selector matches."""
        found: dict[Owner, list[Pod]] = {}
        pages = self._client.pages(PODS, self._namespace, label_selector=selector, field_selector=UNFINISHED)
        async for page in pages:
            for pod in _PAGE.decode(page).items or ():
                found.setdefault(owner_of(pod), []).append(pod)
        return {owner: tuple(found[owner]) for owner in sorted(found)}

    async def workload(self, owner: Owner) -> Workload | None:
        """The owner; None for one that has no template of its own. Raises ApiError."""
        return await self.object(owner) if owner.kind in KINDS and owner.kind != OtelCollector.kind else None

    async def object(self, owner: Owner) -> Workload:
        """The object; its kind is one of KINDS. Raises ApiError."""
        resource = KINDS[owner.kind][0]
        return read_workload(await self._client.raw_get(resource.path(self._namespace, owner.name)), owner.kind)

    async def config(self, name: str) -> ConfigState:
        """What a ConfigMap holds."""
        if name not in self._configs:
            self._configs[name] = await self._read_config(name)
        return self._configs[name]

    async def _read_config(self, name: str) -> ConfigState:
        try:
            return content_of(await self._client.get(CONFIGMAPS, name, self._namespace), None) or Unread.NOT_YET
        except NotFound:
            return Unread.MISSING
        except ApiError as error:
            self.notes[f"ConfigMap {name} cannot be read: {error.message}"] = None
            return Unread.FORBIDDEN

    async def architectures(self) -> Mapping[str, str]:
        """Of the nodes; empty where nodes may not be listed, and then digests of several architectures look like skew."""
        try:
            nodes = await self._client.list(NODES)
        except ApiError as error:
            self.notes[f"the nodes' architectures are not known: {error.message}"] = None
            return {}
        return {node["metadata"]["name"]: node["status"]["nodeInfo"]["architecture"] for node in nodes}

    async def images(self, pods: tuple[Pod, ...], workload: Workload | None) -> Mapping[str, str]:
        """What the OpenTelemetryCollector above asks for, where there is one."""
        above = collector_above(pods, workload)
        if above is None:
            return {}
        try:
            return images_of(await self.object(above))
        except ApiError as error:
            self.notes[f"{above.kind}/{above.name} cannot be read: {error.message}"] = None
            return {}


async def read_fleet(client: Client, scope: Scope, rules: DriftRules, baseline: Baseline | None = None) -> Fleet:
    """Everything that the pods of a scope are compared by under `rules`. Raises ApiError when pods cannot be listed."""
    reader = Reader(client, scope.namespace)
    by_owner = await reader.pods_by_owner(scope.selector)
    architectures = await reader.architectures() if by_owner else {}
    subjects: list[Subject] = []
    for owner, pods in by_owner.items():
        try:
            workload = await reader.workload(owner)
        except ApiError as error:
            reader.notes[f"{owner.kind}/{owner.name} is left out, it cannot be read: {error.message}"] = None
            continue
        captured = baseline.find(owner) if baseline is not None else None
        desired = desired_of(workload) if workload is not None else None
        names = sorted(wanted_configs(alike(pods), desired, rules, captured))
        subjects.append(
            Subject(
                owner=owner,
                pods=pods,
                desired=desired,
                configs={name: await reader.config(name) for name in names},
                architectures=architectures,
                images=await reader.images(pods, workload),
            )
        )
    return Fleet(tuple(subjects), tuple(reader.notes), len(subjects) < len(by_owner))
