"""The small HTTP servers: liveness, readiness with its reason, metrics; on one port or two."""

import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from watchbell import metrics
from watchbell.endpoints import BindError, Endpoints
from watchbell.settings import BindAddress

ANY = BindAddress("127.0.0.1", 0)


@asynccontextmanager
async def serving(readiness=lambda: (True, ""), refresh=lambda: None, health=ANY, other=ANY, liveness=tuple):
    endpoints = Endpoints(readiness, refresh, liveness)
    try:
        await endpoints.start(health, other)
        yield endpoints
    finally:
        await endpoints.stop()


async def get(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_alive_is_not_ready_and_not_ready_says_why():
    answers = [(False, "not yet listed: pods"), (True, "")]
    async with serving(readiness=lambda: answers[0]) as endpoints:
        port = endpoints.ports["health"]
        assert (await get(port, "/livez"))[:2] == (200, "ok\n")
        assert (await get(port, "/healthz"))[:2] == (200, "ok\n")
        assert (await get(port, "/readyz"))[:2] == (503, "not yet listed: pods\n")
        answers.pop(0)
        assert (await get(port, "/readyz"))[:2] == (200, "ok\n")
        assert (await get(port, "/metrics"))[0] == 404, "metrics are not shown where health is"


async def test_what_hangs_is_named_and_logged(caplog):
    complaints = []
    async with serving(liveness=lambda: tuple(complaints)) as endpoints:
        port = endpoints.ports["health"]
        assert (await get(port, "/livez"))[:2] == (200, "ok\n")
        complaints += ["pods was last heard of 301 s ago", "nodes was last heard of 300 s ago"]
        for path in ("/livez", "/healthz"):
            assert (await get(port, path))[:2] == (503, "\n".join((*complaints, "")))
        assert (await get(port, "/readyz"))[:2] == (200, "ok\n"), "who hangs may still be ready"
        assert "; ".join(complaints) in caplog.text
        complaints.clear()
        assert (await get(port, "/livez"))[:2] == (200, "ok\n")


async def test_metrics_are_made_fresh_for_each_look():
    looks = []

    def refresh():
        looks.append(True)
        metrics.WATCHED_PODS.set(1000 + len(looks))

    async with serving(refresh=refresh) as endpoints:
        port = endpoints.ports["metrics"]
        for expected in (1001, 1002):
            status, text, kind = await get(port, "/metrics")
            assert status == 200
            assert kind.startswith("text/plain")
            assert f"watchbell_watched_pods {expected}.0" in text
        assert (await get(port, "/livez"))[0] == 404


async def test_one_address_may_serve_both():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    where = BindAddress("127.0.0.1", port)
    async with serving(health=where, other=where):
        assert (await get(port, "/readyz"))[0] == 200
        assert "watchbell_build_info" in (await get(port, "/metrics"))[1]


async def test_a_taken_port_is_told_with_the_flag_and_nothing_stays_open():
    endpoints = Endpoints(lambda: (True, ""), lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = BindAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(BindError, match=r"127\.0\.0\.1:\d+ .*--metrics-bind-address"):
            await endpoints.start(ANY, where)
    await endpoints.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", endpoints.ports["health"]), timeout=1).close()
