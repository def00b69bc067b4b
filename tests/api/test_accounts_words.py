"""Account mail in a user's own words, on a real API server: it lets people in, waits for its template, and leaves nothing behind."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from accountrig import CODES, Room, Uses, codes_of, parsed, succeeded
from kuberig import client_of, running, until
from outboxrig import outlet
from smtprig import MailServer, mail_server, relay
from watchbell.accounts.reconcile import MESSAGES
from watchbell.api.conditions import find
from watchbell.kube.client import custom
from watchbell.templates.shelf import Templates

TEMPLATES = custom("emailtemplates")
RESET = {
    "subject": "A new password for {{ account.application }}",
    "text": "Hello {{ account.name }}, go to {{ account.link }} within {{ account.validFor }}.\n",
}


@asynccontextmanager
async def office(plane: Any, namespace: str) -> AsyncIterator[tuple[Room, MailServer, Templates]]:
    """A process with templates and account mail, and its relay."""
    async with client_of(plane) as client, mail_server(has_auth=False) as server:
        words = Templates(
            client,
            namespaces=(namespace,),
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
            leading=lambda: True,
            on_change=lambda _namespace, _name: None,
        )
        async with running(words.run()):
            await until(lambda: words.is_synced)
            one = Room(client, namespace, Uses(outlet(relay(server.port))), words=words)
            one.start()
            try:
                await one.keys()
                yield one, server, words
            finally:
                await one.stop()


async def put(one: Room, name: str = "reset", **spec: Any) -> None:
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailTemplate",
        "metadata": {"name": name},
        "spec": RESET | spec,
    }
    await one.client.create(TEMPLATES, body, one.namespace)


async def ready(one: Room, name: str = "reset") -> dict[str, Any]:
    """The template's condition, once it was tried."""
    deadline = time.monotonic() + 15
    while True:
        status = (await one.client.get(TEMPLATES, name, one.namespace)).get("status") or {}
        found = find(status.get("conditions") or (), "Ready")
        if found:
            return dict(found)
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.02)


async def test_a_link_and_codes_go_out_in_the_words_of_the_namespace(control_plane, namespace):
    async with office(control_plane, namespace) as (one, server, _):
        await put(one)
        await put(one, "codes", subject="Codes", text="{% for code in account.codes %}{{ code }}\n{% endfor %}")
        await one.ask(templateRef={"name": "reset"})
        assert succeeded(await one.finished())[:2] == ("True", "AcceptedByServer")
        await one.ask("codes", **CODES, codeCount=3, templateRef={"name": "codes"})
        assert succeeded(await one.finished("codes"))[:2] == ("True", "AcceptedByServer")
        stored = str(await one.client.list(MESSAGES, namespace))
    reset, codes = (parsed(raw) for _, _, raw in server.inbox.messages)
    assert reset["Subject"] == "A new password for app.example.com"
    text = reset.get_content()
    assert text.startswith("Hello alice, go to https://app.example.com/reset?lang=en&token=ey")
    assert "within 15 min." in text
    lines = codes.get_content().split()
    assert len(lines) == 3
    assert not any(code in stored for code in lines)
    assert text.split("token=")[1][:40] not in stored
    assert not codes_of(server.inbox.messages[1][2]), "not the built-in list"


async def test_the_mail_waits_for_its_template_and_never_goes_out_in_other_words(control_plane, namespace):
    async with office(control_plane, namespace) as (one, server, _):
        await one.ask(templateRef={"name": "reset"})
        assert "there is no EmailTemplate reset" in await one.waits_for("TemplateNotFound")
        assert not server.inbox.messages
        await put(one, text="Hello {{ account.name }}, good luck.")
        assert "does not write account.link" in await one.waits_for("TemplateFailed")
        assert not server.inbox.messages
        await one.client.patch(TEMPLATES, "reset", {"spec": RESET}, namespace)
        assert succeeded(await one.finished())[:2] == ("True", "AcceptedByServer")
    assert len(server.inbox.messages) == 1


async def test_a_template_of_account_mail_is_tried_as_one_and_alerts_are_told(control_plane, namespace):
    async with office(control_plane, namespace) as (one, _, words):
        await put(one)
        found = await ready(one)
        assert found["status"] == "True", found
        assert "a link for a new password, recovery codes" in found["message"]
        problem = words.alert_problem(namespace, "reset")
        assert problem is not None
        assert "it is a template for account mail" in str(problem)
        await put(one, "slip", text="{{ account.lnk }}")
        slip = await ready(one, "slip")
        assert (slip["status"], slip["reason"]) == ("False", "RenderFailed")
        assert "account.lnk is not a known name; did you mean account.link?" in slip["message"]
