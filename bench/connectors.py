"""Connectors: how long from applied to Ready, one after the other and all at once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import objects
from apiserver import Api, until
from figures import Figure, figure, median, percentile, spread
from stage import Stage, say, stage

COUNT = 200
PACE_S = 0.1
RUNS = 3
READY_WITHIN_S = 90.0
NAMES = frozenset({"connector_ready_p95_ms", "probe_concurrent_200_s"})


@dataclass(slots=True)
class Sightings:
    """When a watch first showed each connector with Ready=True, on the monotonic clock."""

    ready: dict[str, float] = field(default_factory=dict)
    task: "asyncio.Task[None] | None" = None

    def is_complete(self) -> bool:
        """Whether all are Ready. A watch that ended would wait for ever: what ended it is raised."""
        if self.task is not None and self.task.done():
            self.task.result()
            raise RuntimeError("the bench's watch was closed by the API server")
        return len(self.ready) == COUNT


@contextlib.asynccontextmanager
async def watching(api: Api, path: str) -> AsyncIterator[Sightings]:
    """Watches the connectors at `path` while the block runs."""
    seen = Sightings()
    version = (await api.get(path))["metadata"]["resourceVersion"]
    task = seen.task = asyncio.create_task(_heed(api, path, version, seen), name="watch")
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _heed(api: Api, path: str, version: str, seen: Sightings) -> None:
    async for event in api.watch(path, version):
        now = time.monotonic()
        if objects.is_true(event["object"], "Ready"):
            seen.ready.setdefault(event["object"]["metadata"]["name"], now)


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted."""
    found: list[Figure] = []
    async with stage("connectors") as place:
        with place.operator() as operator:
            operator.wait(operator.is_ready, "ready")
            if "connector_ready_p95_ms" in wanted:
                found.append(await _paced(place))
            if "probe_concurrent_200_s" in wanted:
                runs = [await _at_once(place, f"storm-{run}") for run in range(RUNS)]
                note = f"first of {COUNT} creates sent (16 in flight) until a watch showed the last one Ready; median, {spread(runs)}"
                found.append(figure("probe_concurrent_200_s", median(runs), note, place.load))
    return found


async def _paced(place: Stage) -> Figure:
    """One connector each PACE_S."""
    name = "paced"
    path = f"{await place.space(name)}/smtpconnectors"
    names = tuple(objects.workloads("relay", COUNT))
    await place.secrets(name, names)
    applied: dict[str, float] = {}
    async with watching(place.api, path) as seen:
        for index, one in enumerate(names):
            due = time.monotonic() + PACE_S
            await place.api.create(path, objects.connector(one, place.sink.relay))
            applied[one] = time.monotonic()
            if index % 50 == 0:
                say(f"{index} of {COUNT} connectors applied")
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await _all_ready(place, path, seen)
    return _ready_figure(applied, seen.ready, place.load)


def _ready_figure(applied: Mapping[str, float], ready: Mapping[str, float], load: float) -> Figure:
    took = [max(0.0, ready[name] - at) * 1000 for name, at in applied.items()]
    note = (
        f"create answered until a watch showed Ready=True, {COUNT} connectors one after the other at {1 / PACE_S:g}/s, "
        f"STARTTLS and AUTH, each with its own Secret; p50 {percentile(took, 50):.1f}, max {max(took):.1f} ms"
    )
    return figure("connector_ready_p95_ms", percentile(took, 95), note, load)


async def _all_ready(place: Stage, path: str, seen: Sightings) -> None:
    try:
        await until(seen.is_complete, f"{COUNT} connectors are Ready", READY_WITHIN_S)
    except RuntimeError as problem:
        left = [one for one in (await place.api.get(path))["items"] if one["metadata"]["name"] not in seen.ready]
        raise RuntimeError(f"{problem}; {len(left)} are not, the first is {left[:1]}") from problem


async def _at_once(place: Stage, name: str) -> float:
    path = f"{await place.space(name)}/smtpconnectors"
    names = tuple(objects.workloads("relay", COUNT))
    await place.secrets(name, names)
    async with watching(place.api, path) as seen:
        began = time.monotonic()
        await place.api.create_all(path, (objects.connector(one, place.sink.relay) for one in names))
        await _all_ready(place, path, seen)
        return max(seen.ready.values()) - began
