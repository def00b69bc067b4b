"""Account mail on a real API server and a real mail server: it arrives, it works, and nothing else has what it holds."""

import asyncio
import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest

from accountrig import CODES, KEY, SECRET, Room, Uses, codes_of, link_of, parsed, room, succeeded, token_of
from kuberig import client_of, until
from outboxrig import condition, message, outlet
from smtprig import BYE, GREET, OK, Scripted, ehlo, mail_server, relay
from watchbell.accounts import plans
from watchbell.accounts.codes import derive, is_hash, place_of
from watchbell.accounts.minter import RECOVERIES
from watchbell.accounts.reconcile import MESSAGES
from watchbell.accounts.tokens import Claims, Expected, verify
from watchbell.api.account import AccountRecovery
from watchbell.api.enums import Use
from watchbell.api.meta import parse
from watchbell.api.reasons import Reason
from watchbell.kube.client import EVENTS, SECRETS
from watchbell.kube.errors import NotFound
from watchbell.outbox.outlet import ConnectorKey, Unavailable
from watchbell.outbox.retry import DEFAULT_SCHEDULE

ACCEPT = (GREET, "r", ehlo("8BITMIME"), "r", OK, "r", OK, "r", b"354 go on\r\n", "data")
LOST = (*ACCEPT, "abort")
TAKEN = (*ACCEPT, b"250 2.0.0 queued\r\n", "r", OK, *BYE)
NO_ROAD = Unavailable(Reason.CONNECTOR_NOT_READY, "the connector is being mended")


async def hashes_of(one: Room, name: str = "reset-alice-codes") -> list[str]:
    secret = await one.client.get(SECRETS, name, one.namespace)
    return base64.b64decode(secret["data"]["hashes"]).decode().split()


async def test_a_link_arrives_that_the_application_can_check(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        await one.keys()
        made = await one.ask()
        status = await one.finished()
        assert succeeded(status)[:2] == ("True", "AcceptedByServer")
        ((_, recipients, content),) = server.inbox.messages
    assert recipients == ["alice@example.com"]
    mail = parsed(content)
    assert (mail["To"], mail["Subject"]) == ("Alice <alice@example.com>", "Reset your password for app.example.com")
    assert link_of(content).startswith("https://app.example.com/reset?lang=en&token=ey")
    created = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
    expires = created + timedelta(seconds=900)
    expected = Expected("https://app.example.com", f"watchbell/{namespace}")
    found = verify(token_of(content), {"k1": KEY}, expected, datetime.now(UTC))
    assert found == Claims(expected.issuer, expected.audience, "alice", made["metadata"]["uid"], created, expires)
    assert datetime.fromisoformat(status["expirationTime"]) == expires
    assert one.uses.uses == [Use.RECOVERY]


async def test_codes_arrive_whose_hashes_are_in_a_secret_of_the_application(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        await one.keys()
        made = await one.ask(**CODES, codeCount=4)
        status = await one.finished()
        ((_, _, content),) = server.inbox.messages
        codes, hashes = codes_of(content), await hashes_of(one)
        secret = await one.client.get(SECRETS, status["codesSecretRef"]["name"], namespace)
    assert len(codes) == len(hashes) == 4
    assert all(map(is_hash, hashes))
    assert [place_of(code.lower().replace("-", " "), hashes) for code in codes] == [0, 1, 2, 3]
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("AccountRecovery", made["metadata"]["uid"])
    assert base64.b64decode(secret["data"]["account"]) == b"alice"


@pytest.mark.parametrize("spec", [{}, CODES], ids=["link", "codes"])
async def test_a_mail_that_is_sent_again_is_the_same_to_the_byte(control_plane, namespace, spec):
    async with Scripted(LOST, TAKEN) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        await one.keys()
        await one.ask(**spec)
        assert succeeded(await one.finished())[:2] == ("True", "AcceptedByServer")
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize("spec", [{}, CODES], ids=["link", "codes"])
async def test_a_process_that_dies_after_the_mail_was_sent_is_followed_by_one_that_sends_the_same(
    control_plane, namespace, spec
):
    async with Scripted(LOST, TAKEN) as server:
        async with room(control_plane, namespace, outlet(relay(server.port))) as one:
            await one.keys()
            await one.ask(**spec)
            await until(lambda: len(server.bodies) == 1)
            await one.desk.crash()
        async with room(control_plane, namespace, outlet(relay(server.port))) as one:
            assert succeeded(await one.finished())[:2] == ("True", "AcceptedByServer")
    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


async def test_a_process_that_dies_between_message_and_status_leaves_one_message(control_plane, namespace, monkeypatch):
    async with mail_server(has_auth=False) as server:
        async with client_of(control_plane) as client:
            first = Room(client, namespace, Uses(NO_ROAD))

            async def dies(*_, **__):
                await asyncio.Event().wait()

            with monkeypatch.context() as patch:
                patch.setattr(client, "apply_status", dies)
                first.start(sends=False)
                await first.keys()
                await first.ask(**CODES)
                async with asyncio.timeout(30):
                    while not await first.messages():  # noqa: ASYNC110 - another task decides when
                        await asyncio.sleep(0.01)
                before = await hashes_of(first)
                await first.stop()
            assert "completionTime" not in (await first.get()).get("status", {})
        async with room(control_plane, namespace, outlet(relay(server.port))) as one:
            assert succeeded(await one.finished())[:2] == ("True", "AcceptedByServer")
            assert len(await one.messages()) == 1
            assert await hashes_of(one) == before
        ((_, _, content),) = server.inbox.messages
        assert place_of(codes_of(content)[0], before) == 0


async def test_who_may_create_messages_gets_no_link_of_others(control_plane, namespace):
    """The attack that this kind invites: a message that says it belongs to the recovery of somebody else."""
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        one.uses.by_name["closed"] = NO_ROAD
        await one.keys()
        victim = await one.ask(connectorRef={"name": "closed"})
        await one.waits_for("ConnectorNotReady")
        owner = {
            "apiVersion": "watchbell.dev/v1alpha1",
            "kind": "AccountRecovery",
            "name": "reset-alice",
            "uid": victim["metadata"]["uid"],
            "controller": True,
        }
        template = {"subject": "Hello", "body": None, "templateRef": {"builtin": "PasswordReset"}}
        for name, owners in (("owned", [owner]), ("orphan", []), ("stale", [owner | {"uid": "0000"}])):
            body = message(name, "mallory@evil.example", **template)
            body["spec"].pop("body")
            body["metadata"]["ownerReferences"] = owners
            await one.desk.send(body)
            status = await one.desk.finished(name)
            assert condition(status)["reason"] == "InvalidMessage", name
        (mine,) = [item for item in await one.messages() if item["metadata"]["name"].startswith("reset-alice")]
        await one.client.delete(MESSAGES, mine["metadata"]["name"], namespace)
        await one.finished()
        forged = message(mine["metadata"]["name"], "mallory@evil.example", **template)
        forged["spec"].pop("body")
        forged["metadata"]["ownerReferences"] = [owner]
        await one.desk.send(forged)
        status = await one.desk.finished(mine["metadata"]["name"])
        assert "finished" in condition(status)["message"]
        assert server.inbox.messages == []


@pytest.mark.parametrize("is_late", [False, True], ids=["in-time", "too-late"])
async def test_a_message_that_somebody_put_in_its_place_is_neither_filled_nor_followed(
    control_plane, namespace, is_late
):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        made = await one.ask()
        await one.waits_for("SecretNotFound")
        wanted = plans.message_of(parse(AccountRecovery, made), one.now())
        forged = {**wanted, "spec": {**wanted["spec"], "to": ["mallory@evil.example"]}}
        await one.desk.send(forged)
        name = forged["metadata"]["name"]
        told = condition(await one.desk.finished(name))
        assert (told["reason"], told["message"][:8]) == ("InvalidMessage", "spec.to:")
        await one.keys()
        assert f"EmailMessage {name} exists" in await one.waits_for("NameTaken")
        if is_late:
            one.later_s = 901
            assert succeeded(await one.finished())[:2] == ("False", "DeadlineExceeded")
            assert server.inbox.messages == []
            return
        await one.client.delete(MESSAGES, name, namespace)
        assert succeeded(await one.finished())[:2] == ("True", "AcceptedByServer")
        assert [recipients for _, recipients, _ in server.inbox.messages] == [["alice@example.com"]]


async def test_what_goes_missing_before_the_mail_is_out_is_looked_for_every_few_seconds(control_plane, namespace):
    """Not in an hour, as for a connector: a link has minutes."""
    slow = {"schedule": DEFAULT_SCHEDULE}
    async with (
        mail_server(has_auth=False) as server,
        room(control_plane, namespace, NO_ROAD, **slow) as one,
    ):
        await one.keys()
        await one.ask()
        await one.waits_for("ConnectorNotReady")
        await one.client.delete(SECRETS, SECRET, namespace)
        one.uses.answer = outlet(relay(server.port))
        one.desk.outbox.connector_changed(ConnectorKey("", namespace, "default"))
        await one.waits_for("SecretNotFound")
        await one.keys()
        await one.finished()
        assert len(server.inbox.messages) == 1


async def test_what_is_missing_is_named_with_its_cure_and_waited_for(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        await one.ask()
        assert f"kubectl -n {namespace} create secret generic {SECRET}" in await one.waits_for("SecretNotFound")
        await one.keys(opts_in=False)
        assert f"kubectl -n {namespace} label secret {SECRET}" in await one.waits_for("SecretNotOptedIn")
        await one.keys(k1=KEY, k2=KEY * 2)
        assert "watchbell.dev/signs-with=k2" in await one.waits_for("SigningKeyUnclear")
        assert await one.messages() == []
        await one.keys("k2", k1=KEY, k2=KEY * 2)
        await one.finished()
        ((_, _, content),) = server.inbox.messages
    assert isinstance(verify(token_of(content), {"k2": KEY * 2}, Expected(), datetime.now(UTC)), Claims)


async def test_rights_that_are_missing_are_named_with_the_command_that_gives_them(control_plane, namespace):
    async with (
        mail_server(has_auth=False) as server,
        client_of(control_plane, "plain") as reader,
        room(control_plane, namespace, outlet(relay(server.port)), reader=reader) as one,
    ):
        await one.keys()
        await one.ask()
        told = await one.waits_for("SecretForbidden")
        assert (
            f"kubectl -n {namespace} create role watchbell-{SECRET} --verb=get --resource=secrets --resource-name={SECRET}"
            in told
        )
        assert "--serviceaccount=watchbell-system:watchbell" in told


async def test_a_recovery_whose_time_is_over_sends_nothing(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        await one.ask()
        await one.waits_for("SecretNotFound")
        one.later_s = 901
        status = await one.finished()
        assert succeeded(status)[:2] == ("False", "DeadlineExceeded")
        assert "there is no Secret account-mail" in succeeded(status)[2]
        assert "messageRef" not in status
        assert server.inbox.messages == []


async def test_a_link_that_has_expired_is_not_sent_even_if_the_message_still_could_be(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, NO_ROAD) as one:
        await one.keys()
        await one.ask()
        await one.waits_for("ConnectorNotReady")
        one.later_s = 901
        one.uses.answer = outlet(relay(server.port))
        one.desk.outbox.connector_changed((await one.messages())[0] and one.uses.answer.key)
        status = await one.finished()
        assert succeeded(status)[:2] == ("False", "InvalidMessage")
        assert "expired" in succeeded(status)[2]
        assert server.inbox.messages == []


async def test_the_key_that_signs_when_the_mail_goes_out_is_the_one_that_counts(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, NO_ROAD) as one:
        await one.keys("k1", k1=KEY)
        await one.ask()
        await one.waits_for("ConnectorNotReady")
        await one.keys("k2", k1=KEY, k2=KEY * 2)
        one.uses.answer = outlet(relay(server.port))
        await one.finished()
        ((_, _, content),) = server.inbox.messages
    assert isinstance(verify(token_of(content), {"k2": KEY * 2}, Expected(), datetime.now(UTC)), Claims)


async def test_codes_whose_key_was_taken_away_are_held_and_go_out_when_it_is_back(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, NO_ROAD) as one:
        await one.keys("k1", k1=KEY)
        made = await one.ask(**CODES)
        await one.waits_for("ConnectorNotReady")
        await one.keys("k2", k2=KEY * 2)
        one.uses.answer = outlet(relay(server.port))
        assert "key k1" in await one.waits_for("SecretKeyMissing")
        await one.keys("k2", k1=KEY * 2, k2=KEY * 2)
        assert "was changed" in await one.waits_for("SecretMalformed")
        await one.keys("k2", k1=KEY, k2=KEY * 2)
        await one.finished()
        ((_, _, content),) = server.inbox.messages
    assert codes_of(content) == list(derive(KEY, made["metadata"]["uid"], 10))


async def test_a_secret_of_others_is_never_taken_for_its_own(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        await one.keys()
        await one.keys(name="reset-alice-codes", k1=b"of somebody else")
        await one.ask(**CODES)
        assert "Secret reset-alice-codes exists" in await one.waits_for("NameTaken")
        assert await one.messages() == []
        await one.client.delete(SECRETS, "reset-alice-codes", namespace)
        await one.finished()
        assert len(await hashes_of(one)) == 10
        assert len(server.inbox.messages) == 1


async def test_a_deleted_message_cancels_it(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, NO_ROAD) as one:
        await one.keys()
        await one.ask()
        await one.waits_for("ConnectorNotReady")
        (waiting,) = await one.messages()
        await one.client.delete(MESSAGES, waiting["metadata"]["name"], namespace)
        assert succeeded(await one.finished())[:2] == ("False", "MessageDeleted")
        assert server.inbox.messages == []


async def test_a_refused_recipient_is_told_on_the_recovery_and_in_an_event(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        server.inbox.replies["RCPT"] = lambda _: "550 5.1.1 no such user"
        await one.keys()
        made = await one.ask()
        status = await one.finished()
        assert succeeded(status)[:2] == ("False", "RecipientsRefused")
        assert any(item["type"] == "Stalled" for item in status["conditions"])
        await one.recorder.flushed()
        told = [
            item
            for item in await one.client.list(EVENTS, namespace)
            if item["regarding"]["uid"] == made["metadata"]["uid"]
        ]
    assert [(item["type"], item["reason"]) for item in told] == [("Warning", "RecipientsRefused")]


async def test_who_does_not_lead_does_nothing_until_it_does(control_plane, namespace):
    async with mail_server(has_auth=False) as server, room(control_plane, namespace, outlet(relay(server.port))) as one:
        one.is_leading = False
        await one.keys()
        await one.ask()
        await until(lambda: one.accounts.unfinished == 1)
        assert await one.messages() == []
        one.is_leading = True
        one.accounts.lead()
        await one.finished()
        assert len(server.inbox.messages) == 1


@pytest.mark.parametrize("is_successor", [False, True], ids=["by-the-same-process", "by-the-next"])
async def test_a_finished_one_is_deleted_when_its_time_is_over(control_plane, namespace, is_successor):
    async with mail_server(has_auth=False) as server:
        async with room(control_plane, namespace, outlet(relay(server.port))) as one:
            await one.keys()
            await one.ask(ttlSecondsAfterFinished=3 if is_successor else 0)
            if is_successor:
                await one.finished()
            else:
                await gone(one)
        if is_successor:
            async with room(control_plane, namespace, outlet(relay(server.port))) as one:
                await gone(one)


async def gone(one: Room) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await one.client.get(RECOVERIES, "reset-alice", one.namespace)
            except NotFound:
                return
            await asyncio.sleep(0.05)


async def test_nothing_but_the_mail_has_the_token_the_codes_or_the_key(control_plane, namespace, caplog):
    """Every object of the namespace, all that is logged (at debug), Events and metrics, after success, retries and failure."""
    caplog.set_level("DEBUG")
    async with (
        Scripted(LOST, TAKEN, LOST, TAKEN) as server,
        room(control_plane, namespace, outlet(relay(server.port))) as one,
    ):
        await one.keys("k1", k1=KEY)
        await one.ask()
        await one.finished()
        await one.ask("codes-alice", **CODES)
        await one.finished("codes-alice")
        one.uses.answer = NO_ROAD
        await one.ask("late", **CODES)
        await one.waits_for("ConnectorNotReady", "late")
        one.later_s = 901
        await one.desk.outbox.drain(5)
        await one.recorder.flushed()
        seen = await everything(one)
        late = await one.get("late")
    secrets = [token_of(server.bodies[0]), *codes_of(server.bodies[2]), *derive(KEY, late["metadata"]["uid"], 10)]
    assert len(secrets) == 21
    forms = {
        form for secret in secrets for form in (secret, secret.replace("-", ""), encoded(secret), secret.split(".")[-1])
    }
    forms |= {KEY.decode(), KEY.decode()[:16]}
    seen["log"] = caplog.text + "\n".join(str(vars(record)) for record in caplog.records)
    assert "codes-alice" in seen["log"], "what must not hold a secret was there"
    assert not re.search(r"eyJ[\w-]{10,}\.", "".join(seen.values())), "no other token either"
    assert not [(where, form) for where, text in seen.items() for form in forms if form in text]
    assert encoded(KEY.decode()) not in "".join(seen.values())


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def everything(one: Room) -> dict[str, str]:
    """All that the API server holds of the namespace, by kind; the Secret of the keys, which users made, is left out."""
    listing = json.loads(await one.client.raw_get("/apis/watchbell.dev/v1alpha1"))
    plurals = {item["name"] for item in listing["resources"] if item["namespaced"] and "/" not in item["name"]}
    paths = [f"/apis/watchbell.dev/v1alpha1/namespaces/{one.namespace}/{plural}" for plural in sorted(plurals)]
    paths += [f"/api/v1/namespaces/{one.namespace}/{plural}" for plural in ("configmaps", "events", "pods")]
    paths.append(f"/apis/events.k8s.io/v1/namespaces/{one.namespace}/events")
    seen = {path: (await one.client.raw_get(path)).decode() for path in paths}
    for secret in await one.client.list(SECRETS, one.namespace):
        if secret["metadata"]["name"] != SECRET:
            values = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
            seen[f"Secret {secret['metadata']['name']}"] = json.dumps([secret, values])
    assert any("AccountRecovery" in text for text in seen.values())
    assert any("argon2id" in text for text in seen.values())
    return seen | {"metrics": generate_latest().decode()}
