"""Which tellings share a mail: Critical at once, company within the wait, a digest at the period's end, and nothing over the budget lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.enums import Severity, Transition
from watchbell.collectors.casework.batches import THROTTLED_MAX, History, Request, Why, plan_mails, sent_before
from watchbell.collectors.casework.decisions import Rest
from watchbell.collectors.rules import Plan

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PLAN = Plan(wait_s=5, repeat_s=3600, resolve_after_s=120, tells_resolved=True, period_s=300, max_incidents=50)
EACH = Plan(wait_s=5, repeat_s=3600, resolve_after_s=120, tells_resolved=True, period_s=300, max_incidents=1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def request(key: str = "a", due_s: float = 0, **fields) -> Request:
    return Request(
        key,
        fields.get("transition", Transition.FIRED),
        fields.get("severity", Severity.WARNING),
        after(due_s),
        fields.get("silence", ""),
    )


def many(count: int, **fields) -> tuple[Request, ...]:
    return tuple(request(f"k{number:04}", **fields) for number in range(count))


def sizes(mailing) -> list[int]:
    return [len(batch.keys) for batch in mailing.batches]


def test_one_alone_has_a_mail_of_its_own():
    (batch,) = plan_mails((request(),), History(), PLAN, NOW).batches
    assert (batch.keys, batch.is_digest) == (("a",), False)


def test_nothing_goes_before_its_wait_is_over():
    mailing = plan_mails((request(due_s=5),), History(), PLAN, NOW)
    assert (mailing.batches, mailing.held, mailing.wait_s) == ((), (("a", Rest.WAITING_FOR_MORE),), 5)


def test_grouping_and_storm_digest_the_first_that_is_due_takes_along_all_that_wait():
    mailing = plan_mails((request("a"), request("b", due_s=3), request("c", due_s=5)), History(), PLAN, NOW)
    assert [batch.keys for batch in mailing.batches] == [("a", "b", "c")]
    assert mailing.wait_s is None


def test_grouping_and_storm_digest_a_mail_lists_no_more_than_it_may():
    assert sizes(plan_mails(many(120), History(), PLAN, NOW)) == [50, 50, 20]


def test_what_comes_within_the_period_goes_as_one_at_its_end():
    first = plan_mails((request("a"),), History(), PLAN, NOW)
    held = plan_mails((request("b", due_s=10), request("c", due_s=90)), first.history, PLAN, after(100))
    assert (held.batches, held.wait_s) == ((), 200)
    assert dict(held.held) == {"b": Rest.HELD_FOR_DIGEST, "c": Rest.HELD_FOR_DIGEST}
    last = plan_mails((request("b", due_s=10), request("c", due_s=90)), held.history, PLAN, after(300))
    assert [batch.keys for batch in last.batches] == [("b", "c")]


def test_severity_routing_critical_goes_at_once_and_shares_a_mail_with_critical_only():
    first = plan_mails((request("a"),), History(), PLAN, NOW)
    waiting = (
        request("w", due_s=1),
        request("x", due_s=2, severity=Severity.CRITICAL),
        request("y", due_s=2, severity=Severity.CRITICAL),
    )
    mailing = plan_mails(waiting, first.history, PLAN, after(2))
    assert [batch.keys for batch in mailing.batches] == [("x", "y")]
    assert mailing.history.trouble_since == NOW, "critical news may not put off the others"


def test_recovered_mail_does_not_wait_for_the_period_of_the_crash():
    first = plan_mails((request("a"),), History(), PLAN, NOW)
    over = plan_mails((request("a", 60, transition=Transition.RESOLVED),), first.history, PLAN, after(60))
    assert sizes(over) == [1]
    again = plan_mails((request("b", 70, transition=Transition.RESOLVED),), over.history, PLAN, after(70))
    assert dict(again.held) == {"b": Rest.HELD_FOR_DIGEST}


def test_recovery_and_trouble_are_not_told_in_one_mail():
    mixed = (request("a"), request("b", transition=Transition.RESOLVED))
    assert sorted(batch.keys for batch in plan_mails(mixed, History(), PLAN, NOW).batches) == [("a",), ("b",)]


def test_silences_end_in_one_mail_of_their_own():
    waiting = (
        request("a", silence="night"),
        request("b", transition=Transition.RESOLVED, silence="night"),
        request("c"),
    )
    batches = {batch.keys: batch for batch in plan_mails(waiting, History(), PLAN, NOW).batches}
    ended = batches.pop(("a", "b"))
    assert (ended.why, ended.silence, ended.is_digest) == (Why.SILENCE_ENDED, "night", True)
    assert list(batches) == [("c",)]
    alone = plan_mails((request("a", silence="night"),), History(), PLAN, NOW).batches[0]
    assert alone.is_digest


def test_with_a_mail_for_each_incident_there_is_no_digest_and_no_period():
    first = plan_mails(many(3), History(), EACH, NOW)
    assert sizes(first) == [1, 1, 1]
    assert sizes(plan_mails((request("z", due_s=1),), first.history, EACH, after(1))) == [1]
    assert plan_mails((request("z", due_s=4),), first.history, EACH, after(1)).wait_s == 3


def test_rate_limit_what_is_over_the_budget_goes_into_a_digest():
    plan = Plan(0, 0, 0, tells_resolved=True, max_incidents=1, messages_per_hour=3)
    mailing = plan_mails(many(10), History(), plan, NOW)
    assert sizes(mailing) == [1, 1, 8]
    assert mailing.batches[-1].why is Why.THROTTLED
    assert mailing.history.tokens == 0


def test_rate_limit_without_a_token_all_wait_for_the_next_one_critical_too():
    plan = Plan(0, 0, 0, tells_resolved=True, max_incidents=50, messages_per_hour=30)
    used_up = History(tokens=0, at=NOW)
    waiting = (request("a", severity=Severity.CRITICAL), request("b"))
    held = plan_mails(waiting, used_up, plan, NOW)
    assert (held.batches, set(dict(held.held).values()), held.wait_s) == ((), {Rest.THROTTLED}, pytest.approx(120))
    later = plan_mails(waiting, held.history, plan, after(121))
    assert [batch.keys for batch in later.batches] == [("a", "b")]


def test_rate_limit_a_throttled_digest_takes_what_a_mail_can_list_and_the_rest_waits():
    plan = Plan(0, 0, 0, tells_resolved=True, max_incidents=1, messages_per_hour=1)
    mailing = plan_mails(many(500), History(), plan, NOW)
    assert sizes(mailing) == [THROTTLED_MAX]
    assert sum(rest is Rest.THROTTLED for _, rest in mailing.held) == 500 - THROTTLED_MAX
    assert mailing.wait_s == pytest.approx(3600)


def test_the_budget_never_saves_up_more_than_an_hour():
    plan = Plan(0, 0, 0, tells_resolved=True, max_incidents=1, messages_per_hour=5)
    idle = plan_mails((), History(tokens=2, at=NOW), plan, NOW + timedelta(days=3))
    assert idle.history.tokens == 5


def test_delivery_over_restart_the_budget_and_the_period_go_on_where_they_were():
    plan = Plan(5, 0, 0, tells_resolved=True, period_s=300, max_incidents=50, messages_per_hour=30)
    history = sent_before([(after(-100), False), (after(-40), False), (after(-10), True)], plan, NOW)
    assert (history.trouble_since, history.recovery_since) == (after(-100), after(-10))
    assert 27 < history.tokens < 28.5
    assert plan_mails((request("a"),), history, plan, NOW).wait_s == 200


def test_a_clock_that_was_set_back_delays_nobody_for_longer_than_a_period():
    history = History(trouble_since=after(10_000))
    assert plan_mails((request("a"),), history, PLAN, NOW).wait_s == PLAN.period_s


requests = st.builds(
    Request,
    key=st.integers(0, 60).map(str),
    transition=st.sampled_from(Transition),
    severity=st.sampled_from(Severity),
    due=st.integers(-600, 30).map(after),
    silence=st.sampled_from(["", "", "", "night"]),
)
plans = st.builds(
    Plan,
    wait_s=st.just(5.0),
    repeat_s=st.just(0.0),
    resolve_after_s=st.just(0.0),
    tells_resolved=st.just(True),
    period_s=st.sampled_from([1.0, 300.0]),
    max_incidents=st.sampled_from([1, 2, 50, 200]),
    messages_per_hour=st.sampled_from([1, 3, 30, 1000]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(requests, max_size=60, unique_by=lambda item: item.key), plans)
def test_nothing_over_budget_is_dropped_nothing_goes_twice_and_all_is_told_in_the_end(waiting, plan):
    left = {item.key: item for item in waiting}
    history, now, sent = History(), NOW, list[str]()
    for _ in range(400):
        mailing = plan_mails(left.values(), history, plan, now)
        gone = [key for batch in mailing.batches for key in batch.keys]
        assert len(set(gone)) == len(gone)
        assert set(gone) <= left.keys()
        assert set(gone) | {key for key, _ in mailing.held} == left.keys()
        assert mailing.history.tokens >= 0
        assert all(len(batch.keys) <= max(plan.max_incidents, THROTTLED_MAX) for batch in mailing.batches)
        sent += gone
        left = {key: item for key, item in left.items() if key not in gone}
        history = mailing.history
        if not left:
            break
        assert mailing.wait_s is not None, "somebody waits for ever"
        now += timedelta(seconds=mailing.wait_s + 0.001)
    assert sorted(sent) == sorted(item.key for item in waiting)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 7200), max_size=80), plans)
def test_no_hour_has_more_mails_than_the_budget_and_what_was_saved_up(arrivals, plan):
    history, mails = History(), list[datetime]()
    waiting: dict[str, Request] = {}
    for number, second in enumerate(sorted(arrivals)):
        waiting[str(number)] = request(str(number), second)
        mailing = plan_mails(waiting.values(), history, plan, after(second))
        history = mailing.history
        mails += [after(second)] * len(mailing.batches)
        for batch in mailing.batches:
            for key in batch.keys:
                del waiting[key]
    for start in mails:
        within = [time for time in mails if start <= time < start + timedelta(hours=1)]
        assert len(within) <= 2 * plan.messages_per_hour
