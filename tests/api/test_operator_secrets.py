"""No secret gets out of the process, whatever goes wrong; and a rotated one is noticed, in each mode of access."""

import json
import time

import pytest

from operatorrig import KINDS, Operator, World, condition, until, world
from smtprig import BYE, CANARY, GREET, USER, Scripted, ehlo, secret_forms
from watchbell.kube.client import CONFIGMAPS, EVENTS, LEASES, SECRETS

WRONG = "wr0ng-c4nary-p4ss!"
MASK = "********"
FORMS = (*secret_forms(USER, CANARY), *secret_forms(USER, WRONG))


def echo(server: Scripted) -> bytes:
    """A server that tells everybody what it was told, in every form."""
    said = server.heard[-1].decode().strip()
    return f"535 5.7.8 login {said} with {' and '.join(secret_forms(USER, WRONG))} refused\r\n".encode()


def gossip(authority):
    script = [
        GREET, "r", ehlo("STARTTLS"), "r", b"220 2.0.0 go\r\n", "tls",
        "r", ehlo("AUTH PLAIN"), "r", echo, *BYE,
    ]  # fmt: skip
    return Scripted(script, tls=authority.server_context())


async def everything(at: World, operator: Operator) -> dict[str, str]:
    """All that people and programs can see of a run, by where it is."""
    seen = {"log": operator.text, "metrics": await operator.metrics()}
    for kind in ("SmtpConnector", "SmtpTest", "CollectorPolicy", "CollectorIncident", "EmailMessage"):
        seen[kind] = json.dumps(await at.listed(kind))
    seen["ClusterSmtpConnector"] = json.dumps(await at.listed("ClusterSmtpConnector"))
    seen["Events"] = json.dumps(await at.client.list(EVENTS))
    seen["ConfigMaps"] = json.dumps(await at.client.list(CONFIGMAPS, at.home))
    seen["Leases"] = json.dumps(await at.client.list(LEASES, at.home))
    for number, mail in enumerate(at.mails):
        seen[f"mail {number}"] = mail.as_string()
        for part in mail.walk():
            if not part.is_multipart():
                seen[f"mail {number} {part.get_content_type()}"] = str(part.get_content())
    return seen


async def test_no_form_of_a_password_is_anywhere_after_a_run_in_which_all_goes_wrong(
    control_plane, namespace, tmp_path
):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        gossip(at.authority) as server,
        at.operator("--log-level=debug", "--leader-elect") as operator,
    ):
        await operator.ready()
        await at.connector()
        await at.set_password(WRONG)
        await at.secret("gossiped", password=WRONG)
        spec = at.connector_spec(port=server.port, auth={"secretRef": {"name": "gossiped"}})
        await at.make("SmtpConnector", "gossip", spec)
        told = await at.has("SmtpConnector", "gossip", "Ready", "False", "CredentialsRejected")
        assert "535 5.7.8" in told["message"], "what the server said is shown, but for the secret"
        await at.make("SmtpTest", "gossip", {"connectorRef": {"name": "gossip"}, "level": "Authenticate"})
        await at.has("SmtpTest", "gossip", "Succeeded", "False", "CredentialsRejected")
        await at.set_password(CANARY)
        await _ask_for_a_probe(at)
        await at.has("SmtpConnector", "default", "Ready", "True")
        await at.make("SmtpTest", "real", {"to": ["you@example.com"], "level": "Deliver"})
        await at.has("SmtpTest", "real", "Succeeded", "True")
        assert len((await at.get("SmtpTest", "real"))["status"]["transcript"]) > 8
        await at.policy()
        await at.pod("gateway-a")
        await at.crash("gateway-a")
        await at.settled(1)
        await at.set_password(MASK)
        await _ask_for_a_probe(at)
        await at.has("SmtpConnector", "default", "ResolvedRefs", "False", "MaskedPlaceholder")

        async def events():
            return len(await at.client.list(EVENTS, at.namespace)) >= 3

        await until(events, "Events are written")
        assert any(form in line for line in server.commands for form in FORMS), "what must not be shown was there"
        seen = await everything(at, operator)
        assert len(at.inbox.messages) == 2
        assert {password for _, _, password in at.inbox.logins} >= {CANARY}
        shown = [(where, form) for where, text in seen.items() for form in FORMS if form in text]
        assert not shown


async def _ask_for_a_probe(at: World) -> None:
    change = {"metadata": {"annotations": {"watchbell.dev/requested-at": str(time.time())}}}
    await at.client.patch(KINDS["SmtpConnector"], "default", change, at.namespace)


@pytest.mark.parametrize("mode", ["Watch", "Get"])
async def test_a_rotated_secret_is_proven_soon(control_plane, namespace, tmp_path, mode):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator(f"--secret-access={mode}", is_impatient=True) as operator,
    ):
        await operator.ready()
        await at.connector()
        await at.has("SmtpConnector", "default", "Ready", "True")
        for password, state in ((WRONG, ("False", "CredentialsRejected")), (CANARY, ("True", "Proven"))):
            await at.set_password(password)
            await at.has("SmtpConnector", "default", "Ready", *state)
        assert [password for _, _, password in at.inbox.logins] == [CANARY, WRONG, CANARY]


async def test_in_watch_mode_a_changed_authority_is_noticed_as_well(control_plane, namespace, tmp_path):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator("--secret-access=Watch", is_impatient=True) as operator,
    ):
        await operator.ready()
        await at.connector()
        await at.has("SmtpConnector", "default", "Ready", "True")
        await at.client.patch(CONFIGMAPS, "ca", {"data": {"ca.crt": "no certificate"}}, at.namespace)
        await at.has("SmtpConnector", "default", "Ready", "False")
        await at.client.patch(CONFIGMAPS, "ca", {"data": {"ca.crt": at.authority.pem}}, at.namespace)
        await at.has("SmtpConnector", "default", "Ready", "True")


@pytest.mark.parametrize("mode", ["Watch", "Get"])
async def test_a_secret_that_comes_late_is_found(control_plane, namespace, tmp_path, mode):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator(f"--secret-access={mode}", is_impatient=True) as operator,
    ):
        await operator.ready()
        await at.authority_map()
        await at.make("SmtpConnector", "default", at.connector_spec())
        await at.has("SmtpConnector", "default", "ResolvedRefs", "False", "SecretNotFound")
        await at.secret()
        await at.has("SmtpConnector", "default", "Ready", "True")
        await at.client.delete(SECRETS, "relay", at.namespace)
        await at.has("SmtpConnector", "default", "ResolvedRefs", "False", "SecretNotFound")
        assert condition(await at.get("SmtpConnector", "default"), "Ready")["status"] == "False"
