"""A stand-in for the kubelet: pods' statuses that were recorded from a real one are replayed here.

The demo's own control plane has no node. The statuses are not made up: `recordings/*.json` holds what a kubelet wrote for a container that
really crashed (image and command stand in the file), step by step with the time between them. Only the times and the name of the image are set
anew.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from demo.kubectl import Kubectl
from demo.manifests import NAMESPACE


@dataclass(frozen=True, slots=True)
class Step:
    """One status, when it was recorded, and the time after the step before it."""

    time: datetime
    after_s: float
    status: dict[str, Any]


class Timeline:
    """Times of a recording as times of its replay, which takes its pauses shorter: a time keeps its place between the steps around it."""

    def __init__(self) -> None:
        self._marks: list[tuple[datetime, datetime]] = []

    def reach(self, recorded: datetime, played: datetime) -> None:
        """A step comes now. Marks only grow, so that what was told once keeps its time."""
        self._marks.append((recorded, played))

    def moved(self, recorded: datetime) -> datetime:
        """When that was in the replay; before its first step as long before as in the recording."""
        before: tuple[datetime, datetime] | None = None
        for mark in self._marks:
            if recorded <= mark[0]:
                return _between(before, mark, recorded)
            before = mark
        return self._marks[-1][1]


def _between(
    before: tuple[datetime, datetime] | None, after: tuple[datetime, datetime], recorded: datetime
) -> datetime:
    if before is None or after[0] == before[0]:
        return after[1] - (after[0] - recorded)
    return before[1] + (after[1] - before[1]) * ((recorded - before[0]) / (after[0] - before[0]))


def recording(name: str) -> list[Step]:
    """The steps of a recording."""
    text = (resources.files("demo") / "recordings" / f"{name}.json").read_text(encoding="utf-8")
    parsed = json.loads(text)
    # The last step came within the second that began then; no time in a status lies after the step that told of it.
    end = datetime.fromisoformat(parsed["recordedAt"]) + timedelta(seconds=1)
    pauses = [float(entry["afterSeconds"]) for entry in parsed["steps"]]
    return [
        Step(end - timedelta(seconds=sum(pauses[number + 1 :])), pauses[number], entry["status"])
        for number, entry in enumerate(parsed["steps"])
    ]


def running_image(status: dict[str, Any], image: str) -> dict[str, Any]:
    """The status of a container that runs `image`."""
    containers = [one | {"image": image} for one in status.get("containerStatuses", ())]
    return status | {"containerStatuses": containers} if containers else status


def moved(value: Any, at: Callable[[datetime], datetime]) -> Any:  # noqa: ANN401 - any JSON
    """A status with all its times moved."""
    if isinstance(value, dict):
        return {key: moved(inner, at) for key, inner in value.items()}
    if isinstance(value, list):
        return [moved(inner, at) for inner in value]
    if isinstance(value, str) and len(value) == 20 and value.endswith("Z"):
        return at(datetime.fromisoformat(value)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


class StandInKubelet:
    """Writes the statuses of recordings into pods."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def play(self, name: str, pod: str, image: str, hurry: float) -> Iterator[int]:
        """Write the statuses of a recording one after the other, `hurry` times as fast; yields the number of each once it is written."""
        timeline = Timeline()
        for number, step in enumerate(recording(name)):
            time.sleep(min(2.0, step.after_s / hurry))
            timeline.reach(step.time, datetime.now(UTC))
            patch = json.dumps({"status": moved(running_image(step.status, image), timeline.moved)})
            self._kubectl.run("patch", "pod", pod, "-n", NAMESPACE, "--subresource=status", "--type=merge", "-p", patch)
            yield number
