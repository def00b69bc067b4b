"""What becomes of mail when replies are lost, processes die at the worst moment, and the API server does not answer."""

import asyncio
import random
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from faultproxy import Answer, Hang, LoseReply
from kuberig import client_of, proxied
from outboxrig import MESSAGES, NEVER_AGAIN, Desk, Outlets, by_uid, condition, desk, message, outlet, until
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server, relay
from watchbell.kube.client import CONFIGMAPS
from watchbell.kube.errors import NotFound
from watchbell.outbox.records.entry import Accepted, Entry
from watchbell.outbox.records.journal import JOURNAL_NAME, Journal
from watchbell.outbox.records.page import HOLDER
from watchbell.smtp.model import Timeouts

ACCEPT = (GREET, "r", ehlo("8BITMIME"), "r", OK, "r", OK, "r", b"354 go on\r\n", "data")
LOST = (*ACCEPT, "abort")
TAKEN = (*ACCEPT, b"250 2.0.0 queued\r\n", "r", OK, *BYE)


def message_ids(bodies):
    return [re.search(rb"Message-ID: (\S+)", body)[1] for body in bodies]


@pytest.fixture
async def client(control_plane):
    async with client_of(control_plane) as client:
        yield client


async def test_a_lost_final_reply_is_followed_by_one_copy_with_the_same_message_id(control_plane, namespace):
    async with (
        Scripted(LOST, TAKEN) as server,
        desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one,
    ):
        await one.send(message("lost"))
        status = await one.status("lost", lambda status: status.get("recipientResults"))
        assert status["recipientResults"][0]["result"] == "Uncertain"
        assert condition(status)["status"] == "Unknown"
        status = await one.finished("lost")
    assert condition(status)["reason"] == "AcceptedByServer"
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


async def test_after_two_lost_replies_no_third_copy_goes_out(control_plane, namespace):
    async with Scripted(LOST) as server, desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one:
        await one.send(message("twice"))
        status = await one.finished("twice")
        await asyncio.sleep(0.2)
    assert condition(status)["reason"] == "OutcomeUnknown"
    assert condition(status, "Stalled")["status"] == "True"
    assert status["recipientResults"][0]["result"] == "Unknown"
    assert len(server.bodies) == 2


async def test_a_lost_reply_counts_as_sent_when_the_message_says_so(control_plane, namespace):
    async with Scripted(LOST) as server, desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one:
        await one.send(message("assumed", onUncertain="AssumeSent"))
        status = await one.finished("assumed")
    assert (condition(status)["status"], condition(status)["reason"]) == ("True", "OutcomeUnknown")
    assert len(server.bodies) == 1


async def test_a_process_that_dies_before_the_journal_leaves_an_untried_message(client, namespace):
    async with Scripted(("hang",)) as dead, mail_server() as server:
        outlets = Outlets(outlet(relay(dead.port)))
        first, second = Desk(client, namespace, outlets), Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        await first.send(message("early"))
        await until(lambda: dead.connections == 1)
        await first.crash()
        assert await first.journal() == {}
        second.start()
        status = await second.finished("early")
        await second.kill()
    assert condition(status)["reason"] == "AcceptedByServer"
    assert status["attempts"] == 1
    assert len(server.inbox.messages) == 1


async def test_a_process_that_dies_between_journal_and_body_leaves_an_uncertain_message(client, namespace):
    async with Scripted((*ACCEPT[:-2], "hang")) as dead, mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(relay(dead.port))))
        second = Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        made = await first.send(message("between"))
        await until(lambda: "DATA" in dead.commands)
        await first.journaled(made)
        await first.crash()
        second.start()
        status = await second.status("between", lambda status: status.get("recipientResults"))
        assert status["recipientResults"][0]["result"] == "Uncertain"
        assert status["attempts"] == 1
        status = await second.finished("between")
        await until(lambda: second.outbox.queue_depth == 0)
        await second.kill()
        assert await second.journal() == {}
    assert condition(status)["reason"] == "AcceptedByServer"
    assert status["attempts"] == 2
    assert len(server.inbox.messages) == 1
    assert message_ids([server.inbox.messages[0][2]]) == [status["messageID"].encode()]


async def test_a_process_that_dies_after_the_dot_makes_one_double_with_the_same_message_id(client, namespace):
    async with Scripted((*ACCEPT, "hang")) as dead, mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(relay(dead.port))))
        second = Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        await first.send(message("dot"))
        await until(lambda: dead.bodies)
        await first.crash()
        second.start()
        status = await second.finished("dot")
        await second.kill()
    assert condition(status)["reason"] == "AcceptedByServer"
    [(_, _, copy)] = server.inbox.messages
    assert message_ids(dead.bodies) == message_ids([copy])


async def test_a_process_that_dies_before_the_result_is_written_makes_one_double_at_most(client, namespace):
    async with mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(server.port)))
        second = Desk(client, namespace, Outlets(outlet(server.port)))

        async def never(*_, **__):
            await asyncio.Event().wait()

        first.outbox._ledger._client = type("Stuck", (), {"apply_status": staticmethod(never)})()
        first.start()
        await first.send(message("unwritten"))
        await until(lambda: server.inbox.messages)
        await until(lambda: len(first.outbox._ledger) == 1)
        await first.crash()
        second.start()
        status = await second.finished("unwritten")
        await second.kill()
    assert condition(status)["reason"] == "AcceptedByServer"
    copies = message_ids([raw for _, _, raw in server.inbox.messages])
    assert len(copies) == 2
    assert len(set(copies)) == 1


async def test_kills_at_random_moments_lose_nothing_and_double_at_most_once(client, namespace):
    chance = random.Random(20261121)  # noqa: S311 - repeatable moments, not secrets
    names = [f"storm-{i}" for i in range(60)]
    async with mail_server() as server:
        outlets = Outlets(outlet(server.port))
        for name in names:
            await client.create(MESSAGES, message(name), namespace)
        kills = 0
        while len(server.inbox.messages) < len(names) and kills < 20:
            one = Desk(client, namespace, outlets)
            one.start()
            await asyncio.sleep(chance.uniform(0.02, 0.12))
            await one.crash()
            kills += 1
        last = Desk(client, namespace, outlets)
        last.start()
        statuses = [await last.finished(name) for name in names]
        await until(lambda: last.outbox.queue_depth == 0)
        await last.kill()
        assert await last.journal() == {}
    copies = Counter(message_ids([raw for _, _, raw in server.inbox.messages]))
    assert kills >= 3
    for status in statuses:
        sent = copies[status["messageID"].encode()]
        assert sent <= 2
        assert sent >= 1 or condition(status)["reason"] == "OutcomeUnknown"
    assert sum(count - 1 for count in copies.values()) <= kills


async def test_an_orderly_stop_leaves_no_journal_entry_and_no_connection(client, namespace):
    async with mail_server() as server:
        one = Desk(client, namespace, Outlets(outlet(server.port)))
        one.start()
        for i in range(5):
            await one.send(message(f"o{i}"))
        await until(lambda: server.inbox.messages)
        await one.outbox.drain(5)
        sent = len(server.inbox.messages)
        await until(lambda: one.outbox.queue_depth == 0)
        await one.kill()
        assert await one.journal() == {}
        assert len(server.inbox.messages) == sent
        finished = [item for item in await client.list(MESSAGES, namespace) if "completionTime" in item["status"]]
        assert len(finished) == sent


async def test_two_that_both_believe_to_lead_do_not_both_send(client, namespace):
    async with mail_server() as server:
        old, new = (Desk(client, namespace, Outlets(outlet(server.port))) for _ in range(2))
        old.start()
        await old.send(message("one"))
        await old.finished("one")
        new.start()
        await new.send(message("two"))
        await new.finished("two")
        old.outbox.submit(await client.create(MESSAGES, message("three"), namespace))
        await until(old._task.done)
        assert old.outbox._journal.is_lost
        await new.finished("three")
        await new.kill()
        await old.kill()
    subjects = Counter(re.search(rb"Subject: (.*)\r\n", raw)[1] for _, _, raw in server.inbox.messages)
    assert subjects == {b"About one": 1, b"About two": 1, b"About three": 1}


async def test_entries_of_vanished_finished_or_unreadable_mail_hold_nobody_up(client, namespace):
    async with mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        made = await first.send(message("done"))
        await first.finished("done")
        await first.kill()
        entries = {
            "broken": "not json",
            "gone": Entry("gone", namespace, "gone", 1, datetime.now(UTC), (0,), "<a@b.example>"),
            made["metadata"]["uid"]: Entry(
                made["metadata"]["uid"], namespace, "done", 1, datetime.now(UTC), (0,), "<a@b.example>"
            ),
            "reborn": Entry("reborn", namespace, "done", 1, datetime.now(UTC), (0,), "<a@b.example>"),
        }
        data = {uid: one if isinstance(one, str) else msgspec.json.encode(one).decode() for uid, one in entries.items()}
        await client.patch(CONFIGMAPS, JOURNAL_NAME, {"data": data}, namespace)
        second = Desk(client, namespace, Outlets(outlet(server.port)))
        second.start()
        await second.send(message("next"))
        await second.finished("next")
        await second.kill()
        assert await second.journal() == {"broken": "not json"}
    assert len(server.inbox.messages) == 2


async def test_nothing_goes_out_before_the_lease_is_held_but_the_watch_is_warm(control_plane, client, namespace):
    leading = asyncio.Event()
    async with mail_server() as server:
        one = Desk(client, namespace, Outlets(outlet(server.port)), lead=leading.wait)
        one.start()
        await one.send(message("early"), hand_in=False)
        await until(lambda: one.outbox.queue_depth == 1)
        assert not server.inbox.hellos
        with pytest.raises(NotFound):
            await one.journal()
        leading.set()
        await one.finished("early")
        await one.kill()
    assert len(server.inbox.messages) == 1


async def test_concurrent_senders_share_one_journal_write(client, namespace):
    journal = Journal(client, namespace, "me", on_lost=lambda: None)
    await journal.open()
    entries = [Entry(f"uid-{i}", namespace, f"m{i}", 1, datetime.now(UTC), (0,), "<a@b.example>") for i in range(50)]
    assert all(await asyncio.gather(*(journal.enter(entry) for entry in entries)))
    assert journal.writes <= 2
    stored = by_uid((await client.get(CONFIGMAPS, JOURNAL_NAME, namespace))["data"])
    assert {msgspec.json.decode(text, type=Entry) for text in stored.values()} == set(entries)
    for entry in entries:
        journal.forget(entry.uid)
    await journal.close()
    assert not (await client.get(CONFIGMAPS, JOURNAL_NAME, namespace)).get("data")


async def test_an_entry_that_is_done_leaves_with_the_next_write_and_costs_none_of_its_own(client, namespace):
    journal = Journal(client, namespace, "me", on_lost=lambda: None)
    await journal.open()
    for i in range(5):
        assert await journal.enter(Entry(f"uid-{i}", namespace, f"m{i}", 1, datetime.now(UTC), (0,), "<a@b.example>"))
        journal.forget(f"uid-{i}")
    assert journal.writes == 5
    assert list(by_uid((await client.get(CONFIGMAPS, JOURNAL_NAME, namespace))["data"])) == ["uid-4"]
    await until(lambda: journal.writes == 6)
    await journal.close()
    assert not (await client.get(CONFIGMAPS, JOURNAL_NAME, namespace)).get("data")


async def test_mail_that_was_taken_is_told_in_the_journal_and_its_successor_writes_the_result(client, namespace):
    async with mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        await first.send(message("warm"))
        await first.finished("warm")
        first.crash_ledger()
        made = [await first.send(message(f"taken-{i}")) for i in range(3)]
        await until(lambda: len(server.inbox.messages) == 4)
        for one in made:
            await first.journaled(one, '"accepted"')
        await first.crash()
        second = Desk(client, namespace, Outlets(outlet(server.port)))
        second.start()
        for i in range(3):
            status = await second.finished(f"taken-{i}")
            assert condition(status)["reason"] == "AcceptedByServer"
            assert (status["attempts"], status["recipientResults"][0]["code"]) == (1, 250)
            assert status["messageID"].encode() in message_ids([raw for _, _, raw in server.inbox.messages])
        await until(lambda: second.outbox.queue_depth == 0)
        await second.kill()
        assert await second.journal() == {}
    assert len(server.inbox.messages) == 4


async def test_a_connector_gets_as_many_connections_as_its_limits_allow(control_plane, namespace):
    async with Scripted(("hang",)) as dead:
        slow = relay(dead.port, timeouts=Timeouts(greeting_s=20, quit_s=0.1))
        outlets = Outlets(outlet(slow, max_connections=3))
        async with desk(control_plane, namespace, outlets, patience_s=0.05) as one:
            for i in range(6):
                await one.send(message(f"m{i}"))
            await until(lambda: dead.connections == 3)
            await asyncio.sleep(0.2)
    assert dead.connections == 3


async def test_a_slow_mail_does_not_keep_those_behind_it(control_plane, namespace):
    async with Scripted((*ACCEPT, "hang"), TAKEN) as server:
        at = relay(server.port, timeouts=Timeouts(quit_s=0.1))
        async with desk(control_plane, namespace, Outlets(outlet(at, max_connections=2))) as one:
            one.outbox._courier._desk = replace(one.outbox._courier._desk, round_s=0.1)
            made = [await one.client.create(MESSAGES, message(f"s{i}"), namespace) for i in range(4)]
            for body in made:
                one.outbox.submit(body)
            async with asyncio.timeout(30):
                done = 0
                while done < 3:
                    states = [await one.read(f"s{i}") for i in range(4)]
                    done = sum("completionTime" in state["status"] for state in states)
        assert len(server.bodies) == 4


async def test_a_journal_that_somebody_edits_or_deletes_is_written_again(client, namespace):
    async with mail_server() as server:
        one = Desk(client, namespace, Outlets(outlet(server.port)))
        one.start()
        await one.send(message("before"))
        await one.finished("before")
        await client.patch(CONFIGMAPS, JOURNAL_NAME, {"metadata": {"labels": {"touched": "yes"}}}, namespace)
        await one.send(message("edited"))
        await one.finished("edited")
        await client.delete(CONFIGMAPS, JOURNAL_NAME, namespace)
        await one.send(message("deleted"))
        await one.finished("deleted")
        await one.kill()
        found = await client.get(CONFIGMAPS, JOURNAL_NAME, namespace)
        assert found["metadata"]["annotations"][HOLDER].startswith("test-")
    assert len(server.inbox.messages) == 3


def failing(method, part, fault):
    return lambda request: fault if request.method == method and part in request.path else None


@pytest.mark.parametrize("fault", [Answer(500), Hang(), LoseReply()], ids=repr)
async def test_nothing_is_sent_while_the_journal_cannot_be_written(control_plane, namespace, fault):
    async with mail_server() as server, proxied(control_plane, deadline_s=0.4) as (proxy, client):
        one = Desk(client, namespace, Outlets(outlet(server.port)))
        one.start()
        await one.send(message("warm"))
        await one.finished("warm")
        made = await client.create(MESSAGES, message("blocked"), namespace)
        proxy.plan = failing("PUT", JOURNAL_NAME, fault)
        tried = one.outbox._journal.failures
        one.outbox.submit(made)
        await until(lambda: one.outbox._journal.failures >= tried + 2)
        assert len(server.inbox.messages) == 1
        proxy.plan = lambda _: None
        status = await one.finished("blocked")
        assert status["attempts"] == 1
        assert len(server.inbox.messages) == 2
        await one.kill()


async def test_a_result_that_cannot_be_written_keeps_its_journal_entry_until_it_can(control_plane, namespace):
    async with mail_server() as server, proxied(control_plane, deadline_s=0.4) as (proxy, client):
        one = Desk(client, namespace, Outlets(outlet(server.port)))
        one.start()
        await until(lambda: one.outbox.is_synced)
        proxy.plan = failing("PATCH", "/status", Answer(500))
        made = await one.send(message("unwritten"))
        await until(lambda: len([r for r in proxy.requests if r.method == "PATCH"]) >= 2)
        assert len(server.inbox.messages) == 1
        assert made["metadata"]["uid"] in await one.journal()
        assert one.outbox.queue_depth == 1
        proxy.plan = lambda _: None
        await one.finished("unwritten")
        await until(lambda: one.outbox.queue_depth == 0)
        await until(lambda: one.outbox.queue_depth == 0)
        await one.kill()
        assert await one.journal() == {}
    assert len(server.inbox.messages) == 1


async def test_a_relay_that_hangs_does_not_hold_up_another_connectors_mail(control_plane, namespace):
    async with Scripted(("hang",)) as dead, mail_server() as server:
        slow = relay(dead.port, timeouts=Timeouts(greeting_s=300, quit_s=0.1))
        names = {f"dead{i}": outlet(slow, f"dead{i}", max_connections=1) for i in range(6)}
        outlets = Outlets(outlet(server.port), **names)
        async with desk(control_plane, namespace, outlets, send_workers=2, patience_s=0.1) as one:
            for name in names:
                for copy in range(3):
                    await one.send(message(f"{name}-{copy}", connector=name))
            await one.send(message("alive", connector="alive"))
            status = await one.finished("alive")
            assert condition(status)["status"] == "True"
            await until(lambda: dead.connections == 6)
    assert dead.connections == 6


async def test_of_mails_that_one_sender_had_in_hand_only_the_one_whose_turn_it_was_is_in_doubt(client, namespace):
    async with mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        await first.send(message("warm"))
        await first.finished("warm")
        await first.kill()
        entries = []
        for place in range(3):
            made = await client.create(MESSAGES, message(f"p{place}"), namespace)
            uid = made["metadata"]["uid"]
            one = Entry(
                uid, namespace, f"p{place}", 1, datetime.now(UTC), (0,), "<a@b.example>", party="7", place=place
            )
            entries.append(
                one if place else msgspec.structs.replace(one, accepted=Accepted("250 OK", ((250, "2.0.0"),)))
            )
        lines = "\n".join(msgspec.json.encode(one).decode() for one in entries)
        await client.patch(CONFIGMAPS, JOURNAL_NAME, {"data": {"entries": lines}}, namespace)
        second = Desk(client, namespace, Outlets(outlet(server.port)), schedule=NEVER_AGAIN)
        second.start()
        await second.finished("p2")
        await second.finished("p0")
        status = (await second.read("p1"))["status"]
        assert status["recipientResults"][0]["result"] == "Uncertain"
        await second.kill()
    subjects = [re.search(rb"Subject: (.*)\r\n", raw)[1] for _, _, raw in server.inbox.messages]
    assert subjects == [b"About warm", b"About p2"]
