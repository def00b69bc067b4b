"""What is due for an incident (pure): write it, tell it, tell it again, call it over, or leave it alone, each with its named reason.

Before: `folding` put in what was found, `health` looked at the workload, a silence or another incident may hold it back. After: `desk` does the one
step and asks again. Every step is recorded before or by its own doing, so a process that dies between two steps finds the same step due after its
restart. When a telling goes, and in which mail, is for `batches` to say.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from watchbell.api.enums import Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.collectors.casework.health import WELL, Health, Standing
from watchbell.collectors.casework.incidents import Family, Incident, Notification, Resolution, is_worse, relapsed
from watchbell.collectors.rules import Plan

LOOP_HOLD_S = 600.0
"""The kubelet forgets its back-off after ten minutes of running; until then a container that came back is still in its loop."""
INTERVAL_FACTOR = 1.5
HOLD_MAX_S = 3600.0


class Step(StrEnum):
    """What to do next."""

    CREATE = "Create"
    NOTIFY = "Notify"
    DELIVER = "Deliver"
    WITHDRAW = "Withdraw"
    RELAPSE = "Relapse"
    HOLD = "Hold"
    RESOLVE = "Resolve"
    CLOSE = "Close"
    REST = "Rest"


class Rest(StrEnum):
    """Why nothing is done, or nobody is told, now."""

    WAITING_FOR_MORE = "WaitingForMore"
    TOLD = "Told"
    ACKNOWLEDGED = "Acknowledged"
    LAST_MAIL_WAITS = "LastMailWaits"
    READY_NOT_LONG_ENOUGH = "ReadyNotLongEnough"
    SILENCED = "Silenced"
    INHIBITED = "Inhibited"
    HELD_FOR_DIGEST = "HeldForDigest"
    THROTTLED = "Throttled"
    BEING_TOLD = "BeingTold"
    RECIPIENTS_NOT_FOUND = "RecipientsNotFound"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nobody is told of an incident now: a silence (by name, with when it ends) or another incident that hides it."""

    rest: Rest
    by: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """One step. `transition` for NOTIFY, `reason` for RESOLVE, `rest` and `again_in_s` (None = when something happens) for REST."""

    step: Step
    transition: Transition | None = None
    reason: Reason | None = None
    rest: Rest | None = None
    again_in_s: float | None = None


def observe(incident: Incident, health: Health, now: datetime) -> Incident:
    """The incident with what the look at its workload says; the clock of readiness starts over whenever it fails, or nobody can tell."""
    if health.standing not in WELL:
        return incident if incident.healthy_since is None else replace(incident, healthy_since=None)
    return incident if incident.healthy_since is not None else replace(incident, healthy_since=now)


def decide(incident: Incident, health: Health, plan: Plan, now: datetime, hold: Hold | None = None) -> Decision:
    """The next step. Whatever was found is told before it may be called over, unless something holds it back."""
    if not incident.uid:
        return Decision(Step.CREATE)
    if incident.pending is not None:
        return _pending(incident, incident.pending, health, hold)
    if incident.resolution is not None:
        return Decision(Step.CLOSE)
    if hold is not None and hold.rest is Rest.SILENCED and incident.silenced_by != hold.by and _is_held(incident):
        return Decision(Step.HOLD)
    if hold is None and not incident.notifications:
        return _first(incident, plan, now)
    if incident.healthy_since is not None:
        return _recovering(incident, health, plan, now, hold)
    return _firing(incident, plan, now, hold)


def _pending(incident: Incident, pending: Notification, health: Health, hold: Hold | None) -> Decision:
    if incident.is_under_way:
        return Decision(Step.DELIVER)
    if pending.transition is not Transition.RESOLVED:
        is_stale = pending.transition is Transition.REPEATED and (
            incident.is_acknowledged or incident.healthy_since is not None
        )
        return Decision(Step.WITHDRAW if is_stale or hold is not None else Step.DELIVER)
    if health.standing is Standing.FAILING:
        return Decision(Step.RELAPSE)
    if hold is None or hold.rest is not Rest.SILENCED:
        return Decision(Step.DELIVER)
    if incident.silenced_by != hold.by:
        return Decision(Step.HOLD)
    return Decision(Step.REST, rest=hold.rest)


def _is_held(incident: Incident) -> bool:
    """Whether there is anything that a silence keeps from people; who was told already misses only reminders."""
    return not incident.notifications or needs_escalation(incident)


def _first(incident: Incident, plan: Plan, now: datetime) -> Decision:
    most_s = wait_s(incident, plan)
    left_s = min(most_s - (now - incident.start_time).total_seconds(), most_s)
    if left_s > 0 and plan.max_incidents == 1:
        return Decision(Step.REST, rest=Rest.WAITING_FOR_MORE, again_in_s=left_s)
    return Decision(Step.NOTIFY, transition=Transition.FIRED)


def wait_s(incident: Incident, plan: Plan) -> float:
    """How long a telling waits for company. What a silence held back has waited enough."""
    return 0.0 if incident.severity is Severity.CRITICAL or incident.silenced_by else plan.wait_s


def hold_s(incident: Incident, health: Health, plan: Plan) -> float:
    """How long it must have been well: longer than the interval at which it comes back, and longer than the kubelet remembers a loop."""
    loop_s = LOOP_HOLD_S if health.standing is Standing.READY and incident.is_looping else 0.0
    return max(plan.resolve_after_s + loop_s, min(INTERVAL_FACTOR * incident.interval_s, HOLD_MAX_S))


def _recovering(incident: Incident, health: Health, plan: Plan, now: datetime, hold: Hold | None) -> Decision:
    since = incident.healthy_since or now
    left_s = (since - now).total_seconds() + hold_s(incident, health, plan)
    if left_s > 0:
        rest = hold.rest if hold is not None else Rest.READY_NOT_LONG_ENOUGH
        return Decision(Step.REST, rest=rest, again_in_s=left_s)
    if health.standing is Standing.GONE:
        return Decision(Step.RESOLVE, reason=Reason.PODS_GONE)
    is_drift = incident.group.family is Family.DRIFT
    return Decision(Step.RESOLVE, reason=Reason.BACK_TO_BASELINE if is_drift else Reason.HEALTHY_AGAIN)


def _firing(incident: Incident, plan: Plan, now: datetime, hold: Hold | None) -> Decision:
    if hold is not None:
        return Decision(Step.REST, rest=hold.rest)
    if needs_escalation(incident):
        return Decision(Step.NOTIFY, transition=Transition.ESCALATED)
    if incident.is_acknowledged:
        return Decision(Step.REST, rest=Rest.ACKNOWLEDGED)
    if plan.repeat_s <= 0:
        return Decision(Step.REST, rest=Rest.TOLD)
    left_s = (incident.notifications[-1].time - now).total_seconds() + plan.repeat_s
    if left_s > 0:
        return Decision(Step.REST, rest=Rest.TOLD, again_in_s=left_s)
    return Decision(Step.NOTIFY, transition=Transition.REPEATED)


def needs_escalation(incident: Incident) -> bool:
    """Whether it is worse now than people were told."""
    told = incident.told
    return told is not None and told.severity is not None and is_worse(incident.severity, told.severity)


def intend(incident: Incident, transition: Transition, now: datetime) -> Incident:
    """The incident with one more telling intended."""
    last = incident.notifications[-1].sequence if incident.notifications else 0
    return replace(incident, notifications=(*incident.notifications, Notification(last + 1, transition, now)))


def settle(incident: Incident, messages: tuple[str, ...], now: datetime | None = None) -> Incident:
    """The incident whose pending telling is in the outbox under these names; whatever a silence held back of it is told with that.

    `now`: when it was told, which may be long after it was intended.
    """
    done = tuple(
        item
        if item.messages is not None
        else replace(item, messages=messages, severity=incident.severity, time=now or item.time)
        for item in incident.notifications
    )
    return replace(incident, notifications=done, silenced_by="", is_under_way=False)


def withdraw(incident: Incident) -> Incident:
    """The incident without the telling that is not wanted any more and that nobody got."""
    return replace(incident, notifications=incident.notifications[:-1]) if incident.pending else incident


def relapse(incident: Incident) -> Incident:
    """It fails again before anybody heard that it was over."""
    return relapsed(incident)


def silence(incident: Incident, hold: Hold) -> Incident:
    """The incident with the silence that keeps something of it from people."""
    return replace(incident, silenced_by=hold.by)


def resolve(incident: Incident, reason: Reason, plan: Plan | None, now: datetime, hold: Hold | None = None) -> Incident:
    """The incident called over; with a telling of that where somebody wants it (`plan` None = nobody is left to tell).

    What nobody ever heard of needs no end, unless a silence kept it from them: its end mail lists what came and went.
    """
    over = replace(incident, resolution=Resolution(reason, now))
    if plan is None:
        return over
    if incident.notifications:
        return intend(over, Transition.RESOLVED, now) if plan.tells_resolved else over
    is_silenced = hold is not None and hold.rest is Rest.SILENCED
    return intend(over, Transition.RESOLVED, now) if is_silenced else over
