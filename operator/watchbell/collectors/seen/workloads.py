"""Workloads under watch: informers of Deployments and their like in each namespace in which a policy needs them.

Before: `need` when a policy asks for a namespace. After: `on_change(namespace, owner)` tells whose template, counts or conditions changed, and
`get` gives it. OpenTelemetryCollectors are watched while the API server serves them. A kind that may not be read shows in `failure`; the others go
on.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import msgspec

from watchbell.collectors.seen.pod import Owner
from watchbell.collectors.seen.rollouts import RolloutState, misses_nodes, rollout_state
from watchbell.collectors.seen.workload import (
    BUILT_IN,
    OTEL_GROUP,
    OTEL_PLURAL,
    Deployment,
    OtelCollector,
    ReplicaSet,
    Revision,
    Workload,
    revisions_of,
)
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, NotFound
from watchbell.kube.informer import Informer
from watchbell.kube.resources import Resource

log = logging.getLogger(__name__)

DISCOVERY_S = 300.0
HISTORY_MAX = 4
"""Templates remembered of a workload whose kind keeps no ReplicaSets."""
OnWorkload = Callable[[str, Owner], None]


class _Group(msgspec.Struct, rename="camel"):
    preferred_version: "_Version"


class _Version(msgspec.Struct):
    version: str


class _Served(msgspec.Struct):
    name: str = ""


class _ServedList(msgspec.Struct):
    resources: tuple[_Served, ...] = ()


@dataclass(slots=True)
class _Place:
    """What is watched in one namespace."""

    holders: set[Hashable] = field(default_factory=set)
    informers: dict[str, Informer[Workload]] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)


class Workloads:
    """The workloads of all namespaces that are needed. All methods are called on the loop."""

    def __init__(
        self, client: Client, *, on_change: OnWorkload, now: Callable[[], datetime], discovery_s: float = DISCOVERY_S
    ) -> None:
        self._client = client
        self._on_change = on_change
        self._now = now
        self._discovery_s = discovery_s
        self._kinds: dict[type[Workload], Resource] = dict(BUILT_IN)
        self._places: dict[str, _Place] = {}
        self._moving: dict[tuple[str, Owner], datetime] = {}
        self._history: dict[tuple[str, Owner], tuple[Revision, ...]] = {}
        self._changed = asyncio.Event()

    def need(self, namespace: str, holder: Hashable = "") -> None:
        """Have the workloads of a namespace watched until `holder` (a policy) releases it."""
        place = self._places.get(namespace)
        if place is None:
            place = self._places[namespace] = _Place()
            self._open(namespace, place)
        place.holders.add(holder)

    def release(self, namespace: str, holder: Hashable = "") -> None:
        """`holder` needs the namespace no more; the last one turns off the light."""
        place = self._places.get(namespace)
        if place is None:
            return
        place.holders.discard(holder)
        if not place.holders:
            del self._places[namespace]
            for task in place.tasks.values():
                task.cancel()
            for memory in (self._moving, self._history):
                for key in [key for key in memory if key[0] == namespace]:
                    del memory[key]

    def get(self, namespace: str, owner: Owner) -> Workload | None:
        """The workload; None when it is not there, not known yet, or not watched."""
        informer = self._informer(namespace, owner.kind)
        return informer.store.get((namespace, owner.name)) if informer else None

    def replica_sets(self, namespace: str, deployment: str) -> tuple[Workload, ...]:
        """The ReplicaSets that a Deployment made."""
        return tuple(
            one for one in self.all(namespace, ReplicaSet.kind) if one.controller == (Deployment.kind, deployment)
        )

    def all(self, namespace: str, kind: str) -> Iterable[Workload]:
        """Every workload of a kind in a namespace."""
        informer = self._informer(namespace, kind)
        return informer.store.values() if informer else ()

    def everything(self, namespace: str) -> tuple[Workload, ...]:
        """Every workload of every kind in a namespace."""
        place = self._places.get(namespace)
        informers = tuple(place.informers.values()) if place else ()
        return tuple(workload for informer in informers for workload in informer.store.values())

    def revisions(self, namespace: str, owner: Owner) -> tuple[Revision, ...]:
        """The templates it had, oldest first: by its ReplicaSets, or as far as this process saw them change."""
        seen = self._history.get((namespace, owner), ())
        if owner.kind != Deployment.kind:
            return seen
        revisions = revisions_of(self.replica_sets(namespace, owner.name))
        # A roll-back takes an old ReplicaSet again, whose age says nothing; this process may have seen it happen.
        if revisions and revisions[-1].time is None and seen and _is_same(seen[-1], revisions[-1]):
            return (*revisions[:-1], replace(revisions[-1], time=seen[-1].time))
        return revisions

    def moving_since(self, namespace: str, owner: Owner) -> datetime | None:
        """Since when this process sees its roll-out move; None while it rests."""
        return self._moving.get((namespace, owner))

    def is_synced(self, namespace: str, kind: str = "") -> bool:
        """Whether the namespace (or one kind in it) was listed once in full."""
        place = self._places.get(namespace)
        if place is None:
            return False
        if kind:
            return kind in place.informers and place.informers[kind].synced.is_set()
        return all(informer.synced.is_set() for informer in place.informers.values())

    def failure(self, namespace: str, kind: str = "") -> ApiError | None:
        """Why the picture of a namespace (or of one kind in it) may be stale or missing now."""
        failures = self.failures(namespace)
        return failures.get(kind) if kind else next(iter(failures.values()), None)

    def failures(self, namespace: str) -> Mapping[str, ApiError]:
        """The same by kind."""
        place = self._places.get(namespace)
        informers = place.informers if place else {}
        return {kind: one.failure for kind, one in informers.items() if one.failure is not None}

    async def run(self) -> None:
        """Keeps a task running for each informer, and looks for OpenTelemetryCollectors, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._discover())
            while True:
                self._changed.clear()
                for place in self._places.values():
                    for kind, informer in place.informers.items():
                        if kind not in place.tasks:
                            place.tasks[kind] = group.create_task(informer.run())
                await self._changed.wait()

    # --- which kinds

    async def _discover(self) -> None:
        while True:
            try:
                resource = await self._otel_resource()
            except ApiError as error:
                log.info("it is not known whether OpenTelemetryCollectors are served: %s", error)
            else:
                self._serve(resource)
            await asyncio.sleep(self._discovery_s)

    async def _otel_resource(self) -> Resource | None:
        """As the API server serves it now; None when it does not. Discovery is open to every service account."""
        try:
            group = msgspec.json.decode(await self._client.raw_get(f"/apis/{OTEL_GROUP}"), type=_Group)
            version = group.preferred_version.version
            served = msgspec.json.decode(await self._client.raw_get(f"/apis/{OTEL_GROUP}/{version}"), type=_ServedList)
        except (NotFound, msgspec.MsgspecError):
            return None
        names = {one.name for one in served.resources}
        return Resource(OTEL_GROUP, version, OTEL_PLURAL) if OTEL_PLURAL in names else None

    def _serve(self, resource: Resource | None) -> None:
        if self._kinds.get(OtelCollector) == resource:
            return
        for place in self._places.values():
            place.informers.pop(OtelCollector.kind, None)
            task = place.tasks.pop(OtelCollector.kind, None)
            if task is not None:
                task.cancel()
        if resource is None:
            self._kinds.pop(OtelCollector, None)
        else:
            self._kinds[OtelCollector] = resource
        for namespace, place in self._places.items():
            self._open(namespace, place)

    def _open(self, namespace: str, place: _Place) -> None:
        for kind, resource in self._kinds.items():
            if kind.kind not in place.informers:
                place.informers[kind.kind] = Informer[Workload](
                    self._client, resource, kind, namespace=namespace, on_change=partial(self._heed, namespace)
                )
        self._changed.set()

    def _informer(self, namespace: str, kind: str) -> Informer[Workload] | None:
        place = self._places.get(namespace)
        return place.informers.get(kind) if place else None

    # --- what changed

    def _heed(self, namespace: str, old: Workload | None, new: Workload | None) -> None:
        seen = new or old
        if seen is None or namespace not in self._places:
            return
        key = (namespace, seen.owner)
        if new is None:
            self._moving.pop(key, None)
            self._history.pop(key, None)
        else:
            self._remember(key, old, new)
        self._on_change(namespace, seen.owner)
        if seen.kind == ReplicaSet.kind and seen.controller is not None:
            self._on_change(namespace, seen.controller)

    def _remember(self, key: tuple[str, Owner], old: Workload | None, new: Workload) -> None:
        if rollout_state(new).state in {RolloutState.MOVING, RolloutState.STUCK} or misses_nodes(new):
            self._moving.setdefault(key, self._now())
        else:
            self._moving.pop(key, None)
        template = new.spec.template
        if template is None or new.kind == ReplicaSet.kind:
            return
        known = self._history.get(key, ())
        if not known:
            self._history[key] = (Revision(new.revision, template, None if old is None else self._now()),)
        elif known[-1].template != template:
            self._history[key] = (*known, Revision(new.revision, template, self._now()))[-HISTORY_MAX:]


def _is_same(seen: Revision, made: Revision) -> bool:
    """A ReplicaSet's template is its Deployment's with one label more."""
    return seen.template.spec.shape == made.template.spec.shape
