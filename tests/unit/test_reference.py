from pathlib import Path

import pytest

from watchbell.reference import pages
from watchbell.settings import OPTIONS
from watchbell.smtp.natures import NATURES

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {path.name: (path, text) for path, text in pages().items()}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_page_in_the_repository_is_the_one_that_the_code_makes(name):
    path, text = TEXTS[name]
    assert (ROOT / path).read_text(encoding="utf-8") == text


def test_every_flag_stands_on_its_page():
    assert all(f"`{option.flag}`" in TEXTS["flags.md"][1] for option in OPTIONS)


def test_every_smtp_reason_stands_on_its_page_with_a_cure():
    text = TEXTS["smtp-reasons.md"][1]
    for reason in NATURES:
        section = text.split(f"## {reason}\n")[1].split("\n## ")[0]
        assert "\n- " in section, reason
