"""Every way in which a message can be wrong that the API server lets through: a reason, a field, and nothing sent half."""

import asyncio
import base64
from typing import Any

from outboxrig import Desk, Outlets, condition, desk, message, outlet
from smtprig import mail_server
from watchbell.kube.client import CONFIGMAPS

PNG = {"filename": "a.png", "contentType": "image/png"}


def builtin(name: str, *parameters: tuple[str, str]) -> dict[str, Any]:
    given = [{"name": key, "value": value} for key, value in parameters]
    return {"body": None, "templateRef": {"builtin": name}, "parameters": given}


def in_map(key: str, **changes: Any) -> dict[str, Any]:
    one = {
        "filename": "a.txt",
        "contentType": "text/plain",
        "configMapKeyRef": {"name": "files", "key": key},
        **changes,
    }
    return {"attachments": [one]}


# name → what is changed, the reason, and how the sentence begins
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "address": ({"to": ["a..b@example.org"]}, "InvalidMessage", "spec.to[0]: "),
    "second-address": ({"cc": ["ok@example.org", "x@-bad-.example"]}, "InvalidMessage", "spec.cc[1]: "),
    "long-local-part": ({"bcc": [f"{'ü' * 40}@example.org"]}, "InvalidMessage", "spec.bcc[0]: "),
    "direction-in-a-name": ({"to": ["Ops\u200f <ops@example.org>"]}, "InvalidMessage", "spec.to[0]: "),
    "mark-in-subject": ({"subject": "a\u200eb"}, "InvalidMessage", "spec.subject: contains the character U+200E"),
    "byte-order-mark": ({"subject": "\ufeffa"}, "InvalidMessage", "spec.subject: contains the character U+FEFF"),
    "nul-in-text": ({"body": {"text": "a\0b"}}, "InvalidMessage", "spec.body.text: contains the character U+0000"),
    "nul-in-html": ({"body": {"html": "<p>\0</p>"}}, "InvalidMessage", "spec.body.html: contains the character U+0000"),
    "answers": ({"replyTo": ["a..b@example.org"]}, "InvalidMessage", "spec.replyTo[0]: "),
    "no-facts": (builtin("Crash"), "InvalidMessage", "spec.parameters: must name facts"),
    "facts-that-are-none": (builtin("Crash", ("facts", "{]")), "InvalidMessage", "spec.parameters[facts]: is not what"),
    "account-mail": (builtin("PasswordReset"), "InvalidMessage", "spec.templateRef.builtin: "),
    "nul-in-a-file": (
        {"attachments": [{"filename": "a.csv", "contentType": "text/csv", "text": "\0"}]},
        "InvalidMessage",
        "spec.attachments[0].text: contains the character U+0000",
    ),
    "direction-in-a-file-name": (
        in_map("text", filename="a\u200fb.txt"),
        "InvalidMessage",
        "spec.attachments[0].filename: ",
    ),
    "same-name-in-other-case": (
        {"attachments": [*in_map("text")["attachments"], *in_map("text", filename="A.TXT")["attachments"]]},
        "InvalidMessage",
        "spec.attachments[1].filename: names a file that is there already",
    ),
    "type-that-lies": (in_map("pdf", **PNG), "InvalidMessage", "spec.attachments[0].contentType: says image/png, but"),
    "text-that-is-none": (in_map("latin"), "InvalidMessage", "spec.attachments[0].contentType: says text"),
    "program": (
        in_map("elf", contentType="application/octet-stream"),
        "InvalidMessage",
        "spec.attachments[0].contentType: says application/octet-stream, but the file is a Linux program",
    ),
    "empty-picture": (
        in_map("empty", **PNG),
        "InvalidMessage",
        "spec.attachments[0].contentType: says image/png, but the file is empty",
    ),
    "picture-that-nobody-shows": (
        in_map("png", **PNG, disposition="Inline"),
        "InvalidMessage",
        "spec.body.html: does not show cid:a.png",
    ),
    "picture-that-is-not-there": (
        {"body": {"html": '<img src="cid:b.png">'}},
        "InvalidMessage",
        "spec.body.html: shows cid:b.png, and no attachment",
    ),
    "only-forbidden-domains": ({"to": ["a@denied.example"]}, "RecipientsRefused", "of 1 recipients 1 refused"),
    "too-large": ({"body": {"text": "x\n" * 120_000}}, "MessageTooLarge", "the mail has "),
}
FILES = {"pdf": b"%PDF-1.7\n", "latin": b"caf\xe9", "elf": b"\x7fELF\x02", "empty": b"", "png": b"\x89PNG\r\n\x1a\n"}


async def put_files(one: Desk) -> None:
    binary = {key: base64.b64encode(value).decode() for key, value in FILES.items()}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "files"},
        "data": {"text": "a\n"},
        "binaryData": binary,
    }
    await one.client.create(CONFIGMAPS, body, one.namespace)


def wrong(name: str, change: dict[str, Any]) -> dict[str, Any]:
    made = message(name, **change)
    made["spec"] = {field: value for field, value in made["spec"].items() if value is not None}
    return made


async def test_each_mistake_has_a_reason_and_a_field_and_nothing_is_sent(control_plane, namespace):
    limits = {"denied_domains": ("denied.example",), "max_message_bytes": 200_000}
    async with mail_server() as server, desk(control_plane, namespace, Outlets(outlet(server.port, **limits))) as one:
        await put_files(one)
        for name, (change, _, _) in WRONG.items():
            await one.send(wrong(name, change))
        found = {name: await one.finished(name, 60) for name in WRONG}
        assert server.inbox.hellos == []
    told = {name: (condition(status)["reason"], condition(status)["message"]) for name, status in found.items()}
    bad = {
        name: told[name]
        for name, (_, reason, begins) in WRONG.items()
        if told[name][0] != reason or not told[name][1].startswith(begins)
    }
    assert bad == {}
    assert all(condition(status)["status"] == "False" for status in found.values())
    assert all(condition(status, "Stalled")["status"] == "True" for status in found.values())
    assert all(status.get("attempts", 0) <= 1 for status in found.values())


async def test_what_is_wrong_holds_up_nobody_else(control_plane, namespace):
    async with (
        mail_server() as server,
        desk(control_plane, namespace, Outlets(outlet(server.port, max_connections=1))) as one,
    ):
        names = [f"m{i}" for i in range(6)]
        bodies = [message(name) if i % 2 else wrong(name, {"subject": "a\u200eb"}) for i, name in enumerate(names)]
        await asyncio.gather(*(one.send(body) for body in bodies))
        for name in names:
            await one.finished(name)
    assert len(server.inbox.messages) == 3
