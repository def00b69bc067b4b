"""Many things go wrong at once, on a real API server: a handful of mails that list every one, killed anywhere, and never one twice."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from collectorrig import (
    OURS,
    Site,
    component,
    condition,
    container,
    ended,
    looping,
    mail_of,
    pod_body,
    status_body,
    until,
)
from kuberig import access_to, client_of
from watchbell.api.names import ANNOTATION_INCIDENTS, ANNOTATION_THREAD
from watchbell.collectors.casework.naming import BatchMark, digest_name, read_members
from watchbell.kube.client import PODS, Client
from watchbell.kube.errors import Unreachable

TOGETHER = {"waitSeconds": 1, "periodSeconds": 1, "resolveAfterSeconds": 0}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


def told(site: Site) -> list[str]:
    """Every telling of every message, as `incident:sequence:transition`."""
    return [str(member) for message in site.messages() for member in members_of(message)]


def members_of(message: dict[str, Any]):
    return read_members(message["metadata"]["annotations"][ANNOTATION_INCIDENTS])


def rows(message: dict[str, Any]) -> list[str]:
    (table,) = mail_of(message).attachments
    return table.text.strip().splitlines()[1:]


async def crash_all(client: Client, namespace: str, pods: list[str]) -> None:
    """The kubelets' words, many at a time."""
    places = asyncio.Semaphore(32)

    async def crash(name: str) -> None:
        status = {"status": {"containerStatuses": [container(state=ended(now()), ready=False)]}}
        async with places:
            await client.patch(PODS, name, status, namespace, subresource="status")

    await asyncio.gather(*(crash(name) for name in pods))


async def make_all(client: Client, site: Site, owners: int, each: int) -> list[str]:
    """Pods of many workloads, as their controllers would make them."""

    places = asyncio.Semaphore(32)
    names = [(f"w{owner:02}", f"w{owner:02}-{number:02}") for owner in range(owners) for number in range(each)]

    async def make(owner: str, name: str) -> None:
        async with places:
            await client.create(PODS, pod_body(name, site.namespace, owner=owner), site.namespace)
            await client.patch(PODS, name, {"status": status_body(container())}, site.namespace, subresource="status")

    await asyncio.gather(*(make(*pair) for pair in names))
    return [name for _, name in names]


@pytest.mark.timeout(300)
async def test_grouping_and_storm_digest_a_thousand_pods_make_a_handful_of_mails_that_list_every_one(
    control_plane, site
):
    async with client_of(control_plane) as client:
        pods = await make_all(client, site, owners=50, each=20)
        policy = site.make_policy(grouping={"waitSeconds": 12, "periodSeconds": 30}, severity={"default": "Warning"})
        async with component(client, site.namespace) as running:
            running.collectors.policy_changed(policy)
            await until(lambda: running.collectors.matched_pods == 1000, "all pods are seen", 60)
            await crash_all(client, site.namespace, pods)
            await until(lambda: len(set(told(site))) >= 50, "every incident is told", 150)
            await running.collectors.idle()
            messages = site.messages()
            assert len(site.incidents()) == 50
    assert len(messages) <= 5
    fired = [member for member in told(site) if member.endswith(":Fired")]
    assert len(fired) == len(set(fired)) == 50
    listed = {
        name for message in messages for row in rows(message) for name in pods if f"{name}," in row or f",{name}" in row
    }
    assert listed == set(pods)
    mails = [mail_of(message) for message in messages]
    assert any("w00" in mail.text for mail in mails)
    assert all(mail.subject for mail in mails)


class DyingClient(Client):
    """Dies at the n-th creation of a message or write of an incident's status, before or after it happened."""

    def __init__(self, *arguments: Any, line: str, count: int, is_late: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.line, self.left, self.is_late, self.is_dead = line, count, is_late, False

    async def _do(self, line: str, call: Any) -> Any:
        if self.is_dead:
            raise Unreachable("killed")
        is_hit = line == self.line
        self.left -= is_hit
        if is_hit and self.left < 0 and not self.is_late:
            self.is_dead = True
            raise Unreachable("killed")
        done = await call()
        if is_hit and self.left < 0:
            self.is_dead = True
            raise Unreachable("killed")
        return done

    async def create(self, resource, body, namespace=None, **options):
        call = super().create
        return await self._do(resource.plural, lambda: call(resource, body, namespace, **options))

    async def apply_status(self, resource, *arguments, **options):
        call = super().apply_status
        return await self._do(f"{resource.plural}/status", lambda: call(resource, *arguments, **options))


@pytest.mark.parametrize(
    ("line", "count", "is_late"),
    [
        ("emailmessages", 0, False),
        ("emailmessages", 0, True),
        ("emailmessages", 1, False),
        ("emailmessages", 1, True),
        ("collectorincidents/status", 0, False),
        ("collectorincidents/status", 1, True),
    ],
)
async def test_delivery_over_restart_a_digest_lists_each_once_wherever_it_was_killed(
    control_plane, site, line, count, is_late
):
    """Before the digest, after it and before its result, between routes, between the statuses of its members."""
    owners = ["alpha", "beta", "gamma"]
    for owner in owners:
        site.make_pod(f"{owner}-0", looping(now()), owner=owner)
    routes = [{"name": "oncall", "to": ["a@example.com"]}, {"name": "team", "to": ["b@example.com"]}]
    policy = site.make_policy(grouping=TOGETHER | {"waitSeconds": 3}, routes=routes)
    dying = DyingClient(access_to(control_plane), line=line, count=count, is_late=is_late)
    try:
        async with component(dying, site.namespace) as first:
            first.collectors.policy_changed(policy)
            await until(lambda: dying.is_dead, "it died")
    finally:
        await dying.close()
    async with client_of(control_plane) as client, component(client, site.namespace) as second:
        await until(
            lambda: all(condition(item, "Notified").get("status") == "True" for item in site.incidents()), "all is told"
        )
        await second.collectors.idle()
    assert len(site.incidents()) == 3
    for route in ("oncall", "team"):
        mails = [
            item for item in site.messages() if f"/{route}/" in item["metadata"]["annotations"]["watchbell.dev/batch"]
        ]
        listed = [str(member) for message in mails for member in members_of(message)]
        assert sorted(listed) == sorted(f"{item['metadata']['name']}:1:Fired" for item in site.incidents())
    if line != "emailmessages" or count or is_late:
        assert max(len(members_of(message)) for message in site.messages()) == 3, "the digest that was begun stands"


async def test_a_digest_whose_name_is_taken_settles_what_that_one_told_and_takes_the_next_number(control_plane, site):
    policy = site.make_policy(grouping=TOGETHER | {"waitSeconds": 3})
    for owner in ("alpha", "beta", "gamma"):
        site.make_pod(f"{owner}-0", owner=owner)
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 3, "the pods are seen")
        await running.collectors.idle()
        for owner in ("alpha", "beta", "gamma"):
            site.tell(f"{owner}-0", looping(now()))
        incidents = await until(lambda: len(site.incidents()) == 3 and site.incidents(), "they are open")
        names = sorted(item["metadata"]["name"] for item in incidents)
        uid = policy["metadata"]["uid"]
        taken = digest_name("collectors", BatchMark(uid, "oncall", 1))
        site.rest.post(
            f"{OURS}/{site.namespace}/emailmessages",
            {
                "apiVersion": "watchbell.dev/v1alpha1",
                "kind": "EmailMessage",
                "metadata": {
                    "name": taken,
                    "annotations": {
                        ANNOTATION_INCIDENTS: f"{names[0]}:1:Fired,{names[1]}:1:Fired",
                        "watchbell.dev/batch": f"{uid}/oncall/1",
                    },
                },
                "spec": {"to": ["a@example.com"], "subject": "x", "body": {"text": "x"}},
            },
        )
        await until(
            lambda: all(condition(item, "Notified").get("status") == "True" for item in site.incidents()), "all is told"
        )
    assert len(told(site)) == len(set(told(site))) == 3
    assert {item["metadata"]["name"] for item in site.messages()} == {
        taken,
        digest_name("collectors", BatchMark(uid, "oncall", 2)),
    }


async def test_rate_limit_over_the_budget_goes_into_a_digest_and_nothing_is_dropped(control_plane, site):
    policy = site.make_policy(
        grouping={"waitSeconds": 0, "maxIncidentsPerMessage": 1, "resolveAfterSeconds": 0},
        throttle={"messagesPerHour": 3},
    )
    for number in range(8):
        site.make_pod(f"w{number}-0", owner=f"w{number}")
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        await until(lambda: running.collectors.matched_pods == 8, "the pods are seen")
        await running.collectors.idle()
        await crash_all(client, site.namespace, [f"w{number}-0" for number in range(8)])
        await until(lambda: len(site.incidents()) == 8, "all are open")

        def reasons() -> list[str]:
            return [condition(item, "Notified").get("reason", "") for item in site.incidents()]

        await until(lambda: set(reasons()) <= {"MessagesCreated", "Throttled"}, "each is told, or says why not")
        assert len(site.messages()) <= 3
        told_now = len(told(site))
        assert told_now + reasons().count("Throttled") == 8


async def test_recovered_mail_of_what_a_digest_told_is_in_the_digests_thread(control_plane, site):
    owners = ("alpha", "beta")
    for owner in owners:
        site.make_pod(f"{owner}-0", looping(now()), owner=owner)
    policy = site.make_policy(grouping=TOGETHER | {"waitSeconds": 4})
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        (first,) = await until(lambda: running.outbox.bodies[:1], "the digest is there")
        await until(lambda: all(item["status"].get("thread") for item in site.incidents()), "it is written")
        for owner in owners:
            site.remove_pod(f"{owner}-0")
        await until(
            lambda: (
                sum(str(member).endswith("Resolved") for body in running.outbox.bodies for member in members_of(body))
                == 2
            ),
            "both ends are told",
        )
        await until(lambda: running.collectors.open_incidents == 0, "nothing is open")
    assert len(members_of(first)) == 2
    assert len({body["metadata"]["annotations"][ANNOTATION_THREAD] for body in running.outbox.bodies}) == 1


async def test_repeat_interval_reminders_of_many_share_a_mail(control_plane, site):
    for owner in ("alpha", "beta"):
        site.make_pod(f"{owner}-0", looping(now()), owner=owner)
    policy = site.make_policy(grouping=TOGETHER | {"waitSeconds": 4, "repeatSeconds": 3})
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        running.collectors.policy_changed(policy)
        (first,) = await until(lambda: running.outbox.bodies[:1], "it is told")
        path = f"{OURS}/{site.namespace}/emailmessages/{first['metadata']['name']}/status"
        site.rest.merge(path, {"status": {"completionTime": "2026-11-21T00:00:00Z"}})
        repeated = await until(
            lambda: [
                body
                for body in running.outbox.bodies
                if any(str(member).endswith("Repeated") for member in members_of(body))
            ],
            "people are reminded",
        )
        site.rest.delete(f"{OURS}/{site.namespace}/collectorpolicies/collectors")
    assert len(members_of(repeated[0])) == 2
