"""Each field of an EmailMessage does what its page says, on a real API server and through a real SMTP server."""

import asyncio
import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from outboxrig import Outlets, condition, desk, message, outlet
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server, relay
from watchbell.mail.address import Mailbox

ACCEPT = (GREET, "r", ehlo("8BITMIME"), "r", OK, "r", OK, "r", b"354 go on\r\n", "data")
LOST = (*ACCEPT, "abort")
TAKEN = (*ACCEPT, b"250 2.0.0 queued\r\n", "r", OK, *BYE)


def parsed(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


async def test_answers_go_to_all_that_the_message_names_and_else_to_the_connectors(control_plane, namespace):
    async with mail_server() as server:
        at = replace(outlet(server.port), reply_to=(Mailbox("Team", "team@example.com"),))
        async with desk(control_plane, namespace, Outlets(at)) as one:
            await one.send(message("own", replyTo=["Jörg <j@müller.example>", "b@example.org"]))
            await one.send(message("default"))
            await one.finished("own")
            await one.finished("default")
    found = {str(parsed(raw)["Subject"]): str(parsed(raw)["Reply-To"]) for _, _, raw in server.inbox.messages}
    assert found == {
        "About own": "Jörg <j@xn--mller-kva.example>, b@example.org",
        "About default": "Team <team@example.com>",
    }


async def test_headers_of_the_connector_stand_in_every_mail_and_never_take_the_place_of_its_own(
    control_plane, namespace
):
    headers = (("X-Team", "größe"), ("List-Help", "<https://example.com/help>"), ("Importance", "low"))
    async with mail_server() as server:
        at = replace(outlet(server.port), headers=headers)
        async with desk(control_plane, namespace, Outlets(at)) as one:
            await one.send(message("plain"))
            await one.finished("plain")
            await one.send(message("urgent", priority="High"))
            await one.finished("urgent")
    plain, urgent = (parsed(raw) for _, _, raw in server.inbox.messages)
    assert (plain["X-Team"], plain["List-Help"]) == ("größe", "<https://example.com/help>")
    assert (plain.get_all("Importance"), urgent.get_all("Importance")) == (["low"], ["high"])
    assert plain["Auto-Submitted"] == "auto-generated"


async def test_of_what_waits_the_more_urgent_goes_first(control_plane, namespace):
    leading = asyncio.Event()
    outlets = Outlets(outlet(0))
    async with mail_server() as server, desk(control_plane, namespace, outlets, lead=leading.wait) as one:
        outlets.answer = outlet(server.port, max_connections=1)
        for name, priority in (("low", "Low"), ("normal", "Normal"), ("high", "High")):
            await one.send(message(name, priority=priority))
        leading.set()
        for name in ("low", "normal", "high"):
            await one.finished(name)
    subjects = [str(parsed(raw)["Subject"]) for _, _, raw in server.inbox.messages]
    assert subjects == ["About high", "About normal", "About low"]


async def test_a_message_for_later_is_not_sent_before_and_its_deadline_counts_from_then(control_plane, namespace):
    later = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    moments = []
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:

        def told(_envelope):
            moments.append(datetime.now(UTC))
            return ""

        server.inbox.replies["DATA"] = told
        await one.send(message("later", notBeforeTime=later.isoformat(), activeDeadlineSeconds=1))
        await one.send(message("now"))
        await one.finished("now")
        status = await one.finished("later")
    assert condition(status)["reason"] == "AcceptedByServer", condition(status)
    assert moments[0] < later <= moments[1]


async def test_resend_sends_until_there_is_an_answer_with_the_same_bytes(control_plane, namespace):
    async with (
        Scripted(LOST, LOST, LOST, TAKEN) as server,
        desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one,
    ):
        await one.send(message("stubborn", onUncertain="Resend"))
        status = await one.finished("stubborn")
    assert condition(status)["reason"] == "AcceptedByServer"
    assert len(server.bodies) == 4
    assert len(set(server.bodies)) == 1


async def test_an_international_domain_goes_out_in_a_labels_and_needs_no_extension(control_plane, namespace):
    async with (
        mail_server(enable_SMTPUTF8=False) as server,
        desk(control_plane, namespace, Outlets(outlet(server.port))) as one,
    ):
        await one.send(message("idn", "Jörg <post@müller.example>", bcc=["a@bücher.example"]))
        status = await one.finished("idn")
    assert condition(status)["reason"] == "AcceptedByServer"
    ((_, recipients, raw),) = server.inbox.messages
    assert recipients == ["post@xn--mller-kva.example", "a@xn--bcher-kva.example"]
    assert raw.isascii()
    assert parsed(raw)["To"] == "Jörg <post@xn--mller-kva.example>"


async def test_a_name_beyond_ascii_goes_to_a_server_that_knows_smtputf8(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(message("utf8", "jörg@müller.example"))
        status = await one.finished("utf8")
    assert condition(status)["reason"] == "AcceptedByServer"
    ((_, recipients, raw),) = server.inbox.messages
    assert recipients == ["jörg@xn--mller-kva.example"]
    assert "To: jörg@xn--mller-kva.example\r\n".encode() in raw


async def test_where_the_server_knows_no_smtputf8_that_recipient_alone_is_refused(control_plane, namespace):
    async with (
        mail_server(enable_SMTPUTF8=False) as server,
        desk(control_plane, namespace, Outlets(outlet(server.port))) as one,
    ):
        await one.send(message("mixed", "a@example.org", bcc=["jörg@example.org"]))
        status = await one.finished("mixed")
    assert [recipients for _, recipients, _ in server.inbox.messages] == [["a@example.org"]]
    assert [(one["result"], one.get("reason")) for one in status["recipientResults"]] == [
        ("Accepted", None),
        ("Refused", "AddressNotSupported"),
    ]
    assert condition(status)["reason"] == "RecipientsRefused"


@pytest.mark.parametrize("reply", ["452 4.5.3 too many recipients", "552 5.5.3 too many recipients"])
async def test_a_server_that_takes_few_recipients_at_once_gets_the_rest_in_the_next_transaction(
    control_plane, namespace, reply
):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        asked = []

        def answer(address):
            asked.append(address)
            return reply if len(asked) in {3, 6} else ""

        server.inbox.replies["RCPT"] = answer
        names = [f"u{i}@example.org" for i in range(5)]
        await one.send(message("many", *names))
        status = await one.finished("many")
    assert condition(status)["reason"] == "AcceptedByServer"
    taken = [recipients for _, recipients, _ in server.inbox.messages]
    assert [len(part) for part in taken] == [2, 2, 1]
    assert [name for part in taken for name in part] == names
    assert len({raw for _, _, raw in server.inbox.messages}) == 1
    assert [one["result"] for one in status["recipientResults"]] == ["Accepted"] * 5


async def test_a_greylisted_recipient_waits_alone_and_gets_the_same_mail(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        tries = []

        def answer(address):
            tries.append(address)
            is_new = address == "grey@example.org" and tries.count(address) == 1
            return "450 4.7.1 greylisted, come back in a while" if is_new else ""

        server.inbox.replies["RCPT"] = answer
        await one.send(message("grey", "a@example.org", "grey@example.org"))
        waiting = await one.status("grey", lambda status: status.get("attempts") == 1)
        status = await one.finished("grey")
    assert waiting["recipientResults"][1]["reason"] in {"Greylisted", None}
    assert [recipients for _, recipients, _ in server.inbox.messages] == [["a@example.org"], ["grey@example.org"]]
    assert len({raw for _, _, raw in server.inbox.messages}) == 1
    assert condition(status)["status"] == "True"
    assert status["attempts"] == 2
