"""What a cluster's Events tell of a pod: warnings for the mail, and whether a failed probe ended a container.

Before: a telling, or a finding that a status cannot prove. After: lines of the mail, a confirmed finding. Events are best effort: forbidden, late
or gone means none, and nothing else changes.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from watchbell.api.times import moment
from watchbell.collectors.faults.ends import PROBE_DOUBT
from watchbell.collectors.findings import Finding
from watchbell.kube.client import EVENTS, Client
from watchbell.kube.errors import ApiError
from watchbell.logs import about
from watchbell.mail.redaction import redact

log = logging.getLogger(__name__)

DEADLINE_S = 0.5
READ_MAX = 100
"""Events read of one pod; the API server keeps them for an hour."""
NOTE_MAX_CHARACTERS = 400
KILL_SLACK = timedelta(seconds=90)
"""The kubelet says that it kills, then waits for the container's grace period."""


class _Series(msgspec.Struct, rename="camel"):
    count: int = 0
    last_observed_time: str | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    creation_timestamp: str | None = None


class _Event(msgspec.Struct, rename="camel"):
    """An events.k8s.io/v1 Event; the kubelet still writes the older form, which the API server shows as `deprecated…`."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    type: str = ""
    reason: str = ""
    note: str = ""
    event_time: str | None = None
    series: _Series | None = None
    deprecated_count: int = 0
    deprecated_last_timestamp: str | None = None

    @property
    def count(self) -> int:
        return max(1, self.deprecated_count, self.series.count if self.series else 0)

    @property
    def last_time(self) -> datetime | None:
        observed = self.series.last_observed_time if self.series else None
        for text in (observed, self.deprecated_last_timestamp, self.event_time, self.metadata.creation_timestamp):
            if (time := moment(text)) is not None:
                return time
        return None


class _Events(msgspec.Struct):
    items: tuple[_Event, ...] | None = None


_DECODER = msgspec.json.Decoder(_Events)


async def warning_events(
    client: Client, namespace: str, pod: str, limit: int = 5, deadline_s: float = DEADLINE_S
) -> tuple[str, ...]:
    """The latest Warning events of a pod as lines (`BackOff x12: Back-off restarting failed container`), newest last, secrets redacted.

    Equal ones are one line. Empty when they cannot be had within `deadline_s`.
    """
    events = await _events(client, namespace, f"regarding.name={pod},regarding.kind=Pod,type=Warning", deadline_s)
    return _lines(events)[-limit:]


async def probe_kill(
    client: Client, namespace: str, finding: Finding, deadline_s: float = DEADLINE_S
) -> Finding | None:
    """The finding when an Event says that the kubelet ended its container for a failed probe; None when none does.

    The Event names the container in its text ("Container collector failed liveness probe, will be restarted", pkg/kubelet).
    """
    selector = f"regarding.name={finding.pod},regarding.kind=Pod,reason=Killing"
    for event in await _events(client, namespace, selector, deadline_s):
        words = event.note.split()
        is_it = words[:3] == ["Container", finding.container, "failed"] and "probe," in words
        time = event.last_time
        if is_it and (time is None or abs(time - finding.seen_time) <= KILL_SLACK):
            return replace(
                finding, note=PROBE_DOUBT, message=finding.message or redact(event.note)[:NOTE_MAX_CHARACTERS]
            )
    return None


async def _events(client: Client, namespace: str, selector: str, deadline_s: float) -> tuple[_Event, ...]:
    try:
        async with asyncio.timeout(deadline_s):
            page = await client.page(EVENTS, namespace, {"fieldSelector": selector, "limit": str(READ_MAX)})
        return _DECODER.decode(page).items or ()
    except (ApiError, TimeoutError, msgspec.MsgspecError) as error:
        log.info("no events", extra=about(namespace=namespace, selector=selector, error=str(error) or "too late"))
        return ()


def _lines(events: Iterable[_Event]) -> tuple[str, ...]:
    latest: dict[str, tuple[datetime | None, int]] = {}
    for event in events:
        text = f"{event.reason}: {redact(event.note)[:NOTE_MAX_CHARACTERS]}"
        time, count = latest.get(text, (None, 0))
        latest[text] = (max(filter(None, (time, event.last_time)), default=None), count + event.count)
    ordered = sorted(latest.items(), key=lambda item: (item[1][0].timestamp() if item[1][0] else 0.0, item[0]))
    return tuple(text if count == 1 else text.replace(": ", f" x{count}: ", 1) for text, (_, count) in ordered)
