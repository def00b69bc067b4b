"""Which connector takes over for one that is not ready, and as whom it sends. Pure.

Before it: `reconcile` found that a message's connector takes no mail now. After it: the outbox sends through the fallback's relay, or the message
waits and says why not even the fallback took over. One hop, never two: the fallback of a fallback is not asked, so there are no circles.
"""

from dataclasses import replace

from watchbell.api.connector import ConnectorSpec
from watchbell.api.enums import ConnectorKind
from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.records import Record
from watchbell.connectors.tenancy import lists_sender
from watchbell.outbox.outlet import ConnectorKey, Outlet, Unavailable


def fallback_key(spec: ConnectorSpec, base: ConnectorSpec, namespace: str) -> ConnectorKey | None:
    """The connector that takes over: a child's is its parent's, which is a cluster connector. `namespace` is the connector's own."""
    ref = base.fallback_ref or spec.fallback_ref
    if ref is None:
        return None
    return ConnectorKey(ref.kind, "" if ref.kind is ConnectorKind.CLUSTER_SMTP_CONNECTOR else namespace, ref.name)


def standing_in(record: Record, key: ConnectorKey, candidate: Record | None) -> Outlet | Refusal | None:
    """The fallback's outlet for the connector of `record`, or why it cannot take over; None: nothing is known of the fallback yet."""
    if candidate is None:
        return _refusal(Reason.FALLBACK_NOT_FOUND, f"spec.fallbackRef: there is no {key}")
    if candidate.ready_reason is Reason.NOT_PROBED:
        return None
    if not candidate.ready or candidate.outlet is None:
        text = f"{key} is not ready either ({candidate.ready_reason}), and its own fallbackRef is not followed"
        return _refusal(Reason.FALLBACK_NOT_READY, text)
    if record.outlet is not None and record.outlet.relay.circuit == candidate.outlet.relay.circuit:
        text = f"{key} is the same server with the same login, so it cannot take over"
        return _refusal(Reason.FALLBACK_IS_ITSELF, text)
    return _as_whom(record, candidate, candidate.outlet)


def explained(primary: Unavailable, key: ConnectorKey, refusal: Refusal) -> Unavailable:
    """Why the message waits, and why its fallback does not help."""
    text = f"{primary.message}; the fallback {key} does not take over ({refusal.reason}): {refusal.message}"
    return replace(primary, message=text)


def _as_whom(record: Record, candidate: Record, outlet: Outlet) -> Outlet:
    """The fallback's own From: its server may refuse any other. Where its admin lists the connector's From, that one stays."""
    spec = candidate.spec()
    keeps = (
        record.outlet is not None
        and not isinstance(spec, Refusal)
        and lists_sender(spec.allowed_from_addresses, record.outlet.sender.address)
    )
    sender = record.outlet.sender if keeps and record.outlet is not None else outlet.sender
    return replace(outlet, sender=sender, stands_in_for=record.key)


def _refusal(reason: Reason, message: str) -> Refusal:
    return Refusal("Accepted", reason, message)
