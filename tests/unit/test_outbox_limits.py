"""Limits: never more than allowed in any window, always something in the end, and High before the others."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.outbox.limits.budget import Budgets, Full, Grant, Measure, Rule, open_to, recipients_at_once, rules_of
from watchbell.outbox.limits.counts import ahead
from watchbell.outbox.limits.pace import HOLD_S, STEP_S, slowed
from watchbell.outbox.limits.window import DAY, MINUTE, Span, Window
from watchbell.outbox.outlet import Allowance

NOW = 1_800_000_000.0
MINUTELY = Rule("a", Measure.MESSAGES_PER_MINUTE, 5)
GAPS = st.floats(0, 40, allow_nan=False)


def granted(gaps, limit, measure=Measure.MESSAGES_PER_MINUTE, counts=None):
    """Asks after each gap; the times of those that were granted, with what they took."""
    budgets, now, taken = Budgets(), NOW, []
    for i, gap in enumerate(gaps):
        now += gap
        count = counts[i] if counts else 1
        if isinstance(budgets.ask((Rule("a", measure, limit),), count, is_high=True, now=now), Grant):
            taken.append((now, count))
    return taken


# --- the window


@given(st.lists(GAPS, max_size=80), st.integers(1, 9))
def test_no_minute_ever_holds_more_than_the_limit(gaps, limit):
    taken = [at for at, _ in granted(gaps, limit)]
    recent = deque()
    for at in taken:
        recent.append(at)
        while at - recent[0] >= 60:
            recent.popleft()
        assert len(recent) <= limit


@given(st.data())
def test_no_day_ever_holds_more_recipients_than_the_limit(data):
    gaps = data.draw(st.lists(st.floats(0, 30_000, allow_nan=False), max_size=40))
    counts = data.draw(st.lists(st.integers(1, 10), min_size=len(gaps), max_size=len(gaps)))
    taken = granted(gaps, 25, Measure.RECIPIENTS_PER_DAY, counts)
    for i, (at, _) in enumerate(taken):
        assert sum(count for then, count in taken[: i + 1] if at - then < 86_400) <= 25


@given(st.lists(GAPS, max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_what_is_told_to_wait_may_go_at_the_time_that_it_was_told(gaps, limit, count):
    window, now = Window(MINUTE), NOW
    for gap in gaps:
        now += gap
        free_at = window.free_at(now, limit, count)
        assert now <= free_at <= now + 60 + 1
        if free_at == now:
            window.add(now, min(count, limit))
        else:
            assert window.used(free_at) + min(count, limit) <= limit


@given(st.lists(st.tuples(GAPS, st.integers(1, 3)), max_size=40), st.integers(1, 6))
def test_the_more_was_sent_the_later_the_next_may_go(steps, more):
    now = NOW
    window, fuller = Window(MINUTE), Window(MINUTE)
    for gap, count in steps:
        now += gap
        window.add(now, count)
        fuller.add(now, count)
    fuller.add(now, more)
    assert window.free_at(now, 6, 1) <= fuller.free_at(now, 6, 1)
    assert window.free_at(now, 7, 1) <= window.free_at(now, 6, 1)
    assert window.free_at(now, 6, 1) <= window.free_at(now, 6, 2)


def test_a_window_forgets_what_is_over_and_one_slot_late_at_most():
    window = Window(DAY)
    window.add(NOW, 3)
    assert window.used(NOW + 86_399) == 3
    assert window.used(NOW + 86_400 + 1800) == 0


def test_what_a_wrong_clock_has_counted_in_the_far_future_is_over_after_one_window():
    window = Window(MINUTE)
    window.add(NOW + 400 * 86_400, 4)
    assert window.free_at(NOW, 4, 1) <= NOW + 61
    assert window.used(NOW + 62) == 0


@given(st.lists(st.tuples(st.floats(0, 5000), st.integers(0, 9)), max_size=20))
def test_a_window_read_back_counts_the_same(steps):
    window, now = Window(DAY), NOW
    for gap, count in steps:
        now += gap
        window.add(now, count)
    again = Window(DAY, window.rows(now))
    assert [again.used(now + later) for later in (0, 40_000, 90_000)] == [
        window.used(now + later) for later in (0, 40_000, 90_000)
    ]


def test_giving_back_never_makes_more_room_than_there_was():
    window = Window(Span(60, 1))
    window.add(NOW, 2)
    window.add(NOW, -5)
    assert window.used(NOW) == 0


# --- the budget


def test_a_mail_counts_under_all_rules_or_under_none():
    budgets = Budgets()
    narrow, wide = Rule("child", Measure.MESSAGES_PER_DAY, 1), Rule("parent", Measure.MESSAGES_PER_DAY, 5)
    assert isinstance(budgets.ask((narrow, wide), 1, is_high=False, now=NOW), Grant)
    full = budgets.ask((narrow, wide), 1, is_high=False, now=NOW)
    assert isinstance(full, Full)
    assert full.rule is narrow
    assert budgets.used("parent", Measure.MESSAGES_PER_DAY, NOW) == 1


def test_children_share_their_parents_limit():
    budgets, parent = Budgets(), Rule("parent", Measure.MESSAGES_PER_MINUTE, 2)
    for child in ("a", "b"):
        rules = (parent, Rule(child, Measure.MESSAGES_PER_MINUTE, 9))
        assert isinstance(budgets.ask(rules, 1, is_high=False, now=NOW), Grant)
    rules = (parent, Rule("c", Measure.MESSAGES_PER_MINUTE, 9))
    assert isinstance(budgets.ask(rules, 1, is_high=False, now=NOW), Full)


@pytest.mark.parametrize(("limit", "others"), [(1, 1), (9, 9), (10, 9), (30, 27), (500, 450)])
def test_a_tenth_is_kept_back_for_high(limit, others):
    assert (open_to(limit, is_high=False), open_to(limit, is_high=True)) == (others, limit)


@given(st.lists(st.tuples(GAPS, st.booleans()), max_size=80), st.integers(10, 30))
def test_high_never_waits_longer_than_the_others(steps, limit):
    budgets, now = Budgets(), NOW
    rules = (Rule("a", Measure.MESSAGES_PER_MINUTE, limit),)
    for gap, is_high in steps:
        now += gap
        normal, high = (budgets._full(rules[0], 1, is_high=high, now=now) for high in (False, True))
        assert high is None or (normal is not None and high.until <= normal.until)
        budgets.ask(rules, 1, is_high=is_high, now=now)


@given(st.lists(GAPS, min_size=5, max_size=60))
def test_whoever_comes_back_when_told_is_served_though_others_are_not_turned_away(gaps):
    """No starvation: the first in line, asked at the time that it was told and before anybody else, always goes."""
    budgets, now = Budgets(), NOW
    for gap in gaps:
        now += gap
        answer = budgets.ask((MINUTELY,), 1, is_high=False, now=now)
        while isinstance(answer, Full):
            now = answer.until
            answer = budgets.ask((MINUTELY,), 1, is_high=False, now=now)
            assert isinstance(answer, Grant)


def test_what_was_not_sent_is_given_back_and_what_reached_fewer_counts_for_fewer():
    budgets = Budgets()
    rules = rules_of([Allowance("a", 2, 2, 20)])
    first = budgets.ask(rules, 10, is_high=True, now=NOW)
    budgets.give_back(first)
    second = budgets.ask(rules, 10, is_high=True, now=NOW)
    budgets.give_back(second, recipients=4, is_sent=True)
    assert [budgets.used("a", measure, NOW) for measure in Measure] == [1, 1, 4]


def test_a_rule_without_a_limit_counts_and_holds_nothing():
    budgets = Budgets()
    rule = Rule("a", Measure.MESSAGES_PER_MINUTE, 0)
    for _ in range(50):
        assert isinstance(budgets.ask((rule,), 1, is_high=False, now=NOW), Grant)
    assert budgets.used("a", Measure.MESSAGES_PER_MINUTE, NOW) == 50


@pytest.mark.parametrize(
    ("most", "daily", "expected"), [(50, 0, 50), (50, 20, 18), (50, 1, 1), (50, 5, 5), (50, 10_000, 50)]
)
def test_a_transaction_has_never_more_recipients_than_a_day_holds(most, daily, expected):
    assert recipients_at_once(most, [Allowance("a", recipients_per_day=daily)]) == expected


# --- what is kept


def test_a_count_is_kept_after_a_half_of_a_hundredth_of_the_limit():
    budgets, rules = Budgets(), rules_of([Allowance("a", messages_per_day=1000)])
    asked = 0
    while not budgets.is_due:
        budgets.ask(rules, 1, is_high=False, now=NOW)
        asked += 1
    assert asked == 5
    assert budgets.margin(("a", Measure.MESSAGES_PER_DAY)) == 10


def test_nothing_is_kept_where_nothing_has_a_limit_by_the_day():
    budgets = Budgets()
    budgets.ask(rules_of([Allowance("a", messages_per_minute=1000)]), 1, is_high=False, now=NOW)
    assert not budgets.is_due
    assert budgets.kept(NOW) == {}


@given(st.lists(st.tuples(st.floats(0, 4000), st.integers(1, 9)), max_size=20), st.integers(0, 20))
def test_what_is_kept_is_ahead_by_the_margin_and_never_behind(steps, margin):
    window, now = Window(DAY), NOW
    for gap, count in steps:
        now += gap
        window.add(now, count)
    assert Window(DAY, ahead(window.rows(now), now, margin)).used(now) == window.used(now) + margin


def test_a_scope_of_which_nothing_counts_is_forgotten():
    budgets = Budgets()
    budgets.ask((MINUTELY,), 1, is_high=False, now=NOW)
    budgets.sweep(NOW + 120)
    assert not budgets._windows


# --- the provider's pace


def test_a_complaint_halves_the_rate_and_a_tenth_comes_back_each_ten_minutes():
    pace = slowed(None, 30, 12, NOW)
    assert [pace.limit_at(NOW + STEP_S * step) for step in range(6)] == [15, 18, 21, 24, 27, 0]
    assert pace.recovered_at == NOW + 5 * STEP_S


def test_without_a_limit_the_rate_that_was_sent_is_halved():
    assert slowed(None, 0, 240, NOW).limit_at(NOW) == 120
    assert slowed(None, 0, 0, NOW).limit_at(NOW) == 1


def test_complaints_on_several_connections_at_once_are_one_complaint():
    pace = slowed(None, 100, 0, NOW)
    assert slowed(pace, 100, 0, NOW + HOLD_S - 1) is pace
    assert slowed(pace, 100, 0, NOW + HOLD_S).limit_at(NOW + HOLD_S) == 25


@given(st.lists(st.floats(0, 3000), max_size=30), st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_rate_never_falls_to_nothing_and_rises_until_it_is_back(gaps, limit, sent):
    pace, now = None, NOW
    for gap in gaps:
        now += gap
        pace = slowed(pace, limit, sent, now)
        assert 1 <= pace.limit_at(now) <= max(1, pace.full_per_minute // 2)
        later = [pace.factor_at(now + STEP_S * step) for step in range(12)]
        assert later == sorted(later)
        assert later[-1] == 1.0
        assert not pace.limit_at(pace.recovered_at + 1)
