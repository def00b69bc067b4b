"""Whom one transaction is for: the recipients that are due, by the connector's policy and limits. Pure.

Before it: a composed mail. After it: `submit` says MAIL and RCPT. Those left over have their turn in the next attempt, with the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchbell.api.reasons import Reason
from watchbell.mail.address import WireAddress
from watchbell.outbox.budget import recipients_at_once
from watchbell.outbox.letter import Composed, Letter
from watchbell.outbox.outlet import OutletLimits
from watchbell.smtp.model import Envelope, Fault, RecipientOutcome, RecipientResult, RetryClass, StageName


@dataclass(frozen=True, slots=True)
class Batch:
    """`indexes` are those of `envelope.recipients`, in order; `refused` were turned down by our own policy and are final."""

    indexes: tuple[int, ...]
    envelope: Envelope
    refused: Mapping[int, RecipientResult]


def batch_of(letter: Letter, due: Sequence[int], limits: OutletLimits, composed: Composed) -> Batch:
    """The next transaction. Recipients that need SMTPUTF8 go by themselves unless the mail needs it anyway, so that they alone can fail for it."""
    refused = {i: _refusal(letter.recipients[i]) for i in due if not is_allowed(letter.recipients[i], limits)}
    allowed = [i for i in due if i not in refused]
    is_utf8 = not composed.payload.isascii() or composed.mail_from.needs_smtputf8
    if not is_utf8:
        plain = [i for i in allowed if not letter.recipients[i].needs_smtputf8]
        is_utf8, allowed = not plain and bool(allowed), plain or allowed
    indexes = tuple(allowed[: recipients_at_once(limits.max_recipients_per_message, limits.allowances)])
    addresses = tuple(letter.recipients[i].text for i in indexes)
    return Batch(indexes, Envelope(composed.mail_from.text, addresses, is_utf8), refused)


def is_allowed(address: WireAddress, limits: OutletLimits) -> bool:
    """Whether the connector's `recipientPolicy` lets mail go to this address. A domain covers itself, not its subdomains."""
    domain = address.domain.lower()
    if domain in limits.denied_domains:
        return False
    return not limits.allowed_domains or domain in limits.allowed_domains


def _refusal(address: WireAddress) -> RecipientResult:
    fault = Fault(
        StageName.POLICY,
        Reason.RECIPIENTS_REFUSED,
        "the connector's recipientPolicy does not allow the recipient's domain",
        RetryClass.NEVER,
        is_permanent=True,
    )
    return RecipientResult(address.text, RecipientOutcome.REFUSED, fault)
