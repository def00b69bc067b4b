"""What the tests of the command line share: `watchbell …` as a process of its own against a real API server, as any user."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from controlplane import Access

OURS = "/apis/watchbell.dev/v1alpha1/namespaces"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table; no cell of ours has two spaces in it."""
        return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in self.out.splitlines()]


class Commander:
    """Types `watchbell …` with a kubeconfig whose current context has this namespace."""

    def __init__(self, plane: Access, namespace: str, folder: Path, user: str = "admin") -> None:
        self.namespace = namespace
        self.kubeconfig = folder / f"{user}.kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(_kubeconfig(plane, namespace, user)))

    def __call__(self, *words: str, output: int = subprocess.PIPE, source: IO[bytes] | None = None) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "watchbell", *words],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig)},
            stdin=source,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
        return Said(done.returncode, done.stdout or "", done.stderr)


def _kubeconfig(plane: Access, namespace: str, user: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": plane.url, "certificate-authority": str(plane.ca_file)}}],
        "users": [{"name": "test", "user": {"token": plane.token_for(user)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
    }


def incident_body(name: str, **spec: Any) -> dict[str, Any]:
    """An incident as the operator opens it."""
    return {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "CollectorIncident",
        "metadata": {"name": name},
        "spec": {
            "policyRef": {"name": "collectors"},
            "kind": "OOMKilled",
            "owner": {"kind": "DaemonSet", "name": "otel-agent"},
            "container": "collector",
            "severity": "Warning",
            "fingerprint": f"print-{name}",
            "startTime": "2026-11-21T12:00:00Z",
        }
        | spec,
    }


def conditions(**reasons: tuple[str, str]) -> list[dict[str, str]]:
    """Conditions by type: (status, reason)."""
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": f"because of {reason}",
            "lastTransitionTime": "2026-11-21T12:00:01Z",
        }
        for type_, (status, reason) in reasons.items()
    ]
