"""What is measured, how samples become one number, and what is written down (pure). Before it the scenarios measure; after it `run` prints."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is measured in, and the largest value that is good; with `is_least` the smallest one."""

    unit: str
    value: float
    is_least: bool = False


GOALS: Mapping[str, Goal] = MappingProxyType(
    {
        "connector_ready_p95_ms": Goal("ms", 200),
        "probe_concurrent_200_s": Goal("s", 60),
        "crash_to_accepted_p50_ms": Goal("ms", 25),
        "crash_to_accepted_p99_ms": Goal("ms", 150),
        "cache_10k_pods_s": Goal("s", 2),
        "rss_10k_pods_mib": Goal("MiB", 110),
        "startup_s": Goal("s", 1.5),
        "idle_api_qps": Goal("requests/s", 1),
        "storm_1000_s": Goal("s", 2.5),
        "storm_1000_grouped_s": Goal("s", 1),
        "api_writes_per_alert": Goal("writes", 3),
        "rss_after_storm_ratio": Goal("of before", 1.2),
        "detect_us_per_event": Goal("µs", 50),
        "outbox_mails_per_s": Goal("mails/s", 500, is_least=True),
        "outbox_overhead_ms_per_mail": Goal("ms", 1),
        "backlog_10k_rss_mib": Goal("MiB", 150),
        "slow_relay_isolation_p99_ms": Goal("ms", 150),
        "failover_s": Goal("s", 5),
        "handover_s": Goal("s", 1),
        "cli_help_ms": Goal("ms", 150),
    }
)


class UnknownFigureError(ValueError):
    """A name that is no figure; the text lists those there are."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's value, measured in the same run."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One entry of results.json. `load` is the machine's one-minute load when the measuring began; `note` says what the value includes."""

    name: str
    value: float
    unit: str
    goal: float
    peer: str | None
    peer_value: float | None
    note: str
    load: float

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.goal if GOALS[self.name].is_least else self.value <= self.goal


def figure(name: str, value: float, note: str, load: float, peer: Peer | None = None) -> Figure:
    """The entry of a measured value, rounded to what the measurement can tell."""
    goal = GOALS[name]
    return Figure(
        name=name,
        value=rounded(value),
        unit=goal.unit,
        goal=goal.value,
        peer=peer.name if peer else None,
        peer_value=rounded(peer.value) if peer else None,
        note=note,
        load=round(load, 2),
    )


def rounded(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def percentile(samples: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was really measured. Raises ValueError without samples or outside of (0, 100]."""
    if not samples or not 0 < percent <= 100:
        raise ValueError(f"no {percent}th percentile of {len(samples)} samples")
    return sorted(samples)[math.ceil(len(samples) * percent / 100) - 1]


def median(runs: Iterable[float]) -> float:
    """The middle of several runs."""
    return statistics.median(runs)


def spread(runs: Sequence[float]) -> str:
    """`runs 1.2, 1.3, 1.5`: the runs behind a median, in order."""
    return f"runs {', '.join(f'{rounded(run):g}' for run in sorted(runs))}"


def chosen(only: str | None) -> tuple[str, ...]:
    """The names of `--only a,b` in the order of GOALS; all without it. Raises UnknownFigureError."""
    if only is None:
        return tuple(GOALS)
    wanted = {name.strip() for name in only.split(",") if name.strip()}
    strangers = wanted - set(GOALS)
    if strangers or not wanted:
        raise UnknownFigureError(
            f"no such figure: {', '.join(sorted(strangers)) or '(none given)'}; there are {', '.join(GOALS)}"
        )
    return tuple(name for name in GOALS if name in wanted)


def merged(before: str, measured: Iterable[Figure]) -> str:
    """results.json with the measured figures in place of their older values, the others kept; figures that are gone are dropped."""
    entries = {entry["name"]: entry for entry in json.loads(before or "[]")}
    entries |= {one.name: asdict(one) for one in measured}
    return json.dumps([entries[name] for name in GOALS if name in entries], indent=2) + "\n"


def table(figures: Iterable[Figure]) -> str:
    """The figures for a reader."""
    rows = [("figure", "value", "goal", "", "peer"), *(_row(one) for one in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(one: Figure) -> tuple[str, str, str, str, str]:
    peer = f"{one.peer}: {one.peer_value:g}" if one.peer and one.peer_value is not None else ""
    return (
        one.name,
        f"{one.value:g} {one.unit}",
        f"{'>=' if GOALS[one.name].is_least else '<='} {one.goal:g}",
        "ok" if one.is_met else "MISSED",
        peer,
    )
