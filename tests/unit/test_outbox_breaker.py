"""When a relay is left alone, who finds out whether it is back, and what the gate makes of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.connectors.schedule import SENDS_UNTIL_BROKEN
from watchbell.mail.address import Mailbox
from watchbell.outbox.limits.breaker import (
    CLOSED,
    FAILURES_MAX,
    REFUSED_S,
    RESTS_S,
    Answer,
    after,
    ask,
    half_open,
    trying,
)
from watchbell.outbox.limits.budget import Measure
from watchbell.outbox.limits.gate import Blocked, Gate, Pass, Request
from watchbell.outbox.outlet import Allowance, ConnectorKey, Outlet, OutletLimits
from watchbell.outbox.retry import DEFAULT_SCHEDULE
from watchbell.smtp.model import AuthPlan, Fault, Relay, RetryClass, StageName

NOW = 1_800_000_000.0
LANE = ConnectorKey("SmtpConnector", "apps", "main")


def fault(stage, reason, *, is_permanent=False, retry=RetryClass.A):
    return Fault(stage, reason, "the server said so", retry, is_permanent)


REFUSED = fault(StageName.CONNECT, Reason.CONNECTION_REFUSED)
SILENT = fault(StageName.GREETING, Reason.GREETING_TIMED_OUT)
BUSY = fault(StageName.DATA, Reason.SERVER_BUSY)
LOGIN = fault(StageName.AUTHENTICATE, Reason.CREDENTIALS_REJECTED, is_permanent=True)
SLOW = fault(StageName.SENDER, Reason.RATE_LIMITED, retry=RetryClass.B)
QUOTA = fault(StageName.DATA, Reason.QUOTA_EXCEEDED, retry=RetryClass.D)
BROKE_OFF = fault(StageName.DATA, Reason.CONNECTION_CLOSED)
SPAM = fault(StageName.DATA, Reason.CONTENT_REJECTED, is_permanent=True)


def run(*faults, now=NOW):
    state = CLOSED
    for one in faults:
        state = after(state, one, now)
    return state


# --- the breaker


@pytest.mark.parametrize(
    ("faults", "is_open"),
    [
        ((REFUSED, REFUSED), False),
        ((REFUSED, SILENT, REFUSED), True),
        ((BUSY, BUSY, BUSY), True),
        ((LOGIN,), True),
        ((REFUSED, REFUSED, None, REFUSED), False),
        ((REFUSED, REFUSED, SPAM, REFUSED), False),
        ((REFUSED, REFUSED, SLOW, REFUSED), False),
        ((BROKE_OFF,) * 9, False),
        ((REFUSED, BROKE_OFF, REFUSED, BROKE_OFF, REFUSED), True),
    ],
)
def test_three_failures_in_a_row_or_one_refused_login_open_it(faults, is_open):
    assert run(*faults).is_open is is_open


def test_an_open_one_waits_then_lets_one_try_and_the_others_wait_for_its_result():
    state = run(REFUSED, REFUSED, REFUSED)
    assert ask(state, NOW + RESTS_S[0] - 1) is Answer.WAIT
    assert ask(state, NOW + RESTS_S[0]) is Answer.TRY
    state = trying(state, NOW + RESTS_S[0])
    assert ask(state, NOW + RESTS_S[0]) is Answer.WAIT
    assert after(state, None, NOW + 40) == CLOSED
    assert ask(half_open(state, NOW + 40), NOW + 40) is Answer.TRY


def test_each_try_that_fails_doubles_the_rest_up_to_five_minutes():
    state, now, rests = run(REFUSED, REFUSED, REFUSED), NOW, []
    for _ in range(6):
        rests.append(state.until - now)
        now = state.until
        state = after(trying(state, now), REFUSED, now)
    assert rests == [30, 60, 120, 300, 300, 300]


def test_a_refused_login_waits_an_hour_but_a_change_lets_one_try_at_once():
    state = run(LOGIN)
    assert state.until == NOW + REFUSED_S
    assert ask(half_open(state, NOW + 5), NOW + 5) is Answer.TRY


@given(st.lists(st.sampled_from([None, REFUSED, BUSY, LOGIN, SLOW, BROKE_OFF, SPAM]), max_size=30))
def test_it_never_stays_open_for_ever_and_one_success_closes_it(faults):
    state = run(*faults)
    assert state.until <= NOW + REFUSED_S
    assert after(state, None, NOW) == CLOSED


def test_connectors_count_an_opening_as_the_failures_that_led_to_it():
    assert SENDS_UNTIL_BROKEN == FAILURES_MAX


# --- the gate


def outlet(name="main", password="one", port=587, *allowances):
    auth = AuthPlan("alerts@example.com", Sensitive(password))
    key = ConnectorKey("SmtpConnector", "apps", name)
    limits = OutletLimits(allowances=allowances)
    return Outlet(key, Relay("mail.example.com", port, auth=auth), Mailbox("", "alerts@example.com"), limits=limits)


def admit(gate, out, now=NOW, **request):
    return gate.admit(out, Request(**({"lane": LANE, "recipients": 1} | request)), now)


def fail(gate, out, one, times=1, now=NOW):
    news = None
    for _ in range(times):
        passed = admit(gate, out, now)
        assert isinstance(passed, Pass)
        news = gate.ended(passed, one, now)
    return news


def gate():
    return Gate(DEFAULT_SCHEDULE)


def test_the_opening_is_told_once_and_each_connector_of_the_login_hears_of_it():
    at = gate()
    assert fail(at, outlet(), REFUSED, 2).opened is None
    assert fail(at, outlet(), REFUSED).opened is REFUSED
    assert at.open_breakers == 1
    blocked = admit(at, outlet())
    assert (blocked.reason, blocked.until, blocked.fault) == (Reason.CONNECTOR_NOT_READY, NOW + 30, None)
    assert admit(at, outlet("sister")).fault is REFUSED
    assert admit(at, outlet("sister")).fault is None


def test_another_password_or_port_is_another_breaker():
    at = gate()
    fail(at, outlet(), LOGIN)
    assert isinstance(admit(at, outlet()), Blocked)
    assert isinstance(admit(at, outlet(password="two")), Pass)
    assert isinstance(admit(at, outlet(port=465)), Pass)


def test_a_success_of_the_one_that_tries_releases_all_lanes_that_wait():
    at = gate()
    fail(at, outlet(), REFUSED, 3)
    other = ConnectorKey("SmtpConnector", "apps", "sister")
    admit(at, outlet())
    admit(at, outlet("sister"), lane=other)
    passed = admit(at, outlet(), NOW + 30)
    assert passed.is_trial
    assert isinstance(admit(at, outlet(), NOW + 31), Blocked)
    assert set(at.ended(passed, None, NOW + 32).released) == {LANE, other}
    assert at.open_breakers == 0


def test_what_was_on_its_way_when_it_opened_does_not_make_it_stay_open_longer():
    at = gate()
    late = [admit(at, outlet()) for _ in range(5)]
    fail(at, outlet(), REFUSED, 3)
    for passed in late:
        assert at.ended(passed, REFUSED, NOW + 20).opened is None
    assert admit(at, outlet(), NOW + 30).is_trial


def test_a_probe_that_passed_lets_one_mail_try_at_once():
    at = gate()
    fail(at, outlet(), LOGIN)
    assert at.proven(ConnectorKey("SmtpConnector", "apps", "other"), NOW + 5) == ()
    assert isinstance(admit(at, outlet(), NOW + 5), Blocked)
    assert at.proven(outlet().key, NOW + 5) == (LANE,)
    assert admit(at, outlet(), NOW + 5).is_trial


def test_a_trial_that_was_not_used_leaves_the_trial_to_the_next():
    at = gate()
    fail(at, outlet(), REFUSED, 3)
    passed = admit(at, outlet(), NOW + 30)
    assert isinstance(admit(at, outlet(), NOW + 31), Blocked)
    assert at.unused(passed, NOW + 31) == (LANE,)
    assert admit(at, outlet(), NOW + 31).is_trial


def test_a_session_that_could_not_be_opened_uses_up_no_limit():
    at, out = gate(), outlet("main", "one", 587, Allowance("a", messages_per_day=1))
    at.ended(admit(at, out), REFUSED, NOW)
    at.unused(admit(at, out), NOW)
    at.ended(admit(at, out), None, NOW)
    blocked = admit(at, out)
    assert (blocked.reason, blocked.measure) == (Reason.RATE_LIMITED, Measure.MESSAGES_PER_DAY)
    assert "limits.messagesPerDay (1) of a is used up" in blocked.message


def test_room_that_is_given_back_lets_those_move_who_were_told_that_there_is_none():
    at, out = gate(), outlet("main", "one", 587, Allowance("a", messages_per_day=2))
    other = ConnectorKey("SmtpConnector", "apps", "sister")
    passes = [admit(at, out) for _ in range(2)]
    assert isinstance(admit(at, out), Blocked)
    assert isinstance(admit(at, out, lane=other), Blocked)
    assert set(at.unused(passes[0], NOW)) == {LANE, other}
    assert isinstance(admit(at, out), Pass)
    assert isinstance(admit(at, out), Blocked)
    assert at.ended(passes[1], REFUSED, NOW).released == (LANE,)
    assert at.unused(admit(at, out), NOW) == ()


def test_a_complaint_slows_every_connector_of_the_login_and_no_other():
    at = gate()
    for _ in range(20):
        at.ended(admit(at, outlet()), None, NOW)
    news = at.ended(admit(at, outlet()), SLOW, NOW)
    assert (news.slowdown.reason, news.slowdown.messages_per_minute) == (Reason.RATE_LIMITED, 10)
    blocked = admit(at, outlet("sister", "another password of the same user"))
    assert (blocked.reason, "slow down, to 10 messages a minute" in blocked.message) == (Reason.RATE_LIMITED, True)
    assert isinstance(admit(at, outlet(port=465)), Pass)
    assert isinstance(admit(at, outlet(), NOW + 61), Pass)


def test_a_complaint_before_the_login_slows_nobody_down():
    at = gate()
    early = replace(SLOW, stage=StageName.AUTHENTICATE)
    assert at.ended(admit(at, outlet()), early, NOW).slowdown is None
    assert not at.paces


def test_a_quota_that_is_used_up_holds_the_login_until_its_retry_class_says_so():
    at = gate()
    news = at.ended(admit(at, outlet()), QUOTA, NOW)
    assert news.slowdown.messages_per_minute == 0
    blocked = admit(at, outlet(), NOW + 6 * 3600 - 1, is_high=True)
    assert (blocked.reason, blocked.until) == (Reason.RATE_LIMITED, NOW + 6 * 3600)
    assert isinstance(admit(at, outlet(), NOW + 6 * 3600), Pass)


def test_nothing_is_remembered_of_what_is_over():
    at = gate()
    at.ended(admit(at, outlet()), SLOW, NOW)
    at.ended(admit(at, outlet(port=1)), QUOTA, NOW)
    fail(at, outlet(port=2), LOGIN)
    admit(at, outlet(port=3), NOW + 86_400)
    assert (at.paces, at.closures, at._circuits) == ({}, {}, {})
    assert len(at.budgets._windows) == 1


def test_what_the_gate_keeps_by_name_holds_no_password():
    relay = outlet(password="hunter2").relay
    assert relay.account == outlet(password="another").relay.account
    assert relay.circuit != outlet(password="another").relay.circuit
    assert relay.circuit == replace(relay, mail_from="somebody@example.com", hello_name="x.example").circuit
