"""AlertSilences on a real API server: what they mute as time passes, what their status says, and what a restart finds."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kuberig import client_of, until
from watchbell.api.conditions import find
from watchbell.api.enums import IncidentKind, Severity
from watchbell.api.names import API_VERSION
from watchbell.api.times import stamp
from watchbell.collectors.silencing.hush import SILENCES, Hush, Tally
from watchbell.collectors.silencing.silences import IncidentFacts
from watchbell.kube.client import Client
from watchbell.kube.errors import Invalid

AGENT = IncidentFacts(
    "collectors", "DaemonSet", "otel-agent", ("otel-agent-a",), ("worker-1",), IncidentKind.OOM_KILLED, Severity.WARNING
)
GATEWAY = IncidentFacts("collectors", "Deployment", "otel-gateway", (), (), IncidentKind.DRIFT, Severity.WARNING)


def body(name: str = "maintenance", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AlertSilence",
        "metadata": {"name": name},
        "spec": {
            "matchers": [{"field": "Owner", "operator": "In", "values": ["DaemonSet/otel-agent"]}],
            "endTime": in_s(3600),
            "comment": "upgrade of the nodes",
        }
        | spec,
    }


def in_s(seconds: float) -> str:
    return stamp(datetime.now(UTC) + timedelta(seconds=seconds))


def reason(status: dict[str, Any]) -> str:
    return (find(status.get("conditions", ()), "Active") or {}).get("reason", "")


class Watched:
    """A Hush that runs, a wall clock that can be set forward, and what it told."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.ahead = timedelta()
        self.is_leading = True
        self.changes: list[str] = []
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.client, self.namespace = client, namespace
        self.hush = Hush(
            client,
            namespaces=(namespace,),
            now=lambda: datetime.now(UTC) + self.ahead,
            clock=time.monotonic,
            leading=lambda: self.is_leading,
            on_change=self.changes.append,
            tally=lambda key: self.tallies.get(key, Tally()),
        )

    def name_muting(self, facts: IncidentFacts) -> str | None:
        found = self.hush.muting(self.namespace, facts)
        return found.key[1] if found else None

    async def status(self, name: str = "maintenance") -> dict[str, Any]:
        return (await self.client.get(SILENCES, name, self.namespace)).get("status", {})

    async def active(self, wanted: str, name: str = "maintenance") -> dict[str, Any]:
        """The status once its condition Active has this reason."""
        end = time.monotonic() + 10
        while True:
            status = await self.status(name)
            if reason(status) == wanted:
                return status
            assert time.monotonic() < end, (wanted, status)
            await asyncio.sleep(0.02)

    async def written(self, field: str, wanted: Any) -> None:
        end = time.monotonic() + 10
        while (status := await self.status()).get(field) != wanted:
            assert time.monotonic() < end, status
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watched(client: Client, namespace: str, **settings: Any) -> AsyncIterator[Watched]:
    """Runs until the block ends, then is cut off as a killed process is."""
    watch = Watched(client, namespace)
    for name, value in settings.items():
        setattr(watch, name, value)
    task = asyncio.create_task(watch.hush.run())
    try:
        await until(lambda: watch.hush.is_synced)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def client(control_plane) -> AsyncIterator[Client]:
    async with client_of(control_plane) as made:
        yield made


async def test_a_silence_mutes_what_it_matches_and_says_so(client, namespace):
    async with watched(client, namespace) as watch:
        await client.create(SILENCES, body(), namespace)
        await until(lambda: watch.name_muting(AGENT) == "maintenance")
        assert watch.name_muting(GATEWAY) is None
        assert watch.hush.muting("elsewhere", AGENT) is None
        status = await watch.active("Active")
        assert find(status["conditions"], "Active")["status"] == "True"
        assert find(status["conditions"], "Accepted")["status"] == "True"
        assert (status["observedGeneration"], status["matchedIncidents"], status["heldBack"]) == (1, 0, 0)
        assert watch.changes == [namespace]
        assert watch.hush.ended(namespace) == ()


async def test_its_beginning_and_its_end_are_told_in_time(client, namespace):
    async with watched(client, namespace) as watch:
        await client.create(SILENCES, body(startTime=in_s(1.5), endTime=in_s(3.5)), namespace)
        await watch.active("Pending")
        assert watch.name_muting(AGENT) is None
        watch.changes.clear()
        await until(lambda: watch.changes)
        assert watch.name_muting(AGENT) == "maintenance"
        await watch.active("Active")
        watch.changes.clear()
        await until(lambda: watch.changes)
        assert watch.name_muting(AGENT) is None
        assert [one.key for one in watch.hush.ended(namespace)] == [(namespace, "maintenance")]
        await watch.active("Expired")


async def test_an_end_is_open_until_it_was_told_also_over_a_restart(client, namespace):
    await client.create(SILENCES, body(startTime=in_s(-60), endTime=in_s(-1)), namespace)
    async with watched(client, namespace) as watch:
        assert [one.key[1] for one in watch.hush.ended(namespace)] == ["maintenance"]
        await watch.active("Expired")
        assert "endedMessageTime" not in await watch.status()
    async with watched(client, namespace) as watch:
        assert [one.key[1] for one in watch.hush.ended(namespace)] == ["maintenance"]
        watch.hush.told((namespace, "maintenance"))
        assert watch.hush.ended(namespace) == ()
        await until(lambda: _told(watch))
        first = (await watch.status())["endedMessageTime"]
        watch.ahead = timedelta(minutes=5)
        watch.hush.told((namespace, "maintenance"))
        watch.hush.counted((namespace, "maintenance"))
    async with watched(client, namespace) as watch:
        assert watch.hush.ended(namespace) == ()
        assert (await watch.status())["endedMessageTime"] == first


def _told(watch: Watched) -> bool:
    found = watch.hush.find(watch.namespace, "maintenance")
    return found is not None and found.ended_told is not None


async def test_an_end_that_is_moved_counts_at_once(client, namespace):
    async with watched(client, namespace) as watch:
        await client.create(SILENCES, body(), namespace)
        await until(lambda: watch.name_muting(AGENT))
        await client.patch(SILENCES, "maintenance", {"spec": {"endTime": in_s(-1)}}, namespace)
        await until(lambda: not watch.name_muting(AGENT))
        await watch.active("Expired")
        await client.patch(SILENCES, "maintenance", {"spec": {"endTime": in_s(60)}}, namespace)
        await until(lambda: watch.name_muting(AGENT))
        assert (await watch.active("Active"))["observedGeneration"] == 3


async def test_a_silence_that_was_told_of_and_made_longer_has_an_end_to_tell_again(client, namespace):
    await client.create(SILENCES, body(startTime=in_s(-60), endTime=in_s(-1)), namespace)
    async with watched(client, namespace) as watch:
        watch.hush.told((namespace, "maintenance"))
        await until(lambda: _told(watch))
        await client.patch(SILENCES, "maintenance", {"spec": {"endTime": in_s(60)}}, namespace)
        await watch.active("Active")
        await until(lambda: not _told(watch))
        await client.patch(SILENCES, "maintenance", {"spec": {"endTime": in_s(1.5)}}, namespace)
        await until(lambda: watch.hush.ended(namespace))


async def test_a_deleted_silence_mutes_no_more_and_that_is_told(client, namespace):
    async with watched(client, namespace) as watch:
        await client.create(SILENCES, body(), namespace)
        await watch.active("Active")
        watch.changes.clear()
        await client.delete(SILENCES, "maintenance", namespace)
        await until(lambda: watch.changes == [namespace])
        assert watch.name_muting(AGENT) is None
        assert watch.hush.find(namespace, "maintenance") is None


async def test_counts_are_written_soon_and_what_was_held_back_is_never_forgotten(client, namespace):
    key = (namespace, "maintenance")
    async with watched(client, namespace) as watch:
        await client.create(SILENCES, body(), namespace)
        await watch.active("Active")
        watch.tallies[key] = Tally(2, 7)
        watch.hush.counted(key)
        await watch.written("heldBack", 7)
        assert (await watch.status())["matchedIncidents"] == 2
    async with watched(client, namespace) as watch:
        watch.hush.counted(key)
        await watch.written("matchedIncidents", 0)
        assert (await watch.status())["heldBack"] == 7


async def test_who_does_not_lead_knows_and_writes_nothing_until_it_leads(client, namespace):
    await client.create(SILENCES, body(), namespace)
    async with watched(client, namespace, is_leading=False) as watch:
        assert watch.name_muting(AGENT) == "maintenance"
        watch.hush.counted((namespace, "maintenance"))
        assert (await watch.status()).get("conditions") is None
        watch.is_leading = True
        watch.hush.lead()
        await watch.active("Active")


async def test_the_api_server_refuses_a_silence_that_ends_before_it_begins(client, namespace):
    with pytest.raises(Invalid, match="endTime must be after startTime"):
        await client.create(SILENCES, body(startTime=in_s(60), endTime=in_s(30)), namespace)


async def test_matchers_cannot_be_changed_afterwards(client, namespace):
    await client.create(SILENCES, body(), namespace)
    with pytest.raises(Invalid, match="matchers may not be changed"):
        await client.patch(SILENCES, "maintenance", {"spec": {"matchers": body()["spec"]["matchers"] * 2}}, namespace)
