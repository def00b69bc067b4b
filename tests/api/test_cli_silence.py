"""`watchbell silence create|expire|list` as processes against a real API server."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from commandrig import OURS, Commander, conditions, incident_body
from watchbell.api.times import moment, stamp

MATCH = "--owner=DaemonSet/otel-agent"


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


def silences(control_plane, namespace):
    return control_plane.rest().get(f"{OURS}/{namespace}/alertsilences")["items"]


def in_s(seconds):
    return stamp(datetime.now(UTC) + timedelta(seconds=seconds))


def test_a_silence_is_made_in_the_namespace_of_the_context_by_whoever_asks(control_plane, namespace, watchbell):
    said = watchbell("silence", "create", MATCH, "--for=2h", "--comment=upgrade of the nodes", "--name=upgrade")
    assert (said.code, said.err) == (0, "")
    (made,) = silences(control_plane, namespace)
    spec = made["spec"]
    assert made["metadata"]["name"] == "upgrade"
    assert spec["matchers"] == [{"field": "Owner", "operator": "In", "values": ["DaemonSet/otel-agent"]}]
    assert spec["comment"] == "upgrade of the nodes"
    assert spec["createdBy"] == "admin"
    assert "startTime" not in spec
    left = moment(spec["endTime"]) - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)
    first, second = said.out.splitlines()
    assert first.startswith(
        f"alertsilence.watchbell.dev/upgrade created: mutes Owner=DaemonSet/otel-agent in namespace {namespace} "
        f"until {spec['endTime']} (in 2h)"
    )
    assert second == "No open incident matches it now."


def test_it_names_the_open_incidents_that_it_matches(control_plane, namespace, watchbell):
    rest = control_plane.rest()
    path = f"{OURS}/{namespace}/collectorincidents"
    rest.post(path, incident_body("agent-oom"))
    rest.post(path, incident_body("gateway-oom", owner={"kind": "Deployment", "name": "otel-gateway"}))
    rest.post(path, incident_body("agent-over"))
    rest.merge(f"{path}/agent-over/status", {"status": {"conditions": conditions(Resolved=("True", "HealthyAgain"))}})
    said = watchbell("silence", "create", MATCH, "--for=2h", "--comment=c")
    assert said.code == 0
    assert said.out.splitlines()[1] == "Open incidents that match it now: agent-oom."


@pytest.mark.parametrize(("form", "read"), [("yaml", yaml.safe_load), ("json", json.loads)])
def test_the_object_is_printed_as_it_stands_in_the_cluster(control_plane, namespace, watchbell, form, read):
    said = watchbell("silence", "create", MATCH, "--until", in_s(60), "--comment=c", "-o", form)
    (stands,) = silences(control_plane, namespace)
    stands["metadata"].pop("managedFields")
    assert (said.code, read(said.out)) == (0, stands)


def test_its_name_is_printed_for_scripts_which_can_end_it_by_that(control_plane, namespace, watchbell):
    made = watchbell("silence", "create", MATCH, "--for=1h", "--comment=c", "-o", "name", "-n", namespace)
    kind, _, name = made.out.strip().partition("/")
    assert kind == "alertsilence.watchbell.dev"
    ended = watchbell("silence", "expire", name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"alertsilence.watchbell.dev/{name} ended; one mail will say")
    (stands,) = silences(control_plane, namespace)
    assert moment(stands["spec"]["endTime"]) <= datetime.now(UTC)
    again = watchbell("silence", "expire", name)
    assert (again.code, again.out) == (
        0,
        f"alertsilence.watchbell.dev/{name} ended already at {stands['spec']['endTime']}\n",
    )


def test_one_that_has_not_begun_is_deleted_when_it_is_ended(control_plane, namespace, watchbell):
    watchbell("silence", "create", MATCH, "--for=1h", "--start", in_s(600), "--comment=c", "--name=later")
    said = watchbell("silence", "expire", "later")
    assert (said.code, said.out) == (0, "alertsilence.watchbell.dev/later had not begun: deleted\n")
    assert silences(control_plane, namespace) == []


def test_one_that_began_this_second_can_be_ended(control_plane, namespace, watchbell):
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "AlertSilence",
        "metadata": {"name": "now"},
        "spec": {
            "matchers": [{"field": "Owner", "operator": "In", "values": ["a"]}],
            "startTime": in_s(0),
            "endTime": in_s(3600),
            "comment": "c",
        },
    }
    control_plane.rest().post(f"{OURS}/{namespace}/alertsilences", body)
    assert watchbell("silence", "expire", "now").code == 0
    (stands,) = silences(control_plane, namespace)
    assert moment(stands["spec"]["endTime"]) < datetime.now(UTC) + timedelta(seconds=2)


def test_the_list_shows_what_mutes_and_only_if_asked_what_has_ended(control_plane, namespace, watchbell):
    nothing = watchbell("silence", "list")
    assert (nothing.code, nothing.out) == (0, "")
    assert f"no silence mutes anything in namespace {namespace}" in nothing.err
    watchbell(
        "silence",
        "create",
        MATCH,
        "--for=2h",
        "--comment=upgrade\x1b[31m of\nnodes",
        "--name=upgrade",
        "--created-by=ada",
    )
    watchbell(
        "silence", "create", "--matcher=Kind!=Drift", "--for=1h", "--comment=c", "--name=freeze", "--start", in_s(600)
    )
    watchbell("silence", "create", MATCH, "--for=1h", "--comment=c", "--name=old")
    watchbell("silence", "expire", "old")
    control_plane.rest().merge(
        f"{OURS}/{namespace}/alertsilences/upgrade/status", {"status": {"matchedIncidents": 2, "heldBack": 5}}
    )
    titles, freeze, upgrade = watchbell("silence", "list").rows
    assert freeze[:2] == ["freeze", "Pending"]
    assert freeze[5] == "Kind!=Drift"
    assert titles == ["NAME", "STATE", "ENDS-IN", "INCIDENTS", "HELD-BACK", "MATCHERS", "AGE"]
    assert upgrade[:2] == ["upgrade", "Active"]
    assert upgrade[3:6] == ["2", "5", "Owner=DaemonSet/otel-agent"]
    rows = watchbell("silence", "list", "--expired", "--no-headers", "-A", "-o", "wide").rows
    mine = [row[1:] for row in rows if row[0] == namespace]
    assert [row[:2] for row in mine] == [["old", "Expired"], ["freeze", "Pending"], ["upgrade", "Active"]]
    assert mine[0][2:5] == ["ended", "<none>", "<none>"]
    assert mine[2][-2:] == ["ada", "upgrade\N{REPLACEMENT CHARACTER}[31m of nodes"]
    assert watchbell("silence", "list", "-o", "name").out.splitlines()[1] == "alertsilence.watchbell.dev/upgrade"
    listed = yaml.safe_load(watchbell("silence", "list", "--expired", "-o", "yaml").out)
    assert {item["metadata"]["name"] for item in listed["items"]} == {"old", "freeze", "upgrade"}


def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(control_plane, namespace, watchbell, tmp_path):
    missing = watchbell("silence", "expire", "nobody")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err == f'watchbell: alertsilences.watchbell.dev "nobody" not found in namespace {namespace}\n'
    watchbell("silence", "create", MATCH, "--for=1h", "--comment=c", "--name=taken")
    taken = watchbell("silence", "create", MATCH, "--for=1h", "--comment=c", "--name=taken")
    assert taken.code == 1
    assert taken.err == "watchbell: an AlertSilence of this name is there already: taken\n"
    wrong = watchbell("silence", "create", MATCH, "--for=1h", "--comment=c", "--name=Not_A_Name")
    assert wrong.code == 1
    assert "Not_A_Name" in wrong.err
    stranger = Commander(control_plane, namespace, tmp_path, user="plain")
    refused = stranger("silence", "list")
    assert (refused.code, refused.out) == (1, "")
    assert "is forbidden" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_a_reader_that_went_away_is_not_answered_with_a_stack_trace(watchbell):
    watchbell("silence", "create", MATCH, "--for=1h", "--comment=c")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        said = watchbell("silence", "list", output=writing)
    finally:
        os.close(writing)
    assert (said.code, said.err) == (141, "")
