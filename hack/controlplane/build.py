"""Builds one program from its pinned Go module into the cache, and turns what can go wrong into sentences."""

import errno
import os
import re
import subprocess
from pathlib import Path

from controlplane.cache import cache_root, folder, whole_file
from controlplane.errors import ControlPlaneError
from controlplane.programs import Program
from controlplane.progress import shown
from controlplane.toolchain import go_command

# What go writes, and what a person does about it. The first match counts.
_CURES = (
    (
        r"no space left on device",
        "the disk is full: free about 5 GB, or point WATCHBELL_CACHE, GOCACHE and GOMODCACHE at a larger one",
    ),
    (
        r"checksum mismatch|SECURITY ERROR",
        "a download differs from the committed go.sum: run `go clean -modcache` and try again; if it stays, the proxy in between changes files",
    ),
    (
        r"dial tcp|proxyconnect|no such host|connection refused|i/o timeout|TLS handshake|unexpected EOF|\b(?:403|404|410|50[0-9]) ",
        "a Go module could not be downloaded: check the network and GOPROXY, or set KUBEBUILDER_ASSETS to a folder that has the programs",
    ),
    (r"signal: killed|cannot allocate memory", "the compiler ran out of memory: kube-apiserver needs 2 GB free"),
    (r"requires go >= ", "the Go toolchain is too old for this module"),
)


def build(program: Program, target: Path) -> None:
    """Makes ``target``; the caller holds the lock. The whole output of go stays in ``<cache>/logs/<name>.log``."""
    go = go_command(program.oldest_go)
    log = folder(cache_root() / "logs") / f"{program.name}.log"
    with shown(f"Building {program.name} {program.version}", program.usual_s):
        try:
            with whole_file(target) as part, log.open("wb") as output:
                status = subprocess.run(
                    _command(go, program, part),
                    cwd=program.module_folder,
                    env=_environment(),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
                if status != 0:
                    raise ControlPlaneError(failure_sentence(program.name, _tail(log), log))
        except OSError as problem:
            cure = "free some space" if problem.errno == errno.ENOSPC else "make the folder writable"
            sentence = f"{program.name} could not be built into {target.parent}: {problem.strerror}; {cure} or set WATCHBELL_CACHE."
            raise ControlPlaneError(sentence) from problem


def failure_sentence(name: str, output: str, log: Path) -> str:
    """What go's output means, in one sentence with the cure and the line that says so."""
    lines = [line for line in output.splitlines() if line.strip()] or ["go wrote nothing"]
    for pattern, cure in _CURES:
        telling = [line for line in lines if re.search(pattern, line)]
        if telling:
            return f"{name} could not be built, {cure} ({telling[-1].strip()[:300]}; all of it in {log})."
    return f"{name} could not be built, go says: {lines[-1].strip()[:300]} (all of it in {log})."


def _command(go: Path, program: Program, target: Path) -> list[str]:
    flags = ["-s", "-w"]
    if program.folder == "kubernetes":
        major, minor, _ = program.version.removeprefix("v").split(".")
        values = {"gitVersion": program.version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        flags += [f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items()]
    if program.versioned_by.startswith("helm.sh/helm/"):
        flags += [f"-X {program.versioned_by}/internal/version.version={program.version}"]
    return [str(go), "build", "-trimpath", "-ldflags", " ".join(flags), "-o", str(target), program.package]


def _environment() -> dict[str, str]:
    # A person's own GOFLAGS or workspace must not change what the committed go.mod says.
    fixed = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    return {**{name: value for name, value in os.environ.items() if name != "GOROOT"}, **fixed}


def _tail(log: Path, size_bytes: int = 64 * 1024) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - size_bytes))
        return stream.read(size_bytes).decode(errors="replace")
