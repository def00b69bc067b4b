"""What the demo says on the terminal: steps with their time, and blocks of text. Colour only on a terminal that wants it."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class StepFailedError(Exception):
    """A step of the demo did not happen; the text says what was waited for, in words."""


def paint(text: str, code: str) -> str:
    """`text` in an ANSI style, where that is wanted."""
    return f"\033[{code}m{text}\033[0m" if COLOURED else text


def title(text: str) -> None:
    """A heading."""
    print(f"\n{paint(text, '1')}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """One step: its text, then its time, or that it failed."""
    print(f"  {text} ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(paint("failed", "31;1"), flush=True)
        raise
    print(paint(f"{time.monotonic() - started:.2f} s", "32"), flush=True)


def note(text: str) -> None:
    """A remark."""
    print(paint(f"  {text}", "2"), flush=True)


def block(text: str, margin: str = "    ") -> None:
    """Text as it is, set in a little."""
    for line in text.rstrip().splitlines():
        print(f"{margin}{line}")
    sys.stdout.flush()


def wait_until(happened: Callable[[], object], what: str, within_s: float) -> None:
    """Ask `happened()` until it says yes. Raises StepFailedError with `what` when time is over."""
    deadline = time.monotonic() + within_s
    while not happened():
        if time.monotonic() > deadline:
            raise StepFailedError(f"waited {within_s:.0f} s for {what}")
        time.sleep(0.05)
