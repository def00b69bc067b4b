"""Finds a program: what the user has, what the cache has, what can be downloaded in seconds, and else builds it."""

import os
import shutil
from pathlib import Path

from controlplane.build import build
from controlplane.cache import cache_root, locked
from controlplane.envtest import from_archive
from controlplane.programs import Program, program_named


def binary(name: str) -> Path:
    """The path of a program that can be run; made first if it has to be. Raises ControlPlaneError with a sentence."""
    program = program_named(name)
    return _already_there(program) or _cached(program)


def _already_there(program: Program) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and _can_run(Path(assets) / program.name):
        return Path(assets) / program.name
    on_path = shutil.which(program.name) if program.from_path else None
    return Path(on_path) if on_path else None


def _cached(program: Program) -> Path:
    target = cache_root() / program.name / program.version / program.name
    if _can_run(target):
        return target
    with locked(f"{program.name}-{program.version}", f"{program.name} {program.version}"):
        if not _can_run(target) and not from_archive(program, target):
            build(program, target)
    return target


def _can_run(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
