"""The mail of an SmtpTest, ready for the wire, or why it may not be sent. Pure.

Before it the connector was assembled; after it `smtp.probe.deliver` sends. The connector's recipientPolicy holds for tests as for any mail.
"""

from dataclasses import dataclass
from datetime import datetime

from watchbell.api.enums import TlsMode
from watchbell.api.reasons import Reason
from watchbell.api.smtptest import SmtpTest
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.tenancy import recipient_refusal
from watchbell.mail.address import AddressProblem, Mailbox, WireAddress, parse_mailbox, wire_address
from watchbell.mail.dkim import signed
from watchbell.mail.message import Draft, MessageProblem, build, message_id
from watchbell.mail.trial import TrialFacts, render_trial
from watchbell.outbox.outlet import Outlet
from watchbell.smtp.model import Envelope


@dataclass(frozen=True, slots=True)
class TrialMail:
    """What goes over the wire; `message_id` with its angle brackets."""

    envelope: Envelope
    payload: bytes
    message_id: str


def trial_mail(test: SmtpTest, outlet: Outlet, cluster: str, now: datetime) -> TrialMail | Refusal:
    """The test mail to all of `spec.to`."""
    boxes, wires = [], []
    for index, text in enumerate(test.spec.to):
        recipient = _recipient(text, outlet)
        if isinstance(recipient, AddressProblem):
            return _invalid(f"spec.to[{index}]: {recipient.message}")
        if isinstance(recipient, Refusal):
            return recipient
        boxes.append(recipient[0])
        wires.append(recipient[1])
    rendered = render_trial(_facts(test, outlet, cluster, now))
    identifier = message_id((test.metadata.uid, "test"), outlet.sender.address.rpartition("@")[2])
    draft = Draft(
        sender=outlet.sender,
        to=tuple(boxes),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=identifier,
        date=now,
        reply_to=outlet.reply_to,
        extra_headers=outlet.headers,
    )
    payload = build(draft)
    if isinstance(payload, MessageProblem):
        return _invalid(f"{payload.field}: {payload.message}")
    if outlet.dkim is not None:
        payload = signed(payload, outlet.dkim, now)
    recipients = tuple(wire.text for wire in wires)
    envelope = Envelope(outlet.relay.mail_from, recipients, any(wire.needs_smtputf8 for wire in wires))
    return TrialMail(envelope, payload, identifier)


def _recipient(text: str, outlet: Outlet) -> tuple[Mailbox, WireAddress] | AddressProblem | Refusal:
    box = parse_mailbox(text)
    if isinstance(box, AddressProblem):
        return box
    wire = wire_address(box.address)
    if isinstance(wire, AddressProblem):
        return wire
    return recipient_refusal(outlet.limits, str(outlet.key), wire.domain) or (box, wire)


def _facts(test: SmtpTest, outlet: Outlet, cluster: str, now: datetime) -> TrialFacts:
    mode = outlet.relay.tls.mode
    return TrialFacts(
        cluster=cluster,
        namespace=outlet.key.namespace,
        connector=outlet.key.name,
        endpoint=outlet.relay.endpoint,
        tls="" if mode is TlsMode.NONE else str(mode),
        now=now,
        requested_by=f"SmtpTest {test.metadata.name}",
    )


def _invalid(message: str) -> Refusal:
    return Refusal("Accepted", Reason.INVALID_MESSAGE, message)
