"""values.schema.json from a described values.yaml: keys that nobody knows are refused, but for those that umbrella charts add.

Helm checks it before it renders, so a typing error is told by name.
"""

from typing import Any

from charts.described import Described
from charts.entries import entry_schema
from charts.flags import config_schema

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
# An umbrella chart writes these beside our keys: `condition: watchbell.enabled`, and whatever `global` is to others.
_UMBRELLA: dict[str, Any] = {
    "enabled": {"type": "boolean", "description": "Read by umbrella charts (`condition:`), not by this one."},
    "tags": {"type": "object", "description": "Read by umbrella charts, not by this one."},
}


def schema_of(title: str, values: tuple[Described, ...]) -> dict[str, Any]:
    """The whole schema."""
    properties = {entry.name: _schema(entry) for entry in values} | _UMBRELLA
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        **_closed(properties),
        "patternProperties": {"^x-": {"description": "Anchors for YAML; not read."}},
    }


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema(entry: Described) -> dict[str, Any]:
    about = {"description": entry.description} if entry.description else {}
    if entry.children:
        return {**about, **_closed({child.name: _schema(child) for child in entry.children})}
    return {**about, **_leaf(entry)}


def _leaf(entry: Described) -> dict[str, Any]:
    hints = {name: value for name, value in entry.hints.items() if name not in {"open", "fromFlags", "entries"}}
    if entry.hints.get("fromFlags"):
        return _closed(config_schema())
    if "entries" in entry.hints:
        return entry_schema(entry.hints["entries"])
    shown = {} if entry.default is None else {"default": entry.default}
    kind = {} if entry.default is None else {"type": _TYPES[type(entry.default)]}
    return kind | shown | hints
