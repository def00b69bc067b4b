"""The sentence and reason that a message's condition `Succeeded` shows. Pure; wording only, every decision was made in `settle`.

The reasons are those of the API page: Unknown while it goes on, True when every recipient was accepted by the first server, else False.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from watchbell.api.enums import OnUncertain
from watchbell.api.message import RecipientState
from watchbell.api.reasons import Reason
from watchbell.outbox.progress import Progress
from watchbell.smtp.model import Fault, StageName

_MESSAGE_STAGES = frozenset({StageName.SENDER, StageName.DATA})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` is that of `Succeeded`: "Unknown" while the message is still to be sent."""

    status: Literal["True", "False", "Unknown"]
    reason: Reason
    message: str

    @property
    def is_final(self) -> bool:
        """Whether the message is settled."""
        return self.status != "Unknown"


def waiting(reason: Reason, message: str) -> Verdict:
    """The message waits for something that is not in its own hands."""
    return Verdict("Unknown", reason, message)


def retrying(progress: Progress, fault: Fault | None) -> Verdict:
    """Something is left to do, and the next attempt is planned."""
    cause = f": {fault.reason}: {fault.message}" if fault else ""
    lost = " The last reply was lost, so it may have been taken." if progress.resend_time else ""
    return Verdict("Unknown", Reason.RETRYING, f"{_summary(progress)}{cause}.{lost}".replace("..", "."))


def invalid(reason: Reason, message: str) -> Verdict:
    """The message can never go out as it is."""
    return Verdict("False", reason, message)


def expired(progress: Progress) -> Verdict:
    """The deadline is over; what was accepted before stays accepted, which the sentence says."""
    is_lost = any(recipient.state is RecipientState.UNKNOWN for recipient in progress.recipients)
    is_unsent = any(recipient.state is RecipientState.PENDING for recipient in progress.recipients)
    reason = Reason.OUTCOME_UNKNOWN if is_lost and not is_unsent else Reason.DEADLINE_EXCEEDED
    return Verdict("False", reason, f"The deadline is over after {progress.attempts} attempts; {_summary(progress)}.")


def ended(progress: Progress, fault: Fault | None, on_uncertain: OnUncertain) -> Verdict:
    """Every recipient is final."""
    states = {recipient.state for recipient in progress.recipients}
    cause = f": {fault.reason}: {fault.message}" if fault else ""
    if states == {RecipientState.ACCEPTED}:
        return Verdict("True", Reason.ACCEPTED_BY_SERVER, f"The first server took it: {_summary(progress)}.")
    if RecipientState.REFUSED in states:
        return Verdict("False", _refusal(states, fault), f"{_summary(progress)}{cause}")
    if on_uncertain is OnUncertain.ASSUME_SENT:
        return Verdict(
            "True", Reason.OUTCOME_UNKNOWN, "The last reply was lost; onUncertain says that it counts as sent."
        )
    return Verdict(
        "False", Reason.OUTCOME_UNKNOWN, f"The reply to the last allowed copy was lost; {_summary(progress)}."
    )


def _refusal(states: set[RecipientState], fault: Fault | None) -> Reason:
    if fault is None or states != {RecipientState.REFUSED} or fault.stage not in _MESSAGE_STAGES:
        return Reason.RECIPIENTS_REFUSED
    return Reason.MESSAGE_TOO_LARGE if fault.reason is Reason.MESSAGE_TOO_LARGE else Reason.MESSAGE_REJECTED


_WORDS = {
    RecipientState.ACCEPTED: "accepted",
    RecipientState.REFUSED: "refused",
    RecipientState.PENDING: "not yet accepted",
    RecipientState.UNCERTAIN: "uncertain",
    RecipientState.UNKNOWN: "unknown",
}


def _summary(progress: Progress) -> str:
    counts = Counter(recipient.state for recipient in progress.recipients)
    parts = [f"{counts[state]} {word}" for state, word in _WORDS.items() if counts[state]]
    return f"of {len(progress.recipients)} recipients {', '.join(parts)}"
