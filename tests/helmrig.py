"""What the tests of the charts share: Helm 3 and Helm 4 as programs, and what they render."""

import functools
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

import controlplane

ROOT = Path(__file__).resolve().parents[1]
CHARTS = {name: ROOT / "charts" / name for name in ("watchbell", "watchbell-config")}
HELMS = ("helm", "helm3")
KUBERNETES = "1.34.4"
MODES = [(chart, path) for chart, folder in CHARTS.items() for path in sorted((folder / "ci").glob("*.yaml"))]
MODE_NAMES = [f"{chart}-{path.stem.removesuffix('-values')}" for chart, path in MODES]


@functools.cache
def _own_folder() -> str:
    """Not the user's: his plugins and repositories must not decide anything here."""
    return tempfile.mkdtemp(prefix="helm-")


def helm(
    program: str, *arguments: str | Path, kubeconfig: Path | None = None, timeout_s: float = 100
) -> subprocess.CompletedProcess[str]:
    """One run of Helm; the caller looks at the exit code."""
    own = {f"HELM_{name}_HOME": f"{_own_folder()}/{name.lower()}" for name in ("CACHE", "CONFIG", "DATA")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    where = {"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
    # Helm is polite to API servers that others need too; this one is ours.
    hasty = ("--qps=1000", "--burst-limit=1000") if kubeconfig else ()
    return subprocess.run(
        [controlplane.binary(program), *arguments, *hasty],
        env=kept | own | where,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def template(
    program: str, chart: str, *arguments: str | Path, release: str = "watchbell"
) -> subprocess.CompletedProcess[str]:
    """`helm template` for a cluster of a fixed version, in the namespace `mail`."""
    fixed = ("--namespace=mail", f"--kube-version={KUBERNETES}")
    return helm(program, "template", release, CHARTS[chart], *fixed, *arguments)


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a rendered chart."""
    return [one for one in yaml.safe_load_all(text) if one]


@functools.cache
def _rendered(program: str, chart: str, arguments: tuple[str | Path, ...], release: str) -> str:
    done = template(program, chart, *arguments, release=release)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(
    chart: str, *arguments: str | Path, program: str = "helm", release: str = "watchbell"
) -> list[dict[str, Any]]:
    """The objects that a chart makes with these arguments."""
    return objects(_rendered(program, chart, arguments, release))


def of_kind(found: Iterable[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [one for one in found if one["kind"] in kinds]


def identity(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


def path_of(one: dict[str, Any]) -> str:
    """Where the API server keeps an object. The plural is the kind with an s or es, which holds for every kind of the charts."""
    kind = one["kind"].lower()
    plural = kind[:-1] + "ies" if kind.endswith("y") else f"{kind}s"
    group = one["apiVersion"]
    base = f"/api/{group}" if "/" not in group else f"/apis/{group}"
    namespace = one["metadata"].get("namespace")
    return f"{base}/{f'namespaces/{namespace}/' if namespace else ''}{plural}/{one['metadata']['name']}"
