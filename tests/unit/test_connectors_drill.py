"""Fire drills: one a period, none twice after a restart, and a condition that goes stale when one is late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from mailrig import both, is_harmless
from watchbell.api.enums import BuiltinTemplate
from watchbell.connectors.drill import (
    Drill,
    Plan,
    assess,
    begins,
    grace_s,
    message_of,
    name_of,
    number_at,
    suspended,
    with_drill,
    without_drill,
)
from watchbell.mail.builtin import unpack
from watchbell.mail.document import Rendered
from watchbell.outbox.letters.letter import Letter, read
from watchbell.outbox.outlet import ConnectorKey, Use

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = 3600
KEY = ConnectorKey("SmtpConnector", "apps", "main")
PLAN = Plan(KEY, "7d9f6a2e-0000-4000-8000-000000000001", HOUR, ("ops@example.org",))
PLANS = st.builds(
    lambda uid, period: replace(PLAN, uid=uid, period_s=period), st.uuids().map(str), st.integers(60, 2_592_000)
)
TIMES = st.floats(1.8e9, 2.1e9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def said(standing):
    return standing.condition.status, str(standing.condition.reason)


def drill(number, after_s=5.0, succeeded="True", plan=PLAN):
    made = begins(plan, number)
    done = made + timedelta(seconds=after_s) if succeeded != "Unknown" else None
    return Drill(name_of(plan, number), made, done, succeeded, "MessageRejected: no")


@settings(deadline=None)
@given(PLANS, TIMES)
def test_a_moment_is_in_the_period_that_its_number_says(plan, now):
    number = number_at(plan, now)
    assert begins(plan, number) <= now < begins(plan, number + 1)


@settings(deadline=None)
@given(PLANS, TIMES, st.integers(2, 6))
def test_over_several_periods_with_restarts_at_any_time_each_has_one_drill(plan, now, periods):
    made: dict[str, Drill] = {}
    looks = [now + timedelta(seconds=plan.period_s * i / 3) for i in range(3 * periods)]
    for look in looks:
        standing = assess(plan, list(made.values()), None, look)
        if standing.missing is not None:
            name = name_of(plan, standing.missing)
            assert name not in made
            made[name] = Drill(name, look, look, "True")
    assert len(made) in (periods, periods + 1)


@settings(deadline=None)
@given(PLANS, TIMES)
def test_who_is_looked_at_as_asked_is_never_late_while_drills_are_accepted(plan, now):
    drills: list[Drill] = []
    for _ in range(6):
        standing = assess(plan, drills, None, now)
        if standing.missing is not None:
            drills.append(Drill(name_of(plan, standing.missing), now, now, "True"))
        assert said(assess(plan, drills, None, now)) == ("True", "Proven")
        assert standing.again > now
        now = standing.again


def test_the_first_drill_is_made_at_once_and_pending_until_it_is_late():
    standing = assess(PLAN, (), None, NOW)
    assert standing.missing == number_at(PLAN, NOW)
    assert said(standing) == ("Unknown", "DrillPending")
    sent = Drill(name_of(PLAN, standing.missing), NOW)
    for after_s, wanted in ((0, ("Unknown", "DrillPending")), (grace_s(PLAN), ("False", "DrillLate"))):
        standing = assess(
            PLAN, (sent, drill(number_at(PLAN, NOW) + 1, succeeded="Unknown")), None, NOW + timedelta(seconds=after_s)
        )
        assert (said(standing), standing.missing) == (wanted, None)


def test_a_proof_holds_for_a_period_and_the_grace():
    number = number_at(PLAN, NOW)
    proof = drill(number)
    last = proof.completed + timedelta(seconds=HOUR + grace_s(PLAN))
    for moment, wanted in (
        (last - timedelta(seconds=1), ("True", "Proven")),
        (last, ("False", "DrillLate")),
    ):
        next_one = drill(number + 1, succeeded="Unknown")
        standing = assess(PLAN, (proof, next_one), None, moment)
        assert said(standing) == wanted
        assert standing.proven == proof.completed
    assert "and the next was due by" in standing.condition.message


def test_a_failed_drill_says_why_until_one_is_accepted():
    number = number_at(PLAN, NOW)
    failed = drill(number, succeeded="False")
    standing = assess(PLAN, (drill(number - 1), failed), None, failed.completed)
    assert said(standing) == ("False", "DrillFailed")
    assert "MessageRejected: no" in standing.condition.message
    later = drill(number + 1)
    assert said(assess(PLAN, (drill(number - 1), failed, later), None, later.completed)) == ("True", "Proven")


def test_the_last_proof_is_remembered_when_its_message_is_gone():
    known = NOW - timedelta(seconds=60)
    standing = assess(PLAN, (), known, NOW)
    assert (said(standing), standing.proven) == (("True", "Proven"), known)
    assert suspended(known, NOW).proven == known
    assert said(suspended(known, NOW)) == ("Unknown", "Suspended")


@settings(deadline=None)
@given(PLANS, TIMES)
def test_what_is_looked_at_next_is_the_next_thing_that_can_happen(plan, now):
    proven = now - timedelta(seconds=plan.period_s)
    standing = assess(plan, (), proven, now)
    before = standing.again - timedelta(seconds=1)
    if before > now:
        made = [Drill(name_of(plan, number_at(plan, now)), now)]
        assert said(assess(plan, made, proven, before)) == said(assess(plan, made, proven, now))
        assert assess(plan, made, proven, before).missing is None


def test_the_message_is_one_that_the_outbox_can_send_and_belongs_to_the_connector():
    number = number_at(PLAN, NOW)
    body = message_of(PLAN, number, "watchbell", ("prod-eu-1", "mail.example.com:587"))
    assert body["metadata"]["name"] == name_of(PLAN, number)
    assert body["metadata"]["namespace"] == "apps"
    assert body["metadata"]["ownerReferences"][0]["uid"] == PLAN.uid
    body["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-21T12:00:00Z"}
    letter = read(body)
    assert isinstance(letter, Letter)
    assert letter.use is Use.TEST
    assert letter.subject == "Fire drill of mail from apps/main on prod-eu-1"
    assert "mail.example.com:587" in letter.text
    cluster = replace(PLAN, key=ConnectorKey("ClusterSmtpConnector", "", "main"))
    assert message_of(cluster, number, "watchbell", ("", ""))["metadata"]["namespace"] == "watchbell"


def test_the_mail_says_that_nothing_is_to_be_done_and_what_its_absence_means():
    [facts] = message_of(PLAN, 1, "", ("c", "e"))["spec"]["parameters"]
    mail = unpack(BuiltinTemplate.DRILL, facts["value"])
    assert isinstance(mail, Rendered)
    assert is_harmless(mail)
    for part in both(mail):
        assert "Nothing is wrong and there is nothing to do." in part
        assert "Does the next one not come within 1 h?" in part
    assert isinstance(unpack(BuiltinTemplate.DRILL, "{}"), str)


def test_what_drills_say_is_not_mistaken_for_what_the_probe_says():
    proven, ready = {"type": "Proven", "status": "True"}, {"type": "Ready", "status": "True"}
    status = {"endpoint": "e", "lastProvenDeliveryTime": "t", "conditions": [proven, ready]}
    assert without_drill(status) == {"endpoint": "e", "conditions": [ready]}
    assert with_drill({"endpoint": "f", "conditions": [ready]}, status) == {
        "endpoint": "f",
        "lastProvenDeliveryTime": "t",
        "conditions": [ready, proven],
    }
    assert without_drill({}) == {}
