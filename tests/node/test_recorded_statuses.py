"""The demo replays statuses that a kubelet wrote once. Here today's kubelet writes them again: they must still be of the same shape."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from realnode.recorder import FOLDER, RECORDINGS, record

# Recording anew takes the pauses of a whole crash loop.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def anew(node, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    record(node, folder)
    return folder


def steps(folder: Path, name: str) -> list[dict[str, Any]]:
    parsed = json.loads((folder / f"{name}.json").read_text())
    return [step["status"] for step in parsed["steps"]]


def fields(value: Any, path: str = "") -> Iterator[str]:
    """The path of every field; items of a list count as one."""
    match value:
        case dict():
            for key, inner in value.items():
                yield f"{path}.{key}"
                yield from fields(inner, f"{path}.{key}")
        case list():
            for inner in value:
                yield from fields(inner, f"{path}[]")


def states(statuses: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Phase, kind, reason and exit code of each state that the container went through."""
    found = set()
    for status in statuses:
        for container in status.get("containerStatuses", ()):
            ((kind, detail),) = container["state"].items()
            found.add((status["phase"], kind, detail.get("reason"), detail.get("exitCode"), container["ready"]))
    return found


def test_the_demo_has_a_recording_for_each_of_the_recorder():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(RECORDINGS)


@pytest.mark.parametrize("name", RECORDINGS)
def test_todays_kubelet_writes_the_same_fields(anew, name):
    assert set(fields(steps(FOLDER, name))) == set(fields(steps(anew, name)))


@pytest.mark.parametrize("name", RECORDINGS)
def test_todays_kubelet_goes_through_the_same_states(anew, name):
    assert states(steps(FOLDER, name)) == states(steps(anew, name))


@pytest.mark.parametrize("name", ["crash-loop", "oom", "completed"])
def test_restarts_are_counted_from_nothing_without_a_gap(anew, name):
    for folder in (FOLDER, anew):
        counts = [one["restartCount"] for status in steps(folder, name) for one in status.get("containerStatuses", ())]
        assert counts == sorted(counts)
        assert set(counts) == set(range(max(counts) + 1))


def test_the_recovered_pod_is_the_one_that_crashed():
    before, after = steps(FOLDER, "crash-loop")[-1], steps(FOLDER, "recovered")
    assert after[0] == before
    assert after[-1]["containerStatuses"][0]["ready"]
    assert after[-1]["containerStatuses"][0]["restartCount"] == before["containerStatuses"][0]["restartCount"] + 1
