"""Who may use which connector. Pure: the rules of a ClusterSmtpConnector against a namespace, a use and a From address."""

from collections.abc import Mapping

from watchbell.api.connector import AllowedNamespaces
from watchbell.api.enums import NamespacesFrom, Use
from watchbell.api.meta import selects
from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal
from watchbell.outbox.outlet import OutletLimits


def namespace_refusal(
    rule: AllowedNamespaces, connector: str, namespace: str, labels: Mapping[str, str]
) -> Refusal | None:
    """None if `rule` lets `namespace` (with these labels) use the cluster connector."""
    match rule.from_:
        case NamespacesFrom.ALL:
            allowed = True
        case NamespacesFrom.NAMES:
            allowed = namespace in rule.names
        case NamespacesFrom.SELECTOR:
            allowed = rule.selector is not None and selects(rule.selector, labels)
    if allowed:
        return None
    return Refusal(
        "Accepted",
        Reason.NAMESPACE_NOT_ALLOWED,
        f"ClusterSmtpConnector {connector} does not allow namespace {namespace}: "
        f"its spec.allowedNamespaces (from: {rule.from_}) must be widened by a cluster admin",
    )


def use_refusal(allowed: tuple[Use, ...] | None, connector: str, use: Use) -> Refusal | None:
    """None if the cluster connector may be used so; no list allows every use."""
    if not allowed or use in allowed:
        return None
    return Refusal(
        "Accepted",
        Reason.USE_NOT_ALLOWED,
        f"ClusterSmtpConnector {connector} may not be used for {use}: its spec.allowedUses is {', '.join(allowed)}",
    )


def sender_refusal(allowed: tuple[str, ...] | None, connector: str, address: str) -> Refusal | None:
    """None if `address` may be the From of a child; entries are addresses or `*@domain`, no list allows all."""
    if not allowed or lists_sender(allowed, address):
        return None
    return Refusal(
        "Accepted",
        Reason.SENDER_ADDRESS_NOT_ALLOWED,
        f"spec.from.address {address} is not among spec.allowedFromAddresses of ClusterSmtpConnector {connector}",
    )


def lists_sender(allowed: tuple[str, ...] | None, address: str) -> bool:
    """Whether the list names `address`, itself or by its domain."""
    wanted = address.lower()
    patterns = {entry.lower() for entry in allowed or ()}
    return wanted in patterns or f"*@{wanted.rpartition('@')[2]}" in patterns


def recipient_refusal(limits: OutletLimits, connector: str, domain: str) -> Refusal | None:
    """None if the connector's recipientPolicy lets mail go to `domain` (an A-label). A domain covers itself, not its subdomains."""
    wanted = domain.lower()
    if wanted not in limits.denied_domains and (not limits.allowed_domains or wanted in limits.allowed_domains):
        return None
    return Refusal(
        "Accepted",
        Reason.RECIPIENTS_REFUSED,
        f"spec.to: spec.recipientPolicy of {connector} does not allow mail to {wanted}; nothing was sent",
    )
