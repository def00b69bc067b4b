"""What a message takes from elsewhere: what is found, what is lacking, and what may not change any more."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.enums import OnUncertain
from watchbell.api.message import RecipientState
from watchbell.api.reasons import Reason
from watchbell.mail.template import Flaw, TemplateProblem
from watchbell.outbox.letters.content import (
    AGAIN_MAX_S,
    Enclosure,
    Ends,
    File,
    Lack,
    Moments,
    changed,
    digest_of,
    file_of,
    held_up,
    not_there,
)
from watchbell.outbox.letters.sources import wordless
from watchbell.outbox.progress import Progress, RecipientProgress
from watchbell.outbox.retry import DEFAULT_SCHEDULE
from watchbell.outbox.settle import Rules

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = Rules(NOW + timedelta(hours=1), OnUncertain.RESEND_ONCE, DEFAULT_SCHEDULE)
LACK = Lack(Reason.ATTACHMENT_NOT_FOUND, "spec.attachments[0].configMapKeyRef.name: there is no ConfigMap", Ends.SOON)
IN_MAP, IN_SECRET = Enclosure("ConfigMap", "reports", "a", 0), Enclosure("Secret", "sealed", "a", 1)


def body(labels=None, **content):
    return {"metadata": {"uid": "u", "resourceVersion": "7", "labels": labels or {}}, **content}


def progress(*states, digest="before"):
    return Progress(tuple(RecipientProgress(state) for state in states), content_digest=digest)


def test_a_key_of_data_and_one_of_binary_data_are_files():
    encoded = base64.b64encode(b"\0\1").decode()
    found = [file_of(body(data={"a": "größe"}), IN_MAP, "n"), file_of(body(binaryData={"a": encoded}), IN_MAP, "n")]
    assert [one.data for one in found if isinstance(one, File)] == ["größe".encode(), b"\0\1"]


def test_the_version_of_a_secrets_file_tells_nothing_of_what_it_holds():
    opted = {"watchbell.dev/attachment": "true"}
    one = file_of(body(opted, data={"a": base64.b64encode(b"0000").decode()}), IN_SECRET, "n")
    two = file_of(body(opted, data={"a": base64.b64encode(b"1111").decode()}), IN_SECRET, "n")
    assert isinstance(one, File)
    assert isinstance(two, File)
    assert one.version == two.version == "u@7"


def test_a_service_accounts_token_is_never_mailed_whatever_its_labels():
    """Kubernetes fills such a Secret for whoever may make one."""
    made = body({"watchbell.dev/attachment": "true"}, data={"a": "eA=="}, type="kubernetes.io/service-account-token")
    found = file_of(made, IN_SECRET, "n")
    assert isinstance(found, Lack)
    assert (found.reason, found.ends) == (Reason.SECRET_NOT_OPTED_IN, Ends.AT_ONCE)


@pytest.mark.parametrize("value", ["!", "a", "====", "YQ==\n!", "größ"])
def test_what_is_no_base64_is_told_and_not_guessed(value):
    found = file_of(body(binaryData={"a": value}), IN_MAP, "n")
    assert isinstance(found, Lack)
    assert (found.reason, found.ends) == (Reason.INVALID_MESSAGE, Ends.AT_ONCE)


@pytest.mark.parametrize(("enclosure", "command"), [(IN_MAP, "create configmap reports"), (IN_SECRET, "create secret")])
def test_what_is_not_there_is_told_with_the_command_that_makes_it(enclosure, command):
    lack = not_there(enclosure, "shop")
    assert lack.message.startswith(
        f"{enclosure.path}.name: there is no {enclosure.kind} {enclosure.name} in namespace shop."
    )
    assert f"kubectl -n shop {command}" in lack.message
    assert lack.ends is Ends.SOON


@given(st.sampled_from(Ends), st.integers(0, 7200), st.integers(1, 100))
def test_a_message_waits_no_longer_than_it_is_worth_and_never_spins(ends, age_s, patience_s):
    moments = Moments(NOW + timedelta(seconds=age_s), NOW, 5.0, patience_s)
    found = held_up(progress(RecipientState.PENDING), Lack(Reason.TEMPLATE_FAILED, "why", ends), RULES, moments)
    must_end = ends is Ends.AT_ONCE or (ends is Ends.SOON and age_s >= patience_s) or moments.now >= RULES.deadline
    assert (found.due is None) == must_end == found.verdict.is_final
    assert found.progress.attempts == 0
    assert "why" in found.verdict.message
    if found.due is not None:
        wait_s = (found.due - moments.now).total_seconds()
        assert 0 < wait_s <= AGAIN_MAX_S
        assert found.due == RULES.deadline or wait_s >= 5.0


def test_a_message_whose_copy_may_be_out_ends_as_unknown_when_its_file_is_gone():
    moments = Moments(NOW + timedelta(seconds=90), NOW, 5.0)
    found = held_up(progress(RecipientState.UNCERTAIN, RecipientState.PENDING), LACK, RULES, moments)
    assert [one.state for one in found.progress.recipients] == [RecipientState.UNKNOWN, RecipientState.PENDING]
    assert found.verdict.reason is Reason.ATTACHMENT_NOT_FOUND


@given(st.lists(st.sampled_from(RecipientState), min_size=1, max_size=5), st.booleans())
def test_what_somebody_may_have_got_never_changes(states, is_same):
    found = changed(progress(*states), "before" if is_same else "after")
    may_be_out = bool({*states} & {RecipientState.ACCEPTED, RecipientState.UNCERTAIN, RecipientState.UNKNOWN})
    assert (found is not None) == (may_be_out and not is_same)
    if found is not None:
        assert found.verdict.reason is Reason.CONTENT_CHANGED
        assert found.due is None
        assert RecipientState.UNCERTAIN not in {one.state for one in found.progress.recipients}


def test_a_message_that_was_never_tried_has_nothing_that_could_have_changed():
    assert changed(progress(RecipientState.PENDING, digest=""), "now") is None


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_equal_digests_mean_equal_parts(one, two):
    is_plain = not any("\0" in text for text in (*one, *two))
    if is_plain and (one or [""]) != (two or [""]):
        assert digest_of(one) != digest_of(two)


@pytest.mark.parametrize(
    ("flaw", "field", "reason", "ends", "begins"),
    [
        (Flaw.NOT_FOUND, "", Reason.TEMPLATE_NOT_FOUND, Ends.SOON, "spec.templateRef.name: "),
        (Flaw.PARAMETER, "parameters.day", Reason.INVALID_MESSAGE, Ends.AT_ONCE, "spec.parameters[day]: "),
        (Flaw.TEMPLATE, "text", Reason.TEMPLATE_FAILED, Ends.AT_DEADLINE, "spec.templateRef.name: EmailTemplate run"),
        (Flaw.INVALID, "", Reason.TEMPLATE_FAILED, Ends.AT_DEADLINE, "spec.templateRef.name: EmailTemplate run"),
    ],
)
def test_each_kind_of_failure_of_a_template_has_its_reason(flaw, field, reason, ends, begins):
    lack = wordless(TemplateProblem(field, "does not fit", 0, flaw), "run")
    assert (lack.reason, lack.ends) == (reason, ends)
    assert lack.message.startswith(begins)
