"""Fields that a manifest has and its kind does not (pure): the API server drops them without a word, so a slip looks like a setting."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from watchbell.api.meta import Block, Resource
from watchbell.api.schema import Schema, structural
from watchbell.mail.nearest import nearest

MAX_TOLD = 20


def strays(model: type[Resource], spec: Mapping[str, Any], path: str) -> list[str]:
    """One sentence for each stray field below `spec`, with the nearest one that there is."""
    return [told for told, _ in zip(_walk(_schema(model), spec, path), range(MAX_TOLD), strict=False)]


@lru_cache(maxsize=32)
def _schema(model: type[Resource]) -> Schema:
    block = model.model_fields["spec"].annotation
    if not isinstance(block, type) or not issubclass(block, Block):
        raise TypeError(f"{model.__name__} has no spec")
    return structural(block)


def _walk(schema: Schema, node: object, path: str) -> Iterator[str]:
    known = schema.get("properties")
    if isinstance(node, Mapping) and isinstance(known, Mapping):
        for key, value in node.items():
            if key in known:
                yield from _walk(known[key], value, f"{path}.{key}")
            else:
                near = nearest(str(key), known)
                yield f"{path}.{key}: there is no such field" + (f"; did you mean {near}?" if near else "")
    elif isinstance(node, list | tuple) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(node):
            yield from _walk(schema["items"], item, f"{path}[{index}]")
