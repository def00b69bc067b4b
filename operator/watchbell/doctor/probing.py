"""Dials the relays from here, a few at a time, with the operator's own probe. The one stage that leaves the API server.

Before: `relays`. After: the checks of `checks_smtp` read the reports. No login unless the relay has one; nothing is ever sent.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from watchbell.api.enums import Level
from watchbell.doctor.facts import Probed
from watchbell.doctor.relays import EVERYWHERE, Dialled
from watchbell.smtp.certificate_bytes import link_of
from watchbell.smtp.endpoint import close_resolver, connect, resolve
from watchbell.smtp.model import Fault, ProbeReport, Timeouts
from watchbell.smtp.oauth import TokenEgress, TokenSource
from watchbell.smtp.probe import probe
from watchbell.smtp.session import Dialer
from watchbell.smtp.stagelog import StageLog

AT_ONCE = 8
MAX_URLS = 4
HURRIED = Timeouts(connect_each_s=3, connect_all_s=3)


async def dial(relays: Sequence[Dialled], *, has_login: bool) -> tuple[Probed, ...]:
    """A report for each relay, in their order. With a login also whether it may send as the From address."""
    tokens = TokenSource(TokenEgress(EVERYWHERE), clock=time.monotonic, now=lambda: datetime.now(UTC))
    dialer = Dialer(EVERYWHERE, tokens, time.monotonic)
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(dialled: Dialled) -> Probed:
        async with limit:
            level = Level.SENDER if has_login and dialled.relay.mail_from else Level.AUTHENTICATE
            journal = StageLog(time.monotonic, keeps_certificates=True)
            report = await probe(dialled.relay, dialer, level, journal)
            return Probed(dialled.label, dialled.relay, report, await _revocation(report))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(dialled)) for dialled in relays]
        return tuple(task.result() for task in tasks)
    finally:
        await tokens.close()
        close_resolver()


async def _revocation(report: ProbeReport) -> tuple[tuple[str, bool], ...]:
    """Each address that the chain names for revocation, and whether a TCP connection to it stands. Nothing is asked there."""
    links = (link_of(der) for der in report.server.certificates)
    urls = tuple(
        dict.fromkeys(url for link in links if link is not None for url in link.status_urls if url.startswith("http"))
    )
    return tuple([(url, await _reaches(url)) for url in urls[:MAX_URLS]])


async def _reaches(url: str) -> bool:
    parts = urlsplit(url)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return False
    found = await resolve(parts.hostname or "", port, EVERYWHERE)
    connected = await connect(found, HURRIED) if not isinstance(found, Fault) else found
    if isinstance(connected, Fault):
        return False
    connected.sock.close()
    return True
