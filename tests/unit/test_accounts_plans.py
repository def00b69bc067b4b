"""What an AccountRecovery comes to, and which EmailMessage is really its own; which Secret is a ring of keys."""

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.caseform import BASES
from watchbell.accounts import plans, standing
from watchbell.accounts.keys import MAX_KEYS, KeyRing, Trouble, keyring_of
from watchbell.api.account import AccountRecovery, RecoveryLink
from watchbell.api.message import EmailMessage
from watchbell.api.meta import parse
from watchbell.api.reasons import Reason

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
UID = "0c5b2c1e-6d3f-4f0a-9d36-0f6a1b9d7f11"
KEY = b"a key of thirty-two bytes, or so"


def recovery(name: str = "reset-alice", **spec: Any) -> AccountRecovery:
    wanted = {key: value for key, value in (BASES["AccountRecovery"] | spec).items() if value is not None}
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "AccountRecovery",
        "metadata": {"name": name, "namespace": "apps", "uid": UID, "generation": 1, "creationTimestamp": "2026-11-21T12:00:00Z"},
        "spec": wanted,
    }  # fmt: skip
    parsed = parse(AccountRecovery, body)
    assert isinstance(parsed, AccountRecovery), parsed
    return parsed


def stored(one: AccountRecovery, **changes: Any) -> dict[str, Any]:
    """The message as the API server gives it back, defaults filled in."""
    body = copy.deepcopy(plans.message_of(one, NOON))
    body["metadata"] |= {"uid": "m", "creationTimestamp": "2026-11-21T12:00:01Z", "generation": 1}
    body["spec"] = {"onUncertain": "ResendOnce", **body["spec"], **changes}
    return body


def test_the_message_is_a_valid_one_and_holds_neither_text_nor_parameters():
    for one in (recovery(), recovery(type="RecoveryCodes", link=None)):
        body = plans.message_of(one, NOON)
        assert isinstance(parse(EmailMessage, body), EmailMessage)
        assert set(body["spec"]) == {"to", "subject", "templateRef", "priority", "activeDeadlineSeconds"}


def test_the_message_may_go_out_as_long_as_the_link_is_valid_and_no_longer():
    one = recovery(expirationSeconds=900)
    left = [
        plans.message_of(one, NOON + timedelta(seconds=seconds))["spec"]["activeDeadlineSeconds"]
        for seconds in (0, 1, 899.5, 2000)
    ]
    assert left == [900, 899, 1, 1]


def test_a_name_of_any_length_gives_names_that_the_api_server_takes():
    for name in ("a", "a" * 253, "a" * 243 + ".bcdefghi"):
        made = plans.message_name(recovery(name)), plans.codes_name(recovery(name))
        assert all(len(one) <= 253 and ".-" not in one for one in made)
        assert made[0].endswith("-0c5b2c1e")
        assert made[1].endswith("-codes")


@pytest.mark.parametrize(
    ("base_url", "parameter", "address", "audience"),
    [
        ("https://app.example.com", "token", "https://app.example.com?token=T", "https://app.example.com"),
        ("https://App.Example.com:8443/a", "t", "https://App.Example.com:8443/a?t=T", "https://app.example.com:8443"),
        ("https://a.example/r?lang=de", "t", "https://a.example/r?lang=de&t=T", "https://a.example"),
        ("https://[2001:db8::1]/r", "t", "https://[2001:db8::1]/r?t=T", "https://[2001:db8::1]"),
    ],
)
def test_a_link_is_the_base_with_the_token_and_its_origin_the_audience(base_url, parameter, address, audience):
    link = RecoveryLink(base_url=base_url, token_parameter=parameter)
    assert (plans.address(link, "T"), plans.audience(link)) == (address, audience)


@pytest.mark.parametrize(
    "spec", [{}, {"connectorRef": {"name": "main"}}, {"connectorRef": {"kind": "ClusterSmtpConnector", "name": "x"}}]
)
def test_the_message_that_was_made_for_it_is_its_own(spec):
    assert plans.stranger(stored(recovery(**spec)), recovery(**spec)) == ""


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("spec.to", {"to": ["mallory@evil.example"]}),
        ("spec.to", {"to": ["alice@example.com", "mallory@evil.example"]}),
        ("spec.cc", {"cc": ["mallory@evil.example"]}),
        ("spec.bcc", {"bcc": ["mallory@evil.example"]}),
        ("spec.replyTo", {"replyTo": ["mallory@evil.example"]}),
        ("spec.subject", {"subject": "Win a prize"}),
        ("spec.templateRef", {"templateRef": {"builtin": "RecoveryCodes"}}),
        ("spec.connectorRef", {"connectorRef": {"name": "of-mallory"}}),
        ("spec.parameters", {"parameters": [{"name": "facts", "value": "{}"}]}),
        ("spec.attachments", {"attachments": [{"filename": "a.txt"}]}),
        ("spec.body", {"body": {"text": "x"}}),
        ("spec.newField", {"newField": {"to": "mallory@evil.example"}}),
    ],
)
def test_a_message_that_says_anything_else_is_a_stranger(path, change):
    assert plans.stranger(stored(recovery(), **change), recovery()).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("path", "metadata"),
    [
        ("metadata.name", {"name": "another"}),
        ("metadata.name", {"namespace": "another"}),
        ("metadata.name", {"ownerReferences": []}),
        *(
            (path, {"ownerReferences": [owner]})
            for right in [{"apiVersion": "watchbell.dev/v1alpha1", "kind": "AccountRecovery", "name": "reset-alice", "uid": UID, "controller": True}]
            for path, owner in (
                ("metadata.ownerReferences", right | {"uid": UID[:8] + "-another"}),
                ("metadata.name", right | {"uid": "another"}),
                ("metadata.name", right | {"name": "../secrets/x"}),
                ("metadata.name", right | {"controller": False}),
                ("metadata.name", right | {"kind": "Pod"}),
                ("metadata.name", right | {"apiVersion": "v1"}),
            )
        ),
    ],
)  # fmt: skip
def test_a_message_of_another_owner_or_name_is_a_stranger(path, metadata):
    body = stored(recovery())
    body["metadata"] |= metadata
    assert plans.stranger(body, recovery()).startswith(f"{path}: ")


# ---------------------------------------------------------------------- keys


def secret(signs: str | None = None, label: str | None = "true", **keys: bytes) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "account-mail",
            "namespace": "apps",
            "labels": {"watchbell.dev/signing-key": label} if label else None,
            "annotations": {"watchbell.dev/signs-with": signs} if signs else None,
        },
        "data": {kid: base64.b64encode(key).decode() for kid, key in keys.items()},
    }


def test_one_key_signs_without_saying_so_and_of_several_the_named_one():
    assert keyring_of(secret(k1=KEY)) == KeyRing("k1", {"k1": KEY})
    assert keyring_of(secret("k2", k1=KEY, k2=KEY * 2)) == KeyRing("k2", {"k1": KEY, "k2": KEY * 2})


@pytest.mark.parametrize(
    ("given", "reason", "cure"),
    [
        (secret(label=None, k1=KEY), Reason.SECRET_NOT_OPTED_IN, "kubectl -n apps label secret account-mail watchbell.dev/signing-key=true"),
        (secret(label="yes", k1=KEY), Reason.SECRET_NOT_OPTED_IN, "opt"),
        (secret(), Reason.SECRET_KEY_MISSING, "holds 0"),
        (secret(**{f"k{i}": KEY for i in range(MAX_KEYS + 1)}), Reason.SECRET_KEY_MISSING, "holds 17"),
        (secret(k1=KEY, k2=KEY), Reason.SIGNING_KEY_UNCLEAR, "kubectl -n apps annotate --overwrite secret account-mail watchbell.dev/signs-with=k2"),
        (secret("k3", k1=KEY, k2=KEY), Reason.SIGNING_KEY_UNCLEAR, "names k3"),
        (secret("k2", k1=KEY), Reason.SIGNING_KEY_UNCLEAR, "names k2"),
        (secret(k1=KEY[:31]), Reason.SECRET_MALFORMED, "has 31 bytes"),
        (secret(k1=KEY * 40), Reason.SECRET_MALFORMED, "has 1280 bytes"),
        (secret(k1=b""), Reason.SECRET_MALFORMED, "has 0 bytes"),
        (secret(k1=KEY + b"\n"), Reason.SECRET_MALFORMED, "line break"),
        (secret(k1=b"********"), Reason.MASKED_PLACEHOLDER, "mask"),
        (secret("k1", k1=KEY, k2=b"short"), Reason.SECRET_MALFORMED, "Key k2"),
    ],
)  # fmt: skip
def test_a_secret_that_is_no_ring_of_keys_says_why_and_what_helps(given, reason, cure):
    found = keyring_of(given)
    assert isinstance(found, Trouble)
    assert found.reason is reason
    assert cure.lower() in found.message.lower()
    assert KEY.decode() not in found.message


def test_a_ring_shows_no_key():
    ring = keyring_of(secret(k1=KEY))
    assert repr(ring) == str(ring) == "KeyRing(signs='k1', ids=['k1'])"


@given(
    st.dictionaries(st.text(st.sampled_from("abk12-._"), min_size=1, max_size=5), st.binary(max_size=80), max_size=4)
)
def test_any_secret_is_a_ring_or_a_trouble(keys):
    found = keyring_of(secret(**keys))
    assert isinstance(found, Trouble) or all(len(key) >= 32 for key in found.keys.values())


# ---------------------------------------------------------------------- standing


def told(status: str, reason: str, *, is_finished: bool) -> dict[str, Any]:
    entry = {"type": "Succeeded", "status": status, "reason": reason, "message": "so it is"}
    return {"status": {"conditions": [entry]} | ({"completionTime": "2026-11-21T12:00:05Z"} if is_finished else {})}


@pytest.mark.parametrize(
    ("message", "types", "state", "is_finished"),
    [
        ({}, {"Succeeded", "Reconciling"}, "Unknown", False),
        (told("Unknown", "ConnectorNotReady", is_finished=False), {"Succeeded", "Reconciling"}, "Unknown", False),
        (told("True", "AcceptedByServer", is_finished=True), {"Succeeded"}, "True", True),
        (told("False", "DeadlineExceeded", is_finished=True), {"Succeeded", "Stalled"}, "False", True),
        (told("False", "FromTheFuture", is_finished=True), {"Succeeded", "Stalled"}, "False", True),
    ],
)
def test_it_stands_as_its_message_does(message, types, state, is_finished):
    status = standing.status_of(recovery(), standing.of_message(message), {}, NOON)
    by_type = {one["type"]: one for one in status["conditions"]}
    assert set(by_type) == types
    assert by_type["Succeeded"]["status"] == state
    assert ("completionTime" in status) is is_finished
    assert status["expirationTime"] == "2026-11-21T12:15:00Z"
    assert status["messageRef"] == {"name": "reset-alice-0c5b2c1e"}


def test_before_its_message_is_made_it_names_none_and_what_is_missing():
    status = standing.status_of(recovery(), standing.waiting(Trouble(Reason.SECRET_NOT_FOUND, "make it")), {}, NOON)
    assert "messageRef" not in status
    assert {one["reason"] for one in status["conditions"]} == {"SecretNotFound"}
    late = standing.status_of(recovery(), standing.overdue("make it"), status, NOON)
    assert late["completionTime"] == "2026-11-21T12:00:00Z"
    assert [one["message"] for one in late["conditions"]] == [
        "expirationSeconds were over before the mail could be made. make it"
    ] * 2


def test_with_a_users_template_the_subject_is_made_with_the_text():
    one = recovery(templateRef={"name": "reset"})
    body = stored(one)
    assert "subject" not in body["spec"]
    assert parse(EmailMessage, body) != ()
    assert plans.stranger(body, one) == ""
    assert plans.stranger(stored(one, subject="Mine"), one) == "spec.subject: is not what its AccountRecovery says"
