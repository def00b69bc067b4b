"""What the tests of the whole operator share: `watchbell run` as a process of its own, and a place for it to work in.

The process is the one that people start; the API server and the mail server are real. The mail server runs in the test's loop, so everything
that waits here is asynchronous.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import trustme

from cluster import fresh_namespace
from collectorrig import container, looping, pod_body, policy_body, status_body
from controlplane import Access as Cluster
from controlplane.servers import free_ports
from kuberig import client_of
from smtprig import CANARY, USER, Authority, Inbox, mail_server
from watchbell.api.names import API_VERSION
from watchbell.kube.client import CONFIGMAPS, LEASES, PODS, SECRETS, Client, custom

DEADLINE_S = 60.0
START_S = 30.0
KINDS = {
    "SmtpConnector": custom("smtpconnectors"),
    "ClusterSmtpConnector": custom("clustersmtpconnectors", namespaced=False),
    "SmtpTest": custom("smtptests"),
    "CollectorPolicy": custom("collectorpolicies"),
    "CollectorIncident": custom("collectorincidents"),
    "EmailMessage": custom("emailmessages"),
    "AlertSilence": custom("alertsilences"),
    "EmailTemplate": custom("emailtemplates"),
}


RESEND_AFTER_S = 1.0
IMPATIENT = (
    "import sys; from watchbell.connectors import rotation; rotation.ROUND_S = 2.0; from watchbell.outbox.retry import DEFAULT_SCHEDULE as schedule; "
    "from watchbell.collectors.seen import node; node.NEW_NODE_S = 0.0; "
    f"object.__setattr__(schedule, 'resend_after_s', {RESEND_AFTER_S}); "
    "from watchbell.cli.main import main; sys.exit(main())"
)
"""The same program, but a lost final reply is waited for one second instead of ten minutes, all Secrets are looked at within two seconds, and a node
that was just made counts as one that was up for long."""


def _heed_ctrl_c() -> None:
    """A shell without job control starts what runs in the background with Ctrl-C ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Operator:
    """One `watchbell run`. Its log is a file; `returncode` is None while it runs."""

    def __init__(
        self, kubeconfig: Path, home: str, log: Path, *flags: str, is_impatient: bool = False, code: str = ""
    ) -> None:
        self.log = log
        self.health_port, self.metrics_port = free_ports(2)
        code = IMPATIENT if is_impatient else code
        program = ["-c", code] if code else ["-m", "watchbell"]
        command = [
            sys.executable, *program, "run",
            f"--kubeconfig={kubeconfig}",
            f"--cluster-resource-namespace={home}",
            "--egress-allow-cidr=127.0.0.0/8,::1/128",
            "--egress-allow-port=1-65535",
            f"--health-bind-address=127.0.0.1:{self.health_port}",
            f"--metrics-bind-address=127.0.0.1:{self.metrics_port}",
            "--cluster-name=test",
            *flags,
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHBELL_")}
        with log.open("ab") as sink:
            _heed_ctrl_c()
            self._process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=environment)

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def text(self) -> str:
        """What it logged so far."""
        return self.log.read_text(errors="replace")

    async def get(self, path: str, port: int) -> tuple[int, str]:
        """(code, text) of one of its endpoints; code 0 while it does not listen."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def metrics(self) -> str:
        return (await self.get("/metrics", self.metrics_port))[1]

    async def is_ready(self) -> bool:
        assert self.returncode is None, f"the operator ended with {self.returncode}:\n{self.text[-4000:]}"
        return (await self.get("/readyz", self.health_port))[0] == 200

    async def is_leading(self) -> bool:
        return "watchbell_leader 1.0" in await self.metrics()

    async def ready(self) -> "Operator":
        await until(self.is_ready, "the operator is ready", START_S)
        return self

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """As the kubelet does first."""
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Any other signal."""
        self._process.send_signal(number)

    async def ended(self, within_s: float = 40.0) -> int:
        """Its exit code, once it has ended."""
        await until(lambda: self.returncode is not None, "the operator has ended", within_s)
        assert self.returncode is not None
        return self.returncode


@dataclass
class World:
    """A namespace with collectors and a connector, the operator's own namespace, and the relay."""

    plane: Cluster
    client: Client
    namespace: str
    home: str
    folder: Path
    inbox: Inbox
    port: int
    authority: Authority

    @asynccontextmanager
    async def operator(
        self,
        *flags: str,
        kubeconfig: Path | None = None,
        name: str = "operator",
        is_impatient: bool = False,
        code: str = "",
    ) -> AsyncIterator[Operator]:
        """Started, perhaps not ready yet; killed at the end if it still runs. `code` runs instead of the program as it comes."""
        log = self.folder / f"{name}.log"
        process = Operator(
            kubeconfig or self.plane.kubeconfig, self.home, log, *flags, is_impatient=is_impatient, code=code
        )
        try:
            yield process
        except BaseException:
            print(f"--- {process.log}\n{process.text[-6000:]}")  # noqa: T201 - pytest shows it with the failure
            raise
        finally:
            if process.returncode is None:
                process.kill()

    def kubeconfig_at(self, url: str, name: str = "elsewhere") -> Path:
        """A kubeconfig of the administrator that goes to `url`."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": self.plane.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(content))
        return path

    # --- what users write

    async def make(self, kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
        return await self.client.create(KINDS[kind], body, self._where(kind))

    async def secret(self, name: str = "relay", *, namespace: str = "", password: str = CANARY, **data: str) -> None:
        """A Secret that opted in, pinned to the relay's host."""
        content = {"username": USER, "password": password, **data}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "watchbell.dev/smtp",
            "metadata": {"name": name, "annotations": {"watchbell.dev/allowed-hosts": "127.0.0.1"}},
            "data": {key: encoded(value) for key, value in content.items()},
        }
        await self.client.create(SECRETS, body, namespace or self.namespace)

    async def set_password(self, password: str, name: str = "relay") -> None:
        await self.client.patch(SECRETS, name, {"data": {"password": encoded(password)}}, self.namespace)

    async def authority_map(self, namespace: str = "") -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}}
        await self.client.create(
            CONFIGMAPS, body | {"data": {"ca.crt": self.authority.pem}}, namespace or self.namespace
        )

    def connector_spec(self, **changes: Any) -> dict[str, Any]:
        base = {
            "host": "127.0.0.1",
            "port": self.port,
            "tls": {"mode": "StartTLS", "caConfigMapRef": {"name": "ca"}},
            "auth": {"secretRef": {"name": "relay"}},
            "from": {"address": USER, "name": "Collector alerts"},
        }
        return {key: value for key, value in (base | changes).items() if value is not None}

    async def connector(self, name: str = "default", **changes: Any) -> dict[str, Any]:
        """The relay's connector with its Secret and CA."""
        await self.secret()
        await self.authority_map()
        return await self.make("SmtpConnector", name, self.connector_spec(**changes))

    async def policy(self, namespace: str = "", **spec: Any) -> dict[str, Any]:
        where = namespace or self.namespace
        return await self.client.create(KINDS["CollectorPolicy"], policy_body(namespace=where, **spec), where)

    # --- what a kubelet writes

    async def pod(
        self, name: str, *, owner: str = "gateway", namespace: str = "", node: str = "", **metadata: Any
    ) -> dict[str, Any]:
        where = namespace or self.namespace
        body = pod_body(name, where, owner, **metadata)
        body["spec"] |= {"nodeName": node} if node else {}
        await self.client.create(PODS, body, where)
        return await self.tell(name, container(), namespace=where)

    async def tell(self, name: str, *containers: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        status = {"status": status_body(*containers)}
        return await self.client.patch(PODS, name, status, namespace or self.namespace, subresource="status")

    async def crash(self, name: str, restarts: int = 1, namespace: str = "") -> None:
        await self.tell(name, looping(datetime.now(UTC), restarts), namespace=namespace)

    # --- what came of it

    def _where(self, kind: str) -> str | None:
        return self.namespace if KINDS[kind].namespaced else None

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        return await self.client.get(KINDS[kind], name, self._where(kind))

    async def listed(self, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        return await self.client.list(KINDS[kind], (namespace or self.namespace) if KINDS[kind].namespaced else None)

    async def has(self, kind: str, name: str, type_: str, status: str, reason: str = "") -> dict[str, Any]:
        """The condition, once it says so."""

        async def says() -> dict[str, Any] | None:
            found = condition(await self.get(kind, name), type_)
            is_so = found.get("status") == status and (not reason or found["reason"] == reason)
            return found if is_so else None

        try:
            told: dict[str, Any] = await until(says, f"{kind} {name} is {type_}={status}")
        except AssertionError as error:
            conditions = (await self.get(kind, name)).get("status", {}).get("conditions")
            raise AssertionError(f"{error}: {conditions}") from None
        return told

    async def holder(self) -> str:
        """Who holds the Lease."""
        found = await self.client.list(LEASES, self.home)
        return str(found[0]["spec"].get("holderIdentity") or "") if found else ""

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(content, policy=policy.default) for _, _, content in self.inbox.messages]

    def message_ids(self) -> Counter[str]:
        """How often each mail came."""
        return Counter(str(mail["Message-ID"]) for mail in self.mails)

    async def mailed(self, count: int, within_s: float = DEADLINE_S) -> list[EmailMessage]:
        """All mails, once there are so many."""
        await until(lambda: len(self.inbox.messages) >= count, f"{count} mails came", within_s)
        return self.mails

    async def settled(self, count: int, within_s: float = DEADLINE_S) -> list[dict[str, Any]]:
        """All messages, once so many are finished."""

        async def finished() -> list[dict[str, Any]] | None:
            messages = await self.listed("EmailMessage")
            done = [item for item in messages if item.get("status", {}).get("completionTime")]
            return messages if len(done) >= count else None

        messages: list[dict[str, Any]] = await until(finished, f"{count} messages are settled", within_s)
        return messages


@asynccontextmanager
async def world(plane: Cluster, namespace: str, folder: Path) -> AsyncIterator[World]:
    """Everything but the operator, cleaned up at the end."""
    authority = Authority(trustme.CA())
    with fresh_namespace(plane.rest(), "home") as home:
        async with client_of(plane) as client, mail_server(tls=authority.server_context()) as server:
            yield World(plane, client, namespace, home, folder, server.inbox, server.port, authority)


async def until(happened: Callable[[], Any], what: str, within_s: float = DEADLINE_S) -> Any:
    """What `happened` gives once it is true; it may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while True:
        found = happened()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"it did not come to pass within {within_s:.0f} s that {what}"
        await asyncio.sleep(0.03)


async def stays(holds: Callable[[], Any], what: str, for_s: float) -> None:
    """That something does not happen can only be watched for a while."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        assert holds(), f"it did not stay so that {what}"
        await asyncio.sleep(0.05)


def condition(body: dict[str, Any], type_: str) -> dict[str, Any]:
    return next((item for item in body.get("status", {}).get("conditions", ()) if item["type"] == type_), {})


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Gate:
    """A TCP relay before a mail server that counts how many sessions are open at once."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.open = 0
        self.most = 0
        self.sessions = 0

    async def __aenter__(self) -> "Gate":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self.open += 1
        back, out = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outward(reader, out))
                group.create_task(_pump(back, writer))
                group.create_task(self._measure())
        finally:
            for end in (writer, out):
                end.transport.abort()

    async def _outward(self, reader: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        try:
            await _pump(reader, out)
        finally:
            self.open -= 1

    async def _measure(self) -> None:
        """A session that was closed before this one was opened may be heard of in the same turn of the loop, but after it."""
        for _ in range(10):
            await asyncio.sleep(0)
        self.most = max(self.most, self.open)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (ConnectionError, RuntimeError):
        writer.transport.abort()


def slow_data(inbox: Inbox, seconds: float) -> Callable[[], int]:
    """Makes the relay think for a while before it takes a mail; gives how many it thinks about now."""
    pending = 0
    take = partial(Inbox.handle_DATA, inbox)

    async def handle(server: Any, session: Any, envelope: Any) -> str:
        nonlocal pending
        pending += 1
        await asyncio.sleep(seconds)
        pending -= 1
        return await take(server, session, envelope)

    inbox.handle_DATA = handle  # type: ignore[method-assign]
    return lambda: pending
