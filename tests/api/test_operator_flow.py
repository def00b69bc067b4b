"""Limits, breaker and fallback through the process that people start, and over kill -9."""

from contextlib import AsyncExitStack

from operatorrig import KINDS, condition, until, world
from smtprig import mail_server
from watchbell.kube.client import CONFIGMAPS, EVENTS
from watchbell.outbox.limits.counts import COUNTS_NAME

PLAIN = {"tls": {"mode": "None"}, "auth": None}


async def send(at, name, **spec):
    body = {"to": ["ops@example.org"], "subject": f"About {name}", "body": {"text": "Something happened."}}
    return await at.make("EmailMessage", name, body | spec)


async def test_mail_of_a_relay_that_died_goes_through_the_fallback_and_says_so(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator, AsyncExitStack() as stack:
        doomed = await stack.enter_async_context(mail_server(has_auth=False))
        await operator.ready()
        await at.connector("backup", **{"from": {"address": "alerts@example.com", "name": "Backup"}})
        fallback = {"kind": "SmtpConnector", "name": "backup"}
        await at.make("SmtpConnector", "default", at.connector_spec(port=doomed.port, fallbackRef=fallback, **PLAIN))
        await at.has("SmtpConnector", "default", "Ready", "True", "Proven")
        await at.has("SmtpConnector", "backup", "Ready", "True", "Proven")
        await send(at, "before")
        (before,) = await at.settled(1)
        assert before["status"]["connector"] == f"SmtpConnector/{namespace}/default"
        await stack.aclose()
        for i in range(3):
            await send(at, f"m{i}")
        found = await at.has("SmtpConnector", "default", "Ready", "False")
        assert found["reason"] in {"ConnectionRefused", "ConnectionReset", "ClosedBeforeGreeting"}
        await send(at, "after")
        await at.has("EmailMessage", "after", "Succeeded", "True", "AcceptedByServer")
        after = await at.get("EmailMessage", "after")
        assert after["status"]["connector"] == f"SmtpConnector/{namespace}/backup"
        assert str(at.mails[0]["From"]) == "Backup <alerts@example.com>"
        metrics = await operator.metrics()
        assert 'watchbell_breaker_openings_total{cause="Unreachable"} 1.0' in metrics
        assert "watchbell_breakers_open 1.0" in metrics
        assert "watchbell_fallback_messages_total" in metrics


async def test_kill_9_forgets_no_mail_of_the_day(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        async with at.operator(name="first") as first:
            await first.ready()
            await at.connector(limits={"messagesPerDay": 4})
            await at.has("SmtpConnector", "default", "Ready", "True", "Proven")
            for i in range(3):
                await send(at, f"m{i}")
            await at.settled(3)
            await until(lambda: kept(at), "the counts are kept")
            first.kill()
        async with at.operator(name="second") as second:
            await second.ready()
            for i in range(3, 6):
                await send(at, f"m{i}")
            for name in ("m4", "m5"):
                await at.has("EmailMessage", name, "Succeeded", "Unknown", "RateLimited")
            held = await at.get("EmailMessage", "m5")
            assert held["status"]["attempts"] == 0
            assert "nextAttemptTime" in held["status"]
            assert len(at.inbox.messages) <= 4
            # A paid plan: what waits goes out at once.
            more = {"spec": {"limits": {"messagesPerDay": 100}}}
            await at.client.patch(KINDS["SmtpConnector"], "default", more, at.namespace)
            await at.settled(6)
    assert max(at.message_ids().values()) == 1
    assert len(at.inbox.messages) == 6


async def kept(at):
    found = await at.client.list(CONFIGMAPS, at.home)
    return [one for one in found if one["metadata"]["name"] == COUNTS_NAME and "[" in str(one.get("data"))]


async def test_a_message_that_does_not_wait_is_discarded_when_its_connector_is_suspended(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.connector(suspend=True)
        await at.has("SmtpConnector", "default", "Ready", "False", "Suspended")
        await send(at, "discarded", onUnavailable="Discard")
        await send(at, "held")
        found = await at.has("EmailMessage", "discarded", "Succeeded", "False", "Suspended")
        assert "onUnavailable is Discard" in found["message"]
        await at.has("EmailMessage", "held", "Succeeded", "Unknown", "Suspended")

        async def told():
            events = await at.client.list(EVENTS, at.namespace)
            return [event["note"] for event in events if event["reason"] == "MailFailed"]

        [note] = await until(told, "an Event tells of it")
        assert note.startswith("Suspended: ")
        assert condition(await at.get("EmailMessage", "discarded"), "Stalled")
