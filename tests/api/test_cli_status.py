"""`watchbell status`, `test` and `grant` as processes against a real API server, and `test` against the running operator."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from commandrig import OURS, Commander, conditions, incident_body
from controlplane import Rest
from operatorrig import until, world
from smtprig import check_no_secret
from watchbell.cli.paint import Painter
from watchbell.cli.status import Screen

CORE = "/api/v1/namespaces"


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def rest(control_plane):
    return control_plane.rest()


def at(**delta: float) -> str:
    return (datetime.now(UTC) - timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def made(rest: Rest, namespace: str, plural: str, body: dict, status: dict) -> None:
    rest.post(f"{OURS}/{namespace}/{plural}", {"apiVersion": "watchbell.dev/v1alpha1"} | body)
    rest.merge(f"{OURS}/{namespace}/{plural}/{body['metadata']['name']}/status", {"status": status})


def connector(name: str) -> dict:
    spec = {"host": "smtp.example.com", "from": {"address": "a@example.com"}}
    return {"kind": "SmtpConnector", "metadata": {"name": name}, "spec": spec}


def filled(rest: Rest, namespace: str) -> None:
    good = {
        "endpoint": "smtp.example.com:587",
        "lastProbeTime": at(minutes=3),
        "conditions": conditions(Ready=("True", "Proven")),
    }
    bad = {"endpoint": "relay:25", "conditions": conditions(Ready=("False", "ConnectionTimedOut"))}
    made(rest, namespace, "smtpconnectors", connector("good"), good)
    made(rest, namespace, "smtpconnectors", connector("bad"), bad)
    spec = {"selector": {"matchLabels": {"app": "otel"}}, "routes": [{"name": "r", "to": ["a@example.com"]}]}
    policy = {"kind": "CollectorPolicy", "metadata": {"name": "collectors"}, "spec": spec}
    made(
        rest,
        namespace,
        "collectorpolicies",
        policy,
        {"matchedPods": 4, "conditions": conditions(Ready=("True", "Enforced"))},
    )
    for number in range(12):
        severity = "Critical" if number == 11 else "Warning"
        rest.post(f"{OURS}/{namespace}/collectorincidents", incident_body(f"i{number:02}", severity=severity))
    mail = {"to": ["a@example.com"], "subject": "s", "body": {"text": "t"}}
    message = {"kind": "EmailMessage", "metadata": {"name": "waits"}, "spec": mail}
    made(
        rest,
        namespace,
        "emailmessages",
        message,
        {"conditions": conditions(Succeeded=("Unknown", "ConnectorNotReady"))},
    )
    failed = {"completionTime": at(minutes=1), "conditions": conditions(Succeeded=("False", "RecipientsRefused"))}
    made(rest, namespace, "emailmessages", message | {"metadata": {"name": "failed"}}, failed)


def test_one_screen_shows_everything_and_a_reason_stands_whole_below_its_line(rest, namespace, watchbell):
    filled(rest, namespace)
    said = watchbell("status", "--operator-namespace", "nowhere")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("Operator  no pod in namespace nowhere")
    bad = next(
        number
        for number, line in enumerate(lines)
        if line.split()[:3] == [f"{namespace}/bad", "False", "ConnectionTimedOut"]
    )
    assert lines[bad + 1] == "    because of ConnectionTimedOut"
    good = next(line.split() for line in lines if line.split()[:1] == [f"{namespace}/good"])
    assert good[1:4] == ["True", "Proven", "smtp.example.com:587"]
    assert good[4].startswith("3m")
    assert any(line.split()[:4] == [f"{namespace}/collectors", "True", "Enforced", "4"] for line in lines)
    first = lines[lines.index("Open incidents") + 2]
    assert first.split()[:2] == [f"{namespace}/i11", "OOMKilled"], "the worst comes first"
    assert "  and 2 more: watchbell incident list" in lines
    assert lines[-1].startswith("Outbox  1 waiting (1 ConnectorNotReady; the oldest for ")
    assert lines[-1].endswith("1 failed within a day (1 RecipientsRefused)")
    summary = json.loads(watchbell("status", "-o", "json").out)
    assert [one["ready"] for one in summary["connectors"]] == ["False", "True"]
    assert (len(summary["openIncidents"]), summary["outbox"]) == (12, {"waiting": 1, "failedWithinADay": 1})
    assert yaml.safe_load(watchbell("status", "-o", "yaml").out)["notRead"] == {}


def test_an_empty_namespace_is_shown_as_such(namespace, watchbell):
    said = watchbell("status")
    assert said.out.count("  none") == 3
    assert "Outbox  nothing waits" in said.out


def test_who_may_read_nothing_is_told_which_right_is_missing(control_plane, namespace, tmp_path):
    said = Commander(control_plane, namespace, tmp_path, "plain")("status")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert f"kubectl -n {namespace} create role watchbell-list-smtpconnectors" in said.err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_on_every_terminal_nothing_of_a_reason_is_lost(width):
    reason = "dial tcp 192.0.2.7:587: connect: connection timed out (ETIMEDOUT) and then some more words that are long"
    status = {
        "endpoint": "a-relay-with-a-long-name.example.com:587",
        "conditions": [{"type": "Ready", "status": "False", "reason": "X", "message": reason}],
    }
    body = {"metadata": {"namespace": "a-long-namespace", "name": "default"}, "status": status}
    screen = Screen({"connectors": [body]}, {}, None, "home", datetime.now(UTC))
    lines = list(screen.lines(Painter(width=width)))
    assert reason in " ".join(" ".join(lines).split())
    assert "a-relay-with-a-long-name.example.com:587" in " ".join(lines)
    assert all(len(line) <= width for line in lines)


async def test_a_test_is_followed_to_its_end_stage_by_stage(control_plane, namespace, tmp_path):
    watchbell = Commander(control_plane, namespace, tmp_path)
    async with world(control_plane, namespace, tmp_path) as place, place.operator() as operator:
        await operator.ready()
        await place.connector("default")
        await place.has("SmtpConnector", "default", "Ready", "True")
        said = await asyncio.to_thread(watchbell, "test", "default", "--to", "ops@example.com", "--wait")
        assert said.code == 0, said.err + said.out
        stages = [line.split()[1] for line in said.out.splitlines() if line.startswith("  ok ")]
        assert {"Resolve", "Connect", "TLS", "Authenticate", "Sender", "Recipient", "Data"} <= set(stages)
        assert "AcceptedByServer" in said.out
        check_no_secret(said.out)
        await until(lambda: place.inbox.messages, "the test mail came")
        said = await asyncio.to_thread(watchbell, "test", "smtpc/nobody", "--level", "connect", "--wait")
        assert said.code == 1
        assert "nobody" in said.out


def test_without_waiting_the_object_is_made_and_named(rest, namespace, watchbell):
    said = watchbell("test", "default", "--level", "connect")
    assert said.code == 0
    name = said.out.split()[0].partition("/")[2]
    body = rest.get(f"{OURS}/{namespace}/smtptests/{name}")
    assert body["spec"]["connectorRef"] == {"kind": "SmtpConnector", "name": "default"}
    assert (body["spec"]["level"], body["spec"]["ttlSecondsAfterFinished"]) == ("Connect", 3600)
    late = watchbell("test", "default", "--wait", "--timeout", "0.1", "--level", "connect")
    assert late.code == 1
    assert "has not finished within 0.1 s; it goes on" in late.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("smtpconector/x",), "there is no kind smtpconector of connector; did you mean smtpconnector?"),
        (("x", "--level", "deliver"), "--level deliver needs --to"),
        (("x", "--level", "connect", "--to", "a@b.c"), "--to sends a mail, and --level connect does not"),
    ],
)
def test_a_wrong_order_is_told_before_anything_is_made(watchbell, words, told):
    said = watchbell("test", *words)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err


def test_a_grant_allows_the_operator_exactly_that_secret(rest, namespace, watchbell):
    printed = yaml.safe_load(watchbell("grant", "relay", "--operator-namespace", "ops").out)
    role, binding = printed["items"]
    rest.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles", role)
    rest.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)

    def may(verb: str, name: str) -> bool:
        attributes = {"verb": verb, "resource": "secrets", "namespace": namespace, "name": name}
        spec = {"user": "system:serviceaccount:ops:watchbell", "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        return bool(rest.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])

    assert may("get", "relay")
    assert not may("get", "other")
    assert not may("list", "")
    assert watchbell("grant", "Relay/x").code == 2
