"""The status of an AccountRecovery: what its message says of itself, or what keeps the message from being made. Pure.

kstatus reads the result: `Reconciling` while it goes on, `Stalled` when it failed, neither when the first server took the mail.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbell.accounts import plans
from watchbell.accounts.keys import Trouble
from watchbell.api.account import AccountRecovery
from watchbell.api.conditions import Condition, find, merge
from watchbell.api.enums import ConditionStatus, RecoveryType
from watchbell.api.meta import Problem
from watchbell.api.reasons import Reason
from watchbell.api.times import stamp

MESSAGE_MAX_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it stands, as the condition Succeeded says it. `has_message`: its EmailMessage was made."""

    state: ConditionStatus
    reason: Reason
    message: str
    has_message: bool = False

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens."""
        return self.state is not ConditionStatus.UNKNOWN


def of_message(message: Mapping[str, Any]) -> Standing:
    """What the outbox wrote about the mail."""
    status = message.get("status") or {}
    told = find(status.get("conditions") or (), "Succeeded") or {}
    text = str(told.get("message") or "The mail is in the outbox.")
    reason = _reason(str(told.get("reason") or Reason.SENDING))
    if not status.get("completionTime"):
        return Standing(ConditionStatus.UNKNOWN, reason, text, has_message=True)
    state = ConditionStatus.TRUE if told.get("status") == "True" else ConditionStatus.FALSE
    return Standing(state, reason, text, has_message=True)


def waiting(trouble: Trouble) -> Standing:
    """Something has to be put right first; it is looked at again until the time is over."""
    return Standing(ConditionStatus.UNKNOWN, trouble.reason, trouble.message)


def overdue(before: str) -> Standing:
    """The time was over before the mail could be made; `before` is what kept it."""
    text = f"expirationSeconds were over before the mail could be made. {before}".strip()
    return Standing(ConditionStatus.FALSE, Reason.DEADLINE_EXCEEDED, text)


def invalid(problems: tuple[Problem, ...]) -> Standing:
    """The spec is wrong in a way that the API server did not know of when it was written."""
    return Standing(ConditionStatus.FALSE, Reason.INVALID_SPEC, "; ".join(map(str, problems)))


MESSAGE_DELETED = Standing(
    ConditionStatus.FALSE, Reason.MESSAGE_DELETED, "Its EmailMessage was deleted, which cancels it.", has_message=True
)


def status_of(
    recovery: AccountRecovery, standing: Standing, existing: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The whole status; `existing` is the one that stands there."""
    generation = recovery.metadata.generation
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": merge(existing.get("conditions") or (), _conditions(standing), generation, now),
        "expirationTime": stamp(plans.expires(recovery)),
    }
    if standing.has_message:
        status["messageRef"] = {"name": plans.message_name(recovery)}
        if recovery.spec.type is RecoveryType.RECOVERY_CODES:
            status["codesSecretRef"] = {"name": plans.codes_name(recovery)}
    return status | ({"completionTime": stamp(now)} if standing.is_final else {})


def invalid_status(body: Mapping[str, Any], standing: Standing, now: datetime) -> dict[str, Any]:
    """The status of an object that could not be read as an AccountRecovery."""
    generation = int(body["metadata"].get("generation", 0))
    existing = (body.get("status") or {}).get("conditions") or ()
    return {
        "observedGeneration": generation,
        "conditions": merge(existing, _conditions(standing), generation, now),
        "completionTime": stamp(now),
    }


def _conditions(standing: Standing) -> tuple[Condition, ...]:
    reason, text = standing.reason, standing.message[:MESSAGE_MAX_CHARACTERS]
    match standing.state:
        case ConditionStatus.UNKNOWN:
            return (
                Condition("Succeeded", "Unknown", reason, text),
                Condition("Reconciling", "True", reason, text),
            )
        case ConditionStatus.FALSE:
            return (Condition("Succeeded", "False", reason, text), Condition("Stalled", "True", reason, text))
    return (Condition("Succeeded", "True", reason, text),)


def _reason(text: str) -> Reason:
    try:
        return Reason(text)  # type: ignore[call-arg]  # by value; the members' own constructor takes two
    except ValueError:
        return Reason.OUTCOME_UNKNOWN
