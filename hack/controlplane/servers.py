"""Server processes: started under a guard, watched, and ended by their own handle."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from controlplane.errors import ControlPlaneError

_GUARD = Path(__file__).with_name("guard.py")
_LAST_LINES = 12


def free_ports(count: int) -> tuple[int, ...]:
    """Loopback ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return tuple(ports)


class Server:
    """One running server. ``remove`` is a folder that vanishes with it, even when this process is killed."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path, remove: Path | None = None) -> None:
        self.name = name
        self.log = log
        # A session of its own: Ctrl-C reaches only the parent, which ends its servers in order.
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), str(log), str(remove or ""), "--", *map(str, command)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process to signal for an orderly end: the guard's, not the server's."""
        return self._guard.pid

    def running(self) -> bool:
        """Whether the server still runs."""
        return self._guard.poll() is None

    def last_lines(self) -> str:
        """The end of its log."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
        return ""

    def wait_for(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        """Polls until ``condition`` holds; ``deadline`` is a reading of time.monotonic(). A dead server or lost time raises with the log's end."""
        while not condition():
            if not self.running():
                raise ControlPlaneError(f"{self.name} ended before {what}. Its last lines:\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise ControlPlaneError(
                    f"{self.name} runs, but {what} did not happen in time. Its last lines:\n{self.last_lines()}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends the server and waits until it is gone; may be called twice."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        if self.running():
            with contextlib.suppress(ProcessLookupError):
                self._guard.send_signal(signal.SIGTERM)
        try:
            self._guard.wait(10)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()


def accepts(port: int) -> bool:
    """Whether something on loopback accepts connections at ``port``."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False
