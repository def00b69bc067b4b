"""Nodes under watch: which of them are lost.

Before: the API server's nodes, when the operator may read them. After: `on_change(name)` when a node is lost, comes back, is cordoned or vanishes.
What a heartbeat brings is no change. Where nodes may not be read nothing is known and `failure` says why; pods then tell by their own status
(`podwide`).
"""

from collections.abc import Callable
from datetime import datetime

from watchbell.collectors.seen.node import Node, lost_at
from watchbell.kube.client import NODES, Client
from watchbell.kube.errors import ApiError
from watchbell.kube.informer import Informer

OnNode = Callable[[str], None]


class Nodes:
    """All nodes of the cluster, as far as they may be seen."""

    def __init__(self, client: Client, *, on_change: OnNode, now: Callable[[], datetime]) -> None:
        self._on_change = on_change
        self._now = now
        self._informer: Informer[Node] = Informer(client, NODES, Node, on_change=self._heed)

    def get(self, name: str) -> Node | None:
        """The node; None when it is not there or nodes may not be read."""
        return self._informer.store.get(("", name))

    def known(self, name: str) -> bool:
        """Whether there is such a node."""
        return self.get(name) is not None

    def is_lost(self, name: str) -> bool:
        """Whether it is not ready, and not just joining."""
        node = self.get(name)
        at = lost_at(node) if node is not None else None
        return at is not None and self._now() >= at

    def lost_since(self, name: str) -> datetime | None:
        """Since when it is lost."""
        node = self.get(name)
        return node.lost_since if node is not None and self.is_lost(name) else None

    @property
    def is_synced(self) -> bool:
        """Whether the nodes were listed once in full."""
        return self._informer.synced.is_set()

    @property
    def failure(self) -> ApiError | None:
        """Why nothing, or nothing new, is known."""
        return self._informer.failure

    async def run(self) -> None:
        """Watches until cancelled."""
        await self._informer.run()

    def _heed(self, old: Node | None, new: Node | None) -> None:
        seen = new or old
        if seen is not None and _outline(old) != _outline(new):
            self._on_change(seen.metadata.name)


def _outline(node: Node | None) -> tuple[str, datetime | None, bool] | None:
    """What of a node matters."""
    return (node.metadata.uid, node.lost_since, node.spec.unschedulable) if node is not None else None
