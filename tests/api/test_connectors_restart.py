"""What connectors do again after a restart and what not, and what children take from their parent: logins are counted, accounts get locked."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from connectorrig import API, KINDS, LOGIN, eventually, rig, spec
from smtprig import CANARY, Authority, mail_server
from watchbell.kube.client import CONFIGMAPS, SECRETS, custom
from watchbell.outbox.outlet import Outlet, Use


@pytest.fixture(scope="module")
def authority():
    return Authority(trustme.CA())


async def prepared(at, authority, **login):
    await at.client.create(CONFIGMAPS, {"metadata": {"name": "ca"}, "data": {"ca.crt": authority.pem}}, at.namespace)
    await at.secret("relay", LOGIN | login)


async def seen_again(at, *names, kind="SmtpConnector"):
    for name in names:
        at.see(await at.get(kind, name) | {"kind": kind})
    await at.connectors.queue.idle()


async def events(at):
    """The reasons of all Events of the namespace."""
    listed = await at.client.raw_get(f"/apis/events.k8s.io/v1/namespaces/{at.namespace}/events")
    return sorted(event["reason"] for event in json.loads(listed)["items"])


async def test_a_restart_believes_a_connector_with_a_private_ca_until_that_ca_changes(
    control_plane, namespace, authority
):
    async with mail_server(tls=authority.server_context()) as server:
        async with rig(control_plane, namespace) as at:
            await prepared(at, authority)
            await at.make("SmtpConnector", "default", spec(server.port))
            await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        async with rig(control_plane, namespace) as again:
            await seen_again(again, "default")
            assert isinstance(await again.connectors.outlet(namespace, None, Use.MESSAGE), Outlet)
            assert len(server.inbox.logins) == 1
            other = Authority(trustme.CA())
            await again.client.patch(CONFIGMAPS, "ca", {"data": {"ca.crt": other.pem}}, namespace)
        async with rig(control_plane, namespace) as at_last:
            await seen_again(at_last, "default")
            await at_last.until("SmtpConnector", "default", "Ready", "False", "CertificateUntrusted")


async def test_a_restart_tries_no_wrong_password_again_before_its_time(control_plane, namespace, authority):
    async with mail_server(tls=authority.server_context()) as server:
        async with rig(control_plane, namespace) as at:
            await prepared(at, authority, password="wrong")
            await at.make("SmtpConnector", "default", spec(server.port))
            await at.until("SmtpConnector", "default", "Stalled", "True", "CredentialsRejected")
            before = (await at.get("SmtpConnector", "default"))["status"]
        for _ in range(3):
            async with rig(control_plane, namespace) as again:
                await seen_again(again, "default")
                held = await again.connectors.outlet(namespace, None, Use.MESSAGE)
                assert "CredentialsRejected" in held.message
        assert len(server.inbox.logins) == 1
        async with rig(control_plane, namespace) as at_last:
            assert (await at_last.get("SmtpConnector", "default"))["status"] == before
            await at_last.client.patch(SECRETS, "relay", {"stringData": {"password": CANARY}}, namespace)
            await seen_again(at_last, "default")
            await at_last.until("SmtpConnector", "default", "Ready", "True", "Proven")


async def test_a_wrong_password_of_a_parent_is_tried_once_and_not_once_for_each_child(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await prepared(at, authority, password="wrong")
        parent = f"corp-{namespace}"
        children = [f"child-{n}" for n in range(5)]
        await at.make("ClusterSmtpConnector", parent, spec(server.port, allowedNamespaces={"from": "All"}))
        try:
            for child in children:
                await at.make("SmtpConnector", child, {"parentRef": {"name": parent}})
            for child in children:
                found = await at.until("SmtpConnector", child, "Ready", "False", "CredentialsRejected")
                assert f"ClusterSmtpConnector/{parent}" in found["Ready"][2]
                assert found["Stalled"][0] == "True"
            assert len(server.inbox.logins) == 1
            await at.client.patch(SECRETS, "relay", {"stringData": {"password": CANARY}}, namespace)
            at.connectors.dependency_changed("Secret", namespace, "relay")
            for child in children:
                await at.until("SmtpConnector", child, "Ready", "True", "Proven")
        finally:
            await at.client.delete(custom("clustersmtpconnectors", namespaced=False), parent)


async def test_children_come_back_when_the_server_takes_their_parents_password_again(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await prepared(at, authority)
        parent = f"corp-{namespace}"
        server.inbox.refuses_logins = True
        await at.make("ClusterSmtpConnector", parent, spec(server.port, allowedNamespaces={"from": "All"}))
        try:
            await at.make("SmtpConnector", "child", {"parentRef": {"name": parent}})
            await at.until("SmtpConnector", "child", "Ready", "False", "CredentialsRejected")
            assert len(server.inbox.logins) == 1
            server.inbox.refuses_logins = False
            await at.patch(
                "ClusterSmtpConnector", parent, {"metadata": {"annotations": {"watchbell.dev/requested-at": "1"}}}
            )
            await at.until("SmtpConnector", "child", "Ready", "True", "Proven")
        finally:
            await at.client.delete(custom("clustersmtpconnectors", namespaced=False), parent)


async def test_events_tell_transitions_only_also_over_a_restart(control_plane, namespace):
    authority = Authority(trustme.CA())
    leaf = authority.ca.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=5))
    async with mail_server(tls=authority.server_context(leaf=leaf)) as server:
        async with rig(control_plane, namespace) as at:
            await at.make("SmtpConnector", "default", spec(server.port))
            await at.until("SmtpConnector", "default", "ResolvedRefs", "False", "SecretNotFound")
            await prepared(at, authority)
            at.connectors.dependency_changed("Secret", namespace, "relay")
            await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
            told = ["CertificateExpiring", "ProbeFailed", "ProbeSucceeded"]

            async def are_told():
                return await events(at) == told

            await eventually(are_told)
        async with rig(control_plane, namespace) as again:
            request = {"metadata": {"annotations": {"watchbell.dev/requested-at": "now"}}}
            again.see(await again.client.patch(KINDS["SmtpConnector"], "default", request, namespace))

            async def is_answered():
                return (await again.get("SmtpConnector", "default"))["status"].get("lastHandledRequest") == "now"

            await eventually(is_answered)
            await again.recorder.flushed()
            assert len(server.inbox.logins) == 2
            assert await events(again) == told


async def test_a_child_that_is_heard_of_before_its_parent_does_not_say_that_there_is_none(
    control_plane, namespace, authority
):
    async with mail_server(tls=authority.server_context()) as server:
        parent = f"corp-{namespace}"
        async with rig(control_plane, namespace) as at:
            await prepared(at, authority)
            await at.make("ClusterSmtpConnector", parent, spec(server.port, allowedNamespaces={"from": "All"}))
            await at.make("SmtpConnector", "child", {"parentRef": {"name": parent}})
            await at.until("SmtpConnector", "child", "Ready", "True", "Proven")
            before = (await at.get("SmtpConnector", "child"))["status"]
        try:
            async with rig(control_plane, namespace) as again:
                await seen_again(again, "child")
                assert (await again.get("SmtpConnector", "child"))["status"] == before
                assert len(server.inbox.logins) == 2
        finally:
            async with rig(control_plane, namespace) as at:
                await at.client.delete(KINDS["ClusterSmtpConnector"], parent)


async def test_a_test_that_is_heard_of_before_its_connector_is_not_refused_for_good(
    control_plane, namespace, authority
):
    async with rig(control_plane, namespace) as at, mail_server(tls=authority.server_context()) as server:
        await prepared(at, authority)
        body = {"apiVersion": API, "kind": "SmtpConnector", "metadata": {"name": "default"}, "spec": spec(server.port)}
        await at.client.create(KINDS["SmtpConnector"], body, namespace)
        await at.make("SmtpTest", "t", {"level": "Authenticate"})
        await at.until("SmtpTest", "t", "Succeeded", "True", "StagesPassed")
