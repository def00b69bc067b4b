"""The processes beside the control plane: the operator, the sink and the peer; each ends with the block that started it."""

import asyncio
import contextlib
import hashlib
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.cache import cache_root, locked, whole_file
from controlplane.progress import shown
from controlplane.servers import free_ports
from controlplane.toolchain import go_command
from objects import HOME, LOGIN, Relay

HERE = Path(__file__).resolve().parent
STOP_S = 25.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_GO = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def go_program(name: str, folder: Path, package: str, usual_s: int) -> Path:
    """The program, built from `folder` unless the cache has it; the name of its place follows from the sources."""
    sources = sorted(path for path in folder.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    target = cache_root() / f"bench-{name}" / digest / name
    with locked(f"bench-{name}-{digest}", name):
        if not target.exists():
            _build(name, folder, package, usual_s, target)
    return target


def _build(name: str, folder: Path, package: str, usual_s: int, target: Path) -> None:
    oldest = re.search(r"^go (\S+)", (folder / "go.mod").read_text(), re.MULTILINE)
    go = go_command(oldest[1] if oldest else "1.24.0")
    with shown(f"Building {name}", usual_s), whole_file(target) as part:
        command = [str(go), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(part), package]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **_GO}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} could not be built: {done.stderr.strip()[-500:]}")


@dataclass(frozen=True, slots=True)
class Mail:
    """One accepted mail; the time is the wall clock in nanoseconds, as `time.time_ns` reads it."""

    at_ns: int
    subject: str
    size_bytes: int
    connection: int


@dataclass(slots=True)
class Sink:
    """The running mail server; `mails` grows as mails are accepted."""

    relay: Relay
    mails: list[Mail] = field(default_factory=list)

    def by_workload(self, prefix: str) -> dict[str, int]:
        """When the first mail about each workload `prefix-NNNN` was accepted."""
        found: dict[str, int] = {}
        for mail in self.mails:
            named = re.search(rf"{re.escape(prefix)}-\d{{4}}", mail.subject)
            if named:
                found.setdefault(named[0], mail.at_ns)
        return found


@contextlib.asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """The sink, as a process of its own."""
    program = go_program("sink", HERE / "sink", ".", 5)
    password = secrets.token_urlsafe(18)
    process = await asyncio.create_subprocess_exec(
        program,
        f"-username={LOGIN}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "SINK_PASSWORD": password},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    reader: asyncio.Task[None] | None = None
    try:
        first = json.loads(await process.stdout.readline())
        running = Sink(Relay(first["port"], first["ca_pem"], password))
        reader = asyncio.create_task(_collect(process.stdout, running.mails), name="sink")
        yield running
    finally:
        process.stdin.close()
        await process.wait()
        if reader is not None:
            await reader


async def _collect(lines: asyncio.StreamReader, mails: list[Mail]) -> None:
    async for line in lines:
        entry = json.loads(line)
        mails.append(Mail(entry["at_ns"], entry["subject"], entry["size_bytes"], entry["connection"]))


@dataclass(slots=True)
class Process:
    """A server on loopback, measured from outside. `began` is the monotonic clock just before exec."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    began: float

    def get(self, path: str) -> tuple[int, str]:
        """(status, text); (0, "") while it does not answer. Raises RuntimeError with its last words when it is dead."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the process ended with {self.process.returncode}:\n{self.last_words()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        return self.get("/readyz")[0] == 200

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 when it is not there."""
        return sum(values(self.get("/metrics")[1], name))

    def wait(self, condition: Callable[[], bool], what: str, within_s: float = 60) -> float:
        """Seconds from exec until `condition` holds, asked every 10 ms. Blocks: nothing else is to be done in the meantime."""
        while not condition():
            if time.monotonic() - self.began > within_s:
                raise RuntimeError(f"{what} did not happen within {within_s:g} s:\n{self.last_words()}")
            time.sleep(0.01)
        return time.monotonic() - self.began

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def memory_mib(self, name: str = "VmRSS") -> float:
        """VmRSS or VmHWM."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
        if found is None:
            raise RuntimeError(f"there is no {name} in /proc/{self.process.pid}/status")
        return int(found[1]) / 1024

    def last_words(self, lines: int = 10) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def values(text: str, name: str, label: str = "") -> Iterator[float]:
    """The samples of one metric in Prometheus' text form; `label` as it stands there, `verb="create"`."""
    for line in text.splitlines():
        if line.startswith((f"{name}{{", f"{name} ")) and label in line:
            yield float(line.rpartition(" ")[2])


@contextlib.contextmanager
def started(command: Sequence[str | Path], port: int, log: Path) -> Iterator[Process]:
    """A process that answers HTTP at `port`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    running = Process(process, port, log, began)
    try:
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def operator(kubeconfig: Path, relay: Relay, log: Path, *flags: str) -> Iterator[Process]:
    """`watchbell run` with its defaults and `flags`, but that it may reach the sink on loopback; health and metrics at one port."""
    (port,) = free_ports(1)
    command = [
        sys.executable,
        "-m",
        "watchbell",
        "run",
        f"--kubeconfig={kubeconfig}",
        f"--cluster-resource-namespace={HOME}",
        "--egress-allow-cidr=127.0.0.0/8,::1/128",
        f"--egress-allow-port={relay.port}",
        f"--health-bind-address=127.0.0.1:{port}",
        f"--metrics-bind-address=127.0.0.1:{port}",
        "--cluster-name=bench",
        *flags,
    ]
    with started(command, port, log) as running:
        yield running
