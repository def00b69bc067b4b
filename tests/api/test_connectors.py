"""Connectors on a real API server against a real mail server: what stands in the status after each cause."""

import asyncio
import base64
import json
import subprocess

import pytest
import trustme

import controlplane
from connectorrig import KINDS, LOGIN, eventually, rig, spec
from smtprig import CANARY, LOOPBACK, USER, Authority, Scripted, mail_server
from watchbell.api.reasons import Reason
from watchbell.connectors.rotation import RotationWatch
from watchbell.kube.client import CONFIGMAPS, NAMESPACES, SECRETS
from watchbell.outbox.outlet import ConnectorKey, ConnectorRef, Outlet, Unavailable, Use
from watchbell.smtp.egress import EgressPolicy
from watchbell.smtp.model import Fault, RetryClass, StageName


@pytest.fixture(scope="module")
def authority():
    return Authority(trustme.CA())


async def with_ca(at, authority):
    await at.client.create(CONFIGMAPS, {"metadata": {"name": "ca"}, "data": {"ca.crt": authority.pem}}, at.namespace)


def verdict(body):
    """What Flux and Helm 4 make of an object, by their own code."""
    done = subprocess.run(
        [controlplane.binary("kstatus")], input=json.dumps(body), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["status"]


async def test_a_connector_becomes_ready_with_every_stage_told_and_no_secret_shown(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN)
        await at.make("SmtpConnector", "default", spec(server.port))
        found = await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        body = await at.get("SmtpConnector", "default")
        assert {name: status for name, (status, _, _) in found.items()} == dict.fromkeys(
            ("Accepted", "ResolvedRefs", "Reachable", "TLSVerified", "Authenticated", "Ready"), "True"
        )
        status = body["status"]
        assert [stage["name"] for stage in status["stages"] if stage["result"] == "Passed"] == [
            "Policy", "Resolve", "Connect", "Greeting", "Hello", "StartTLS", "TLS", "Authenticate",
        ]  # fmt: skip
        assert status["endpoint"] == f"127.0.0.1:{server.port}"
        assert len(status["server"]["tls"]["sha256"]) == 64
        assert CANARY not in json.dumps(body)
        assert verdict(body) == "Current"
        assert body["metadata"]["generation"] == status["observedGeneration"] == 1
        assert {
            field["subresource"]
            for field in body["metadata"]["managedFields"]
            if field["manager"].startswith("watchbell-")
        } == {"status"}
        assert not {"finalizers", "annotations"} & set(body["metadata"])


async def test_a_wrong_password_is_stalled_tried_once_and_again_when_the_secret_changes(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN | {"password": "wrong"})
        await at.make("SmtpConnector", "default", spec(server.port))
        found = await at.until("SmtpConnector", "default", "Stalled", "True", "CredentialsRejected")
        body = await at.get("SmtpConnector", "default")
        assert found["Ready"][:2] == ("False", "CredentialsRejected")
        assert verdict(body) == "Failed"
        failed = next(stage for stage in body["status"]["stages"] if stage["result"] == "Failed")
        assert (failed["name"], failed["code"]) == ("Authenticate", 535)
        assert any("535" in link for link in failed["chain"])
        assert body["status"]["remediation"]
        for _ in range(3):
            at.connectors.dependency_changed("Secret", namespace, "relay")
            await at.connectors.queue.idle()
        assert len(server.inbox.logins) == 1
        change = {"data": {"password": base64.b64encode(CANARY.encode()).decode()}}
        await at.client.patch(SECRETS, "relay", change, namespace)
        at.connectors.dependency_changed("Secret", namespace, "relay")
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        assert "Stalled" not in await at.conditions("SmtpConnector", "default")


async def test_an_unreachable_server_is_reconciling_with_the_chain_that_people_search_for(control_plane, namespace):
    async with Scripted([]) as gone:
        port = gone.port
    async with rig(control_plane, namespace) as at:
        await at.make("SmtpConnector", "default", spec(port, tls={"mode": "None"}, auth=None))
        found = await at.until("SmtpConnector", "default", "Ready", "False", "ConnectionRefused")
        body = await at.get("SmtpConnector", "default")
        assert found["Reconciling"][:2] == ("True", "Retrying")
        assert verdict(body) == "InProgress"
        failed = next(stage for stage in body["status"]["stages"] if stage["result"] == "Failed")
        assert f"dial tcp 127.0.0.1:{port}: connect: connection refused (ECONNREFUSED)" in failed["chain"]


@pytest.mark.parametrize(
    ("data", "opted_in", "reason", "command"),
    [
        (None, True, "SecretNotFound", "create secret generic relay"),
        (LOGIN, False, "SecretNotOptedIn", "label secret relay watchbell.dev/smtp=true"),
        ({"username": USER}, True, "SecretKeyMissing", "patch secret relay"),
        (LOGIN | {"password": "********"}, True, "MaskedPlaceholder", "patch secret relay"),
        (
            LOGIN | {"password": base64.b64encode(b"a-real-password").decode()},
            True,
            "SecretDoubleEncoded",
            "patch secret relay",
        ),
    ],
)
async def test_a_secret_that_cannot_be_used_is_named_and_nothing_is_sent(
    control_plane, namespace, data, opted_in, reason, command
):
    async with rig(control_plane, namespace) as at, Scripted([]) as server:
        if data is not None:
            await at.secret("relay", data, opted_in=opted_in)
        await at.make("SmtpConnector", "default", spec(server.port, tls=None))
        found = await at.until("SmtpConnector", "default", "ResolvedRefs", "False", reason)
        assert command in found["ResolvedRefs"][2]
        assert found["Reconciling"][:2] == ("True", "WaitingForSecret")
        assert server.connections == 0


async def test_a_trailing_newline_is_left_off_and_told(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN | {"password": CANARY + "\n"})
        await at.make("SmtpConnector", "default", spec(server.port))
        found = await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        assert found["ResolvedRefs"][:2] == ("True", "TrailingNewline")


async def test_a_masked_secret_never_reaches_the_server_and_the_last_good_credential_stays_in_use(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN)
        await at.make("SmtpConnector", "default", spec(server.port))
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        masked = base64.b64encode(b"********").decode()
        await at.client.patch(SECRETS, "relay", {"data": {"password": masked}}, namespace)
        at.connectors.dependency_changed("Secret", namespace, "relay")
        found = await at.until("SmtpConnector", "default", "ResolvedRefs", "False", "MaskedPlaceholder")
        assert found["Ready"][:2] == ("True", "Proven")
        outlet = await at.connectors.outlet(namespace, None, Use.MESSAGE)
        assert isinstance(outlet, Outlet)
        assert outlet.relay.auth is not None
        assert outlet.relay.auth.password is not None
        assert outlet.relay.auth.password.reveal() == CANARY
        assert {password for _, _, password in server.inbox.logins} == {CANARY}


async def test_a_secret_pinned_to_another_host_is_never_sent_there(control_plane, namespace):
    async with rig(control_plane, namespace) as at, Scripted([]) as evil:
        await at.secret("relay", LOGIN, annotations={"watchbell.dev/allowed-hosts": "smtp.example.com"})
        await at.make("SmtpConnector", "default", spec(evil.port, tls=None))
        found = await at.until("SmtpConnector", "default", "Accepted", "False", "HostNotAllowed")
        assert "Stalled" in found
        assert evil.connections == 0


async def test_loopback_is_not_dialled_unless_an_admin_allows_it(control_plane, namespace):
    strict = EgressPolicy(allow_ports=LOOPBACK.allow_ports)
    async with rig(control_plane, namespace, egress=strict) as at, Scripted([]) as server:
        await at.make("SmtpConnector", "default", spec(server.port, tls={"mode": "None"}, auth=None))
        await at.until("SmtpConnector", "default", "Accepted", "False", "HostNotAllowed")
        assert server.connections == 0


async def test_a_port_outside_of_the_list_is_not_accepted(control_plane, namespace):
    async with rig(control_plane, namespace, egress=EgressPolicy(allow_cidrs=("127.0.0.0/8",))) as at:
        await at.make("SmtpConnector", "default", spec(8443, tls={"mode": "None"}, auth=None))
        found = await at.until("SmtpConnector", "default", "Accepted", "False", "PortNotAllowed")
        assert "--egress-allow-port" in found["Accepted"][2]


@pytest.mark.parametrize(
    "change",
    [
        {"tls": {"verification": "None"}, "auth": None},
        {"tls": {"mode": "None"}, "auth": {"secretRef": {"name": "relay"}, "plaintext": "Allow"}},
    ],
)
async def test_insecure_settings_need_the_operators_flag(control_plane, namespace, change):
    async with rig(control_plane, namespace) as at, Scripted([]) as server:
        await at.secret("relay", LOGIN)
        await at.make("SmtpConnector", "default", spec(server.port, **change))
        found = await at.until("SmtpConnector", "default", "Accepted", "False", "InsecureNotAllowed")
        assert "--allow-insecure-tls" in found["Accepted"][2]
        assert server.connections == 0


async def test_a_child_uses_its_parents_host_and_secret_with_a_from_address_of_its_own(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN)
        name = f"c-{namespace}"
        allowed = {
            "allowedNamespaces": {"from": "Names", "names": [namespace]},
            "allowedFromAddresses": ["*@example.com"],
        }
        await at.make("SmtpConnector", "child", {"parentRef": {"name": name}, "from": {"address": "team@example.com"}})
        await at.until("SmtpConnector", "child", "Accepted", "False", "ParentNotFound")
        await at.make("ClusterSmtpConnector", name, spec(server.port) | allowed)
        await at.until("SmtpConnector", "child", "Ready", "True", "Proven")
        outlet = await at.connectors.outlet(namespace, ConnectorRef("SmtpConnector", "child"), Use.MESSAGE)
        assert isinstance(outlet, Outlet)
        assert (outlet.sender.address, outlet.relay.port) == ("team@example.com", server.port)
        assert (await at.get("SmtpConnector", "child"))["status"]["resolvedFrom"] == f"ClusterSmtpConnector/{name}"
        await at.patch("SmtpConnector", "child", {"spec": {"from": {"address": "ceo@other.example"}}})
        await at.until("SmtpConnector", "child", "Accepted", "False", "SenderAddressNotAllowed")
        await at.patch(
            "ClusterSmtpConnector", name, {"spec": {"allowedNamespaces": {"from": "Names", "names": ["elsewhere"]}}}
        )
        await at.until("SmtpConnector", "child", "Accepted", "False", "NamespaceNotAllowed")
        await at.client.delete(KINDS["ClusterSmtpConnector"], name)


async def test_the_default_connector_is_found_by_name_and_cluster_rules_hold_for_each_use(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        missing = await at.connectors.outlet(namespace, None, Use.MESSAGE)
        assert isinstance(missing, Unavailable)
        assert missing.reason == "ConnectorNotFound"
        await with_ca(at, authority)
        await at.secret("relay", LOGIN)
        rules = {
            "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"mail": "yes"}}},
            "allowedUses": ["Alert"],
        }
        body = await at.make("ClusterSmtpConnector", "default", spec(server.port) | rules)
        try:
            await at.until("ClusterSmtpConnector", "default", "Ready", "True", "Proven")
            refused = await at.connectors.outlet(namespace, None, Use.ALERT)
            assert isinstance(refused, Unavailable)
            assert refused.reason == "NamespaceNotAllowed"
            await at.client.patch(NAMESPACES, namespace, {"metadata": {"labels": {"mail": "yes"}}})
            assert isinstance(await at.connectors.outlet(namespace, None, Use.ALERT), Outlet)
            wrong_use = await at.connectors.outlet(namespace, None, Use.MESSAGE)
            assert isinstance(wrong_use, Unavailable)
            assert wrong_use.reason == "UseNotAllowed"
            await at.make("SmtpConnector", "default", spec(server.port))
            await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
            own = await at.connectors.outlet(namespace, None, Use.MESSAGE)
            assert isinstance(own, Outlet)
            assert own.key == ConnectorKey("SmtpConnector", namespace, "default")
        finally:
            await at.client.delete(KINDS["ClusterSmtpConnector"], "default")
            at.connectors.deleted(body)


async def test_requested_at_probes_at_once_and_is_answered(control_plane, namespace, authority):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN)
        await at.make("SmtpConnector", "default", spec(server.port))
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        await at.patch(
            "SmtpConnector", "default", {"metadata": {"annotations": {"watchbell.dev/requested-at": "now-1"}}}
        )

        async def answered():
            return (await at.get("SmtpConnector", "default"))["status"].get("lastHandledRequest") == "now-1"

        await eventually(answered)
        assert len(server.inbox.logins) == 2


async def test_a_suspended_connector_holds_mail_and_is_not_probed(control_plane, namespace):
    async with rig(control_plane, namespace) as at, Scripted([]) as server:
        await at.make("SmtpConnector", "default", spec(server.port, tls={"mode": "None"}, auth=None, suspend=True))
        await at.until("SmtpConnector", "default", "Ready", "False", "Suspended")
        held = await at.connectors.outlet(namespace, None, Use.MESSAGE)
        assert isinstance(held, Unavailable)
        assert held.reason == "Suspended"
        assert server.connections == 0


async def test_a_restart_believes_a_fresh_status_and_does_not_log_in_again(control_plane, namespace, authority):
    async with mail_server(tls=authority.server_context()) as server:
        insecure = spec(server.port, tls={"verification": "None"})
        async with rig(control_plane, namespace, insecure=True) as at:
            await at.secret("relay", LOGIN)
            await at.make("SmtpConnector", "default", insecure)
            await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        async with rig(control_plane, namespace, insecure=True) as again:
            again.see(await again.get("SmtpConnector", "default") | {"kind": "SmtpConnector"})
            await again.connectors.queue.idle()
            assert isinstance(await again.connectors.outlet(namespace, None, Use.MESSAGE), Outlet)
        assert len(server.inbox.logins) == 1


async def test_a_rotated_secret_is_noticed_without_the_right_to_watch_secrets(
    control_plane, namespace, authority, monkeypatch
):
    monkeypatch.setattr("watchbell.connectors.rotation.spacing_s", lambda count: 0.02)
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN | {"password": "wrong"})
        await at.make("SmtpConnector", "default", spec(server.port))
        await at.until("SmtpConnector", "default", "Stalled", "True", "CredentialsRejected")
        watch = asyncio.create_task(RotationWatch(at.client, at.connectors).run())
        try:
            change = {"data": {"password": base64.b64encode(CANARY.encode()).decode()}}
            await at.client.patch(SECRETS, "relay", change, namespace)
            await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def test_a_deleted_connector_is_forgotten(control_plane, namespace):
    async with rig(control_plane, namespace) as at, Scripted([]) as server:
        body = await at.make(
            "SmtpConnector", "default", spec(server.port, tls={"mode": "None"}, auth=None, suspend=True)
        )
        await at.until("SmtpConnector", "default", "Ready", "False", "Suspended")
        at.connectors.deleted(body)
        gone = await at.connectors.outlet(namespace, None, Use.MESSAGE)
        assert isinstance(gone, Unavailable)
        assert gone.reason == "ConnectorNotFound"
        assert at.connectors.dependencies() == ()


async def test_after_a_login_that_was_refused_while_sending_no_mail_goes_out_before_the_next_probe(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await with_ca(at, authority)
        await at.secret("relay", LOGIN)
        await at.make("SmtpConnector", "default", spec(server.port))
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        fault = Fault(StageName.AUTHENTICATE, Reason.CREDENTIALS_REJECTED, "535", RetryClass.C, is_permanent=True)
        at.connectors.report(ConnectorKey("SmtpConnector", namespace, "default"), fault)
        await at.connectors.queue.idle()
        held = await at.connectors.outlet(namespace, None, Use.MESSAGE)
        assert isinstance(held, Unavailable)
        assert "CredentialsRejected" in held.message
