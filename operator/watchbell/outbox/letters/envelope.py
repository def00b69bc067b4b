"""Whom one transaction is for: the recipients that are due, by the connector's policy and limits. Pure.

Before it: a composed mail. After it: `submit` says MAIL and RCPT. Those left over have their turn in the next attempt, with the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchbell.api.reasons import Reason
from watchbell.mail.address import WireAddress
from watchbell.outbox.letters.letter import Composed, Letter
from watchbell.outbox.limits.budget import recipients_at_once
from watchbell.outbox.outlet import Outlet, OutletLimits
from watchbell.smtp.model import Envelope, Fault, RecipientOutcome, RecipientResult, RetryClass, StageName


@dataclass(frozen=True, slots=True)
class Batch:
    """`indexes` are those of `envelope.recipients`, in order; `refused` were turned down by our own policy and are final."""

    indexes: tuple[int, ...]
    envelope: Envelope
    refused: Mapping[int, RecipientResult]


def batch_of(letter: Letter, due: Sequence[int], limits: OutletLimits, composed: Composed) -> Batch:
    """The next transaction. Recipients that need SMTPUTF8 go by themselves unless the mail needs it anyway, so that they alone can fail for it."""
    refused = {i: _refusal(letter.recipients[i]) for i in forbidden(letter, due, limits)}
    allowed = [i for i in due if i not in refused]
    is_utf8 = not composed.payload.isascii() or composed.mail_from.needs_smtputf8
    if not is_utf8:
        plain = [i for i in allowed if not letter.recipients[i].needs_smtputf8]
        is_utf8, allowed = not plain and bool(allowed), plain or allowed
    indexes = tuple(allowed[: recipients_at_once(limits.max_recipients_per_message, limits.allowances)])
    addresses = tuple(letter.recipients[i].text for i in indexes)
    return Batch(indexes, Envelope(composed.mail_from.text, addresses, is_utf8), refused)


def misfit(letter: Letter, due: Sequence[int], outlet: Outlet, composed: Composed) -> str:
    """Why a fallback may not be the one to say no: what its own rules refuse, the connector itself may take. Empty if it takes all of it."""
    limits = outlet.limits
    domains = {letter.recipients[i].domain for i in forbidden(letter, due, limits)}
    if domains:
        return f"its recipientPolicy does not allow {', '.join(sorted(domains)[:4])}"
    if len(composed.payload) > limits.max_message_bytes:
        return f"the mail has {len(composed.payload)} bytes, and it takes {limits.max_message_bytes}"
    return ""


def forbidden(letter: Letter, due: Sequence[int], limits: OutletLimits) -> tuple[int, ...]:
    """Those whom the connector's policy does not let mail go to."""
    return tuple(i for i in due if not is_allowed(letter.recipients[i], limits))


def is_allowed(address: WireAddress, limits: OutletLimits) -> bool:
    """Whether the connector's `recipientPolicy` lets mail go to this address. A domain covers itself, not its subdomains."""
    domain = address.domain.lower()
    if domain in limits.denied_domains:
        return False
    return not limits.allowed_domains or domain in limits.allowed_domains


def _refusal(address: WireAddress) -> RecipientResult:
    fault = Fault(
        StageName.POLICY,
        Reason.RECIPIENT_NOT_ALLOWED,
        f"spec.recipientPolicy of the connector does not allow mail to {address.domain}",
        RetryClass.NEVER,
        is_permanent=True,
    )
    return RecipientResult(address.text, RecipientOutcome.REFUSED, fault)
