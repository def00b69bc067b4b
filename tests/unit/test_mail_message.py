"""Messages: the bytes are deterministic, 7-bit and sound, and the standard library reads back what was put in."""

import dataclasses
import email
import re
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watchbell.mail import headers
from watchbell.mail.address import Mailbox
from watchbell.mail.message import Draft, Importance, MessageProblem, build, message_id, thread_root

NOW = datetime(2026, 11, 21, 14, 14, 20, tzinfo=UTC)
ID = message_id(("uid", "notification", "0"), "example.org")
BASE = Draft(
    sender=Mailbox("watchbell", "alerts@example.org"),
    to=(Mailbox("", "oncall@example.org"),),
    subject="Collector prod/otel-gateway crash looping",
    text="Hello\n",
    html="<p>Hello</p>\n",
    message_id=ID,
    date=NOW,
)
EXPECTED = {
    "from",
    "to",
    "cc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "thread-topic",
    "auto-submitted",
    "x-auto-response-suppress",
    "list-id",
    "importance",
    "x-priority",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
}
ANYTHING = st.text(st.characters(), max_size=200)
# What the header checks let through: the property below asks that nothing of it changes on the way.
CLEAN = st.text(max_size=200).filter(lambda text: headers.value_problem(text) is None)


def built(**changes: object) -> bytes:
    raw = build(dataclasses.replace(BASE, **changes))  # type: ignore[arg-type] # the names are those of Draft
    assert isinstance(raw, bytes), raw
    return raw


def refused(**changes: object) -> MessageProblem:
    problem = build(dataclasses.replace(BASE, **changes))  # type: ignore[arg-type] # the names are those of Draft
    assert isinstance(problem, MessageProblem)
    return problem


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(raw: bytes, subtype: str) -> str:
    part = parsed(raw).get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def decoded(raw: bytes, header: str) -> str:
    return str(make_header(decode_header(email.message_from_bytes(raw)[header].replace("\r\n", ""))))


def is_sound(raw: bytes) -> bool:
    """CRLF only, no NUL, short lines, known headers, each once: read from the bytes, by rules and not by our own code."""
    head, _, body = raw.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    lines = raw.split(b"\r\n")
    return (
        not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw)
        and max(map(len, lines)) <= 998
        and max(map(len, body.split(b"\r\n"))) <= 76
        and len(set(names)) == len(names)
        and all(name in EXPECTED or name.startswith("x-") for name in names)
    )


def test_a_crash_mail_has_every_header_of_the_house() -> None:
    root = thread_root("incident", "example.org")
    message = parsed(
        built(
            thread_root=root,
            importance=Importance.HIGH,
            list_id="alerts.office.prod",
            subject="Re: Collector x",
            cc=(Mailbox("B", "b@example.org"),),
        )
    )
    assert dict(message.items()) == {
        "From": "watchbell <alerts@example.org>",
        "To": "oncall@example.org",
        "Cc": "B <b@example.org>",
        "Subject": "Re: Collector x",
        "Date": "Sat, 21 Nov 2026 14:14:20 +0000",
        "Message-ID": ID,
        "In-Reply-To": root,
        "References": root,
        "Thread-Topic": "Collector x",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply, DR, RN, NRN",
        "List-Id": "<alerts.office.prod>",
        "Importance": "high",
        "X-Priority": "1",
        "MIME-Version": "1.0",
        "Content-Type": message["Content-Type"],
    }


def test_the_text_comes_first_and_the_html_last() -> None:
    parts = list(parsed(built()).iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert {part.get_content_charset() for part in parts} == {"utf-8"}


def test_a_mail_without_html_is_one_part() -> None:
    message = parsed(built(html=""))
    assert message.get_content_type() == "text/plain"
    assert message.get_content() == "Hello\r\n" or message.get_content() == "Hello\n"


def test_a_mail_of_html_alone_is_one_part() -> None:
    assert parsed(built(text="")).get_content_type() == "text/html"


def test_the_same_draft_gives_the_same_bytes() -> None:
    assert built() == built()
    assert message_id(("uid", "notification", "0"), "example.org") == ID
    assert message_id(("uid", "notification", "1"), "example.org") != ID
    assert message_id(("ab", "c"), "example.org") != message_id(("a", "bc"), "example.org")


def test_identifiers_stand_in_the_a_label_of_the_senders_domain() -> None:
    assert re.fullmatch(r"<[0-9a-f]{32}@xn--bcher-kva\.example>", message_id(("x",), "bücher.example"))
    assert re.fullmatch(r"<alert-[0-9a-f]{32}@example\.org>", thread_root("key\r\nBcc: x", "example.org"))
    with pytest.raises(ValueError, match="not a domain name"):
        message_id(("x",), "no domain")


def test_nobody_named_becomes_undisclosed_recipients() -> None:
    assert b"To: undisclosed-recipients:;\r\n" in built(to=())


def test_a_date_in_another_zone_is_the_same_moment() -> None:
    raw = built(date=NOW.astimezone(timezone(timedelta(hours=9))))
    assert parsedate_to_datetime(parsed(raw)["Date"]) == NOW
    with pytest.raises(ValueError, match="aware"):
        built(date=NOW.replace(tzinfo=None))


def test_a_header_of_the_connector_is_added_and_one_of_the_message_wins() -> None:
    message = parsed(
        built(
            importance=Importance.LOW,
            extra_headers=(("X-Team", "Größe"), ("Importance", "high"), ("Feedback-ID", "a:b")),
        )
    )
    assert message["X-Team"] == "Größe"
    assert message["Importance"] == "low"
    assert message["Feedback-ID"] == "a:b"


@pytest.mark.parametrize(
    "name",
    [
        "Bcc",
        "From",
        "To",
        "Subject",
        "Content-Type",
        "DKIM-Signature",
        "Return-Path",
        "X-A: b\r\nBcc",
        "X-A\n",
        "",
        "X A",
        "Xé",
        "Received",
    ],
)
def test_a_header_that_is_not_allowed_is_refused_by_name(name: str) -> None:
    assert refused(extra_headers=((name, "v"),)).field.startswith("headers[")


def test_a_reply_address_of_the_connector_is_a_mailbox_and_not_a_text() -> None:
    assert b"Reply-To: Ops <ops@xn--bcher-kva.example>\r\n" in built(
        extra_headers=(("Reply-To", "Ops <ops@bücher.example>"),)
    )
    several = built(extra_headers=(("Reply-To", 'a@example.org, "B, C" <b@example.org>'),))
    assert [address.display_name for address in parsed(several)["Reply-To"].addresses] == ["", "B, C"]
    assert refused(extra_headers=(("Reply-To", ""),)).field == "headers[Reply-To]"
    assert refused(extra_headers=(("Reply-To", "not an address"),)).field == "headers[Reply-To]"
    assert refused(extra_headers=(("Reply-To", "jörg@example.org"),)).field == "headers[Reply-To]"


def test_a_header_set_twice_is_refused_whatever_its_case() -> None:
    assert refused(extra_headers=(("X-A", "1"), ("x-a", "2"))) == MessageProblem("headers[x-a]", "is set twice")


@pytest.mark.parametrize(
    "hidden",
    [
        "\r",
        "\n",
        "\0",
        "\x1b",
        "\x7f",
        "\x85",
        "\t",
        "\u2028",
        "\u2029",
        "\u202e",
        "\u2066",
        "\u200f",
        "\ufeff",
        "\ud83d",
    ],
)
def test_a_hidden_character_is_refused_in_every_header_a_user_can_set(hidden: str) -> None:
    text = f"a{hidden}Bcc: v@example.org"
    assert refused(subject=text).field == "subject"
    assert refused(sender=Mailbox(text, "a@example.org")).field == "from"
    assert refused(to=(Mailbox(text, "a@example.org"),)).field == "to"
    assert refused(cc=(Mailbox("", f"a{hidden}@example.org"),)).field == "cc"
    assert refused(reply_to=(Mailbox("", f"a@example.org{hidden}"),)).field == "replyTo"
    assert refused(extra_headers=(("X-A", text),)).field == "headers[X-A]"
    assert refused(message_id=f"<a{hidden}@example.org>").field == "messageID"
    assert refused(thread_root=f"<a@example.org>{hidden}").field == "threadRoot"
    assert refused(list_id=f"a{hidden}b").field == "listID"


def test_the_injection_of_cve_2024_6923_stays_inside_the_subject() -> None:
    subject = "A 💩 x=?UTF-8?Q?=0A?=Bcc: v@example.org"
    raw = built(subject=subject)
    assert is_sound(raw)
    assert parsed(raw)["Bcc"] is None
    assert decoded(raw, "Subject") == subject


def test_text_that_looks_like_an_encoded_word_is_shown_as_it_was_written() -> None:
    subject = "=?utf-8?q?=41?= and more"
    assert decoded(built(subject=subject), "Subject") == subject


def test_a_local_part_beyond_ascii_is_the_only_thing_that_leaves_7_bit() -> None:
    raw = built(to=(Mailbox("Jörg", "jörg@bücher.example"),))
    assert "<jörg@xn--bcher-kva.example>".encode() in raw
    assert raw.replace("jörg@".encode(), b"").isascii()
    assert built(to=(Mailbox("Jörg", "j@bücher.example"),)).isascii()


@pytest.mark.parametrize(
    ("field", "change"), [("text", {"text": "a\0b"}), ("html", {"html": "a\0b"}), ("text", {"text": "a\ud800"})]
)
def test_a_body_that_no_mail_can_hold_is_refused(field: str, change: dict[str, str]) -> None:
    assert refused(**change).field == field


def test_megabytes_are_refused_and_not_truncated() -> None:
    assert refused(text="x" * 5_000_000).field == "text"
    assert refused(subject="x" * 1_000_000).field == "subject"
    assert refused(extra_headers=(("X-A", "x" * 10_000),)).field == "headers[X-A]"
    assert refused(to=(Mailbox("", "a@example.org"),) * 501).field == "to"


def test_a_block_with_a_foreign_a_missing_or_a_doubled_header_is_not_sound() -> None:
    def sound(block: bytes, *names: str) -> bool:
        return headers.is_block_sound(block, names, allow_utf8=False)

    assert sound(b"A: b\r\nC: d\r\n e\r\n", "A", "C")
    assert not sound(b"A: b\r\nBcc: x\r\nC: d\r\n", "A", "C")
    assert not sound(b"A: b\r\n", "A", "C")
    assert not sound(b"A: b\r\na: c\r\n", "A", "A")
    assert not sound(b"A: b\nBcc: c\r\n", "A")
    assert not sound(b"A: b\r\r\n", "A")
    assert not sound(b"A: b\0\r\n", "A")
    assert not sound("A: ü\r\n".encode(), "A")
    assert not sound(b"A: " + b"b" * 996 + b"\r\n", "A")
    assert not sound(b"A: b\r\n\r\nBcc: x\r\n", "A")


@given(ANYTHING, ANYTHING, ANYTHING, ANYTHING, ANYTHING)
@example("a\r\nBcc: v@example.org", "x\nTo: y", "\r\n.\r\nMAIL FROM:<x>\r\n", "--=_x--", "X-Evil: a\r\nBcc: b")
def test_no_input_gives_a_second_header_a_bare_line_end_or_a_nul(
    subject: str, name: str, text: str, html: str, extra: str
) -> None:
    draft = dataclasses.replace(
        BASE,
        subject=subject,
        sender=Mailbox(name, "a@example.org"),
        to=(Mailbox(subject, f"{name}@example.org"),),
        text=text,
        html=html,
    )
    for candidate in (
        draft,
        dataclasses.replace(draft, to=()),
        dataclasses.replace(BASE, extra_headers=(("X-A", extra), (name, subject))),
    ):
        raw = build(candidate)
        assert isinstance(raw, MessageProblem) or is_sound(raw)


@given(CLEAN, CLEAN.filter(lambda text: len(text) <= 128), CLEAN)
@example("  two  spaces " + "word " * 60, 'O\'Neil, "Bob" \\', "x" * 200)
@example("=?", "a  b", "ü" * 150)
@example("", "\xa0", "")
def test_the_standard_library_reads_back_subject_names_and_headers(subject: str, name: str, extra: str) -> None:
    raw = built(
        subject=subject,
        sender=Mailbox(name, "a@example.org"),
        to=(Mailbox(name, "b@example.org"),) * 3,
        extra_headers=(("X-A", extra),),
    )
    assert is_sound(raw)
    assert decoded(raw, "Subject") == subject.strip()
    assert decoded(raw, "X-A") == extra.strip()
    sender = parsed(raw)["From"].addresses[0]
    assert sender.addr_spec == "a@example.org"
    assert [address.addr_spec for address in parsed(raw)["To"].addresses] == ["b@example.org"] * 3
    if name.isascii() and "=?" not in name:
        assert sender.display_name == name.strip()
    else:
        assert decoded(raw, "From") == (f"{name.strip()} <a@example.org>" if name.strip() else "a@example.org")


@given(
    st.text(max_size=600).filter(lambda text: "\0" not in text),
    st.text(max_size=300).filter(lambda text: "\0" not in text),
)
@example("From me\n.\n..\n trailing \t\n=3D=\r\n\r\rx", "é" * 500)
@example("." * 200 + "\n" + " " * 200, "日本" * 100)
def test_the_standard_library_reads_back_both_bodies(text: str, html: str) -> None:
    def lines(body: str) -> str:
        normal = re.sub("\r\n?", "\n", body)
        return normal if normal.endswith("\n") else normal + "\n"

    raw = built(text=text or "x", html=html or "y")
    assert is_sound(raw)
    assert raw.isascii()
    assert text_of(raw, "plain") == lines(text or "x")
    assert text_of(raw, "html") == lines(html or "y")
