"""Addresses: what a user may write, and what becomes of it on the wire."""

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.mail.address import AddressProblem, Mailbox, WireAddress, parse_mailbox, wire_address, wire_domain


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a@example.org", Mailbox("", "a@example.org")),
        ("  a@example.org ", Mailbox("", "a@example.org")),
        ("<a@example.org>", Mailbox("", "a@example.org")),
        ("On Call <a@example.org>", Mailbox("On Call", "a@example.org")),
        ('"Müller, Jörg" <a@example.org>', Mailbox("Müller, Jörg", "a@example.org")),
        (r'"Say \"hi\" \\ bye" <a@example.org>', Mailbox(r'Say "hi" \ bye', "a@example.org")),
        ("当番 <a@例え.jp>", Mailbox("当番", "a@例え.jp")),
        ("root@localhost", Mailbox("", "root@localhost")),
        ("ops@[192.0.2.7]", Mailbox("", "ops@[192.0.2.7]")),
    ],
)
def test_one_mailbox_is_read_as_people_write_it(text: str, wanted: Mailbox) -> None:
    assert parse_mailbox(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@example.org",
        "a@",
        "a b@example.org",
        "a@example.org, b@example.org",
        "A <a@example.org>, B <b@example.org>",
        "group: a@example.org;",
        "Müller, Jörg <a@example.org>",
        'Say "hi" <a@example.org>',
        '"broken <a@example.org>',
        '"a"b" <a@example.org>',
        r'"ends\" <a@example.org>',
        '"quoted local"@example.org',
        "a..b@example.org",
        ".a@example.org",
        "a@-example.org",
        "a@exa_mple.org",
        "a@example..org",
        "a@[300.1.1.1]",
        "a@[IPv6:fe80::1%eth0]",
        "a@example.org\r\nBcc: v@example.org",
        "a\u202e@example.org",
        "Name\u2028 <a@example.org>",
        "Name\ud800 <a@example.org>",
        f"{'a' * 65}@example.org",
        f"{'ü' * 33}@example.org",
        f"{'n' * 200} <a@example.org>",
        f"a@{'b' * 64}.org",
        f"a@{'b.' * 130}org",
        "x" * 1_000_000,
    ],
)
def test_what_is_not_exactly_one_mailbox_is_refused_with_a_sentence(text: str) -> None:
    problem = parse_mailbox(text)
    assert isinstance(problem, AddressProblem)
    assert problem.message.isprintable()
    assert len(problem.message) < 300


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("a@Example.ORG", WireAddress("a@example.org", needs_smtputf8=False)),
        ("MixedCase+tag@example.org", WireAddress("MixedCase+tag@example.org", needs_smtputf8=False)),
        ("a@bücher.example", WireAddress("a@xn--bcher-kva.example", needs_smtputf8=False)),
        ("a@BÜCHER.example", WireAddress("a@xn--bcher-kva.example", needs_smtputf8=False)),
        ("a@xn--bcher-kva.example", WireAddress("a@xn--bcher-kva.example", needs_smtputf8=False)),
        ("jörg@bücher.example", WireAddress("jörg@xn--bcher-kva.example", needs_smtputf8=True)),
        ("a@[IPv6:2001:DB8::1]", WireAddress("a@[IPv6:2001:db8::1]", needs_smtputf8=False)),
    ],
)
def test_domains_become_a_labels_and_local_parts_stay_as_they_are(address: str, wanted: WireAddress) -> None:
    assert wire_address(address) == wanted


def test_a_broken_a_label_is_no_domain() -> None:
    assert isinstance(wire_domain("xn--zzzzzz-.example"), AddressProblem)
    assert isinstance(wire_domain("xn--a.example"), AddressProblem)


@given(st.text(st.characters(), max_size=120))
def test_no_text_becomes_a_wire_address_that_could_break_a_command(text: str) -> None:
    found = wire_address(text)
    if isinstance(found, WireAddress):
        # Characters that Unicode has not named yet are no danger: controls, surrogates and separators are.
        assert not {category(char) for char in found.text} & {"Cc", "Cs", "Zl", "Zp", "Zs"}
        assert not set(found.text) & set(" <>\r\n\0")
        assert found.text.count("@") == 1
        assert found.domain.isascii()
        assert found.needs_smtputf8 != found.text.isascii()


@given(st.text(st.characters(), max_size=120))
def test_reading_a_mailbox_never_fails_and_what_it_reads_is_fit_for_the_wire(text: str) -> None:
    found = parse_mailbox(text)
    if isinstance(found, Mailbox):
        assert isinstance(wire_address(found.address), WireAddress)
        assert not any(ord(character) < 32 for character in found.name)
