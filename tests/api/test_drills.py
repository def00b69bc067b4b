"""Fire drills on a real API server and through a real SMTP server: the proof mail, the condition that it leaves, and what a restart does."""

import email
import email.policy
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectorrig import KINDS, Rig, eventually, rig, spec
from kuberig import running
from outboxrig import BRISK, MESSAGES
from smtprig import CANARY, USER, dialer, mail_server
from watchbell.connectors.drills import Drills
from watchbell.kube.client import EVENTS
from watchbell.outbox.outbox import Outbox, OutboxSettings
from watchbell.outbox.outlet import ConnectorKey

DRILL = {"periodSeconds": 86_400, "to": ["oncall@example.org"]}
SECRET = {"username": USER, "password": CANARY}


@dataclass
class Range:
    """Connectors, drills and an outbox that sends them; `skew` moves the clock of the drills alone."""

    rig: Rig
    drills: Drills
    skew: timedelta = timedelta()

    async def drilled(self) -> list[dict[str, Any]]:
        return await self.rig.client.list(MESSAGES, self.rig.namespace, label_selector="watchbell.dev/drill")

    def look(self, kind: str = "SmtpConnector", name: str = "main") -> None:
        self.drills.connector_changed(ConnectorKey(kind, self.rig.namespace if kind == "SmtpConnector" else "", name))


@asynccontextmanager
async def firing_range(plane, namespace):
    async with rig(plane, namespace, insecure=True) as fresh:
        place = Range(fresh, None)  # type: ignore[arg-type] - made in the next lines
        settings = OutboxSettings(namespaces=(namespace,), schedule=BRISK, pause_s=0.05)
        outbox = Outbox(
            fresh.client,
            fresh.connectors,
            dialer(),
            namespace=namespace,
            identity=f"drill-{time.monotonic_ns()}",
            fence=lambda _: True,
            settings=settings,
        )
        parts = replace(fresh.connectors._parts, now=lambda: datetime.now(UTC) + place.skew)
        place.drills = Drills(parts, fresh.connectors, outbox)
        fresh.connectors.on_seen = place.drills.connector_changed
        async with running(outbox.run(), place.drills.run()):
            yield place


async def relay_secret(place):
    await place.rig.secret("relay", SECRET)


def plain(port, **changes):
    return spec(
        port, tls={"mode": "None"}, auth={"secretRef": {"name": "relay"}, "plaintext": "Allow"}, drill=DRILL, **changes
    )


async def test_a_drill_is_sent_at_once_and_proves_the_connector_and_a_restart_sends_none_again(
    control_plane, namespace
):
    async with mail_server() as server:
        async with firing_range(control_plane, namespace) as place:
            await relay_secret(place)
            made = await place.rig.make("SmtpConnector", "main", plain(server.port))
            await place.rig.until("SmtpConnector", "main", "Proven", "True", "Proven")
            stands = await place.rig.get("SmtpConnector", "main")
            [message] = await place.drilled()
            assert stands["status"]["lastProvenDeliveryTime"] == message["status"]["completionTime"]
            assert message["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
            assert message["spec"]["ttlSecondsAfterFinished"] == 2 * 86_400
            conditions = await place.rig.conditions("SmtpConnector", "main")
            assert conditions["Ready"][0] == "True"
            await place.rig.recorder.flushed()
            assert [one["note"] for one in await events(place, "DrillSucceeded")]
        async with firing_range(control_plane, namespace) as place:
            place.rig.see(await place.rig.get("SmtpConnector", "main"))
            await eventually(lambda: synced(place))
            place.look()
            await place.drills._queue.idle()
            assert len(await place.drilled()) == 1
            await place.rig.recorder.flushed()
            assert len(await events(place, "DrillSucceeded")) == 1
            assert (await place.rig.get("SmtpConnector", "main"))["status"]["lastProvenDeliveryTime"]
    [(_, recipients, raw)] = server.inbox.messages
    assert recipients == ["oncall@example.org"]
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Subject"] == f"Fire drill of mail from {namespace}/main on test"


async def synced(place):
    return place.drills._informers.is_synced


async def events(place, reason):
    return await place.rig.client.list(EVENTS, place.rig.namespace, field_selector=f"reason={reason}")


async def test_a_drill_that_is_refused_and_one_that_is_late_are_told_apart(control_plane, namespace):
    async with mail_server() as server, firing_range(control_plane, namespace) as place:
        server.inbox.replies["RCPT"] = lambda _: "550 5.1.1 no such user"
        await relay_secret(place)
        await place.rig.make("SmtpConnector", "main", plain(server.port))
        said = await place.rig.until("SmtpConnector", "main", "Proven", "False", "DrillFailed")
        assert "RecipientsRefused" in said["Proven"][2]
        assert said["Ready"][0] == "True"
        del server.inbox.replies["RCPT"]
        place.skew = timedelta(days=1)
        place.look()
        await place.rig.until("SmtpConnector", "main", "Proven", "True", "Proven")
        assert len(await place.drilled()) == 2
        place.skew = timedelta(days=4)
        server.inbox.replies["RCPT"] = lambda _: "451 4.3.0 later"
        place.look()
        said = await place.rig.until("SmtpConnector", "main", "Proven", "False", "DrillLate")
        assert "the next was due by" in said["Proven"][2]


async def test_nothing_is_drilled_while_suspended_and_nothing_is_left_of_a_drill_that_was_taken_out(
    control_plane, namespace
):
    async with mail_server() as server, firing_range(control_plane, namespace) as place:
        await relay_secret(place)
        await place.rig.make("SmtpConnector", "main", plain(server.port, suspend=True))
        await place.rig.until("SmtpConnector", "main", "Proven", "Unknown", "Suspended")
        assert await place.drilled() == []
        await place.rig.patch("SmtpConnector", "main", {"spec": {"suspend": False}})
        await place.rig.until("SmtpConnector", "main", "Proven", "True", "Proven")
        await place.rig.patch("SmtpConnector", "main", {"spec": {"drill": None}})

        async def is_gone():
            status = (await place.rig.get("SmtpConnector", "main"))["status"]
            names = {one["type"] for one in status["conditions"]}
            return "Ready" in names and "Proven" not in names and "lastProvenDeliveryTime" not in status

        assert await eventually(is_gone)
    assert len(server.inbox.messages) == 1


async def test_a_cluster_connector_drills_from_the_operators_namespace(control_plane, namespace):
    async with mail_server() as server, firing_range(control_plane, namespace) as place:
        await relay_secret(place)
        name = f"drilled-{namespace}"
        allowed = {"allowedNamespaces": {"from": "Names", "names": [namespace]}, "allowedUses": ["Alert", "Test"]}
        await place.rig.make("ClusterSmtpConnector", name, plain(server.port, **allowed))
        try:
            await place.rig.until("ClusterSmtpConnector", name, "Proven", "True", "Proven")
            [message] = await place.drilled()
            assert message["metadata"]["namespace"] == namespace
        finally:
            await place.rig.client.delete(KINDS["ClusterSmtpConnector"], name)
    assert len(server.inbox.messages) == 1
