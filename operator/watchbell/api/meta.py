"""The frame of every object of the API, and the one door through which a body from the API server becomes a model.

Before: JSON as it came. After: a frozen model, or plain sentences with the path of each field that is wrong. No exception crosses it for bad input.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    ValidationError,
)
from pydantic_core import CoreSchema

from watchbell.api.enums import SelectorOperator
from watchbell.api.fields import Name
from watchbell.api.markers import JsonSchema, ListAtomic, ListMap, Rule
from watchbell.api.problems import Problem, json_path, plain_problems

__all__ = [
    "Block",
    "LabelSelector",
    "LocalRef",
    "ObjectMeta",
    "Problem",
    "Resource",
    "SelectorOperator",
    "SelectorRule",
    "Spec",
    "Status",
    "parse",
]

MAX_GENERATION = 9_007_199_254_740_991
_ACRONYMS = {"url": "URL", "id": "ID", "tls": "TLS"}


def camel(name: str) -> str:
    """`token_url` → `tokenURL`; a trailing underscore, which keeps clear of Python's keywords, is dropped."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class Block(BaseModel):
    """A part of an object. Unknown fields are ignored: a newer CRD may have them."""

    model_config = ConfigDict(
        alias_generator=camel, populate_by_name=True, extra="ignore", frozen=True, defer_build=True
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()
    ABSENT: ClassVar[frozenset[str]] = frozenset()
    """Attributes that a class inherits but that its kind does not have in the API."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        """The schema with the rules over several fields, and without what the kind lacks."""
        reference = handler(schema)
        own = handler.resolve_ref_schema(reference)
        rules = [rule.as_schema() for rule in cls.RULES]
        if rules:
            own["x-kubernetes-validations"] = rules
        for attribute in cls.ABSENT:
            del own["properties"][camel(attribute)]
        return reference


class OwnerReference(Block):
    """Who owns the object."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(Block):
    """What the operator reads of an object's metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    annotations: Mapping[str, str] = Field(default_factory=dict)
    labels: Mapping[str, str] = Field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class Spec(Block):
    """What users want."""


class StatusCondition(Block):
    """One condition, as the Kubernetes API conventions define it."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(
        description="What the condition is about."
    )
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})] = Field(
        description="True, False or Unknown.", max_length=7
    )
    reason: Annotated[
        str,
        StringConstraints(min_length=1, max_length=1024),
        Field(json_schema_extra={"pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"}),
    ] = Field(description="Why, in one word of a closed set.")
    message: Annotated[str, StringConstraints(max_length=32768)] = Field(description="Why, for people.")
    last_transition_time: AwareDatetime = Field(description="When the status last changed.")
    observed_generation: Annotated[int, Field(ge=0, le=MAX_GENERATION)] | None = Field(
        None, description="The generation of the spec that the condition is about."
    )


class Status(Block):
    """What the operator found; it writes nothing else."""

    observed_generation: Annotated[int, Field(ge=-1, le=MAX_GENERATION)] | None = Field(
        None,
        description="The generation of the spec that this status is about; -1 until it was seen for the first time.",
    )
    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=16), ListMap("type")] = Field(
        (), description="The conditions; their reasons stand on the page conditions-and-reasons."
    )


class Resource(Block):
    """One object of the group `watchbell.dev`."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)


class LocalRef(Block):
    """An object by name. References never carry a namespace: which one it is follows from the kind that refers."""

    name: Name = Field(description="The object's name.")


class SelectorRule(Block):
    """One expression of a label selector."""

    RULES = (
        Rule(
            "self.operator in ['Exists', 'DoesNotExist'] || (has(self.values) && size(self.values) > 0)",
            "values must be set with operator In or NotIn",
            ".values",
            lambda rule: (
                rule.operator in {SelectorOperator.EXISTS, SelectorOperator.DOES_NOT_EXIST} or bool(rule.values)
            ),
        ),
        Rule(
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            "values may not be set with operator Exists or DoesNotExist",
            ".values",
            lambda rule: rule.operator in {SelectorOperator.IN, SelectorOperator.NOT_IN} or not rule.values,
        ),
    )

    key: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(description="The label's key.")
    operator: SelectorOperator = Field(description="How the label is compared.")
    values: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=63)], ...], Field(max_length=64), ListAtomic()
    ] = Field((), description="The values for In and NotIn.")


class LabelSelector(Block):
    """A Kubernetes label selector: all of it must hold."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: Annotated[
        Mapping[Annotated[str, StringConstraints(max_length=316)], Annotated[str, StringConstraints(max_length=63)]],
        Field(max_length=32),
    ] = Field(default_factory=dict, description="Labels that must have exactly these values.")
    match_expressions: Annotated[tuple[SelectorRule, ...], Field(max_length=32), ListAtomic()] = Field(
        (), description="Expressions that must all hold."
    )


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether the selector picks `labels`: all of matchLabels and matchExpressions must hold."""
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    return all(_holds(rule, labels.get(rule.key)) for rule in selector.match_expressions)


def _holds(rule: SelectorRule, value: str | None) -> bool:
    match rule.operator:
        case SelectorOperator.IN:
            return value in rule.values
        case SelectorOperator.NOT_IN:
            return value not in rule.values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None


M = TypeVar("M", bound=Resource)


def parse(model: type[M], body: Mapping[str, Any]) -> M | tuple[Problem, ...]:
    """The body as `model`, or every problem found in it (the rules over several fields are looked at once each field is right).

    A broken status is no problem of the user's: the fields that are wrong are left out.
    """
    try:
        resource = model.model_validate(body)
    except ValidationError as error:
        problems = plain_problems(error)
        if problems:
            return problems
        resource = model.model_validate(_without_broken_status(body, error))
    return tuple(_broken_rules(resource)) or resource


def _without_broken_status(body: Mapping[str, Any], error: ValidationError) -> dict[str, Any]:
    status = body["status"]
    broken = {detail["loc"][1] for detail in error.errors(include_url=False) if len(detail["loc"]) > 1}
    kept = {key: value for key, value in status.items() if key not in broken} if isinstance(status, Mapping) else {}
    return {**body, "status": kept}


def _broken_rules(resource: Resource) -> Iterator[Problem]:
    spec = getattr(resource, "spec", None)
    return _walk(spec, ("spec",)) if isinstance(spec, Block) else iter(())


def _walk(block: Block, path: tuple[str | int, ...]) -> Iterator[Problem]:
    for rule in block.RULES:
        if rule.check is not None and not rule.check(block):
            yield Problem(json_path(path) + rule.field, rule.message)
    for name, value in block.__dict__.items():
        if isinstance(value, Block):
            yield from _walk(value, (*path, camel(name)))
        elif isinstance(value, tuple) and value and isinstance(value[0], Block):
            for index, item in enumerate(value):
                yield from _walk(item, (*path, camel(name), index))
