"""kubectl, as a person would use it: the demo does nothing to the cluster that its reader could not do himself."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.screen import StepFailedError

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One cluster, reached through `program` with `kubeconfig` and `context` (None: those of the environment)."""

    program: Path
    kubeconfig: Path | None = None
    context: str | None = None

    @property
    def flags(self) -> list[str]:
        """What every call begins with."""
        flags = [str(self.program)]
        if self.kubeconfig is not None:
            flags.append(f"--kubeconfig={self.kubeconfig}")
        if self.context is not None:
            flags.append(f"--context={self.context}")
        return flags

    def run(self, *arguments: str, given: str | None = None, timeout_s: float = TIMEOUT_S) -> str:
        """The output. Raises StepFailedError with kubectl's own words."""
        done = subprocess.run(
            [*self.flags, *arguments], input=given, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            raise StepFailedError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, manifest: str) -> None:
        """`kubectl apply -f -`."""
        self.run("apply", "--server-side", "-f", "-", given=manifest)

    def get(self, *what: str) -> dict[str, Any]:
        """An object or a list."""
        parsed: dict[str, Any] = json.loads(self.run("get", *what, "-o", "json"))
        return parsed

    def condition(self, type_: str, *what: str) -> tuple[str, str, str]:
        """(status, reason, message) of one condition of an object; empty while it is not there."""
        for condition in self.get(*what).get("status", {}).get("conditions", []):
            if condition["type"] == type_:
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""
