"""The node's branch of the machine's control groups: the one thing of a node that no namespace takes with it."""

import contextlib
import os
import time
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PREFIX = "watchbell-node"
_GONE_S = 10.0


def name_of(pid: int, token: str) -> str:
    """The branch of a node that process ``pid`` made."""
    return f"{_PREFIX}-{pid}-{token}"


def make(name: str) -> None:
    """Makes the branch in each hierarchy."""
    for hierarchy in _hierarchies():
        branch = hierarchy / name
        branch.mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":
            # Empty sets are no sets: a process could not be put into them.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (branch / file).write_text((hierarchy / file).read_text())


def remove(name: str) -> None:
    """Removes the branch, once its processes are gone."""
    deadline = time.monotonic() + _GONE_S
    while any(not _pruned(hierarchy / name) for hierarchy in _hierarchies()) and time.monotonic() < deadline:
        time.sleep(0.05)


def sweep() -> None:
    """Removes the branches of nodes whose maker was killed."""
    for hierarchy in _hierarchies():
        for branch in hierarchy.glob(f"{_PREFIX}-*"):
            if not Path(f"/proc/{branch.name.split('-')[2]}").exists():
                _pruned(branch)


def _hierarchies() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [place for place in _ROOT.iterdir() if place.is_dir() and not place.is_symlink()]


def _pruned(branch: Path) -> bool:
    for place, _, _ in os.walk(branch, topdown=False):
        with contextlib.suppress(OSError):
            Path(place).rmdir()
    return not branch.exists()
