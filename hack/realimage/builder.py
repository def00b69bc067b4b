"""Makes the base image once, then builds the Dockerfile on it; all storage is below the folder that the caller gives."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from controlplane import ControlPlaneError
from controlplane.cache import cache_root, locked, whole_file
from controlplane.debian import listed, unpacked
from controlplane.progress import shown
from realimage.image import Image

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "hack" / "debian-image-packages.txt"
SUITE = "bookworm"
INCLUDED = "python3,python3-venv,ca-certificates"
_BASE, _IMAGE = "localhost/base:latest", "localhost/watchbell:test"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# buildah starts itself anew without our variables, so its libraries are found by a loader's cache of our own, in a mount namespace of its own.
_WITH_LIBRARIES = 'mount --bind "$0" /etc/ld.so.cache && exec "$@"'
_PIP = ("index-url", "extra-index-url", "trusted-host")


def prepare() -> Path:
    """The base as a tar file, made the first time (a minute). Raises ControlPlaneError."""
    if os.geteuid() != 0:
        raise ControlPlaneError("Building an image without a container engine needs root: run it with sudo.")
    target = cache_root() / "image" / f"{SUITE}-{INCLUDED.replace(',', '-')}.tar"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked("image-base", "the base image"), shown(f"Making a base image of Debian {SUITE}", 60):
            _make_base(target)
    return target


def _make_base(target: Path) -> None:
    with whole_file(target) as part:
        options = ["--mode=root", "--variant=minbase", "--format=tar", f"--include={INCLUDED}"]
        _run(["mmdebstrap", *options, SUITE, str(part)], _environment(unpacked(listed(PACKAGES))))


def build(directory: Path) -> Image:
    """The image from the Dockerfile, with everything of it below ``directory``. Raises ControlPlaneError."""
    base, packages = prepare(), unpacked(listed(PACKAGES))
    environment = _environment(packages)
    buildah = [*_with_libraries(directory, packages), "buildah", *_store(directory, packages)]
    context = directory / "base"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    os.link(base, context / "base.tar") if context.stat().st_dev == base.stat().st_dev else _copy(base, context)
    chrooted = ["bud", "--isolation=chroot", "--network=host", "--layers=false"]
    _run([*buildah, *chrooted, f"--tag={_BASE}", str(context)], environment)
    arguments = [f"--build-arg=BASE_IMAGE={_BASE}", "--build-arg=VERSION=test", *_pip_settings(directory)]
    _run([*buildah, *chrooted, *arguments, f"--tag={_IMAGE}", str(ROOT)], environment)
    archive = directory / "image.tar"
    _run([*buildah, "push", _IMAGE, f"docker-archive:{archive}"], environment)
    return Image(archive, directory / "root")


def _copy(base: Path, context: Path) -> None:
    subprocess.run(["cp", str(base), str(context / "base.tar")], check=True)


def _with_libraries(directory: Path, packages: Path) -> list[str]:
    places, cache = directory / "ld.so.conf", directory / "ld.so.cache"
    places.write_text("\n".join(["include /etc/ld.so.conf", *_libraries(packages)]) + "\n")
    subprocess.run(["/sbin/ldconfig", "-X", "-f", str(places), "-C", str(cache)], check=True)
    return ["unshare", "--mount", "--", "sh", "-c", _WITH_LIBRARIES, str(cache)]


def _libraries(packages: Path) -> list[str]:
    return sorted({str(path.parent) for path in packages.glob("**/lib/*-linux-gnu/*.so*")})


def _store(directory: Path, packages: Path) -> list[str]:
    policy = packages / "etc" / "containers" / "policy.json"
    return [
        "--storage-driver=vfs",
        f"--root={directory / 'storage'}",
        f"--runroot={directory / 'run'}",
        f"--signature-policy={policy}",
    ]


def _pip_settings(directory: Path) -> list[str]:
    """The machine's certificates and package index, as files that the build sees and the image does not hold."""
    told = {name: os.environ.get(f"PIP_{name.upper().replace('-', '_')}", "") for name in _PIP}
    lines = ["[global]", f"cert = {_AUTHORITIES}", *(f"{name} = {value}" for name, value in told.items() if value)]
    settings = directory / "pip.conf"
    settings.write_text("\n".join(lines) + "\n")
    return [f"--volume={settings}:/etc/pip.conf:ro", f"--volume={_AUTHORITIES}:{_AUTHORITIES}:ro"]


def _environment(packages: Path) -> dict[str, str]:
    places = [str(packages / part) for part in ("usr/sbin", "usr/bin", "sbin", "bin")]
    perl = [str(packages / "usr" / "share" / "perl5")]
    return {
        **os.environ,
        "PATH": os.pathsep.join([*places, os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(_libraries(packages)),
        "PERL5LIB": os.pathsep.join(perl),
    }


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise ControlPlaneError(f"{' '.join(command)[:80]}… ended with {done.returncode}. Its last lines:\n{last}")
