"""From an object to an envelope and bytes: what is wrong with a message is found before any server hears of it."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.mail.address import Mailbox
from watchbell.outbox.letters.envelope import batch_of
from watchbell.outbox.letters.letter import Composed, Flaw, compose, read
from watchbell.outbox.outlet import ConnectorKey, Outlet, OutletLimits, Use
from watchbell.smtp.model import Relay, RetryClass

KEY = ConnectorKey("SmtpConnector", "apps", "main")


def body(metadata=None, **spec):
    return {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailMessage",
        "metadata": {
            "name": "m",
            "namespace": "apps",
            "uid": "7d9f6a2e-0000-4000-8000-000000000001",
            "generation": 1,
            "creationTimestamp": "2026-11-21T08:00:00Z",
            **(metadata or {}),
        },
        "spec": {"to": ["Ops <ops@example.org>"], "subject": "Hello", "body": {"text": "Hi.\n"}, **spec},
    }


def outlet(sender="alerts@example.com", **changes):
    return Outlet(KEY, Relay("mail.example.com", 587), Mailbox("Watchbell", sender), **changes)


def composed(letter, at=None, known=""):
    found = compose(letter, at or outlet(), known, "prod eu/1")
    assert isinstance(found, Composed), found
    return found


def parsed(found):
    return email.message_from_bytes(found.payload, policy=email.policy.default)


def test_recipients_are_in_the_order_to_cc_bcc_and_bcc_is_no_header():
    letter = read(body(cc=["c@example.org"], bcc=["secret@example.org"]))
    assert [address.text for address in letter.recipients] == ["ops@example.org", "c@example.org", "secret@example.org"]
    mail = parsed(composed(letter))
    assert (mail["To"], mail["Cc"]) == ("Ops <ops@example.org>", "c@example.org")
    assert b"secret" not in composed(letter).payload


def test_the_bytes_are_the_same_for_every_attempt():
    assert composed(read(body())).payload == composed(read(body())).payload
    assert parsed(composed(read(body())))["Date"] == "Sat, 21 Nov 2026 08:00:00 +0000"


def test_a_message_id_in_use_stays_when_the_connectors_sender_changes():
    first = composed(read(body()))
    assert first.message_id.endswith("@example.com>")
    second = composed(read(body()), outlet("alerts@example.net"), first.message_id)
    assert parsed(second)["Message-ID"] == first.message_id


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"to": []}, "spec.to"),
        ({"to": ["not an address"]}, "spec.to[0]"),
        ({"cc": ["ok@example.org", "a..b@example.org"]}, "spec.cc[1]"),
        ({"bcc": ["x@exa mple.org"]}, "spec.bcc[0]"),
        ({"replyTo": ["<>"]}, "spec.replyTo[0]"),
        ({"body": {}}, "spec.body.text"),
        ({"onUncertain": "Maybe"}, "spec.onUncertain"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(spec, field):
    flaw = read(body(**spec))
    assert isinstance(flaw, Flaw), flaw
    assert flaw.field == field


@pytest.mark.parametrize("subject", ["two\r\nBcc: v@example.org", "a\u2028b", "\u202ereversed", "nul\0"])
def test_a_subject_that_could_break_a_header_is_the_messages_flaw(subject):
    letter = read(body(subject=subject))
    flaw = letter if isinstance(letter, Flaw) else compose(letter, outlet(), "")
    assert isinstance(flaw, Flaw)
    assert (flaw.field, flaw.is_of_connector) == ("spec.subject", False)


@pytest.mark.parametrize(
    "at", [outlet("nobody"), outlet(headers=(("Bcc", "v@example.org"),)), outlet(headers=(("X-A", "a\r\nb"),))]
)
def test_a_flaw_of_the_connector_does_not_end_the_message(at):
    flaw = compose(read(body()), at, "")
    assert isinstance(flaw, Flaw)
    assert flaw.is_of_connector


def test_answers_go_where_the_message_says_and_else_where_the_connector_says():
    at = outlet(reply_to=(Mailbox("", "team@example.com"),))
    assert parsed(composed(read(body()), at))["Reply-To"] == "team@example.com"
    assert parsed(composed(read(body(replyTo=["me@example.org"])), at))["Reply-To"] == "me@example.org"
    both = parsed(composed(read(body(replyTo=["me@example.org", "You <you@example.org>"])), at))
    assert both["Reply-To"] == "me@example.org, You <you@example.org>"


def test_an_incidents_message_is_an_alert_with_a_thread_and_a_list():
    owner = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "CollectorIncident",
        "name": "i",
        "uid": "x",
        "controller": True,
    }
    letter = read(body({"ownerReferences": [owner], "annotations": {"watchbell.dev/thread": "prod/otel"}}))
    assert letter.use is Use.ALERT
    mail = parsed(composed(letter))
    assert mail["References"].startswith("<alert-")
    assert mail["List-Id"] == "<alerts.main.prod-eu-1>"
    assert read(body()).use is Use.MESSAGE
    assert read(body({"ownerReferences": [{**owner, "apiVersion": "v1"}]})).use is Use.MESSAGE


def test_a_picture_that_is_not_there_is_a_flaw_of_a_users_mail_and_keeps_no_alert():
    """A tenant's template for alerts may show what it likes: the alert goes out."""
    owner = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "CollectorIncident",
        "name": "i",
        "uid": "x",
        "controller": True,
    }
    page = {"body": {"text": "Hi.", "html": '<img src="cid:logo.png">'}}
    flaw = compose(read(body(**page)), outlet(), "")
    assert isinstance(flaw, Flaw)
    assert (flaw.field, flaw.is_of_connector) == ("spec.attachments", False)
    assert composed(read(body({"ownerReferences": [owner]}, **page)))


def batch(letter, due, **limits):
    return batch_of(letter, due, OutletLimits(**limits), composed(letter))


def test_a_batch_holds_no_more_than_the_connectors_limit():
    letter = read(body(to=[f"u{i}@example.org" for i in range(5)]))
    assert batch(letter, (4, 1, 0), max_recipients_per_message=2).indexes == (4, 1)


def test_the_policy_refuses_for_good_and_sends_the_rest():
    letter = read(body(to=["a@Example.ORG", "b@evil.example", "c@other.example"]))
    found = batch(letter, (0, 1, 2), allowed_domains=("example.org", "evil.example"), denied_domains=("evil.example",))
    assert found.indexes == (0,)
    assert set(found.refused) == {1, 2}
    assert all(result.fault and result.fault.retry is RetryClass.NEVER for result in found.refused.values())


def test_a_recipient_beyond_ascii_goes_by_himself_so_that_he_alone_can_fail():
    letter = read(body(to=["a@example.org"], bcc=["jörg@example.org"]))
    first = batch(letter, (0, 1))
    assert (first.indexes, first.envelope.needs_smtputf8) == ((0,), False)
    second = batch(letter, (1,))
    assert (second.indexes, second.envelope.needs_smtputf8) == ((1,), True)


@given(
    st.lists(
        st.sampled_from(["a@example.org", "b@example.net", "jörg@example.org", "c@example.org"]),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    st.integers(1, 8),
)
def test_every_recipient_is_in_some_batch_exactly_once(addresses, limit):
    letter = read(body(to=addresses))
    left, seen = tuple(range(len(addresses))), []
    while left:
        found = batch(letter, left, max_recipients_per_message=limit, denied_domains=("example.net",))
        now = [*found.indexes, *found.refused]
        assert now
        assert len(found.indexes) == len(found.envelope.recipients) <= limit
        seen += now
        left = tuple(i for i in left if i not in now)
    assert sorted(seen) == list(range(len(addresses)))
