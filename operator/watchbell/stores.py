"""How kopf's events and the audit reach those who keep our kinds: one small adapter for each.

Before: `handlers`, which knows only that a store hears `changed` and `deleted`. After: `connectors` and `collectors`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watchbell.collectors.reconcile import Collectors
from watchbell.connectors.reconcile import Connectors


@dataclass(frozen=True, slots=True)
class KindStore:
    """One of the two connector kinds, as kopf and the audit see it; `on_known` hears of new and of vanished ones."""

    connectors: Connectors
    kind: str
    on_known: Callable[[], None]

    def changed(self, body: Mapping[str, Any]) -> None:
        """Seen."""
        if self.connectors.changed(body):
            self.on_known()

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Gone."""
        self.connectors.deleted(body)
        self.on_known()

    def identities(self) -> frozenset[tuple[str, str]]:
        """Those in memory."""
        return self.connectors.identities(self.kind)


@dataclass(frozen=True, slots=True)
class PolicyStore:
    """CollectorPolicies, as kopf sees them; they audit themselves."""

    collectors: Collectors

    def changed(self, body: Mapping[str, Any]) -> None:
        """Seen."""
        self.collectors.policy_changed(body)

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Gone."""
        self.collectors.policy_deleted((str(body["metadata"]["namespace"]), str(body["metadata"]["name"])))
