"""`watchbell incident list|ack|unack` as processes against a real API server."""

import json

import pytest

from commandrig import OURS, Commander, conditions, incident_body

MAILED = {
    "notifications": [
        {"sequence": 1, "transition": "Fired", "time": "2026-11-21T12:00:02Z", "messageRef": {"name": "m"}}
    ]
}
TOLD = conditions(Resolved=("False", "Firing"), Notified=("True", "MessagesCreated"))


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def incident(control_plane, namespace):
    """Makes an incident with a status."""

    def make(name, status=None, **spec):
        path = f"{OURS}/{namespace}/collectorincidents"
        control_plane.rest().post(path, incident_body(name, **spec))
        control_plane.rest().merge(f"{path}/{name}/status", {"status": {"affectedCount": 3} | (status or {})})

    return make


def acknowledged(control_plane, namespace, name):
    body = control_plane.rest().get(f"{OURS}/{namespace}/collectorincidents/{name}")
    return body["metadata"].get("annotations", {}).get("watchbell.dev/acknowledged-by")


def test_the_list_shows_the_worst_first_and_why_nobody_was_told(watchbell, incident):
    quiet = conditions(Resolved=("False", "Firing"), Silenced=("True", "Silenced"), Notified=("False", "Silenced"))
    held = conditions(Resolved=("False", "Firing"), Notified=("False", "NoRoute"))
    over = conditions(Resolved=("True", "HealthyAgain"), Notified=("True", "MessagesCreated"))
    incident("told", {"conditions": TOLD, "worst": "CrashLoopBackOff", "severity": "Warning"} | MAILED, severity="Info")
    incident("muted", {"conditions": quiet})
    incident("lost", {"conditions": held}, severity="Critical", kind="NodeLost", owner={"kind": "Node", "name": "w-1"})
    incident("over", {"conditions": over, "resolvedTime": "2026-11-21T12:10:00Z"} | MAILED)
    said = watchbell("incident", "list")
    assert (said.code, said.err) == (0, "")
    titles, *rows = said.rows
    assert titles == ["NAME", "KIND", "OWNER", "SEVERITY", "RESOLVED", "TOLD", "PODS", "LAST-MAIL", "AGE"]
    assert [row[:7] for row in rows] == [
        ["lost", "NodeLost", "Node/w-1", "Critical", "False", "NoRoute", "3"],
        ["muted", "OOMKilled", "DaemonSet/otel-agent", "Warning", "False", "Silenced", "3"],
        ["told", "CrashLoopBackOff", "DaemonSet/otel-agent", "Warning", "False", "Told", "3"],
    ]
    assert rows[1][7] == "<none>"
    assert rows[2][7] != "<none>"
    wide = watchbell("incident", "list", "--resolved", "-o", "wide", "--no-headers").rows
    assert [row[0] for row in wide] == ["lost", "muted", "told", "over"]
    assert wide[3][4] == "True"
    assert wide[1][9:] == ["collectors", "collector", "<none>", "because of Silenced"]
    assert watchbell("incident", "list", "-o", "name").out.splitlines()[0] == "collectorincident.watchbell.dev/lost"


def test_where_all_is_well_the_list_says_so(namespace, watchbell):
    said = watchbell("incident", "list")
    assert (said.code, said.out) == (0, "")
    assert (
        said.err == f"watchbell: no incident is open in namespace {namespace}; --resolved shows those that are over\n"
    )


def test_an_acknowledgement_names_who_is_at_it_and_can_be_taken_back(control_plane, namespace, watchbell, incident):
    incident("told", {"conditions": TOLD} | MAILED)
    incident("more", {"conditions": TOLD} | MAILED)
    said = watchbell("incident", "ack", "told", "more")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"collectorincident.watchbell.dev/{name} acknowledged by admin: no more repeats; its end is told"
        for name in ("told", "more")
    ]
    assert acknowledged(control_plane, namespace, "told") == "admin"
    (_, first, _) = watchbell("incident", "list").rows
    assert first[5] == "Acknowledged"
    back = watchbell("incident", "unack", "told")
    assert (back.code, back.out) == (0, "collectorincident.watchbell.dev/told no longer acknowledged: repeats go on\n")
    assert acknowledged(control_plane, namespace, "told") is None
    assert acknowledged(control_plane, namespace, "more") == "admin"


def test_somebody_else_can_be_named(control_plane, namespace, watchbell, incident):
    incident("told")
    said = watchbell("incident", "ack", "told", "--by=ada@example.com", "-o", "json")
    assert json.loads(said.out)["metadata"]["annotations"] == {"watchbell.dev/acknowledged-by": "ada@example.com"}
    assert acknowledged(control_plane, namespace, "told") == "ada@example.com"


def test_what_is_not_there_cannot_be_acknowledged(namespace, watchbell):
    said = watchbell("incident", "ack", "nothing")
    assert (said.code, said.out) == (1, "")
    assert said.err == f'watchbell: collectorincidents.watchbell.dev "nothing" not found in namespace {namespace}\n'
