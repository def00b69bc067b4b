"""One kind in several namespaces, as one picture: an informer for each, or one for all.

Before it: `informer`. After it: whoever keeps objects of users for the whole operator, which may be told to look at some namespaces only.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Generic

from watchbell.kube.client import Client, Resource
from watchbell.kube.errors import ApiError
from watchbell.kube.informer import Informer, Key, T


class Informers(Generic[T]):
    """The objects of `resource` in `namespaces` (empty = all); `on_change` and `on_added` as of one informer.

    A mapping by (namespace, name), as far as it is needed.
    """

    def __init__(  # noqa: PLR0913 - what to watch, where, and whom to tell; the last three by name
        self,
        client: Client,
        resource: Resource,
        kind: type[T],
        namespaces: Collection[str],
        *,
        on_change: Callable[[T | None, T | None], None],
        on_added: Callable[[T, bytes], None] | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self._each = tuple(
            Informer(
                client,
                resource,
                kind,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                on_change=on_change,
                on_added=on_added,
            )
            for namespace in namespaces or (None,)
        )

    def __len__(self) -> int:
        return sum(len(informer.store) for informer in self._each)

    def __iter__(self) -> Iterator[Key]:
        return (key for informer in self._each for key in informer.store)

    def __contains__(self, key: Key) -> bool:
        return any(key in informer.store for informer in self._each)

    def values(self) -> Iterator[T]:
        """Each object that is known."""
        return (item for informer in self._each for item in informer.store.values())

    def get(self, key: Key) -> T | None:
        """The object, if it is known."""
        return next((informer.store[key] for informer in self._each if key in informer.store), None)

    @property
    def is_synced(self) -> bool:
        """Whether every namespace was listed once in full."""
        return all(informer.synced.is_set() for informer in self._each)

    @property
    def is_settled(self) -> bool:
        """Whether every namespace was listed once, or it is known why not."""
        return all(informer.synced.is_set() or informer.failure for informer in self._each)

    @property
    def failure(self) -> ApiError | None:
        """Why the picture may be stale now."""
        return next((informer.failure for informer in self._each if informer.failure), None)

    async def run(self) -> None:
        """Watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._each:
                group.create_task(informer.run())
