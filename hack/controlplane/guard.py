"""Runs one server and ends it when the one who asked for it is gone, however that one died. Run as a program, never imported.

``python guard.py LOG REMOVE -- COMMAND...``: starts COMMAND with its output in LOG, and waits. End of its own stdin (the pipe's other end
lives in the parent and closes with it), SIGTERM or SIGINT end the server: first politely, then by force; then the folder REMOVE ("" for
none) is deleted. Exits with the server's code when that ends by itself.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

_POLITE_S = 3.0
_PR_SET_PDEATHSIG = 1


def _die_with_guard() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_POLITE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _watch(command: list[str], log: str) -> int:
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    with open(log, "ab") as output:  # noqa: PTH123 - pathlib would double the start-up time of this tiny program
        # The kernel ends the server even when this guard is killed.
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_die_with_guard,  # noqa: PLW1509 - this program has one thread
        )
    while server.poll() is None:
        ready, _, _ = select.select([sys.stdin, woken], [], [])
        if woken in ready and set(os.read(woken, 64)) <= {signal.SIGCHLD}:
            continue
        _end(server)
    return server.returncode


def _main() -> int:
    log, remove, _, *command = sys.argv[1:]
    try:
        return _watch(command, log)
    finally:
        if remove:
            shutil.rmtree(remove, ignore_errors=True)


if __name__ == "__main__":
    code = _main()
    sys.exit(128 - code if code < 0 else code)
