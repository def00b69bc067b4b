"""Debian packages without installing them: downloaded with what they need, unpacked into the cache, never configured, never started.

``python -m controlplane.debian`` prints the folder that holds the packages of ``hack/debian-packages.txt`` (or of the names given) as a file
system root. Nothing on the machine changes but apt's own lists, which are refreshed when they are missing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from controlplane.cache import cache_root, folder, locked
from controlplane.errors import ControlPlaneError
from controlplane.progress import shown

LIST = Path(__file__).resolve().parent.parent / "debian-packages.txt"
_USUAL_S = 10


def listed(path: Path = LIST) -> tuple[str, ...]:
    """The package names of a list: one on a line, ``#`` starts a remark."""
    names = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return tuple(sorted({name for name in names if name}))


def unpacked(packages: Sequence[str]) -> Path:
    """The folder that holds ``packages`` and those of their dependencies which the machine lacks. Raises ControlPlaneError."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise ControlPlaneError(
            "The relay tests need apt-get and dpkg: run them on Debian or Ubuntu, or in a container of one."
        )
    root = cache_root() / "debian" / _key(packages)
    with locked(f"debian-{root.name}", "the Debian packages"):
        if not root.is_dir():
            with shown(f"Fetching Debian's {', '.join(packages)}", _USUAL_S):
                _fetch(packages, root)
    return root


def to_install(simulated: str) -> tuple[str, ...]:
    """``name=version`` of each package that ``apt-get --simulate install`` says it would install."""
    return tuple(
        f"{name}={version}"
        for name, version in re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", simulated, re.MULTILINE)
    )


def _key(packages: Sequence[str]) -> str:
    release = Path("/etc/os-release")
    system = release.read_text() if release.exists() else ""
    machine = os.uname().machine
    return hashlib.sha256("\n".join([system, machine, *sorted(packages)]).encode()).hexdigest()[:16]


def _fetch(packages: Sequence[str], root: Path) -> None:
    part = folder(root.parent) / f".{root.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    archives = folder(part / "var" / "cache" / "watchbell")
    missing = to_install(_simulated(packages))
    # What is installed already is fetched all the same when it was asked for by name: callers look for it below the root.
    wanted = [*missing, *(name for name in packages if not any(one.startswith(f"{name}=") for one in missing))]
    _run(["apt-get", "download", *wanted], "download", archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(part)], "unpack", archives)
        archive.unlink()
    part.replace(root)


def _simulated(packages: Sequence[str]) -> str:
    command = ["apt-get", "install", "--simulate", "--no-install-recommends", *packages]
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        _run(["apt-get", "update"], "update", Path("/"))
    return _run(command, "simulate", Path("/"))


def _run(command: list[str], step: str, place: Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=place, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise ControlPlaneError(
            f"Debian packages: the step {step} failed ({last}); run `apt-get update` as root and try again."
        )
    return done.stdout


def main(names: Sequence[str]) -> int:
    """Prints the folder; 0, or 1 with a sentence."""
    try:
        print(unpacked(tuple(names) or listed()))
    except ControlPlaneError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
