"""From nothing to mail through the process that people start: connector, policy, crash, one mail, recovery, one more."""

from datetime import UTC, datetime, timedelta

from collectorrig import container, ended, looping
from operatorrig import condition, stays, until, world
from watchbell.kube.client import PODS


async def test_a_crash_is_told_once_and_its_end_once_in_the_same_thread(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.connector()
        await at.has("SmtpConnector", "default", "Ready", "True", "Proven")
        await at.policy(grouping={"waitSeconds": 0, "resolveAfterSeconds": 1})
        await at.has("CollectorPolicy", "collectors", "Ready", "True")
        await at.pod("gateway-a")
        await at.crash("gateway-a")
        (mail,) = await at.mailed(1)
        (message,) = await at.settled(1)
        assert condition(message, "Succeeded")["reason"] == "AcceptedByServer"
        assert str(mail["Message-ID"]).strip("<>") in str(message["status"])
        assert mail["To"] == "oncall@example.com"
        assert "gateway" in mail["Subject"]
        for restarts in (2, 3):
            died = datetime.now(UTC) + timedelta(seconds=restarts)
            await at.tell("gateway-a", container(state=ended(died), restartCount=restarts - 1, ready=False))
            await at.tell("gateway-a", looping(died, restarts))
        (incident,) = await at.listed("CollectorIncident")
        name = incident["metadata"]["name"]

        async def counted():
            return (await at.get("CollectorIncident", name))["status"].get("occurrences", 0) >= 3

        await until(counted, "the restarts are counted")
        assert len(at.inbox.messages) == 1, "a restart of the same pod is no news"
        await at.client.delete(PODS, "gateway-a", at.namespace)
        await at.pod("gateway-b")
        await at.has("CollectorIncident", name, "Resolved", "True")
        first, second = await at.mailed(2)
        await at.settled(2)
        await stays(lambda: len(at.inbox.messages) == 2, "two mails were all", 0.5)
        assert second["Subject"].startswith("Re: ")
        assert set(second["References"].split()) & {first["Message-ID"], *str(first["References"] or "").split()}
        assert first["Message-ID"] != second["Message-ID"]
        assert len(await at.listed("CollectorIncident")) == 1
