"""How the builder finds, downloads and builds programs, and what it says when that fails."""

import contextlib
import hashlib
import http.server
import io
import os
import ssl
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from controlplane import ControlPlaneError, binary, debian, envtest, toolchain
from controlplane.build import failure_sentence
from controlplane.programs import PROGRAMS, program_named

HACK = Path(__file__).resolve().parents[2] / "hack"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own, where nothing is downloaded."""
    monkeypatch.setenv("WATCHBELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WATCHBELL_ENVTEST", "0")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "cache"


def command_line(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(HACK)}
    command = [sys.executable, "-m", "controlplane", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=lambda program: program.name)
def test_every_program_is_pinned_and_hashed_by_a_committed_module(program) -> None:
    assert program.version.startswith("v")
    sums = (program.module_folder / "go.sum").read_text()
    assert f"{program.versioned_by} {program.version} h1:" in sums


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(ControlPlaneError, match=r"no program 'docker'.*kube-apiserver"):
        program_named("docker")


def test_the_assets_of_the_user_come_first(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "etcd"
    theirs.write_text("#!/bin/sh\n")
    theirs.chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert binary("etcd") == theirs


@pytest.mark.parametrize(
    ("version", "oldest", "enough"),
    [
        ("go1.26.8", "1.24.0", True),
        ("go1.24", "1.24.0", True),
        ("go1.23.9", "1.24.0", False),
        ("go1.9.7", "1.24.0", False),
        ("go1.27rc1", "1.26.0", True),
        ("devel go1.28-abcdef", "1.26.0", True),
        ("", "1.24.0", False),
    ],
)
def test_a_go_that_is_too_old_does_not_count(version: str, oldest: str, enough: bool) -> None:
    assert toolchain.is_new_enough(version, oldest) is enough


@pytest.mark.parametrize(
    ("output", "cure"),
    [
        ("compile: writing output: write $WORK/b002/_pkg_.a: no space left on device", "the disk is full"),
        ("go: k8s.io/api@v0.34.4: verifying module: checksum mismatch", "differs from the committed go.sum"),
        ('go: Get "https://proxy.example/x": dial tcp 192.0.2.1:443: i/o timeout', "check the network and GOPROXY"),
        ("k8s.io/x: reading https://proxy.example/x.zip: 403 Forbidden", "check the network and GOPROXY"),
        ("go build k8s.io/kubernetes/pkg/apis: compile: signal: killed", "out of memory"),
        ("main.go:3:1: syntax error", "go says: main.go:3:1: syntax error"),
        ("", "go wrote nothing"),
    ],
)
def test_what_go_complains_of_becomes_one_sentence_with_the_cure(output: str, cure: str) -> None:
    sentence = failure_sentence("etcd", output, Path("etcd.log"))
    assert cure in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


def test_a_failing_build_is_a_sentence_and_leaves_nothing_behind(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(
        '#!/bin/sh\n[ "$1" = env ] && echo go1.99.0 && exit\necho "write: no space left on device" >&2\nexit 1\n'
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    process = command_line("build", "kstatus")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the disk is full: free about 5 GB" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert output == ""
    assert [path for path in (cache / "kstatus").rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WATCHBELL_CACHE", str(tmp_path / "file" / "cache"))
    process = command_line("build", "kstatus")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "set WATCHBELL_CACHE to a folder that can be written" in errors
    assert "Traceback" not in errors


def test_two_builds_at_once_make_one_program_and_the_second_says_that_it_waits(cache: Path) -> None:
    both = [command_line("build", "kstatus") for _ in range(2)]
    answers = [process.communicate(timeout=110) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({output for output, _ in answers}) == 1
    assert sum("Another process is making kstatus" in errors for _, errors in answers) == 1
    assert sum("Building kstatus" in errors for _, errors in answers) == 1
    asked = subprocess.run(
        [answers[0][0].strip()],
        input='{"kind":"Pod","metadata":{"name":"x"}}\n',
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"status":"InProgress"' in asked.stdout


@contextlib.contextmanager
def https_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: dict[str, bytes]
) -> Iterator[tuple[str, list[str]]]:
    """Serves ``pages`` by path; yields its address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = pages.get(self.path, b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            del format, args

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def archive_with(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        entry = tarfile.TarInfo(f"controller-tools/envtest/{name}")
        entry.size = len(content)
        files.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("is_tampered", [False, True], ids=["whole", "tampered"])
def test_an_archive_is_unpacked_only_when_it_is_what_its_index_says(
    is_tampered: bool, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_with("etcd", b"#!/bin/sh\necho etcd\n")
    digest = hashlib.sha512(archive).hexdigest()
    minor = program_named("kube-apiserver").version.rpartition(".")[0]
    machine = f"{sys.platform}-{envtest.machine_name()}"
    pages = {"/archive.tar.gz": archive[:-1] + b"x" if is_tampered else archive}
    with https_server(tmp_path, monkeypatch, pages) as (address, asked):
        entry = (
            f"    envtest-{minor}.1-{machine}.tar.gz:\n      hash: {digest}\n      selfLink: {address}/archive.tar.gz\n"
        )
        pages["/index.yaml"] = entry.encode()
        monkeypatch.setattr(envtest, "INDEX", f"{address}/index.yaml")
        monkeypatch.delenv("WATCHBELL_ENVTEST")
        target = cache / "etcd" / "etcd"
        assert envtest.from_archive(program_named("etcd"), target) is not is_tampered
        assert target.exists() is not is_tampered
        assert not list(target.parent.glob(".*"))
        if is_tampered:
            before = len(asked)
            assert not envtest.from_archive(program_named("etcd"), target)
            assert len(asked) == before, "a failure is remembered for a while"
        else:
            assert subprocess.run([target], capture_output=True, text=True, check=True).stdout == "etcd\n"


def test_the_newest_patch_release_of_the_pinned_minor_version_is_taken() -> None:
    entries = "".join(
        f"envtest-v1.{minor}.{patch}-linux-amd64.tar.gz:\n  hash: {patch:0128x}\n  selfLink: https://example.org/{minor}.{patch}\n"
        for minor, patch in ((34, 9), (34, 10), (33, 11), (34, 1))
    )
    assert envtest.newest(entries, "v1.34", "linux-amd64") == ("https://example.org/34.10", f"{10:0128x}")
    with pytest.raises(LookupError):
        envtest.newest(entries, "v1.35", "linux-amd64")


def test_debian_packages_are_those_that_apt_would_install() -> None:
    simulated = (
        "Reading package lists...\n"
        "Inst libsasl2-2 [2.1.28+dfsg-10] (2.1.28+dfsg-10+deb12u1 Debian-Security:12 [amd64])\n"
        "Inst postfix (3.7.11-0+deb12u1 Debian:12.15 [amd64]) []\n"
        "Conf postfix (3.7.11-0+deb12u1 Debian:12.15 [amd64])\n"
    )
    assert debian.to_install(simulated) == ("libsasl2-2=2.1.28+dfsg-10+deb12u1", "postfix=3.7.11-0+deb12u1")
    assert "postfix" in debian.listed()
