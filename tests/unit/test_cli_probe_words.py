"""The pure parts of `watchbell probe`: targets, remedies in flags, text laid out for a terminal."""

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.enums import TlsMode
from watchbell.cli.diagnosisoptions import MECHANISM_WORDS, TLS_WORDS
from watchbell.cli.paint import Painter, painter
from watchbell.cli.probetext import cautions, chain_lines, heading, validity
from watchbell.cli.remedywords import in_flags
from watchbell.cli.target import TLS_WORDS as MODES
from watchbell.cli.target import mode_of, read_target
from watchbell.smtp.certificate_bytes import Link
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import AuthPlan, Mechanism, Relay, TlsPlan
from watchbell.smtp.natures import NATURES
from watchbell.smtp.remedies import remedies

NOW = datetime(2026, 11, 28, tzinfo=UTC)


def link(days: int, **changes: object) -> Link:
    given = {
        "subject": "CN=smtp.example.com",
        "issuer": "CN=Example CA",
        "not_before": NOW - timedelta(days=30),
        "not_after": NOW + timedelta(days=days),
        "names": ("smtp.example.com",),
        "key": "RSA 2048",
        "signature": "sha256",
        "sha256": "ab" * 32,
        "is_authority": False,
        "status_urls": (),
    }
    return Link(**(given | changes))


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("smtp.example.com", "smtp.example.com", None),
        ("smtp.example.com:587", "smtp.example.com", 587),
        ("smtp.example.com.:25", "smtp.example.com.", 25),
        ("192.0.2.7:2525", "192.0.2.7", 2525),
        ("[2001:db8::7]:465", "2001:db8::7", 465),
        ("[2001:db8::7]", "2001:db8::7", None),
        ("2001:db8::7", "2001:db8::7", None),
    ],
)
def test_a_target_is_a_host_with_or_without_a_port(text, host, port):
    assert read_target(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("smtps://smtp.example.com/", "not a URL: smtp.example.com"),
        ("ops@example.com", "not a mail address; the login goes into --user"),
        ("smtp.example.com:smtp", "PORT must be a number from 1 to 65535, not 'smtp'"),
        ("smtp.example.com:0", "PORT must be"),
        ("smtp.example.com:65536", "PORT must be"),
        ("", "HOST must be"),
        (":587", "HOST must be"),
        ("a b", "HOST must be"),
        ("1:2:3", "HOST must be"),
        ("[::1", "HOST must be"),
        ("host/path", "HOST must be"),
    ],
)
def test_what_is_no_target_is_told_with_what_it_must_be(text, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        read_target(text)


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_a_sentence(text):
    try:
        host, port = read_target(text)
    except ValueError as error:
        host, port = str(error), None
        words = host
    else:
        words = "must be"
    assert host
    assert "must be" in words
    assert port is None or 1 <= port <= 65535


@pytest.mark.parametrize(
    ("word", "port", "mode"),
    [
        (None, None, TlsMode.START_TLS),
        (None, 25, TlsMode.START_TLS),
        (None, 465, TlsMode.IMPLICIT),
        ("starttls", 465, TlsMode.START_TLS),
        ("none", 25, TlsMode.NONE),
    ],
)
def test_encryption_is_only_left_out_when_it_is_asked_for(word, port, mode):
    assert mode_of(word, port) is mode


def test_the_words_of_the_flags_are_those_that_the_verbs_know():
    assert tuple(MODES) == TLS_WORDS
    offered = {one.lower() for one in Mechanism if one not in {Mechanism.XOAUTH2, Mechanism.OAUTHBEARER}}
    assert set(MECHANISM_WORDS) == offered


@pytest.mark.parametrize("reason", NATURES)
def test_every_remedy_makes_sense_without_a_cluster(reason):
    context = ReplyContext(host="smtp.example.com", port=587, username="u@example.com", mail_from="u@example.com")
    told = in_flags(remedies(reason, context))
    assert told
    for sentence in told:
        assert not re.search(r"\bspec\.|kubectl -n|\$[A-Z]{2}", sentence.replace("$OPERATOR_NAMESPACE", "")), sentence
        assert not sentence.endswith((":", ",", " "))


def test_a_remedy_names_the_flag_in_place_of_the_field():
    sentences = ("The server speaks plain text first: set spec.tls.mode: StartTLS (usual port 587).",)
    assert in_flags(sentences) == ("The server speaks plain text first: set --tls starttls (usual port 587).",)


def test_what_makes_sense_in_a_cluster_only_is_left_out_but_never_everything():
    assert in_flags(("Probe again: kubectl -n $NAMESPACE annotate smtpc x",)) == ("Try again later.",)
    assert in_flags(()) == ()


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P")), max_size=200), st.integers(1, 130))
def test_folding_loses_no_character(word, width):
    text = f"{word} and {word} again"
    lines = Painter(width=width).fold(text, "  - ")
    assert "".join("".join(lines).split()) == "".join(f"- {text}".split())


def test_without_a_terminal_a_line_is_never_broken():
    assert Painter().fold("x" * 300 + " y", "  ") == ["  " + "x" * 300 + " y"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("color", "stream", "environ", "expected"),
    [
        ("auto", Terminal(), {}, True),
        ("auto", io.StringIO(), {}, False),
        ("auto", Terminal(), {"NO_COLOR": "1"}, False),
        ("auto", Terminal(), {"TERM": "dumb"}, False),
        ("always", io.StringIO(), {"NO_COLOR": "1"}, True),
        ("never", Terminal(), {}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(color, stream, environ, expected):
    found = painter(color, stream, environ)
    assert found.has_color is expected
    assert (found.width is None) is not stream.isatty()
    assert ("\x1b" in found.paint("text", "bad")) is expected


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (link(64), "(64 days left)"),
        (link(-3), "(expired 3 days ago)"),
        (link(90, not_before=NOW + timedelta(days=1)), "(not valid yet)"),
    ],
)
def test_the_time_of_a_certificate_is_told_in_days(one, told):
    assert told in validity(Painter(), one, NOW)


def test_a_chain_is_told_from_the_server_to_its_issuer():
    many = link(64, names=tuple(f"n{number}.example.com" for number in range(9)))
    lines = "\n".join(chain_lines(Painter(), [many, link(900, subject="CN=Example CA", names=())], NOW))
    assert "0  CN=smtp.example.com" in lines
    assert "n5.example.com and 3 more" in lines
    assert "1  CN=Example CA" in lines
    assert "issued by itself (self-signed)" in lines
    assert not list(chain_lines(Painter(), (), NOW))


def test_what_works_and_is_still_unsafe_is_said():
    clear = Relay("smtp.example.com", 25, tls=TlsPlan(mode=TlsMode.NONE))
    unproven = Relay("smtp.example.com", 587, tls=TlsPlan(verify=False))
    assert "not encrypted" in cautions(clear, (), NOW)[0]
    assert "not verified" in cautions(unproven, (), NOW)[0]
    assert "NOT verified" in heading(unproven)
    assert "expires on 2026-12-08" in cautions(Relay("smtp.example.com", 587), (link(10),), NOW)[0]
    assert cautions(Relay("smtp.example.com", 587), (link(200),), NOW) == ()


def test_the_trap_of_a_known_provider_is_told_in_flags():
    relay = Relay("smtp.office365.com", 587, auth=AuthPlan("a@example.com", None))
    assert cautions(relay, (), NOW) == ()
