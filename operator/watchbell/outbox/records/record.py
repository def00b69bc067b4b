"""The `status` of an EmailMessage, whole, as server-side apply wants it. Pure.

Before it: `settle` decided where the message stands. After it: `ledger` writes it, once for an attempt. kstatus reads the result: `Reconciling`
while it goes on (InProgress), `Stalled` when it failed (Failed), neither when it was accepted (Current).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from watchbell.api.conditions import Condition, merge
from watchbell.api.times import stamp, stamp_if_any
from watchbell.outbox.progress import RecipientProgress
from watchbell.outbox.settle import Settled

_MESSAGE_MAX = 1024

Conditions = Sequence[Mapping[str, Any]]


def status_of(
    settled: Settled, generation: int, message_id: str, existing: Conditions, now: datetime
) -> dict[str, Any]:
    """Every field that the outbox owns; `existing` are the conditions of the last write, for their transition times."""
    progress = settled.progress
    fields = {
        "observedGeneration": generation,
        "conditions": merge(existing, _conditions(settled), generation, now),
        "attempts": progress.attempts,
        "lastAttemptTime": stamp_if_any(progress.last_attempt_time),
        "nextAttemptTime": None if settled.is_held else stamp_if_any(settled.due),
        "completionTime": stamp(now) if settled.verdict.is_final else None,
        "messageID": message_id or None,
        "connector": progress.connector or None,
        "recipientResults": [_result(i, recipient) for i, recipient in enumerate(progress.recipients)],
        "serverResponse": progress.server_response or None,
        "contentDigest": progress.content_digest or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _conditions(settled: Settled) -> tuple[Condition, ...]:
    verdict = settled.verdict
    message = verdict.message[:_MESSAGE_MAX]
    succeeded = Condition("Succeeded", verdict.status, verdict.reason, message)
    match verdict.status:
        case "Unknown":
            return (succeeded, Condition("Reconciling", "True", verdict.reason, message))
        case "False":
            return (succeeded, Condition("Stalled", "True", verdict.reason, message))
    return (succeeded,)


def _result(index: int, recipient: RecipientProgress) -> dict[str, Any]:
    fields = {
        "index": index,
        "result": recipient.state.value,
        "reason": recipient.reason,
        "code": recipient.code,
        "enhancedCode": recipient.enhanced_code,
    }
    return {name: value for name, value in fields.items() if value is not None}
