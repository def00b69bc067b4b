"""Attachments: the standard library reads back every name and text, and no name or type can become a header or a path."""

import dataclasses
import email
import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watchbell.mail.address import Mailbox
from watchbell.mail.attachment import MAX_ATTACHMENTS, MAX_NAME_CHARACTERS, Attachment
from watchbell.mail.message import Draft, MessageProblem, build, message_id

CSV = Attachment("incidents.csv", "text/csv", "a,b\r\n1,2\r\n")
BASE = Draft(
    sender=Mailbox("watchbell", "alerts@example.org"),
    to=(Mailbox("", "oncall@example.org"),),
    subject="Collectors in prod: 12 incidents, worst Critical, on prod-eu-1",
    text="Hello\n",
    html="<p>Hello</p>\n",
    message_id=message_id(("uid",), "example.org"),
    date=datetime(2026, 11, 21, 14, 14, 20, tzinfo=UTC),
)
PART_HEADERS = {"content-type", "content-transfer-encoding", "content-disposition"}


def built(*attachments: Attachment, **changes: object) -> bytes:
    raw = build(dataclasses.replace(BASE, attachments=attachments, **changes))  # type: ignore[arg-type] # the names are those of Draft
    assert isinstance(raw, bytes), raw
    return raw


def refused(*attachments: Attachment) -> MessageProblem:
    problem = build(dataclasses.replace(BASE, attachments=attachments))
    assert isinstance(problem, MessageProblem)
    return problem


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def attached(raw: bytes) -> list[EmailMessage]:
    return list(parsed(raw).iter_attachments())  # type: ignore[arg-type] # parts of an EmailMessage are such


def is_sound(raw: bytes) -> bool:
    """7-bit, CRLF, short lines, one top header each, parts with the three headers that they may have."""
    head = raw.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if not line.startswith(b" ")]
    leaves = [part for part in parsed(raw).walk() if not part.is_multipart()]
    return (
        raw.isascii()
        and not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw)
        and max(map(len, raw.split(b"\r\n"))) <= 100
        and len(set(names)) == len(names)
        and all({name.lower() for name in part} <= PART_HEADERS for part in leaves)
    )


def test_an_attachment_stands_in_a_mixed_message_around_the_alternative() -> None:
    raw = built(CSV)
    message = parsed(raw)
    assert message.get_content_type() == "multipart/mixed"
    assert [part.get_content_type() for part in message.iter_parts()] == ["multipart/alternative", "text/csv"]
    body = message.get_body(("html",))
    assert body is not None
    assert body.get_content().strip() == "<p>Hello</p>"
    part = attached(raw)[0]
    assert part.get_filename() == "incidents.csv"
    assert part.get_content_charset() == "utf-8"
    assert part.get_content_disposition() == "attachment"
    assert part.get_payload(decode=True) == b"a,b\r\n1,2\r\n"


def test_the_same_draft_gives_the_same_bytes_and_no_boundary_begins_another() -> None:
    raw = built(CSV)
    assert raw == built(CSV)
    boundaries = re.findall(rb'boundary="([^"]+)"', raw)
    assert len(set(boundaries)) == 2
    assert len(set(map(len, boundaries))) == 1


def test_a_text_alone_with_an_attachment_has_two_parts() -> None:
    message = parsed(built(CSV, html=""))
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/csv"]


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("incidents.csv", b'filename="incidents.csv"'),
        ("größe.csv", b"filename*=utf-8''gr%C3%B6%C3%9Fe.csv"),
        ("100%.csv", b"filename*=utf-8''100%25.csv"),
        ("x" * 80 + ".csv", b"filename*0*=utf-8''" + b"x" * 50),
    ],
)
def test_a_file_name_goes_as_rfc_2183_and_2231_have_it(name: str, wire: bytes) -> None:
    raw = built(dataclasses.replace(CSV, filename=name))
    assert wire in raw
    assert attached(raw)[0].get_filename() == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "..",
        "a/b.csv",
        "..\\b.csv",
        'a".csv',
        "a\r\nBcc: v@example.org",
        "a\0.csv",
        "\u202evsc.exe",
        "a:b.csv",
        " a.csv",
        "x" * (MAX_NAME_CHARACTERS + 1),
    ],
)
def test_a_file_name_that_could_be_a_path_or_a_header_is_refused(name: str) -> None:
    assert refused(dataclasses.replace(CSV, filename=name)).field == "attachments[0].filename"


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "csv",
        "text/",
        "text/csv; name=x",
        "text/csv\r\nX-A: b",
        "multipart/mixed",
        "Message/rfc822",
        "text/csv; charset=latin-1",
    ],
)
def test_a_type_that_is_none_or_holds_other_parts_is_refused(kind: str) -> None:
    assert refused(dataclasses.replace(CSV, content_type=kind)).field == "attachments[0].contentType"


def test_texts_that_no_part_can_hold_are_refused_with_their_place() -> None:
    assert refused(CSV, Attachment("b.csv", "text/csv", "a\0b")).field == "attachments[1].text"
    assert refused(Attachment("b.csv", "text/csv", "a\ud800")).field == "attachments[0].text"
    assert refused(Attachment("b.csv", "text/csv", "x" * 5_000_000)).field == "attachments[0].text"
    assert refused(CSV, dataclasses.replace(CSV, filename="INCIDENTS.csv")).field == "attachments[1].filename"


def test_too_many_and_too_much_are_refused() -> None:
    many = tuple(Attachment(f"{index}.csv", "text/csv", "x") for index in range(MAX_ATTACHMENTS + 1))
    assert refused(*many).field == "attachments"
    big = tuple(Attachment(f"{index}.csv", "text/csv", "x" * 3_600_000) for index in range(3))
    assert refused(*big).message.startswith("are larger than")


def test_a_file_of_twenty_megabytes_is_refused_and_not_encoded() -> None:
    problem = refused(CSV, Attachment("a.bin", "application/octet-stream", data=bytes(20 * 1024 * 1024)))
    assert (problem.field, problem.message) == ("attachments[1]", "has 20971520 bytes, and a file may have 4194304")


def test_an_empty_file_has_a_part_of_its_own() -> None:
    (part,) = attached(built(Attachment("empty.csv", "text/csv", data=b"")))
    assert (part.get_filename(), part.get_payload(decode=True)) == ("empty.csv", b"")


def test_a_file_that_is_not_what_its_type_says_is_refused_at_its_type() -> None:
    problem = refused(Attachment("a.png", "image/png", data=b"%PDF-1.7"))
    assert problem.field == "attachments[0].contentType"
    assert problem.message == "says image/png, but the file is a PDF document; declare the type that it has"


LOGO = Attachment("logo.png", "image/png", data=b"\x89PNG\r\n\x1a\n" + bytes(64), is_inline=True)
SHOWS = '<p><img alt="" src="cid:logo.png"></p>'


def test_an_image_that_the_html_shows_is_related_to_it() -> None:
    message = parsed(built(LOGO, CSV, html=SHOWS))
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ]
    only = parsed(built(LOGO, html=SHOWS, text=""))
    assert only.get_content_type() == "multipart/related"
    assert only["Content-Type"].params["type"] == "text/html"
    image = next(part for part in only.walk() if part.get_content_type() == "image/png")
    assert (image["Content-ID"], image["Content-Disposition"]) == ("<logo.png>", 'inline; filename="logo.png"')


@pytest.mark.parametrize(
    "html",
    [
        SHOWS,
        "<td background='cid:logo.png'>",
        "<img src=cid:logo.png>",
        "<p style=\"background: url('cid:logo.png')\">",
        '<IMG SRC = "CID:logo.png">',
        '<img src="cid:logo%2Epng">',
    ],
)
def test_every_way_to_show_an_image_is_seen(html: str) -> None:
    assert b"multipart/related" in built(LOGO, html=html)


@pytest.mark.parametrize(
    ("html", "images", "told"),
    [
        ("<p>Hello</p>", (LOGO,), "does not show cid:logo.png, which is attached with disposition Inline"),
        (SHOWS, (), "shows cid:logo.png, and no attachment with disposition Inline has this filename"),
        (
            '<img src="cid:a.png">',
            (LOGO,),
            "shows cid:a.png, and no attachment with disposition Inline has this filename",
        ),
        ("", (LOGO,), "does not show cid:logo.png, which is attached with disposition Inline"),
    ],
)
def test_a_picture_that_nobody_would_see_is_a_mistake(html: str, images: tuple[Attachment, ...], told: str) -> None:
    problem = build(dataclasses.replace(BASE, html=html, attachments=images))
    assert problem == MessageProblem("html", told)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"filename": "our logo.png"}, "filename"),
        ({"filename": "größe.png"}, "filename"),
        ({"filename": "a>b.png"}, "filename"),
        ({"content_type": "application/pdf"}, "contentType"),
    ],
)
def test_an_image_within_the_html_has_a_name_that_can_be_an_identifier(changes: dict[str, str], field: str) -> None:
    assert refused(dataclasses.replace(LOGO, **changes)).field == f"attachments[0].{field}"  # type: ignore[arg-type] # the names are those of Attachment


@given(
    st.text(max_size=60),
    st.one_of(st.sampled_from(["text/csv", "application/json", "text/plain; charset=utf-8"]), st.text(max_size=20)),
    st.text(max_size=300),
)
@example("a\r\nBcc: v@example.org", "text/csv", "--=_x--\r\n.\r\n")
@example("a.csv", 'text/csv"; x="', "=3D=\r\n\rx\n")
@example("\U0001f4a9" * 30, "application/json", "")
def test_no_name_type_or_text_can_break_a_header_or_leave_its_part(name: str, kind: str, text: str) -> None:
    raw = build(dataclasses.replace(BASE, attachments=(Attachment(name, kind, text),)))
    if isinstance(raw, MessageProblem):
        assert raw.field.startswith("attachments[0].")
        return
    assert is_sound(raw)
    parts = attached(raw)
    assert len(parts) == 1
    assert parts[0].get_filename() == name
    wanted = re.sub("\r\n?|\n", "\r\n", text) if kind.lower().startswith("text/") else text
    assert parts[0].get_payload(decode=True) == wanted.encode()
