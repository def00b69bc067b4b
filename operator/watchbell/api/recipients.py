"""To whom a mail goes: the lists that messages, tests and routes share, and the rule that they are not all empty."""

from typing import Annotated, Protocol

from pydantic import Field

from watchbell.api import fields as f
from watchbell.api.markers import ListSet, Rule

MAX_RECIPIENTS = 100
MAX_ROUTE_RECIPIENTS = 50
"""For each list of a route: eight routes of more would cost the API server more than a rule may."""

ToList = Annotated[tuple[f.To, ...], Field(max_length=MAX_RECIPIENTS), ListSet()]
CcList = Annotated[tuple[f.Cc, ...], Field(max_length=MAX_RECIPIENTS), ListSet()]
BccList = Annotated[tuple[f.Bcc, ...], Field(max_length=MAX_RECIPIENTS), ListSet()]
RouteToList = Annotated[tuple[f.To, ...], Field(max_length=MAX_ROUTE_RECIPIENTS), ListSet()]
RouteCcList = Annotated[tuple[f.Cc, ...], Field(max_length=MAX_ROUTE_RECIPIENTS), ListSet()]
RouteBccList = Annotated[tuple[f.Bcc, ...], Field(max_length=MAX_ROUTE_RECIPIENTS), ListSet()]
ReplyToList = Annotated[tuple[f.ReplyTo, ...], Field(max_length=5), ListSet()]


class _Addressed(Protocol):
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]


def _count(block: _Addressed) -> int:
    return len(block.to) + len(block.cc) + len(block.bcc)


_SIZE = " + ".join(f"(has(self.{field}) ? size(self.{field}) : 0)" for field in ("to", "cc", "bcc"))

_NOT_TOO_MANY = Rule(
    f"{_SIZE} <= {MAX_RECIPIENTS}",
    f"to, cc and bcc may not name more than {MAX_RECIPIENTS} recipients together",
    ".to",
    lambda block: _count(block) <= MAX_RECIPIENTS,
)

RECIPIENT_RULES = (
    Rule(f"{_SIZE} > 0", "to, cc or bcc must name at least one recipient", ".to", lambda block: _count(block) > 0),
    _NOT_TOO_MANY,
)

ROUTE_RECIPIENT_RULES = (
    Rule(
        f"{_SIZE} > 0 || (has(self.toFrom) && size(self.toFrom) > 0)",
        "to, cc, bcc or toFrom must name at least one recipient",
        ".to",
        lambda route: _count(route) > 0 or bool(route.to_from),
    ),
    _NOT_TOO_MANY,
)
