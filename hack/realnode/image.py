"""The one image of the node, made without a registry and without a builder: Debian's static busybox and nothing else.

Written as the archive that `docker save` writes and `ctr images import` reads, under two names: for the pods, and for the sandbox of each pod.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

IMAGE = "registry.invalid/watchbell/busybox:debian-12"
PAUSE_IMAGE = "registry.invalid/watchbell/pause:debian-12"
_FOREVER = ["/bin/sleep", "2147483647"]


def write_archive(busybox: Path, target: Path) -> None:
    """Writes the archive of both images to ``target``; ``busybox`` is a static program."""
    layer = _layer(busybox)
    with tarfile.open(target, "w") as archive:
        entries: list[dict[str, object]] = []
        for name in (IMAGE, PAUSE_IMAGE):
            configuration = _configuration(layer)
            digest = hashlib.sha256(configuration).hexdigest()
            if not entries:
                _add(archive, f"{digest}.json", configuration)
                _add(archive, "layer.tar", layer)
            entries.append({"Config": f"{digest}.json", "RepoTags": [name], "Layers": ["layer.tar"]})
        _add(archive, "manifest.json", json.dumps(entries).encode())


def _layer(busybox: Path) -> bytes:
    applets = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for place in ("bin", "etc", "tmp"):
            made = tarfile.TarInfo(place)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777 if place == "tmp" else 0o755
            layer.addfile(made)
        _add(layer, "bin/busybox", busybox.read_bytes(), mode=0o755)
        _add(layer, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                layer.addfile(link)
    return content.getvalue()


def _configuration(layer: bytes) -> bytes:
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    machine = "arm64" if _is_arm() else "amd64"
    return json.dumps(
        {
            "architecture": machine,
            "os": "linux",
            "config": {"Cmd": _FOREVER, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest]},
        }
    ).encode()


def _is_arm() -> bool:
    return subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip() in {
        "aarch64",
        "arm64",
    }


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
