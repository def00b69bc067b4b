"""Restarted too often: counted over many looks, over two, and over none."""

from datetime import timedelta

import pytest

from podrig import EPOCH, container, ended, looping, pod, running_state, stamp
from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import Quiet, Sight, detect, judge
from watchbell.collectors.faults.restarts import KEPT_MAX, Restarts
from watchbell.collectors.rules import CrashRules

BURST = IncidentKind.RESTART_BURST
RULES = CrashRules(frozenset({BURST}), restart_threshold=3, restart_window_s=600)
MINUTE = timedelta(minutes=1)
AGES_AGO = stamp(EPOCH - timedelta(days=30))


def restarted(count, at=EPOCH, code=0, **metadata):
    """A pod of long standing whose container runs again after an end at `at`."""
    status = container(state=running_state(at), lastState=ended(at, code), restartCount=count)
    return pod(status, creationTimestamp=AGES_AGO, **metadata)


HEALTHY = pod(creationTimestamp=AGES_AGO)


def seen_in_a_row(tally, *minutes, rules=RULES):
    """One restart at each of these minutes after EPOCH, each look found at once."""
    before, found = HEALTHY, []
    for count, minute in enumerate(minutes, start=1):
        now = EPOCH + minute * MINUTE
        after = restarted(count, now)
        tally.heed(before, after, now)
        found.append([one.kind for one in detect(before, after, rules, now, tally).findings])
        before = after
    return found


def test_restarts_that_reach_the_threshold_within_the_window_are_a_burst_though_each_ended_well():
    assert seen_in_a_row(Restarts(), 0, 2, 4) == [[], [], [BURST]]


def test_a_restart_without_failure_now_and_then_is_none():
    assert seen_in_a_row(Restarts(), 0, 9, 18, 27, 36) == [[]] * 5


def test_each_further_restart_while_it_lasts_is_news_and_old_ones_fall_out():
    assert seen_in_a_row(Restarts(), 0, 2, 4, 6, 30, 31) == [[], [], [BURST], [BURST], [], []]


def test_a_burst_says_how_many_and_when_the_last_was():
    tally = Restarts()
    seen_in_a_row(tally, 0, 2)
    now = EPOCH + 4 * MINUTE
    after = restarted(3, now, 1)
    tally.heed(restarted(2, EPOCH + 2 * MINUTE), after, now)
    (finding,) = detect(restarted(2, EPOCH + 2 * MINUTE), after, RULES, now, tally).findings
    assert (finding.note, finding.seen_time, finding.restarts) == ("Restarted 3 times within 600 seconds.", now, 3)
    assert (finding.exit_code, finding.is_standing, finding.is_live) == (1, False, True)


def test_restarts_between_two_looks_are_a_burst_without_any_memory():
    assert [one.kind for one in detect(HEALTHY, restarted(3), RULES, EPOCH).findings] == [BURST]
    young = pod(creationTimestamp=stamp(EPOCH - 5 * MINUTE))
    seen = pod(looping(EPOCH, 3), creationTimestamp=stamp(EPOCH - 5 * MINUTE))
    assert [one.kind for one in detect(None, seen, RULES, EPOCH).findings] == [BURST]
    assert [one.kind for one in detect(young, seen, RULES, EPOCH).findings] == [BURST]


def test_restarts_of_a_long_life_are_no_burst_at_the_first_sight():
    assert detect(None, restarted(40), RULES, EPOCH).findings == ()


QUIET = {
    "there were few": (HEALTHY, restarted(2), RULES, Quiet.ENDED_WELL),
    "nothing was restarted since the last look": (restarted(5), restarted(5), RULES, Quiet.ENDED_WELL),
    "somebody deleted the pod": (HEALTHY, restarted(5, deletionTimestamp=stamp(EPOCH)), RULES, Quiet.ENDED_WELL),
}


@pytest.mark.parametrize("case", QUIET)
def test_what_is_no_burst_is_left_alone(case):
    old, new, rules, quiet = QUIET[case]
    status = new.status.container_statuses[0]
    assert detect(old, new, rules, EPOCH).findings == ()
    assert judge(Sight(old, new, old.status.container_statuses[0], status, False, rules, EPOCH)) == quiet


def test_a_burst_from_before_our_time_is_baseline_at_the_first_sight():
    born = stamp(EPOCH - 5 * MINUTE)
    seen = pod(container(lastState=ended(EPOCH - MINUTE, 0), restartCount=4), creationTimestamp=born)
    assert detect(None, seen, RULES, EPOCH).findings
    later = CrashRules(RULES.kinds, news_since=EPOCH, restart_threshold=3)
    assert detect(None, seen, later, EPOCH).findings == ()


def test_hearing_the_same_twice_or_an_older_state_again_counts_nothing_twice():
    tally = Restarts()
    for _ in range(3):
        tally.heed(HEALTHY, restarted(1), EPOCH)
        tally.heed(restarted(1), restarted(2, EPOCH + MINUTE), EPOCH + MINUTE)
    assert tally.times(HEALTHY, "collector") == (EPOCH, EPOCH + MINUTE)


def test_what_lies_between_two_looks_is_spread_between_them():
    tally = Restarts()
    tally.heed(HEALTHY, restarted(1), EPOCH)
    tally.heed(restarted(1), restarted(5, EPOCH + 60 * MINUTE), EPOCH + 60 * MINUTE)
    assert tally.times(HEALTHY, "collector") == tuple(EPOCH + 15 * n * MINUTE for n in range(5))


def test_the_memory_has_an_end():
    tally = Restarts()
    tally.heed(HEALTHY, HEALTHY, EPOCH)
    assert len(tally) == 0, "who was never restarted costs nothing"
    tally.heed(None, restarted(1_000_000), EPOCH)
    assert len(tally.times(HEALTHY, "collector")) <= KEPT_MAX
    tally.forget(HEALTHY)
    assert len(tally) == 0


def test_a_clock_that_goes_ahead_does_not_put_restarts_into_the_future():
    tally = Restarts()
    tally.heed(HEALTHY, restarted(1, EPOCH + 60 * MINUTE), EPOCH)
    assert tally.times(HEALTHY, "collector") == (EPOCH,)
