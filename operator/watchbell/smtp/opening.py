"""The stages of opening a session, one method each, in the order that the relay's TLS mode asks for.

Used by `session` only. Each stage ends in None or in the one `Fault` that ends the whole; what was learned on the way (server facts, transcript,
stage reports) is in the journal also when it failed. Nothing here is opportunistic: what the relay asks for happens, or the stage fails.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

from watchbell.api.reasons import Reason
from watchbell.smtp.auth import authenticate
from watchbell.smtp.context import context_of
from watchbell.smtp.dialog import BROKEN, Dialog
from watchbell.smtp.endpoint import Address, EgressPolicy, check_port, connect, resolve
from watchbell.smtp.model import Fault, Relay, StageName, TlsMode
from watchbell.smtp.oauth import TokenSource
from watchbell.smtp.remedies import remedies
from watchbell.smtp.replies import Capabilities, Reply, hello_name, parse_capabilities
from watchbell.smtp.server_text import sanitise
from watchbell.smtp.stagelog import StageLog, StageMark
from watchbell.smtp.tls import (
    SERVER_HAD_AGREED,
    Unusable,
    client_hello,
    is_tls_answer,
    read_handshake,
    shown_chain,
    tls_context,
)
from watchbell.smtp.verdict import Evidence, fault
from watchbell.smtp.wire import Wire

_CAPABILITY_BYTES = 256
_TLS_CHECK_S = 5.0
_HANDSHAKE_GRACE_S = (
    60.0  # asyncio's own limit is never the one that strikes: it raises an error that says nothing of time
)
_UNPROVEN_CERTIFICATE = frozenset(
    {
        Reason.CERTIFICATE_UNTRUSTED,
        Reason.CERTIFICATE_SELF_SIGNED,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_NAME_MISMATCH,
        Reason.CERTIFICATE_INVALID,
    }
)

_HUNG_UP = frozenset({Reason.CLOSED_BEFORE_GREETING, Reason.CONNECTION_CLOSED, Reason.CONNECTION_RESET})

Step = Callable[[StageMark], Awaitable[Fault | None]]


@dataclass(frozen=True, slots=True)
class Dialer:
    """What every session of the process shares: where it may go, tokens, and a monotonic clock in seconds."""

    egress: EgressPolicy
    tokens: TokenSource
    clock: Callable[[], float]


class Opening:
    """One attempt to open a session; made, run once, and then either taken over by a `Session` or closed."""

    def __init__(self, relay: Relay, dialer: Dialer, journal: StageLog) -> None:
        self.relay = relay
        self.dialer = dialer
        self.journal = journal
        self.capabilities = Capabilities()
        self.dialog = Dialog(Wire(asyncio.get_running_loop()), journal, context_of(relay))
        journal.keep_out(self.dialog.context.secrets)
        self._addresses: tuple[Address, ...] = ()
        self._sock: socket.socket | None = None
        self._address: Address | None = None
        self._greeting = ""
        self._is_tls_silent = False
        self._token = ""

    async def run(self, until: StageName) -> Fault | None:
        """Pass the stages up to `until`, both included; None = all passed."""
        for name, step in self._steps(until):
            with self.journal.stage(name) as mark:
                mark.fault = await step(mark)
            if mark.fault is not None:
                return mark.fault
        return None

    def close(self) -> None:
        """Close whatever is open."""
        self.dialog.wire.abort()
        if self._sock is not None:
            self._sock.close()

    def _steps(self, until: StageName) -> Iterator[tuple[StageName, Step]]:
        """All steps up to the last one named `until`; a stage that this relay lacks stands for the last step that is not later."""
        steps = tuple(self._all_steps())
        order = list(StageName).index
        wanted = [n for n, (name, _) in enumerate(steps) if name is until]
        earlier = [n for n, (name, _) in enumerate(steps) if order(name) <= order(until)]
        yield from steps[: (wanted or earlier)[-1] + 1]

    def _all_steps(self) -> Iterator[tuple[StageName, Step]]:
        yield StageName.POLICY, self._policy
        yield StageName.RESOLVE, self._resolve
        if self.relay.auth is not None and self.relay.auth.oauth is not None:
            yield StageName.TOKEN, self._fetch_token
        yield StageName.CONNECT, self._connect
        if self.relay.tls.mode is TlsMode.IMPLICIT:
            yield StageName.TLS, self._implicit_tls
        yield StageName.GREETING, self._greet
        yield StageName.HELLO, self._hello
        if self.relay.tls.mode is TlsMode.START_TLS:
            yield StageName.START_TLS, self._start_tls
            yield StageName.TLS, self._upgrade
            # RFC 3207 §4.2: all that was learned in clear is forgotten, so that nobody on the way can add or remove capabilities.
            yield StageName.HELLO, self._hello
        if self.relay.auth is not None:
            yield StageName.AUTHENTICATE, self._authenticate

    async def _policy(self, _: StageMark) -> Fault | None:
        context = self.dialog.context
        if (denied := check_port(self.dialer.egress, self.relay.port, context=context)) is not None:
            return denied
        if self.relay.tls.mode is not TlsMode.NONE and isinstance(unusable := tls_context(self.relay.tls), Unusable):
            return fault(StageName.POLICY, unusable.reason, context, unusable.detail)
        return None

    async def _resolve(self, _: StageMark) -> Fault | None:
        relay = self.relay
        found = await resolve(
            relay.host, relay.port, self.dialer.egress, timeout_s=relay.timeouts.resolve_s, context=self.dialog.context
        )
        if isinstance(found, Fault):
            return found
        self._addresses = found
        self.journal.learn(addresses=tuple(address.ip for address in found))
        return None

    async def _fetch_token(self, _: StageMark) -> Fault | None:
        """Before dialling: a server does not wait while a token endpoint is slow."""
        auth = self.relay.auth
        if auth is None or auth.oauth is None:
            return None
        token = await self.dialer.tokens.token(auth.oauth, auth.username)
        if isinstance(token, Fault):
            return token
        self.dialog.keep_out(token.value)
        self._token = token.value.reveal()
        return None

    async def _connect(self, _: StageMark) -> Fault | None:
        connected = await connect(self._addresses, self.relay.timeouts, context=self.dialog.context)
        if isinstance(connected, Fault):
            return connected
        self._sock, self._address = connected.sock, connected.address
        self.dialog.learn(address=connected.address.ip)
        self.journal.learn(address=connected.address.ip)
        if self.relay.tls.mode is not TlsMode.IMPLICIT:
            await asyncio.get_running_loop().create_connection(lambda: self.dialog.wire, sock=self._take_socket())
        return None

    def _take_socket(self) -> socket.socket:
        """The connected socket, whose closing is the transport's business from now on."""
        if self._sock is None:
            raise RuntimeError("the transport comes after Connect, and once")
        sock, self._sock = self._sock, None
        return sock

    async def _implicit_tls(self, mark: StageMark) -> Fault | None:
        """TLS from the first byte. RFC 8314 §3."""
        return await self._shake_hands(
            mark,
            lambda: asyncio.get_running_loop().create_connection(
                lambda: self.dialog.wire,
                sock=self._take_socket(),
                ssl=self._context,
                server_hostname=self._server_name,
                ssl_handshake_timeout=self.relay.timeouts.tls_s + _HANDSHAKE_GRACE_S,
            ),
        )

    async def _upgrade(self, mark: StageMark) -> Fault | None:
        """TLS on the connection that was in clear until now. RFC 3207 §4."""
        timeout_s = self.relay.timeouts.tls_s + _HANDSHAKE_GRACE_S
        return await self._shake_hands(
            mark, lambda: self.dialog.wire.start_tls_now(self._context, self._server_name, timeout_s)
        )

    async def _shake_hands(self, mark: StageMark, handshake: Callable[[], Awaitable[object]]) -> Fault | None:
        timeout_s = self.relay.timeouts.tls_s
        try:
            async with asyncio.timeout(timeout_s):
                await handshake()
        except BROKEN as exc:
            failed = self.dialog.broken(StageName.TLS, exc, timeout_s)
            return await self._explained(failed, exc)
        if self.dialog.wire.has_unasked_bytes:
            # Bytes in clear between the 220 and the handshake: somebody injects replies (CVE-2021-38371).
            return self.dialog.violation(StageName.TLS, "data in clear text after the reply to STARTTLS")
        return self._note_tls(mark)

    def _note_tls(self, mark: StageMark) -> Fault | None:
        connection = self.dialog.wire.tls
        if connection is None:
            return self.dialog.broken(StageName.TLS, EOFError("closed right after the handshake"))
        shown = read_handshake(connection)
        self.journal.learn(tls=shown.facts)
        if self.journal.keeps_certificates:
            self.journal.learn(certificates=shown_chain(connection))
        self.journal.remark(f"TLS {shown.facts.version} {shown.facts.cipher}")
        self.dialog.learn(certificate_names=shown.names)
        self._is_tls_silent = True
        if not self.relay.tls.verify:
            mark.reason = Reason.TLS_NOT_VERIFIED
        return None

    async def _explained(self, failed: Fault, exc: BaseException) -> Fault:
        """The fault with what can be found out beyond the error itself."""
        if failed.reason is Reason.NO_SHARED_CIPHER and SERVER_HAD_AGREED in getattr(exc, "__notes__", ()):
            evidence = Evidence(chain=(*failed.chain, SERVER_HAD_AGREED))
            return fault(
                StageName.TLS, Reason.CLIENT_CERTIFICATE_REQUIRED, self.dialog.context, failed.chain[0], evidence
            )
        return await self._with_certificate_names(failed, exc)

    async def _with_certificate_names(self, failed: Fault, exc: BaseException) -> Fault:
        """Say what the refused certificate is: Python hides it, so look at it over a second connection that proves nothing and sends no secret."""
        if failed.reason not in _UNPROVEN_CERTIFICATE or not self.relay.tls.verify:
            return failed
        relay = replace(self.relay, auth=None, tls=replace(self.relay.tls, verify=False))
        second = Opening(relay, self.dialer, StageLog(keeps_certificates=self.journal.keeps_certificates))
        try:
            async with asyncio.timeout(self.relay.timeouts.tls_s):
                unseen = await second.run(StageName.TLS)
        except TimeoutError:
            return failed
        finally:
            second.close()
        if unseen is not None:
            return failed
        self.journal.learn(tls=second.journal.facts.tls, certificates=second.journal.facts.certificates)
        self.dialog.learn(certificate_names=second.dialog.context.certificate_names)
        return self.dialog.reconsidered(StageName.TLS, exc)

    async def _greet(self, _: StageMark) -> Fault | None:
        """Wait for the 220. Never speak before it: servers punish that. RFC 5321 §3.1."""
        timeout_s = self.relay.timeouts.greeting_s
        reply = await self.dialog.greeting(timeout_s)
        if isinstance(reply, Fault):
            if reply.reason is Reason.GREETING_TIMED_OUT and await self._waits_for_tls():
                detail = f"read tcp {self.dialog.context.peer}: i/o timeout, but a ClientHello was answered"
                return fault(StageName.GREETING, Reason.TLS_ON_PLAINTEXT_PORT, self.dialog.context, detail)
            return self._suspected(reply)
        self._is_tls_silent = False
        self._greeting = reply.text
        return None if reply.is_positive else self.dialog.refusal(StageName.GREETING, reply)

    def _suspected(self, broken: Fault) -> Fault:
        """Nothing came after the handshake but an end: it may be a client certificate that is missed, though the alert for that did not come.

        A load balancer without a living server behind it looks the same, so this is a hint among the remedies and not the reason.
        """
        if not self._is_tls_silent or broken.reason not in _HUNG_UP or self.relay.tls.client_cert_pem is not None:
            return broken
        return replace(
            broken, remedies=(*broken.remedies, *remedies(Reason.CLIENT_CERTIFICATE_REQUIRED, self.dialog.context)[:1])
        )

    async def _waits_for_tls(self) -> bool:
        """Whether a silent server answers a ClientHello; asked on a second socket, because the first is spoilt by it."""
        if self._address is None or self.relay.tls.mode is TlsMode.IMPLICIT:
            return False
        again = await connect((self._address,), self.relay.timeouts, context=self.dialog.context)
        if isinstance(again, Fault):
            return False
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(_TLS_CHECK_S, self.relay.timeouts.tls_s)):
                await loop.sock_sendall(again.sock, client_hello())
                return is_tls_answer(await loop.sock_recv(again.sock, 2))
        except OSError:
            return False
        finally:
            again.sock.close()

    async def _hello(self, _: StageMark) -> Fault | None:
        """EHLO, and HELO only for a relay that needs neither TLS nor a login: those are extensions. RFC 5321 §3.2, §4.1.1.1."""
        name = hello_name(self.relay.hello_name, self.dialog.wire.local_address)
        self.dialog.learn(hello_name=name)
        refused = await self._say_hello(f"EHLO {name}")
        if refused is None or refused.reason is not Reason.ESMTP_UNSUPPORTED:
            return refused
        if self.relay.auth is not None or self.relay.tls.mode is not TlsMode.NONE or not self.dialog.is_open:
            return refused
        return await self._say_hello(f"HELO {name}")

    async def _say_hello(self, line: str) -> Fault | None:
        reply = await self.dialog.ask(StageName.HELLO, line, self.relay.timeouts.command_s)
        if isinstance(reply, Fault):
            return self._suspected(reply)
        self._is_tls_silent = False
        if not reply.is_positive:
            return self.dialog.refusal(StageName.HELLO, reply)
        self._note_capabilities(reply)
        return None

    def _note_capabilities(self, reply: Reply) -> None:
        offered = self.capabilities = parse_capabilities(reply.text)
        self.dialog.learn(offered=offered.auth, max_message_bytes=offered.size_bytes)
        self.journal.learn(
            capabilities=tuple(sanitise(line, (), _CAPABILITY_BYTES) for line in offered.lines),
            auth_mechanisms=tuple(sanitise(name, (), _CAPABILITY_BYTES) for name in offered.auth),
            max_message_bytes=offered.size_bytes,
        )

    async def _start_tls(self, _: StageMark) -> Fault | None:
        if not self.capabilities.offers("STARTTLS"):
            is_stripped = self.capabilities.is_struck_out or "****" in self._greeting
            reason = Reason.STARTTLS_STRIPPED if is_stripped else Reason.STARTTLS_NOT_OFFERED
            detail = f"250 {' '.join(self.capabilities.lines)}"
            return fault(StageName.START_TLS, reason, self.dialog.context, detail)
        reply = await self.dialog.ask(StageName.START_TLS, "STARTTLS", self.relay.timeouts.command_s)
        if isinstance(reply, Fault):
            return reply
        if not reply.is_positive:
            return self.dialog.refusal(StageName.START_TLS, reply)
        self.capabilities = Capabilities()
        return None

    async def _authenticate(self, _: StageMark) -> Fault | None:
        refused = await authenticate(self.dialog, self.relay, self.capabilities.auth, self._token)
        auth = self.relay.auth
        if refused is not None and refused.is_permanent and auth is not None and auth.oauth is not None:
            self.dialer.tokens.drop(auth.oauth, auth.username)
        return refused

    @property
    def _context(self) -> ssl.SSLContext:
        context = tls_context(self.relay.tls)
        if isinstance(context, Unusable):
            raise TypeError(f"the Policy stage lets no such plan through: {context.detail}")
        return context

    @property
    def _server_name(self) -> str:
        """The name to verify: never one that DNS led us to (RFC 9525 §6.1), and without the dot that only ends a search list."""
        return (self.relay.tls.server_name or self.relay.host).rstrip(".")
