"""What a restart may believe of a connector's status, so that a thousand connectors do not all log in again. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from watchbell.api.conditions import find
from watchbell.api.reasons import Reason
from watchbell.connectors.gather import Found
from watchbell.connectors.schedule import Memory, Rhythm


def restored(status: Mapping[str, Any], found: Found, generation: int, rhythm: Rhythm, now: datetime) -> Memory:
    """The memory that the status vouches for, or an empty one.

    It counts only for a connector that was proven for this very generation and Secret, within its period. A parent or a private CA may have
    changed meanwhile without a trace in the status, so connectors that have one are proven again.
    """
    credentials = status.get("credentials") or {}
    ready = find(status.get("conditions") or [], "Ready") or {}
    probed_at, success_at = moment(status.get("lastProbeTime")), moment(status.get("lastSuccessTime"))
    is_same = (
        status.get("observedGeneration") == generation
        and credentials.get("secretResourceVersion", "") == (found.secret.resource_version if found.secret else "")
        and found.spec is found.base
        and found.ca_pem is None
        and found.client_cert is None
    )
    if not is_same or ready.get("status") != "True" or ready.get("reason") != Reason.PROVEN:
        return Memory()
    if probed_at is None or success_at is None or now - probed_at > timedelta(seconds=rhythm.period_s):
        return Memory()
    login_at = moment(credentials.get("lastAuthenticationTime")) or success_at
    return Memory(
        fingerprint=found.fingerprint,
        handled_request=str(status.get("lastHandledRequest") or ""),
        last_probe=probed_at,
        last_login=login_at if rhythm.needs_login else None,
        last_success=success_at,
        is_proven=True,
    )


def moment(text: object) -> datetime | None:
    """A `metav1.Time`, or None for what is none."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
