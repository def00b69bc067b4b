"""The operator of the demo: the installed program as a process of its own, its log in a file."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from controlplane.servers import free_ports
from demo.screen import StepFailedError

STOP_S = 20
COMMAND_S = 60


def watchbell(kubeconfig: Path | None, context: str | None, *words: str, code: int = 0) -> str:
    """What `watchbell …` answers. Raises StepFailedError when it ends with another exit code than `code`."""
    where = [f"--kubeconfig={kubeconfig}"] if kubeconfig is not None else []
    where += [f"--context={context}"] if context is not None else []
    command = [sys.executable, "-m", "watchbell", *words, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    if done.returncode != code:
        raise StepFailedError(f"watchbell {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class OperatorProcess:
    """`watchbell run`, beside the cluster."""

    def __init__(self, log: Path, kubeconfig: Path | None, context: str | None, relay_port: int, home: str) -> None:
        self.log = log
        self._health_port, metrics_port = free_ports(2)
        command = [
            sys.executable,
            "-m",
            "watchbell",
            "run",
            "--egress-allow-cidr=127.0.0.0/8,::1/128",
            f"--egress-allow-port={relay_port}",
            f"--cluster-resource-namespace={home}",
            f"--health-bind-address=127.0.0.1:{self._health_port}",
            f"--metrics-bind-address=127.0.0.1:{metrics_port}",
            "--cluster-name=demo",
        ]
        command += [f"--kubeconfig={kubeconfig}"] if kubeconfig is not None else []
        command += [f"--context={context}"] if context is not None else []
        with log.open("wb") as sink:
            self._process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=dict(os.environ))

    def is_ready(self) -> bool:
        """Whether /readyz says so. A process that ended never will: its last words are raised."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the operator ended with exit code {self._process.returncode}:\n{self.last_words()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health_port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask it to end, and make it end if it does not."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
