"""What must go on for ever says so; what was silent for too long is named, and nothing else."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from collectorrig import until
from watchbell.heartbeat import beat
from watchbell.kube.pulse import Pulse, Pulses, ages, silent


def test_what_was_silent_for_too_long_is_named_the_longest_first():
    pulses = {
        1: Pulse("pods", 300, 1000 - 301),
        2: Pulse("emailmessages", 300, 1000 - 300),
        3: Pulse("event loop", 10, 1000 - 400),
    }
    assert silent(pulses, 1000) == (
        "event loop was last heard of 400 s ago, the limit is 10 s",
        "pods was last heard of 301 s ago, the limit is 300 s",
    )


def test_of_several_with_one_name_the_oldest_is_shown():
    pulses = {1: Pulse("pods", 300, 90), 2: Pulse("pods", 300, 40), 3: Pulse("nodes", 300, 99)}
    assert ages(pulses, 100) == {"pods": 60, "nodes": 1}


def test_a_beat_and_an_end_make_it_silent_no_more():
    now = [0.0]
    pulses = Pulses(lambda: now[0])
    pulses.beat("a", "pods", 300)
    now[0] = 301
    assert len(pulses.silent()) == 1
    pulses.beat("a", "pods", 300)
    assert pulses.silent() == ()
    now[0] = 1000
    pulses.end("a")
    pulses.end("a")
    assert (pulses.silent(), pulses.ages()) == ((), {})


def test_a_pause_that_a_server_asked_for_is_no_silence():
    now = [0.0]
    pulses = Pulses(lambda: now[0])
    pulses.beat("a", "pods", 300 + 3600)
    now[0] = 3800
    assert pulses.silent() == ()


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0, 1000))), st.floats(0, 2000))
def test_no_stream_is_named_before_its_limit_and_each_is_after_it(streams, now):
    pulses = {number: Pulse("x", limit, at) for number, (limit, at) in enumerate(streams)}
    assert len(silent(pulses, now)) == sum(now - at > limit for limit, at in streams)


async def test_the_event_loop_beats_from_the_start():
    pulses = Pulses()
    task = asyncio.create_task(beat(pulses, asyncio.get_running_loop().time))
    await until(lambda: "event loop" in pulses.ages(), "the loop beats")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pulses.silent() == ()
