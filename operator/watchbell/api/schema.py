"""Pydantic's JSON schema made structural, as CustomResourceDefinitions ask. Pure.

Before: a model with its markers. After: one tree without references, with a type everywhere, without nulls; a default only on a leaf and never in a
list item. Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", structural schemas.
"""

from collections.abc import Mapping
from typing import Any

from watchbell.api.markers import CODE_DEFAULT
from watchbell.api.meta import Block

_DROPPED = frozenset({"title", "examples", "propertyNames", "$defs", CODE_DEFAULT})
_INT32_MAX = 2_147_483_647

Schema = dict[str, Any]


def described(block: type[Block]) -> Schema:
    """The tree with all that documentation wants: defaults of the code stand under `CODE_DEFAULT`."""
    raw = block.model_json_schema(by_alias=True)
    return _inline(raw, raw.get("$defs", {}))


def structural(block: type[Block]) -> Schema:
    """The tree as a CRD may hold it. Raises ValueError where a model breaks the house rules: it is a bug of the model."""
    return _normal(described(block), "", in_list=False)


def _inline(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """References replaced by what they refer to; `X | None` becomes X. The description nearest to the field wins."""
    merged: Schema = dict(node)
    if "anyOf" in merged:
        options = [option for option in merged.pop("anyOf") if option.get("type") != "null"]
        if len(options) != 1:
            raise ValueError(f"a field must have one type, not {options}")
        merged = dict(options[0]) | merged
    if "$ref" in merged:
        target = definitions[merged.pop("$ref").rsplit("/", 1)[1]]
        merged = _inline(target, definitions) | merged
    if "properties" in merged:
        merged["properties"] = {name: _inline(child, definitions) for name, child in merged["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(merged.get(key), Mapping):
            merged[key] = _inline(merged[key], definitions)
    merged.pop("$defs", None)
    return merged


def _normal(node: Schema, path: str, *, in_list: bool) -> Schema:
    clean = {key: value for key, value in node.items() if key not in _DROPPED}
    if "default" in clean and _is_kept_in_code(node):
        del clean["default"]
    _check(clean, path, in_list=in_list)
    match clean["type"]:
        case "object":
            _normal_object(clean, path, in_list=in_list)
        case "array":
            clean["items"] = _normal(clean["items"], f"{path}[]", in_list=True)
            clean["items"].pop("description", None)
        case "integer":
            is_small = clean["minimum"] >= -_INT32_MAX - 1 and clean["maximum"] <= _INT32_MAX
            clean["format"] = "int32" if is_small else "int64"
    return clean


def _normal_object(clean: Schema, path: str, *, in_list: bool) -> None:
    if "properties" in clean:
        clean["properties"] = {
            name: _normal(child, f"{path}.{name}", in_list=in_list) for name, child in clean["properties"].items()
        }
        clean.pop("additionalProperties", None)
    elif isinstance(clean.get("additionalProperties"), dict):
        clean["additionalProperties"] = _normal(clean["additionalProperties"], f"{path}.*", in_list=in_list)


def _is_kept_in_code(node: Schema) -> bool:
    """An object or list by default, or absence: absence itself means something there, so the API server must not fill it in."""
    return CODE_DEFAULT in node or node["default"] is None or node.get("type") in {"object", "array"}


def _check(node: Schema, path: str, *, in_list: bool) -> None:
    kind = node.get("type")
    required = {
        "string": ("maxLength", "enum", "format"),
        "array": ("maxItems",),
        "integer": ("maximum",),
        "object": ("properties", "maxProperties"),
        "boolean": ("type",),
    }
    if kind not in required:
        raise ValueError(f"{path}: no type that a CRD knows: {kind}")
    if not any(bound in node for bound in required[kind]):
        raise ValueError(f"{path}: a {kind} needs one of {', '.join(required[kind])}")
    if kind == "integer" and "minimum" not in node:
        raise ValueError(f"{path}: an integer needs a minimum")
    if kind == "array" and "x-kubernetes-list-type" not in node:
        raise ValueError(f"{path}: a list needs x-kubernetes-list-type")
    if in_list and "default" in node:
        raise ValueError(f"{path}: no default inside list items, GitOps tools take it for drift")
