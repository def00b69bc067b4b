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


async def test_a_drill_and_a_batch_go_out_from_the_process_that_people_start_and_a_kill_makes_neither_again(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at:
        async with at.operator() as operator:
            await operator.ready()
            await at.connector(drill={"to": ["oncall@example.com"], "periodSeconds": 86_400})
            await at.has("SmtpConnector", "default", "Proven", "True", "Proven")
            text = await operator.metrics()
            assert (
                f'watchbell_connector_proven{{kind="SmtpConnector",name="default",namespace="{at.namespace}"}} 1.0'
                in text
            )
            for number in (1, 2):
                await at.make("EmailMessage", f"report-{number}", _report(number))
            for number in (1, 2):
                await at.has("EmailMessage", f"report-{number}", "Succeeded", "Unknown", "Batched")
            operator.kill()
        async with at.operator() as operator:
            await operator.ready()
            await at.make("EmailMessage", "report-3", _report(3))
            for number in (1, 2, 3):
                await at.has("EmailMessage", f"report-{number}", "Succeeded", "True", "AcceptedByServer")
            await at.has("SmtpConnector", "default", "Proven", "True", "Proven")
    drilled, digest = at.mails
    assert drilled["Subject"].startswith("Fire drill of mail from ")
    assert digest["Subject"].startswith("reports: 3 messages from ")


def _report(number):
    return {
        "to": ["ops@example.com"],
        "subject": f"Report {number}",
        "body": {"text": f"Number {number}.\n"},
        "batch": {"key": "reports", "maxMessages": 3, "maxWaitSeconds": 3600},
    }
