"""Every kopf handler, each a line or two: it hands the object to a store, which puts its key into a queue.

Only `on.event`: kopf swallows its errors and never tries again, so an event is a hint; the queues, their retries and the audit do the work.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from watchbell.api.names import GROUP, VERSION
from watchbell.kube.access import Access
from watchbell.kube.pulse import Pulses
from watchbell.streams import configure, session

DELETED = "DELETED"


class Store(Protocol):
    """What hears of objects of one kind."""

    def changed(self, body: Mapping[str, Any]) -> None:
        """Seen: listed, added or modified."""

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Gone, or out of the watch's selector."""


def registry(access: Access, stores: Mapping[str, Store], pulses: Pulses | None = None) -> kopf.OperatorRegistry:
    """A registry of kopf with a handler for each kind of `stores` (plural → store); `pulses` hear of its watches."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:  # noqa: ANN401 - kopf's own convention
        configure(settings)

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's own convention
        return session(access, pulses)

    for plural, store in stores.items():
        _listen(handlers, plural, store)
    return handlers


def _listen(handlers: kopf.OperatorRegistry, plural: str, store: Store) -> None:
    @kopf.on.event(GROUP, VERSION, plural, id=plural, registry=handlers)
    async def heard(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002, ANN401 - kopf's own names
        if type == DELETED:
            store.deleted(dict(body))
        else:
            store.changed(dict(body))
