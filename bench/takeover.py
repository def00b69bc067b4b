"""Two replicas of which the leader is killed, or asked to end: how long until the other one sends.

A collector crashes in the same moment, so what is measured is a mail that somebody waits for: the Lease runs out or is released, the other takes the
journal over, sees the crash, and the sink accepts the mail.
"""

import contextlib
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import objects
from apiserver import at_once, until
from figures import Figure, figure, median, spread
from processes import Process
from stage import Stage, say, stage

RUNS = 7
SPACE = "takeover"
FLAG = "--leader-elect"
WITHIN_S = 60.0
NAMES = frozenset({"failover_s", "handover_s"})
ENDINGS = {"failover_s": signal.SIGKILL, "handover_s": signal.SIGTERM}


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted."""
    names = [name for name in ENDINGS if name in wanted]
    async with stage("takeover") as place:
        pods = await _prepare(place, len(names) * RUNS + 1)
        taken = await _runs(place, [name for name in names for _ in range(RUNS)], pods)
        return [_figure(name, taken[name], place.load) for name in names]


def _figure(name: str, took_s: Sequence[float], load: float) -> Figure:
    how = "kill -9 of" if ENDINGS[name] is signal.SIGKILL else "SIGTERM to"
    note = (
        f"{how} the leader until the sink accepted the mail about a collector that crashed in that moment, sent by the other replica; "
        f"--leader-elect with its defaults; median, {spread(took_s)}"
    )
    return figure(name, median(took_s), note, load)


async def _prepare(place: Stage, count: int) -> list[str]:
    path = await place.space(SPACE)
    await place.connectors(SPACE, ("alerts",))
    await place.api.create(f"{path}/collectorpolicies", objects.policy("alerts"))
    names = list(objects.workloads("bench", count))
    await place.api.create_all(f"/api/v1/namespaces/{SPACE}/pods", (objects.pod(name) for name in names))
    await at_once(names, lambda name: place.api.patch(_status_path(name), {"status": objects.running()}))
    return names


def _status_path(workload: str) -> str:
    return f"/api/v1/namespaces/{SPACE}/pods/{objects.pod_name(workload)}/status"


async def _runs(place: Stage, names: Sequence[str], pods: Sequence[str]) -> dict[str, list[float]]:
    """One after the other: the one that took over is the leader of the next run, with a new one beside it."""
    taken: dict[str, list[float]] = {name: [] for name in ENDINGS}
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(place.operator(FLAG, name="first"))
        leader.wait(partial(_leads, leader), "the first one leads")
        await until(partial(_is_ready, place), "connector and policy are Ready", 30)
        await _crash(place, pods[0])
        await _told(place, pods[0])
        for number, name in enumerate(names):
            standby = stack.enter_context(place.operator(FLAG, name=f"replica-{number}"))
            standby.wait(standby.is_ready, "the standby is ready")
            taken[name].append(await _run(place, leader, ENDINGS[name], pods[number + 1]))
            say(f"{name}: {taken[name][-1]:.2f} s")
            leader = standby
    return taken


async def _run(place: Stage, leader: Process, ending: signal.Signals, pod: str) -> float:
    began = time.time_ns()
    leader.process.send_signal(ending)
    await _crash(place, pod)
    return (await _told(place, pod) - began) / 1e9


async def _crash(place: Stage, pod: str) -> None:
    finished = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await place.api.patch(_status_path(pod), {"status": objects.crashed(0, finished)})


async def _told(place: Stage, pod: str) -> int:
    """When the sink accepted the mail about it, in ns."""
    await until(lambda: pod in place.sink.by_workload("bench"), "the mail is accepted", WITHIN_S, 0.01)
    return place.sink.by_workload("bench")[pod]


def _leads(operator: Process) -> bool:
    return operator.metric("watchbell_leader") == 1


async def _is_ready(place: Stage) -> bool:
    path = f"{objects.GROUP}/namespaces/{SPACE}"
    wanted = (f"{path}/smtpconnectors/alerts", f"{path}/collectorpolicies/collectors")
    return all([objects.is_true(await place.api.get(one), "Ready") for one in wanted])
