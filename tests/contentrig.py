"""What messages take from elsewhere: ConfigMaps, EmailTemplates, and an outbox that reads them."""

import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from kuberig import client_of, running, until
from outboxrig import Desk, Outlets, desk, outlet
from smtprig import MailServer, mail_server
from watchbell.kube.client import CONFIGMAPS, Client, custom
from watchbell.templates.shelf import Templates

TEMPLATES = custom("emailtemplates")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def encoded(data):
    return base64.b64encode(data).decode()


async def put_map(client, namespace, name="reports", **content):
    """A ConfigMap; bytes go into `binaryData`."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    body["data"] = {key: value for key, value in content.items() if isinstance(value, str)}
    body["binaryData"] = {key: encoded(value) for key, value in content.items() if isinstance(value, bytes)}
    return await client.create(CONFIGMAPS, body, namespace)


@asynccontextmanager
async def shelf(client: Client, namespace: str) -> AsyncIterator[Templates]:
    """The EmailTemplates of a namespace, as the operator renders them."""
    one = Templates(
        client,
        namespaces=(namespace,),
        now=lambda: datetime.now(UTC),
        clock=time.monotonic,
        leading=lambda: True,
        on_change=lambda _namespace, _name: None,
    )
    async with running(one.run()):
        await until(lambda: one.is_synced)
        yield one


@asynccontextmanager
async def office(plane: Any, namespace: str, **options: Any) -> AsyncIterator[tuple[Desk, MailServer]]:
    """An outbox with templates, and its relay."""
    async with (
        client_of(plane) as client,
        shelf(client, namespace) as words,
        mail_server() as server,
        desk(plane, namespace, Outlets(outlet(server.port)), words=words, **options) as one,
    ):
        yield one, server


async def put_template(client, namespace, name="run", **spec):
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailTemplate",
        "metadata": {"name": name},
        "spec": {
            "subject": "Run of {{ parameters.day }}",
            "text": "{{ parameters.count }} of them failed.\n",
            "parameters": [{"name": "day", "maxLength": 10}, {"name": "count", "default": "None"}],
            **spec,
        },
    }
    return await client.create(TEMPLATES, body, namespace)
