"""The small HTTP servers of the operator: /livez, /readyz and /metrics.

Runtime tells what ready and alive mean; nothing here knows why. Both addresses may be the same, then one server answers for all.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Metric, generate_latest
from prometheus_client.registry import Collector

from watchbell.metrics import REGISTRY
from watchbell.settings import BindAddress

log = logging.getLogger(__name__)

Readiness = Callable[[], tuple[bool, str]]
Liveness = Callable[[], tuple[str, ...]]


def no_complaint() -> tuple[str, ...]:
    """Nothing is known to hang."""
    return ()


class BindError(OSError):
    """An address that cannot be listened on; the text names the flag."""


class _View(Collector):
    """The metrics of one moment."""

    def __init__(self, families: tuple[Metric, ...]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """As they were."""
        return self._families


class Endpoints:
    """Serves health and metrics until stopped. `readiness` gives (ready, why not), `liveness` what hangs; neither may block."""

    def __init__(self, readiness: Readiness, refresh: Callable[[], None], liveness: Liveness = no_complaint) -> None:
        self._readiness = readiness
        self._refresh = refresh
        self._liveness = liveness
        self._runners: list[web.AppRunner] = []
        self.ports: dict[str, int] = {}

    async def start(self, health: BindAddress, metrics: BindAddress) -> None:
        """Listen. Raises BindError."""
        health_routes = [
            web.get("/livez", self._live),
            web.get("/healthz", self._live),
            web.get("/readyz", self._ready),
        ]
        metric_routes = [web.get("/metrics", self._metrics)]
        if health == metrics and health.port:
            await self._serve("health", health, health_routes + metric_routes)
            return
        await self._serve("health", health, health_routes)
        await self._serve("metrics", metrics, metric_routes)

    async def _serve(self, name: str, where: BindAddress, routes: list[web.RouteDef]) -> None:
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, where.host, where.port)
        try:
            await site.start()
        except OSError as error:
            raise BindError(
                f"cannot listen on {where.host}:{where.port} ({error.strerror}); give another address with --{name}-bind-address"
            ) from error
        self.ports[name] = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every listener."""
        while self._runners:
            with contextlib.suppress(OSError):
                await self._runners.pop().cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        complaints = self._liveness()
        if not complaints:
            return web.Response(text="ok\n")
        log.error("this process is not alive: %s", "; ".join(complaints))
        return web.Response(status=503, text="".join(f"{complaint}\n" for complaint in complaints))

    async def _ready(self, _request: web.Request) -> web.Response:
        ready, why_not = self._readiness()
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else f"{why_not}\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._refresh()
        # What there is is read on the loop, in one piece; writing thousands of lines of it must keep no mail waiting.
        view = _View(tuple(REGISTRY.collect()))
        body = await asyncio.to_thread(generate_latest, view)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
