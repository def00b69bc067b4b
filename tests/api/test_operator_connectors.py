"""Connectors and messages as users change them: what waits goes out as soon as it can, also over a restart."""

import time

from operatorrig import KINDS, condition, until, world
from smtprig import CANARY

MAIL = {"to": ["ops@example.org"], "subject": "Hello", "body": {"text": "Something happened.\n"}}
PROMPTLY_S = 60


async def test_a_message_that_waits_for_its_connector_goes_out_as_soon_as_there_is_one(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.make("EmailMessage", "early", MAIL)
        told = await at.has("EmailMessage", "early", "Succeeded", "Unknown", "ConnectorNotFound")
        assert "default" in told["message"]
        await at.connector()
        await at.has("EmailMessage", "early", "Succeeded", "True", "AcceptedByServer")
        (mail,) = at.mails
        assert (mail["Subject"], mail["To"], mail["From"]) == (
            "Hello",
            "ops@example.org",
            "Collector alerts <alerts@example.com>",
        )


async def test_a_message_that_waited_when_the_process_died_goes_out_when_the_next_finds_its_connector_ready(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at:
        await at.secret(password="wrong")
        await at.authority_map()
        await at.make("SmtpConnector", "default", at.connector_spec())
        async with at.operator() as operator:
            await operator.ready()
            await at.has("SmtpConnector", "default", "Ready", "False")
            await at.make("EmailMessage", "early", MAIL)
            await at.has("EmailMessage", "early", "Succeeded", "Unknown", "ConnectorNotReady")
            operator.kill()
        await at.set_password(CANARY)
        async with at.operator() as operator:
            await operator.ready()
            await at.has("EmailMessage", "early", "Succeeded", "True", "AcceptedByServer")
        assert (await at.get("EmailMessage", "early"))["status"]["attempts"] == 1
        assert len(at.inbox.messages) == 1


async def test_messages_that_are_there_at_the_start_are_not_told_that_their_connector_is_not_ready(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at:
        await at.connector()
        for number in range(5):
            await at.make("EmailMessage", f"early-{number}", MAIL)
        async with at.operator() as operator:
            await at.settled(5)

            async def logged():
                # A line follows the write that it tells of.
                lines = [line for line in operator.text.splitlines() if '"msg":"mail"' in line]
                return lines if len(lines) >= 5 else None

            lines = await until(logged, "each mail has its line")
            assert len(lines) == 5
            assert all("AcceptedByServer" in line for line in lines)


async def test_an_edit_and_a_request_are_proven_at_once(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.connector()
        await at.has("SmtpConnector", "default", "Ready", "True")
        asked = time.monotonic()
        await _patch(at, {"spec": {"tls": {"serverName": "elsewhere.example.com"}}})
        await at.has("SmtpConnector", "default", "Ready", "False", "CertificateNameMismatch")
        await _patch(at, {"spec": {"tls": {"serverName": "relay.test"}}})
        await at.has("SmtpConnector", "default", "Ready", "True")
        assert (await at.get("SmtpConnector", "default"))["status"]["observedGeneration"] == 3
        logins = len(at.inbox.logins)
        await _patch(at, {"metadata": {"annotations": {"watchbell.dev/requested-at": "now-1"}}})

        async def handled():
            return (await at.get("SmtpConnector", "default"))["status"].get("lastHandledRequest") == "now-1"

        await until(handled, "the request is handled")
        assert len(at.inbox.logins) == logins + 1
        assert time.monotonic() - asked < PROMPTLY_S


async def test_a_child_follows_its_parent(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.secret(namespace=at.home)
        await at.authority_map(at.home)
        shared = f"shared-{at.home}"
        child = {"parentRef": {"name": shared}, "from": {"address": "team@example.com"}}
        await at.make("SmtpConnector", "default", child)
        await at.has("SmtpConnector", "default", "Accepted", "False", "ParentNotFound")
        spec = at.connector_spec(allowedNamespaces={"from": "All"})
        await at.make("ClusterSmtpConnector", shared, spec)
        try:
            await at.has("SmtpConnector", "default", "Ready", "True")
            await at.make("EmailMessage", "one", MAIL)
            await at.has("EmailMessage", "one", "Succeeded", "True")
            assert "team@example.com" in at.mails[0]["From"]
            closed = {"spec": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"no": "one"}}}}}
            await at.client.patch(KINDS["ClusterSmtpConnector"], shared, closed)
            await at.has("SmtpConnector", "default", "Accepted", "False", "NamespaceNotAllowed")
        finally:
            await at.client.delete(KINDS["ClusterSmtpConnector"], shared)
        await at.has("SmtpConnector", "default", "Accepted", "False", "ParentNotFound")
        assert condition(await at.get("SmtpConnector", "default"), "Ready")["status"] == "False"


async def _patch(at, change):
    await at.client.patch(KINDS["SmtpConnector"], "default", change, at.namespace)
