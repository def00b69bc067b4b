"""Servers to prove a relay against: one that plays a script byte by byte, and a real one (aiosmtpd) with TLS and logins.

Both run in the test's own event loop and on loopback; what they heard can be read afterwards.
"""

import asyncio
import socket
import ssl
import struct
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from watchbell.api.sensitive import Sensitive
from watchbell.smtp.egress import EgressPolicy
from watchbell.smtp.model import AuthPlan, Fault, Level, ProbeReport, Relay, StageResult, Timeouts, TlsMode, TlsPlan
from watchbell.smtp.oauth import TokenEgress, TokenSource
from watchbell.smtp.probe import probe
from watchbell.smtp.session import Dialer

CANARY = "c4nary-p4ssw0rd!"
USER = "alerts@example.com"
PATIENT = Timeouts(resolve_s=10, greeting_s=20, quit_s=2)
"""A busy machine passes with these; a test of silence shortens the one time-out that it is about."""
IMPATIENT_S = 0.2
ALL_PORTS = frozenset(range(1, 65536))
LOOPBACK = EgressPolicy(allow_cidrs=("127.0.0.0/8", "::1/128"), allow_ports=ALL_PORTS)

Step = bytes | float | str | Callable[["Scripted"], bytes]
GREET = b"220 relay.test ESMTP\r\n"
OK = b"250 2.0.0 ok\r\n"
BYE: tuple[Step, ...] = ("r", b"221 2.0.0 bye\r\n", "close")


def ehlo(*capabilities: str) -> bytes:
    """An EHLO answer that offers these."""
    lines = ["relay.test", *capabilities]
    return b"".join(f"250{'-' if n < len(lines) - 1 else ' '}{line}\r\n".encode() for n, line in enumerate(lines))


class Scripted:
    """A server that plays one script for each connection (the last one again and again).

    Steps: bytes = send; a number = wait; ``"r"`` = read a line; ``"data"`` = read to the final dot; ``"tls"`` = start TLS; ``"close"`` = hang
    up; ``"abort"`` = reset; ``"hang"`` = read and say nothing until the client goes; ``"taste"`` = read 1,000 bytes; ``"stop"`` = read no
    more at all.
    """

    def __init__(self, *scripts: Sequence[Step], tls: ssl.SSLContext | None = None, is_implicit: bool = False) -> None:
        self._scripts = scripts
        self._tls = tls
        self._is_implicit = is_implicit
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.heard: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.open_connections = 0
        self.port = 0

    async def __aenter__(self) -> "Scripted":
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls if self._is_implicit else None, limit=64 * 1024 * 1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def left(self) -> None:
        """Wait until every client has hung up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=30)
        assert self.open_connections == 0

    @property
    def commands(self) -> list[str]:
        """The lines heard, as text without the line end."""
        return [line.rstrip(b"\r\n").decode() for line in self.heard]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        self.open_connections += 1
        try:
            for step in script:
                await self._play(step, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up first, which is what many of these tests are about, or the test is over
        finally:
            self.open_connections -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def _play(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if callable(step):
            step = step(self)
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, float | int):
            await asyncio.sleep(step)
        else:
            await self._act(step, reader, writer)

    async def _act(self, verb: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match verb:
            case "r":
                self.heard.append(await reader.readuntil(b"\n"))
            case "data":
                self.bodies.append(await reader.readuntil(b"\r\n.\r\n"))
            case "tls":
                assert self._tls is not None
                await writer.start_tls(self._tls)
            case "close":
                writer.close()
                await reader.read()
            case "abort":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case "hang":
                while await reader.read(65536):
                    pass
            case "taste":
                await reader.readexactly(1000)
            case "stop":
                writer.transport.pause_reading()
            case _:
                raise AssertionError(f"no such step: {verb!r}")


@dataclass
class Inbox:
    """What the real server took, and what it shall answer: hooks override the reply to a command."""

    replies: dict[str, Callable[..., str]] = field(default_factory=dict)
    messages: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    hellos: list[str] = field(default_factory=list)
    refuses_logins: bool = False
    logins: list[tuple[str, str, str]] = field(default_factory=list)
    resets: int = 0

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.hellos.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if (hook := self.replies.get("MAIL")) and (told := hook(address)):
            return told
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if (hook := self.replies.get("RCPT")) and (told := hook(address)):
            return told
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient ok"

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.resets += 1
        return "250 2.0.0 reset"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if (hook := self.replies.get("DATA")) and (told := hook(envelope)):
            return told
        self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        return f"250 2.0.0 queued as {len(self.messages)}"


@dataclass(frozen=True)
class MailServer:
    """A running aiosmtpd."""

    port: int
    inbox: Inbox


@asynccontextmanager
async def mail_server(
    *,
    tls: ssl.SSLContext | None = None,
    is_implicit: bool = False,
    has_auth: bool = True,
    port: int = 0,
    **options: Any,
) -> AsyncIterator[MailServer]:
    """A real SMTP server: STARTTLS or implicit TLS when `tls` is given, AUTH PLAIN and LOGIN for USER with CANARY; 0 = any port."""
    inbox = Inbox()
    loop = asyncio.get_running_loop()
    running: list[SMTP] = []

    def authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        inbox.logins.append((mechanism, data.login.decode(), data.password.decode()))
        is_right = not inbox.refuses_logins and (data.login, data.password) == (USER.encode(), CANARY.encode())
        return AuthResult(success=is_right, handled=False)

    def factory() -> SMTP:
        protocol = SMTP(
            inbox,
            hostname="relay.test",
            loop=loop,
            tls_context=None if is_implicit else tls,
            authenticator=authenticate if has_auth else None,
            auth_require_tls=tls is not None and not is_implicit,
            **{"enable_SMTPUTF8": True, **options},
        )
        running.append(protocol)
        return protocol

    server = await loop.create_server(factory, "127.0.0.1", port, ssl=tls if is_implicit else None)
    try:
        yield MailServer(server.sockets[0].getsockname()[1], inbox)
    finally:
        server.close()
        await _end(running)
        await server.wait_closed()


async def _end(running: list[SMTP]) -> None:
    tasks = [protocol._handler_coroutine for protocol in running if protocol._handler_coroutine is not None]
    for protocol, task in zip(running, tasks, strict=False):
        task.cancel()
        if protocol.transport is not None:
            protocol.transport.abort()
    with suppress(Exception):
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Authority:
    """A private CA and what it issues."""

    ca: trustme.CA

    @property
    def pem(self) -> str:
        return self.ca.cert_pem.bytes().decode()

    def server_context(self, *names: str, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        (leaf or self.ca.issue_cert(*(names or ("127.0.0.1", "localhost", "relay.test")))).configure_cert(context)
        return context


def relay(port: int, *, impatient: tuple[str, ...] = (), **changes: Any) -> Relay:
    """A relay on loopback: clear text, no login, unless changed. `impatient` names the time-outs that shall strike soon."""
    plain = Relay(
        "127.0.0.1",
        port,
        tls=TlsPlan(mode=TlsMode.NONE),
        mail_from=USER,
        hello_name="operator.test",
        timeouts=replace(PATIENT, **dict.fromkeys(impatient, IMPATIENT_S)),
    )
    return replace(plain, **changes)


def password(value: str = CANARY, **changes: Any) -> AuthPlan:
    """A login by password, allowed in clear so that scripts need no TLS."""
    return replace(AuthPlan(USER, Sensitive(value), plaintext_allowed=True), **changes)


def secret_forms(username: str, secret: str) -> tuple[str, ...]:
    """The forms in which a secret travels: in clear, and in base64 alone and within an AUTH PLAIN response."""
    plain = f"\0{username}\0{secret}"
    return secret, b64encode(secret.encode()).decode().rstrip("="), b64encode(plain.encode()).decode().rstrip("=")


async def provoke(port: int, level: Level = Level.AUTHENTICATE, **changes: Any) -> Fault:
    """Probe a server that must fail, and give the one fault; on the way prove what holds for every failure.

    Exactly one stage failed, it carries the fault, later ones are skipped, and no form of the password is shown anywhere.
    """
    report = await probe(relay(port, **changes), dialer(), level)
    check_report(report)
    assert report.fault is not None
    return report.fault


def check_report(report: ProbeReport) -> None:
    """What holds for every report of a failure."""
    failed = [stage for stage in report.stages if stage.result is StageResult.FAILED]
    assert len(failed) == 1, failed
    assert report.fault is not None
    assert (failed[0].reason, failed[0].message, failed[0].chain) == (
        report.fault.reason,
        report.fault.message,
        report.fault.chain,
    )
    assert report.fault.remedies, "every fault says what to do"
    assert 0 < len(report.fault.chain) <= 8
    assert len(report.fault.message) <= 512
    assert "\n" not in report.fault.message
    assert len(report.transcript) <= 64
    check_no_secret(report)


def check_no_secret(value: object) -> None:
    """No form of the canary password is in what would be shown."""
    for form in secret_forms(USER, CANARY):
        assert form not in repr(value)


def dialer(policy: EgressPolicy = LOOPBACK) -> Dialer:
    """A dialer that may go to loopback; its token source was never used and needs no closing."""
    tokens = TokenSource(
        TokenEgress(policy, has_plain_loopback=True, is_host_allowed=lambda _: True),
        clock=time.monotonic,
        now=lambda: datetime.now(UTC),
    )
    return Dialer(policy, tokens, time.monotonic)
