"""Crash mails: from the status patch sent to the mail accepted at the sink; beside it Alertmanager, from the alert posted."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import objects
from alertmanager import Alertmanager, alertmanager
from apiserver import at_once, until
from figures import Figure, Peer, figure, median, percentile, spread
from processes import Process, Sink
from stage import Stage, say, stage

OWNERS = 120
ROUNDS = 3
WARM_UP = 10
PACE_S = 0.1
SPACE = "collectors"
NAMES = frozenset({"crash_to_accepted_p50_ms", "crash_to_accepted_p99_ms"})


@dataclass(frozen=True, slots=True)
class Round:
    """One round's percentiles in milliseconds."""

    p50: float
    p99: float


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted; both come from the same rounds."""
    async with stage("crashes") as place:
        own, note = await _operator_rounds(place)
        peer, peer_note = await _peer_round(place.sink)
        p50, p99 = [one.p50 for one in own], [one.p99 for one in own]
        found = [
            figure(
                "crash_to_accepted_p50_ms",
                median(p50),
                f"{note}; {spread(p50)}; {peer_note}",
                place.load,
                _of(peer, "p50"),
            ),
            figure(
                "crash_to_accepted_p99_ms",
                median(p99),
                f"{note}; {spread(p99)}; {peer_note}",
                place.load,
                _of(peer, "p99"),
            ),
        ]
    return [one for one in found if one.name in wanted]


def _of(peer: tuple[str, Round] | None, name: str) -> Peer | None:
    return Peer(peer[0], getattr(peer[1], name)) if peer else None


async def _operator_rounds(place: Stage) -> tuple[list[Round], str]:
    names = await _prepare(place)
    with place.operator() as operator:
        operator.wait(lambda: operator.metric("watchbell_watched_pods") == len(names), "all pods in the cache")
        await until(lambda: _is_ready(place, "smtpconnectors", "alerts"), "the connector is Ready", 30)
        await until(lambda: _is_ready(place, "collectorpolicies", "collectors"), "the policy is Ready", 30)
        await _round(place, names[:WARM_UP])
        rounds, first, cpu_s = [], len(place.sink.mails), operator.cpu_s()
        for index in range(ROUNDS):
            begin = WARM_UP + index * OWNERS
            rounds.append(await _round(place, names[begin : begin + OWNERS]))
            say(f"round {index + 1}: p50 {rounds[-1].p50:.1f} ms, p99 {rounds[-1].p99:.1f} ms")
        return rounds, _note(place, operator, first, cpu_s)


def _note(place: Stage, operator: Process, first: int, cpu_s: float) -> str:
    mails = place.sink.mails[first:]
    spent_ms = 1000 * (operator.cpu_s() - cpu_s) / len(mails)
    connections = len({mail.connection for mail in mails})
    return (
        f"PATCH of the pod's status sent until the sink accepted the mail, waitSeconds 0, {OWNERS} workloads a round, one after the other at "
        f"{1 / PACE_S:g}/s, durable; {len(mails)} mails of {len(mails) and mails[0].size_bytes} bytes over {connections} connection(s) with STARTTLS "
        f"and AUTH, {spent_ms:.1f} ms of CPU a mail; no log lines, which is the default"
    )


async def _prepare(place: Stage) -> tuple[str, ...]:
    """Pods that run, each of a workload of its own; a connector and a policy."""
    path = await place.space(SPACE)
    await place.connectors(SPACE, ("alerts",))
    await place.api.create(f"{path}/collectorpolicies", objects.policy("alerts"))
    names = tuple(objects.workloads("bench", WARM_UP + ROUNDS * OWNERS))
    await place.api.create_all(f"/api/v1/namespaces/{SPACE}/pods", (objects.pod(name) for name in names))
    await at_once(names, lambda name: place.api.patch(_status_path(name), {"status": objects.running()}))
    return names


def _status_path(workload: str) -> str:
    return f"/api/v1/namespaces/{SPACE}/pods/{objects.pod_name(workload)}/status"


async def _is_ready(place: Stage, plural: str, name: str) -> bool:
    return objects.is_true(await place.api.get(f"{objects.GROUP}/namespaces/{SPACE}/{plural}/{name}"), "Ready")


async def _round(place: Stage, names: Sequence[str]) -> Round:
    async def crash(index: int, name: str) -> None:
        finished = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await place.api.patch(_status_path(name), {"status": objects.crashed(index, finished)})

    return await _paced(place.sink, "bench", names, crash)


async def _peer_round(sink: Sink) -> tuple[tuple[str, Round] | None, str]:
    """Alertmanager at the same sink, or why there is none."""
    try:
        with alertmanager(sink.relay) as peer:
            peer.wait_ready()
            names = tuple(objects.workloads("peer", WARM_UP + OWNERS))
            await _paced(sink, "peer", names[:WARM_UP], peer.alert)
            measured = await _paced(sink, "peer", names[WARM_UP:], peer.alert)
            await peer.close()
    except (RuntimeError, OSError) as problem:
        say(f"no peer: {problem}")
        return None, "no peer: Alertmanager could not be built or run here, kwatch is not obtainable"
    return (
        Alertmanager.NAME,
        measured,
    ), "peer: alert posted until accepted, group_wait 0s, a connection a mail, not durable, detects no crashes"


async def _paced(sink: Sink, prefix: str, names: Sequence[str], act: Callable[[int, str], Awaitable[None]]) -> Round:
    """Acts for each name at a steady pace and waits for the mails; the time runs from just before each act."""
    sent: dict[str, int] = {}
    begin = time.monotonic()
    for index, name in enumerate(names):
        await asyncio.sleep(max(0.0, begin + index * PACE_S - time.monotonic()))
        sent[name] = time.time_ns()
        await act(index, name)
    await until(lambda: set(names) <= sink.by_workload(prefix).keys(), f"{len(names)} mails are accepted", 30, 0.2)
    accepted = sink.by_workload(prefix)
    took = [(accepted[name] - at) / 1e6 for name, at in sent.items()]
    return Round(percentile(took, 50), percentile(took, 99))
