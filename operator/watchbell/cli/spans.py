"""Spans of time as people type and read them (pure): `90m`, `1h30m`, `2d` in; kubectl's short ages out.

Before: the command line. After: the verbs, which count in seconds. Objects never hold such text: their durations are whole seconds.
"""

import math
import re

UNITS_S = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
LONGEST_S = 3_660 * 86_400
_SPAN = re.compile("".join(rf"(?:(?P<{unit}>[0-9]{{1,9}}){unit})?" for unit in UNITS_S))
_STEPS = (
    (120, "s", ""),
    (600, "m", "s"),
    (10_800, "m", ""),
    (28_800, "h", "m"),
    (172_800, "h", ""),
    (691_200, "d", "h"),
)


def span_s(text: str) -> int:
    """Seconds of a span, its units falling: `45s`, `90m`, `1h30m`, `2d`, `1w`.

    Raises:
        ValueError: it is none, is zero, or is longer than ten years; the text says what it must be.
    """
    found = _SPAN.fullmatch(text.strip())
    seconds = sum(UNITS_S[unit] * int(count) for unit, count in found.groupdict().items() if count) if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"must be a span such as 90m, 1h30m or 2d, at most ten years, not {text!r}")
    return seconds


def short(seconds: float) -> str:
    """As kubectl shows an age (`duration.HumanDuration`): `95s`, `3m20s`, `47m`, `5h10m`, `30h`, `3d4h`, `90d`."""
    whole = max(0, int(seconds))
    for limit, unit, rest in _STEPS:
        if whole < limit:
            count, left = divmod(whole, UNITS_S[unit])
            part = left // UNITS_S[rest] if rest else 0
            return f"{count}{unit}{part}{rest}" if part else f"{count}{unit}"
    days = whole // 86_400
    return f"{days}d" if days < 730 else f"{days // 365}y"


def left(seconds: float) -> str:
    """A time to come, in at most two units and rounded up: what was asked to last two hours has `2h` left, not `119m`."""
    whole = math.ceil(seconds / 60) * 60 if seconds > 600 else math.ceil(max(0.0, seconds))
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, whole = divmod(whole, UNITS_S[unit])
        if parts or count:
            parts.append(f"{count}{unit}" if count else "")
    return "".join(parts[:2]) or "0s"
