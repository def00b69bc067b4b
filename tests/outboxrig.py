"""What the tests of the outbox share: a stand-in for the connectors (the one port), messages, and an outbox on a real API server."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec

from kuberig import client_of, until
from smtprig import dialer, password, relay
from watchbell.kube.client import CONFIGMAPS, Client, custom
from watchbell.mail.address import Mailbox
from watchbell.outbox.journal import JOURNAL_NAME, LINES
from watchbell.outbox.minting import NO_MINTER, NO_WORDS, Minter, Words
from watchbell.outbox.outbox import Outbox, OutboxSettings, at_once
from watchbell.outbox.outlet import ConnectorKey, Outlet, OutletLimits, Unavailable
from watchbell.outbox.retry import DEFAULT_SCHEDULE, Schedule
from watchbell.smtp.model import Fault, Relay, RetryClass

MESSAGES = custom("emailmessages")
BRISK = replace(
    DEFAULT_SCHEDULE, delays_s=dict.fromkeys(RetryClass, (0.05,)) | {RetryClass.NEVER: ()}, resend_after_s=1.2
)
NEVER_AGAIN = Schedule(resend_after_s=600.0)
_identities = itertools.count(1)


def outlet(where: Relay | int, name: str = "main", **limits: Any) -> Outlet:
    at = relay(where, auth=password()) if isinstance(where, int) else where
    return Outlet(
        ConnectorKey("SmtpConnector", "apps", name),
        at,
        Mailbox("Watchbell", "alerts@example.com"),
        limits=OutletLimits(**limits),
    )


class Outlets:
    """Answers for the connectors: one answer for every message, or one by the connector's name."""

    def __init__(self, answer: Outlet | Unavailable, **by_name: Outlet | Unavailable) -> None:
        self.answer = answer
        self.by_name = by_name
        self.reports: list[tuple[ConnectorKey, Fault]] = []
        self.asked = 0

    async def outlet(self, namespace: str, ref: Any, use: Any) -> Outlet | Unavailable:
        self.asked += 1
        return self.by_name.get(ref.name, self.answer) if ref else self.answer

    def report(self, key: ConnectorKey, fault: Fault) -> None:
        self.reports.append((key, fault))


def message(name: str, *to: str, connector: str | None = None, **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailMessage",
        "metadata": {"name": name},
        "spec": {
            "to": list(to or ("ops@example.org",)),
            "subject": f"About {name}",
            "body": {"text": "Something happened.\n"},
            **spec,
        },
    }
    if connector:
        body["spec"]["connectorRef"] = {"kind": "SmtpConnector", "name": connector}
    return body


def by_uid(data: dict[str, str]) -> dict[str, str]:
    """The journal's lines, each under its message's uid; other keys as they are."""
    lines = [line for line in data.get(LINES, "").split("\n") if line]
    return {msgspec.json.decode(line)["uid"]: line for line in lines} | {k: v for k, v in data.items() if k != LINES}


class _Dead:
    """A client whose calls never end."""

    def __init__(self, never: Callable[..., Any]) -> None:
        self.apply_status = never
        self.in_background = self


class Desk:
    """An outbox under test and what it works with."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        outlets: Outlets,
        lead: Any = at_once,
        minter: Minter = NO_MINTER,
        words: Words = NO_WORDS,
        **options: Any,
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.outlets = outlets
        self.is_leader = True
        settings = OutboxSettings(namespaces=(namespace,), schedule=BRISK, pause_s=0.05)
        self.outbox = Outbox(
            client,
            outlets,
            dialer(),
            namespace=namespace,
            identity=f"test-{next(_identities)}",
            fence=lambda _: self.is_leader,
            lead=lead,
            settings=replace(settings, **options),
            minter=minter,
            words=words,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.outbox.run())

    async def kill(self) -> None:
        """End the process without drain: nothing more is written than what was under way."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        task, self._task = self._task, None
        if not task.cancelled() and (error := task.exception()):
            raise error

    async def crash(self) -> None:
        """As with kill -9: no connection says good-bye and nothing is written any more, not even by what was under way."""
        self.outbox._journal.is_lost = True
        self.crash_ledger()
        await self.kill()

    def crash_ledger(self) -> None:
        """From now on no result is written."""

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.Event().wait()

        self.outbox._ledger._client = _Dead(never)

    async def send(self, body: dict[str, Any], *, hand_in: bool = True) -> dict[str, Any]:
        made = await self.client.create(MESSAGES, body, self.namespace)
        if hand_in:
            self.outbox.submit(made)
        return made

    async def read(self, name: str) -> dict[str, Any]:
        return await self.client.get(MESSAGES, name, self.namespace)

    async def status(
        self, name: str, is_done: Callable[[dict[str, Any]], object], within_s: float = 15.0
    ) -> dict[str, Any]:
        """The status once it is as wanted."""
        async with asyncio.timeout(within_s):
            while True:
                status = (await self.read(name)).get("status", {})
                if is_done(status):
                    return status
                await asyncio.sleep(0.02)

    async def finished(self, name: str, within_s: float = 15.0) -> dict[str, Any]:
        return await self.status(name, lambda status: "completionTime" in status, within_s)

    async def deleted(self, name: str) -> None:
        """Waits until the message is gone."""
        async with asyncio.timeout(10):
            while any(  # noqa: ASYNC110 - another process decides when
                item["metadata"]["name"] == name for item in await self.client.list(MESSAGES, self.namespace)
            ):
                await asyncio.sleep(0.02)

    async def journaled(self, made: dict[str, Any], part: str = "") -> None:
        """Waits until the journal has an entry for the message, with `part` in it."""
        async with asyncio.timeout(10):
            while True:
                line = (await self.journal()).get(made["metadata"]["uid"])
                if line is not None and part in line:
                    return
                await asyncio.sleep(0.01)

    async def journal(self) -> dict[str, str]:
        """What stands in it: entries by uid, and whatever else somebody put there."""
        found = await self.client.get(CONFIGMAPS, JOURNAL_NAME, self.namespace)
        return by_uid(found.get("data") or {})


@asynccontextmanager
async def desk(plane: Any, namespace: str, outlets: Outlets, **options: Any) -> AsyncIterator[Desk]:
    """A running outbox of one namespace."""
    async with client_of(plane) as client:
        one = Desk(client, namespace, outlets, **options)
        one.start()
        try:
            yield one
        finally:
            await one.kill()


def condition(status: dict[str, Any], type_: str = "Succeeded") -> dict[str, Any]:
    found = [one for one in status.get("conditions", []) if one["type"] == type_]
    return found[0] if found else {}


__all__ = ["BRISK", "MESSAGES", "NEVER_AGAIN", "Desk", "Outlets", "condition", "desk", "message", "outlet", "until"]
