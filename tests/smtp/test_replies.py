"""What a reply and an EHLO answer say, without any server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.smtp.replies import (
    Capabilities,
    hang_up_notice,
    hello_name,
    is_one_reply,
    may_be_smtp,
    parse_capabilities,
)

ONE = [
    b"250 ok\r\n",
    b"250\r\n",
    b"250 ok\n",
    b"250-a\r\n250-b\r\n250 c\r\n",
    b"250-a\r\n250\r\n",
    b"421 bye\r\n",
    b"354 \r\n",
]
NOT_ONE = [
    b"",
    b"250 ok",
    b"250 ok\r\n250 ok\r\n",
    b"250-a\r\n",
    b"250-a\r\n550 b\r\n",
    b"250-a\r\nb\r\n",
    b"25 ok\r\n",
    b"2500 ok\r\n",
    b"250_ok\r\n",
    b"150 ok\r\n",
    b"999 ok\r\n",
    b"\r\n",
    b"250 ok\r\nQ",
    b"+50 ok\r\n",
]


@pytest.mark.parametrize("raw", ONE)
def test_a_whole_reply_is_recognised(raw):
    assert is_one_reply(raw)


@pytest.mark.parametrize("raw", NOT_ONE)
def test_less_or_more_than_one_reply_is_none(raw):
    assert not is_one_reply(raw)


@given(st.binary(max_size=60))
def test_any_bytes_get_an_answer(raw):
    assert is_one_reply(raw) in {True, False}
    assert may_be_smtp(raw[:4]) in {True, False}
    notice = hang_up_notice(raw)
    assert notice is None or notice.startswith(b"421")


@given(st.sampled_from(ONE), st.binary(min_size=1, max_size=10))
def test_nothing_can_follow_a_reply_unnoticed(raw, extra):
    assert not is_one_reply(raw + extra)


NOTICES = [
    (b"421 bye\r\n", b"421 bye\r\n"),
    (b"250 ok\r\n421 bye\r\n", b"421 bye\r\n"),
    (b"250-a\r\n250 b\r\n421-so long\r\n421 bye\r\n", b"421-so long\r\n421 bye\r\n"),
    (b"250 ok\r\n250 ok\r\n421 bye\r\n", None),
    (b"250 ok\r\n421 bye\r\n250 ok\r\n", None),
    (b"250 ok\r\n", None),
    (b"", None),
]


@pytest.mark.parametrize(("raw", "notice"), NOTICES)
def test_a_hang_up_may_follow_one_whole_reply_and_nothing_else(raw, notice):
    assert hang_up_notice(raw) == notice


@pytest.mark.parametrize("head", [b"", b"2", b"22", b"220", b"220 ", b"220-", b"220\r", b"220\n"])
def test_the_beginning_of_a_reply_may_become_one(head):
    assert may_be_smtp(head)


@pytest.mark.parametrize("head", [b"H", b"SSH-", b"\x16\x03", b"2a", b"22x", b"2200", b" 220", b"\r\n"])
def test_anything_else_cannot(head):
    assert not may_be_smtp(head)


def test_capabilities_are_read_in_any_case_and_once():
    text = "relay.test greets\nsize 1000\nAUTH PLAIN login\nAUTH=LOGIN PLAIN\n\nSMTPUTF8\n8bitmime"

    read = parse_capabilities(text)

    assert read.keywords >= {"SIZE", "AUTH", "SMTPUTF8", "8BITMIME"}
    assert read.auth == ("PLAIN", "LOGIN")
    assert read.size_bytes == 1000
    assert not read.is_struck_out


@given(st.text(max_size=300))
def test_any_text_is_some_answer_to_ehlo(text):
    assert isinstance(parse_capabilities(text), Capabilities)


@pytest.mark.parametrize("line", ["XXXXXXXA", "XXXXXXXX", "xxxxxxxa", "********"])
def test_a_struck_out_keyword_is_seen(line):
    assert parse_capabilities(f"relay\n{line}").is_struck_out


NAMES = [
    ("mail.example.com", "10.1.2.3", "mail.example.com"),
    ("mail.example.com.", "10.1.2.3", "mail.example.com"),
    ("[192.0.2.1]", "10.1.2.3", "[192.0.2.1]"),
    ("", "10.1.2.3", "[10.1.2.3]"),
    ("localhost", "10.1.2.3", "[10.1.2.3]"),
    ("localhost.localdomain", "10.1.2.3", "[10.1.2.3]"),
    ("watchbell-6d4f", "2001:db8::7", "[IPv6:2001:db8::7]"),
    ("pod", "fe80::1%eth0", "[IPv6:fe80::1]"),
    ("a.b\r\nMAIL", "10.1.2.3", "[10.1.2.3]"),
]


@pytest.mark.parametrize(("wanted", "address", "said"), NAMES)
def test_the_name_for_ehlo_is_a_full_name_or_an_address_literal(wanted, address, said):
    assert hello_name(wanted, address) == said
