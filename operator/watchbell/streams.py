"""How kopf is set up: its settings, its login and its HTTP session. One place, one test.

kopf watches our own kinds and calls `handlers`; it writes nothing (no annotation, no finalizer, no patch), so a standby may watch too. Each
setting below answers a failure that was seen; the measurements stand in docs/decisions/0002-kopf-events-only.md.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import kopf

from watchbell.kube.access import Access
from watchbell.kube.pulse import Pulses

WATCH_SPACING_S = 1.0
"""At least so long between two watch requests for one path: a load balancer that closes each at once would else be asked 6,000 times a second."""
SERVER_ENDS_S = 600
SILENT_MOST_S = 900.0
"""A watch of kopf's is asked for anew after SERVER_ENDS_S, a stall of 70 s and a pause of 30 s at the latest; one that is not hangs."""


class EndlessBackoff:
    """Delays between tries that never run out, as a new iterator each time: kopf gives up, and the operator dies, when its list ends."""

    def __iter__(self) -> Iterator[float]:
        """1, 1, 2, 3, 5, 8, 13, 21, then 30 s for ever."""
        yield from (1, 1, 2, 3, 5, 8, 13, 21)
        while True:
            yield 30


def configure(settings: kopf.OperatorSettings) -> None:
    """Put our settings into kopf's."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.watching.chunk_size = 100
    settings.watching.inactivity_timeout = 70
    settings.watching.connect_timeout = 10
    settings.watching.server_timeout = SERVER_ENDS_S
    settings.watching.field_selectors["watchbell.dev", "v1alpha1", "smtptests"] = "status.completionTime="
    settings.queueing.idle_timeout = 0.05
    settings.queueing.worker_limit = None
    settings.queueing.exit_timeout = 2
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = EndlessBackoff()
    settings.execution.max_workers = 4
    settings.process.ultimate_exiting_timeout = 60


def session(access: Access, pulses: Pulses | None = None) -> kopf.AiohttpSession:
    """A new session for kopf (it closes the one it was given). Call it inside of the running loop. `pulses` hear of its watches."""
    connector = aiohttp.TCPConnector(limit=0, ssl=access.ssl or True, ttl_dns_cache=60)
    client = aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": "watchbell"},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        response_class=LeanResponse,
        middlewares=(authorize(access), space_watches(time.monotonic, pulses or Pulses())),
    )
    return kopf.AiohttpSession(server=access.server, default_namespace=access.namespace, aiohttp_session=client)


class LeanResponse(aiohttp.ClientResponse):
    """Lists come without `managedFields`: nobody here reads them, and they are more than half of what a listed object takes in memory."""

    async def json(self, **options: Any) -> Any:  # noqa: ANN401 - any JSON, as aiohttp says
        """The parsed body."""
        parsed = await super().json(**options)
        for item in (parsed.get("items") or ()) if isinstance(parsed, dict) else ():
            item.get("metadata", {}).pop("managedFields", None)
        return parsed


def authorize(access: Access) -> aiohttp.ClientMiddlewareType:
    """A fresh token for each request: a service account's token is renewed every hour, and kopf would only notice at a 401.

    A refused token that a program gave is asked for once more, and the server is known by the name that the kubeconfig says.
    """

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.server_hostname = access.server_name
        await _sign(access, request)
        response = await handler(request)
        if response.status != 401 or access.drop_token is None:
            return response
        response.release()
        await asyncio.to_thread(access.drop_token)
        await _sign(access, request)
        return await handler(request)

    return middleware


async def _sign(access: Access, request: aiohttp.ClientRequest) -> None:
    if access.token is not None:
        token = await asyncio.to_thread(access.token) if access.is_token_slow else access.token()
        request.headers["Authorization"] = f"Bearer {token}"


def space_watches(clock: Callable[[], float], pulses: Pulses) -> aiohttp.ClientMiddlewareType:
    """Never two watch requests for one path within WATCH_SPACING_S; each is a sign of life."""
    last: dict[str, float] = {}

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        path = request.url.path
        is_watch = bool(request.url.query.get("watch"))
        if is_watch or path in last:
            # A list counts too: while the server is down, that is what is tried again and again.
            pulses.beat(path, path.rpartition("/")[2], SILENT_MOST_S)
        if is_watch:
            wait_s = last.get(path, clock() - WATCH_SPACING_S) + WATCH_SPACING_S - clock()
            last[path] = clock() + max(0.0, wait_s)
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        return await handler(request)

    return middleware
