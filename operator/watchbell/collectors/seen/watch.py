"""Pods under watch: one typed informer for each distinct (namespace, selector), shared by all policies that ask for the same.

Before: policies come and go. After: `on_pod` hears of each change, and whoever judges an incident asks for the pods of a workload. Keeps no opinion
on what a change means.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from watchbell.collectors.policies import Scope
from watchbell.collectors.seen.pod import Owner, Pod, owner_of
from watchbell.kube.client import PODS, Client
from watchbell.kube.errors import ApiError
from watchbell.kube.informer import Informer

UNFINISHED = "status.phase!=Succeeded"
"""Field selector: a pod that did its work costs no memory. Failed ones stay: evictions and dead bare pods look so."""
WATCHES_MAX = 500
"""Streams held open at once; each costs a connection's share and a task."""


OnPod = Callable[[Scope, Pod | None, Pod | None], None]


@dataclass(slots=True)
class _Watch:
    informer: Informer[Pod]
    owners: dict[Owner, set[str]] = field(default_factory=dict)
    subscribers: set[tuple[str, str]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class PodWatches:
    """The watches of all policies. `on_pod(scope, old, new)` is called on the loop, in order, for each change."""

    def __init__(self, client: Client, *, on_pod: OnPod, limit: int = WATCHES_MAX) -> None:
        self._client = client
        self._on_pod = on_pod
        self._limit = limit
        self._watches: dict[Scope, _Watch] = {}
        self._scopes: dict[tuple[str, str], Scope] = {}
        self._changed = asyncio.Event()

    def subscribe(self, policy: tuple[str, str], scope: Scope) -> bool:
        """Have `policy` see the pods of `scope`, and of no other. False = there are too many watches already."""
        if self._scopes.get(policy) == scope:
            return True
        self.unsubscribe(policy)
        watch = self._watches.get(scope)
        if watch is None:
            if len(self._watches) >= self._limit:
                return False
            watch = self._watches[scope] = _Watch(self._informer(scope))
            self._changed.set()
        watch.subscribers.add(policy)
        self._scopes[policy] = scope
        return True

    def unsubscribe(self, policy: tuple[str, str]) -> None:
        """The policy needs no pods any more; the last one turns off the light."""
        scope = self._scopes.pop(policy, None)
        if scope is None:
            return
        watch = self._watches[scope]
        watch.subscribers.discard(policy)
        if not watch.subscribers:
            del self._watches[scope]
            if watch.task is not None:
                watch.task.cancel()

    def subscribers(self, scope: Scope) -> Iterable[tuple[str, str]]:
        """The policies that see `scope`."""
        watch = self._watches.get(scope)
        return tuple(watch.subscribers) if watch else ()

    def pods(self, scope: Scope) -> Mapping[tuple[str, str], Pod]:
        """All pods of a scope by (namespace, name)."""
        watch = self._watches.get(scope)
        return watch.informer.store if watch else {}

    def pods_of(self, scope: Scope, owner: Owner) -> tuple[Pod, ...]:
        """The pods of one workload within a scope."""
        watch = self._watches.get(scope)
        if watch is None:
            return ()
        store = watch.informer.store
        found = (store.get((scope.namespace, name)) for name in watch.owners.get(owner, ()))
        return tuple(pod for pod in found if pod is not None)

    def is_synced(self, scope: Scope) -> bool:
        """Whether the scope was listed once in full."""
        watch = self._watches.get(scope)
        return watch is not None and watch.informer.synced.is_set()

    def failure(self, scope: Scope) -> ApiError | None:
        """Why the picture of a scope may be stale now."""
        watch = self._watches.get(scope)
        return watch.informer.failure if watch else None

    @property
    def pod_count(self) -> int:
        """Pods in memory; one that two selectors match counts twice, as it costs."""
        return sum(len(watch.informer.store) for watch in self._watches.values())

    async def run(self) -> None:
        """Keeps a task running for each watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for watch in self._watches.values():
                    if watch.task is None:
                        watch.task = group.create_task(watch.informer.run())
                await self._changed.wait()

    def _informer(self, scope: Scope) -> Informer[Pod]:
        return Informer(
            self._client,
            PODS,
            Pod,
            namespace=scope.namespace,
            label_selector=scope.selector,
            field_selector=UNFINISHED,
            on_change=partial(self._heed, scope),
        )

    def _heed(self, scope: Scope, old: Pod | None, new: Pod | None) -> None:
        watch = self._watches.get(scope)
        if watch is None:
            return
        if new is None and old is not None:
            self._leave(watch, old)
        elif new is not None and (old is None or old.metadata.owner_references != new.metadata.owner_references):
            if old is not None:
                self._leave(watch, old)
            watch.owners.setdefault(owner_of(new), set()).add(new.metadata.name)
        self._on_pod(scope, old, new)

    @staticmethod
    def _leave(watch: _Watch, pod: Pod) -> None:
        owner = owner_of(pod)
        names = watch.owners.get(owner)
        if names is not None:
            names.discard(pod.metadata.name)
            if not names:
                del watch.owners[owner]
