"""What attempts mean for a message: nothing forgotten, nothing sent a third time, times that only rise."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.enums import OnUncertain, RecipientOutcome
from watchbell.api.message import RecipientState
from watchbell.api.reasons import Reason
from watchbell.outbox.progress import Progress, RecipientProgress
from watchbell.outbox.records.record import status_of
from watchbell.outbox.retry import DEFAULT_SCHEDULE, deadline, delay_s, is_connector_fault
from watchbell.outbox.settle import Held, Inherited, Rules, Tried, overdue, rejected, resumed, settle
from watchbell.smtp.model import Fault, RecipientResult, RetryClass, StageName

START = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
DAY = Rules(START + timedelta(days=1), OnUncertain.RESEND_ONCE, DEFAULT_SCHEDULE)
CLASSES = st.sampled_from(RetryClass)
CHANCE = st.floats(0, 1, exclude_max=True)


def fault(retry=RetryClass.A, stage=StageName.RECIPIENT, reason=Reason.TEMPORARY_FAILURE, is_permanent=False):
    return Fault(stage, reason, "the server said so", retry, is_permanent)


def result(outcome, retry=RetryClass.A, **changes):
    if outcome is RecipientOutcome.ACCEPTED:
        return RecipientResult("a@example.org", outcome, None, 250, "2.0.0")
    return RecipientResult("a@example.org", outcome, fault(retry, **changes), 450, "4.0.0")


def fresh(count=1):
    return Progress((RecipientProgress(),) * count)


def tried(*outcomes, started=START, retry=RetryClass.A, **changes):
    results = {i: result(outcome, retry) for i, outcome in enumerate(outcomes) if outcome is not None}
    return Tried(started, results, **changes)


def states(settled):
    return [recipient.state.value for recipient in settled.progress.recipients]


A, R, D, U = (
    RecipientOutcome.ACCEPTED,
    RecipientOutcome.REFUSED,
    RecipientOutcome.DEFERRED,
    RecipientOutcome.UNKNOWN,
)


# --- delays


@given(CLASSES.filter(lambda retry: retry is not RetryClass.NEVER), st.lists(CHANCE, min_size=12, max_size=12))
def test_delays_rise_to_a_cap_within_their_jitter(retry, chances):
    plain = [delay_s(DEFAULT_SCHEDULE, retry, attempts, 0.5) for attempts in range(1, 13)]
    assert plain == sorted(plain)
    assert plain[-1] == plain[-2] <= 6 * 3600
    for attempts, chance in enumerate(chances, 1):
        assert (
            0.8 * plain[attempts - 1] <= delay_s(DEFAULT_SCHEDULE, retry, attempts, chance) <= 1.2 * plain[attempts - 1]
        )


@pytest.mark.parametrize(
    ("retry", "minutes"),
    [
        (RetryClass.A, [0.5, 1, 2, 5, 5]),
        (RetryClass.B, [5, 10, 15, 30, 30]),
        (RetryClass.C, [60, 60]),
        (RetryClass.D, [360, 360]),
        (RetryClass.GREYLIST, [1, 5, 15, 30, 30]),
        (RetryClass.NOW, [0, 0]),
    ],
)
def test_each_class_has_its_row(retry, minutes):
    assert [delay_s(DEFAULT_SCHEDULE, retry, i, 0.5) / 60 for i in range(1, len(minutes) + 1)] == minutes


def test_never_means_never():
    assert delay_s(DEFAULT_SCHEDULE, RetryClass.NEVER, 1, 0.5) is None


def test_the_deadline_of_a_message_for_later_counts_from_its_time():
    later = START + timedelta(days=7)
    assert deadline(START, None, None) == START + timedelta(days=1)
    assert deadline(START, later, 60) == later + timedelta(seconds=60)
    assert deadline(START, START - timedelta(days=9), 60) == START + timedelta(seconds=60)


# --- one attempt


def test_all_accepted_is_the_end():
    settled = settle(fresh(2), tried(A, A), DAY, START, 0.5)
    assert settled.due is None
    assert (settled.verdict.status, settled.verdict.reason) == ("True", Reason.ACCEPTED_BY_SERVER)
    assert settled.progress.attempts == 1


@pytest.mark.parametrize(
    ("outcomes", "retry", "reason"),
    [
        ((R, A), RetryClass.NEVER, Reason.RECIPIENTS_REFUSED),
        ((R, R), RetryClass.NEVER, Reason.RECIPIENTS_REFUSED),
    ],
)
def test_refused_recipients_end_the_message_with_their_reason(outcomes, retry, reason):
    settled = settle(fresh(2), tried(*outcomes, retry=retry), DAY, START, 0.5)
    assert (settled.due, settled.verdict.status, settled.verdict.reason) == (None, "False", reason)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(Reason.CONTENT_REJECTED, Reason.MESSAGE_REJECTED), (Reason.MESSAGE_TOO_LARGE, Reason.MESSAGE_TOO_LARGE)],
)
def test_a_refusal_of_the_content_is_the_messages_own(cause, reason):
    own = fault(RetryClass.NEVER, StageName.DATA, cause, is_permanent=True)
    results = {0: RecipientResult("a@example.org", R, own, 554)}
    settled = settle(fresh(), Tried(START, results, own), DAY, START, 0.5)
    assert settled.verdict.reason is reason


def test_a_permanent_code_that_the_taxonomy_calls_transient_is_tried_again():
    quota = fault(RetryClass.D, StageName.RECIPIENT, Reason.QUOTA_EXCEEDED)
    results = {0: RecipientResult("a@example.org", R, quota, 550, "5.4.5")}
    settled = settle(fresh(), Tried(START, results), DAY, START, 0.5)
    assert states(settled) == ["Pending"]
    assert settled.due == START + timedelta(hours=6)


def test_a_permanent_fault_of_the_connector_counts_no_attempt_and_waits_for_it():
    wrong = fault(RetryClass.C, StageName.AUTHENTICATE, Reason.CREDENTIALS_REJECTED, is_permanent=True)
    settled = settle(fresh(2), Tried(START, {}, wrong), DAY, START, 0.5)
    assert settled.is_held
    assert settled.progress.attempts == 0
    assert settled.due == START + timedelta(hours=1)
    assert states(settled) == ["Pending", "Pending"]


def test_a_passing_fault_of_the_connector_counts():
    down = fault(RetryClass.A, StageName.CONNECT, Reason.CONNECTION_REFUSED)
    settled = settle(fresh(), Tried(START, {}, down), DAY, START, 0.5)
    assert not settled.is_held
    assert settled.progress.attempts == 1
    assert settled.due == START + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("stage", "retry", "is_permanent", "expected"),
    [
        (StageName.AUTHENTICATE, RetryClass.C, True, True),
        (StageName.RESOLVE, RetryClass.B, True, True),
        (StageName.CONNECT, RetryClass.A, False, False),
        (StageName.SENDER, RetryClass.C, True, True),
        (StageName.SENDER, RetryClass.NEVER, True, False),
        (StageName.DATA, RetryClass.NEVER, True, False),
    ],
)
def test_what_counts_as_the_connectors_fault(stage, retry, is_permanent, expected):
    assert is_connector_fault(fault(retry, stage, is_permanent=is_permanent)) is expected


def test_unavailable_is_no_attempt():
    settled = settle(fresh(), Held(Reason.SUSPENDED, "The connector is suspended."), DAY, START, 0.5)
    assert (settled.is_held, settled.progress.attempts, settled.verdict.reason) == (True, 0, Reason.SUSPENDED)


def test_at_once_needs_progress():
    too_many = {0: result(A), 1: result(D, RetryClass.NOW)}
    assert settle(fresh(2), Tried(START, too_many), DAY, START, 0.5).due == START
    none = {0: result(D, RetryClass.NOW), 1: result(D, RetryClass.NOW)}
    assert settle(fresh(2), Tried(START, none), DAY, START, 0.5).due == START + timedelta(seconds=30)


def test_recipients_of_the_next_batch_do_not_wait_for_those_who_were_deferred():
    settled = settle(fresh(3), tried(D, D, None), DAY, START, 0.5)
    assert settled.due == START
    assert settled.progress.due(START) == (2, 0, 1)


# --- lost replies


def test_resend_once_waits_ten_minutes_and_ends_after_the_second_loss():
    first = settle(fresh(), tried(U), DAY, START, 0.5)
    assert states(first) == ["Uncertain"]
    assert first.due == START + timedelta(minutes=10)
    assert first.progress.due(START + timedelta(minutes=9)) == ()
    assert first.progress.due(first.due) == (0,)
    second = settle(first.progress, tried(U, started=first.due), DAY, first.due, 0.5)
    assert (states(second), second.due) == (["Unknown"], None)
    assert second.verdict.reason is Reason.OUTCOME_UNKNOWN
    assert second.verdict.status == "False"


def test_a_definite_no_after_a_loss_keeps_the_right_to_one_copy():
    first = settle(fresh(), tried(U), DAY, START, 0.5)
    second = settle(first.progress, tried(D, started=first.due), DAY, first.due, 0.5)
    assert states(second) == ["Uncertain"]
    assert second.due > first.due


def test_resend_goes_on_until_there_is_an_answer():
    rules = replace(DAY, on_uncertain=OnUncertain.RESEND)
    progress = fresh()
    for _ in range(5):
        settled = settle(progress, tried(U), rules, START, 0.5)
        progress = settled.progress
        assert settled.due is not None
    assert settle(progress, tried(A), rules, START, 0.5).verdict.status == "True"


def test_pending_recipients_do_not_wait_for_the_uncertain_ones():
    settled = settle(fresh(2), tried(U, D), DAY, START, 0.5)
    assert settled.due == START + timedelta(seconds=30)
    assert settled.progress.due(settled.due) == (1,)


def test_what_a_successor_finds_in_the_journal_counts_as_lost_once():
    found = Inherited(1, START, (0,))
    first = settle(fresh(2), found, DAY, START, 0.5)
    assert states(first) == ["Uncertain", "Pending"]
    assert first.progress.attempts == 1
    again = settle(first.progress, found, DAY, START, 0.5)
    assert again.progress == first.progress


# --- deadline


def test_at_the_deadline_it_is_over_and_says_what_was_accepted():
    half = settle(fresh(2), tried(A, D), DAY, START, 0.5)
    over = overdue(half.progress, DAY, DAY.deadline)
    assert over is not None
    assert over.verdict.reason is Reason.DEADLINE_EXCEEDED
    assert "1 accepted" in over.verdict.message
    assert overdue(half.progress, DAY, DAY.deadline - timedelta(seconds=1)) is None


def test_a_lost_mail_at_its_deadline_is_unknown():
    lost = settle(fresh(), tried(U), DAY, START, 0.5)
    over = overdue(lost.progress, DAY, DAY.deadline)
    assert over is not None
    assert (states(over), over.verdict.reason) == (["Unknown"], Reason.OUTCOME_UNKNOWN)


@given(CLASSES, CHANCE)
def test_no_attempt_is_planned_beyond_the_deadline(retry, chance):
    soon = replace(DAY, deadline=START + timedelta(seconds=10))
    settled = settle(fresh(), tried(D, retry=retry), soon, START, chance)
    assert settled.due is None or settled.due <= soon.deadline


# --- whole lives

outcomes = st.sampled_from([A, R, D, U])
lives = st.lists(st.tuples(st.lists(outcomes, min_size=4, max_size=4), CLASSES, CHANCE, st.booleans()), max_size=25)


@given(lives, st.sampled_from(OnUncertain), st.integers(1, 4))
def test_over_a_whole_life_nothing_is_forgotten_doubled_or_asked_again_after_an_end(life, on_uncertain, count):
    rules = replace(DAY, on_uncertain=on_uncertain)
    progress, now = fresh(count), START
    copies = [0] * count
    for answers, retry, chance, is_inherited in life:
        batch = progress.due(now)
        if is_inherited:
            happening = Inherited(progress.attempts + 1, now, batch)
            results = {i: RecipientResult("", U) for i in batch}
        else:
            results = {i: result(answers[i], retry) for i in batch}
            happening = Tried(now, results)
        for i in batch:
            assert progress.recipients[i].is_open
            copies[i] += results[i].outcome in (U, A)
        settled = settle(progress, happening, rules, now, chance)
        for before, after in zip(progress.recipients, settled.progress.recipients, strict=True):
            assert before.is_open or before == after
        assert settled.progress.attempts >= progress.attempts
        assert (settled.due is None) == settled.verdict.is_final
        if settled.due is None:
            assert not settled.progress.has_open or now >= rules.deadline
            break
        assert settled.progress.has_open
        assert now <= settled.due <= rules.deadline
        assert settled.progress.due(settled.due)
        progress, now = settled.progress, settled.due
        if (over := overdue(progress, rules, now)) is not None:
            assert not over.progress.recipients or over.verdict.is_final
            break
    if on_uncertain is OnUncertain.RESEND_ONCE:
        assert max(copies) <= 2
    if on_uncertain is OnUncertain.ASSUME_SENT:
        assert max(copies) <= 1


# --- status


def conditions(status):
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def test_the_status_tells_kstatus_whether_it_goes_on_ended_or_failed():
    going = status_of(settle(fresh(), tried(D), DAY, START, 0.5), 1, "<m@example.com>", (), START)
    assert conditions(going) == {"Reconciling": ("True", "Retrying"), "Succeeded": ("Unknown", "Retrying")}
    assert "completionTime" not in going
    assert going["nextAttemptTime"] == "2026-11-21T08:00:30Z"
    ended = status_of(settle(fresh(), tried(A), DAY, START, 0.5), 1, "<m@example.com>", going["conditions"], START)
    assert conditions(ended) == {"Succeeded": ("True", "AcceptedByServer")}
    assert ended["completionTime"] == "2026-11-21T08:00:00Z"
    assert "nextAttemptTime" not in ended
    failed = status_of(rejected(fresh(), Reason.INVALID_MESSAGE, "spec.to[0]: no"), 1, "", (), START)
    assert conditions(failed) == {"Stalled": ("True", "InvalidMessage"), "Succeeded": ("False", "InvalidMessage")}
    assert failed["observedGeneration"] == 1
    assert "messageID" not in failed


def test_a_held_message_promises_no_time():
    settled = settle(fresh(), Held(Reason.SUSPENDED, "suspended"), DAY, START, 0.5)
    assert "nextAttemptTime" not in status_of(settled, 1, "", (), START)


def test_a_recipient_in_the_status_says_why():
    status = status_of(settle(fresh(2), tried(R, A, retry=RetryClass.NEVER), DAY, START, 0.5), 1, "<m@x>", (), START)
    assert status["recipientResults"] == [
        {"index": 0, "result": "Refused", "reason": "TemporaryFailure", "code": 450, "enhancedCode": "4.0.0"},
        {"index": 1, "result": "Accepted", "code": 250, "enhancedCode": "2.0.0"},
    ]


def test_a_successor_that_finds_everything_settled_plans_the_rest():
    progress = Progress(
        (RecipientProgress(RecipientState.ACCEPTED), RecipientProgress(RecipientState.UNCERTAIN)), 1, START
    )
    settled = resumed(progress.with_resend_after(600), DAY, START + timedelta(minutes=1))
    assert settled.due == START + timedelta(minutes=10)
    assert settled.progress.attempts == 1
