"""What is due for an incident (pure): write it, tell it, tell it again, call it over, or leave it alone, each with its named reason.

Before: `incidents` folded what was found, `health` looked at the workload. After: `reconcile` does the one step and asks again. Every step is
recorded before or by its own doing, so a process that dies between two steps finds the same step due after its restart.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from watchbell.api.enums import Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.collectors.health import Health, Standing
from watchbell.collectors.incidents import Incident, Notification, Resolution
from watchbell.collectors.rules import Plan

LOOP_HOLD_S = 600.0
"""The kubelet forgets its back-off after ten minutes of running; until then a container that came back is still in its loop."""


class Step(StrEnum):
    """What to do next."""

    CREATE = "Create"
    NOTIFY = "Notify"
    DELIVER = "Deliver"
    RESOLVE = "Resolve"
    CLOSE = "Close"
    REST = "Rest"


class Rest(StrEnum):
    """Why nothing is done now."""

    WAITING_FOR_MORE = "WaitingForMore"
    TOLD = "Told"
    ACKNOWLEDGED = "Acknowledged"
    LAST_MAIL_WAITS = "LastMailWaits"
    READY_NOT_LONG_ENOUGH = "ReadyNotLongEnough"


@dataclass(frozen=True, slots=True)
class Decision:
    """One step. `transition` for NOTIFY, `reason` for RESOLVE, `rest` and `again_in_s` (None = when something happens) for REST."""

    step: Step
    transition: Transition | None = None
    reason: Reason | None = None
    rest: Rest | None = None
    again_in_s: float | None = None


def observe(incident: Incident, health: Health, now: datetime) -> Incident:
    """The incident with what the look at its workload says; the clock of readiness starts over whenever it fails."""
    if health.standing is Standing.FAILING:
        return incident if incident.healthy_since is None else replace(incident, healthy_since=None)
    return incident if incident.healthy_since is not None else replace(incident, healthy_since=now)


def decide(incident: Incident, health: Health, plan: Plan, now: datetime) -> Decision:
    """The next step. Whatever was found is told before it may be called over."""
    if not incident.uid:
        return Decision(Step.CREATE)
    if incident.pending is not None:
        return Decision(Step.DELIVER)
    if not incident.notifications and incident.resolution is None:
        wait_s = 0.0 if incident.severity is Severity.CRITICAL else plan.wait_s
        left_s = wait_s - (now - incident.start_time).total_seconds()
        if min(left_s, wait_s) > 0:
            return Decision(Step.REST, rest=Rest.WAITING_FOR_MORE, again_in_s=min(left_s, wait_s))
        return Decision(Step.NOTIFY, transition=Transition.FIRED)
    if incident.resolution is not None:
        return Decision(Step.CLOSE)
    if incident.healthy_since is not None:
        return _recovering(incident, health, plan, now)
    return _firing(incident, plan, now)


def _recovering(incident: Incident, health: Health, plan: Plan, now: datetime) -> Decision:
    since = incident.healthy_since or now
    loop_s = LOOP_HOLD_S if health.standing is Standing.READY and incident.is_looping else 0.0
    left_s = (since - now).total_seconds() + plan.resolve_after_s + loop_s
    if left_s > 0:
        return Decision(Step.REST, rest=Rest.READY_NOT_LONG_ENOUGH, again_in_s=left_s)
    reason = Reason.PODS_GONE if health.standing is Standing.GONE else Reason.HEALTHY_AGAIN
    return Decision(Step.RESOLVE, reason=reason)


def _firing(incident: Incident, plan: Plan, now: datetime) -> Decision:
    if incident.is_acknowledged:
        return Decision(Step.REST, rest=Rest.ACKNOWLEDGED)
    if plan.repeat_s <= 0:
        return Decision(Step.REST, rest=Rest.TOLD)
    left_s = (incident.notifications[-1].time - now).total_seconds() + plan.repeat_s
    if left_s > 0:
        return Decision(Step.REST, rest=Rest.TOLD, again_in_s=left_s)
    return Decision(Step.NOTIFY, transition=Transition.REPEATED)


def intend(incident: Incident, transition: Transition, now: datetime) -> Incident:
    """The incident with one more telling intended."""
    last = incident.notifications[-1].sequence if incident.notifications else 0
    return replace(incident, notifications=(*incident.notifications, Notification(last + 1, transition, now)))


def settle(incident: Incident, messages: tuple[str, ...]) -> Incident:
    """The incident whose pending telling is in the outbox under these names."""
    done = tuple(
        item if item.messages is not None else replace(item, messages=messages) for item in incident.notifications
    )
    return replace(incident, notifications=done)


def resolve(incident: Incident, reason: Reason, plan: Plan | None, now: datetime) -> Incident:
    """The incident called over; with a telling of that where somebody wants it (`plan` None = nobody is left to tell)."""
    over = replace(incident, resolution=Resolution(reason, now))
    return intend(over, Transition.RESOLVED, now) if plan is not None and plan.tells_resolved else over
