"""Text from the network is clean, bounded and free of secrets, whatever the server sends."""

import base64
import time
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from watchbell.api.sensitive import Sensitive
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import StageName
from watchbell.smtp.server_text import bounded_chain, guess_protocol, one_line, sanitise
from watchbell.smtp.verdict import classify_reply

ANYTHING = st.text(st.characters(codec=None), max_size=300)
SECRETS = st.text(st.characters(codec="utf-8"), min_size=4, max_size=40).filter(
    lambda s: s.strip("*") and len(s.split()) == 1 and s == s.strip()
)


@given(ANYTHING, st.integers(min_value=16, max_value=2048))
@settings(max_examples=200, deadline=None)
def test_sanitised_text_is_one_printable_line_within_its_limit(text, limit):
    clean = sanitise(text, limit_bytes=limit)
    assert len(clean.encode()) <= limit
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in clean)


@given(SECRETS, ANYTHING, ANYTHING, st.sampled_from(["plain", "base64", "sasl", "url"]))
@settings(max_examples=200, deadline=None)
def test_a_secret_never_survives_in_any_form(secret, before, after, form):
    assume(secret not in "[redacted]********")
    echoed = {
        "plain": secret,
        "base64": base64.b64encode(secret.encode()).decode(),
        "sasl": base64.b64encode(f"\0user\0{secret}".encode()).decode(),
        "url": quote(secret),
    }[form]
    core = echoed.rstrip("=")
    clean = sanitise(f"{before} {echoed} {after}", [Sensitive(secret)])
    assert secret not in clean
    if form != "plain" and core not in f"{before}{after}" and not core.isalpha():
        assert echoed not in clean


@given(SECRETS, st.text(max_size=50))
@settings(max_examples=100, deadline=None)
def test_no_part_of_a_fault_holds_a_secret_that_the_server_echoed(secret, words):
    assume(secret not in "[redacted]********")
    context = ReplyContext(host="smtp.example.com", secrets=(Sensitive(secret),))
    lines = [f"5.5.1 {words}", f"bad command: {secret}", base64.b64encode(f"\0u\0{secret}".encode()).decode()]
    found = classify_reply(StageName.AUTHENTICATE, 500, lines, context)
    assert secret not in "".join(found.chain)
    assert base64.b64encode(f"\0u\0{secret}".encode()).decode() not in "".join(found.chain)


@pytest.mark.parametrize(
    "text", ["A" * 60_000, "domain " * 9_000, "a=" * 30_000, "\x00" * 60_000, "mailbox " * 8_000], ids=len
)
def test_a_long_reply_does_not_cost_more_than_its_length(text):
    started = time.process_time()
    classify_reply(StageName.DATA, 550, [text], ReplyContext(secrets=(Sensitive("AAAAAAAAAAAB"),)))
    assert time.process_time() - started < 2


def test_a_short_password_does_not_eat_the_reply_codes():
    assert sanitise("535 5.7.8 no, not 5", [Sensitive("5")]) != ""
    assert "535" in sanitise("535 x", [Sensitive("5")])
    assert "abc" not in sanitise("535 abc", [Sensitive("abc")])


def test_undecodable_bytes_are_read_as_utf_8_where_they_are():
    assert sanitise(b"caf\xc3\xa9".decode("ascii", "surrogateescape")) == "café"
    assert sanitise("caf\udce9") == "caf\ufffd"


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\r\n", "\u202e", "\u2066", "\x00", "\u2028", "\x7f", "\u0085", "\u200b", "\ud800"]
)
def test_terminal_and_bidi_tricks_do_not_pass(evil):
    clean = sanitise(f"a{evil}b")
    assert evil not in clean
    assert clean[0] == "a"


def test_a_chain_keeps_its_head_and_its_innermost_entries():
    chain = bounded_chain([f"cause {number}" for number in range(20)])
    assert chain == ("cause 0", *(f"cause {number}" for number in range(13, 20)))


def test_a_long_message_is_cut_at_512_characters():
    assert len(one_line("é" * 2000)) == 512


@pytest.mark.parametrize(
    ("data", "guess"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"+OK POP3 ready", ""),
        (b"", ""),
    ],
)
def test_a_foreign_protocol_is_named_and_not_quoted(data, guess):
    assert guess_protocol(data) == guess
