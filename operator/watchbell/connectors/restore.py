"""What a restart may believe of a connector's status, so that a thousand connectors do not all log in again, nor one with a wrong password. Pure.

`status.probedRevision` names all that the last probe stood on: generations, Secrets, the CA, the parent. If any of it changed meanwhile, nothing
is believed.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from watchbell.api.conditions import find
from watchbell.api.reasons import Reason
from watchbell.api.times import moment
from watchbell.connectors.gather import Found
from watchbell.connectors.schedule import AUTH_BACKOFF_S, AUTH_STAGES, Memory, Rhythm
from watchbell.smtp.model import Fault, RetryClass


def restored(status: Mapping[str, Any], found: Found, rhythm: Rhythm, now: datetime) -> Memory:
    """The memory that the status vouches for, or an empty one: of a connector that was proven within its period, or whose login was rejected."""
    probed_at = moment(status.get("lastProbeTime"))
    if probed_at is None or status.get("probedRevision") != found.fingerprint:
        return Memory()
    memory = Memory(
        fingerprint=found.fingerprint,
        handled_request=str(status.get("lastHandledRequest") or ""),
        last_probe=probed_at,
        last_success=moment(status.get("lastSuccessTime")),
        failures=int(status.get("consecutiveFailures") or 0),
    )
    fault = _rejection(status)
    if fault is not None:
        return replace(memory, fault=fault, rejected_logins=_rejected_logins(status, probed_at))
    ready = find(status.get("conditions") or [], "Ready") or {}
    is_proven = ready.get("status") == "True" and ready.get("reason") == Reason.PROVEN
    if not is_proven or memory.last_success is None or now - probed_at > timedelta(seconds=rhythm.period_s):
        return Memory()
    login_at = moment((status.get("credentials") or {}).get("lastAuthenticationTime")) or memory.last_success
    return replace(memory, is_proven=True, last_login=login_at if rhythm.needs_login else None)


def _rejection(status: Mapping[str, Any]) -> Fault | None:
    """The fault of a login that was rejected for good, read back from its stage."""
    stalled = find(status.get("conditions") or [], "Stalled") or {}
    failed: Mapping[str, Any] = next(
        (stage for stage in status.get("stages") or [] if stage.get("result") == "Failed"), {}
    )
    stage = next((name for name in AUTH_STAGES if name == failed.get("name")), None)
    reason = next((known for known in Reason if known == failed.get("reason")), None)
    if stalled.get("status") != "True" or stage is None or reason is None:
        return None
    return Fault(
        stage,
        reason,
        str(failed.get("message") or ""),
        RetryClass.C,
        is_permanent=True,
        code=failed.get("code"),
        enhanced_code=failed.get("enhancedCode"),
        chain=tuple(failed.get("chain") or ()),
        remedies=tuple(status.get("remediation") or ()),
    )


def _rejected_logins(status: Mapping[str, Any], probed_at: datetime) -> int:
    """How many logins in a row were rejected, read off the back-off that stands in the status."""
    due = moment(status.get("nextProbeTime"))
    waits_s = (due - probed_at).total_seconds() if due else 0
    return max(1, bisect_right(AUTH_BACKOFF_S, waits_s))
