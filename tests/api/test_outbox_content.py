"""What a message takes from elsewhere, on a real API server: files of ConfigMaps and Secrets, and the words of an EmailTemplate."""

import email
import email.policy

import pytest

from contentrig import PNG, TEMPLATES, encoded, office, put_map, put_template
from kuberig import client_of
from outboxrig import Outlets, condition, desk, message, outlet, until
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server, relay
from watchbell.api.reasons import Reason
from watchbell.kube.client import CONFIGMAPS, SECRETS
from watchbell.outbox import courier
from watchbell.outbox.letters.content import Enclosure, Lack
from watchbell.outbox.letters.sources import Sources
from watchbell.outbox.outlet import Unavailable

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 8
ACCEPT = (GREET, "r", ehlo("8BITMIME"), "r", OK, "r", OK, "r", b"354 go on\r\n", "data")
LOST = (*ACCEPT, "abort")
TAKEN = (*ACCEPT, b"250 2.0.0 queued\r\n", "r", OK, *BYE)
AWAY = Unavailable(Reason.CONNECTOR_NOT_READY, "the connector is being mended")


async def put_secret(client, namespace, name="sealed", labels=None, **content):
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels or {}}}
    body["data"] = {key: encoded(value) for key, value in content.items()}
    return await client.create(SECRETS, body, namespace)


def file(filename, content_type, key, name="reports", source="configMapKeyRef", **more):
    return {"filename": filename, "contentType": content_type, source: {"name": name, "key": key}, **more}


def parsed(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def files_of(raw):
    return {part.get_filename(): part.get_payload(decode=True) for part in parsed(raw).iter_attachments()}


def worded(name="m", template="run", **spec):
    made = message(name, **spec)
    for field in ("subject", "body"):
        if field not in spec:
            del made["spec"][field]
    made["spec"]["templateRef"] = {"name": template}
    return made


def given(**values):
    return [{"name": name, "value": value} for name, value in values.items()]


# --- files


async def test_files_of_config_maps_and_secrets_arrive_byte_for_byte(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await put_map(one.client, namespace, **{"list.csv": "a,größe\r\n", "report.pdf": PDF, "empty.txt": ""})
        await put_secret(one.client, namespace, labels={"watchbell.dev/attachment": "true"}, bundle=b"\0\1\2" * 1000)
        attachments = [
            file("list.csv", "text/csv", "list.csv"),
            {"filename": "note.txt", "contentType": "text/plain", "text": "written here\n"},
            file("Bericht März.pdf", "application/pdf", "report.pdf"),
            file("bundle.bin", "application/octet-stream", "bundle", "sealed", "secretKeyRef"),
            file("empty.txt", "text/plain", "empty.txt"),
        ]
        await one.send(message("files", attachments=attachments))
        status = await one.finished("files")
    assert condition(status)["reason"] == "AcceptedByServer"
    assert len(status["contentDigest"]) == 64
    ((_, _, raw),) = server.inbox.messages
    assert raw.isascii()
    assert files_of(raw) == {
        "list.csv": "a,größe\r\n".encode(),
        "note.txt": b"written here\r\n",
        "Bericht März.pdf": PDF,
        "bundle.bin": b"\0\1\2" * 1000,
        "empty.txt": b"",
    }


async def test_an_image_stands_beside_the_html_that_shows_it(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await put_map(one.client, namespace, logo=PNG, list="a,b\n")
        await one.send(
            message(
                "picture",
                body={"text": "See the picture.", "html": '<p><img src="cid:logo.png" alt="logo"></p>'},
                attachments=[
                    file("logo.png", "image/png", "logo", disposition="Inline"),
                    file("list.csv", "text/csv", "list"),
                ],
            )
        )
        assert condition(await one.finished("picture"))["reason"] == "AcceptedByServer"
    ((_, _, raw),) = server.inbox.messages
    mail = parsed(raw)
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/csv",
    ]
    image = next(part for part in mail.walk() if part.get_content_type() == "image/png")
    assert (image["Content-ID"], image.get_content_disposition()) == ("<logo.png>", "inline")
    assert image.get_payload(decode=True) == PNG


@pytest.mark.parametrize(
    ("attachment", "told"),
    [
        (
            file("a.csv", "text/csv", "a", "absent"),
            "spec.attachments[0].configMapKeyRef.name: there is no ConfigMap absent in",
        ),
        (
            file("a.csv", "text/csv", "b"),
            "spec.attachments[0].configMapKeyRef.key: ConfigMap reports has no key b (keys: a)",
        ),
        (
            file("a.csv", "text/csv", "a", "absent", "secretKeyRef"),
            "spec.attachments[0].secretKeyRef.name: there is no Secret absent in",
        ),
    ],
)
async def test_a_file_that_does_not_exist_ends_the_message_after_a_while_with_its_cure(
    control_plane, namespace, attachment, told
):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port)), sources_patience_s=1.5) as one,
    ):
        await put_map(one.client, namespace, a="1\n")
        await one.send(message("missing", attachments=[attachment]))
        waiting = await one.status("missing", condition)
        assert (condition(waiting)["status"], condition(waiting)["reason"]) == ("Unknown", "AttachmentNotFound")
        status = await one.finished("missing")
        assert not server.inbox.messages
    assert (condition(status)["status"], condition(status)["reason"]) == ("False", "AttachmentNotFound")
    assert condition(status)["message"].startswith(told)
    assert status["attempts"] == 0


async def test_a_file_that_comes_a_moment_later_is_waited_for(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await one.send(message("early", attachments=[file("a.csv", "text/csv", "a")]))
        await one.status("early", lambda status: condition(status).get("reason") == "AttachmentNotFound")
        await put_map(one.client, namespace, a="1\n")
        status = await one.finished("early")
    assert condition(status)["reason"] == "AcceptedByServer"
    assert status["attempts"] == 1
    assert files_of(server.inbox.messages[0][2]) == {"a.csv": b"1\r\n"}


@pytest.mark.parametrize("labels", [{}, {"watchbell.dev/smtp": "true"}, {"watchbell.dev/signing-key": "true"}])
async def test_a_secret_that_did_not_opt_in_to_be_mailed_is_not_and_its_content_shows_nowhere(
    control_plane, namespace, labels, caplog
):
    """Above all a relay's password: whoever may create messages would else have it sent to himself."""
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        await put_secret(one.client, namespace, labels=labels, password=b"hunter2-of-the-relay")
        wanted = file("a.txt", "text/plain", "password", "sealed", "secretKeyRef")
        await one.send(message("thief", attachments=[wanted]))
        waiting = await one.status("thief", condition)
        assert condition(waiting)["reason"] == "SecretNotOptedIn"
        assert (
            f"kubectl -n {namespace} label secret sealed watchbell.dev/attachment=true" in condition(waiting)["message"]
        )
        assert not server.inbox.messages
        change = {"metadata": {"labels": {"watchbell.dev/attachment": "true"}}}
        await one.client.patch(SECRETS, "sealed", change, namespace)
        status = await one.finished("thief")
        stored = str(await one.read("thief"))
    assert condition(status)["reason"] == "AcceptedByServer"
    assert "hunter2" not in caplog.text + stored


async def test_rights_that_are_missing_are_named_with_the_command_that_gives_them(control_plane, namespace):
    async with client_of(control_plane, "plain") as poor, client_of(control_plane) as rich:
        await put_map(rich, namespace, a="1")
        found = await Sources(poor, home="home")._read(Enclosure("ConfigMap", "reports", "a", 3), namespace)
    assert isinstance(found, Lack)
    assert found.reason is Reason.ATTACHMENT_FORBIDDEN
    assert found.message.startswith("spec.attachments[3].configMapKeyRef: the operator may not get ConfigMap reports")
    assert "--verb=get --resource=configmaps --resource-name=reports" in found.message
    assert "--serviceaccount=home:watchbell" in found.message


async def test_files_that_are_too_large_together_are_not_read_to_the_end_and_nothing_is_sent(control_plane, namespace):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port, max_message_bytes=1_000_000))) as one,
    ):
        for name in ("one", "two"):
            await put_map(one.client, namespace, name, k=b"\1" * 400_000)
        names = ("one", "two", "one")
        attachments = [file(f"{i}.bin", "application/octet-stream", "k", name) for i, name in enumerate(names)]
        await one.send(message("large", attachments=attachments))
        status = await one.finished("large")
        # Within the limit as they are, beyond it in base64.
        await one.send(message("swollen", attachments=attachments[:2]))
        swollen = await one.finished("swollen")
        assert not server.inbox.messages
    assert condition(status)["reason"] == condition(swollen)["reason"] == "MessageTooLarge"
    assert condition(status)["message"].startswith(
        "spec.attachments[2].configMapKeyRef: with it the attachments are larger"
    )


async def test_many_large_mails_are_not_all_in_memory_at_once(control_plane, namespace, monkeypatch):
    monkeypatch.setattr(courier, "ROUND_BYTES_MAX", 500_000)
    outlets = Outlets(AWAY)
    async with mail_server() as server, desk(control_plane, namespace, outlets) as one:
        await put_map(one.client, namespace, big=bytes(400_000))
        for i in range(8):
            await one.send(message(f"m{i}", attachments=[file("big.bin", "application/octet-stream", "big")]))
        await one.status("m7", lambda status: condition(status).get("reason") == "ConnectorNotReady")
        outlets.answer = outlet(server.port, max_connections=1)
        one.outbox.connector_changed(outlets.answer.key)
        for i in range(8):
            assert condition(await one.finished(f"m{i}", 60))["reason"] == "AcceptedByServer"
    assert len(server.inbox.messages) == 8


# --- words


async def test_a_template_of_the_namespace_makes_subject_and_both_parts(control_plane, namespace):
    async with office(control_plane, namespace) as (one, server):
        await put_template(one.client, namespace, html="<p>{{ parameters.count }} &amp; more</p>")
        await one.send(worded("whole", parameters=given(day="Monday", count="<3>")))
        await one.send(worded("own-subject", subject="My own", parameters=given(day="Monday")))
        whole, own = await one.finished("whole"), await one.finished("own-subject")
    assert condition(whole)["reason"] == condition(own)["reason"] == "AcceptedByServer"
    mails = {str(mail["Subject"]): mail for mail in (parsed(raw) for _, _, raw in server.inbox.messages)}
    assert set(mails) == {"Run of Monday", "My own"}
    assert mails["Run of Monday"].get_body(("plain",)).get_content() == "<3> of them failed.\r\n"
    assert "&lt;3&gt; &amp; more" in mails["Run of Monday"].get_body(("html",)).get_content()
    assert mails["My own"].get_body(("plain",)).get_content() == "None of them failed.\r\n"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (given(count="3"), "spec.parameters[day]: must be given"),
        (given(day="Monday", dya="x"), "spec.parameters[dya]: the template has no such parameter; did you mean day?"),
        (given(day="x" * 11), "spec.parameters[day]: has 11 characters; at most 10 are allowed"),
    ],
)
async def test_a_parameter_that_does_not_fit_ends_the_message_with_its_name(control_plane, namespace, parameters, told):
    async with office(control_plane, namespace) as (one, server):
        await put_template(one.client, namespace)
        await one.send(worded(parameters=parameters))
        status = await one.finished("m")
        assert not server.inbox.messages
    assert condition(status)["reason"] == "InvalidMessage"
    assert condition(status)["message"].startswith(told)


async def test_a_template_that_is_not_there_ends_the_message_after_a_while(control_plane, namespace):
    async with office(control_plane, namespace, sources_patience_s=1.5) as (one, server):
        await one.send(worded(template="rnu"))
        status = await one.finished("m")
        assert not server.inbox.messages
    assert (condition(status)["status"], condition(status)["reason"]) == ("False", "TemplateNotFound")
    assert condition(status)["message"].startswith("spec.templateRef.name: there is no EmailTemplate rnu in namespace")


async def test_a_message_waits_for_a_template_that_fails_and_goes_out_when_it_is_mended(control_plane, namespace):
    async with office(control_plane, namespace) as (one, server):
        await put_template(one.client, namespace, text="{{ incident.owner }} failed.\n")
        await one.send(worded(parameters=given(day="Monday")))
        waiting = await one.status("m", lambda status: condition(status).get("reason") == "TemplateFailed")
        assert "incident is not a known name" in condition(waiting)["message"]
        assert condition(waiting)["message"].startswith("spec.templateRef.name: EmailTemplate run gives no mail: text")
        await one.client.patch(TEMPLATES, "run", {"spec": {"text": "All failed.\n"}}, namespace)
        status = await one.finished("m", 30)
    assert condition(status)["reason"] == "AcceptedByServer"
    assert parsed(server.inbox.messages[0][2]).get_content() == "All failed.\r\n"


# --- what changes between two attempts


async def test_a_file_that_stays_is_sent_again_to_the_byte_after_a_lost_reply(control_plane, namespace):
    async with (
        Scripted(LOST, TAKEN) as server,
        desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one,
    ):
        await put_map(one.client, namespace, a=PDF)
        await one.send(message("again", attachments=[file("a.pdf", "application/pdf", "a")]))
        assert condition(await one.finished("again"))["reason"] == "AcceptedByServer"
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize("is_killed", [False, True])
async def test_a_file_that_changed_after_a_lost_reply_makes_no_second_other_mail(control_plane, namespace, is_killed):
    async with Scripted(LOST, TAKEN) as server, client_of(control_plane) as client:
        await put_map(client, namespace, a="one\n")
        async with desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as one:
            if is_killed:
                one.crash_ledger()
            await one.send(message("other", attachments=[file("a.txt", "text/plain", "a")]))
            await until(lambda: len(server.bodies) == 1)
            answer, one.outlets.answer = one.outlets.answer, AWAY  # no second copy before the file has changed
            if is_killed:
                await one.crash()
            await client.patch(CONFIGMAPS, "reports", {"data": {"a": "two\n"}}, namespace)
            one.outlets.answer = answer
            status = None if is_killed else await one.finished("other")
        if is_killed:
            async with desk(control_plane, namespace, Outlets(outlet(relay(server.port)))) as successor:
                status = await successor.finished("other")
    assert len(server.bodies) == 1
    assert (condition(status)["status"], condition(status)["reason"]) == ("False", "ContentChanged")
    assert status["recipientResults"][0]["result"] == "Unknown"


async def test_a_file_that_changed_before_anybody_got_the_mail_is_sent_as_it_is_now(control_plane, namespace):
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port))) as one:
        server.inbox.replies["MAIL"] = lambda _: "451 4.3.0 later"
        await put_map(one.client, namespace, a="one\n")
        await one.send(message("fresh", attachments=[file("a.txt", "text/plain", "a")]))
        waiting = await one.status("fresh", lambda status: status.get("attempts", 0) >= 1)
        await one.client.patch(CONFIGMAPS, "reports", {"data": {"a": "two\n"}}, namespace)
        server.inbox.replies.clear()
        status = await one.finished("fresh")
    assert condition(status)["reason"] == "AcceptedByServer"
    assert len(waiting["contentDigest"]) == 64
    assert waiting["contentDigest"] != status["contentDigest"]
    ((_, _, raw),) = server.inbox.messages
    assert files_of(raw) == {"a.txt": b"two\r\n"}
