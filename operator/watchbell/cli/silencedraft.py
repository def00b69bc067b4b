"""From flags to an AlertSilence (pure): matchers, its time, its name.

Before: `options` read the flags. After: `silence` prints the object or makes it. What is wrong is a ValueError with one sentence.
"""

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from watchbell.api.enums import MatchOperator, SilenceField
from watchbell.api.names import API_VERSION
from watchbell.api.times import moment, stamp
from watchbell.cli.options import FIELDS
from watchbell.cli.spans import span_s

KIND = "AlertSilence"
NAME_PREFIX = "silence-"
_FIELDS = {str(field).lower(): field for field in SilenceField}


def matchers_of(flags: argparse.Namespace) -> tuple[dict[str, Any], ...]:
    """All matchers of a command line, `--matcher` first. Raises ValueError for none, or for one that cannot be read."""
    texts = [*flags.matcher, *(f"{field}={values}" for field in FIELDS for values in getattr(flags, field))]
    if not texts:
        raise ValueError(f"name what to mute: --matcher, or one of {', '.join(f'--{field}' for field in FIELDS)}")
    return tuple(matcher(text) for text in texts)


def matcher(text: str) -> dict[str, Any]:
    """`Owner=DaemonSet/otel-agent,otel-gateway` or `Kind!=NodeLost` as the API has it; the field in any case."""
    left, equals, right = text.partition("=")
    operator = MatchOperator.NOT_IN if left.endswith("!") else MatchOperator.IN
    field = _FIELDS.get(left.removesuffix("!").strip().lower())
    values = list(dict.fromkeys(value for value in (part.strip() for part in right.split(",")) if value))
    if not equals or field is None or not values:
        raise ValueError(
            f"a matcher must be FIELD=VALUES or FIELD!=VALUES, FIELD one of {', '.join(SilenceField)}, not {text!r}"
        )
    return {"field": str(field), "operator": str(operator), "values": values}


def time_of(text: str, flag: str) -> datetime:
    """A time with its zone. Raises ValueError that names the flag."""
    time = moment(text)
    if time is None:
        raise ValueError(f"{flag} must be a time with its zone such as 2026-11-21T18:00:00Z, not {text!r}")
    return time


def draft(flags: argparse.Namespace, author: str, now: datetime) -> dict[str, Any]:
    """The whole object as it would be applied, without a namespace. Raises ValueError with one sentence."""
    start = time_of(flags.start, "--start") if flags.start else None
    end = time_of(flags.until, "--until") if flags.until else (start or now) + timedelta(seconds=_span(flags.span))
    if end <= now:
        raise ValueError(f"it would have ended before it was made: --until {flags.until}")
    spec = {
        "matchers": list(matchers_of(flags)),
        "startTime": stamp(start) if start else None,
        "endTime": stamp(end),
        "comment": flags.comment,
        "createdBy": author,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": flags.name or f"{NAME_PREFIX}{now:%Y%m%d-%H%M%S}"},
        "spec": {key: value for key, value in spec.items() if value},
    }


def _span(text: str) -> int:
    try:
        return span_s(text)
    except ValueError as error:
        raise ValueError(f"--for {error}") from error


def describe(matchers: object) -> str:
    """Matchers as a person reads them: `Owner=DaemonSet/otel-agent Kind!=NodeLost`."""
    return " ".join(_described(matchers))


def _described(matchers: object) -> Iterator[str]:
    for one in matchers if isinstance(matchers, list) else ():
        sign = "!=" if one.get("operator") == MatchOperator.NOT_IN else "="
        yield f"{one.get('field', '')}{sign}{','.join(map(str, one.get('values') or ()))}"
