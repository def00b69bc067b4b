"""The reference pages: one for each kind, and one for conditions and reasons. Pure: samples come in as text, Markdown goes out."""

from collections.abc import Iterator, Mapping
from typing import Any

from watchbell.api.crd import block_of
from watchbell.api.events import events_page
from watchbell.api.kinds import KINDS, Kind
from watchbell.api.markers import CODE_DEFAULT
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.api.schema import Schema, described

_NOTE = "<!-- Made from operator/watchbell/api by `python -m watchbell.api.generate`. Do not edit. -->\n"

_CONDITIONS_INTRODUCTION = (
    "A condition says what is the case, its `reason` why, in one word of the closed set below. `Reconciling` and `Stalled` are there only while "
    "True; only `Stalled` makes `helm --wait`, Flux and Argo CD give up.\n"
)


def pages(samples: Mapping[str, str]) -> dict[str, str]:
    """File name → text. `samples` maps the name of each kind's sample to its YAML."""
    made = {f"{kind.singular}.md": _kind_page(kind, samples[kind.sample]) for kind in KINDS}
    shared = {"conditions-and-reasons.md": _reasons_page(), "events.md": f"{_NOTE}\n{events_page()}"}
    return made | shared | {"README.md": _index()}


def _index() -> str:
    rows = [
        f"| [{kind.kind}]({kind.singular}.md) | {', '.join(f'`{name}`' for name in kind.short_names) or '-'} "
        f"| {'namespace' if kind.namespaced else 'cluster'} | {_sentence(kind.model.__doc__)} |"
        for kind in KINDS
    ]
    head = ["| kind | short name | scope | what it is |", "|---|---|---|---|"]
    text = f"# Reference\n\nThe kinds of `{API_VERSION}`; `kubectl get watchbell -A` lists them all.\n\n"
    tail = "\n\nThe words in their status: [conditions and reasons](conditions-and-reasons.md); what is told of them: [Events](events.md).\n"
    return _NOTE + "\n" + text + "\n".join(head + rows) + tail


def _kind_page(kind: Kind, sample: str) -> str:
    spec, status = described(block_of(kind, "spec")), described(block_of(kind, "status"))
    parts = [
        f"{_NOTE}\n# {kind.kind}\n\n{_sentence(kind.model.__doc__)}\n",
        f"```yaml\n{sample.strip()}\n```\n",
        f"{_head(kind)}\n",
        f"## spec\n\n{_sentence(spec.get('description'))}\n\n{_table(spec, 'spec')}\n",
        f"## Rules\n\nWhat the API server refuses, and what it says:\n\n{_rules(spec)}\n",
        f"## status\n\n{_sentence(status.get('description'))}\n\n{_table(status, 'status')}\n",
        f"## Conditions\n\n{_conditions(kind)}\n\nThe reasons: [conditions and reasons](conditions-and-reasons.md).\n",
    ]
    return "\n".join(parts)


def _head(kind: Kind) -> str:
    scope = "namespaced" if kind.namespaced else "cluster-scoped"
    name = kind.short_names[0] if kind.short_names else kind.singular
    return f"API version `{API_VERSION}`, {scope}; `kubectl get {name}` shows {_columns(kind)}.{_selectors(kind)}"


def _reasons_page() -> str:
    conditions = [f"| `{type_}` | {kind.kind} | {meaning} |" for kind in KINDS for type_, meaning in kind.conditions]
    reasons = [f"| `{reason}` | {_cell(reason.doc)} |" for reason in Reason]
    return "\n".join(
        [
            _NOTE,
            "# Conditions and reasons\n",
            _CONDITIONS_INTRODUCTION,
            "## Conditions\n\n| condition | kind | what True means |\n|---|---|---|",
            *conditions,
            "\n## Reasons\n\n| reason | meaning |\n|---|---|",
            *reasons,
            "",
        ]
    )


def _columns(kind: Kind) -> str:
    return ", ".join(f"`{column.name.upper()}`{' (wide)' if column.is_wide else ''}" for column in kind.columns)


def _selectors(kind: Kind) -> str:
    fields = ", ".join(f"`{path.removeprefix('.')}`" for path in kind.selectable)
    return f" Field selectors: {fields}." if fields else ""


def _conditions(kind: Kind) -> str:
    return "\n".join(f"- `{type_}`: {meaning}" for type_, meaning in kind.conditions)


def _table(schema: Schema, path: str) -> str:
    rows = [f"| `{row_path}` | {kind} | {default} | {text} |" for row_path, kind, default, text in _rows(schema, path)]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows])


def _rows(schema: Schema, path: str) -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", [])
    for name, child in schema["properties"].items():
        child_path = f"{path}.{name}"
        yield (
            child_path,
            _type(child),
            _default(child, required=name in required),
            _cell(_sentence(child.get("description"))),
        )
        inner = child.get("items", child)
        if "properties" in inner:
            yield from _rows(inner, f"{child_path}[]" if inner is not child else child_path)


def _type(node: Schema) -> str:
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    match node["type"]:
        case "integer":
            return f"integer, {node['minimum']} to {node['maximum']}"
        case "string" if node.get("format") == "date-time":
            return "time"
        case "string":
            return f"string, ≤ {node['maxLength']}"
        case "array":
            return f"list of {_type(node['items'])}, ≤ {node['maxItems']}"
        case "object" if "properties" not in node:
            return "map of strings"
        case other:
            return str(other)


def _default(node: Schema, *, required: bool) -> str:
    if required:
        return "**required**"
    if CODE_DEFAULT in node:
        return str(node[CODE_DEFAULT])
    value: Any = node.get("default")
    if value is None or isinstance(value, (dict, list, tuple)):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _rules(schema: Schema) -> str:
    messages = dict.fromkeys(_messages(schema))
    return "\n".join(f"- {_cell(message)}" for message in messages)


def _messages(node: Schema) -> Iterator[str]:
    yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
    for child in node.get("properties", {}).values():
        yield from _messages(child)
    if "items" in node:
        yield from _messages(node["items"])


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
