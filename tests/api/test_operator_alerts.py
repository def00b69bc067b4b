"""Alerts by the process that people start, killed at any moment: what reached the relay is what happened, each thing once."""

import asyncio
import csv
import io
import random
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

from collectorrig import condition
from driftrig import IMAGE
from driftwatch import LABELS, Place, reference
from operatorrig import KINDS, stays, until, world
from podrig import container
from watchbell.api.times import stamp
from watchbell.kube.client import CONFIGMAPS, NODES

OWNERS = 60
KILLS = 5
SELECTOR = {"matchLabels": {"app": "gateway"}}
QUICK = {"waitSeconds": 0, "periodSeconds": 1, "resolveAfterSeconds": 1}


def now() -> datetime:
    return datetime.now(UTC)


def route(name: str, **more: object) -> dict[str, object]:
    return {"name": name} | ({"to": [f"{name}@example.com"]} if "toFrom" not in more else {}) | more


def text_of(mail: EmailMessage) -> str:
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/plain"]
    return str(part.get_content())


def rows_of(mail: EmailMessage) -> list[dict[str, str]]:
    """What a digest's table lists; a mail about one incident has none."""
    tables = [part for part in mail.walk() if part.get_content_type() == "text/csv"]
    return [row for table in tables for row in csv.DictReader(io.StringIO(str(table.get_content())))]


def owners_told(mail: EmailMessage) -> tuple[str, ...]:
    """Of which workloads a mail tells that they crash."""
    listed = rows_of(mail)
    if listed:
        assert {row["transition"] for row in listed} == {"Fired"}
        return tuple(row["owner"] for row in listed)
    named = [word for word in str(mail["Subject"]).replace("/", " ").split() if word.startswith("owner-")]
    assert len(named) == 1, mail["Subject"]
    return tuple(named)


def distinct(mails: list[EmailMessage]) -> list[EmailMessage]:
    return list({str(mail["Message-ID"]): mail for mail in mails}.values())


async def restarts(at, times, chance, progress):
    """Processes one after the other, each killed at some moment after something came of it."""
    for number in range(times):
        async with at.operator(name=f"killed-{number}", is_impatient=True) as operator:
            before = progress()
            moment = asyncio.get_running_loop().time() + 8
            await until(
                lambda before=before, moment=moment: progress() > before or asyncio.get_running_loop().time() > moment,
                "something comes of it",
            )
            await asyncio.sleep(chance.random() * 0.6)
            operator.kill()


async def test_a_storm_over_many_kills_is_told_once_by_digests_and_once_by_single_mails(
    control_plane, namespace, tmp_path
):
    seed = random.randrange(2**32)  # noqa: S311 - a kill's moment is no secret
    print(f"seed {seed}")  # noqa: T201 - to play a failure again
    chance = random.Random(seed)  # noqa: S311 - see above
    async with world(control_plane, namespace, tmp_path) as at:
        await at.connector()
        plenty = {"messagesPerHour": 100_000}
        together = QUICK | {"waitSeconds": 1}
        await policy(at, "together", grouping=together, throttle=plenty, severity={"default": "Warning"})
        await policy(at, "single", grouping=QUICK | {"maxIncidentsPerMessage": 1}, throttle=plenty)
        for number in range(OWNERS):
            await at.pod(f"pod-{number}", owner=f"owner-{number}")
        storm = asyncio.create_task(_storm(at, chance))
        await restarts(at, KILLS, chance, lambda: len(at.inbox.messages))
        await storm
        async with at.operator(name="last", is_impatient=True):
            incidents = await until(lambda: _all_told(at, 2 * OWNERS), "every incident is told", 60)
            messages = await at.settled(len(await at.listed("EmailMessage")))
            await stays(lambda: True, "a late double has time to come", 0.5)
        opened = Counter((one["spec"]["policyRef"]["name"], one["spec"]["owner"]["name"]) for one in incidents)
        assert opened == Counter((name, f"owner-{n}") for name in ("together", "single") for n in range(OWNERS))
        results = {_id(one): condition(one, "Succeeded")["reason"] for one in messages}
        unknown = {name for name, reason in results.items() if reason == "OutcomeUnknown"}
        assert set(results.values()) <= {"AcceptedByServer", "OutcomeUnknown"}
        # Killed twice over one and the same mail: nobody knows whether it went out, and it says so.
        assert len(unknown) <= KILLS // 2
        came = at.message_ids()
        assert results.keys() - unknown <= came.keys() <= results.keys()
        assert sum(came.values()) - len(came) <= KILLS
        assert max(came.values()) <= 2
        mails = distinct(at.mails)
        for name in ("together", "single"):
            told = Counter(
                owner for mail in mails if mail["To"] == f"{name}@example.com" for owner in owners_told(mail)
            )
            missing = {f"owner-{n}" for n in range(OWNERS)} - told.keys()
            assert set(told.values()) == {1}, told
            assert len(missing) <= len(unknown), missing
        assert len([mail for mail in mails if mail["To"] == "single@example.com"]) >= OWNERS - len(unknown)
        assert len([mail for mail in mails if mail["To"] == "together@example.com"]) < OWNERS


async def policy(at, name, **spec):
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "CollectorPolicy",
        "metadata": {"name": name},
        "spec": {"selector": SELECTOR, "crash": {"logTailLines": 0}, "routes": [route(name)], "grouping": QUICK} | spec,
    }
    return await at.make("CollectorPolicy", name, body["spec"])


async def _storm(at, chance):
    for number in range(OWNERS):
        await at.crash(f"pod-{number}")
        await asyncio.sleep(chance.random() * 0.35)


async def _all_told(at, count):
    incidents = await at.listed("CollectorIncident")
    told = [one for one in incidents if condition(one, "Notified").get("reason") == "MessagesCreated"]
    return incidents if len(told) == count else None


def _id(message):
    return f"<{message['status']['messageID'].strip('<>')}>"


# --- drift


def deployed(place: Place) -> None:
    """A Deployment with its ReplicaSet and one pod, as their controllers would make them."""
    deployment = place.make_owner("Deployment")
    labels = LABELS | {"pod-template-hash": "6b7f9"}
    template = deployment["spec"]["template"]
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": template["metadata"] | {"labels": labels}, "spec": template["spec"]},
    }
    about = {"name": "gateway-6b7f9", "ownerReferences": [reference(deployment)]}
    replicas = place.rest.post(place.path("ReplicaSet"), {"metadata": about, "spec": spec})
    place.make_pod("gateway-6b7f9-a", replicas)


@asynccontextmanager
async def drifting(control_plane, namespace, tmp_path, **spec):
    """A place with a Deployment that is as its baseline says."""
    async with world(control_plane, namespace, tmp_path) as at:
        place = Place(control_plane.rest(), namespace)
        await asyncio.to_thread(deployed, place)
        await at.connector()
        await policy(at, "fleet", drift={"pendingSeconds": 1}, **spec)
        yield at, place


async def test_drift_that_came_and_went_while_nobody_ran_is_told_and_its_end_too_once_each(
    control_plane, namespace, tmp_path
):
    async with drifting(control_plane, namespace, tmp_path) as (at, place):
        async with at.operator(name="first"):
            await at.has("CollectorPolicy", "fleet", "Drifted", "False")
        await asyncio.to_thread(place.set_image, "gateway-6b7f9-a", "evil/collector:2")
        async with at.operator(name="second"):
            (mail,) = await at.mailed(1)
            await at.has("CollectorPolicy", "fleet", "Drifted", "True")
            await at.settled(1)
            (incident,) = await until(lambda: _all_told(at, 1), "the incident says that it was told")
        assert "drifted from its baseline" in mail["Subject"]
        assert "evil/collector:2" in text_of(mail)
        assert IMAGE in text_of(mail)
        assert [(one["check"], one["actual"]) for one in incident["status"]["differences"]] == [
            ("Image", "evil/collector:2")
        ]
        await asyncio.to_thread(place.set_image, "gateway-6b7f9-a", IMAGE)
        async with at.operator(name="third"):
            first, second = await at.mailed(2)
            over = await at.has("CollectorIncident", incident["metadata"]["name"], "Resolved", "True")
            await at.has("CollectorPolicy", "fleet", "Drifted", "False")
            await at.settled(2)
            await stays(lambda: len(at.inbox.messages) == 2, "two mails were all", 0.5)
        assert over["reason"] == "BackToBaseline"
        assert f"{namespace}/gateway is back to its baseline" in text_of(second)
        assert set(second["References"].split()) & {first["Message-ID"], *str(first["References"] or "").split()}
        assert len(await at.listed("CollectorIncident")) == 1


async def test_a_captured_baseline_outlives_the_process_that_captured_it(control_plane, namespace, tmp_path):
    captured = {"mode": "Captured", "captureRevision": "one"}
    async with drifting(control_plane, namespace, tmp_path, baseline=captured) as (at, place):
        async with at.operator(name="first"):
            baseline = await until(lambda: _baseline(at), "the baseline is captured")
        await asyncio.to_thread(place.set_image, "gateway-6b7f9-a", "next/collector:3")
        async with at.operator(name="second") as operator:
            (mail,) = await at.mailed(1)
            await at.has("CollectorPolicy", "fleet", "Drifted", "True")
            assert await _baseline(at) == baseline
            await at.settled(1)
            operator.kill()
        assert "next/collector:3" in text_of(mail)
        spec = {"spec": {"baseline": captured | {"captureRevision": "two"}}}
        await at.client.patch(KINDS["CollectorPolicy"], "fleet", spec, namespace)
        async with at.operator(name="third"):
            _, second = await at.mailed(2)
            accepted = await _baseline(at)
        assert accepted["revision"] == "two"
        assert accepted["hash"] != baseline["hash"]
        assert "accepted" in text_of(second).lower()


async def _baseline(at):
    found = (await at.get("CollectorPolicy", "fleet")).get("status", {}).get("baseline", {})
    return found if found.get("workloads") else None


# --- silences and nodes


async def test_a_silence_that_ends_while_nobody_runs_has_its_end_told_once(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        await at.connector()
        await policy(at, "fleet")
        for owner in ("gateway", "agent"):
            await at.pod(f"{owner}-a", owner=owner)
        end = now() + timedelta(seconds=8)
        matcher = {"field": "Policy", "operator": "In", "values": ["fleet"]}
        spec = {"matchers": [matcher], "endTime": stamp(end), "comment": "upgrade of the fleet"}
        await at.make("AlertSilence", "maintenance", spec)
        async with at.operator(name="first"):
            await at.has("AlertSilence", "maintenance", "Active", "True")
            await at.has("CollectorPolicy", "fleet", "Ready", "True")
            for owner in ("gateway", "agent"):
                await at.crash(f"{owner}-a")
            await until(lambda: _silenced(at, 2), "both incidents are held back")
            assert now() < end, "the machine is too slow for this silence"
        await until(lambda: now() > end + timedelta(seconds=1), "the silence ends")
        assert at.mails == []
        async with at.operator(name="second") as operator:
            (mail,) = await at.mailed(1)
            operator.kill()
        async with at.operator(name="third", is_impatient=True):
            await until(lambda: _told_end(at), "the silence says that its end was told")
            await at.settled(1)
            await stays(lambda: len(at.message_ids()) == 1, "one mail was all", 0.5)
        assert "maintenance" in mail["Subject"]
        assert "upgrade of the fleet" in text_of(mail)
        assert {row["owner"] for row in rows_of(mail)} == {"gateway", "agent"}
        assert len(at.mails) <= 2


async def _silenced(at, count):
    incidents = await at.listed("CollectorIncident")
    return len([one for one in incidents if condition(one, "Silenced").get("status") == "True"]) == count


async def _told_end(at):
    return (await at.get("AlertSilence", "maintenance")).get("status", {}).get("endedMessageTime")


@asynccontextmanager
async def node(at, name):
    """A node that is ready, and how to say otherwise."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    await at.client.create(NODES, body, None)

    async def tell(status: str, reason: str) -> None:
        said = {"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": stamp(now())}
        await at.client.patch(NODES, name, {"status": {"conditions": [said]}}, None, subresource="status")

    try:
        yield tell
    finally:
        await at.client.delete(NODES, name, None)


async def test_a_lost_node_is_one_mail_for_all_its_pods_and_one_when_it_is_back_over_kills(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at, node(at, f"node-{namespace}") as tell:
        await tell("True", "KubeletReady")
        await at.connector()
        await policy(at, "fleet")
        for owner in ("gateway", "agent", "store"):
            await at.pod(f"{owner}-a", owner=owner, node=f"node-{namespace}")
        async with at.operator(name="first", is_impatient=True) as operator:
            await at.has("CollectorPolicy", "fleet", "Ready", "True")
            await tell("Unknown", "NodeStatusUnknown")
            await until(lambda: at.listed("CollectorIncident"), "the node's incident is open")
            operator.kill()
        # What its pods are said to be is hidden behind it.
        await at.crash("agent-a")
        async with at.operator(name="second", is_impatient=True) as operator:
            await at.mailed(1)
            (incident,) = await until(lambda: _all_told(at, 1), "the incident says that it was told")
            operator.kill()
        await at.tell("agent-a", container())
        await tell("True", "KubeletReady")
        async with at.operator(name="third", is_impatient=True):
            await at.has("CollectorIncident", incident["metadata"]["name"], "Resolved", "True")
            await until(lambda: len(at.message_ids()) == 2, "its end is told")
            await at.settled(2)
            await stays(lambda: len(at.message_ids()) == 2, "two mails were all", 0.5)
        assert incident["spec"]["owner"] == {"kind": "Node", "name": f"node-{namespace}"}
        assert {one["name"] for one in incident["status"]["affectedPods"]} == {"gateway-a", "agent-a", "store-a"}
        first, second = distinct(at.mails)
        assert f"node-{namespace}" in first["Subject"]
        assert all(f"{owner}-a" in text_of(first) for owner in ("gateway", "agent", "store"))
        assert set(second["References"].split()) & {first["Message-ID"], *str(first["References"] or "").split()}
        assert len(await at.listed("CollectorIncident")) == 1


# --- words and recipients


async def test_a_route_speaks_in_its_own_words_to_whom_a_configmap_names_and_a_broken_template_costs_no_alert(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at:
        await at.connector()
        await at.make(
            "EmailTemplate",
            "short",
            {
                "subject": "Page: {{ incident.owner }} has {{ incident.kind }}",
                "text": "{% for pod in incident.pods %}{{ pod.name }} on {{ pod.node }} ended.{% endfor %} Call Ada.",
            },
        )
        await at.make("EmailTemplate", "broken", {"subject": "x", "text": "{{ incident.owner | no_such_filter }}"})
        people = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "people"}}
        data = {"oncall": "Ada <ada@example.com>\ngrace@example.com\n"}
        await at.client.create(CONFIGMAPS, people | {"data": data}, namespace)
        source = {"configMapKeyRef": {"name": "people", "key": "oncall"}}
        routes = [
            route("own-words", templateRef={"name": "short"}),
            route("fallback", templateRef={"name": "broken"}),
            route("listed", toFrom=[source]),
        ]
        await policy(at, "fleet", routes=routes)
        await at.pod("gateway-a")
        async with at.operator() as operator:
            await operator.ready()
            await at.has("EmailTemplate", "short", "Ready", "True")
            await at.has("EmailTemplate", "broken", "Ready", "False", "RenderFailed")
            told = await at.has("CollectorPolicy", "fleet", "ResolvedRefs", "False", "TemplateFailed")
            await at.crash("gateway-a")
            await at.settled(3)
            await stays(lambda: len(at.mails) == 3, "three mails were all", 0.3)
        assert "no_such_filter" in told["message"]
        mails = {tuple(sorted(to)): mail for (_, to, _), mail in zip(at.inbox.messages, at.mails, strict=True)}
        own = mails["own-words@example.com",]
        assert own["Subject"] == "Page: gateway has CrashLoopBackOff"
        assert "gateway-a on node-1 ended. Call Ada." in " ".join(text_of(own).split())
        fallback = mails["fallback@example.com",]
        assert "gateway" in fallback["Subject"]
        assert "EmailTemplate broken" in text_of(fallback)
        assert "no_such_filter" in text_of(fallback)
        listed = mails["ada@example.com", "grace@example.com"]
        assert "EmailTemplate" not in text_of(listed)
        assert "gateway-a" in text_of(listed)
