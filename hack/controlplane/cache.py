"""The cache outside the tree: ``<root>/<name>/<version>/<name>``, filled by whole files only and locked across processes."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.errors import ControlPlaneError


def cache_root() -> Path:
    """``$WATCHBELL_CACHE``, else ``$XDG_CACHE_HOME/watchbell``, else ``~/.cache/watchbell``."""
    own = os.environ.get("WATCHBELL_CACHE")
    if own:
        return Path(own).expanduser().resolve()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "watchbell"


def folder(path: Path) -> Path:
    """The folder, made if it is missing; a full disk or a read-only home becomes a sentence."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ControlPlaneError(
            f"The cache folder {path} cannot be made ({problem.strerror}); free some space or set WATCHBELL_CACHE to a folder that can be written."
        ) from problem
    return path


@contextmanager
def locked(name: str, what: str) -> Iterator[None]:
    """Holds ``name`` against every other process of this user; says so on stderr when it has to wait.

    The system drops the lock when its holder dies, so there are no stale ones.
    """
    path = folder(cache_root() / "locks") / f"{name}.lock"
    try:
        handle = path.open("w")
    except OSError as problem:
        raise ControlPlaneError(
            f"The lock {path} cannot be written ({problem.strerror}); free some space or set WATCHBELL_CACHE."
        ) from problem
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process is making {what}; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary name beside ``target`` that becomes it when the block ends well, and vanishes when it does not."""
    part = folder(target.parent) / f".{target.name}.{os.getpid()}.part"
    try:
        yield part
        part.chmod(0o755)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
