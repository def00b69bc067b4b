"""Tokens of reset links: what is good, and every way to be bad."""

import base64
import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.accounts.keys import KeyRing
from watchbell.accounts.tokens import MAX_TOKEN_CHARACTERS, Claims, Expected, Fault, Refused, key_id, sign, verify

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW = b"old key of thirty-two bytes, or so", b"new key of thirty-two bytes, or so"
BOTH = {"k1": OLD, "k2": NEW}
RING = KeyRing("k2", BOTH)
CLAIMS = Claims(
    "watchbell/apps",
    "https://app.example.com",
    "alice",
    "0c5b2c1e-6d3f-4f0a-9d36-0f6a1b9d7f11",
    NOON,
    NOON + timedelta(minutes=15),
)
WANTED = Expected("https://app.example.com", "watchbell/apps")
PAYLOAD: dict[str, Any] = {
    "iss": CLAIMS.issuer,
    "aud": CLAIMS.audience,
    "sub": CLAIMS.account,
    "jti": CLAIMS.token_id,
    "iat": int(NOON.timestamp()),
    "exp": int(CLAIMS.expires.timestamp()),
    "purpose": "password-reset",
}


def fault(token: str, *, keys: dict[str, bytes] | None = None, now: datetime = NOON, **expected: str) -> Fault | None:
    found = verify(token, BOTH if keys is None else keys, replace(WANTED, **expected), now)
    return found.fault if isinstance(found, Refused) else None


def forged(payload: dict[str, Any] | None = None, key: bytes = NEW, **header: Any) -> str:
    """A token as another program would make it."""
    algorithm = header.pop("alg", "HS256")
    return jwt.encode(payload or PAYLOAD, key, algorithm=algorithm, headers={"kid": "k2", **header})


def without(claim: str) -> dict[str, Any]:
    return {name: value for name, value in PAYLOAD.items() if name != claim}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_says_what_was_signed():
    assert verify(sign(CLAIMS, RING), BOTH, WANTED, NOON) == CLAIMS


def test_the_same_claims_and_key_give_the_same_token_so_a_retry_has_the_same_link():
    assert sign(CLAIMS, RING) == sign(CLAIMS, KeyRing("k2", dict(reversed(BOTH.items()))))


def test_a_token_is_what_the_documentation_promises_to_other_programs():
    header, payload, _ = sign(CLAIMS, RING).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "HS256", "kid": "k2", "typ": "JWT"}
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == PAYLOAD


def test_a_token_of_the_key_before_is_good_until_the_key_is_taken_away():
    before = sign(CLAIMS, KeyRing("k1", BOTH))
    assert fault(before) is None
    assert fault(before, keys={"k2": NEW}) is Fault.UNKNOWN_KEY


def test_a_key_under_the_id_of_another_makes_no_good_token():
    assert fault(sign(CLAIMS, RING), keys={"k1": NEW, "k2": OLD}) is Fault.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOON - timedelta(seconds=61), Fault.NOT_YET_VALID),
        (NOON - timedelta(seconds=60), None),
        (CLAIMS.expires - timedelta(seconds=1), None),
        (CLAIMS.expires, Fault.EXPIRED),
        (CLAIMS.expires + timedelta(days=400), Fault.EXPIRED),
    ],
)
def test_a_token_is_good_from_its_making_until_it_expires(now, expected):
    assert fault(sign(CLAIMS, RING), now=now) is expected


@pytest.mark.parametrize(
    ("expected", "is_wrong"),
    [
        ({"audience": "https://app.example.com:8443"}, Fault.WRONG_AUDIENCE),
        ({"audience": "https://app.example.com/"}, Fault.WRONG_AUDIENCE),
        ({"audience": ""}, None),
        ({"issuer": "watchbell/other"}, Fault.WRONG_ISSUER),
        ({"issuer": ""}, None),
        ({"purpose": "login"}, Fault.WRONG_PURPOSE),
    ],
)
def test_a_token_is_for_one_purpose_of_one_application(expected, is_wrong):
    assert fault(sign(CLAIMS, RING), **expected) is is_wrong


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (f"{part({'alg': 'none', 'kid': 'k2'})}.{part(PAYLOAD)}.", Fault.WRONG_ALGORITHM),
        (forged(alg="HS512", key=NEW * 2), Fault.WRONG_ALGORITHM),
        (f"{part({'alg': 'RS256', 'kid': 'k2'})}.{part(PAYLOAD)}.AAAA", Fault.WRONG_ALGORITHM),
        (forged(kid="k3"), Fault.UNKNOWN_KEY),
        (forged(kid="../k2"), Fault.UNKNOWN_KEY),
        (jwt.encode(PAYLOAD, NEW), Fault.UNKNOWN_KEY),
        (f"{part({'alg': 'HS256', 'kid': ['k2']})}.{part(PAYLOAD)}.AAAA", Fault.MALFORMED),
        (forged(key=OLD), Fault.BAD_SIGNATURE),
        ("", Fault.MALFORMED),
        ("a.b", Fault.MALFORMED),
        ("a.b.c", Fault.MALFORMED),
        ("ä.b.c", Fault.MALFORMED),
        ("x" * (MAX_TOKEN_CHARACTERS + 1), Fault.MALFORMED),
        *((forged(without(claim)), Fault.CLAIM_MISSING) for claim in PAYLOAD),
        (forged(PAYLOAD | {"aud": ["https://app.example.com", "https://evil.example"]}), Fault.CLAIM_MISSING),
        (forged(PAYLOAD | {"exp": True}), Fault.CLAIM_MISSING),
        (forged(PAYLOAD | {"exp": 10**12}), Fault.CLAIM_MISSING),
        (forged(PAYLOAD | {"iat": -1}), Fault.CLAIM_MISSING),
        (forged(PAYLOAD | {"exp": 1.5e10}), Fault.CLAIM_MISSING),
        (forged(PAYLOAD | {"purpose": "login"}), Fault.WRONG_PURPOSE),
    ],
)  # fmt: skip
def test_every_bad_token_has_a_name(token, expected):
    assert fault(token) is expected


def test_a_refusal_repeats_nothing_of_the_token():
    for token in (sign(CLAIMS, RING), forged(key=OLD), forged(kid="k3")):
        found = verify(token, {"k1": NEW}, Expected("https://other.example"), NOON)
        assert isinstance(found, Refused)
        assert not any(piece in found.message for piece in token.split("."))


def test_the_key_id_is_read_without_a_key():
    assert [key_id(token) for token in (sign(CLAIMS, RING), "a.b.c", jwt.encode({}, NEW))] == ["k2", "", ""]


@given(st.integers(min_value=0), st.sampled_from(string.ascii_letters + string.digits + "-_.="))
def test_a_token_that_was_changed_anywhere_is_refused(place, char):
    token = sign(CLAIMS, RING)
    at = place % len(token)
    changed = token[:at] + char + token[at + 1 :]
    found = verify(changed, BOTH, WANTED, NOON)
    # The last character of a part holds bits that stand for nothing, so it may say the same in another way.
    assert isinstance(found, Refused) or found == CLAIMS
    assert isinstance(found, Refused) or changed == token or token[at + 1 : at + 2] in {"", "."}


@given(st.text(max_size=300))
def test_whatever_is_given_as_a_token_is_refused_with_a_reason(text):
    assert isinstance(verify(text, BOTH, WANTED, NOON), Refused)


@given(
    st.text(min_size=1, max_size=253).filter(lambda text: text.isprintable()),
    st.integers(min_value=60, max_value=604_800),
    st.integers(min_value=0, max_value=700_000),
)
def test_a_token_is_good_for_as_long_as_it_says_and_for_no_longer(account, seconds, later):
    claims = replace(CLAIMS, account=account, expires=NOON + timedelta(seconds=seconds))
    found = verify(sign(claims, RING), BOTH, WANTED, NOON + timedelta(seconds=later))
    assert (found == claims) if later < seconds else (isinstance(found, Refused) and found.fault is Fault.EXPIRED)
