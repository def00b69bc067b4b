"""A queue while its relay restarts: every mail comes, and none twice but those whose reply was lost."""

import asyncio
import re
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from outboxrig import MESSAGES, Outlets, desk, message, outlet, until
from smtprig import mail_server

QUEUE = 500
CONNECTIONS = 2


def ids_of(*servers):
    return Counter(
        re.search(rb"Message-ID: (\S+)", raw)[1] for server in servers for _, _, raw in server.inbox.messages
    )


@pytest.mark.timeout(300)
async def test_a_queue_of_500_over_a_restart_of_the_relay_comes_whole_and_only_lost_replies_make_doubles(
    control_plane, namespace
):
    async with AsyncExitStack() as life:
        before = await life.enter_async_context(mail_server())
        outlets = Outlets(outlet(before.port, max_connections=CONNECTIONS))
        async with desk(control_plane, namespace, outlets) as one:

            async def make(numbers):
                for number in numbers:
                    one.outbox.submit(await one.client.create(MESSAGES, message(f"m{number:03}"), namespace))

            await asyncio.gather(*(make(range(start, QUEUE, 10)) for start in range(10)))
            await until(lambda: len(before.inbox.messages) >= QUEUE // 5, 120)
            await life.aclose()
            assert len(before.inbox.messages) < QUEUE
            async with mail_server(port=before.port) as after:

                def is_done():
                    # A relay that was not reached is left alone for a while; nobody here waits for that.
                    one.skip(5)
                    return one.outbox.queue_depth == 0

                await until(is_done, 200)
                found = ids_of(before, after)
            statuses = [body["status"] for body in await one.client.list(MESSAGES, namespace)]

    assert len(found) == QUEUE
    assert max(found.values()) <= 2
    assert sum(found.values()) - QUEUE <= CONNECTIONS, "one reply for each open connection can be lost"
    assert {status["recipientResults"][0]["result"] for status in statuses} == {"Accepted"}
    assert max(status["attempts"] for status in statuses) <= 2, "what waited for the relay counts no attempt"
