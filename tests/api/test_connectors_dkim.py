"""A connector with a DKIM key on a real API server: what goes out through it is signed, and the key shows nowhere."""

import base64

import pytest

from connectorrig import rig, spec
from dkimrig import is_right, made, pem
from kuberig import until
from outboxrig import condition, desk, message
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server
from watchbell.kube.client import EVENTS, SECRETS

DKIM = {"domain": "example.com", "selector": "mail1", "secretRef": {"name": "dkim"}}
ACCEPT = ("r", OK, "r", OK, "r", b"354 go on\r\n", "data")
HELLO = (GREET, "r", ehlo("8BITMIME"))
LOST = (*HELLO, *ACCEPT, "abort")
TAKEN = (*HELLO, *ACCEPT, b"250 2.0.0 queued\r\n", "r", OK, *BYE)


async def put_key(client, namespace, kind="rsa", **labels):
    data = {"private.pem": base64.b64encode(pem(made(kind)).encode()).decode()}
    labels = labels or {"watchbell.dev/dkim-key": "true"}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "dkim", "labels": labels}, "data": data}
    await client.create(SECRETS, body, namespace)


def signing(port, **changes):
    plain = {"tls": {"mode": "None"}, "auth": None, "dkim": DKIM, "probe": {"level": "Disabled"}}
    return spec(port, **(plain | changes))


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_mails_and_tests_of_a_connector_with_a_key_are_signed(control_plane, namespace, caplog, kind):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as one:
        await put_key(one.client, namespace, kind)
        await one.make("SmtpConnector", "default", signing(server.port))
        await one.until("SmtpConnector", "default", "Ready", "True", "ProbeDisabled")
        async with desk(control_plane, namespace, one.connectors) as outbox:
            await outbox.send(message("signed", "jörg@example.org", cc=["c@example.org"]))
            assert condition(await outbox.finished("signed"))["reason"] == "AcceptedByServer"
        await one.make("SmtpTest", "try", {"to": ["you@example.org"]})
        await one.until("SmtpTest", "try", "Succeeded", "True", "AcceptedByServer")
        shown = str([await one.get("SmtpConnector", "default"), await one.client.list(EVENTS, namespace)])
    assert [is_right(raw, kind) for _, _, raw in server.inbox.messages] == [True, True]
    secret_line = pem(made(kind)).splitlines()[1][:40]
    assert secret_line not in shown + caplog.text


async def test_a_signed_mail_is_sent_again_to_the_byte(control_plane, namespace):
    async with Scripted(LOST, TAKEN) as server, rig(control_plane, namespace) as one:
        await put_key(one.client, namespace)
        await one.make("SmtpConnector", "default", signing(server.port))
        await one.until("SmtpConnector", "default", "Ready", "True", "ProbeDisabled")
        async with desk(control_plane, namespace, one.connectors) as outbox:
            await outbox.send(message("again"))
            assert condition(await outbox.finished("again"))["reason"] == "AcceptedByServer"
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]
    assert is_right(server.bodies[0].removesuffix(b".\r\n"))


async def test_a_key_that_did_not_opt_in_signs_nothing_until_it_does(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as one:
        await one.make("SmtpConnector", "default", signing(server.port))
        await one.until("SmtpConnector", "default", "ResolvedRefs", "False", "SecretNotFound")
        await put_key(one.client, namespace, **{"watchbell.dev/smtp": "true"})
        one.connectors.dependency_changed("Secret", namespace, "dkim")
        found = await one.until("SmtpConnector", "default", "ResolvedRefs", "False", "SecretNotOptedIn")
        assert "watchbell.dev/dkim-key=true" in found["ResolvedRefs"][2]
        change = {"metadata": {"labels": {"watchbell.dev/dkim-key": "true"}}}
        await one.client.patch(SECRETS, "dkim", change, namespace)
        assert ("Secret", namespace, "dkim") in one.connectors.dependencies()
        one.connectors.dependency_changed("Secret", namespace, "dkim")
        await one.until("SmtpConnector", "default", "Ready", "True", "ProbeDisabled")
        await until(lambda: one.ready)
