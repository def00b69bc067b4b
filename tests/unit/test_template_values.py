"""What templates may say of an incident: documented names, plain values, nothing that a pod could smuggle in."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from watchbell.mail.facts import CrashFacts, DifferenceFacts, PodFacts
from watchbell.mail.recovery import ACCOUNT_VALUES
from watchbell.mail.template import Compiled
from watchbell.mail.template_filters import FILTERS
from watchbell.mail.template_samples import CRASH, account_samples, samples
from watchbell.mail.template_syntax import TAGS
from watchbell.mail.template_values import VALUES, incident_values
from watchbell.templates.trial import judge

PAGE = Path(__file__).parents[2] / "docs" / "templates.md"
SECRET = "password=hunter2hunter2"


def names(value, path=""):
    """Every name in the values, as the documentation writes it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from names(inner, f"{path}.{key}" if path else key)
        return
    yield path
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from names(item, f"{path}[]")


def leaves(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def test_every_name_is_documented_and_every_documented_name_is_there():
    assert {name for sample in samples() for name in names(sample.values)} == set(VALUES)


def test_every_name_of_account_mail_is_documented_and_there():
    for sample in account_samples():
        assert {name for name in names(sample.values) if not name.endswith("[]")} == set(ACCOUNT_VALUES)


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_names_that_hold_no_list_are_there_in_every_mail(sample):
    always = {name for name in VALUES if "[]" not in name}
    assert always <= set(names(sample.values))


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_values_are_plain(sample):
    assert {type(leaf) for leaf in leaves(sample.values)} <= {str, int, bool, type(None)}


@pytest.mark.parametrize(
    ("changes", "is_resolved", "expected"),
    [
        ({}, False, "Fired"),
        ({"is_reminder": True}, False, "Repeated"),
        ({"escalated_from": "Warning", "is_reminder": True}, False, "Escalated"),
        ({"is_reminder": True}, True, "Resolved"),
    ],
)
def test_a_template_knows_why_the_mail_is_sent(changes, is_resolved, expected):
    values = incident_values(replace(CRASH, **changes), is_resolved=is_resolved)["incident"]
    assert (values["transition"], values["resolved"]) == (expected, expected == "Resolved")


def test_hostile_text_is_bounded_visible_and_without_secrets():
    hostile = f"\x1b[31m\u202e{SECRET}\r\nBcc: x\0" + "y" * 100_000
    facts = replace(
        CRASH,
        owner_name=hostile,
        container=hostile,
        note=hostile,
        cluster=hostile,
        acknowledged_by="a\nb",
        pods=(PodFacts(hostile, node=hostile, reason=hostile, message=hostile, memory_limit=hostile),) * 1000,
        log_lines=(SECRET, hostile) * 500,
        events=(hostile,) * 100,
        changes=(hostile,) * 100,
        differences=(DifferenceFacts(hostile, hostile, hostile, hostile),) * 1000,
        dashboard_url="javascript:alert(1)",
    )
    values = incident_values(facts)
    texts = [leaf for leaf in leaves(values) if isinstance(leaf, str)]
    assert max(map(len, texts)) <= 600
    assert all(text.isprintable() for text in texts)
    assert len(values["incident"]["pods"]) == 50
    assert len(values["incident"]["differences"]) == 50
    assert values["incident"]["affectedPods"] == 1000
    assert values["incident"]["dashboardURL"] is None
    told = (*values["incident"]["log"], *values["incident"]["events"], values["incident"]["pods"][0]["message"])
    assert not any("hunter2" in text for text in told)


def test_values_of_an_incident_of_nothing_are_whole():
    facts = CrashFacts(
        "", "obs", "p", "i", "Deployment", "o", "Unheard", "Info", "", "", (), CRASH.start_time, CRASH.now
    )
    values = incident_values(facts)["incident"]
    assert (values["pods"], values["log"], values["container"], values["cluster"]) == ([], [], None, None)


def row(name: str, text: str) -> str:
    return f"| `{name}` | {text} |\n"


def test_the_page_has_every_value_tag_and_filter():
    page = PAGE.read_text()
    values = "".join(row(name, text) for name, text in VALUES.items())
    filters = "".join(row(name, one.doc) for name, one in sorted(FILTERS.items()))
    of_account = "".join(row(name, text) for name, text in ACCOUNT_VALUES.items())
    assert of_account in page, f"the table of values of account mail of docs/templates.md should be:\n{of_account}"
    assert values in page, f"the table of values of docs/templates.md should be:\n{values}"
    assert filters in page, f"the table of filters of docs/templates.md should be:\n{filters}"
    assert all(f"`{tag}`" in page for tag in TAGS)


def test_the_examples_of_the_page_and_of_the_samples_work():
    texts = [part.split("```")[0] for part in PAGE.read_text().split("```yaml\n")[1:]]
    texts.append((PAGE.parent / "samples" / "emailtemplate.yaml").read_text())
    bodies = [body for text in texts for body in yaml.safe_load_all(text) if body["kind"] == "EmailTemplate"]
    assert [body["metadata"]["name"] for body in bodies] == ["short", "team", "reset", "short"]
    for body in bodies:
        found = judge(body).found
        assert isinstance(found, Compiled), found
