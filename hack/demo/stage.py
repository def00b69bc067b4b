"""Where the story plays: a cluster, a folder for what comes out, and how to wait for a condition there."""

from dataclasses import dataclass
from pathlib import Path

from demo.kubectl import Kubectl
from demo.screen import StepFailedError, wait_until

ROOT = Path(__file__).resolve().parents[2]
CRASH_IMAGE = "busybox:1.37"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story plays."""

    kubectl: Kubectl
    has_nodes: bool
    out: Path
    kubeconfig: Path | None
    context: str | None
    crash_image: str = CRASH_IMAGE


def await_condition(stage: Stage, type_: str, what: tuple[str, ...]) -> None:
    """Wait until a condition of an object is True. Raises StepFailedError with what it is instead."""
    try:
        wait_until(lambda: stage.kubectl.condition(type_, *what)[0] == "True", f"{type_} of {what[1]}", 30)
    except StepFailedError as error:
        status, reason, message = stage.kubectl.condition(type_, *what)
        raise StepFailedError(f"{error}: it is {status or 'not there'} ({reason}): {message}") from error
