"""What pydantic finds wrong with a body, as sentences that an operator of a cluster understands. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


@dataclass(frozen=True, slots=True)
class Problem:
    """One field that is wrong: its path as JSON (`spec.routes[0].to[1]`) and what must change. Never holds the value itself."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "must be set",
    "rule": lambda context: str(context["message"]),
    "enum": lambda context: f"must be one of {str(context['expected']).replace(' or ', ', ')}",
    "string_too_short": lambda context: f"must have at least {context['min_length']} characters",
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
    "too_short": lambda context: f"must have at least {context['min_length']} items",
    "too_long": lambda context: f"must have at most {context['max_length']} items",
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "string_type": lambda _: "must be a text",
    "int_type": lambda _: "must be a whole number",
    "bool_type": lambda _: "must be true or false",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a map",
    "mapping_type": lambda _: "must be a map",
    "model_type": lambda _: "must be an object",
    "timezone_aware": lambda _: "must be a time with its zone, such as 2026-01-31T08:00:00Z",
    "datetime_from_date_parsing": lambda _: "must be a time such as 2026-01-31T08:00:00Z",
    "datetime_parsing": lambda _: "must be a time such as 2026-01-31T08:00:00Z",
    "datetime_type": lambda _: "must be a time such as 2026-01-31T08:00:00Z",
}


def plain_problems(error: ValidationError) -> tuple[Problem, ...]:
    """Every problem outside of status, in the order of the fields."""
    details = error.errors(include_url=False, include_input=False)
    return tuple(
        Problem(_path(detail), _sentence(detail["type"], detail.get("ctx", {}), detail["msg"]))
        for detail in details
        if detail["loc"][:1] != ("status",) and not _is_echo(detail, details)
    )


def json_path(parts: Sequence[str | int]) -> str:
    """`("spec", "routes", 0, "to")` → `spec.routes[0].to`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _is_echo(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """A list of only wrong items is called empty by pydantic, which counts the right ones."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details
    )


def _path(detail: ErrorDetails) -> str:
    index = detail.get("ctx", {}).get("index") if detail["type"] == "rule" else None
    return json_path(detail["loc"] if index is None else (*detail["loc"], index))


def _sentence(kind: str, context: Mapping[str, Any], fallback: str) -> str:
    sentence = _SENTENCES.get(kind)
    return sentence(context) if sentence else fallback
