"""The table of Events: it is complete, its words are of a closed set, and the page is made from it."""

import ast
import re
from pathlib import Path

import pytest

from watchbell.api.enums import IncidentKind
from watchbell.api.events import EVENTS, Action, events_page
from watchbell.api.kinds import KINDS
from watchbell.kube.events import EventRecorder

SOURCE = Path(__file__).resolve().parents[2] / "operator/watchbell"


def calls():
    """Every call of `emit` and `_emit` in the source, with the file it stands in."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("emit"):
                yield path, node


def literals(node):
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def test_every_event_is_of_a_known_kind_and_has_a_reason_that_can_be_filtered():
    kinds = {kind.kind for kind in KINDS}
    for told in EVENTS:
        assert set(told.kinds) <= kinds
        assert told.type in {"Normal", "Warning"}
        assert re.fullmatch(r"[A-Z][A-Za-z]{2,60}", told.reason)
        assert told.doc.endswith(".")
    assert len({(told.kinds, told.reason, told.type) for told in EVENTS}) == len(EVENTS)


def test_every_action_is_used_and_named_as_one():
    used = {told.action for told in EVENTS}
    assert used == set(Action)
    actions = {
        one.attr
        for _, node in calls()
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "Action"
    }
    assert actions == {action.name for action in Action}


def test_a_reason_that_is_spelled_in_the_code_stands_in_the_table():
    known = {told.reason for told in EVENTS} | {"Normal", "Warning"}
    spelled = {
        word
        for _, node in calls()
        for word in literals(node)
        if re.fullmatch(r"(?:[A-Z][a-z]+){2,}|Normal|Warning", word)
    }
    assert {"ProbeFailed", "CertificateExpiring"} <= spelled
    assert spelled <= known


def test_only_these_places_post_events():
    assert {path.relative_to(SOURCE).as_posix() for path, _ in calls()} == {
        "accounts/reconcile.py",
        "collectors/desk.py",
        "connectors/announce.py",
        "connectors/drills.py",
        "outbox/outbox.py",
    }


@pytest.mark.parametrize("kind", list(IncidentKind))
def test_every_kind_of_incident_has_its_event(kind):
    assert [told.action for told in EVENTS if told.reason == kind] == [Action.OPEN]


def test_the_page_has_a_row_for_each_and_says_by_what_they_are_found():
    page = events_page()
    assert page.count("\n| ") == len(EVENTS) + 1
    for told in EVENTS:
        assert f"| `{told.reason}` | `{told.action}` |" in page
    assert "reportingController=watchbell.dev/watchbell" in page
    assert EventRecorder.emit.__doc__ is not None
