"""What messages can do, in one mail: batches of messages that take files and words from elsewhere, signed, under limits and through a fallback."""

import email
import email.policy
from dataclasses import replace

from contentrig import PNG, office, put_map, put_template
from dkimrig import is_right, key
from outboxrig import Desk, Outlets, condition, desk, limited, message, outlet, until
from smtprig import mail_server
from watchbell.outbox.outlet import ConnectorKey


def member(name, most=2, **spec):
    batch = {"key": "nightly", "maxMessages": most, "maxWaitSeconds": 60}
    return message(name, **{"body": {"text": f"This is what {name} says.\n"}, "batch": batch, **spec})


def picture(of="reports"):
    return {"filename": "load.png", "contentType": "image/png", "configMapKeyRef": {"name": of, "key": "load.png"}}


def parsed(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def enclosed(mail):
    """The mails within one, by their file names."""
    return {part.get_filename(): part.get_content() for part in mail.iter_attachments()}


async def all_finished(one: Desk, *names: str):
    return [await one.finished(name) for name in names]


async def test_messages_of_a_batch_bring_their_files_and_their_words_into_the_shared_mail(control_plane, namespace):
    async with office(control_plane, namespace) as (one, server):
        await put_map(one.client, namespace, **{"load.png": PNG})
        await put_template(one.client, namespace)
        worded = member("worded")
        del worded["spec"]["subject"], worded["spec"]["body"]
        worded["spec"] |= {
            "templateRef": {"name": "run"},
            "parameters": [{"name": "day", "value": "Monday"}, {"name": "count", "value": "3"}],
        }
        await one.send(member("drawn", attachments=[picture()]))
        await one.send(worded)
        statuses = await all_finished(one, "drawn", "worded")

    ((_, _, raw),) = server.inbox.messages
    mail = parsed(raw)
    text = mail.get_body(("plain",)).get_content()
    assert "This is what drawn says." in text
    assert "3 of them failed." in text
    (inner,) = enclosed(mail).values()
    assert enclosed(inner)["load.png"] == PNG
    assert {status["messageID"] for status in statuses} == {mail["Message-ID"]}
    assert all(status["contentDigest"] for status in statuses)


async def test_a_message_whose_file_is_missing_waits_for_it_and_holds_up_nobody_of_its_batch(control_plane, namespace):
    async with office(control_plane, namespace) as (one, server):
        await one.send(member("lacking", attachments=[picture("absent")]))
        await one.send(member("whole"))
        await one.finished("whole")
        lacking = await one.status("lacking", lambda status: condition(status).get("reason") == "AttachmentNotFound")

    assert "spec.attachments[0]" in condition(lacking)["message"]
    assert lacking["attempts"] == 0
    assert [parsed(raw)["Subject"] for _, _, raw in server.inbox.messages] == ["About whole"]


async def test_a_shared_mail_is_signed_once_as_a_whole(control_plane, namespace):
    async with mail_server() as server:
        signing = replace(outlet(server.port), dkim=key("rsa"))
        async with desk(control_plane, namespace, Outlets(signing)) as one:
            await one.send(member("one"))
            await one.send(member("two", body={"text": "Two.\n", "html": "<p>Two.</p>"}))
            await all_finished(one, "one", "two")

    ((_, _, raw),) = server.inbox.messages
    assert is_right(raw, "rsa")
    assert raw.lower().count(b"dkim-signature:") == 1


async def test_a_shared_mail_counts_once_against_the_limits_and_waits_as_one(control_plane, namespace):
    async with mail_server() as server:
        async with desk(control_plane, namespace, Outlets(limited(server.port, messages_per_minute=1))) as one:
            for name in ("a", "b"):
                await one.send(member(name))
            await all_finished(one, "a", "b")
            for name in ("c", "d"):
                await one.send(member(name))
            waiting = [
                await one.status(name, lambda status: condition(status).get("reason") == "RateLimited")
                for name in ("c", "d")
            ]
            assert [status["attempts"] for status in waiting] == [0, 0]
            assert len(server.inbox.messages) == 1
            one.skip(62)
            await all_finished(one, "c", "d")
            await until(lambda: one.outbox.queue_depth == 0)
        assert len(server.inbox.messages) == 2


async def test_a_batch_that_a_fallback_takes_says_so_in_each_of_its_messages(control_plane, namespace):
    async with mail_server() as server:
        away = ConnectorKey("SmtpConnector", "apps", "away")
        backup = replace(outlet(server.port, "backup"), stands_in_for=away)
        async with desk(control_plane, namespace, Outlets(backup)) as one:
            await one.send(member("one"))
            await one.send(member("two"))
            statuses = await all_finished(one, "one", "two")

    assert len(server.inbox.messages) == 1
    assert {status["connector"] for status in statuses} == {"SmtpConnector/apps/backup"}
