"""DKIM signatures of ours are right for a verifier that somebody else wrote (dkimpy), and break when anything that counts is changed."""

import dataclasses
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from dkimrig import is_right, key, made, pem, record
from watchbell.mail.address import Mailbox
from watchbell.mail.attachment import Attachment
from watchbell.mail.dkim import KeyProblem, private_key, signed
from watchbell.mail.message import Draft, build, message_id

WHEN = datetime(2026, 11, 21, 14, 14, 20, tzinfo=UTC)
DRAFT = Draft(
    sender=Mailbox("Größe", "alerts@example.com"),
    to=(Mailbox("On call, all of them", "oncall@example.org"),),
    subject="Collectors in prod: 12 incidents, worst Critical, größer als je zuvor, on prod-eu-1, and so on and on",
    text="Hello \t there  \n\n\n",
    html="<p>Hello</p>\n",
    message_id=message_id(("uid",), "example.com"),
    date=WHEN,
    list_id="alerts.main.prod",
    extra_headers=(("X-Team", "a"), ("List-Help", "<https://example.com/help>"), ("Feedback-ID", "a:b:c")),
)


def built(**changes) -> bytes:
    raw = build(dataclasses.replace(DRAFT, **changes))
    assert isinstance(raw, bytes), raw
    return raw


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_another_verifier_takes_the_signature_and_the_mail_stays_as_it_was(kind):
    raw = built()
    found = signed(raw, key(kind), WHEN)
    assert found.endswith(raw)
    assert is_right(found, kind)
    assert found.isascii()
    assert max(map(len, found[: -len(raw)].split(b"\r\n"))) <= 78
    assert found == signed(raw, key(kind), WHEN), "every attempt sends the same bytes"


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "", "html": "<p>only</p>"},
        {"html": "", "text": "x"},
        {"html": "", "text": "\n\n\n"},
        {"cc": (Mailbox("", "c@example.org"),), "reply_to": (Mailbox("", "a@example.org"),)},
        {"to": ()},
        {"attachments": (Attachment("a.bin", "application/octet-stream", data=bytes(range(256)) * 2000),)},
        {"sender": Mailbox("", "jörg@example.com")},
    ],
)
def test_every_shape_of_mail_can_be_signed(changes):
    assert is_right(signed(built(**changes), key(), WHEN))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: ", b"Subject: Not "),
        (b"oncall@example.org", b"victim@example.org"),
        (b"Auto-Submitted: auto-generated", b"Auto-Submitted: no"),
        (b"List-Id: <alerts", b"List-Id: <others"),
        (b"Feedback-ID: a:b:c", b"Feedback-ID: a:b:d"),
        (b"Hello</p>", b"Hullo</p>"),
        (b"Date: Sat, 21", b"Date: Sun, 22"),
        (b"From: ", b"From: v@example.org\r\nFrom: "),
        (b"From: ", b"Subject: another\r\nFrom: "),
        (b"From: ", b"Reply-To: v@example.org\r\nFrom: "),
        (b"From: ", b"Cc: v@example.org\r\nFrom: "),
    ],
)
def test_what_makes_the_mail_cannot_be_changed_or_added(before, after):
    found = signed(built(), key(), WHEN)
    head, _, raw = found.partition(b"From: ")
    changed = head + (b"From: " + raw).replace(before, after, 1)
    assert changed != found
    assert not is_right(changed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"X-Team: a", b"X-Team: b"),
        (b"Subject: ", b"subject:   "),
        (b"From: ", b"Received: from a by b; Sat, 21 Nov 2026 14:14:20 +0000\r\nFrom: "),
        (b"\r\n\r\n", b"\r\nX-Scanned: yes\r\n\r\n"),
    ],
)
def test_what_servers_on_the_way_do_breaks_nothing(before, after):
    found = signed(built(), key(), WHEN)
    head, _, raw = found.partition(b"From: ")
    changed = head + (b"From: " + raw).replace(before, after, 1)
    assert changed != found
    assert is_right(changed)


@given(st.text(max_size=200), st.text(max_size=60).filter(lambda text: not any(ord(c) < 32 for c in text)))
@settings(max_examples=50, deadline=None)
def test_any_mail_that_can_be_built_can_be_signed(text, subject):
    raw = build(dataclasses.replace(DRAFT, text=text, subject=subject))
    if isinstance(raw, bytes):
        assert is_right(signed(raw, key(), WHEN))


@pytest.mark.parametrize(
    "text",
    [
        pem(made("rsa")),
        pem(made("rsa"), PrivateFormat.TraditionalOpenSSL),
        pem(made("ed25519")),
        pem(made("rsa")) + "\n\n",
    ],
)
def test_the_usual_forms_of_a_key_are_read(text):
    assert not isinstance(private_key(text), KeyProblem)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a private key in PEM form"),
        ("********", "is not a private key in PEM form"),
        (pem(made("rsa"))[:200], "is not a private key in PEM form"),
        (record(), "is not a private key in PEM form"),
        (pem(made("rsa"), encryption=BestAvailableEncryption(b"x")), "is encrypted with a passphrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "is neither an RSA nor an Ed25519 key"),
    ],
)
def test_what_cannot_sign_is_told_without_showing_it(text, told):
    found = private_key(text)
    assert isinstance(found, KeyProblem)
    assert found.message.startswith(told)
    assert not text[40:60] or text[40:60] not in found.message


def test_a_key_that_would_take_its_time_is_refused(monkeypatch):
    monkeypatch.setattr("watchbell.mail.dkim.MAX_RSA_BITS", 1024)
    assert private_key(pem(made("rsa"))) == KeyProblem("has 2048 bits; DKIM wants 1024 to 1024, best 2048")


def test_a_key_never_shows():
    assert "private" not in repr(key())
