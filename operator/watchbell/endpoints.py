"""The small HTTP servers of the operator: /livez, /readyz and /metrics.

Runtime tells what ready means; nothing here knows why. Both addresses may be the same, then one server answers for all.
"""

import contextlib
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from watchbell.metrics import REGISTRY
from watchbell.settings import BindAddress

Readiness = Callable[[], tuple[bool, str]]


class BindError(OSError):
    """An address that cannot be listened on; the text names the flag."""


class Endpoints:
    """Serves health and metrics until stopped. `readiness` gives (ready, why not) and must not block."""

    def __init__(self, readiness: Readiness, refresh: Callable[[], None]) -> None:
        self._readiness = readiness
        self._refresh = refresh
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
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        ready, why_not = self._readiness()
        return web.Response(status=200 if ready else 503, text="ok\n" if ready else f"{why_not}\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
