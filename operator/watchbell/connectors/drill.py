"""Fire drills: when the next proof mail is due, what it is, and what those before it prove. Pure; the time comes in.

Before: `drills` has the connector's spec and the drills that stand in the cluster. After: it makes the message and writes the condition `Proven`.
A drill's name follows from the connector's uid and the number of its period, so a process that takes over makes none twice.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from watchbell.api.conditions import Condition, find
from watchbell.api.enums import BuiltinTemplate, ConnectorKind
from watchbell.api.names import API_VERSION, LABEL_DRILL, LABEL_MANAGED_BY
from watchbell.api.reasons import Reason
from watchbell.api.times import stamp
from watchbell.mail.builtin import FACTS, pack_drill
from watchbell.mail.drill import DrillFacts, subject_of
from watchbell.outbox.outlet import ConnectorKey

PROVEN = "Proven"
LAST_PROVEN = "lastProvenDeliveryTime"
MANAGED_BY = "watchbell"
_STEM_MAX = 40
_GRACE_MIN_S = 300
_TTL_MAX_S = 31_536_000
_DEADLINE_MAX_S = 2_592_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A connector's drill. `uid` is the connector's."""

    key: ConnectorKey
    uid: str
    period_s: int
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drill:
    """One that stands in the cluster: `succeeded` as its condition of that name, `message` what it says."""

    name: str
    created: datetime
    completed: datetime | None = None
    succeeded: Literal["True", "False", "Unknown"] = "Unknown"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known now: the condition, the last proof, the period whose drill is to be made (None: it is there), and when to look again."""

    condition: Condition
    proven: datetime | None
    missing: int | None
    again: datetime


def number_at(plan: Plan, now: datetime) -> int:
    """The number of the period. Each connector's periods begin at a moment of its own, so that a thousand do not drill at once."""
    return int((now.timestamp() - _offset_s(plan)) // plan.period_s)


def begins(plan: Plan, number: int) -> datetime:
    """When that period begins."""
    return datetime.fromtimestamp(number * plan.period_s + _offset_s(plan), UTC)


def _offset_s(plan: Plan) -> int:
    return int(hashlib.sha256(plan.uid.encode()).hexdigest()[:8], 16) % plan.period_s


def name_of(plan: Plan, number: int) -> str:
    """The one EmailMessage of this period. With another `periodSeconds` it is another period."""
    digest = hashlib.sha256(f"{plan.uid}\0{plan.period_s}\0{number}".encode()).hexdigest()[:12]
    return f"{plan.key.name[:_STEM_MAX].rstrip('-.')}-drill-{digest}"


def grace_s(plan: Plan) -> float:
    """How long a drill may take before it is late: a greylisting, a restart of the relay."""
    return max(_GRACE_MIN_S, plan.period_s / 10)


def suspended(proven: datetime | None, again: datetime) -> Standing:
    """No drill while mail is held."""
    return Standing(
        Condition(PROVEN, "Unknown", Reason.SUSPENDED, "spec.suspend is set: no drills"), proven, None, again
    )


def assess(plan: Plan, drills: Sequence[Drill], known: datetime | None, now: datetime) -> Standing:
    """Where the connector stands. `known`: the last proof that is remembered, should its message be gone."""
    number = number_at(plan, now)
    proofs = [one.completed for one in drills if one.succeeded == "True" and one.completed]
    proven = max([*proofs, *([known] if known else [])], default=None)
    first = min((one.created for one in drills), default=now)
    late = proven + timedelta(seconds=plan.period_s) if proven else first
    late += timedelta(seconds=grace_s(plan))
    failures = [one for one in drills if one.succeeded == "False" and one.completed]
    failed = max(failures, key=lambda one: one.completed or first, default=None)
    is_failed = failed is not None and (proven is None or (failed.completed or first) > proven)
    condition = _failed(failed) if failed is not None and is_failed else _timely(proven, late, now)
    again = min(begins(plan, number + 1), late) if late > now else begins(plan, number + 1)
    wanted = name_of(plan, number)
    return Standing(condition, proven, None if any(one.name == wanted for one in drills) else number, again)


def _failed(drill: Drill) -> Condition:
    return Condition(PROVEN, "False", Reason.DRILL_FAILED, f"drill {drill.name}: {drill.message}"[:1024])


def _timely(proven: datetime | None, late: datetime, now: datetime) -> Condition:
    if proven is None:
        if now < late:
            return Condition(PROVEN, "Unknown", Reason.DRILL_PENDING, "the first drill is on its way")
        return Condition(PROVEN, "False", Reason.DRILL_LATE, f"the first drill was due to be accepted by {stamp(late)}")
    told = f"the server accepted the drill of {stamp(proven)}"
    if now < late:
        return Condition(PROVEN, "True", Reason.PROVEN, told)
    return Condition(PROVEN, "False", Reason.DRILL_LATE, f"{told}, and the next was due by {stamp(late)}")


def message_of(plan: Plan, number: int, home: str, facts: tuple[str, str]) -> dict[str, Any]:
    """The EmailMessage of a drill. `facts`: the cluster's name and the endpoint. A cluster connector's drill lives in `home`."""
    cluster, endpoint = facts
    key = plan.key
    drill = DrillFacts(cluster, key.namespace, key.name, endpoint, plan.period_s, begins(plan, number))
    owner = {"apiVersion": API_VERSION, "kind": str(key.kind), "name": key.name, "uid": plan.uid, "controller": True}
    return {
        "apiVersion": API_VERSION,
        "kind": "EmailMessage",
        "metadata": {
            "name": name_of(plan, number),
            "namespace": namespace_of(key, home),
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_DRILL: str(number)},
            "ownerReferences": [owner],
        },
        "spec": {
            "connectorRef": {"kind": str(key.kind), "name": key.name},
            "to": list(plan.to),
            "subject": subject_of(drill),
            "templateRef": {"builtin": str(BuiltinTemplate.DRILL)},
            "parameters": [{"name": FACTS, "value": pack_drill(drill)}],
            # One at a time, and kept until its name cannot be wanted any more.
            "activeDeadlineSeconds": min(plan.period_s, _DEADLINE_MAX_S),
            "ttlSecondsAfterFinished": min(2 * plan.period_s, _TTL_MAX_S),
        },
    }


def namespace_of(key: ConnectorKey, home: str) -> str:
    """Where a connector's drills live."""
    return home if key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR else key.namespace


def without_drill(status: Mapping[str, Any]) -> dict[str, Any]:
    """A connector's status without what its drills say, which another field manager writes."""
    conditions = [one for one in status.get("conditions") or () if one.get("type") != PROVEN]
    rest = {name: value for name, value in status.items() if name not in {LAST_PROVEN, "conditions"}}
    return rest | ({"conditions": conditions} if "conditions" in status else {})


def with_drill(status: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """A new status with what the drills said in the one before it."""
    said = find(before.get("conditions") or (), PROVEN)
    kept = {LAST_PROVEN: before[LAST_PROVEN]} if LAST_PROVEN in before else {}
    conditions = [*(status.get("conditions") or ()), *([said] if said else [])]
    return {**status, **kept, "conditions": conditions}
