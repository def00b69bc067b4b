"""Notices rotated Secrets without the right to watch them: reads what connectors stand on by name, one after the other, slowly.

Thirty Secrets are seen within thirty seconds at one request a second; more of them take longer, so that an idle operator stays below one
request a second. Nothing of a Secret but its version is kept here. In watch mode this is left for what the watch does not bring: ConfigMaps,
and Secrets that did not opt in.
"""

import asyncio
import logging
from collections.abc import Callable

from watchbell.connectors.reconcile import Connectors
from watchbell.connectors.records import Dependency
from watchbell.kube.client import CONFIGMAPS, SECRETS, Client
from watchbell.kube.errors import ApiError, NotFound
from watchbell.logs import about

log = logging.getLogger(__name__)

ROUND_S = 28.0
FEW = 28
FEW_SPACING_S = 1.0
MANY_SPACING_S = 1.25
IsWatched = Callable[[str, str, str], bool]
RESOURCES = {"Secret": SECRETS, "ConfigMap": CONFIGMAPS}


def spacing_s(count: int) -> float:
    """Seconds between two reads when `count` objects are to be read in turn."""
    if count > FEW:
        return MANY_SPACING_S
    return max(FEW_SPACING_S, ROUND_S / max(1, count))


class RotationWatch:
    """Polls the versions of what `is_watched(kind, namespace, name)` does not know; `run` never ends by itself."""

    def __init__(self, client: Client, connectors: Connectors, is_watched: IsWatched = lambda *_: False) -> None:
        self._client = client
        self._connectors = connectors
        self._is_watched = is_watched
        self._versions: dict[Dependency, str] = {}

    async def run(self) -> None:
        """Read one object after the other, for ever."""
        while True:
            todo = self._todo()
            self._versions = {entry: self._versions[entry] for entry in todo if entry in self._versions}
            for entry in todo:
                await asyncio.sleep(spacing_s(len(todo)))
                await self._look(entry)
            if not todo:
                await asyncio.sleep(ROUND_S / FEW)

    def _todo(self) -> list[Dependency]:
        entries = self._connectors.dependencies()
        return [entry for entry in entries if entry[0] in RESOURCES and not self._is_watched(*entry)]

    async def _look(self, entry: Dependency) -> None:
        kind, namespace, name = entry
        try:
            version = str((await self._client.get(RESOURCES[kind], name, namespace))["metadata"]["resourceVersion"])
        except NotFound:
            version = ""
        except ApiError as error:
            log.debug(
                "cannot look for a rotated object", extra=about(object=f"{kind} {namespace}/{name}", error=str(error))
            )
            return
        before = self._versions.get(entry)
        self._versions[entry] = version
        # The first look counts too: the object may have changed since the connector read it, and a look that finds nothing costs one read.
        if before != version:
            self._connectors.dependency_changed(kind, namespace, name)
