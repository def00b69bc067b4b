import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from watchbell.kube.agenda import Agenda, Backoff
from watchbell.kube.workqueue import WorkQueue

KEYS = st.sampled_from(["a", "b", "c", "d"])


class AgendaMachine(RuleBasedStateMachine):
    """Against a model: what was asked for and not yet begun must come, once, and never to two workers."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.agenda: Agenda[str] = Agenda(Backoff(1, 8))
        self.owed: set[str] = set()
        self.taken: set[str] = set()
        self.due: dict[str, float] = {}

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.agenda.add(key)
        self.owed.add(key)

    @rule(key=KEYS, delay=st.floats(0, 10))
    def add_at(self, key: str, delay: float) -> None:
        self.agenda.add_at(key, self.now + delay)
        self.due[key] = min(self.due.get(key, float("inf")), self.now + delay)

    @rule(step=st.floats(0, 6))
    def time_goes_on(self, step: float) -> None:
        self.now += step

    @rule()
    def take(self) -> None:
        for key in [key for key, due in self.due.items() if due <= self.now]:
            del self.due[key]
            self.owed.add(key)
        key = self.agenda.take(self.now)
        if key is None:
            assert self.owed <= self.taken
            return
        assert key in self.owed
        assert key not in self.taken
        self.owed.remove(key)
        self.taken.add(key)

    @rule(key=KEYS, failed=st.booleans())
    def finish(self, key: str, failed: bool) -> None:
        if key not in self.taken:
            return
        if failed:
            delay = self.agenda.failed(key, self.now)
            assert 1 <= delay <= 8
            self.due[key] = min(self.due.get(key, float("inf")), self.now + delay)
        else:
            self.agenda.succeeded(key)
        self.agenda.done(key)
        self.taken.remove(key)

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.agenda.forget(key)
        self.owed.discard(key)
        self.due.pop(key, None)

    @invariant()
    def the_next_timer_is_the_earliest(self) -> None:
        assert self.agenda.next_due() == min(self.due.values(), default=None)

    @invariant()
    def depth_and_idleness_are_told_truly(self) -> None:
        assert self.agenda.depth == len(self.owed)
        assert self.agenda.is_idle == (not self.owed and not self.taken)


TestAgenda = AgendaMachine.TestCase


def test_a_key_that_comes_back_all_the_time_stands_behind_the_others():
    agenda: Agenda[str] = Agenda(Backoff())
    for key in ("busy", "b", "c"):
        agenda.add(key)
    order = []
    for _ in range(6):
        key = agenda.take(0)
        assert key is not None
        order.append(key)
        agenda.add(key)
        agenda.done(key)
    assert order == ["busy", "b", "c", "busy", "b", "c"]


@given(st.integers(1, 10_000))
def test_back_off_grows_and_never_exceeds_its_cap(failures):
    backoff = Backoff(0.5, 300)
    assert 0.5 <= backoff.delay_s(failures) <= backoff.delay_s(failures + 1) <= 300


def test_a_success_makes_the_next_failure_the_first():
    agenda: Agenda[str] = Agenda(Backoff(1, 100))
    assert [agenda.failed("a", 0) for _ in range(3)] == [1, 2, 4]
    agenda.succeeded("a")
    assert agenda.failed("a", 0) == 1


class Running:
    """A queue that runs during a test."""

    def __init__(self, queue: WorkQueue[str]) -> None:
        self._queue = queue

    async def __aenter__(self) -> WorkQueue[str]:
        self._task = asyncio.create_task(self._queue.run())
        return self._queue

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_no_key_is_handled_twice_at_once_and_none_is_missed():
    at_once: dict[str, int] = {}
    highest, calls = 0, 0

    async def handle(key: str) -> None:
        nonlocal highest, calls
        at_once[key] = at_once.get(key, 0) + 1
        assert at_once[key] == 1
        highest = max(highest, sum(at_once.values()))
        calls += 1
        for _ in range(5):
            await asyncio.sleep(0)
        at_once[key] -= 1

    async with Running(WorkQueue(handle, workers=3)) as queue:
        for number in range(200):
            queue.add(f"key-{number % 7}")
            if number % 5 == 0:
                await asyncio.sleep(0)
        await asyncio.wait_for(queue.idle(), 30)
    assert highest == 3
    assert calls >= 7
    assert queue.failures == 0
    assert queue.depth == 0


async def test_a_key_added_while_it_is_handled_is_handled_again():
    started, go_on, calls = asyncio.Event(), asyncio.Event(), []

    async def handle(key: str) -> None:
        calls.append(key)
        started.set()
        await go_on.wait()

    async with Running(WorkQueue(handle, workers=2)) as queue:
        queue.add("a")
        await started.wait()
        queue.add("a")
        queue.add("a")
        assert queue.depth == 1
        go_on.set()
        await asyncio.wait_for(queue.idle(), 30)
    assert calls == ["a", "a"]


async def test_a_handler_that_raises_is_logged_counted_and_called_again(caplog):
    calls, healed = [], asyncio.Event()

    async def handle(key: str) -> None:
        calls.append(key)
        if len(calls) < 3:
            raise ValueError("not yet")
        healed.set()

    backoff = Backoff(0.001, 0.01)
    async with Running(WorkQueue(handle, workers=1, name="probes", backoff=backoff)) as queue:
        queue.add("a")
        await asyncio.wait_for(healed.wait(), 30)
        await queue.idle()
    assert queue.failures == 2
    assert "probes: a failed, next try in 0.0 s" in caplog.text
    assert "not yet" in caplog.text


async def test_a_handler_is_called_again_after_the_delay_it_asked_for():
    calls, twice = [], asyncio.Event()

    async def handle(key: str) -> float | None:
        calls.append(key)
        if len(calls) == 2:
            twice.set()
            return None
        return 0.01

    async with Running(WorkQueue(handle, workers=1)) as queue:
        queue.add("a")
        await asyncio.wait_for(queue.idle(), 30)
        assert calls == ["a"]
        await asyncio.wait_for(twice.wait(), 30)


async def test_time_is_the_clock_that_was_given():
    now, calls = [0.0], []

    async def handle(key: str) -> None:
        calls.append(key)

    async with Running(WorkQueue(handle, workers=1, clock=lambda: now[0])) as queue:
        queue.add_after("later", 3600)
        queue.add("now")
        await asyncio.wait_for(queue.idle(), 30)
        assert calls == ["now"]
        now[0] = 3600
        queue.add("nudge")
        await asyncio.wait_for(queue.idle(), 30)
    assert sorted(calls) == ["later", "now", "nudge"]


async def test_a_forgotten_key_is_not_called_any_more():
    calls = []

    async def handle(key: str) -> None:
        calls.append(key)

    queue = WorkQueue(handle, workers=1)
    queue.add("gone")
    queue.add_after("gone", 0.001)
    queue.forget("gone")
    queue.add("stays")
    async with Running(queue):
        await asyncio.wait_for(queue.idle(), 30)
    assert calls == ["stays"]


async def test_cancelling_the_queue_cancels_what_it_handles():
    started, ended = asyncio.Event(), []

    async def handle(key: str) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(key)
            raise

    async with Running(WorkQueue(handle, workers=1)) as queue:
        queue.add("a")
        await started.wait()
    assert ended == ["a"]


@pytest.mark.parametrize("delay_s", [0, -5])
async def test_a_delay_of_nothing_is_now(delay_s):
    calls = []

    async def handle(key: str) -> None:
        calls.append(key)

    async with Running(WorkQueue(handle, workers=1)) as queue:
        queue.add_after("a", delay_s)
        await asyncio.wait_for(queue.idle(), 30)
    assert calls == ["a"]
