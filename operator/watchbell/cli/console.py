"""What the verbs print: tables as kubectl prints them, objects as YAML, JSON or names, and errors as one sentence.

Data goes to stdout, everything else to stderr. Text that somebody else wrote is made harmless for a terminal first.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from watchbell.api.names import GROUP

Body = Mapping[str, Any]
NONE = "<none>"
UNKNOWN = "<unknown>"


class CommandError(Exception):
    """What a verb cannot do, as one sentence; `code` is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def complain(message: object) -> None:
    """One line on stderr."""
    print(f"watchbell: {harmless(' '.join(str(message).split()))}", file=sys.stderr)


def harmless(text: str) -> str:
    """Without what could steer a terminal or turn the reading direction; line breaks become spaces."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, has_titles: bool = True) -> None:
    """Columns as wide as they must be, three spaces between them; an empty cell is `<none>`."""
    cells = [[harmless(cell) or NONE for cell in row] for row in rows]
    lines = ([list(titles)] if has_titles else []) + cells
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_object(body: Body, form: str) -> None:
    """One object as `yaml`, `json` or `name`."""
    if form == "name":
        print(object_name(body))
    else:
        print_data(_lean(body), form)


def print_data(body: Body, form: str) -> None:
    """What is no object, as `yaml` or `json`."""
    print(as_json(body) if form == "json" else as_yaml(body), end="")


def print_list(bodies: Sequence[Body], form: str) -> None:
    """Several objects as a `List`, or their names."""
    if form == "name":
        for body in bodies:
            print(object_name(body))
        return
    print_object({"apiVersion": "v1", "kind": "List", "items": [_lean(body) for body in bodies]}, form)


def as_yaml(body: Body) -> str:
    """YAML in the order of the fields, for Git and for eyes."""
    return str(yaml.safe_dump(dict(body), sort_keys=False, allow_unicode=True, width=120))


def as_json(body: Body) -> str:
    """JSON as kubectl indents it."""
    return json.dumps(dict(body), indent=4, ensure_ascii=False) + "\n"


def object_name(body: Body) -> str:
    """`alertsilence.watchbell.dev/maintenance`, as `kubectl -o name` prints it."""
    return f"{str(body['kind']).lower()}.{GROUP}/{body['metadata']['name']}"


def _lean(body: Body) -> dict[str, Any]:
    metadata = body.get("metadata")
    if not isinstance(metadata, Mapping):
        return dict(body)
    return {**body, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
