"""docs/mails.md says what the mails say: its tables come from the same words."""

from pathlib import Path

from mailrig import FACTS
from watchbell.mail.crash import render_crash
from watchbell.mail.differences import CHECKS
from watchbell.mail.digest_table import COLUMNS
from watchbell.mail.kinds import KINDS
from watchbell.mail.links import PLACEHOLDERS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "mails.md"


def table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {first} | {second} |" for first, second in rows)]
    return "\n".join(lines)


def test_the_page_lists_every_kind_as_the_mails_call_it() -> None:
    wanted = table(
        ("kind", "what the subject says, for the whole life of the incident"),
        [(f"`{kind}`", words.phrase) for kind, words in KINDS.items()],
    )
    assert wanted in PAGE.read_text(encoding="utf-8"), f"the table of kinds of docs/mails.md should be:\n{wanted}"


def test_the_page_lists_every_check_as_the_drift_mail_explains_it() -> None:
    wanted = table(("check", "what the mail says of it"), [(f"`{check}`", text) for check, text in CHECKS.items()])
    assert wanted in PAGE.read_text(encoding="utf-8"), f"the table of checks of docs/mails.md should be:\n{wanted}"


def test_the_page_names_every_placeholder_and_every_column() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in PLACEHOLDERS:
        assert f"`{{{name}}}`" in page
    assert f"`{','.join(COLUMNS)}`" in page


def test_the_example_is_what_a_mail_says() -> None:
    example = PAGE.read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    mail = render_crash(FACTS)
    said = f"Subject: {mail.subject}\n\n{mail.text}"
    for paragraph in example.split("\n[…]\n"):
        assert paragraph.strip("\n") in said


def test_every_picture_of_the_page_is_there_and_small() -> None:
    page = PAGE.read_text(encoding="utf-8")
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    for picture in pictures:
        assert picture.stat().st_size < 150_000
        assert f"(images/{picture.name})" in page
    assert 0 < len(pictures) <= 10
