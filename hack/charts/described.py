"""Reads a values.yaml with its comments: each key, what it is by default, and what the comment above it says.

Comes before `schema` and `tables`. A line ``@schema {…}`` in a comment is JSON with what the default does not say.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_HINT = "@schema "


class ValuesError(ValueError):
    """A values.yaml that cannot be described; the text names the line or key."""


@dataclass(frozen=True, slots=True)
class Described:
    """One key. ``children`` are those of a mapping that takes no other keys; else the key is a leaf with ``default``."""

    path: tuple[str, ...]
    description: str
    default: Any
    hints: dict[str, Any]
    children: tuple["Described", ...] = ()

    @property
    def name(self) -> str:
        """The key itself."""
        return self.path[-1]


def read_values(text: str) -> tuple[Described, ...]:
    """The top-level keys of a values.yaml. Raises ValuesError."""
    root = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValuesError("values.yaml must be a mapping")
    return _children(root, (), text.splitlines())


def leaves(entries: tuple[Described, ...]) -> Iterator[Described]:
    """Every key that is a leaf, in the file's order."""
    for entry in entries:
        if entry.children:
            yield from leaves(entry.children)
        else:
            yield entry


def _children(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> tuple[Described, ...]:
    return tuple(_described(key, value, path, lines) for key, value in node.value)


def _described(key: yaml.Node, value: yaml.Node, above: tuple[str, ...], lines: list[str]) -> Described:
    path = (*above, str(key.value))
    description, hints = _comment(lines, key.start_mark.line)
    is_closed = isinstance(value, yaml.MappingNode) and bool(value.value) and not hints.get("open")
    if is_closed and isinstance(value, yaml.MappingNode):
        return Described(path, description, None, hints, _children(value, path, lines))
    if not description:
        raise ValuesError(f"line {key.start_mark.line + 1}: {'.'.join(path)} has no comment")
    default = yaml.safe_load(yaml.serialize(value))
    return Described(path, description, default, hints)


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    """The comment right above ``line``, as one text, and its hints."""
    words: list[str] = []
    hints: dict[str, Any] = {}
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        text = lines[line].lstrip().removeprefix("#").strip()
        if text.startswith(_HINT):
            hints = _hints(text.removeprefix(_HINT), line + 1)
        else:
            words.insert(0, text)
    return " ".join(words), hints


def _hints(text: str, line: int) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValuesError(f"line {line}: @schema must be followed by JSON: {error}") from error
    return found
