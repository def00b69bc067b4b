"""The mail that several messages share: every text in full somewhere, nothing of a writer's taken for markup, and a page that stays small."""

import re
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from mailrig import HOSTILE, NOW, Page, both, flat, is_harmless
from watchbell.mail.bundle import TEXT_NAME, BundleEntry, BundleFacts, render_bundle

ENTRY = BundleEntry("backup-1", "Backup of pg-main is done", "All 14 volumes.\n\n  indented <b>bold</b>\n", NOW)
FACTS = BundleFacts("prod-eu-1", "prod", "nightly", (ENTRY, replace(ENTRY, message="backup-2", subject="Second")))


def many(number, text, subject="A subject"):
    return replace(
        FACTS,
        entries=tuple(
            BundleEntry(f"m-{i}", f"{subject} {i}", f"begin-{i}\n{text}\nend-{i}", NOW + timedelta(seconds=i))
            for i in range(number)
        ),
    )


def test_both_parts_say_each_subject_and_each_text() -> None:
    mail = render_bundle(FACTS)
    assert mail.subject == "nightly: 2 messages from prod on prod-eu-1"
    for part in both(mail):
        for words in ("1. Backup of pg-main is done", "2. Second", "All 14 volumes.", "EmailMessage backup-2"):
            assert words in part
    assert mail.attachments == ()


def test_html_of_a_text_is_shown_as_text() -> None:
    mail = render_bundle(FACTS)
    assert "indented <b>bold</b>" in mail.text
    assert "&lt;b&gt;bold&lt;/b&gt;" in mail.html
    assert is_harmless(mail)


def test_lines_keep_their_indentation_and_empty_ones_their_height() -> None:
    assert "  |   indented" in render_bundle(FACTS).text
    assert ">&nbsp;</div>" in render_bundle(FACTS).html


def test_the_row_of_a_message_with_more_than_text_names_the_file_that_it_went_along_as() -> None:
    mail = render_bundle(replace(FACTS, entries=(ENTRY, replace(ENTRY, text="", enclosed="message-2.eml"))))
    for part in both(mail):
        assert "message-2.eml, attached as it would have been sent" in part
        assert "It has no text part." in part


def test_what_has_no_room_in_the_page_is_in_the_text_and_in_a_file() -> None:
    mail = render_bundle(many(40, "x" * 5000))
    [attached] = mail.attachments
    assert (attached.filename, attached.content_type) == (TEXT_NAME, "text/plain")
    assert attached.text == mail.text
    for i in range(40):
        assert f"begin-{i}\n" in mail.text
        assert f"end-{i}\n" in mail.text
    assert len(mail.html.encode()) < 100_000
    page = Page(mail.html).text
    shown = sum(f"end-{i} " in page for i in range(40))
    assert 5 < shown < 40
    assert f"There was no room for {40 - shown} messages here" in page


def test_a_hundred_messages_have_fifty_rows_and_all_their_texts() -> None:
    mail = render_bundle(many(100, "short"))
    assert "and 50 more" in Page(mail.html).text
    assert all(f"end-{i}\n" in mail.text for i in range(100))
    assert len(mail.html.encode()) < 100_000


ENTRIES = st.lists(
    st.builds(
        BundleEntry,
        message=HOSTILE,
        subject=HOSTILE,
        text=st.lists(HOSTILE, max_size=8).map("\n".join),
        made=st.just(NOW),
        enclosed=st.sampled_from(["", "message-1.eml"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(ENTRIES, HOSTILE, HOSTILE, st.sampled_from([1, 150]))
def test_hostile_texts_make_no_element_no_link_no_hidden_character_and_no_large_page(entries, cluster, key, times):
    entries = [replace(entry, text=entry.text * times) for entry in entries]
    assert is_harmless(render_bundle(BundleFacts(cluster, "prod", key, tuple(entries))))


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=3000))
def test_no_line_is_cut_however_long(text):
    shown = render_bundle(replace(FACTS, entries=(replace(ENTRY, text=text), ENTRY))).text
    assert re.sub(r"\s", "", text) in re.sub(r"\s", "", flat(shown))
