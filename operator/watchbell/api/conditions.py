"""Conditions: what is wanted, merged with what stands there. Pure; the clock comes in.

Before: a decision about an object. After: the list that one server-side apply writes, whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from watchbell.api.reasons import Reason
from watchbell.api.times import stamp

MAX_MESSAGE_CHARACTERS = 32_768


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as it should stand."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str


def merge(
    existing: Sequence[Mapping[str, Any]], wanted: Sequence[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Exactly `wanted`, by type, as JSON. `lastTransitionTime` moves only when a status flips (API conventions)."""
    by_type = {condition.get("type"): condition for condition in existing}
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "reason": str(condition.reason),
            "message": condition.message[:MAX_MESSAGE_CHARACTERS],
            "lastTransitionTime": _since(by_type.get(condition.type), condition, now),
            "observedGeneration": generation,
        }
        for condition in sorted(wanted, key=lambda condition: condition.type)
    ]


def find(conditions: Sequence[Mapping[str, Any]], type_: str) -> Mapping[str, Any] | None:
    """The condition of this type, if there is one."""
    return next((condition for condition in conditions if condition.get("type") == type_), None)


def condition_of(body: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """The condition of this type that stands in an object; empty where there is none, and in what is no object of the API."""
    status = body.get("status")
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    return find(conditions, type_) or {} if isinstance(conditions, list | tuple) else {}


def is_ready(body: Mapping[str, Any]) -> bool:
    """Whether an object (a pod, too) says of itself that it is Ready."""
    return condition_of(body, "Ready").get("status") == "True"


def _since(existing: Mapping[str, Any] | None, wanted: Condition, now: datetime) -> str:
    if existing is not None and existing.get("status") == wanted.status and existing.get("lastTransitionTime"):
        return str(existing["lastTransitionTime"])
    return stamp(now)
