"""The mails of an AccountRecovery: what they must say, and that nobody can write into them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from mailrig import HOSTILE, NOW, both, built, flat, is_harmless
from watchbell.mail.document import Rendered
from watchbell.mail.recovery import RecoveryFacts, render_codes, render_reset, unfit

FACTS = RecoveryFacts("alice", "app.example.com", NOW, NOW + timedelta(seconds=900), "apps", "reset-alice", "prod-eu-1")
LINK = "https://app.example.com/reset?lang=de&token=" + "eyJhbGciOiJIUzI1NiJ9" * 20
CODES = tuple(f"7K3QX-9MP{number:02d}" for number in range(10))


def test_the_link_is_whole_in_both_parts_and_the_only_one():
    mail = render_reset(FACTS, LINK)
    assert f"Choose a new password: {LINK}\n" in mail.text
    assert mail.text.count("https://") == 1
    assert mail.html.count("href=") == 1
    assert f'href="{LINK.replace("&", "&amp;")}"' in mail.html


@pytest.mark.parametrize("mail", [render_reset(FACTS, LINK), render_codes(FACTS, CODES)], ids=["reset", "codes"])
def test_it_says_whose_account_who_asked_when_and_what_to_do_if_it_was_not_you(mail):
    for part in map(flat, both(mail)):
        assert "the account alice" in part
        assert "AccountRecovery apps/reset-alice" in part
        assert "2026-11-21 14:14:20 UTC" in part
        assert "prod-eu-1" in part
        assert "If it was not you" in part
    assert is_harmless(mail)


def test_the_link_says_until_when():
    for part in map(flat, both(render_reset(FACTS, LINK))):
        assert "It works once, until 2026-11-21 14:29:20 UTC." in part
        assert "it is valid for 15 min" in part
        assert "It leads to app.example.com" in part


def test_codes_are_a_list_in_their_order_that_one_can_print():
    mail = render_codes(FACTS, CODES)
    assert [line.split()[-1] for line in mail.text.splitlines() if line.startswith("  | ")] == list(CODES)
    assert "  |  1.  7K3QX-9MP00\n" in mail.text
    assert "  | 10.  7K3QX-9MP09\n" in mail.text
    assert all(code in mail.html for code in CODES)
    assert "Print this list" in mail.text


def test_no_subject_holds_what_is_secret_or_whose_account_it_is():
    for mail in (
        render_reset(FACTS, LINK),
        render_codes(FACTS, CODES),
        render_codes(replace(FACTS, application=""), CODES),
    ):
        assert "alice" not in mail.subject
        assert LINK not in mail.subject
        assert not any(code in mail.subject for code in CODES)
    assert render_reset(FACTS, LINK).subject == "Reset your password for app.example.com"


def test_nothing_is_loaded_from_elsewhere():
    for mail in (render_reset(FACTS, LINK), render_codes(FACTS, CODES)):
        assert "src=" not in mail.html
        assert "url(" not in mail.html
        assert "<img" not in mail.html


@given(HOSTILE, HOSTILE)
def test_no_account_and_no_name_writes_into_the_mail(account, name):
    facts = replace(FACTS, account=account, request=name, cluster=account)
    for mail in (render_reset(facts, LINK), render_codes(facts, CODES)):
        assert is_harmless(mail)
        assert mail.text.count(LINK) <= 1


def test_the_same_facts_are_the_same_bytes():
    assert built(render_reset(FACTS, LINK)) == built(render_reset(FACTS, LINK))


WAY, TWO = "https://app.example.com/reset?a=1&token=eyJ.a_b-c", ("7K3QX-9MPRT", "0A1BC-2DEFG")


@pytest.mark.parametrize(
    ("made", "link", "codes", "told"),
    [
        (Rendered("Hello", f"go to {WAY}", ""), WAY, (), ""),
        (Rendered("Hello", "see the HTML", f'<a href="{WAY.replace("&", "&amp;")}">x</a>'), WAY, (), ""),
        (Rendered("Hello", "nothing", "<p>nothing</p>"), WAY, (), "does not write account.link"),
        (Rendered("Hello", f"go to {WAY[:-1]}", ""), WAY, (), "does not write account.link"),
        (
            Rendered("eyJ.a_b-c", WAY, ""),
            WAY,
            (),
            "writes the link or a code into the subject, which shows on locked screens",
        ),
        (Rendered("Hello", " ".join(TWO), ""), "", TWO, ""),
        (Rendered("Hello", TWO[0], ""), "", TWO, "does not write every one of account.codes"),
        (
            Rendered(f"First: {TWO[1]}", " ".join(TWO), ""),
            "",
            TWO,
            "writes the link or a code into the subject, which shows on locked screens",
        ),
    ],
)
def test_a_mail_in_a_users_words_must_let_people_in_and_show_nothing_on_the_way(made, link, codes, told):
    assert unfit(made, link, codes) == told
