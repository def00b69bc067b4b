"""What the outbox tells connectors stands in their status at once, and a fallback takes over by its own rules; on a real API server."""

from datetime import UTC, datetime, timedelta

import pytest

from connectorrig import KINDS, LOGIN, eventually, rig, spec
from smtprig import mail_server
from watchbell.api.reasons import Reason
from watchbell.api.times import stamp
from watchbell.kube.client import EVENTS
from watchbell.outbox.outlet import ConnectorKey, ConnectorRef, Outlet, Slowdown, Unavailable, Use
from watchbell.smtp.model import Fault, RetryClass, StageName

REFUSED = Fault(
    StageName.CONNECT, Reason.CONNECTION_REFUSED, "Nothing listens on the port.", RetryClass.A, is_permanent=False
)
LOGIN_REFUSED = Fault(
    StageName.AUTHENTICATE, Reason.CREDENTIALS_REJECTED, "The server rejects it: 535", RetryClass.C, is_permanent=True
)
PLAIN = {"tls": {"mode": "None"}, "auth": None}


def key(namespace, name="default", kind="SmtpConnector"):
    return ConnectorKey(kind, namespace, name)


async def ready(at, name, port, kind="SmtpConnector", **changes):
    await at.make(kind, name, spec(port, **(PLAIN | changes)))
    await at.until(kind, name, "Ready", "True", "Proven")


async def ask(at, name="default", kind="SmtpConnector", use=Use.MESSAGE):
    return await at.connectors.outlet(at.namespace, ConnectorRef(kind, name), use)


async def broken(at, name="default", fault=REFUSED):
    at.connectors.broken(key(at.namespace, name), fault)
    await at.until("SmtpConnector", name, "Ready", "False", str(fault.reason))


async def events(at, reason):
    await at.recorder.flushed()
    found = await at.client.list(EVENTS, at.namespace)
    return [(event["regarding"]["name"], event["note"]) for event in found if event["reason"] == reason]


async def test_a_relay_that_takes_no_mail_is_not_ready_at_once_and_again_after_a_probe(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "default", server.port)
        hellos = len(server.inbox.hellos)
        await broken(at)
        status = (await at.get("SmtpConnector", "default"))["status"]
        assert status["consecutiveFailures"] == 3
        assert [(stage["name"], stage["reason"]) for stage in status["stages"]] == [("Connect", "ConnectionRefused")]
        assert len(server.inbox.hellos) == hellos
        assert isinstance(await ask(at), Unavailable)
        at.ready.clear()
        at.proven.clear()
        await at.patch("SmtpConnector", "default", {"metadata": {"annotations": {"watchbell.dev/requested-at": "now"}}})
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        assert at.ready == at.proven == [key(namespace)]


async def test_a_threshold_above_the_breakers_keeps_the_connector_ready(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "default", server.port, probe={"failureThreshold": 10})
        at.connectors.broken(key(namespace), REFUSED)

        async def told():
            found = await at.conditions("SmtpConnector", "default")
            return found["Ready"] if "3 probe(s) failed" in found["Ready"][2] else None

        assert (await eventually(told))[:2] == ("True", "Proven")
        assert isinstance(await ask(at), Outlet)


async def test_a_login_that_was_refused_while_sending_is_not_tried_again_by_a_probe(control_plane, namespace):
    async with mail_server() as server, rig(control_plane, namespace, insecure=True) as at:
        await at.secret("relay", LOGIN)
        auth = {"secretRef": {"name": "relay"}, "plaintext": "Allow"}
        await ready(at, "default", server.port, auth=auth)
        logins = len(server.inbox.logins)
        at.ready.clear()
        # As the outbox does it: the one refusal is both.
        at.connectors.report(key(namespace), LOGIN_REFUSED)
        assert at.ready == [key(namespace)]
        await broken(at, fault=LOGIN_REFUSED)
        found = await at.conditions("SmtpConnector", "default")
        assert found["Stalled"][:2] == ("True", "CredentialsRejected")
        assert found["Authenticated"][:2] == ("False", "CredentialsRejected")
        due = datetime.fromisoformat((await at.get("SmtpConnector", "default"))["status"]["nextProbeTime"])
        assert due > datetime.now(UTC) + timedelta(minutes=14)
        assert len(server.inbox.logins) == logins


async def test_what_was_changed_since_is_probed_and_not_judged_by_the_old_send(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "default", server.port)
        at.connectors.broken(key(namespace), REFUSED)
        await at.patch("SmtpConnector", "default", {"spec": {"displayName": "another generation"}})

        async def probed():
            status = (await at.get("SmtpConnector", "default"))["status"]
            return status if status["observedGeneration"] == 2 else None

        await eventually(probed)
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")


async def test_a_slow_down_stands_in_the_status_until_it_is_over(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "default", server.port)
        now = datetime.now(UTC)
        wish = Slowdown(Reason.RATE_LIMITED, 15, now, now + timedelta(minutes=50))
        at.connectors.slowed(key(namespace), wish)

        async def shown():
            return (await at.get("SmtpConnector", "default"))["status"].get("slowdown")

        assert await eventually(shown) == {
            "reason": "RateLimited",
            "messagesPerMinute": 15,
            "startTime": stamp(now),
            "endTime": stamp(wish.end),
        }
        [(name, note)] = await events(at, "SlowedDown")
        assert name == "default"
        assert "15 messages a minute" in note
        at.connectors.slowed(key(namespace), Slowdown(Reason.QUOTA_EXCEEDED, 0, now, now))

        async def gone():
            return not await shown()

        await eventually(gone)
        assert (await at.conditions("SmtpConnector", "default"))["Ready"][:2] == ("True", "Proven")


async def test_a_new_limit_wakes_those_who_wait_for_it(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "default", server.port, limits={"messagesPerDay": 1})
        at.ready.clear()
        await at.patch("SmtpConnector", "default", {"spec": {"limits": {"messagesPerDay": 9}}})

        async def woken():
            return at.ready

        assert await eventually(woken) == [key(namespace)]
        outlet = await ask(at)
        assert [one.messages_per_day for one in outlet.limits.allowances] == [9]


# --- the fallback


async def test_a_fallback_takes_over_with_its_own_from_and_ends_when_the_connector_is_back(control_plane, namespace):
    async with (
        mail_server(has_auth=False) as server,
        mail_server(has_auth=False) as backup,
        rig(control_plane, namespace) as at,
    ):
        await ready(at, "backup", backup.port, **{"from": {"address": "backup@example.org"}})
        fallback = {"fallbackRef": {"kind": "SmtpConnector", "name": "backup"}}
        await ready(at, "default", server.port, **fallback)
        own = await ask(at)
        assert (own.key, own.stands_in_for) == (key(namespace), None)
        await broken(at)
        other = await ask(at)
        assert (other.key, other.stands_in_for) == (key(namespace, "backup"), key(namespace))
        assert (other.sender.address, other.relay.port) == ("backup@example.org", backup.port)
        await ask(at)
        [(name, note)] = await events(at, "FallbackUsed")
        assert name == "default"
        assert f"SmtpConnector/{namespace}/backup" in note
        assert "ConnectionRefused" in note
        await at.patch("SmtpConnector", "default", {"metadata": {"annotations": {"watchbell.dev/requested-at": "now"}}})
        await at.until("SmtpConnector", "default", "Ready", "True", "Proven")
        assert (await ask(at)).stands_in_for is None
        assert len(await events(at, "FallbackEnded")) == 1


async def test_a_suspended_connector_holds_its_mail_whatever_its_fallback(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "backup", server.port)
        fallback = {"kind": "SmtpConnector", "name": "backup"}
        await at.make("SmtpConnector", "default", spec(server.port, suspend=True, fallbackRef=fallback, **PLAIN))
        await at.until("SmtpConnector", "default", "Ready", "False", "Suspended")
        held = await ask(at)
        assert held.reason is Reason.SUSPENDED


async def test_a_fallback_that_cannot_take_over_is_named_with_its_reason(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        for name, other in (("default", "missing"), ("a", "b"), ("b", "c"), ("same", "twin")):
            await ready(
                at, name, server.port, fallbackRef={"kind": "SmtpConnector", "name": other}, helloName=f"{name}.test"
            )
        await ready(at, "c", server.port)
        await ready(at, "twin", server.port)
        for name in ("default", "a", "b", "same"):
            await broken(at, name)
        cases = {
            "default": ("FallbackNotFound", "there is no SmtpConnector"),
            "a": ("FallbackNotReady", "its own fallbackRef is not followed"),
            "same": ("FallbackIsItself", "is the same server with the same login"),
        }
        for name, (reason, words) in cases.items():
            held = await ask(at, name)
            assert isinstance(held, Unavailable)
            assert held.reason is Reason.CONNECTOR_NOT_READY
            assert f"does not take over ({reason})" in held.message
            assert words in held.message


async def test_a_connector_that_names_itself_is_not_accepted(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        fallback = {"kind": "SmtpConnector", "name": "default"}
        await at.make("SmtpConnector", "default", spec(server.port, fallbackRef=fallback, **PLAIN))
        found = await at.until("SmtpConnector", "default", "Accepted", "False", "FallbackIsItself")
        assert found["Stalled"][0] == "True"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"allowedNamespaces": {"from": "Names", "names": ["elsewhere"]}}, "NamespaceNotAllowed"),
        ({"allowedNamespaces": {"from": "All"}, "allowedUses": ["Alert"]}, "UseNotAllowed"),
        ({"allowedNamespaces": {"from": "All"}, "allowedFromAddresses": ["*@other.example"]}, ""),
        ({"allowedNamespaces": {"from": "All"}, "allowedFromAddresses": ["*@example.com"]}, "keeps the From"),
    ],
    ids=["namespace", "use", "another From", "the same From"],
)
async def test_the_rules_of_a_cluster_connector_hold_when_it_takes_over(control_plane, namespace, rules, words):
    cluster = f"backup-{namespace}"
    async with (
        mail_server(has_auth=False) as server,
        mail_server(has_auth=False) as backup,
        rig(control_plane, namespace) as at,
    ):
        sender = {"from": {"address": "cluster@other.example"}}
        await ready(at, cluster, backup.port, "ClusterSmtpConnector", **(rules | sender))
        try:
            await ready(at, "default", server.port, fallbackRef={"kind": "ClusterSmtpConnector", "name": cluster})
            await broken(at)
            answer = await ask(at)
            if words.endswith("Allowed"):
                assert isinstance(answer, Unavailable)
                assert f"does not take over ({words})" in answer.message
            else:
                assert answer.key == key("", cluster, "ClusterSmtpConnector")
                own = (await at.get("SmtpConnector", "default"))["spec"]["from"]["address"]
                assert answer.sender.address == (own if words else "cluster@other.example")
        finally:
            await at.client.delete(KINDS["ClusterSmtpConnector"], cluster)


async def test_those_who_wait_hear_of_a_fallback_that_became_ready(control_plane, namespace):
    async with mail_server(has_auth=False) as server, rig(control_plane, namespace) as at:
        await ready(at, "default", server.port, fallbackRef={"kind": "SmtpConnector", "name": "backup"})
        await broken(at)
        at.ready.clear()
        async with mail_server(has_auth=False) as backup:
            await ready(at, "backup", backup.port)
            assert key(namespace) in at.ready
            assert isinstance(await ask(at), Outlet)
