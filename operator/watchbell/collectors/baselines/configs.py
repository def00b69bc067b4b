"""ConfigMaps that pods read: each by `get`, in rounds, and nothing of them kept but hashes and times.

Before: `drifts` says which are needed, and by whom. After: `on_change(holders)` tells those that need one that it is known, changed, or gone. No list
and no watch: the right to read ConfigMaps by name is all it takes, and a cluster's thousands of others cost nothing. What comes in between two rounds
is seen a round later; so late does a kubelet bring it to a pod, too.
"""

import random
from collections.abc import Callable, Collection, Hashable
from typing import Generic, TypeVar

from watchbell.collectors.baselines.content import ConfigState, Content, Unread, content_of
from watchbell.kube.client import CONFIGMAPS, Client
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.workqueue import WorkQueue

H = TypeVar("H", bound=Hashable)
Ref = tuple[str, str]
"""(namespace, name)."""
ROUND_S = 60.0
REFUSED_S = 300.0
REFS_MAX = 500
"""Eight calls a second at most. What is over is Unread.TOO_MANY, and so are the checks on it."""


class Configs(Generic[H]):
    """See the module's text. All methods are called on the loop."""

    def __init__(  # noqa: PLR0913 - what it stands on, each of its own kind, all but the client by name
        self,
        client: Client,
        *,
        on_change: Callable[[Collection[H]], None],
        clock: Callable[[], float],
        leading: Callable[[], bool],
        chance: Callable[[], float] = random.random,
        round_s: float = ROUND_S,
        limit: int = REFS_MAX,
    ) -> None:
        self._client, self._on_change, self._leading = client, on_change, leading
        self._chance, self._round_s, self._limit = chance, round_s, limit
        self._states: dict[Ref, ConfigState] = {}
        self._holders: dict[Ref, set[H]] = {}
        self._needs: dict[H, frozenset[Ref]] = {}
        self._queue: WorkQueue[Ref] = WorkQueue(self._read, workers=4, name="configmaps", clock=clock)

    @property
    def failures(self) -> int:
        """Reads that ended in an error that was not expected."""
        return self._queue.failures

    def need(self, holder: H, namespace: str, names: Collection[str]) -> None:
        """`holder` needs these and no others."""
        wanted = frozenset((namespace, name) for name in names)
        before = self._needs.get(holder, frozenset())
        if wanted == before:
            return
        for ref in before - wanted:
            self._let_go(ref, holder)
        for ref in sorted(wanted - before):
            self._take(ref, holder)
        if wanted:
            self._needs[holder] = wanted
        else:
            self._needs.pop(holder, None)

    def state(self, namespace: str, name: str) -> ConfigState:
        """What is known of one."""
        ref = (namespace, name)
        if ref not in self._holders:
            return Unread.TOO_MANY if len(self._holders) >= self._limit else Unread.NOT_YET
        return self._states.get(ref, Unread.NOT_YET)

    async def run(self) -> None:
        """Reads in rounds until cancelled."""
        await self._queue.run()

    def _take(self, ref: Ref, holder: H) -> None:
        holders = self._holders.get(ref)
        if holders is None:
            if len(self._holders) >= self._limit:
                return
            holders = self._holders[ref] = set()
            self._queue.add(ref)
        holders.add(holder)

    def _let_go(self, ref: Ref, holder: H) -> None:
        holders = self._holders.get(ref)
        if holders is None:
            return
        holders.discard(holder)
        if not holders:
            del self._holders[ref]
            self._states.pop(ref, None)
            self._queue.forget(ref)

    async def _read(self, ref: Ref) -> float | None:
        if ref not in self._holders:
            return None
        pause_s = self._round_s * (0.9 + self._chance() / 5)
        if not self._leading():
            return pause_s
        found = await self._ask(ref)
        if ref in self._holders and found != self._states.get(ref):
            self._states[ref] = found
            self._on_change(tuple(self._holders[ref]))
        return max(pause_s, REFUSED_S) if found is Unread.FORBIDDEN else pause_s

    async def _ask(self, ref: Ref) -> ConfigState:
        namespace, name = ref
        try:
            body = await self._client.get(CONFIGMAPS, name, namespace)
        except NotFound:
            return Unread.MISSING
        except Forbidden:
            return Unread.FORBIDDEN
        before = self._states.get(ref)
        known = before if isinstance(before, Content) else None
        return content_of(body, known) or Unread.NOT_YET
