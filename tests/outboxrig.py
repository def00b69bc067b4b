"""What the tests of the outbox share: a stand-in for the connectors (the one port), messages, and an outbox on a real API server."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kuberig import client_of, until
from smtprig import dialer, password, relay
from watchbell.kube.client import CONFIGMAPS, Client, custom
from watchbell.kube.errors import NotFound
from watchbell.mail.address import Mailbox
from watchbell.outbox.letters.minting import NO_MINTER, NO_WORDS, Minter, Words
from watchbell.outbox.outbox import Outbox, OutboxSettings, at_once
from watchbell.outbox.outlet import Allowance, ConnectorKey, Outlet, OutletLimits, Slowdown, Unavailable
from watchbell.outbox.records.journal import PAGES_MAX, page_name
from watchbell.outbox.records.page import LINES
from watchbell.outbox.retry import DEFAULT_SCHEDULE, Schedule
from watchbell.smtp.model import Fault, Relay, RetryClass

MESSAGES = custom("emailmessages")
BRISK = replace(
    DEFAULT_SCHEDULE, delays_s=dict.fromkeys(RetryClass, (0.05,)) | {RetryClass.NEVER: ()}, resend_after_s=2.0
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


def limited(where: Relay | int, name: str = "main", **allowance: int) -> Outlet:
    """An outlet with limits by the minute and the day."""
    return outlet(where, name, allowances=(Allowance(f"SmtpConnector/apps/{name}", **allowance),))


class Outlets:
    """Answers for the connectors: one answer for every message, or one by the connector's name."""

    def __init__(self, answer: Outlet | Unavailable, **by_name: Outlet | Unavailable) -> None:
        self.answer = answer
        self.by_name = by_name
        self.reports: list[tuple[ConnectorKey, Fault]] = []
        self.breaks: list[tuple[ConnectorKey, Fault]] = []
        self.slowdowns: list[tuple[ConnectorKey, Slowdown]] = []
        self.asked = 0

    async def outlet(self, namespace: str, ref: Any, use: Any) -> Outlet | Unavailable:
        self.asked += 1
        return self.by_name.get(ref.name, self.answer) if ref else self.answer

    def report(self, key: ConnectorKey, fault: Fault) -> None:
        self.reports.append((key, fault))

    def broken(self, key: ConnectorKey, fault: Fault) -> None:
        self.breaks.append((key, fault))

    def slowed(self, key: ConnectorKey, slowdown: Slowdown) -> None:
        self.slowdowns.append((key, slowdown))


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


async def journal_lines(client: Client, namespace: str) -> dict[str, str]:
    """What stands in all pages of the journal; NotFound when there is none."""
    lines = by_uid((await client.get(CONFIGMAPS, page_name(0), namespace)).get("data") or {})
    for number in range(1, PAGES_MAX):
        with suppress(NotFound):
            lines |= by_uid((await client.get(CONFIGMAPS, page_name(number), namespace)).get("data") or {})
    return lines


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
        self.ahead_s = 0.0
        settings = OutboxSettings(namespaces=(namespace,), schedule=BRISK, pause_s=0.05)
        self.outbox = Outbox(
            client,
            outlets,
            dialer(),
            namespace=namespace,
            identity=f"test-{next(_identities)}",
            fence=lambda _: self.is_leader,
            lead=lead,
            now=lambda: datetime.now(UTC) + timedelta(seconds=self.ahead_s),
            settings=replace(settings, **options),
            minter=minter,
            words=words,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.outbox.run())

    def skip(self, seconds: float) -> None:
        """The clock jumps ahead."""
        self.ahead_s += seconds
        self.outbox._wake.set()

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
        self.outbox._journal.stop()
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
        self, name: str, is_done: Callable[[dict[str, Any]], object], within_s: float = 40.0
    ) -> dict[str, Any]:
        """The status once it is as wanted."""
        async with asyncio.timeout(within_s):
            while True:
                status = (await self.read(name)).get("status", {})
                if is_done(status):
                    return status
                await asyncio.sleep(0.02)

    async def finished(self, name: str, within_s: float = 40.0) -> dict[str, Any]:
        return await self.status(name, lambda status: "completionTime" in status, within_s)

    async def deleted(self, name: str) -> None:
        """Waits until the message is gone."""
        async with asyncio.timeout(30):
            while any(  # noqa: ASYNC110 - another process decides when
                item["metadata"]["name"] == name for item in await self.client.list(MESSAGES, self.namespace)
            ):
                await asyncio.sleep(0.02)

    async def journaled(self, made: dict[str, Any], part: str = "") -> None:
        """Waits until the journal has an entry for the message, with `part` in it."""
        async with asyncio.timeout(30):
            while True:
                line = (await self.journal()).get(made["metadata"]["uid"])
                if line is not None and part in line:
                    return
                await asyncio.sleep(0.01)

    async def journal(self) -> dict[str, str]:
        """What stands in it: entries by uid, and whatever else somebody put there."""
        return await journal_lines(self.client, self.namespace)


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
