"""The built-in mail of an SmtpTest: it proves that a connector can send, and says through what it came.

Before: a probe that got as far as sending. After: `message`.
"""

from dataclasses import dataclass
from datetime import datetime

from watchbell.mail import page, plain
from watchbell.mail.document import Document, Facts, Paragraph, Rendered, Tone, moment
from watchbell.mail.untrusted import name, qualified, visible

_SPAM = (
    "Did it land in the spam folder? Then the sender's domain lacks an SPF, DKIM or DMARC record that fits the server above; "
    "alerts would go the same way."
)

_SPAM = (
    "Did it land in the spam folder? Then the sender's domain lacks an SPF, DKIM or DMARC record that fits the server above; "
    "alerts would go the same way."
)


@dataclass(frozen=True, slots=True)
class TrialFacts:
    """What was proven: `endpoint` is `host:port`, `tls` what was negotiated (`TLSv1.3`, empty = none), `requested_by` the SmtpTest."""

    cluster: str
    namespace: str
    connector: str
    endpoint: str
    tls: str
    now: datetime
    requested_by: str = ""


def render_trial(facts: TrialFacts) -> Rendered:
    """The test mail."""
    cluster, server = visible(facts.cluster, 80), visible(facts.endpoint, 260)
    connector = qualified(facts.namespace, facts.connector)
    details = (
        ("Cluster", cluster),
        ("Connector", connector),
        ("Server", server),
        ("Encryption", visible(facts.tls, 80) or "none: this connection was not encrypted"),
        ("Sent", moment(facts.now)),
        ("Asked for by", name(facts.requested_by)),
    )
    document = Document(
        tone=Tone.INFO,
        status="Test",
        context=f"on cluster {cluster}" if cluster else "",
        title="The connector can send mail",
        summary=f"Connector {connector} handed this mail to {server}, and it reached you. Nothing is wrong and there is nothing to do.",
        preheader=f"Connector {connector}: test mail of {moment(facts.now)}.",
        blocks=(Facts("Details", details), Paragraph("Worth a look", (_SPAM,))),
        origin=f"Sent by watchbell because an SmtpTest asked for it. Connector {connector}.",
    )
    on = f" on {cluster}" if cluster else ""
    return Rendered(visible(f"Test mail from {connector}{on}", 240), plain.write(document), page.write(document))
