"""The peer: Prometheus' Alertmanager, pinned in `peer/`, with one route that mails each workload's alert at once to the same sink.

It detects no crashes and keeps nothing on disk before it sends; what is compared is the way from a known alert to the accepted mail.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from controlplane.servers import free_ports
from objects import LOGIN, TO, Relay
from processes import HERE, Process, go_program, started

PACKAGE = "github.com/prometheus/alertmanager/cmd/alertmanager"
USUAL_BUILD_S = 80


@dataclass(slots=True)
class Alertmanager:
    """The running peer."""

    process: Process
    session: aiohttp.ClientSession = field(init=False)

    NAME = "Alertmanager v0.31.1"

    def __post_init__(self) -> None:
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.process.port}")

    def wait_ready(self) -> None:
        """Until it takes alerts."""
        self.process.wait(lambda: self.process.get("/-/ready")[0] == 200, "Alertmanager ready")

    async def alert(self, _index: int, workload: str) -> None:
        """Posts one firing alert about `workload`."""
        await self.alert_all((workload,))

    async def alert_all(self, workloads: Iterable[str]) -> None:
        """Posts one firing alert about each of `workloads`, all in one request."""
        async with self.session.post("/api/v2/alerts", json=[_alert(one) for one in workloads]) as answer:
            if answer.status != 200:
                raise RuntimeError(f"Alertmanager: {answer.status} {await answer.text()}")

    async def close(self) -> None:
        """Close the client's connections."""
        await self.session.close()


def _alert(workload: str) -> dict[str, dict[str, str]]:
    labels = {"alertname": "CollectorCrashLoop", "workload": workload, "severity": "critical"}
    notes = {"summary": f"Collector {workload} is in a crash loop", "description": "exit code 1, 2 restarts"}
    return {"labels": labels, "annotations": notes}


@contextlib.contextmanager
def alertmanager(relay: Relay) -> Iterator[Alertmanager]:
    """The peer beside the sink, built at first use."""
    program = go_program("alertmanager", HERE / "peer", PACKAGE, USUAL_BUILD_S)
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="watchbell-peer-") as folder:
        config = _configure(Path(folder), relay)
        command: list[str | Path] = [
            program,
            f"--config.file={config}",
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        with started(command, port, HERE / "out" / "alertmanager.log") as process:
            yield Alertmanager(process)


def _configure(folder: Path, relay: Relay) -> Path:
    authority = folder / "ca.pem"
    authority.write_text(relay.ca_pem)
    mail = {
        "to": TO,
        "from": LOGIN,
        "smarthost": f"localhost:{relay.port}",
        "auth_username": LOGIN,
        "auth_password": relay.password,
        "require_tls": True,
        "tls_config": {"ca_file": str(authority)},
        "send_resolved": False,
    }
    route = {
        "receiver": "oncall",
        "group_by": ["workload"],
        "group_wait": "0s",
        "group_interval": "5m",
        "repeat_interval": "4h",
    }
    config = folder / "alertmanager.json"
    # JSON is YAML.
    config.write_text(json.dumps({"route": route, "receivers": [{"name": "oncall", "email_configs": [mail]}]}))
    config.chmod(0o600)
    return config
