"""One HTTP exchange with the API server: token, deadline, pool, typed error. `client` above it knows verbs; this knows only bytes.

Two pools, so that long watches never take the connections that calls wait for.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from watchbell.kube.access import Access, AccessError
from watchbell.kube.errors import (
    ApiError,
    ServerError,
    StreamCut,
    Throttled,
    Unauthorized,
    Unreachable,
    error_from_response,
)
from watchbell.kube.turns import Turns

CALL_CONNECTIONS_MAX = 32
BODY_MAX_BYTES = 128 * 1024 * 1024
LINE_MAX_BYTES = 8 * 1024 * 1024
_KEEPALIVE_S = 60.0
_ERROR_BODY_MAX_BYTES = 256 * 1024
_WARNINGS_MAX = 100
_SLICE_BYTES = 16 * 1024

OnRequest = Callable[[str, int], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `verb` is the API's word for it (get, list, watch, create, update, patch, delete), for metrics; `body` is JSON."""

    verb: str
    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    is_repeatable: bool = True
    is_patient: bool = False


class _Sliced(aiohttp.BytesPayload):
    """A body that goes to TLS in slices. The buffer of a connection grows to the most that was handed over at once, and stays so large."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._body = body

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        body = memoryview(self._body)[:content_length]
        for start in range(0, len(body), _SLICE_BYTES):
            await writer.write(body[start : start + _SLICE_BYTES])


class Transport:
    """Keeps the connections. Sessions are made on first use, inside the running loop."""

    def __init__(self, access: Access, *, deadline_s: float, user_agent: str, on_request: OnRequest | None) -> None:
        self._access = access
        self._deadline_s = deadline_s
        self._user_agent = user_agent
        self._on_request = on_request
        self._calls: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._warned: set[str] = set()
        self.turns = Turns()

    async def exchange(self, call: Call) -> bytes:
        """The body of a 2xx answer. One 429 is waited out if its Retry-After fits into the deadline. Raises ApiError of the right type."""
        if call.is_patient:
            async with self.turns.patient():
                return await self._within_deadline(call)
        with self.turns.urgent():
            return await self._within_deadline(call)

    async def _within_deadline(self, call: Call) -> bytes:
        try:
            async with asyncio.timeout(self._deadline_s) as limit:
                try:
                    return await self._once(call)
                except Unauthorized:
                    if self._access.drop_token is None:
                        raise
                    await asyncio.to_thread(self._access.drop_token)
                    return await self._once(call)
                except Throttled as error:
                    ends = limit.when() or 0.0
                    if asyncio.get_running_loop().time() + error.retry_after_s >= ends:
                        raise
                    await asyncio.sleep(error.retry_after_s)
                    return await self._once(call)
        except TimeoutError as error:
            self._count(call, 0)
            raise Unreachable(f"{self._access.server} gave no answer within {self._deadline_s:g} s") from error

    async def _once(self, call: Call) -> bytes:
        if self._calls is None:
            self._calls = self._session(CALL_CONNECTIONS_MAX)
        try:
            return await self._attempt(self._calls, call)
        except aiohttp.ServerDisconnectedError as error:
            # A kept connection that the server closed just now: nothing was answered, and asking again does no harm.
            if not call.is_repeatable:
                raise self._unreachable(call, error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(call, error) from error
        try:
            return await self._attempt(self._calls, call)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(call, error) from error

    async def _attempt(self, session: aiohttp.ClientSession, call: Call) -> bytes:
        async with session.request(
            call.method,
            self._url(call),
            data=_Sliced(call.body) if call.body is not None and len(call.body) > _SLICE_BYTES else call.body,
            headers=await self._headers(call),
            server_hostname=self._access.server_name,
            allow_redirects=False,
        ) as response:
            body = await _read_body(response)
            self._count(call, response.status)
            self._heed_warnings(response)
            if response.status >= 300:
                raise error_from_response(response.status, body, response.headers.get("Retry-After"))
            return body

    @contextlib.asynccontextmanager
    async def stream(self, call: Call, *, stall_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of a long answer, whole ones only; a clean end ends them.

        Raises Unreachable when it cannot be opened within the deadline, StreamCut on a cut or a silence of `stall_s` later on.
        """
        async with await self._open(call, stall_s) as response:
            self._count(call, response.status)
            try:
                if response.status >= 300:
                    body = await response.content.read(_ERROR_BODY_MAX_BYTES)
                    raise error_from_response(response.status, body, response.headers.get("Retry-After"))
                yield _lines(response.content)
            except (aiohttp.ClientError, OSError) as error:
                raise StreamCut(f"The watch of {call.path} was cut: {_text(error)}") from error

    async def _open(self, call: Call, stall_s: float) -> aiohttp.ClientResponse:
        if self._streams is None:
            self._streams = self._session(0)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._streams.request(
                    call.method,
                    self._url(call),
                    headers=await self._headers(call),
                    server_hostname=self._access.server_name,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._deadline_s, sock_read=stall_s),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(call, error) from error

    async def close(self) -> None:
        """Closes every connection, for good: a call that was still waiting its turn is Unreachable and opens none that nobody would close."""
        self._is_closed = True
        for session in (self._calls, self._streams):
            if session is not None:
                await session.close()
        self._calls = self._streams = None

    def _session(self, limit: int) -> aiohttp.ClientSession:
        if self._is_closed:
            raise Unreachable(f"the client of {self._access.server} is closed")
        connector = aiohttp.TCPConnector(
            limit=limit, ssl=self._access.ssl or True, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=60
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._deadline_s),
            headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    def _url(self, call: Call) -> URL:
        query = f"?{urlencode(call.params)}" if call.params else ""
        return URL(f"{self._access.server}{call.path}{query}", encoded=True)

    async def _headers(self, call: Call) -> dict[str, str]:
        headers = {"Accept": call.accept}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        if self._access.token is not None:
            try:
                slow = self._access.is_token_slow
                token = await asyncio.to_thread(self._access.token) if slow else self._access.token()
            except AccessError as error:
                raise Unreachable(str(error)) from error
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _heed_warnings(self, response: aiohttp.ClientResponse) -> None:
        """The API server warns of unknown (dropped) fields and deprecations: each is logged once, since it means that we speak wrongly."""
        for warning in response.headers.getall("Warning", ()):
            if warning not in self._warned and len(self._warned) < _WARNINGS_MAX:
                self._warned.add(warning)
                log.warning("The API server warns: %s", warning[:512])

    def _unreachable(self, call: Call, error: Exception) -> Unreachable:
        self._count(call, 0)
        return Unreachable(f"{self._access.server} cannot be reached: {_text(error)}")

    def _count(self, call: Call, code: int) -> None:
        if self._on_request is not None:
            self._on_request(call.verb, code)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > BODY_MAX_BYTES:
            raise ServerError(response.status, "ResponseTooLarge", f"an answer is larger than {BODY_MAX_BYTES} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines only: what stands behind the last newline of a cut stream is half an object, and never leaves here."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        for line in whole:
            if line:
                yield line
        if len(rest) > LINE_MAX_BYTES:
            raise ApiError(200, "LineTooLarge", f"a watch event is larger than {LINE_MAX_BYTES} bytes")
