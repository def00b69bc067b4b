"""Progress of long steps, on stderr: what is made, for how long, and how long it usually takes."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(sentence: str) -> None:
    """One line on stderr, at once."""
    print(sentence, file=sys.stderr, flush=True)


@contextmanager
def shown(what: str, usual_s: int) -> Iterator[None]:
    """Shows that ``what`` goes on: each second on a terminal, each half minute in a log."""
    began = time.monotonic()
    over = threading.Event()
    terminal = sys.stderr.isatty()
    say(f"{what}: started (usually about {usual_s} s on two cores).")

    def tick() -> None:
        while not over.wait(1 if terminal else 30):
            line = f"{what}: {time.monotonic() - began:.0f} s of usually {usual_s} s"
            print(f"\r{line}  " if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    ticker.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        over.set()
        ticker.join()
        start = "\r" if terminal else ""
        say(f"{start}{what}: {outcome} after {time.monotonic() - began:.0f} s.{' ' * 12 if terminal else ''}")
