"""Dials the relays from here, a few at a time, with the operator's own probe. The one stage that leaves the API server.

Before: `relays`. After: the checks of `checks_smtp` read the reports. No login unless the relay has one; nothing is ever sent.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from watchbell.api.enums import Level
from watchbell.doctor.facts import Probed
from watchbell.doctor.relays import EVERYWHERE, Dialled
from watchbell.smtp.endpoint import close_resolver
from watchbell.smtp.oauth import TokenEgress, TokenSource
from watchbell.smtp.probe import probe
from watchbell.smtp.session import Dialer

AT_ONCE = 8


async def dial(relays: Sequence[Dialled], *, has_login: bool) -> tuple[Probed, ...]:
    """A report for each relay, in their order. With a login also whether it may send as the From address."""
    tokens = TokenSource(TokenEgress(EVERYWHERE), clock=time.monotonic, now=lambda: datetime.now(UTC))
    dialer = Dialer(EVERYWHERE, tokens, time.monotonic)
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(dialled: Dialled) -> Probed:
        async with limit:
            level = Level.SENDER if has_login and dialled.relay.mail_from else Level.AUTHENTICATE
            return Probed(dialled.label, dialled.relay, await probe(dialled.relay, dialer, level))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(dialled)) for dialled in relays]
        return tuple(task.result() for task in tasks)
    finally:
        await tokens.close()
        close_resolver()
