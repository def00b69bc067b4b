"""The envtest archive of the Kubernetes project: the quick way, where the internet is open.

One short attempt; a failure is remembered for some hours, since asking again costs every start its time-out. The archive's SHA-512 comes
from the project's published index and is checked before anything is unpacked.
"""

import hashlib
import os
import platform
import re
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

from controlplane.cache import cache_root, folder, whole_file
from controlplane.programs import Program, program_named
from controlplane.progress import say

INDEX = "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml"
_CONNECT_S = 2
_WHOLE_S = 40
_LARGEST_BYTES = 400 * 1024 * 1024
_FORGET_AFTER_S = 6 * 3600
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def from_archive(program: Program, target: Path) -> bool:
    """Puts ``program`` at ``target`` if the archive of its minor version is at hand within seconds; says whether it did."""
    marker = cache_root() / "envtest-unreachable"
    if not program.in_envtest or os.environ.get("WATCHBELL_ENVTEST") == "0" or _failed_lately(marker):
        return False
    try:
        link, digest = newest(
            _fetch(INDEX, 4 * 1024 * 1024).decode(),
            _minor(),
            f"{sys.platform}-{machine_name()}",
        )
        say(f"Downloading {program.name} from the envtest archive ({link}).")
        archive = folder(target.parent) / f".envtest.{os.getpid()}.tar.gz"
        try:
            archive.write_bytes(_checked(_fetch(link, _LARGEST_BYTES), digest))
            _unpack(archive, program.name, target)
        finally:
            archive.unlink(missing_ok=True)
    except (OSError, LookupError, ValueError, tarfile.TarError) as problem:
        folder(marker.parent)
        marker.write_text(f"{type(problem).__name__}: {problem}\n")
        return False
    return True


def newest(index: str, minor: str, machine: str) -> tuple[str, str]:
    """Link and SHA-512 of the newest archive of ``minor`` (``v1.34``) for ``machine`` (``linux-amd64``) in the index's text.

    Raises LookupError when the index has none.
    """
    entry = re.compile(
        rf"envtest-({re.escape(minor)}\.(\d+))-{machine}\.tar\.gz:\s+hash: ([0-9a-f]{{128}})\s+selfLink: (https://\S+)"
    )
    found = [(int(match[2]), match[4], match[3]) for match in entry.finditer(index)]
    if not found:
        raise LookupError(f"no envtest archive of {minor} for {machine}")
    _, link, digest = max(found)
    return link, digest


def machine_name() -> str:
    """The processor as the archives call it; LookupError for one that they do not serve."""
    return _MACHINES[platform.machine().lower()]


def _minor() -> str:
    return program_named("kube-apiserver").version.rpartition(".")[0]


def _failed_lately(marker: Path) -> bool:
    return marker.exists() and time.time() - marker.stat().st_mtime < _FORGET_AFTER_S


def _fetch(link: str, largest_bytes: int) -> bytes:
    deadline = time.monotonic() + _WHOLE_S
    parts: list[bytes] = []
    size = 0
    with urllib.request.urlopen(link, timeout=_CONNECT_S) as answer:  # noqa: S310 - both links are https, the second by its pattern
        while part := answer.read(1024 * 1024):
            parts.append(part)
            size += len(part)
            if size > largest_bytes or time.monotonic() > deadline:
                raise TimeoutError(f"{link} is too large or too slow")
    return b"".join(parts)


def _checked(content: bytes, digest: str) -> bytes:
    if hashlib.sha512(content).hexdigest() != digest:
        raise ValueError("the archive differs from its published SHA-512")
    return content


def _unpack(archive: Path, name: str, target: Path) -> None:
    with tarfile.open(archive) as files:
        member = next((entry for entry in files.getmembers() if entry.isfile() and Path(entry.name).name == name), None)
        content = None if member is None else files.extractfile(member)
        if content is None:
            raise LookupError(f"{name} is not in the archive")
        with whole_file(target) as part, part.open("wb") as output:
            while block := content.read(1024 * 1024):
                output.write(block)
