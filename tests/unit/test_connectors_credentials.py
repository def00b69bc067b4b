import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal, SecretView, Value, check_opt_in, read_value, secret_view


def secret(data=None, *, labels=None, annotations=None, type_="Opaque"):
    return SecretView("shop", "relay", "7", type_, labels or {}, annotations or {}, data or {})


OPTED_IN = {"watchbell.dev/smtp": "true"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"********", Reason.MASKED_PLACEHOLDER, id="a mask of eight asterisks"),
        pytest.param(b"*\n", Reason.MASKED_PLACEHOLDER, id="one asterisk and a newline"),
        pytest.param(b"", Reason.SECRET_MALFORMED, id="nothing"),
        pytest.param(b"\n", Reason.SECRET_MALFORMED, id="only a newline"),
        pytest.param(b" geheim", Reason.SECRET_MALFORMED, id="a leading space"),
        pytest.param(b"geheim\n\n", Reason.SECRET_MALFORMED, id="two newlines"),
        pytest.param(b"ge\x00heim", Reason.SECRET_MALFORMED, id="a NUL"),
        pytest.param(b"\xff\xfe", Reason.SECRET_MALFORMED, id="no UTF-8"),
        pytest.param(base64.b64encode(b"a-readable-password"), Reason.SECRET_DOUBLE_ENCODED, id="base64 of a text"),
        pytest.param(base64.b64encode(b"hunter2-hunter\n"), Reason.SECRET_DOUBLE_ENCODED, id="base64 of a line"),
    ],
)
def test_a_value_that_cannot_be_a_password_has_a_reason_of_its_own_and_the_command_that_mends_it(raw, reason):
    refusal = read_value(secret({"password": raw}), "password")
    assert isinstance(refusal, Refusal)
    assert (refusal.condition, refusal.reason) == ("ResolvedRefs", reason)
    assert "kubectl -n shop patch secret relay" in refusal.message


@pytest.mark.parametrize("good", ["geheim", "p*ss", "pass word", "ünïcödé", "abcdefghijklmnop", "Zm9v", "a" * 64])
def test_an_ordinary_password_is_taken_as_it_is(good):
    value = read_value(secret({"password": good.encode()}), "password")
    assert isinstance(value, Value)
    assert value.secret.reveal() == good


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_one_line_break_at_the_end_is_left_off_and_told(ending):
    value = read_value(secret({"password": b"geheim" + ending}), "password")
    assert isinstance(value, Value)
    assert (value.secret.reveal(), value.had_newline) == ("geheim", True)


def test_a_value_that_looks_encoded_twice_is_taken_when_the_secret_says_that_it_is_verbatim():
    raw = base64.b64encode(b"a-readable-password")
    value = read_value(secret({"password": raw}, annotations={"watchbell.dev/verbatim": "true"}), "password")
    assert isinstance(value, Value)
    assert value.secret.reveal() == raw.decode()


def test_a_missing_key_names_the_keys_that_are_there():
    refusal = read_value(secret({"pass": b"x", "user": b"y"}), "password")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.SECRET_KEY_MISSING
    assert "keys: pass, user" in refusal.message


def test_a_secret_that_did_not_opt_in_goes_to_no_host_and_the_message_holds_the_one_command():
    refusal = check_opt_in(secret(), "smtp.example.com")
    assert refusal is not None
    assert refusal.reason is Reason.SECRET_NOT_OPTED_IN
    assert "kubectl -n shop label secret relay watchbell.dev/smtp=true" in refusal.message


@pytest.mark.parametrize("view", [secret(labels=OPTED_IN), secret(type_="watchbell.dev/smtp")])
def test_a_secret_opts_in_by_its_label_or_its_type(view):
    assert check_opt_in(view, "smtp.example.com") is None


@pytest.mark.parametrize(
    ("pinned", "host", "allowed"),
    [
        ("smtp.example.com", "smtp.example.com", True),
        ("a.example, SMTP.example.com. ", "smtp.example.com", True),
        ("smtp.example.com", "smtp.example.com.evil.test", False),
        ("", "smtp.example.com", False),
    ],
)
def test_a_pinned_secret_goes_to_its_hosts_only(pinned, host, allowed):
    refusal = check_opt_in(secret(labels=OPTED_IN, annotations={"watchbell.dev/allowed-hosts": pinned}), host)
    assert (refusal is None) is allowed
    if refusal is not None:
        assert (refusal.condition, refusal.reason) == ("Accepted", Reason.HOST_NOT_ALLOWED)


@pytest.mark.parametrize("password", ["größeres-pw1", "пароль-для-почты"])
def test_a_password_beyond_ascii_is_a_password(password):
    assert len(password) % 4 == 0, "as long as a base64 text may be"
    found = read_value(secret({"password": password.encode()}), "password")
    assert isinstance(found, Value)
    assert found.secret.reveal() == password


@given(st.binary(max_size=64))
def test_no_value_ever_shows_in_a_refusal_or_a_repr(raw):
    view = secret({"password": b"canary-" + raw})
    result = read_value(view, "password")
    assert "canary-" not in repr(result)
    assert "canary-" not in repr(view)


def test_a_secret_of_the_api_server_is_decoded_once():
    body = {
        "metadata": {"namespace": "shop", "name": "relay", "resourceVersion": "9", "labels": OPTED_IN},
        "type": "Opaque",
        "data": {"password": base64.b64encode(b"geheim").decode()},
    }
    view = secret_view(body)
    assert (view.resource_version, dict(view.data), dict(view.annotations)) == ("9", {"password": b"geheim"}, {})
