"""What one change of a pod costs the operator before anything is done about it: detection alone, in this process."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

import objects
from figures import Figure, figure, median, spread
from stage import load
from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.faults.restarts import Restarts
from watchbell.collectors.findings import Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import Pod

PODS = 500
RUNS = 9
NAMES = frozenset({"detect_us_per_event"})
NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
MIX = ("healthy", "healthy", "crash", "healthy", "healthy", "recovery", "healthy", "crash", "healthy", "healthy")
Change = tuple[Pod, Pod]


async def measure(_wanted: frozenset[str]) -> list[Figure]:
    """The one figure."""
    before = load()
    rules = CrashRules(frozenset(IncidentKind), not_ready_s=300.0)
    changes = {kind: tuple(_changes(kind)) for kind in ("healthy", "crash", "recovery")}
    runs = [_mean_us(rules, _mixed(changes)) for _ in range(RUNS + 1)][1:]
    alone = {kind: median(_mean_us(rules, few) for _ in range(RUNS)) for kind, few in changes.items()}
    shares = {kind: MIX.count(kind) / len(MIX) for kind in alone}
    parts = ", ".join(f"{kind} {alone[kind]:.1f} µs ({shares[kind]:.0%})" for kind in alone)
    note = (
        f"collectors.crash.detect with every kind of crash on, {PODS} pods with one container, a kubelet's status and a tally of restarts; the mean "
        f"over a mix of changes: {parts}; decoding the event is not in it; median, {spread(runs)}"
    )
    return [figure("detect_us_per_event", median(runs), note, before)]


def _mixed(changes: Mapping[str, tuple[Change, ...]]) -> tuple[Change, ...]:
    return tuple(changes[MIX[i % len(MIX)]][i] for i in range(PODS))


def _mean_us(rules: CrashRules, changes: tuple[Change, ...]) -> float:
    # A fresh tally for each run: what it has seen before it does not count again.
    tally, clock, find = Restarts(), time.perf_counter_ns, _found(rules)
    took = []
    for old, new in changes:
        began = clock()
        find(old, new, tally)
        took.append(clock() - began)
    return statistics.fmean(took) / 1000


def _found(rules: CrashRules) -> Callable[[Pod, Pod, Restarts], Look]:
    def find(old: Pod, new: Pod, tally: Restarts) -> Look:
        return detect(old, new, rules, NOW, tally)

    return find


def _changes(kind: str) -> Iterator[Change]:
    finished = (NOW - timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for i in range(PODS):
        well, later = _pod(i, objects.running(i), "1"), _pod(i, objects.running(i), "2")
        crashed = _pod(i, objects.crashed(i, finished), "3")
        yield {"healthy": (well, later), "crash": (well, crashed), "recovery": (crashed, later)}[kind]


def _pod(number: int, status: Mapping[str, Any], version: str) -> Pod:
    body = objects.pod(f"fleet-{number:04}", number) | {"status": status}
    body["metadata"] |= {"uid": f"uid-{number}", "namespace": "collectors", "resourceVersion": version}
    return msgspec.json.decode(msgspec.json.encode(body), type=Pod)
