from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.reasons import Reason
from watchbell.connectors.schedule import Cause, Memory, Probed, Rhythm, decide, next_due, remember
from watchbell.smtp.model import Fault, Level, ProbeReport, RetryClass, ServerFacts, StageName

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RHYTHM = Rhythm(
    level=Level.AUTHENTICATE,
    period_s=600,
    auth_period_s=3600,
    failure_threshold=3,
    is_suspended=False,
    needs_login=True,
    chance=0.5,
)
PASSED = ProbeReport((), None, ServerFacts())


def failed(stage=StageName.CONNECT, retry=RetryClass.A, *, permanent=False):
    fault = Fault(stage, Reason.CONNECTION_REFUSED, "refused", retry, is_permanent=permanent)
    return ProbeReport((), fault, ServerFacts())


REJECTED = failed(StageName.AUTHENTICATE, RetryClass.C, permanent=True)


def after(report, memory=None, *, at=NOW, level=Level.AUTHENTICATE, fingerprint="1", request=""):
    return remember(memory or Memory(), Probed(fingerprint, level, request, at, report), RHYTHM)


def test_a_connector_that_was_never_probed_is_probed_at_once_and_in_full():
    decision = decide(Memory(), RHYTHM, "1", "", NOW)
    assert (decision.cause, decision.level) == (Cause.FIRST, Level.AUTHENTICATE)


@pytest.mark.parametrize(
    ("fingerprint", "request_", "cause"),
    [("2", "", Cause.CHANGED), ("1", "now", Cause.REQUESTED)],
)
def test_a_change_or_a_request_is_answered_at_once_even_after_a_rejected_login(fingerprint, request_, cause):
    decision = decide(after(REJECTED), RHYTHM, fingerprint, request_, NOW)
    assert (decision.cause, decision.level) == (cause, Level.AUTHENTICATE)


def test_an_answered_request_is_not_answered_again():
    memory = after(PASSED, request="now")
    assert decide(memory, RHYTHM, "1", "now", NOW).cause is Cause.NOT_DUE


def test_most_probes_end_before_the_login_and_one_an_hour_logs_in():
    memory = after(PASSED)
    soon = decide(memory, RHYTHM, "1", "", NOW + timedelta(seconds=600))
    later = decide(memory, RHYTHM, "1", "", NOW + timedelta(seconds=3600))
    assert (soon.cause, soon.level) == (Cause.PERIOD, Level.TLS)
    assert (later.cause, later.level) == (Cause.AUTH_PERIOD, Level.AUTHENTICATE)


def test_a_wrong_password_is_never_tried_again_in_a_loop():
    memory, times, at = after(REJECTED), [], NOW
    for _ in range(9):
        due = next_due(memory, RHYTHM)
        times.append(int((due - at).total_seconds()))
        at = due
        memory = after(REJECTED, memory, at=at)
    assert times == [900, 1800, 3600, 7200, 14400, 28800, 86400, 86400, 86400]


def test_a_failed_send_does_not_cut_the_back_off_of_a_rejected_login_short():
    memory = replace(after(REJECTED), is_suspect=True)
    assert decide(memory, RHYTHM, "1", "", NOW + timedelta(seconds=60)).cause is Cause.NOT_DUE


def test_a_failed_send_brings_a_full_probe_but_not_more_than_one_in_thirty_seconds():
    memory = replace(after(PASSED), is_suspect=True)
    early = decide(memory, RHYTHM, "1", "", NOW + timedelta(seconds=29))
    due = decide(memory, RHYTHM, "1", "", NOW + timedelta(seconds=30))
    assert (early.cause, early.due) == (Cause.NOT_DUE, NOW + timedelta(seconds=30))
    assert (due.cause, due.level) == (Cause.SEND_FAILED, Level.AUTHENTICATE)


def test_an_established_connector_stays_proven_below_the_threshold_and_not_beyond():
    memory, proven = after(PASSED), []
    for _ in range(3):
        memory = after(failed(), memory)
        proven.append(memory.is_proven)
    assert proven == [True, True, False]


def test_a_permanent_fault_ends_readiness_at_once():
    assert after(REJECTED, after(PASSED)).is_proven is False


@pytest.mark.parametrize("reason", [Reason.HOST_NOT_FOUND, Reason.OUTBOUND_SMTP_BLOCKED, Reason.GREETING_REJECTED])
def test_a_server_that_was_reached_before_and_is_gone_keeps_its_connector_ready_below_the_threshold(reason):
    gone = ProbeReport((), Fault(StageName.CONNECT, reason, "gone", RetryClass.C, is_permanent=True), ServerFacts())
    never = after(gone)
    memory, waits = after(PASSED), []
    for _ in range(3):
        assert memory.is_proven is True
        memory = after(gone, memory)
        waits.append(next_due(memory, RHYTHM) - NOW)
    assert memory.is_proven is False
    assert max(waits) <= timedelta(minutes=30)
    assert never.is_proven is False
    assert next_due(never, RHYTHM) - NOW == timedelta(hours=1)


def test_a_relay_that_is_down_is_looked_at_no_less_often_than_one_that_is_up():
    memory, often, waits = after(PASSED), replace(RHYTHM, period_s=120), []
    for _ in range(6):
        memory = after(failed(retry=RetryClass.B), memory)
        waits.append((next_due(memory, often) - NOW).total_seconds())
    assert waits == [120] * 6
    assert (next_due(memory, replace(RHYTHM, period_s=10)) - NOW).total_seconds() == 30


def test_a_shallow_probe_does_not_prove_a_connector_whose_login_was_never_proven():
    assert after(PASSED, level=Level.TLS).is_proven is False
    assert after(PASSED, after(PASSED), level=Level.TLS).is_proven is True


def test_a_changed_secret_starts_the_counting_anew():
    memory = after(REJECTED, after(REJECTED))
    assert memory.rejected_logins == 2
    assert after(REJECTED, memory, fingerprint="2").rejected_logins == 1


@pytest.mark.parametrize(
    ("rhythm", "cause"),
    [
        (replace(RHYTHM, is_suspended=True), Cause.SUSPENDED),
        (replace(RHYTHM, level=Level.DISABLED), Cause.DISABLED),
    ],
)
def test_a_suspended_or_disabled_connector_is_left_alone(rhythm, cause):
    assert decide(Memory(), rhythm, "1", "now", NOW).cause is cause
    assert decide(Memory(), rhythm, "1", "now", NOW).level is None


@given(
    st.lists(st.sampled_from([PASSED, failed(), failed(retry=RetryClass.B), REJECTED]), min_size=1, max_size=12),
    st.floats(0, 1, exclude_max=True),
)
def test_the_next_probe_always_lies_ahead_and_within_a_day(reports, chance):
    rhythm, memory, at = replace(RHYTHM, chance=chance), Memory(), NOW
    for report in reports:
        memory = remember(memory, Probed("1", Level.AUTHENTICATE, "", at, report), rhythm)
        due = next_due(memory, rhythm)
        assert timedelta(seconds=20) <= due - at <= timedelta(days=1)
        assert decide(memory, rhythm, "1", "", at).level is None
        at = due
