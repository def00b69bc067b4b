"""EmailMessages on a real API server through real SMTP servers: what is sent, to whom, and what the object says afterwards."""

import asyncio
import email
import email.policy

import pytest
import trustme

from kuberig import proxied
from outboxrig import MESSAGES, Desk, Outlets, condition, desk, message, outlet, until
from smtprig import Authority, mail_server, password, relay
from watchbell.api.reasons import Reason
from watchbell.outbox.outlet import ConnectorKey, Unavailable
from watchbell.smtp.model import TlsMode, TlsPlan


@pytest.fixture(scope="module")
def authority():
    return Authority(trustme.CA())


async def test_a_message_is_sent_once_over_tls_and_settled(control_plane, namespace, authority):
    async with mail_server(tls=authority.server_context()) as server:
        at = relay(
            server.port,
            tls=TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem, server_name="localhost"),
            auth=password(plaintext_allowed=False),
        )
        async with desk(control_plane, namespace, Outlets(outlet(at))) as one:
            await one.send(message("hello", "a@example.org", bcc=["b@example.org"], cc=["Carl <c@example.org>"]))
            status = await one.finished("hello")
            await until(lambda: one.outbox.queue_depth == 0)
    [(sender, recipients, raw)] = server.inbox.messages
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert sender == "alerts@example.com"
    assert recipients == ["a@example.org", "c@example.org", "b@example.org"]
    assert mail["Bcc"] is None
    assert mail["Message-ID"] == status["messageID"]
    assert condition(status)["status"] == "True"
    assert condition(status)["reason"] == "AcceptedByServer"
    assert status["attempts"] == 1
    assert status["observedGeneration"] == 1
    assert [result["result"] for result in status["recipientResults"]] == ["Accepted"] * 3
    assert "queued as 1" in status["serverResponse"]
    assert not condition(status, "Reconciling")
    assert not condition(status, "Stalled")


async def test_a_message_of_another_workload_comes_by_the_watch(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(message("theirs"), hand_in=False)
        status = await one.finished("theirs")
    assert condition(status)["status"] == "True"
    assert len(server.inbox.messages) == 1


async def test_one_connection_serves_many_messages(control_plane, namespace):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port, max_connections=1))) as one,
    ):
        for i in range(12):
            await one.send(message(f"m{i}"))
        for i in range(12):
            await one.finished(f"m{i}")
        assert one.outbox._connections.opened == 1
        await until(lambda: one.outbox.queue_depth == 0)
        # Once for each time that the session was given back, not after each mail: one that was taken leaves nothing behind.
        await one.status("m0", lambda _: 1 <= server.inbox.resets <= 12)
    assert len(server.inbox.messages) == 12
    assert len(server.inbox.logins) == 1


async def test_a_relay_that_is_down_gets_the_mail_once_when_it_is_up(control_plane, namespace):
    outlets = Outlets(outlet(1))
    async with desk(control_plane, namespace, outlets) as one:
        await one.send(message("patient"))
        waiting = await one.status("patient", lambda status: status.get("attempts", 0) >= 2)
        assert condition(waiting)["status"] == "Unknown"
        assert condition(waiting)["reason"] == "Retrying"
        assert condition(waiting, "Reconciling")["status"] == "True"
        assert outlets.reports[0][1].reason is Reason.CONNECTION_REFUSED
        async with mail_server() as server:
            outlets.answer = outlet(server.port)
            status = await one.finished("patient")
            assert status["attempts"] > waiting["attempts"]
            assert len(server.inbox.messages) == 1


async def test_a_refused_recipient_is_not_tried_again_and_the_others_get_the_mail(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        seen = []

        def answer(address):
            seen.append(address)
            if address == "gone@example.org":
                return "550 5.1.1 no such user"
            return "451 4.3.0 later" if address == "late@example.org" and seen.count(address) < 3 else ""

        server.inbox.replies["RCPT"] = answer
        await one.send(message("mixed", "a@example.org", "gone@example.org", "late@example.org"))
        status = await one.finished("mixed")
        assert seen.count("gone@example.org") == 1
        assert seen.count("a@example.org") == 1
        assert seen.count("late@example.org") == 3
    results = status["recipientResults"]
    assert [one["result"] for one in results] == ["Accepted", "Refused", "Accepted"]
    assert (results[1]["code"], results[1]["enhancedCode"], results[1]["reason"]) == (550, "5.1.1", "RecipientUnknown")
    assert condition(status)["reason"] == "RecipientsRefused"
    assert condition(status, "Stalled")["status"] == "True"
    assert [recipients for _, recipients, _ in server.inbox.messages] == [["a@example.org"], ["late@example.org"]]


async def test_greylisting_is_waited_out_with_the_same_bytes(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        tries = []

        def answer(address):
            tries.append(address)
            return "450 4.7.1 greylisted, come back" if len(tries) == 1 else ""

        server.inbox.replies["RCPT"] = answer
        await one.send(message("grey"))
        status = await one.finished("grey")
    assert status["attempts"] == 2
    assert condition(status)["status"] == "True"


async def test_a_refused_content_ends_the_message(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        server.inbox.replies["DATA"] = lambda _: "554 5.7.1 message looks like spam"
        await one.send(message("spam"))
        status = await one.finished("spam")
    assert condition(status)["reason"] == "MessageRejected"
    assert condition(status, "Stalled")["reason"] == "MessageRejected"
    assert status["attempts"] == 1


async def test_messages_wait_for_a_suspended_connector_without_an_attempt(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(Unavailable(Reason.SUSPENDED, "The connector is suspended."))
        async with desk(control_plane, namespace, outlets) as one:
            await one.send(message("held", connector="main"))
            status = await one.status("held", lambda status: condition(status).get("reason") == "Suspended")
            assert status["attempts"] == 0
            assert "nextAttemptTime" not in status
            outlets.answer = outlet(server.port)
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
            status = await one.finished("held")
            assert condition(status)["status"] == "True"
            assert status["attempts"] == 1


async def test_a_message_ends_at_its_deadline_even_while_it_is_held(control_plane, namespace):
    outlets = Outlets(Unavailable(Reason.CONNECTOR_NOT_READY, "The connector is not ready."))
    async with desk(control_plane, namespace, outlets) as one:
        await one.send(message("late", activeDeadlineSeconds=1))
        status = await one.finished("late")
    assert condition(status)["reason"] == "DeadlineExceeded"
    assert condition(status, "Stalled")["status"] == "True"
    assert status["attempts"] == 0


async def test_a_standby_sends_nothing(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        one.is_leader = False
        await one.send(message("quiet"))
        await until(lambda: one.outbox.is_synced)
        await asyncio.sleep(0.3)
        assert not server.inbox.messages
        assert one.outlets.asked == 0
        one.is_leader = True
        await one.finished("quiet")
        assert len(server.inbox.messages) == 1


async def test_a_lease_lost_before_the_body_stops_the_mail(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:

        def lose(address):
            one.is_leader = False
            return ""

        server.inbox.replies["RCPT"] = lose
        await one.send(message("stopped"))
        await until(lambda: not one.is_leader)
        await until(lambda: one.outbox._senders.busy == 0)
        assert not server.inbox.messages
        del server.inbox.replies["RCPT"]
        one.is_leader = True
        status = await one.finished("stopped")
        assert status["attempts"] == 1
        assert len(server.inbox.messages) == 1


async def test_a_message_that_cannot_be_built_is_refused_with_its_field(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(message("bad", "ops@example.org", cc=["a..b@example.org"]))
        status = await one.finished("bad")
        assert server.inbox.hellos == []
    assert condition(status)["reason"] == "InvalidMessage"
    assert condition(status)["message"].startswith("spec.cc[0]: ")


async def test_a_mail_larger_than_the_connector_takes_is_not_tried(control_plane, namespace):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port, max_message_bytes=500))) as one,
    ):
        await one.send(message("big", body={"text": "x" * 1000}))
        status = await one.finished("big")
        assert server.inbox.hellos == []
    assert condition(status)["reason"] == "MessageTooLarge"


async def test_recipients_are_split_by_the_connectors_limit(control_plane, namespace):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port, max_recipients_per_message=2))) as one,
    ):
        await one.send(message("many", *(f"u{i}@example.org" for i in range(5))))
        status = await one.finished("many")
    assert [len(recipients) for _, recipients, _ in server.inbox.messages] == [2, 2, 1]
    assert len({raw for _, _, raw in server.inbox.messages}) == 1
    assert condition(status)["status"] == "True"


async def test_a_recipient_outside_of_the_policy_is_refused_by_ourselves(control_plane, namespace):
    limits = {"allowed_domains": ("example.org",)}
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port, **limits))) as one:
        await one.send(message("policy", "in@example.org", "out@example.net"))
        status = await one.finished("policy")
    assert [recipients for _, recipients, _ in server.inbox.messages] == [["in@example.org"]]
    assert [result["result"] for result in status["recipientResults"]] == ["Accepted", "Refused"]


async def test_a_deleted_message_is_not_sent(control_plane, namespace):
    outlets = Outlets(Unavailable(Reason.CONNECTOR_NOT_READY, "not yet"))
    async with mail_server() as server, desk(control_plane, namespace, outlets) as one:
        await one.send(message("cancelled"))
        await one.status("cancelled", condition)
        await one.client.delete(MESSAGES, "cancelled", namespace)
        await until(lambda: one.outbox.queue_depth == 0)
        outlets.answer = outlet(server.port)
        one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "default"))
        await one.send(message("next"))
        await one.finished("next")
        assert len(server.inbox.messages) == 1


async def test_a_finished_message_is_deleted_after_its_time_to_live(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(message("short", ttlSecondsAfterFinished=0))
        await one.send(message("kept"))
        await one.finished("kept")
        await one.deleted("short")
        await one.read("kept")
    assert len(server.inbox.messages) == 2


async def test_a_server_that_hung_up_on_an_idle_connection_costs_no_attempt(control_plane, namespace):
    async with mail_server(timeout=0.2) as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        for name in ("first", "second"):
            await one.send(message(name))
            status = await one.finished(name)
            assert status["attempts"] == 1
            await asyncio.sleep(0.5)
    assert len(server.inbox.messages) == 2


async def test_the_hot_path_needs_one_handshake_and_one_login_for_many_mails(control_plane, namespace, authority):
    async with mail_server(tls=authority.server_context()) as server:
        at = relay(server.port, tls=TlsPlan(ca_pem=authority.pem, server_name="localhost"), auth=password())
        async with desk(control_plane, namespace, Outlets(outlet(at, max_connections=1))) as one:
            for i in range(25):
                await one.send(message(f"q{i}"))
                await one.finished(f"q{i}")
    assert len(server.inbox.messages) == 25
    # The kept connection is closed after a quiet while, which a busy machine may need between two mails.
    assert len(server.inbox.logins) < 5
    assert len(server.inbox.hellos) == 2 * len(server.inbox.logins)


async def test_a_message_that_the_watch_brings_is_read_from_the_api_server_only_if_another_process_may_have_sent_it(
    control_plane, namespace
):
    async with mail_server() as server, proxied(control_plane) as (proxy, client):
        await client.create(MESSAGES, message("early"), namespace)
        one = Desk(client, namespace, Outlets(outlet(server.port)))
        one.start()
        await until(lambda: len(server.inbox.messages) == 1)
        await one.send(message("late"), hand_in=False)
        await until(lambda: len(server.inbox.messages) == 2)
        read = [request.path.rsplit("/", 1)[1] for request in proxy.requests if request.method == "GET"]
        await one.kill()

    assert read.count("early") == 1
    assert read.count("late") == 0
    assert b"Something happened." in server.inbox.messages[1][2]
