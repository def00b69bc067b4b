"""What the tests of account mail share: AccountRecoveries at work on a real API server, with an outbox that sends to a real mail server."""

import asyncio
import base64
import contextlib
import email
import email.policy
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kuberig import client_of
from outboxrig import Desk, Outlets
from watchbell.accounts.minter import RECOVERIES, AccountMinter
from watchbell.accounts.reconcile import MESSAGES, AccountParts, Accounts
from watchbell.accounts.vault import Vault
from watchbell.api.enums import Use
from watchbell.kube.client import SECRETS, Client
from watchbell.kube.errors import NotFound
from watchbell.kube.events import EventRecorder
from watchbell.outbox.letters.minting import NO_WORDS
from watchbell.outbox.outlet import Outlet, Unavailable

KEY = b"c4nary-key/of-thirty-two-bytes+and-a-bit"
SECRET = "account-mail"
SPEC: dict[str, Any] = {
    "type": "PasswordReset",
    "account": "alice",
    "to": "Alice <alice@example.com>",
    "link": {"baseURL": "https://app.example.com/reset?lang=en"},
    "signingKeySecretRef": {"name": SECRET},
}
CODES = {"type": "RecoveryCodes", "link": None}


class Uses(Outlets):
    """Answers for the connectors, and remembers what they were asked for."""

    def __init__(self, answer: Outlet | Unavailable) -> None:
        super().__init__(answer)
        self.uses: list[Use] = []

    async def outlet(self, namespace: str, ref: Any, use: Any) -> Outlet | Unavailable:
        self.uses.append(use)
        return await super().outlet(namespace, ref, use)


class Room:
    """One process's Accounts and outbox, and what users do."""

    def __init__(
        self, client: Client, namespace: str, uses: Uses, *, reader: Client | None = None, **options: Any
    ) -> None:
        self.client, self.namespace, self.uses = client, namespace, uses
        self.later_s = 0.0
        self.is_leading = True
        self.recorder = EventRecorder(client, reporting_controller="watchbell.dev/test", instance="test")
        vault = Vault(reader or client, "watchbell-system")
        words = options.get("words", NO_WORDS)
        self.desk = Desk(client, namespace, uses, minter=AccountMinter(vault, self.now, "prod-eu-1", words), **options)
        self.accounts = Accounts(
            AccountParts(
                client=client,
                vault=vault,
                sink=self.desk.outbox,
                recorder=self.recorder,
                namespaces=(namespace,),
                leading=lambda: self.is_leading,
                now=self.now,
                clock=time.monotonic,
                again_s=0.1,
            )
        )
        self._tasks: list[asyncio.Task[None]] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.later_s)

    def start(self, *, sends: bool = True) -> None:
        if sends:
            self.desk.start()
        self._tasks = [asyncio.create_task(self.accounts.run()), asyncio.create_task(self.recorder.run())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.desk.kill()

    # --- what users do

    async def keys(self, signs: str = "", name: str = SECRET, *, opts_in: bool = True, **keys: bytes) -> None:
        """A Secret with signing keys; made anew if it is there."""
        with contextlib.suppress(NotFound):
            await self.client.delete(SECRETS, name, self.namespace)
        metadata = {
            "name": name,
            "labels": {"watchbell.dev/signing-key": "true"} if opts_in else {},
            "annotations": {"watchbell.dev/signs-with": signs} if signs else {},
        }
        data = {kid: base64.b64encode(key).decode() for kid, key in (keys or {"k1": KEY}).items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        await self.client.create(SECRETS, body, self.namespace)

    async def ask(self, name: str = "reset-alice", **spec: Any) -> dict[str, Any]:
        """An AccountRecovery; a field that is None is left out."""
        wanted = {key: value for key, value in (SPEC | spec).items() if value is not None}
        body = {
            "apiVersion": "watchbell.dev/v1alpha1",
            "kind": "AccountRecovery",
            "metadata": {"name": name},
            "spec": wanted,
        }
        return await self.client.create(RECOVERIES, body, self.namespace)

    # --- what came of it

    async def get(self, name: str = "reset-alice") -> dict[str, Any]:
        return await self.client.get(RECOVERIES, name, self.namespace)

    async def status(
        self, is_so: Callable[[dict[str, Any]], object], name: str = "reset-alice", within_s: float = 40.0
    ) -> dict[str, Any]:
        """The status once it is so."""
        deadline = time.monotonic() + within_s
        while True:
            status = (await self.get(name)).get("status", {})
            if is_so(status):
                return status
            assert time.monotonic() < deadline, status
            await asyncio.sleep(0.02)

    async def finished(self, name: str = "reset-alice") -> dict[str, Any]:
        return await self.status(lambda status: "completionTime" in status, name)

    async def waits_for(self, reason: str, name: str = "reset-alice") -> str:
        """The message of condition Succeeded, once it is Unknown for this reason."""
        status = await self.status(lambda status: succeeded(status)[:2] == ("Unknown", reason), name)
        return succeeded(status)[2]

    async def messages(self) -> list[dict[str, Any]]:
        return await self.client.list(MESSAGES, self.namespace)


@asynccontextmanager
async def room(plane: Any, namespace: str, answer: Outlet | Unavailable, **options: Any) -> AsyncIterator[Room]:
    """A process at work, ended at the end."""
    async with client_of(plane) as client:
        one = Room(client, namespace, Uses(answer), **options)
        one.start()
        try:
            yield one
        finally:
            await one.stop()


def succeeded(status: dict[str, Any]) -> tuple[str, str, str]:
    found = next((one for one in status.get("conditions", ()) if one["type"] == "Succeeded"), {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)  # type: ignore[return-value]


def text_of(content: bytes) -> str:
    part = parsed(content).get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def link_of(content: bytes) -> str:
    found = re.search(r"^Choose a new password: (\S+)$", text_of(content), re.MULTILINE)
    assert found, text_of(content)
    return found[1]


def token_of(content: bytes, parameter: str = "token") -> str:
    (token,) = parse_qs(urlsplit(link_of(content)).query)[parameter]
    return token


def codes_of(content: bytes) -> list[str]:
    return re.findall(r"^  \| +\d+\.  (\S+)$", text_of(content), re.MULTILINE)
