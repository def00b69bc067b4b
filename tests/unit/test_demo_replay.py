"""The demo's replay: no status tells of the future or of a time before the demo, and what was told once keeps its time."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import pytest

from demo.kubelet import Timeline, moved, recording

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = sorted(item.name.removesuffix(".json") for item in (resources.files("demo") / "recordings").iterdir())


def times(value: Any) -> Iterator[datetime]:
    match value:
        case dict():
            for inner in value.values():
                yield from times(inner)
        case list():
            for inner in value:
                yield from times(inner)
        case str() if len(value) == 20 and value.endswith("Z"):
            yield datetime.fromisoformat(value)


@pytest.mark.parametrize("name", NAMES)
def test_every_time_lies_between_the_replays_start_and_its_present(name: str) -> None:
    timeline, played = Timeline(), START
    first = recording(name)[0].time
    for step in recording(name):
        played += timedelta(seconds=min(2.0, step.after_s / 20))
        timeline.reach(step.time, played)
        for before, after in zip(times(step.status), times(moved(step.status, timeline.moved)), strict=True):
            assert after <= played
            assert after >= START - timedelta(seconds=1) - max(first - before, timedelta())


def test_a_time_told_again_is_the_same_time() -> None:
    timeline, told = Timeline(), dict[datetime, datetime]()
    for number, step in enumerate(recording("crash-loop")):
        timeline.reach(step.time, START + timedelta(seconds=number))
        for time in times(step.status):
            assert told.setdefault(time, timeline.moved(time)) == timeline.moved(time)
    assert len(set(told.values())) > 5
