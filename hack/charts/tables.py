"""The tables in README.md of each chart, and the page of rights: what `described` and `rights` hold, for people."""

import json
import re
from typing import Any

from charts.described import Described, leaves
from charts.flags import ELSEWHERE, config_options, default_of, key_of
from charts.rights import Right
from watchbell.generated import between


def with_table(page: str, values: tuple[Described, ...]) -> str:
    """The page with its table of values. Raises ValueError when it has no place for it."""
    return between(page, "values", values_table(values))


def values_table(values: tuple[Described, ...]) -> str:
    """Every value: its key, default and meaning."""
    rows = [row for entry in leaves(values) for row in _rows(entry)]
    return "| value | default | what it does |\n|---|---|---|\n" + "".join(rows)


def _rows(entry: Described) -> list[str]:
    key = ".".join(entry.path)
    rows = [f"| `{key}` | {_default(entry.default)} | {_cell(entry.description)} |\n"]
    if entry.hints.get("fromFlags"):
        rows += [
            f"| `{key}.{key_of(option)}` | {_shown(default_of(option))} | {_cell(option.help)} |\n"
            for option in config_options()
        ]
    return rows


def _default(value: Any) -> str:  # noqa: ANN401 - whatever YAML holds
    return "" if value is None or value == "" else _shown(json.dumps(value) if not isinstance(value, str) else value)


def _shown(text: str) -> str:
    return f"`{text}`" if text and " " not in text.strip("[]{}\"'") else _cell(text)


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def rights_table(rights: tuple[Right, ...], scope: str) -> str:
    """The rights of one scope."""
    rows = [
        f"| {_kinds(right)} | {', '.join(right.verbs)} | {right.why}{_condition(right)} |\n"
        for right in rights
        if right.scope == scope
    ]
    return "| kind | verbs | what for |\n|---|---|---|\n" + "".join(rows)


def _kinds(right: Right) -> str:
    names = ", ".join(f"`{name}`" for name in right.resources)
    group = f" ({right.groups[0]})" if right.groups[0] else ""
    only = f" named `{right.names[0]}`" if right.names else ""
    return f"{names}{group}{only}"


def _condition(right: Right) -> str:
    return f" (`{right.when}`)" if right.when else ""


def flags_elsewhere() -> str:
    """Which flags have a value of their own."""
    return "".join(f"| `--{field.replace('_', '-')}` | `{value}` |\n" for field, value in ELSEWHERE.items())
