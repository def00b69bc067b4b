"""The pool of senders: small, fixed, and never full of those who only wait."""

import asyncio

from watchbell.outbox.senders import Senders

SOON = 0.02


async def turned(event):
    async with asyncio.timeout(30):
        await event.wait()
    event.clear()


async def test_no_more_start_than_there_are_workers():
    senders = Senders(2, on_free=lambda: None)
    seats = [senders.sit(), senders.sit()]
    assert not senders.has_room
    seats[0].leave()
    assert senders.has_room
    seats[1].leave()
    assert senders.busy == 0


async def test_a_slow_one_moves_aside_and_frees_its_place():
    free = asyncio.Event()
    senders = Senders(1, on_free=free.set, patience_s=SOON)
    seat = senders.sit()
    assert not senders.has_room
    await turned(free)
    assert senders.has_room
    assert senders.busy == 1
    seat.leave()
    assert senders.busy == 0


async def test_the_slow_ones_are_bounded_too_and_move_up_when_there_is_room():
    free = asyncio.Event()
    senders = Senders(1, on_free=free.set, patience_s=SOON, aside_max=1)
    first = senders.sit()
    await turned(free)
    second = senders.sit()
    await asyncio.sleep(SOON * 3)
    assert not senders.has_room
    first.leave()
    await turned(free)
    async with asyncio.timeout(30):
        while not senders.has_room:
            await turned(free)
    assert senders.busy == 1
    second.leave()
    assert senders.busy == 0
    assert senders.has_room
