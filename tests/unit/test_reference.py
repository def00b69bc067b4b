from pathlib import Path

import pytest

from watchbell.generated import between
from watchbell.reference import pages
from watchbell.settings import OPTIONS
from watchbell.smtp.natures import NATURES
from watchbell.smtp.providers import PROVIDERS

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {Path(path).name: (path, text) for path, text in pages().items()}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_page_in_the_repository_is_the_one_that_the_code_makes(name):
    path, text = TEXTS[name]
    assert (ROOT / path).read_text(encoding="utf-8") == text


def test_every_flag_stands_on_its_page():
    assert all(f"`{option.flag}`" in TEXTS["flags.md"][1] for option in OPTIONS)


def test_every_known_provider_stands_in_the_table_of_limits_with_its_numbers():
    rows = [line for line in TEXTS["limits.md"][1].splitlines() if line.startswith("| ")]
    for known in PROVIDERS:
        [row] = [row for row in rows if row.startswith(f"| {known.name} |")]
        assert all(f"`{suffix}`" in row for suffix in known.suffixes)
        assert f"{known.limits.recipients_per_message:,}" in row
        assert not known.limits.messages_per_day or f"| {known.limits.messages_per_day:,} |" in row


def test_a_page_that_lost_its_marks_is_an_error_and_not_left_as_it_is():
    with pytest.raises(ValueError, match="needs the marks"):
        between("# A page without them", "providers", "table")


VERBS = {
    "silence": ("create", "expire", "list"),
    "incident": ("list", "ack", "unack"),
    "baseline": ("capture", "diff", "accept"),
    "template": ("preview",),
}


@pytest.mark.parametrize("words", [f"{group} {verb}" for group, verbs in VERBS.items() for verb in verbs])
def test_every_command_stands_on_its_page_and_what_it_prints_in_is_said(words):
    section = TEXTS["commands.md"][1].split(f"## watchbell {words}\n")[1].split("\n## ")[0]
    assert "| `" in section
    assert "--kubeconfig" not in section


def test_the_page_of_commands_says_what_must_be_given():
    section = TEXTS["commands.md"][1].split("## watchbell silence create\n")[1].split("\n## ")[0]
    assert "| `--comment TEXT` |" in section
    assert section.count("(required)") == 1
    assert "watchbell silence create --owner DaemonSet/otel-agent --for 2h" in section


def test_every_smtp_reason_stands_on_its_page_with_a_cure():
    text = TEXTS["smtp-reasons.md"][1]
    for reason in NATURES:
        section = text.split(f"## {reason}\n")[1].split("\n## ")[0]
        assert "\n- " in section, reason
