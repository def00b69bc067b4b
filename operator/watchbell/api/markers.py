"""What pydantic cannot say about a field of a Kubernetes object: CEL rules, list types, defaults that live in the code.

The models wear these; `schema` writes them into the CRDs, and `meta.parse` checks the same rules in Python, for objects that were there before a
rule was. Each rule is therefore written once, with both forms side by side.
"""

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

JsonSchema = dict[str, Any]
"""As pydantic has it; its own alias would cost an import of 20 ms at start."""

CODE_DEFAULT = "x-watchbell-code-default"
"""Marks a field whose default is applied by the code and never persisted: in list items (GitOps tools take such defaults for drift), and where
it may change."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over several fields of one block.

    `field` is the JSON path, below the block, of the field to blame. `check` is the same as `cel` for a parsed block; None where only the API
    server can know (a rule about the old object).
    """

    cel: str
    message: str
    field: str = ""
    check: Callable[[Any], bool] | None = None

    def as_schema(self) -> dict[str, str]:
        """One entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        return entry | {"fieldPath": self.field} if self.field else entry


def immutable(message: str) -> Rule:
    """The block may be set once and never changed."""
    return Rule("self == oldSelf", message)


@dataclass(frozen=True, slots=True)
class Matches:
    """The whole text must match `pattern` (RE2 and Python mean the same by it; no anchors)."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        fullmatch, message = re.compile(self.pattern, re.ASCII).fullmatch, self.message

        def check(value: str) -> str:
            if fullmatch(value) is None:
                raise PydanticCustomError("rule", "{message}", {"message": message})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return _with_rule(handler(schema), f"self.matches({cel_string(_re2(f'^(?:{self.pattern})$'))})", self.message)


@dataclass(frozen=True, slots=True)
class NoneOf:
    """The text, in lower case, may not be one of `words`."""

    words: tuple[str, ...]
    message: str

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        words, message = frozenset(self.words), self.message

        def check(value: str) -> str:
            if value.lower() in words:
                raise PydanticCustomError("rule", "{message}", {"message": message})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        words = ", ".join(cel_string(word) for word in self.words)
        return _with_rule(handler(schema), f"!(self.lowerAscii() in [{words}])", self.message)


@dataclass(frozen=True, slots=True)
class ListSet:
    """`x-kubernetes-list-type: set`: scalars, each once; several appliers may add their own."""

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_each_once(lambda item: item), handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return handler(schema) | {"x-kubernetes-list-type": "set"}


@dataclass(frozen=True, slots=True)
class ListMap:
    """`x-kubernetes-list-type: map`: each item is found by `key` (and `second`, if set), which must be required and unique together."""

    key: str
    second: str = ""

    def __get_pydantic_core_schema__(self, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        key, second = self.key, self.second

        def identity(item: object) -> Hashable:
            return (getattr(item, key), getattr(item, second)) if second else getattr(item, key)

        return core_schema.no_info_after_validator_function(_each_once(identity), handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        keys = [self.key, self.second] if self.second else [self.key]
        return handler(schema) | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}


@dataclass(frozen=True, slots=True)
class ListAtomic:
    """`x-kubernetes-list-type: atomic`: one applier owns the whole list; order and repetition count."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return handler(schema) | {"x-kubernetes-list-type": "atomic"}


@dataclass(frozen=True, slots=True)
class InCode:
    """The default of this field is applied by the code; `text` says it in the documentation."""

    text: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return handler(schema) | {CODE_DEFAULT: self.text}


def cel_string(text: str) -> str:
    """A CEL string literal: raw where the text allows it, for regular expressions stay readable that way."""
    if "'" not in text and "\n" not in text:
        return f"r'{text}'" if "\\" in text else f"'{text}'"
    if '"' not in text:
        return f'r"{text}"'
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _re2(pattern: str) -> str:
    """Characters beyond ASCII as RE2 escapes them: the CRD stays readable."""
    return "".join(char if char.isascii() else f"\\x{{{ord(char):x}}}" for char in pattern)


def _with_rule(schema: JsonSchema, cel: str, message: str) -> JsonSchema:
    rules = [*schema.get("x-kubernetes-validations", []), {"rule": cel, "message": message}]
    return schema | {"x-kubernetes-validations": rules}


def _each_once(key: Callable[[Any], Hashable]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        seen: set[Hashable] = set()
        for index, item in enumerate(items):
            if key(item) in seen:
                raise PydanticCustomError(
                    "rule", "{message}", {"message": f"may not be {key(item)} again", "index": index}
                )
            seen.add(key(item))
        return items

    return check
