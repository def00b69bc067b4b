"""The look of a mail, as far as numbers can tell: contrast in light and dark, no fixed widths, no remote content, small pages."""

import dataclasses
import re

import pytest

from mailrig import FACTS, NOW, is_harmless
from watchbell.mail.crash import render_crash, render_resolved
from watchbell.mail.digest import DigestEntry, DigestFacts, render_digest
from watchbell.mail.document import Rendered
from watchbell.mail.facts import DifferenceFacts

LEAST_CONTRAST = 4.5  # WCAG 2.2 §1.4.3
TONES = ("critical", "warning", "info", "good")
DRIFT = dataclasses.replace(
    FACTS, kind="Drift", differences=(DifferenceFacts("Image", "containers[c].image", "a:1", "a:2"),)
)
ENTRIES = tuple(
    DigestEntry("i", "Deployment", f"otel-{index}", "OOMKilled", severity, transition)
    for index, (severity, transition) in enumerate(
        [("Critical", "Fired"), ("Warning", "Fired"), ("Info", "Fired"), ("Info", "Resolved")]
    )
)
DIGEST = DigestFacts("c", "prod", "p", "", NOW, ENTRIES)
MAILS = {
    "crash": render_crash(FACTS),
    "drift": render_crash(DRIFT),
    "resolved": render_resolved(FACTS),
    "digest": render_digest(DIGEST),
}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def style(html: str) -> str:
    return html.split("<style>")[1].split("</style>", maxsplit=1)[0]


def dark(html: str, selector: str, part: str) -> str:
    """The colour that a class has in the dark; the rules are those of the media query."""
    rules = style(html).split("prefers-color-scheme:dark)")[1].split("[data-ogsc]")[0]
    found = re.search(rf"\.{selector}\{{{part}:(#[0-9a-f]{{6}})!important\}}", rules)
    assert found is not None, (selector, part)
    return found[1]


@pytest.mark.parametrize("tone", TONES)
def test_the_words_of_every_tone_can_be_read_on_its_ground_by_day_and_by_night(tone: str) -> None:
    html = MAILS["digest"].html
    found = re.search(rf'<span class="{tone}" style="[^"]*?;color:(#\w{{6}});background:(#\w{{6}})"', html)
    assert found is not None
    assert contrast(found[1], found[2]) >= LEAST_CONTRAST
    assert contrast(dark(html, tone, "color"), dark(html, tone, "background")) >= LEAST_CONTRAST


@pytest.mark.parametrize("words", ["ink", "dim", "a"])
@pytest.mark.parametrize("ground", ["card", "box", "bg"])
def test_plain_words_can_be_read_on_every_ground_in_the_dark(words: str, ground: str) -> None:
    html = MAILS["crash"].html
    assert contrast(dark(html, words, "color"), dark(html, ground, "background")) >= LEAST_CONTRAST


@pytest.mark.parametrize("words", ["#1c2430", "#5c6675", "#1f4fb8"])
@pytest.mark.parametrize("ground", ["#ffffff", "#f6f8fa", "#f2f4f7"])
def test_plain_words_can_be_read_on_every_ground_in_the_light(words: str, ground: str) -> None:
    html = MAILS["crash"].html + render_crash(dataclasses.replace(FACTS, dashboard_url="https://g.example/")).html
    assert f"color:{words}" in html
    assert f"background:{ground}" in html
    assert contrast(words, ground) >= LEAST_CONTRAST


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_nothing_is_fetched_scripted_or_wider_than_a_phone(mail: Rendered) -> None:
    assert is_harmless(mail)
    assert not re.search(r"src=|url\(|@import|<link|<script|<img|<form", mail.html)
    widths = [int(width) for width in re.findall(r"(?<!max-)width:(\d+)px", mail.html)]
    assert max(widths, default=0) <= 160
    assert "white-space:nowrap" not in mail.html


@pytest.mark.parametrize("mail", MAILS.values(), ids=MAILS)
def test_every_class_of_a_page_has_a_rule_in_the_dark_and_every_rule_a_use(mail: Rendered) -> None:
    used = {name for names in re.findall(r'class="([^"]+)"', mail.html) for name in names.split()}
    ruled = set(re.findall(r"\.([a-z]+)", style(mail.html)))
    assert used <= ruled


def test_a_severity_is_said_in_words_beside_its_colour() -> None:
    for severity in ("Critical", "Warning", "Info"):
        mail = render_crash(dataclasses.replace(FACTS, severity=severity))
        assert f">{severity}</span>" in mail.html
        assert mail.text.startswith(f"{severity.upper()}: ")
