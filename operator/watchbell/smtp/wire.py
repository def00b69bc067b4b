"""The connection itself: aiosmtplib's protocol, watched for bytes that nobody asked for.

Comes after `endpoint` has connected a socket, before `dialog`, which speaks over it. Reply parsing, line limits and the guard against control
characters in commands are aiosmtplib's. What is added: an account of every byte since the last command (two replies in one segment would
else answer two commands, and a refused recipient would pass for accepted), and both ways of starting TLS as steps of their own.
"""

import asyncio
import ssl
from typing import cast

from aiosmtplib import SMTPReadTimeoutError, SMTPResponse, SMTPServerDisconnected
from aiosmtplib.protocol import SMTPProtocol

from watchbell.smtp.replies import is_one_reply, may_be_smtp

_ACCOUNT_BYTES = 33 * 1024  # just over aiosmtplib's own limit for one reply


class Wire(SMTPProtocol):
    """One connection.

    `seen` holds what came since the last command; `is_foreign`: its first bytes cannot be SMTP; `is_paused`: written bytes still wait for
    the peer to read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.seen = bytearray()
        self.is_foreign = False
        self.is_paused = False
        self.is_lost = False
        self.lost_by: BaseException | None = None
        self._wake: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Account for the bytes, then let aiosmtplib parse them. What cannot become a reply ends the wait at once."""
        self.seen += data[: _ACCOUNT_BYTES - len(self.seen)]
        super().data_received(data)
        if not may_be_smtp(bytes(self.seen[:4])):
            self.is_foreign = True
            self.abort()
        self._wake_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the cause: with TLS 1.3 the alert about a missing client certificate arrives only here."""
        self.is_lost = True
        self.lost_by = self.lost_by or exc
        super().connection_lost(exc)
        self._wake_up()

    @property
    def has_unasked_bytes(self) -> bool:
        """Whether anything but the one expected reply has come since the last command."""
        return bool(self.seen) and not is_one_reply(bytes(self.seen))

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is up."""
        return self.tls is not None

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS side of the connection, for what it negotiated."""
        if self.transport is None:
            return None
        return cast("ssl.SSLObject | None", self.transport.get_extra_info("ssl_object"))

    @property
    def local_address(self) -> str:
        """Our own IP address on this connection."""
        name = self.transport.get_extra_info("sockname") if self.transport is not None else None
        return str(name[0]) if name else "127.0.0.1"

    async def command(self, line: bytes, timeout_s: float) -> SMTPResponse:
        """Send one line and read one reply. The caller has checked `seen` before; from here on it counts anew."""
        del self.seen[:]
        return await self.execute_command(line, timeout=timeout_s)

    async def read_response(self, timeout: float | None = None) -> SMTPResponse:  # noqa: ASYNC109 - aiosmtplib's own signature
        """One reply. The time-out is ours: `asyncio.wait_for`, aiosmtplib's, drops a cancellation that meets the reply (Python < 3.12)."""
        try:
            async with asyncio.timeout(timeout):
                return await super().read_response()
        except TimeoutError as exc:
            raise SMTPReadTimeoutError("Timed out waiting for server response") from exc

    def expect_reply(self) -> None:
        """Begin a new account for something written past `command`; without it aiosmtplib drops a reply that comes before the read."""
        del self.seen[:]
        self._response_pending = True

    async def drained(self) -> bool:
        """Wait until what was written has left us, the server says something, or the connection is lost; True = all has left."""
        while self.is_paused and not self.seen and not self.is_lost:
            self._wake = self._loop.create_future()
            await self._wake
        return not self.is_paused

    def pause_writing(self) -> None:
        """The transport holds bytes that the peer does not read."""
        self.is_paused = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """The transport holds nothing any more."""
        self.is_paused = False
        super().resume_writing()
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def start_tls_now(self, context: ssl.SSLContext, server_name: str, timeout_s: float) -> None:
        """The handshake, on a connection in clear. Raises what asyncio raises: ssl.SSLError, OSError, ConnectionAbortedError on time-out."""
        if self.transport is None:
            raise SMTPServerDisconnected("Connection lost")
        self.transport = await self._loop.start_tls(
            cast("asyncio.WriteTransport", self.transport),
            self,
            context,
            server_hostname=server_name,
            ssl_handshake_timeout=timeout_s,
        )

    def abort(self) -> None:
        """Close at once, without waiting for the peer's half of anything."""
        transport, self.transport = self.transport, None
        if transport is not None:
            cast("asyncio.WriteTransport", transport).abort()
