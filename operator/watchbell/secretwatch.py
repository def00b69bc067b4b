"""Watch mode (`--secret-access Watch`): Secrets that opted in are watched, so that a rotated one is proven within a second.

Only their metadata is decoded; what they hold never gets into this process's memory through here. In the other modes
`connectors.rotation` reads versions by name, slowly, as it does here for what is not seen.
"""

import asyncio
from collections.abc import Callable

import msgspec

from watchbell.api.names import LABEL_OPT_IN, SECRET_TYPE
from watchbell.kube.client import SECRETS, Client
from watchbell.kube.informers import Informers

OnSecret = Callable[[str, str, str], None]


class SecretMeta(msgspec.Struct, rename="camel", gc=False):
    """What is kept of a Secret's metadata."""

    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = ""


class OptedIn(msgspec.Struct, gc=False):
    """A Secret without its data."""

    metadata: SecretMeta


class SecretWatch:
    """Tells `changed("Secret", namespace, name)` of every Secret that opted in by its label or its type."""

    def __init__(self, client: Client, namespaces: tuple[str, ...], changed: OnSecret) -> None:
        self._changed = changed
        self._informers = [
            Informers(
                client,
                SECRETS,
                OptedIn,
                namespaces,
                label_selector=labels,
                field_selector=fields,
                on_change=self._heard,
            )
            for labels, fields in ((f"{LABEL_OPT_IN}=true", ""), ("", f"type={SECRET_TYPE}"))
        ]

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informers in self._informers:
                group.create_task(informers.run())

    def sees(self, kind: str, namespace: str, name: str) -> bool:
        """Whether changes of this object are told."""
        return kind == "Secret" and any((namespace, name) in informers for informers in self._informers)

    def _heard(self, old: OptedIn | None, new: OptedIn | None) -> None:
        seen = new or old
        if seen is not None:
            self._changed("Secret", seen.metadata.namespace, seen.metadata.name)
