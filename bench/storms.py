"""A thousand collectors that crash in the same moment: how long until everybody was told, what it costs the API server, and what stays in memory.

Every status is patched live, many in flight, while the operator watches. Beside it Alertmanager gets a thousand alerts at once for the same sink.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import objects
from alertmanager import Alertmanager, alertmanager
from apiserver import Api, at_once, until
from figures import Figure, Peer, figure, median, spread
from processes import Process, Sink, values
from stage import Stage, say, stage

COUNT = 1000
GROUPED_OWNERS = 50
RUNS = 3
WARM_UP = 20
IN_FLIGHT = 64
WAIT_S = 3
"""`waitSeconds` of the grouped storm: longer than the patches take, so that the wait begins with the first crash and all the others fall into it."""
WITHIN_S = 120.0
QUIET_S = 3.0
QUIET_SHARE = 0.05
WRITES = ("create", "update", "patch", "delete")
REQUESTS = "watchbell_kube_api_requests_total"
SINGLE = frozenset({"storm_1000_s", "api_writes_per_alert", "rss_after_storm_ratio"})
NAMES = SINGLE | {"storm_1000_grouped_s"}


@dataclass(frozen=True, slots=True)
class Storm:
    """One run. Times in seconds from just before the first patch; writes until the last mail was accepted, and until all is quiet."""

    told_s: float
    patched_s: float
    writes_told: float
    writes_quiet: float
    mib_before: float
    mib_after: float
    cpu_s: float
    mails: int
    connections: int

    @property
    def memory_ratio(self) -> float:
        """Resident memory after it to that before."""
        return self.mib_after / self.mib_before


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The pods of one namespace: `count` of them, of `owners` workloads in turn. `wait_s` 0 = a mail for each workload."""

    space: str
    owners: int
    count: int
    wait_s: int

    @property
    def is_single(self) -> bool:
        return self.wait_s == 0

    @property
    def pods(self) -> tuple[tuple[str, int], ...]:
        names = tuple(objects.workloads("storm", self.owners))
        return tuple((names[index % self.owners], index // self.owners) for index in range(self.count))

    def status_path(self, pod: tuple[str, int]) -> str:
        return f"/api/v1/namespaces/{self.space}/pods/{objects.pod_name(*pod)}/status"


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted."""
    found: list[Figure] = []
    async with stage("storms") as place:
        if wanted & SINGLE:
            runs = [await _run(place, f"single-{run}", owners=COUNT, wait_s=0) for run in range(RUNS)]
            peer, peer_note = await _peer_runs(place.sink)
            found += _single(runs, peer, peer_note, place.load)
        if "storm_1000_grouped_s" in wanted:
            grouped = [await _run(place, f"grouped-{run}", owners=GROUPED_OWNERS, wait_s=WAIT_S) for run in range(RUNS)]
            found.append(_grouped(grouped, place.load))
    return [one for one in found if one.name in wanted]


def _single(runs: Sequence[Storm], peer: Peer | None, peer_note: str, load: float) -> list[Figure]:
    times, writes = [run.told_s for run in runs], [run.writes_told / COUNT for run in runs]
    ratios = [run.memory_ratio for run in runs]
    told = (
        f"first of {COUNT} pods' status patches sent (live, {IN_FLIGHT} in flight, the last one answered after "
        f"{median(run.patched_s for run in runs):.2f} s) until the sink accepted the last of {runs[0].mails} mails, one for each workload; "
        f"waitSeconds 0, durable, {runs[0].connections} connection(s) with STARTTLS and AUTH, {median(run.cpu_s for run in runs):.2f} s of the "
        f"operator's CPU, the API server on the same cores; median, {spread(times)}; {peer_note}"
    )
    counted = (
        "create, update, patch and delete by the operator from the first crash until the sink accepted the last mail, all kinds of object, by its "
        f"own metric; {median(run.writes_quiet / COUNT for run in runs):.2f} an alert until all is quiet; median, {spread(writes)}"
    )
    memory = (
        f"VmRSS at rest (less than {QUIET_SHARE:.0%} of a core for {QUIET_S:g} s) after the storm to that before, {COUNT} incidents still open; "
        f"{runs[0].mib_before:.0f} MiB before, {runs[0].mib_after:.0f} MiB after in the first run; median, {spread(ratios)}"
    )
    return [
        figure("storm_1000_s", median(times), told, load, peer),
        figure("api_writes_per_alert", median(writes), counted, load),
        figure("rss_after_storm_ratio", median(ratios), memory, load),
    ]


def _grouped(runs: Sequence[Storm], load: float) -> Figure:
    times = [run.told_s - WAIT_S for run in runs]
    note = (
        f"first of {COUNT} status patches of {GROUPED_OWNERS} workloads (live, {IN_FLIGHT} in flight, the last one answered after "
        f"{median(run.patched_s for run in runs):.2f} s) until {GROUPED_OWNERS} incidents were open and told and the sink accepted the last of "
        f"{runs[0].mails} mail(s), less waitSeconds {WAIT_S}; {median(run.writes_told for run in runs):.0f} writes; median, {spread(times)}"
    )
    return figure("storm_1000_grouped_s", max(0.001, median(times)), note, load)


# --- one storm


async def _run(place: Stage, space: str, *, owners: int, wait_s: int) -> Storm:
    """Namespaces and an operator of its own; all gone at the end."""
    calm, storm = _Fleet(f"{space}-before", WARM_UP, WARM_UP, wait_s), _Fleet(space, owners, COUNT, wait_s)
    for fleet in (calm, storm):
        await _prepare(place, fleet)
    with place.operator() as operator:
        pods = calm.count + storm.count
        operator.wait(lambda: operator.metric("watchbell_watched_pods") == pods, "all pods in the cache")
        for fleet in (calm, storm):
            await until(partial(_is_ready, place.api, fleet.space), "connector and policy are Ready", 30)
        # What is done for the first time costs once: sessions, decoders, templates.
        await _crash(place, calm)
        await _rest(operator)
        measured = await _measured(place, operator, storm)
    for fleet in (calm, storm):
        await _clear(place.api, fleet.space)
    say(f"{space}: {_told(measured)}")
    return measured


def _told(run: Storm) -> str:
    return (
        f"{run.told_s:.2f} s, patches {run.patched_s:.2f} s, CPU {run.cpu_s:.2f} s, {run.writes_told:.0f} writes until told, "
        f"{run.writes_quiet:.0f} in all, {run.mails} mails, {run.mib_before:.1f} -> {run.mib_after:.1f} MiB"
    )


async def _measured(place: Stage, operator: Process, fleet: _Fleet) -> Storm:
    mails, memory, cpu_s, writes = len(place.sink.mails), operator.memory_mib(), operator.cpu_s(), _writes(operator)
    began, patched_s = await _crash(place, fleet)
    writes_told, spent_s = _writes(operator), operator.cpu_s()
    await _rest(operator)
    sent = place.sink.mails[mails:]
    return Storm(
        told_s=(max(mail.at_ns for mail in sent) - began) / 1e9,
        patched_s=patched_s,
        writes_told=writes_told - writes,
        writes_quiet=_writes(operator) - writes,
        mib_before=memory,
        mib_after=operator.memory_mib(),
        cpu_s=spent_s - cpu_s,
        mails=len(sent),
        connections=len({mail.connection for mail in sent}),
    )


async def _prepare(place: Stage, fleet: _Fleet) -> None:
    """Pods that run, a connector and a policy."""
    path = await place.space(fleet.space)
    await place.connectors(fleet.space, ("alerts",))
    policy = objects.policy("alerts") if fleet.is_single else objects.grouping_policy("alerts", fleet.wait_s)
    await place.api.create(f"{path}/collectorpolicies", policy)
    path = f"/api/v1/namespaces/{fleet.space}/pods"

    async def make(one: tuple[str, int]) -> None:
        await place.api.create(path, objects.pod(*one))
        await place.api.patch(fleet.status_path(one), {"status": objects.running(one[1])})

    await at_once(fleet.pods, make)


async def _crash(place: Stage, fleet: _Fleet) -> tuple[int, float]:
    """Crashes them all and waits until all is told: the wall clock just before it, in ns, and how long the patches took, in seconds."""
    # An incident waits from the end of its first container on, which a kubelet tells in whole seconds.
    at_s = math.floor(time.time()) + 2
    finished = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    before = len(place.sink.mails)
    patches = [
        place.api.prepared_patch(fleet.status_path(one), {"status": objects.crashed(i, finished)})
        for i, one in enumerate(fleet.pods)
    ]
    await asyncio.sleep(at_s - time.time())
    began, begin = time.time_ns(), time.monotonic()
    await at_once(patches, place.api.send, IN_FLIGHT)
    patched_s = time.monotonic() - begin
    if fleet.is_single:
        told = partial(_is_accepted, place.sink, before, "storm", fleet.owners)
        await until(told, f"{fleet.owners} mails are accepted", WITHIN_S, 0.01)
    else:
        await asyncio.sleep(fleet.wait_s)
        await until(partial(_is_told, place.api, fleet), f"{fleet.owners} incidents are told", WITHIN_S, 0.3)
    return began, patched_s


def _is_accepted(sink: Sink, before: int, prefix: str, count: int) -> bool:
    """Whether there is a mail about each workload; counted first, which costs nothing."""
    if len(sink.mails) - before < count:
        return False
    return len({mail.subject for mail in sink.mails[before:] if f"{prefix}-" in mail.subject}) >= count


async def _is_told(api: Api, fleet: _Fleet) -> bool:
    """Whether all incidents are open and told of, and no mail waits."""
    path = f"{objects.GROUP}/namespaces/{fleet.space}"
    incidents = (await api.get(f"{path}/collectorincidents"))["items"]
    told = [one for one in incidents if objects.is_true(one, "Notified")]
    messages = (await api.get(f"{path}/emailmessages"))["items"]
    return len(told) >= fleet.owners and all("completionTime" in one.get("status", {}) for one in messages)


async def _is_ready(api: Api, space: str) -> bool:
    path = f"{objects.GROUP}/namespaces/{space}"
    wanted = (f"{path}/smtpconnectors/alerts", f"{path}/collectorpolicies/collectors")
    return all([objects.is_true(await api.get(one), "Ready") for one in wanted])


async def _clear(api: Api, space: str) -> None:
    """The next run begins with an empty cluster."""
    ours = f"{objects.GROUP}/namespaces/{space}"
    for path in (f"{ours}/collectorpolicies", f"{ours}/collectorincidents", f"{ours}/emailmessages"):
        await api.delete_all(path)
    await api.delete_all(f"/api/v1/namespaces/{space}/pods", {"gracePeriodSeconds": "0"})


def _writes(operator: Process) -> float:
    text = operator.get("/metrics")[1]
    return sum(sum(values(text, REQUESTS, f'verb="{verb}"')) for verb in WRITES)


async def _rest(operator: Process) -> None:
    """Until the operator is idle for QUIET_S seconds in a row; at most 60 s."""
    still = 0.0
    for _ in range(60):
        before = operator.cpu_s()
        await asyncio.sleep(1)
        still = still + 1 if operator.cpu_s() - before < QUIET_SHARE else 0
        if still >= QUIET_S:
            return
    raise RuntimeError("the operator did not come to rest within 60 s")


# --- the peer


async def _peer_runs(sink: Sink) -> tuple[Peer | None, str]:
    """Alertmanager at the same sink, or why there is none."""
    try:
        runs = [await _peer_run(sink) for _ in range(RUNS)]
    except (RuntimeError, OSError) as problem:
        say(f"no peer: {problem}")
        return None, "no peer: Alertmanager could not be built or run here"
    note = f"peer: {COUNT} alerts in one POST until the last mail, a group each, group_wait 0s, a connection a mail, not durable, {spread(runs)}"
    return Peer(Alertmanager.NAME, median(runs)), note


async def _peer_run(sink: Sink) -> float:
    with alertmanager(sink.relay) as peer:
        peer.wait_ready()
        before = len(sink.mails)
        began = time.time_ns()
        await peer.alert_all(objects.workloads("peer", COUNT))
        await until(lambda: _is_accepted(sink, before, "peer", COUNT), f"{COUNT} mails are accepted", WITHIN_S, 0.01)
        await peer.close()
        took = (max(mail.at_ns for mail in sink.mails[before:]) - began) / 1e9
        say(f"Alertmanager: {took:.2f} s, {peer.process.memory_mib():.0f} MiB")
        return took
