"""What somebody waits for goes before what can wait."""

import asyncio

import pytest

from watchbell.kube.turns import Turns


async def _settled():
    for _ in range(20):
        await asyncio.sleep(0)


class Calls:
    """Patient calls that write down when they begin, and end when told."""

    def __init__(self, turns):
        self.turns = turns
        self.begun = []
        self.tasks = {}
        self._ends = {}

    def start(self, name):
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name))

    async def _run(self, name):
        async with self.turns.patient():
            self.begun.append(name)
            await self._ends[name].wait()

    async def end(self, *names):
        for name in names:
            self._ends[name].set()
            await self.tasks[name]


async def test_a_patient_call_goes_at_once_when_nobody_else_asks():
    calls = Calls(Turns())
    calls.start("one")
    await _settled()
    assert calls.begun == ["one"]
    await calls.end("one")


async def test_a_patient_call_waits_until_the_urgent_ones_are_over_and_a_moment_longer():
    turns = Turns(rest_s=0.0)
    calls = Calls(turns)
    with turns.urgent():
        with turns.urgent():
            calls.start("one")
            await _settled()
        await _settled()
        assert calls.begun == []
        assert turns.is_busy
    assert turns.is_busy
    assert calls.begun == []
    await _settled()
    assert calls.begun == ["one"]
    assert not turns.is_busy
    await calls.end("one")


async def test_an_urgent_call_that_follows_at_once_keeps_the_patient_waiting():
    turns = Turns(rest_s=0.0)
    calls = Calls(turns)
    with turns.urgent():
        calls.start("one")
        await _settled()
    with turns.urgent():
        await _settled()
        assert calls.begun == []
    await _settled()
    assert calls.begun == ["one"]
    await calls.end("one")


async def test_only_so_many_patient_calls_go_at_a_time_and_in_their_order():
    calls = Calls(Turns(at_once=2))
    for name in "abcd":
        calls.start(name)
    await _settled()
    assert calls.begun == ["a", "b"]
    await calls.end("b")
    await _settled()
    assert calls.begun == ["a", "b", "c"]
    await calls.end("a", "c")
    await _settled()
    await calls.end("d")
    assert calls.begun == ["a", "b", "c", "d"]


async def test_patience_ends_however_busy_it_is():
    turns = Turns(patience_s=0.01)
    calls = Calls(turns)
    with turns.urgent():
        calls.start("one")
        async with asyncio.timeout(30):
            await calls.end("one")
        assert turns.is_busy


@pytest.mark.parametrize("is_granted", [False, True])
async def test_a_call_that_is_cancelled_keeps_no_place(is_granted):
    turns = Turns(at_once=1, rest_s=0.0)
    calls = Calls(turns)
    with turns.urgent():
        for name in "ab":
            calls.start(name)
        await _settled()
        if not is_granted:
            calls.tasks["a"].cancel()
            await _settled()
    if is_granted:
        # The turn is given in this very step of the loop, and the cancellation comes in the same.
        await asyncio.sleep(0)
        calls.tasks["a"].cancel()
    await _settled()
    assert calls.begun[-1:] == ["b"]
    await calls.end("b")
    calls.start("c")
    await _settled()
    assert calls.begun[-1] == "c"
    await calls.end("c")
