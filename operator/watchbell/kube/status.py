"""Writes the status of one object: only when it says something new, by server-side apply, only onto the very object that was judged.

Before it: a reconciler that has decided the whole of its status. After it: nobody; kopf and the informers see the change come back.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from watchbell.kube.client import Client, Resource
from watchbell.kube.errors import Conflict, NotFound
from watchbell.kube.resources import ObjectRef


class Written(StrEnum):
    """What became of a status."""

    UNCHANGED = "Unchanged"
    APPLIED = "Applied"
    GONE = "Gone"


async def write_status(
    client: Client,
    resource: Resource,
    ref: ObjectRef,
    wanted: Mapping[str, Any],
    current: Mapping[str, Any] | None,
    *,
    manager: str,
) -> Written:
    """`current` is what stands there as far as the caller knows (None = not known: write). GONE = deleted, or made anew under the name.

    Other ApiErrors are raised: the work queue comes back with back-off.
    """
    if current is not None and _comparable(current) == _comparable(wanted):
        return Written.UNCHANGED
    try:
        await client.apply_status(
            resource,
            ref.name,
            wanted,
            ref.namespace,
            manager=manager,
            api_version=ref.api_version,
            kind=ref.kind,
            uid=ref.uid,
        )
    except (NotFound, Conflict):
        return Written.GONE
    return Written.APPLIED


def _comparable(status: Mapping[str, Any]) -> dict[str, Any]:
    """Conditions are a map keyed by `type`: their order says nothing."""
    conditions = status.get("conditions")
    if not isinstance(conditions, list):
        return dict(status)
    return {**status, "conditions": {condition.get("type"): condition for condition in conditions}}
