"""The built-in mail of a fire drill: nobody need do anything when it comes, and somebody must when it does not.

Before: the drill's message was made from these facts. After: `message`.
"""

from dataclasses import dataclass

from watchbell.mail import page, plain
from watchbell.mail.document import Document, Facts, Paragraph, Rendered, Tone, moment, span
from watchbell.mail.facts import Moment
from watchbell.mail.untrusted import qualified, visible


@dataclass(frozen=True, slots=True)
class DrillFacts:
    """What is proven: `endpoint` is `host:port` as far as it was known, `due` when the drill's period began."""

    cluster: str
    namespace: str
    connector: str
    endpoint: str
    period_seconds: int
    due: Moment


def subject_of(facts: DrillFacts) -> str:
    """The same for every drill of a connector, so that a filter can sort them."""
    on = f" on {visible(facts.cluster, 80)}" if facts.cluster else ""
    return visible(f"Fire drill of mail from {qualified(facts.namespace, facts.connector)}{on}", 240)


def render_drill(facts: DrillFacts) -> Rendered:
    """The mail."""
    cluster = visible(facts.cluster, 80)
    connector, every = qualified(facts.namespace, facts.connector), span(facts.period_seconds)
    details = (
        ("Cluster", cluster),
        ("Connector", connector),
        ("Server", visible(facts.endpoint, 260)),
        ("Due", moment(facts.due)),
        ("Comes every", every),
    )
    missing = (
        f"Does the next one not come within {every}? Then alerts do not come either. The condition Proven of the connector says why, or that the "
        "server took the mail and lost it on the way to you."
    )
    document = Document(
        tone=Tone.INFO,
        status="Drill",
        context=f"on cluster {cluster}" if cluster else "",
        title="Alerts would reach you",
        summary=f"This mail went the way of every alert through connector {connector}. Nothing is wrong and there is nothing to do.",
        preheader=f"Connector {connector}: drill of {moment(facts.due)}.",
        blocks=(Facts("Details", details), Paragraph("If it fails to come", (missing,))),
        origin=f"Sent by watchbell because spec.drill of connector {connector} asks for it.",
    )
    return Rendered(subject_of(facts), plain.write(document), page.write(document))
