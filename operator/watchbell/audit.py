"""The audit: lists our own kinds again from time to time and compares them with what the stores hold.

kopf makes up no DELETED event for what vanished during a gap (410), and swallows a handler's error; both are healed here. An audit that finds
nothing costs one list for each kind.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from watchbell.kube.client import Client, Resource
from watchbell.kube.errors import ApiError
from watchbell.logs import about

log = logging.getLogger(__name__)

PERIOD_S = 1800.0


class Audited(Protocol):
    """A store that can say which objects it holds."""

    def changed(self, body: Mapping[str, Any]) -> None:
        """Seen."""

    def deleted(self, body: Mapping[str, Any]) -> None:
        """Gone."""

    def identities(self) -> frozenset[tuple[str, str]]:
        """(namespace, name) of everything that it holds."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind, where its objects are, and the store that must hold them."""

    resource: Resource
    kind: str
    store: Audited
    namespaces: tuple[str, ...] = ()


async def audit_once(client: Client, subject: Subject) -> int:
    """Compare one kind; the number of ghosts that were removed. Raises ApiError."""
    before = subject.store.identities()
    listed: list[dict[str, Any]] = []
    for namespace in subject.namespaces or (None,):
        listed += await client.list(subject.resource, namespace)
    gone = before - subject.store.identities()
    for body in listed:
        # What was deleted while the list was on its way stays deleted.
        if _identity(body) not in gone:
            body.setdefault("kind", subject.kind)
            subject.store.changed(body)
    ghosts = before - gone - {_identity(body) for body in listed}
    for namespace, name in ghosts:
        subject.store.deleted({"kind": subject.kind, "metadata": {"namespace": namespace, "name": name}})
    return len(ghosts)


def _identity(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body["metadata"].get("namespace") or ""), str(body["metadata"]["name"])


class Audit:
    """Audits every kind each half hour, for ever."""

    def __init__(self, client: Client, subjects: tuple[Subject, ...], period_s: float = PERIOD_S) -> None:
        self._client = client
        self._subjects = subjects
        self._period_s = period_s

    async def once(self) -> None:
        """Audit every kind now; one that cannot be listed is logged and looked at again with the next audit."""
        for subject in self._subjects:
            try:
                ghosts = await audit_once(self._client, subject)
            except ApiError as error:
                log.warning("the audit could not list a kind", extra=about(kind=subject.kind, error=str(error)))
            else:
                log.debug("audited", extra=about(kind=subject.kind, ghosts=ghosts))

    async def run(self) -> None:
        """Audit until cancelled."""
        while True:
            await asyncio.sleep(self._period_s)
            await self.once()
