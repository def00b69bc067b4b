"""How soon the command line answers what needs no cluster: `--help` and `version`, as processes of their own."""

import os
import subprocess
import sys
import time

from figures import Figure, figure, median, spread

NAMES = frozenset({"cli_help_ms"})
RUNS = 15
COMMANDS = (("--help",), ("version",))


async def measure(_: frozenset[str]) -> list[Figure]:
    """The figure of this scenario."""
    load = os.getloadavg()[0]
    runs = {words: [_run(words) for _ in range(RUNS + 1)][1:] for words in COMMANDS}
    slowest = max(runs, key=lambda words: median(runs[words]))
    note = f"`watchbell {' '.join(slowest)}`, the slower of --help and version: exec until it has ended; median, {spread(runs[slowest])}"
    return [figure("cli_help_ms", median(runs[slowest]), note, load)]


def _run(words: tuple[str, ...]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "watchbell", *words], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - started) * 1000
