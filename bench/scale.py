"""Ten thousand pods and a thousand connectors: how soon they are in memory, and how much of it they take."""

import asyncio

import objects
from apiserver import at_once
from figures import Figure, figure, median, spread
from processes import Process
from stage import Stage, say, stage

PODS = 10_000
WORKLOADS = 100
CONNECTORS = 1_000
STARTS = 3
SPACE = "collectors"
QUIET_S = 4
QUIET_SHARE = 0.05
NAMES = frozenset({"cache_10k_pods_s", "rss_10k_pods_mib"})


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted."""
    found: list[Figure] = []
    async with stage("scale") as place:
        await _fill(place)
        if "cache_10k_pods_s" in wanted:
            runs = [_cache(place) for _ in range(STARTS + 1)][1:]
            note = (
                f"exec of the operator until watchbell_watched_pods is {PODS}: Python's start, imports, the checks of CRDs and rights and every "
                f"list are included; one policy, pods with ten env vars and a kubelet's status; median, {spread(runs)}"
            )
            found.append(figure("cache_10k_pods_s", median(runs), note, place.load))
        if "rss_10k_pods_mib" in wanted:
            found.append(await _memory(place))
    return found


async def _fill(place: Stage) -> None:
    path = await place.space(SPACE)
    await place.connectors(SPACE, ("alerts",))
    await place.api.create(f"{path}/collectorpolicies", objects.policy("alerts"))
    each = PODS // WORKLOADS
    pods = [(workload, number) for workload in objects.workloads("fleet", WORKLOADS) for number in range(each)]
    pods_path = f"/api/v1/namespaces/{SPACE}/pods"

    async def make(one: tuple[str, int]) -> None:
        await place.api.create(pods_path, objects.pod(*one))
        await place.api.patch(f"{pods_path}/{objects.pod_name(*one)}/status", {"status": objects.running(one[1])})

    await at_once(pods, make)
    say(f"{PODS} pods made")


def _cache(place: Stage) -> float:
    with place.operator() as operator:
        return operator.wait(lambda: operator.metric("watchbell_watched_pods") == PODS, "all pods in the cache")


async def _memory(place: Stage) -> Figure:
    await place.space("tenants")
    await place.connectors("tenants", tuple(objects.workloads("relay", CONNECTORS)))
    with place.operator() as operator:
        operator.wait(lambda: operator.metric("watchbell_watched_pods") == PODS, "all pods in the cache")
        took = operator.wait(
            lambda: operator.metric("watchbell_connector_ready") >= CONNECTORS + 1, "all connectors Ready", 90
        )
        await _quiet(operator)
        note = (
            f"VmRSS of the operator with {PODS} pods and {CONNECTORS + 1} connectors, each proven by this process ({took:.0f} s after exec), once it "
            f"used less than {QUIET_SHARE:.0%} of a core for {QUIET_S} s; its peak was {operator.memory_mib('VmHWM'):.0f} MiB"
        )
        return figure("rss_10k_pods_mib", operator.memory_mib(), note, place.load)


async def _quiet(operator: Process) -> None:
    """Until the operator is idle for QUIET_S seconds in a row; at most 40 s."""
    still = 0
    for _ in range(40):
        before = operator.cpu_s()
        await asyncio.sleep(1)
        still = still + 1 if operator.cpu_s() - before < QUIET_SHARE else 0
        if still == QUIET_S:
            return
    raise RuntimeError("the operator did not come to rest within 40 s")
