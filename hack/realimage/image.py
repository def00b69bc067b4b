"""A built image as an archive: what it is configured to do, what it adds to its base, and running a command in it with nothing writable."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_READ_ONLY = """set -e
mount --bind "$0" "$0"
mount -o remount,ro,bind "$0"
exec chroot --userspec=65532:65532 "$0" "$@"
"""


class Image:
    """An archive as ``docker save`` writes it; ``root`` is where its files are unpacked when it is run."""

    def __init__(self, archive: Path, root: Path) -> None:
        self._archive = archive
        self._root = root

    @property
    def configuration(self) -> dict[str, Any]:
        """User, entry point, labels and so on."""
        found: dict[str, Any] = json.loads(self._read(self._manifest["Config"]))
        return found["config"]  # type: ignore[no-any-return]

    @property
    def added(self) -> dict[str, int]:
        """Path → size in bytes of every file that the image adds to its base."""
        return {member.name: member.size for layer in self._layers()[1:] for member in layer if not member.isdir()}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One command as user 65532, with a root file system that cannot be written and none of this machine's variables."""
        self._unpack()
        environment = dict(entry.split("=", 1) for entry in self.configuration["Env"])
        return subprocess.run(
            ["unshare", "--mount", "--", "sh", "-c", _READ_ONLY, str(self._root), *command],
            env=environment | {"PATH": f"{environment['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def _manifest(self) -> dict[str, Any]:
        (entry,) = json.loads(self._read("manifest.json"))
        return entry  # type: ignore[no-any-return]

    def _read(self, name: str) -> bytes:
        with tarfile.open(self._archive) as archive:
            member = archive.extractfile(name)
            return member.read() if member is not None else b""

    def _layers(self) -> list[list[tarfile.TarInfo]]:
        return [tar.getmembers() for tar in self._open_layers()]

    def _open_layers(self) -> Iterator[tarfile.TarFile]:
        with tarfile.open(self._archive) as archive:
            for name in self._manifest["Layers"]:
                with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                    yield layer

    def _unpack(self) -> None:
        if self._root.is_dir():
            return
        self._root.mkdir()
        for layer in self._open_layers():
            layer.extractall(self._root, filter="fully_trusted", numeric_owner=True)  # noqa: S202 - made by ourselves
