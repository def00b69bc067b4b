"""What a process reads when it begins to lead, and again as an audit: incidents that are over, and the mails that earlier processes made.

Before: `reconcile` leads and its informers hold the open incidents. After: old crashes are known to be old, and nobody is told twice.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from watchbell.api.names import LABEL_MANAGED_BY
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.casework.letters import MANAGED_BY, MESSAGES
from watchbell.collectors.casework.records import IncidentRecord
from watchbell.collectors.casework.recovery import IncidentPage, MailPage, Outgone, sent_of
from watchbell.collectors.casework.statuses import INCIDENTS
from watchbell.kube.client import Client
from watchbell.kube.errors import Conflict, Gone, NotFound

PERIOD_MAX = timedelta(days=1)
"""No period is longer, so what went out before that delays nothing."""
_INCIDENTS = msgspec.json.Decoder(IncidentPage)
_MAILS = msgspec.json.Decoder(MailPage)


@dataclass(frozen=True, slots=True)
class Takeover:
    """Reads for a caseload; `namespaces` empty = all; what has been over for `resolved_ttl_s` is deleted."""

    client: Client
    load: Caseload
    namespaces: tuple[str, ...]
    now: Callable[[], datetime]
    resolved_ttl_s: float

    async def read_past(self) -> None:
        """What is over, so that an old crash is not told again; what has been over for long is deleted."""
        oldest = self.now() - timedelta(seconds=self.resolved_ttl_s)
        for namespace in self.namespaces or (None,):
            async with aclosing(self.client.pages(INCIDENTS, namespace)) as pages:
                async for page in pages:
                    for record in _INCIDENTS.decode(page).items or ():
                        await self._remember(record, oldest)
        self.load.forget_ends_before(oldest)

    async def read_outgone(self) -> Outgone:
        """The mails of earlier processes, by their metadata."""
        return await _anew(self._outgone)

    async def _outgone(self) -> Outgone:
        outgone, now = Outgone(), self.now()
        for namespace in self.namespaces or (None,):
            pages = self.client.pages(
                MESSAGES, namespace, label_selector=f"{LABEL_MANAGED_BY}={MANAGED_BY}", is_metadata_only=True
            )
            async with aclosing(pages) as listed:
                async for page in listed:
                    outgone.add(sent_of(_MAILS.decode(page), now), now - PERIOD_MAX)
        return outgone

    async def _remember(self, record: IncidentRecord, oldest: datetime) -> None:
        past = record.past
        if past is None:
            return
        if past.resolved_time >= oldest:
            self.load.end(record.spec.fingerprint, past)
            return
        meta = record.metadata
        try:
            await self.client.delete(INCIDENTS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return


async def _anew(read: Callable[[], Awaitable[Outgone]]) -> Outgone:
    """A list whose continue token expires between two pages is begun anew, once."""
    try:
        return await read()
    except Gone:
        return await read()
