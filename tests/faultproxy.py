"""A proxy on loopback that stands before a real API server and does to its answers what networks and load balancers do.

Plain HTTP in, TLS out, one request a connection. `plan(request)` names the fault of each request (None = pass it on unharmed); `requests`
lists what was asked. Every byte that arrives comes from the real server unless a fault says otherwise.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    head: bytes = field(repr=False)
    body: bytes = field(repr=False)
    at: float

    @property
    def is_watch(self) -> bool:
        return "watch=true" in self.target

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def query(self, name: str) -> str:
        return parse_qs(urlsplit(self.target).query).get(name, [""])[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy answers by itself."""

    status: int
    body: bytes = b"{}"
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """The proxy answers 200 with these lines, as a watch, and ends it properly."""

    lines: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class CutAfter:
    """The connection is reset when this many bytes of the body have passed."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class StallAfter:
    """Nothing comes any more when this many bytes of the body have passed; the connection stays open."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is never answered, nor does the server hear of it."""


@dataclass(frozen=True, slots=True)
class LoseReply:
    """The server acts on the request, its answer is lost."""


Fault = Answer | Stream | CutAfter | StallAfter | Hang | LoseReply
Plan = Callable[[Request], Fault | None]


class FaultProxy:
    """Async context manager; `url` is where clients go."""

    def __init__(self, upstream: str, ca_pem: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 443)
        self._tls = ssl.create_default_context(cadata=ca_pem)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.plan: Plan = lambda _request: None
        self.requests: list[Request] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def watches(self) -> list[Request]:
        return [request for request in self.requests if request.is_watch]

    @property
    def lists(self) -> list[Request]:
        return [r for r in self.requests if r.method == "GET" and not r.is_watch]

    def cut_all(self) -> None:
        """Resets every connection that is open now."""
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Not in the task: one that is cancelled before its first step runs no line of it.
        task.add_done_callback(lambda _task: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read_request(reader)
            self.requests.append(request)
            await self._act(request, self.plan(request), reader, writer)
            writer.close()
            await writer.wait_closed()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass

    async def _act(
        self, request: Request, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match fault:
            case Hang():
                await reader.read()
            case Answer(status, body, headers):
                lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
                await writer.drain()
            case Stream(lines):
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
                for line in lines:
                    writer.write(f"{len(line) + 1:x}\r\n".encode() + line + b"\n\r\n")
                writer.write(b"0\r\n\r\n")
                await writer.drain()
            case _:
                await self._pass_on(request, fault, reader, writer)

    async def _pass_on(
        self, request: Request, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back, out = await asyncio.open_connection(*self._upstream, ssl=self._tls)
        try:
            out.write(
                f"{request.method} {request.target} HTTP/1.1\r\n".encode() + request.head + b"\r\n" + request.body
            )
            head = await back.readuntil(b"\r\n\r\n")
            if isinstance(fault, LoseReply):
                return
            writer.write(head)
            await self._relay(back, writer, fault)
            if isinstance(fault, StallAfter):
                await reader.read()
        finally:
            out.transport.abort()

    async def _relay(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None) -> None:
        left = fault.size_bytes if isinstance(fault, CutAfter | StallAfter) else None
        while data := await back.read(65536):
            writer.write(data if left is None else data[:left])
            await writer.drain()
            if left is not None:
                left -= len(data)
                if left <= 0:
                    return


async def _read_request(reader: asyncio.StreamReader) -> Request:
    first, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    method, target, _ = first.decode().split(" ")
    headers = [line for line in rest.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    size = 0
    for line in headers:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            size = int(value)
    body = await reader.readexactly(size) if size else b""
    head = b"".join(line + b"\r\n" for line in [*headers, b"Connection: close"])
    return Request(method, target, head, body, asyncio.get_running_loop().time())
