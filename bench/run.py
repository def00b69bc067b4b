"""`make bench`: measures the figures of `figures.GOALS` and writes results.json; a table on stdout, progress and the machine's load on stderr.

Exit code 0 when every chosen figure was measured, whether its goal is reached or not; 1 when one could not be; 2 for a wrong name.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path

import commands
import connectors
import crashes
import detection
import idle
import mailing
import scale
import storms
import takeover
from figures import Figure, UnknownFigureError, chosen, merged, table
from stage import say

RESULTS = Path(__file__).with_name("results.json")
Scenario = Callable[[frozenset[str]], Coroutine[None, None, list[Figure]]]
SCENARIOS: tuple[tuple[frozenset[str], Scenario], ...] = (
    (connectors.NAMES, connectors.measure),
    (crashes.NAMES, crashes.measure),
    (scale.NAMES, scale.measure),
    (idle.NAMES, idle.measure),
    (storms.NAMES, storms.measure),
    (detection.NAMES, detection.measure),
    (mailing.NAMES, mailing.measure),
    (takeover.NAMES, takeover.measure),
    (commands.NAMES, commands.measure),
)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help="these figures; the others keep their entries")
    try:
        names = frozenset(chosen(parser.parse_args().only))
    except UnknownFigureError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    say(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    found = [one for of, scenario in SCENARIOS if of & names for one in _measured(scenario, of & names)]
    before = RESULTS.read_text() if RESULTS.exists() else ""
    RESULTS.write_text(merged(before, found))
    print(table(found))
    return 0 if {one.name for one in found} == names else 1


def _measured(scenario: Scenario, names: frozenset[str]) -> list[Figure]:
    """What the scenario measured; nothing, and why, if it failed: the other figures are worth having."""
    say(f"measuring {', '.join(sorted(names))}")
    try:
        return asyncio.run(scenario(names))
    except Exception:  # noqa: BLE001 - told, and the exit code says so too
        traceback.print_exc()
        return []


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
