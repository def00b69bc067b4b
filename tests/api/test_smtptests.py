"""SmtpTest: the "Test connection" button, on a real API server against a real mail server."""

import email
import email.policy
import json
import subprocess

import pytest
import trustme

import controlplane
from connectorrig import KINDS, eventually, rig
from smtprig import CANARY, USER, Authority, Scripted, ehlo, mail_server
from watchbell.kube.client import CONFIGMAPS
from watchbell.kube.errors import NotFound, Unreachable

LOGIN = {"username": USER, "password": CANARY}


@pytest.fixture(scope="module")
def authority():
    return Authority(trustme.CA())


async def connector(at, authority, port, **changes):
    await at.client.create(CONFIGMAPS, {"metadata": {"name": "ca"}, "data": {"ca.crt": authority.pem}}, at.namespace)
    await at.secret("relay", LOGIN)
    spec = {
        "host": "127.0.0.1",
        "port": port,
        "tls": {"caConfigMapRef": {"name": "ca"}},
        "auth": {"secretRef": {"name": "relay"}},
        "from": {"address": USER, "name": "Alerts"},
    }
    await at.make("SmtpConnector", "default", spec | changes)


def verdict(body):
    done = subprocess.run(
        [controlplane.binary("kstatus")], input=json.dumps(body), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["status"]


async def test_a_test_sends_one_mail_in_text_and_html_and_keeps_a_transcript_without_secrets(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port)
        await at.make("SmtpTest", "t", {"to": ["Ops <ops@example.com>"]})
        await at.until("SmtpTest", "t", "Succeeded", "True", "AcceptedByServer")
        body = await at.get("SmtpTest", "t")
        status = body["status"]
        assert {stage["name"] for stage in status["stages"] if stage["result"] == "Passed"} >= {
            "Authenticate",
            "Recipient",
            "Data",
        }
        assert verdict(body) == "Current"
        assert any(line.startswith("S: 220") for line in status["transcript"])
        assert CANARY not in json.dumps(body)
        ((sender, recipients, content),) = server.inbox.messages
        assert (sender, recipients) == (USER, ["ops@example.com"])
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert message["To"] == "Ops <ops@example.com>"
        assert message["Message-ID"] == status["messageID"]
        assert status["startTime"] <= status["completionTime"]
        assert message.get_body(("plain",)) is not None
        assert message.get_body(("html",)) is not None


@pytest.mark.parametrize(("level", "last"), [("Connect", "Hello"), ("Authenticate", "Authenticate")])
async def test_a_test_that_shall_not_deliver_sends_nothing(control_plane, namespace, authority, level, last):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port, suspend=False)
        await at.make("SmtpTest", "t", {"level": level})
        await at.until("SmtpTest", "t", "Succeeded", "True", "StagesPassed")
        stages = (await at.get("SmtpTest", "t"))["status"]["stages"]
        assert last in [stage["name"] for stage in stages if stage["result"] == "Passed"]
        assert server.inbox.messages == []


async def test_a_failed_test_names_the_stage_and_the_cure_and_counts_as_failed(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        server.inbox.replies["RCPT"] = lambda address: "550 5.1.1 no such user"
        await connector(at, authority, server.port)
        await at.make("SmtpTest", "t", {"to": ["nobody@example.com"]})
        found = await at.until("SmtpTest", "t", "Succeeded", "False", "RecipientUnknown")
        body = await at.get("SmtpTest", "t")
        assert found["Stalled"][0] == "True"
        assert verdict(body) == "Failed"
        assert body["status"]["remediation"]
        assert next(stage for stage in body["status"]["stages"] if stage["result"] == "Failed")["name"] == "Recipient"


async def test_the_commands_of_a_failed_test_name_the_secret_and_its_namespace(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port)
        await at.secret("wrong", LOGIN | {"password": "no"})
        await at.patch("SmtpConnector", "default", {"spec": {"auth": {"secretRef": {"name": "wrong"}}}})
        await at.make("SmtpTest", "t", {"to": ["ops@example.com"]})
        found = await at.until("SmtpTest", "t", "Succeeded", "False", "CredentialsRejected")
        told = found["Succeeded"][2] + json.dumps((await at.get("SmtpTest", "t"))["status"]["remediation"])
        assert f"kubectl -n {namespace} get secret wrong" in told
        assert "$" not in told


async def test_the_recipient_policy_of_the_connector_holds_for_tests_too(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port, recipientPolicy={"deniedDomains": ["evil.example"]})
        await at.make("SmtpTest", "t", {"to": ["ops@example.com", "x@Evil.example"]})
        found = await at.until("SmtpTest", "t", "Succeeded", "False", "RecipientsRefused")
        assert "evil.example" in found["Succeeded"][2]
        assert server.inbox.messages == []


async def test_a_status_that_cannot_be_written_at_first_does_not_send_the_mail_again(
    control_plane, namespace, authority, monkeypatch
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port)
        write, refusals = at.client.apply_status, ["once"]

        async def flaky(resource, name, status, *args, **options):
            if refusals and "completionTime" in status:
                refusals.pop()
                raise Unreachable("the API server went away")
            await write(resource, name, status, *args, **options)

        monkeypatch.setattr(at.client, "apply_status", flaky)
        await at.make("SmtpTest", "t", {"to": ["ops@example.com"]})
        await at.until("SmtpTest", "t", "Succeeded", "True", "AcceptedByServer")
        assert refusals == []
        assert len(server.inbox.messages) == 1


async def test_a_server_that_says_nothing_ends_the_test_at_its_time_out(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, Scripted(["hang"]) as server:
        await connector(at, authority, server.port, tls={"mode": "None"}, auth=None, probe={"level": "Disabled"})
        await at.make("SmtpTest", "t", {"to": ["ops@example.com"], "timeoutSeconds": 1})
        await at.until("SmtpTest", "t", "Succeeded", "False", "GreetingTimedOut")
        stages = (await at.get("SmtpTest", "t"))["status"]["stages"]
        assert [stage["name"] for stage in stages if stage["result"] == "Failed"] == ["Greeting"]


async def test_a_lost_last_reply_is_unknown_and_not_failed_for_good(control_plane, namespace, authority):
    script = (
        b"220 relay.test\r\n",
        "r",
        ehlo(),
        "r",
        b"250 ok\r\n",
        "r",
        b"250 ok\r\n",
        "r",
        b"354 go\r\n",
        "data",
        "abort",
    )
    async with rig(control_plane, namespace) as at, Scripted(script) as server:
        await connector(at, authority, server.port, tls={"mode": "None"}, auth=None, probe={"level": "Disabled"})
        await at.make("SmtpTest", "t", {"to": ["ops@example.com"]})
        await at.until("SmtpTest", "t", "Succeeded", "False", "OutcomeUnknown")
        assert len(server.bodies) == 1


async def test_a_test_that_an_earlier_process_left_under_way_never_mails_twice(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port)
        body = {
            "apiVersion": "watchbell.dev/v1alpha1",
            "kind": "SmtpTest",
            "metadata": {"name": "t"},
            "spec": {"to": ["a@example.com"]},
        }
        made = await at.client.create(KINDS["SmtpTest"], body, namespace)
        sending = {
            "type": "Succeeded",
            "status": "Unknown",
            "reason": "Sending",
            "message": "",
            "lastTransitionTime": "2026-11-20T00:00:00Z",
        }
        made = await at.client.patch(
            KINDS["SmtpTest"], "t", {"status": {"conditions": [sending]}}, namespace, subresource="status"
        )
        at.see(made)
        await at.until("SmtpTest", "t", "Succeeded", "False", "OutcomeUnknown")
        assert server.inbox.messages == []


async def test_a_missing_connector_is_named(control_plane, namespace):
    async with rig(control_plane, namespace) as at:
        await at.make("SmtpTest", "t", {"to": ["a@example.com"], "connectorRef": {"name": "nowhere"}})
        found = await at.until("SmtpTest", "t", "Succeeded", "False", "ConnectorNotFound")
        assert "nowhere" in found["Succeeded"][2]


async def test_a_finished_test_is_deleted_after_its_time(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await connector(at, authority, server.port)
        await at.make("SmtpTest", "t", {"level": "Authenticate", "ttlSecondsAfterFinished": 0})

        async def is_gone():
            try:
                await at.get("SmtpTest", "t")
            except NotFound:
                return True
            return False

        assert await eventually(is_gone)


async def test_a_test_that_an_earlier_process_finished_is_deleted_after_its_time(control_plane, namespace):
    async with rig(control_plane, namespace) as earlier:
        await earlier.make("SmtpTest", "t", {"to": ["a@example.com"], "ttlSecondsAfterFinished": 2})
        await earlier.until("SmtpTest", "t", "Succeeded", "False", "ConnectorNotFound")

    async with rig(control_plane, namespace) as at:

        async def is_gone():
            try:
                await at.get("SmtpTest", "t")
            except NotFound:
                return True
            return False

        assert await eventually(is_gone)
