"""Messages that share a mail, through real servers: who goes together, what each object says, and what a kill leaves."""

import asyncio
import email
import email.policy
import re
from collections import Counter
from dataclasses import replace

import pytest

from kuberig import client_of
from outboxrig import BRISK, MESSAGES, Desk, Outlets, condition, desk, message, outlet, until
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server, relay
from watchbell.api.reasons import Reason
from watchbell.kube.client import CONFIGMAPS
from watchbell.outbox.outlet import ConnectorKey, Unavailable
from watchbell.smtp.model import RetryClass

ACCEPT = (GREET, "r", ehlo("8BITMIME"), "r", OK, "r", OK, "r", b"354 go on\r\n", "data")
LOST = (*ACCEPT, "abort")


@pytest.fixture
async def client(control_plane):
    async with client_of(control_plane) as client:
        yield client


def member(name, *to, key="reports", most=3, wait_s=60, **spec):
    batch = {"key": key, "maxMessages": most, "maxWaitSeconds": wait_s}
    return message(name, *to, **{"body": {"text": f"This is what {name} says.\n"}, "batch": batch, **spec})


def mails(server):
    return [email.message_from_bytes(raw, policy=email.policy.default) for _, _, raw in server.inbox.messages]


def text_of(mail):
    return mail.get_body(("plain",)).get_content()


async def finished(one, *names):
    return [await one.finished(name) for name in names]


async def test_a_full_batch_goes_at_once_as_one_mail_and_each_message_says_in_which(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(member("one"))
        waiting = await one.status("one", lambda status: condition(status).get("reason") == "Batched")
        assert condition(waiting)["status"] == "Unknown"
        assert condition(waiting, "Reconciling")["status"] == "True"
        assert "batch key reports" in condition(waiting)["message"]
        assert waiting["nextAttemptTime"]
        assert waiting["attempts"] == 0
        assert not server.inbox.messages
        await one.send(member("two"))
        await one.send(member("three"))
        statuses = await finished(one, "one", "two", "three")
        await until(lambda: one.outbox.queue_depth == 0)
    [mail] = mails(server)
    assert {status["messageID"] for status in statuses} == {mail["Message-ID"]}
    for status in statuses:
        assert (condition(status)["status"], condition(status)["reason"]) == ("True", "AcceptedByServer")
        assert (status["attempts"], status["recipientResults"][0]["code"]) == (1, 250)
    assert mail["Subject"] == f"reports: 3 messages from {namespace}"
    assert all(f"This is what {name} says." in text_of(mail) for name in ("one", "two", "three"))


async def test_a_batch_goes_when_its_first_message_has_waited_and_one_alone_goes_as_it_is(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(member("alone", wait_s=1))
        await one.finished("alone")
        await one.send(member("first", wait_s=2, most=100))
        await one.send(member("second", wait_s=3600, most=100))
        await finished(one, "first", "second")
    assert [mail["Subject"] for mail in mails(server)] == ["About alone", f"reports: 2 messages from {namespace}"]


async def test_other_keys_other_recipients_and_high_priority_do_not_share_it(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        for name, spec in {
            "a": {},
            "b": {"key": "invoices"},
            "c": {"cc": ["boss@example.org"]},
            "d": {"replyTo": ["who@example.org"]},
        }.items():
            await one.send(member(name, most=2, **spec))
        await one.send(member("urgent", priority="High", wait_s=3600))
        await one.finished("urgent")
        assert [mail["Subject"] for mail in mails(server)] == ["About urgent"]
        await one.send(member("e", most=2))
        statuses = await finished(one, "a", "e")
        assert len({status["messageID"] for status in statuses}) == 1
        assert len(server.inbox.messages) == 2
        assert one.outbox.queue_depth == 3


async def test_recipients_in_another_order_are_the_same_and_each_gets_its_own_result(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        server.inbox.replies["RCPT"] = lambda to: "550 5.1.1 no such user" if to == "gone@example.org" else ""
        await one.send(member("one", "a@example.org", "gone@example.org", most=2))
        await one.send(member("two", "gone@example.org", "a@example.org", most=2))
        first, second = await finished(one, "one", "two")
    assert [one["result"] for one in first["recipientResults"]] == ["Accepted", "Refused"]
    assert [one["result"] for one in second["recipientResults"]] == ["Refused", "Accepted"]
    assert second["recipientResults"][0]["reason"] == "RecipientUnknown"
    [(_, recipients, _)] = server.inbox.messages
    assert recipients == ["a@example.org"]


async def test_html_and_files_go_along_as_the_mail_that_the_message_would_have_been(control_plane, namespace):
    attached = [{"filename": "sums.csv", "contentType": "text/csv", "text": "a,b\n1,2\n"}]
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(member("a-plain"))
        await one.send(member("rich", body={"text": "Sums.\n", "html": "<style>td{display:none}</style><p>Sums</p>"}))
        await one.send(member("filed", attachments=attached))
        await finished(one, "a-plain", "rich", "filed")
    [mail] = mails(server)
    enclosed = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    by_subject = {inner["Subject"]: (name, inner) for name, inner in enclosed.items()}
    assert set(by_subject) == {"About rich", "About filed"}
    name, rich = by_subject["About rich"]
    assert rich.get_body(("html",)).get_content().startswith("<style>td{display:none}")
    [csv] = by_subject["About filed"][1].iter_attachments()
    assert (csv.get_filename(), csv.get_content().split()) == ("sums.csv", ["a,b", "1,2"])
    page = mail.get_body(("html",)).get_content()
    assert "td{display:none}" not in page
    assert name in page


async def test_a_file_that_stands_elsewhere_goes_along_and_one_that_is_missing_holds_up_its_own_message_alone(
    control_plane, namespace
):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.client.create(
            CONFIGMAPS,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sums"}, "data": {"csv": "a,b"}},
            namespace,
        )

        def filed(name, of):
            source = {"filename": "sums.csv", "contentType": "text/csv", "configMapKeyRef": {"name": of, "key": "csv"}}
            return member(name, attachments=[source])

        await one.send(filed("there", "sums"))
        await one.send(filed("missing", "nothing"))
        await one.send(member("plain"))
        await finished(one, "there", "plain")
        status = await one.status("missing", lambda status: condition(status).get("reason") not in {None, "Batched"})
        assert condition(status)["status"] != "True"
    [mail] = mails(server)
    [inner] = [part.get_content() for part in mail.iter_attachments()]
    [csv] = inner.iter_attachments()
    assert csv.get_content().split() == ["a,b"]


async def test_a_message_that_cannot_be_sent_ends_at_once_and_costs_the_others_nothing(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(member("bad", cc=["a..b@example.org"], wait_s=3600))
        status = await one.finished("bad")
        assert condition(status)["reason"] == "InvalidMessage"
        for name in ("one", "two", "three"):
            await one.send(member(name))
        statuses = await finished(one, "one", "two", "three")
    assert len(server.inbox.messages) == 1
    assert len({status["messageID"] for status in statuses}) == 1


async def test_of_a_mail_that_the_server_refuses_as_a_whole_only_the_one_to_blame_fails(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        server.inbox.replies["DATA"] = lambda sent: (
            "554 5.7.1 looks like spam" if b"cheap pills" in sent.original_content else ""
        )
        await one.send(member("good"))
        await one.send(member("spam", body={"text": "cheap pills\n"}))
        await one.send(member("fine"))
        good, spam, fine = await finished(one, "good", "spam", "fine")
    assert condition(spam)["reason"] == "MessageRejected"
    assert (spam["attempts"], good["attempts"]) == (1, 1)
    assert {condition(status)["reason"] for status in (good, fine)} == {"AcceptedByServer"}
    assert sorted(mail["Subject"] for mail in mails(server)) == ["About fine", "About good"]
    assert len({status["messageID"] for status in (good, spam, fine)}) == 3


async def test_a_batch_that_is_larger_than_the_connector_takes_becomes_several_mails(control_plane, namespace):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port, max_message_bytes=400_000))) as one,
    ):
        for name in ("one", "two", "three"):
            await one.send(member(name, body={"text": f"{name} says much.\n" * 2500}))
        statuses = await finished(one, "one", "two", "three")
    assert all(len(raw) <= 400_000 for _, _, raw in server.inbox.messages)
    assert 1 < len(server.inbox.messages) <= 3
    assert {condition(status)["reason"] for status in statuses} == {"AcceptedByServer"}
    said = "".join(text_of(mail) for mail in mails(server))
    assert all(said.count(f"{name} says much.") == 2500 for name in ("one", "two", "three"))


async def test_a_batch_waits_for_its_connector_and_then_goes_together(control_plane, namespace):
    outlets = Outlets(Unavailable(Reason.SUSPENDED, "The connector is suspended."))
    async with mail_server() as server, desk(control_plane, namespace, outlets) as one:
        for name in ("one", "two", "three"):
            await one.send(member(name, connector="main"))
        for name in ("one", "two", "three"):
            status = await one.status(name, lambda status: condition(status).get("reason") == "Suspended")
            assert status["attempts"] == 0
        outlets.answer = outlet(server.port)
        one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
        statuses = await finished(one, "one", "two", "three")
    assert len(server.inbox.messages) == 1
    assert len({status["messageID"] for status in statuses}) == 1


async def test_a_connector_that_comes_up_between_two_looks_at_it_takes_the_whole_batch_or_none(
    control_plane, namespace
):
    class Rising(Outlets):
        async def outlet(self, *about):
            found = await super().outlet(*about)
            return Unavailable(Reason.CONNECTOR_NOT_READY, "Not yet.") if self.asked == 1 else found

    async with mail_server() as server:
        outlets = Rising(outlet(server.port))
        async with desk(control_plane, namespace, outlets) as one:
            for name in ("one", "two", "three"):
                await one.send(member(name, connector="main"))
            for name in ("one", "two", "three"):
                await one.status(name, lambda status: condition(status).get("reason") == "ConnectorNotReady")
            one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
            await finished(one, "one", "two", "three")
    [mail] = mails(server)
    assert all(f"This is what {name} says." in text_of(mail) for name in ("one", "two", "three"))


async def test_a_relay_that_is_down_gets_the_batch_once_when_it_is_up(control_plane, namespace):
    outlets = Outlets(outlet(1))
    # The results of all are written before the next attempt, as with the real delays.
    calm = replace(BRISK, delays_s=dict.fromkeys(RetryClass, (2.0,)) | {RetryClass.NEVER: ()})
    async with desk(control_plane, namespace, outlets, schedule=calm) as one:
        for name in ("one", "two", "three"):
            await one.send(member(name))
        for name in ("one", "two", "three"):
            await one.status(name, lambda status: status.get("attempts", 0) >= 1)
        async with mail_server() as server:
            outlets.answer = outlet(server.port)
            statuses = await finished(one, "one", "two", "three")
            assert len(server.inbox.messages) == 1
            assert len({status["messageID"] for status in statuses}) == 1


async def test_a_lost_reply_is_followed_by_one_copy_of_the_whole_batch(control_plane, namespace):
    taken = (*ACCEPT, b"250 2.0.0 queued\r\n", "r", OK, *BYE)
    async with (
        Scripted(LOST, taken) as server,
        desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one,
    ):
        for name in ("one", "two", "three"):
            await one.send(member(name))
        for name in ("one", "two", "three"):
            status = await one.status(name, lambda status: status.get("recipientResults") and status["attempts"] == 1)
            assert status["recipientResults"][0]["result"] == "Uncertain"
        statuses = await finished(one, "one", "two", "three")
    assert {condition(status)["reason"] for status in statuses} == {"AcceptedByServer"}
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


async def test_a_message_that_is_deleted_while_it_waits_is_not_in_the_mail(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(member("gone"))
        await one.status("gone", lambda status: condition(status).get("reason") == "Batched")
        await one.client.delete(MESSAGES, "gone", namespace)
        await until(lambda: one.outbox.queue_depth == 0)
        for name in ("one", "two", "three"):
            await one.send(member(name))
        await finished(one, "one", "two", "three")
    [mail] = mails(server)
    assert "what gone says" not in text_of(mail)


# --- alerts that an outage kept


def telling(name, transition, sequence, **spec):
    body = message(name, **spec)
    body["metadata"]["annotations"] = {"watchbell.dev/incidents": f"otel-7f3a91:{sequence}:{transition}"}
    return body


async def test_after_an_outage_an_incident_that_began_and_ended_is_one_mail_and_both_messages_say_so(
    control_plane, namespace
):
    outlets = Outlets(Unavailable(Reason.CONNECTOR_NOT_READY, "The relay is down."))
    async with mail_server() as server, desk(control_plane, namespace, outlets) as one:
        for body in (
            telling("fired", "Fired", 1, priority="High", connector="main"),
            telling("worse", "Escalated", 2, connector="main"),
            telling("over", "Resolved", 3, connector="main"),
            message("other", connector="main"),
        ):
            await one.send(body)
            await one.status(
                body["metadata"]["name"], lambda status: condition(status).get("reason") == "ConnectorNotReady"
            )
        outlets.answer = outlet(server.port)
        one.outbox.connector_changed(ConnectorKey("SmtpConnector", namespace, "main"))
        *statuses, other = await finished(one, "fired", "worse", "over", "other")
    assert sorted(mail["Subject"] for mail in mails(server)) == [
        "About fired: fired and recovered while mail was down",
        "About other",
    ]
    [told] = [mail for mail in mails(server) if mail["Subject"] != "About other"]
    assert {status["messageID"] for status in statuses} == {told["Message-ID"]} != {other["messageID"]}
    assert {condition(status)["reason"] for status in statuses} == {"AcceptedByServer"}
    assert "It was Critical." in text_of(told)
    assert [part.get_content()["Subject"] for part in told.iter_attachments()] == ["About fired", "About worse"]


async def test_an_alert_that_was_sent_is_followed_by_its_end_as_ever(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(telling("fired", "Fired", 1))
        await one.finished("fired")
        await one.send(telling("over", "Resolved", 2))
        await one.finished("over")
    assert [mail["Subject"] for mail in mails(server)] == ["About fired", "About over"]


# --- kills


async def test_a_kill_while_a_batch_waits_changes_nothing(client, namespace):
    async with mail_server() as server:
        first, second = (Desk(client, namespace, Outlets(outlet(server.port))) for _ in range(2))
        first.start()
        for name in ("one", "two"):
            await first.send(member(name))
            await first.status(name, lambda status: condition(status).get("reason") == "Batched")
        before = (await first.read("one"))["status"]
        await first.crash()
        second.start()
        await until(lambda: second.outbox.queue_depth == 2)
        assert (await second.read("one"))["status"] == before
        await second.send(member("three"))
        statuses = await finished(second, "one", "two", "three")
        await second.kill()
    assert len(server.inbox.messages) == 1
    assert len({status["messageID"] for status in statuses}) == 1


@pytest.mark.parametrize(
    ("script", "attempts"),
    [(("hang",), 1), ((*ACCEPT[:-2], "hang"), 2), ((*ACCEPT, "hang"), 2)],
    ids=["before the journal", "between journal and body", "after the dot"],
)
async def test_a_kill_while_a_batch_is_sent_leaves_one_copy_at_most_and_loses_nothing(
    client, namespace, script, attempts
):
    names = ("one", "two", "three")
    async with Scripted(script) as dead, mail_server() as server:
        first = Desk(client, namespace, Outlets(outlet(relay(dead.port))))
        second = Desk(client, namespace, Outlets(outlet(server.port)))
        first.start()
        made = [await first.send(member(name)) for name in names]
        await until(lambda: dead.bodies or "DATA" in dead.commands or (script == ("hang",) and dead.connections))
        if script != ("hang",):
            for body in made:
                await first.journaled(body)
        if "data" in script:
            await until(lambda: dead.bodies)
        await first.crash()
        second.start()
        statuses = await finished(second, *names)
        await until(lambda: second.outbox.queue_depth == 0)
        await second.kill()
        assert await second.journal() == {}
    [mail] = mails(server)
    assert {status["messageID"] for status in statuses} == {mail["Message-ID"]}
    assert {status["attempts"] for status in statuses} == {attempts}
    for body in dead.bodies:
        assert re.search(rb"Message-ID: (\S+)", body)[1].decode() == mail["Message-ID"]
    assert all(f"This is what {name} says." in text_of(mail) for name in names)


async def test_a_kill_after_the_server_took_it_sends_nothing_again(client, namespace):
    names = ("one", "two", "three")
    async with mail_server() as server:
        first, second = (Desk(client, namespace, Outlets(outlet(server.port))) for _ in range(2))
        first.start()
        for name in names[:2]:
            await first.send(member(name))
            await first.status(name, lambda status: condition(status).get("reason") == "Batched")
        first.crash_ledger()
        made = [await first.read(name) for name in names[:2]] + [await first.send(member("three"))]
        await until(lambda: server.inbox.messages)
        for body in made:
            await first.journaled(body, '"accepted"')
        await first.crash()
        second.start()
        statuses = await finished(second, *names)
        await second.kill()
    [mail] = mails(server)
    assert {status["messageID"] for status in statuses} == {mail["Message-ID"]}
    assert {condition(status)["reason"] for status in statuses} == {"AcceptedByServer"}


async def test_kills_at_random_moments_lose_no_message_of_a_batch(client, namespace):
    names = [f"storm-{i}" for i in range(24)]
    async with mail_server() as server:
        for name in names:
            await client.create(MESSAGES, member(name, most=4, wait_s=3), namespace)
        for pause_s in (0.05, 0.1, 0.15, 0.08, 0.12):
            one = Desk(client, namespace, Outlets(outlet(server.port)), schedule=BRISK)
            one.start()
            await asyncio.sleep(pause_s)
            await one.crash()
        last = Desk(client, namespace, Outlets(outlet(server.port)))
        last.start()
        statuses = await finished(last, *names)
        await until(lambda: last.outbox.queue_depth == 0)
        await last.kill()
        assert await last.journal() == {}
    told = Counter(name for mail in mails(server) for name in re.findall(r"This is what (\S+) says", text_of(mail)))
    doubled = 0
    for name, status in zip(names, statuses, strict=True):
        assert told[name] <= 2
        assert told[name] >= 1 or condition(status)["reason"] == "OutcomeUnknown"
        doubled += told[name] == 2
    assert doubled <= 5 * 4
