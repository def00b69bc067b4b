"""How soon the operator is ready, and what it asks of the API server when nothing happens."""

import asyncio
import time

import objects
from figures import Figure, figure, median, spread
from stage import Stage, say, stage

STARTS = 5
CONNECTORS = 30
SETTLE_S = 45.0
"""The first round over all Secrets and CAs: what is seen for the first time counts as changed, and its connectors read it again."""
WINDOW_S = 62.0
LONG_PERIOD_S = 86_400
REQUESTS = "watchbell_kube_api_requests_total"
NAMES = frozenset({"startup_s", "idle_api_qps"})


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted."""
    found: list[Figure] = []
    async with stage("idle") as place:
        if "startup_s" in wanted:
            runs = [_start(place) for _ in range(STARTS + 1)][1:]
            note = f"exec until /readyz says 200, file cache warm, CRDs there before; median, {spread(runs)}"
            found.append(figure("startup_s", median(runs), note, place.load))
        if "idle_api_qps" in wanted:
            found.append(await _idle(place))
    return found


def _start(place: Stage) -> float:
    with place.operator() as operator:
        return operator.wait(operator.is_ready, "ready")


async def _idle(place: Stage) -> Figure:
    path = await place.space("tenants")
    await place.connectors("tenants", tuple(objects.workloads("relay", CONNECTORS)), LONG_PERIOD_S)
    await place.api.create(f"{path}/collectorpolicies", objects.policy("relay-0000"))
    with place.operator() as operator:
        operator.wait(lambda: operator.metric("watchbell_connector_ready") == CONNECTORS, "all connectors Ready")
        await asyncio.sleep(SETTLE_S)
        say(f"idle for {WINDOW_S:g} s")
        began, requests, cpu_s = time.monotonic(), operator.metric(REQUESTS), operator.cpu_s()
        await asyncio.sleep(WINDOW_S)
        elapsed = time.monotonic() - began
        asked = operator.metric(REQUESTS) - requests
        share = (operator.cpu_s() - cpu_s) / elapsed
    note = (
        f"{asked:.0f} requests counted by the operator in {elapsed:.0f} s, {SETTLE_S:.0f} s after the last connector was Ready; "
        f"{CONNECTORS} connectors, one policy, --secret-access Get (each Secret and CA is looked at in turn for rotation), {share:.1%} of a core; "
        "kopf's own watches are renewed every 10 minutes and not counted"
    )
    return figure("idle_api_qps", asked / elapsed, note, place.load)
