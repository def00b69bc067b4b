"""What people get, on a real API server: lost nodes, trouble that hides other trouble, what gets worse, flaps, routes, and lists of recipients."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collectorrig import OURS, Site, component, condition, container, ended, looping, mail_of, running_state, until
from controlplane import RestError
from driftwatch import Place
from kuberig import client_of
from podrig import pod_body
from watchbell.api.names import ANNOTATION_ACKNOWLEDGED_BY, ANNOTATION_INCIDENTS
from watchbell.collectors.casework.naming import read_members
from watchbell.mail.document import Rendered

QUICK = {"waitSeconds": 0, "resolveAfterSeconds": 0, "maxIncidentsPerMessage": 1}


def now() -> datetime:
    return datetime.now(UTC)


def stamp(seconds: float = 0) -> str:
    return (now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


def tellings(bodies: list[dict[str, Any]]) -> list[str]:
    """What was told, as `Transition` in order."""
    return [
        str(member.transition)
        for body in bodies
        for member in read_members(body["metadata"]["annotations"][ANNOTATION_INCIDENTS])
    ]


@pytest.fixture
def node(control_plane, namespace):
    """A node that is ready, under a name of its own."""
    rest, name = control_plane.rest(), f"{namespace}-node"
    rest.post("/api/v1/nodes", {"metadata": {"name": name}})
    try:
        yield Node(rest, name)
    finally:
        with suppress(RestError):
            rest.delete(f"/api/v1/nodes/{name}")


class Node:
    def __init__(self, rest: Any, name: str) -> None:
        self.rest, self.name = rest, name
        self.say("True")

    def say(self, ready: str) -> None:
        told = {"type": "Ready", "status": ready, "reason": "KubeletReady", "lastTransitionTime": stamp()}
        self.rest.merge(f"/api/v1/nodes/{self.name}/status", {"status": {"conditions": [told]}})

    def lose(self) -> None:
        """It was up for long, so it is not one that is just joining."""
        told = {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": stamp(),
        }
        self.rest.merge(f"/api/v1/nodes/{self.name}/status", {"status": {"conditions": [told]}})


async def test_inhibition_a_lost_node_hides_its_pods_incidents_and_says_how_many(
    control_plane, site, node, monkeypatch
):
    for name, owner in (("a-0", "a"), ("a-1", "a"), ("b-0", "b")):
        site.make_pod(name, owner=owner)
    for name, owner in (("c-0", "c"), ("c-1", "c"), ("d-0", "d")):
        make_on(site, node.name, name, owner)
    policy = site.make_policy(grouping=QUICK)
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 6, "the pods are seen")
        monkeypatch.setattr("watchbell.collectors.seen.node.NEW_NODE_S", 0.0)
        node.lose()
        (mail,) = await until(lambda: running.outbox.bodies[:1], "the node is told")
        for name in ("c-0", "d-0"):
            site.tell(name, looping(now()))
        site.tell("a-0", looping(now()))
        await until(lambda: len(running.outbox.bodies) >= 2, "what is elsewhere is told")
        await running.collectors.idle()
        kinds = {(item["spec"]["kind"], item["spec"]["owner"]["name"]) for item in site.incidents()}
        assert kinds == {("NodeLost", node.name), ("CrashLoopBackOff", "a")}
        lost = await until(
            lambda: next(
                (
                    i
                    for i in site.incidents()
                    if i["spec"]["kind"] == "NodeLost" and i["status"].get("affectedCount") == 3
                ),
                None,
            ),
            "all its pods are counted",
        )
        assert {pod["name"] for pod in lost["status"]["affectedPods"]} == {"c-0", "c-1", "d-0"}
        node.say("True")
        await until(
            lambda: any(i["spec"]["kind"] == "NodeLost" and i["status"].get("resolvedTime") for i in site.incidents()),
            "the node is back",
        )
        await until(lambda: any(i["spec"]["owner"]["name"] == "c" for i in site.incidents()), "what it hid is told now")
    said = mail_of(mail)
    assert node.name in said.subject
    assert "3 pods" in said.text


async def test_a_node_that_was_well_until_it_was_removed_is_no_alert(control_plane, site, node):
    make_on(site, node.name, "a-0", "a")
    make_on(site, "elsewhere", "b-0", "b")
    policy = site.make_policy(grouping=QUICK)
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 2, "the pods are seen")
        site.rest.merge(f"/api/v1/nodes/{node.name}", {"spec": {"unschedulable": True}})
        site.rest.delete(f"/api/v1/nodes/{node.name}")
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "lastTransitionTime": stamp(),
        }
        site.tell("a-0", container(), conditions=[target])
        site.tell("b-0", looping(now() + timedelta(seconds=1)))
        await until(lambda: running.outbox.bodies, "what comes after it is told")
    assert [item["spec"]["owner"]["name"] for item in site.incidents()] == ["b"]


def make_on(site: Site, node: str, name: str, owner: str) -> None:
    body = pod_body(name, site.namespace, owner=owner)
    body["spec"]["nodeName"] = node
    site.rest.post(f"/api/v1/namespaces/{site.namespace}/pods", body)
    site.tell(name, container())


async def test_inhibition_what_a_crash_explains_is_shown_and_told_only_when_it_stands_alone(control_plane, site):
    policy = site.make_policy(grouping=QUICK, crash={"notReadySeconds": 30})
    long_ago = now() - timedelta(hours=1)
    unready = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": stamp(-600)}]}
    site.make_pod("gateway-a", container(state=running_state(long_ago)))
    site.make_pod("gateway-b", container(state=running_state(long_ago), ready=False))
    site.tell("gateway-b", container(state=running_state(long_ago), ready=False), **unready)
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        site.tell("gateway-a", looping(now() + timedelta(seconds=2)))
        running.collectors.policy_changed(policy)
        hidden = await until(
            lambda: next((i for i in site.incidents() if condition(i, "Notified").get("reason") == "Inhibited"), None),
            "it is shown as held back",
        )
        assert hidden["spec"]["kind"] == "NotReady"
        assert tellings(running.outbox.bodies) == ["Fired"]
        site.remove_pod("gateway-a")
        await until(lambda: tellings(running.outbox.bodies).count("Fired") == 2, "now it stands alone")
    assert any("not ready" in mail_of(body).subject.lower() for body in running.outbox.bodies)


async def test_the_mail_of_the_end_says_what_changed_also_when_it_waited_for_company(control_plane, site):
    place = Place(site.rest, site.namespace)
    place.make_pod("gateway-a", place.make_owner("DaemonSet"))
    policy = place.make_policy_body(grouping={"waitSeconds": 1, "resolveAfterSeconds": 0}, drift={"checks": []})
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        crash = ended(now())
        place.tell_pod("gateway-a", state=crash, ready=False)
        await until(lambda: running.outbox.bodies, "the crash is told")
        fixed = {"containers": [{"name": "collector", "image": "otel/fixed:2"}]}
        site.rest.merge(place.path("DaemonSet", "gateway"), {"spec": {"template": {"spec": fixed}}})
        place.settle("DaemonSet")
        place.tell_pod("gateway-a", lastState=crash, restartCount=1, state=running_state(now()))
        await until(lambda: len(running.outbox.bodies) == 2, "the end is told")
    said = mail_of(running.outbox.bodies[1]).text
    assert "runs again" in said
    assert "What changed meanwhile" in said
    assert "→ otel/fixed:2" in said


async def test_severity_that_rises_is_told_at_once_and_in_the_same_thread(control_plane, site):
    overrides = {"default": "Warning", "overrides": [{"kind": "OOMKilled", "severity": "Critical"}]}
    policy = site.make_policy(grouping={"waitSeconds": 0, "periodSeconds": 300}, severity=overrides)
    site.make_pod("gateway-a")
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        await running.collectors.idle()
        site.tell("gateway-a", container(state=ended(now()), ready=False))
        await until(lambda: running.outbox.bodies, "it is told")
        oom = ended(now() + timedelta(seconds=2), 137, "OOMKilled")
        site.tell("gateway-a", container(state=oom, restartCount=1, ready=False))
        await until(lambda: tellings(running.outbox.bodies) == ["Fired", "Escalated"], "that it got worse is told")
        await until(lambda: site.incidents()[0]["status"].get("severity") == "Critical", "it shows")
    first, second = running.outbox.bodies
    assert second["spec"]["priority"] == "High"
    assert (
        first["metadata"]["annotations"]["watchbell.dev/thread"]
        == second["metadata"]["annotations"]["watchbell.dev/thread"]
    )
    assert "Warning" in mail_of(second).text


async def test_flap_damping_one_incident_says_how_often_it_came_back(control_plane, site):
    policy = site.make_policy(
        grouping={"waitSeconds": 0, "resolveAfterSeconds": 600, "repeatSeconds": 5, "periodSeconds": 1}
    )
    site.make_pod("gateway-a", looping(now()))
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        (first,) = await until(lambda: running.outbox.bodies[:1], "it is told")
        for restarts in (2, 3):
            site.tell("gateway-a", container(state=running_state(now()), restartCount=restarts))
            await running.collectors.idle()
            await until(lambda: site.rest.get(pod_path(site))["status"]["containerStatuses"][0]["ready"], "it runs")
            await running.collectors.idle()
            site.tell("gateway-a", looping(now() + timedelta(seconds=restarts), restarts + 1))
            await until(
                lambda wanted=restarts - 1: site.incidents()[0]["status"].get("flaps", 0) >= wanted, "it is counted"
            )
        path = f"{OURS}/{site.namespace}/emailmessages/{first['metadata']['name']}/status"
        site.rest.merge(path, {"status": {"completionTime": stamp()}})
        assert len(site.incidents()) == 1
        assert site.incidents()[0]["status"]["flaps"] == 2


def pod_path(site: Site) -> str:
    return f"/api/v1/namespaces/{site.namespace}/pods/gateway-a"


async def test_acknowledged_nobody_is_reminded_and_the_end_is_told(control_plane, site):
    policy = site.make_policy(grouping=QUICK | {"repeatSeconds": 1, "periodSeconds": 1})
    site.make_pod("gateway-a", looping(now()))
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        (first,) = await until(lambda: running.outbox.bodies[:1], "it is told")
        name = await until(lambda: [i["metadata"]["name"] for i in site.incidents()], "it is there")
        note = {"metadata": {"annotations": {ANNOTATION_ACKNOWLEDGED_BY: "ana@example.com"}}}
        site.rest.merge(f"{OURS}/{site.namespace}/collectorincidents/{name[0]}", note)
        await until(lambda: condition(site.incidents()[0], "Notified").get("reason") == "Acknowledged", "it says so")
        path = f"{OURS}/{site.namespace}/emailmessages/{first['metadata']['name']}/status"
        site.rest.merge(path, {"status": {"completionTime": stamp()}})
        site.remove_pod("gateway-a")
        await until(lambda: "Resolved" in tellings(running.outbox.bodies), "the end is told")
    assert tellings(running.outbox.bodies) == ["Fired", "Resolved"]


async def test_severity_routing_each_route_gets_what_it_wants(control_plane, site):
    routes = [
        {"name": "all", "to": ["all@example.com"]},
        {"name": "pager", "to": ["pager@example.com"], "minSeverity": "Critical"},
        {"name": "oom", "to": ["oom@example.com"], "kinds": ["OOMKilled"]},
    ]
    severity = {"overrides": [{"kind": "ImagePullFailed", "severity": "Critical"}]}
    policy = site.make_policy(grouping=QUICK, routes=routes, severity=severity)
    pulling = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "otel/x:1"'}}
    site.make_pod("crash-a", looping(now()), owner="crash")
    site.make_pod("image-a", container(state=pulling, ready=False), owner="image")
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: len(running.outbox.bodies) == 3, "both are told")
        await running.collectors.idle()
    taken = sorted((body["spec"]["to"][0], body["metadata"]["name"].split("-")[0]) for body in running.outbox.bodies)
    assert taken == [("all@example.com", "crash"), ("all@example.com", "image"), ("pager@example.com", "image")]


async def test_partial_recipients_a_list_that_is_missing_costs_the_others_nothing_and_shows_in_the_policy(
    control_plane, site
):
    source = {"configMapKeyRef": {"name": "people", "key": "oncall"}}
    hidden = {"secretKeyRef": {"name": "vips", "key": "list"}}
    routes = [{"name": "oncall", "to": ["a@example.com"], "toFrom": [source, hidden]}]
    policy = site.make_policy(grouping=QUICK, routes=routes)
    base = f"/api/v1/namespaces/{site.namespace}"
    site.rest.post(f"{base}/secrets", {"metadata": {"name": "vips"}, "stringData": {"list": "vip@example.com"}})
    site.make_pod("one-a", looping(now()), owner="one")
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        (first,) = await until(lambda: running.outbox.bodies[:1], "it is told")
        assert first["spec"]["to"] == ["a@example.com"]
        stored = await until(
            lambda: next(
                (
                    item
                    for item in site.listed("collectorpolicies")
                    if "RecipientsNotFound" in str(condition(item, "ResolvedRefs"))
                    or "people" in str(condition(item, "ResolvedRefs"))
                ),
                None,
            ),
            "the policy says so",
        )
        assert "people" in condition(stored, "ResolvedRefs")["message"]
        assert "watchbell.dev/smtp=true" in condition(stored, "ResolvedRefs")["message"]
    site.rest.post(
        f"{base}/configmaps", {"metadata": {"name": "people"}, "data": {"oncall": "b@example.com, C <c@example.com>"}}
    )
    site.rest.merge(f"{base}/secrets/vips", {"metadata": {"labels": {"watchbell.dev/smtp": "true"}}})
    site.make_pod("two-a", looping(now()), owner="two")
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        (second,) = await until(lambda: running.outbox.bodies[:1], "the next one is told")
    assert second["spec"]["to"] == ["a@example.com", "b@example.com", "C <c@example.com>", "vip@example.com"]


class Broken:
    """A template that cannot be rendered, and one that can."""

    async def render(self, namespace: str, name: str, values: Any) -> Rendered | str:
        if name == "good":
            return Rendered(f"own {values['incident']['owner']}", "own words", "")
        return "line 3: no such value"


async def test_a_template_that_fails_costs_nobody_the_alert_and_the_mail_says_so(control_plane, site):
    routes = [
        {"name": "good", "to": ["a@example.com"], "templateRef": {"name": "good"}},
        {"name": "bad", "to": ["b@example.com"], "templateRef": {"name": "bad"}},
    ]
    policy = site.make_policy(grouping=QUICK, routes=routes)
    site.make_pod("gateway-a", looping(now()))
    async with client_of(control_plane) as client, component(client, site.namespace, templates=Broken()) as running:
        running.collectors.policy_changed(policy)
        bodies = await until(lambda: len(running.outbox.bodies) == 2 and running.outbox.bodies, "both are told")
    mails = {body["metadata"]["name"].rsplit("-", 1)[1]: mail_of(body) for body in bodies}
    assert mails["good"].subject == "own gateway"
    assert "no such value" in mails["bad"].text
    assert "gateway-a" in mails["bad"].text
