"""Differences from a baseline, made fit for a mail: which words differ, and what each check means.

Before: `DifferenceFacts`, text of anybody. After: `document.Changes`. Of a long value the part that differs is shown with a little around it,
so that nobody has to look for it.

Bounds: 50 differences, 60 KB of HTML.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape

from watchbell.mail.document import Block, Change, Changes, Span
from watchbell.mail.facts import DifferenceFacts
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import ELLIPSIS, visible

MAX_DIFFERENCES = 50
MAX_BYTES = 60_000
_ROW_BYTES = 1_040
MAX_VALUE = 2048
_SHOWN = 420
_AROUND = 90
_WORD = re.compile(r"[\s,;:/=@&\"'\[\]{}()]|[^\s,;:/=@&\"'\[\]{}()]+")

CHECKS: Mapping[str, str] = {
    "Image": "Another image is named than in the baseline.",
    "ImageDigest": "The content of the image differs: the same name stands for another build, or the fleet runs two versions.",
    "Command": "The command (entry point) differs.",
    "Args": "The arguments differ.",
    "Env": "Environment variables differ. Their values are never read into a mail.",
    "ConfigMapContent": "The content of a ConfigMap left its pinned hash.",
    "StaleConfig": "The ConfigMap changed after the pod started, and the pod still runs with the old content.",
    "ConfigHashAnnotation": "The annotation with the configuration's hash differs from the template's: the pod was made for another configuration.",
    "Labels": "Labels differ, so selectors, policies and dashboards may miss the pod.",
    "Resources": "Requests or limits differ.",
    "SecurityContext": "What the container may do differs: user, capabilities, privileges or file systems.",
    "ServiceAccount": "It runs under another identity, with other rights.",
    "Replicas": "There are more or fewer pods than the baseline allows.",
    "NodeCoverage": "Nodes that should have a collector have none that is ready.",
    "UnexpectedContainer": "A container runs that the baseline does not know.",
}


def differences(found: Sequence[DifferenceFacts], heading: str, more: int = 0) -> tuple[Block, ...]:
    """The differences under their heading, as many as fit in bytes of HTML; nothing when there is none. `more` were not handed on."""
    rows: list[Change] = []
    room = MAX_BYTES
    for item in found[:MAX_DIFFERENCES]:
        row = _change(item)
        room -= _ROW_BYTES + len(escape(row.path + row.what + "".join(_texts(row))).encode())
        if room < 0:
            break
        rows.append(row)
    return (Changes(heading, tuple(rows), len(found) - len(rows) + more),) if found else ()


def check_names(found: Sequence[DifferenceFacts]) -> tuple[str, ...]:
    """The checks that found something, each once, in order."""
    return tuple(dict.fromkeys(visible(item.check, 40) for item in found))


def emphasised(expected: str, actual: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Both values in three pieces: what they begin with alike, what differs, what they end with alike; at the ends of words."""
    if not expected or not actual:
        return _whole(expected), _whole(actual)
    old, new = _WORD.findall(expected), _WORD.findall(actual)
    shortest = min(len(old), len(new))
    start = 0
    while start < shortest and old[start] == new[start]:
        start += 1
    end = 0
    while end < shortest - start and old[-1 - end] == new[-1 - end]:
        end += 1
    return _pieces(old, start, end), _pieces(new, start, end)


def _change(item: DifferenceFacts) -> Change:
    expected, actual = (_shown(text) for text in (item.expected, item.actual))
    what = CHECKS.get(item.check) or f"Check {visible(item.check, 40)}."
    return Change(visible(item.path, 200), what, *emphasised(expected, actual))


def _shown(text: str) -> str:
    """One line, redacted: arguments may hold what should have been in a Secret."""
    return visible(redact(text[:MAX_VALUE]), MAX_VALUE)


def _whole(text: str) -> tuple[Span, ...]:
    """A value whose other side is not there: all of it differs; and nothing is said in a word."""
    return (Span(_clipped(text, _SHOWN), is_other=True),) if text else (Span("(nothing)"),)


def _pieces(words: Sequence[str], start: int, end: int) -> tuple[Span, ...]:
    stop = len(words) - end
    before, other, after = "".join(words[:start]), "".join(words[start:stop]), "".join(words[stop:])
    is_long = len(before) + len(other) + len(after) > _SHOWN
    if is_long and len(before) > _AROUND:
        before = ELLIPSIS + before[-_AROUND:]
    if is_long and len(after) > _AROUND:
        after = after[:_AROUND] + ELLIPSIS
    spans = (Span(before), Span(_clipped(other, _SHOWN), is_other=True), Span(after))
    return tuple(span for span in spans if span.text)


def _clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS


def _texts(row: Change) -> tuple[str, ...]:
    return tuple(span.text for span in (*row.expected, *row.actual))
