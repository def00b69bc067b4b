"""Colour and width for people, and neither for pipes: what a terminal can show, and text laid out for it.

Before: the flag `--color` and the streams. After: the verbs that print more than a table. Nothing is cut: a line that is too long goes on below.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

NARROWEST = 40
_WIDEST = 120
_CODES = {"good": "32", "bad": "1;31", "warn": "33", "faint": "2", "strong": "1"}


@dataclass(frozen=True, slots=True)
class Painter:
    """How to print. `width` None: no terminal, so lines are as long as they are and a search finds them whole."""

    has_color: bool = False
    width: int | None = None

    def paint(self, text: str, style: str) -> str:
        """The text in one of the styles good, bad, warn, faint, strong."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.has_color and text else text

    def fold(self, text: str, first: str = "", rest: str | None = None) -> list[str]:
        """The text after `first`, its other lines after `rest` (as many spaces if None). A word that is too long stays whole."""
        after = " " * len(first) if rest is None else rest
        if self.width is None or len(first) + len(text) <= self.width:
            return [first + text]
        return textwrap.wrap(
            text,
            max(self.width, NARROWEST),
            initial_indent=first,
            subsequent_indent=after,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [first]


def painter(color: str, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> Painter:
    """For a stream: `auto` is colour on a terminal unless NO_COLOR is set (no-color.org) or TERM is dumb."""
    stream = stream or sys.stdout
    environ = os.environ if environ is None else environ
    is_terminal = stream.isatty()
    wants = is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    has_color = wants if color == "auto" else color == "always"
    width = min(_WIDEST, shutil.get_terminal_size((80, 24)).columns) if is_terminal else None
    return Painter(has_color, width)
