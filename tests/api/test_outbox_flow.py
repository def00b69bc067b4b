"""Limits, a provider's pace and breakers on a real API server with real SMTP servers: who waits, what is told, and that nothing is dropped."""

import asyncio
import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kuberig import client_of
from operatorrig import slow_data
from outboxrig import MESSAGES, Desk, Outlets, condition, desk, limited, message, outlet, until
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server, password, relay
from watchbell.api.reasons import Reason
from watchbell.kube.client import CONFIGMAPS, EVENTS
from watchbell.kube.events import EventRecorder
from watchbell.mail.address import Mailbox
from watchbell.outbox.limits.counts import COUNTS_NAME, LINES
from watchbell.outbox.outlet import ConnectorKey, Unavailable
from watchbell.smtp.model import Timeouts


@pytest.fixture
async def client(control_plane):
    async with client_of(control_plane) as made:
        yield made


def says(reason):
    return lambda status: condition(status).get("reason") == reason


def moment(text):
    return datetime.fromisoformat(text)


async def subjects(server, count):
    await until(lambda: len(server.inbox.messages) >= count)
    return [raw.split(b"Subject: About ")[1].split(b"\r\n")[0].decode() for _, _, raw in server.inbox.messages]


# --- limits


async def test_what_is_over_the_limit_waits_without_an_attempt_and_goes_in_the_next_window(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_minute=3))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(5):
                await one.send(message(f"m{i}"))
            told = await one.status("m4", says("RateLimited"))
            assert told["attempts"] == 0
            assert moment(told["nextAttemptTime"]) <= datetime.now(UTC) + timedelta(seconds=62)
            assert condition(told)["status"] == "Unknown"
            assert "limits.messagesPerMinute (3) of SmtpConnector/apps/main" in condition(told)["message"]
            await one.status("m3", says("RateLimited"))
            for i in range(3):
                await one.finished(f"m{i}")
            assert len(server.inbox.messages) == 3
            one.skip(62)
            for i in range(5):
                done = await one.finished(f"m{i}")
                assert done["attempts"] == 1
                assert "nextAttemptTime" not in done
    assert sorted(await subjects(server, 5)) == [f"m{i}" for i in range(5)]


async def test_what_a_slow_relay_leaves_of_a_limit_is_used_at_once(control_plane, namespace):
    async with mail_server() as server:
        # Longer than a sender keeps what it took for later: that goes back into the queue, and with it what the limit granted.
        slow_data(server.inbox, 1.3)
        outlets = Outlets(limited(server.port, messages_per_day=3))
        async with desk(control_plane, namespace, outlets, connections_each=1) as one:
            for i in range(5):
                await one.send(message(f"m{i}"))
            await until(lambda: len(server.inbox.messages) == 3, 30)
            await one.status("m4", says("RateLimited"))


async def test_what_comes_while_a_connector_waits_is_told_when_its_turn_is_expected(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_minute=1))
        async with desk(control_plane, namespace, outlets) as one:
            await one.send(message("first"))
            await one.finished("first")
            await one.send(message("second"))
            second = await one.status("second", says("RateLimited"))
            for name in ("third", "fourth"):
                await one.send(message(name), hand_in=False)
            third, fourth = [await one.status(name, says("RateLimited")) for name in ("third", "fourth")]
            times = [moment(status["nextAttemptTime"]) for status in (second, third, fourth)]
            assert times == sorted(times)
            assert times[2] - times[0] >= timedelta(seconds=60)
            assert one.outlets.asked <= 3


async def test_high_goes_through_while_the_others_have_used_up_their_part(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_minute=10))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(10):
                await one.send(message(f"m{i}"))
            await one.status("m9", says("RateLimited"))
            await one.send(message("urgent", priority="High"))
            await one.finished("urgent")
            await one.send(message("urgent-too", priority="High"))
            await one.status("urgent-too", says("RateLimited"))
            await until(lambda: one.outbox._senders.busy == 0)
            assert len(server.inbox.messages) == 10


async def test_a_message_in_line_ends_at_its_deadline_and_not_when_the_day_is_over(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_day=1))
        async with desk(control_plane, namespace, outlets) as one:
            await one.send(message("first"))
            await one.finished("first")
            await one.send(message("late", activeDeadlineSeconds=3))
            await one.status("late", says("RateLimited"))
            status = await one.finished("late")
    assert condition(status)["reason"] == "DeadlineExceeded"
    assert status["attempts"] == 0


async def test_a_higher_limit_moves_the_line_at_once(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_day=1))
        async with desk(control_plane, namespace, outlets) as one:
            for name in ("a", "b", "c"):
                await one.send(message(name, connector="main"))
            await one.status("c", says("RateLimited"))
            outlets.answer = limited(server.port, messages_per_day=5)
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
            for name in ("b", "c"):
                await one.finished(name)


async def test_a_deleted_message_leaves_the_line(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_minute=1))
        async with desk(control_plane, namespace, outlets) as one:
            for name in ("a", "b", "c"):
                await one.send(message(name))
            await one.status("c", says("RateLimited"))
            await one.client.delete(MESSAGES, "b", namespace)
            await until(lambda: one.outbox.queue_depth == 1)
            one.skip(62)
            await one.finished("c")
    assert await subjects(server, 2) == ["a", "c"]


async def test_recipients_are_counted_and_large_messages_split_so_that_they_fit(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, recipients_per_day=20))
        async with desk(control_plane, namespace, outlets) as one:
            await one.send(message("many", *(f"u{i}@example.org" for i in range(30)), activeDeadlineSeconds=200_000))
            told = await one.status("many", says("RateLimited"))
            assert sum(result["result"] == "Accepted" for result in told["recipientResults"]) == 18
            one.skip(86_400 + 1801)
            await one.finished("many", 20)
    assert [len(recipients) for _, recipients, _ in server.inbox.messages] == [18, 12]


async def test_two_connectors_share_what_their_parent_allows(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(
            outlet(server.port),
            a=limited(server.port, "parent", messages_per_minute=3),
            b=limited(server.port, "parent", messages_per_minute=3),
        )
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(4):
                await one.send(message(f"m{i}", connector="ab"[i % 2]))
                await one.status(f"m{i}", condition)
            assert condition((await one.read("m3"))["status"])["reason"] == "RateLimited"
    assert len(server.inbox.messages) == 3


# --- counts that survive


async def kept(client, namespace):
    found = await client.get(CONFIGMAPS, COUNTS_NAME, namespace)
    return (found.get("data") or {})[LINES]


async def test_the_days_count_survives_kill_9(client, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_day=6))
        first = Desk(client, namespace, outlets)
        first.start()
        for i in range(3):
            await first.send(message(f"m{i}"))
            await first.finished(f"m{i}")
        await until(lambda: first.outbox._counts.writes and not first.outbox._gate.budgets.is_due)
        await first.crash()
        second = Desk(client, namespace, outlets)
        second.start()
        try:
            for i in range(3, 8):
                await second.send(message(f"m{i}"))
            await second.status("m7", says("RateLimited"))
            await until(lambda: second.outbox._senders.busy == 0)
            # One too many may count as sent, never one too few.
            assert len(server.inbox.messages) == 5
        finally:
            await second.kill()


async def test_an_orderly_stop_keeps_the_exact_count_and_the_providers_pace(client, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_day=4))
        first = Desk(client, namespace, outlets)
        first.start()
        for i in range(2):
            await first.send(message(f"m{i}"))
            await first.finished(f"m{i}")
        server.inbox.replies["MAIL"] = lambda _: "451 4.7.0 too many messages, slow down"
        await first.send(message("slow", connector="main"))
        await until(lambda: outlets.slowdowns)
        await first.kill()
        server.inbox.replies.clear()
        await client.delete(MESSAGES, "slow", namespace)
        second = Desk(client, namespace, outlets)
        second.start()
        try:
            await until(lambda: second.outbox._gate.paces)
            assert second.outbox._gate.paces == first.outbox._gate.paces
            second.skip(1)
            for i in range(2, 5):
                await second.send(message(f"m{i}"))
            status = await second.status("m4", says("RateLimited"))
            assert status["attempts"] == 0
            second.skip(62)
            await second.finished("m2")
        finally:
            await second.kill()


async def test_counting_costs_no_write_a_mail(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_day=10_000))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(120):
                await one.send(message(f"m{i}"))
            for i in range(120):
                await one.finished(f"m{i}", 60)
            await until(lambda: not one.outbox._gate.budgets.is_due)
            assert 1 <= one.outbox._counts.writes <= 4
            assert "SmtpConnector/apps/main" in await kept(one.client, namespace)
            assert server.inbox.logins[0][2] not in await kept(one.client, namespace)


async def test_counts_that_somebody_edits_or_deletes_hold_no_mail_up(client, namespace):
    body = {"metadata": {"name": COUNTS_NAME}, "data": {LINES: 'nonsense\n{"scope":7}'}}
    await client.create(CONFIGMAPS, body, namespace)
    async with mail_server() as server:
        one = Desk(client, namespace, Outlets(limited(server.port, messages_per_day=50)))
        one.start()
        try:
            await one.send(message("a"))
            await one.finished("a")
            await until(lambda: one.outbox._counts.writes == 1)
            await client.delete(CONFIGMAPS, COUNTS_NAME, namespace)
            await one.send(message("b"))
            await one.finished("b")
            await until(lambda: one.outbox._counts.writes == 2)
            assert '"messages":' in await kept(client, namespace)
        finally:
            await one.kill()


# --- the provider's own wishes


async def test_a_provider_that_complains_is_sent_half_as_much(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(outlet(server.port, max_connections=1))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(8):
                await one.send(message(f"m{i}"))
                await one.finished(f"m{i}")
            server.inbox.replies["MAIL"] = lambda _: "421 4.7.0 too many messages, slow down"
            await one.send(message("refused"))
            await until(lambda: outlets.slowdowns)
            server.inbox.replies.clear()
            [(_, slowdown)] = outlets.slowdowns
            assert slowdown.reason is Reason.RATE_LIMITED
            assert slowdown.messages_per_minute == 4
            await one.send(message("next"))
            told = await one.status("next", says("RateLimited"))
            assert "asked SmtpConnector/apps/main to slow down, to 4 messages a minute" in condition(told)["message"]
            one.skip(62)
            await one.finished("next")
            await one.finished("refused")


async def test_a_quota_that_is_used_up_holds_all_mail_of_the_login(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(outlet(server.port))
        async with desk(control_plane, namespace, outlets) as one:
            server.inbox.replies["DATA"] = lambda _: "550 5.4.5 Daily user sending limit exceeded"
            one.outbox._gate._schedule = type(one.outbox._gate._schedule)()
            await one.send(message("first"))
            await until(lambda: outlets.slowdowns)
            assert outlets.slowdowns[0][1].reason is Reason.QUOTA_EXCEEDED
            server.inbox.replies.clear()
            await one.send(message("second"))
            told = await one.status("second", says("RateLimited"))
            assert "quota of SmtpConnector/apps/main is used up" in condition(told)["message"]
            assert moment(told["nextAttemptTime"]) > datetime.now(UTC) + timedelta(hours=5)
            one.skip(6 * 3600 + 1)
            await one.finished("second")
            await one.finished("first")


# --- the breaker


async def test_a_dead_relay_is_left_alone_and_its_mail_keeps_its_attempts(control_plane, namespace):
    async with mail_server() as server:
        port = server.port
    outlets = Outlets(outlet(port))
    async with desk(control_plane, namespace, outlets, connections_each=1) as one:
        for i in range(3):
            await one.send(message(f"m{i}"))
        await until(lambda: outlets.breaks, 40)
        [(key, fault)] = outlets.breaks
        assert (key.name, fault.reason) == ("main", Reason.CONNECTION_REFUSED)
        assert one.outbox.open_breakers == 1
        await one.send(message("later"))
        told = await one.status("later", says("ConnectorNotReady"))
        assert told["attempts"] == 0
        assert (
            "its relay is left alone for a while; the last failure was ConnectionRefused" in condition(told)["message"]
        )
        tried = len(outlets.reports)
        await asyncio.sleep(0.5)
        assert len(outlets.reports) == tried
        async with mail_server() as server:
            outlets.answer = outlet(server.port)
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "default"))
            for name in ("m0", "m1", "m2", "later"):
                await one.finished(name)
            assert len(server.inbox.messages) == 4


async def test_one_mail_finds_out_whether_the_relay_is_back_and_then_all_go(control_plane, namespace):
    busy = (b"421 4.3.0 not now\r\n", "close")
    async with Scripted(busy) as relay_down, mail_server() as server:
        outlets = Outlets(outlet(relay_down.port, max_connections=1))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(6):
                await one.send(message(f"m{i}"))
            await until(lambda: one.outbox.open_breakers == 1, 40)
            await one.status("m5", says("ConnectorNotReady"))
            connections = relay_down.connections
            one.skip(31)
            await until(lambda: relay_down.connections == connections + 1)
            await asyncio.sleep(0.3)
            assert relay_down.connections == connections + 1
            outlets.answer = outlet(server.port)
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "default"))
            for i in range(6):
                await one.finished(f"m{i}")


async def test_a_probe_that_passed_opens_the_way_before_the_rest_is_over(control_plane, namespace):
    busy = (b"421 4.3.0 not now\r\n", "close")
    takes = (GREET, "r", ehlo(), "r", OK, "r", OK, "r", b"354 go\r\n", "data", OK, *BYE)
    async with Scripted(busy, busy, busy, takes) as server:
        outlets = Outlets(outlet(relay(server.port), max_connections=1))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(5):
                await one.send(message(f"m{i}"))
            await one.status("m4", says("ConnectorNotReady"))
            assert server.connections == 3
            one.outbox.connector_proven(ConnectorKey("SmtpConnector", "apps", "another"))
            await asyncio.sleep(0.2)
            assert server.connections == 3
            one.outbox.connector_proven(outlets.answer.key)
            for i in range(5):
                await one.finished(f"m{i}")
            assert one.outbox.open_breakers == 0
            assert len(server.bodies) == 5


async def test_a_refused_login_is_tried_once_for_all_mail_and_a_new_password_at_once(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(outlet(relay(server.port, auth=password("wrong")), max_connections=1))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(3):
                await one.send(message(f"m{i}", connector="main"))
            await one.status("m2", says("ConnectorNotReady"))
            await until(lambda: outlets.breaks, 40)
            assert outlets.breaks[0][1].reason is Reason.CREDENTIALS_REJECTED
            assert len(server.inbox.logins) == 1
            outlets.answer = outlet(server.port)
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
            for i in range(3):
                assert (await one.finished(f"m{i}"))["attempts"] == 1


async def test_a_relay_that_never_greets_holds_up_nobody_else(control_plane, namespace):
    async with Scripted(("hang",)) as dead, mail_server() as server:
        slow = relay(dead.port, timeouts=Timeouts(greeting_s=0.4, quit_s=0.1))
        outlets = Outlets(outlet(server.port), dead=outlet(slow, "dead", max_connections=2))
        async with desk(control_plane, namespace, outlets, send_workers=2, patience_s=0.1) as one:
            for i in range(20):
                await one.send(message(f"dead{i}", connector="dead"))
                await one.send(message(f"alive{i}", connector="alive"))
            for i in range(20):
                assert (await one.finished(f"alive{i}"))["attempts"] == 1
            await until(lambda: one.outbox.open_breakers == 1, 40)
            opened = dead.connections
            await one.send(message("after", connector="alive"))
            await one.finished("after")
            told = [await one.status(f"dead{i}", condition) for i in range(20)]
            assert sum(status["attempts"] for status in told) <= 5
            assert sum(says("ConnectorNotReady")(status) for status in told) >= 15
            # Silence is asked a second time whether it waits for TLS, so each try is two connections.
            assert dead.connections == opened <= 10


# --- the fallback


async def test_a_retry_through_the_fallback_keeps_the_message_id_and_names_who_took_it(control_plane, namespace):
    async with mail_server() as server, mail_server() as backup:
        outlets = Outlets(outlet(server.port))
        async with desk(control_plane, namespace, outlets) as one:
            server.inbox.replies["DATA"] = lambda _: "451 4.3.0 try again later"
            await one.send(message("moved"))
            first = await one.status("moved", says("Retrying"))
            assert first["connector"] == "SmtpConnector/apps/main"
            sender = Mailbox("Backup", "alerts@other.example")
            outlets.answer = replace(outlet(backup.port, "backup"), sender=sender, stands_in_for=outlets.answer.key)
            status = await one.finished("moved")
    assert status["messageID"] == first["messageID"]
    assert status["connector"] == "SmtpConnector/apps/backup"
    [(envelope_from, _, raw)] = backup.inbox.messages
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Message-ID"] == first["messageID"]
    assert envelope_from == "alerts@other.example"
    assert str(mail["From"]) == "Backup <alerts@other.example>"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"denied_domains": ("example.org",)}, "its recipientPolicy does not allow example.org"),
        ({"max_message_bytes": 300}, "bytes, and it takes 300"),
    ],
)
async def test_what_only_the_fallback_refuses_waits_for_the_connector_itself(control_plane, namespace, limits, words):
    async with mail_server() as server, mail_server() as backup:
        main = outlet(server.port)
        other = replace(outlet(backup.port, "backup", **limits), stands_in_for=main.key)
        outlets = Outlets(other)
        async with desk(control_plane, namespace, outlets) as one:
            await one.send(message("held", connector="main"))
            status = await one.status("held", says("ConnectorNotReady"))
            assert words in condition(status)["message"]
            assert "its fallback SmtpConnector/apps/backup cannot take this message" in condition(status)["message"]
            outlets.answer = main
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
            await one.finished("held")
        assert not backup.inbox.messages


async def test_the_recipient_policy_is_named_with_the_domain_that_it_refuses(control_plane, namespace):
    async with mail_server() as server:
        limits = {"allowed_domains": ("example.org",), "denied_domains": ("bad.example.org",)}
        async with desk(control_plane, namespace, Outlets(outlet(server.port, **limits))) as one:
            await one.send(message("policy", "a@example.org", "b@sub.example.org", "c@bad.example.org"))
            status = await one.finished("policy")
            await one.send(message("none", "b@example.net"))
            refused = await one.finished("none")
    assert [result.get("reason") for result in status["recipientResults"]] == [
        None,
        "RecipientNotAllowed",
        "RecipientNotAllowed",
    ]
    assert condition(status)["reason"] == condition(refused)["reason"] == "RecipientsRefused"
    assert "spec.recipientPolicy of the connector does not allow mail to example.net" in condition(refused)["message"]
    assert len(server.inbox.messages) == 1


# --- connectors that are not available, and loud failures


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.CONNECTOR_NOT_READY, Reason.CONNECTOR_NOT_FOUND])
async def test_a_message_that_does_not_want_to_wait_is_discarded_and_says_why(control_plane, namespace, reason):
    outlets = Outlets(Unavailable(reason, "The connector takes no mail"))
    async with desk(control_plane, namespace, outlets) as one:
        await one.send(message("impatient", onUnavailable="Discard"))
        await one.send(message("patient"))
        status = await one.finished("impatient")
        await one.status("patient", says(reason))
    assert condition(status)["status"] == "False"
    assert condition(status)["reason"] == reason
    assert condition(status)["message"].endswith("onUnavailable is Discard, so it was not sent")
    assert condition(status, "Stalled")["status"] == "True"
    assert status["attempts"] == 0


async def test_a_limit_holds_also_what_does_not_want_to_wait_and_an_open_breaker_discards_it(control_plane, namespace):
    async with mail_server() as server:
        outlets = Outlets(limited(server.port, messages_per_minute=1), dead=outlet(1, "dead"))
        async with desk(control_plane, namespace, outlets) as one:
            for i in range(3):
                await one.send(message(f"dead{i}", connector="dead"))
            await until(lambda: one.outbox.open_breakers == 1, 40)
            await one.send(message("discarded", connector="dead", onUnavailable="Discard"))
            await one.send(message("first"))
            await one.finished("first")
            await one.send(message("held", onUnavailable="Discard"))
            await one.status("held", says("RateLimited"))
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "dead"))
            await one.status("discarded", condition)


async def test_a_mail_that_did_not_go_out_is_told_as_an_event_and_never_as_a_mail(client, namespace):
    recorder = EventRecorder(client, reporting_controller="watchbell.dev/test", instance="test")
    async with mail_server() as server:
        one = Desk(client, namespace, Outlets(outlet(server.port)))
        one.outbox._recorder = recorder
        posting = asyncio.create_task(recorder.run())
        one.start()
        try:
            server.inbox.replies["DATA"] = lambda _: "554 5.7.1 message looks like spam"
            made = await one.send(message("spam"))
            await one.finished("spam")
            await until(lambda: one.outbox.queue_depth == 0)
            await recorder.flushed()
            events = [
                event
                for event in await client.list(EVENTS, namespace)
                if event["regarding"]["uid"] == made["metadata"]["uid"]
            ]
            assert [(event["type"], event["reason"]) for event in events] == [("Warning", "MailFailed")]
            assert events[0]["note"].startswith("MessageRejected: ")
            assert len(await client.list(MESSAGES, namespace)) == 1
            assert not server.inbox.messages
        finally:
            await one.kill()
            posting.cancel()
            await asyncio.gather(posting, return_exceptions=True)
