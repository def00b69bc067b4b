"""The built-in mails of an AccountRecovery: a link to choose a new password, and a list of recovery codes.

Before: `accounts` has made the link or the codes, just before the mail goes out. After: `message`. What comes out of here is a secret: nobody but
the outbox may have it.
"""

from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any

from watchbell.mail import page, plain
from watchbell.mail.document import Block, Document, Facts, Links, Listing, Paragraph, Rendered, Tone, moment, span
from watchbell.mail.untrusted import name, visible

_NOT_YOU = "If it was not you"


@dataclass(frozen=True, slots=True)
class RecoveryFacts:
    """What both mails say: whose account, of which application (a host, may be empty), who asked and when."""

    account: str
    application: str
    requested: datetime
    expires: datetime
    namespace: str
    request: str
    cluster: str = ""


def subject_of_reset(application: str) -> str:
    """The subject of the mail with the link; it names no account, since subjects show on locked screens."""
    return visible(f"Reset your password for {application}", 240)


def subject_of_codes(application: str) -> str:
    """The subject of the mail with the codes."""
    return visible(f"Your recovery codes for {application}" if application else "Your recovery codes", 240)


def render_reset(facts: RecoveryFacts, link: str) -> Rendered:
    """The mail with the link; `link` is a whole https address of visible ASCII."""
    application, until = visible(facts.application, 253), moment(facts.expires)
    account = visible(facts.account, 253)
    blocks: tuple[Block, ...] = (
        Links((("Choose a new password", link),)),
        Paragraph(
            "Before you follow it",
            (f"It leads to {application}: the page that opens must be there.", f"It works once, until {until}."),
        ),
        Paragraph(
            _NOT_YOU,
            (
                "Do nothing: your password stays as it is, and the link ends by itself.",
                "Give the link to nobody; whoever has it can set your password. Nobody will ask you for it.",
            ),
        ),
        _asked(facts, "Valid until"),
    )
    document = Document(
        tone=Tone.INFO,
        status="Account",
        context=f"for {application}",
        title="Choose a new password",
        summary=f"Somebody asked to reset the password of the account {account}. The link below lets you choose a new one; it is valid for "
        f"{span((facts.expires - facts.requested).total_seconds())}.",
        preheader=f"The link is valid until {until}.",
        blocks=blocks,
        origin=_origin(facts),
    )
    return Rendered(subject_of_reset(facts.application), plain.write(document), page.write(document))


def render_codes(facts: RecoveryFacts, codes: tuple[str, ...]) -> Rendered:
    """The mail with the codes, in the order of their hashes."""
    account = visible(facts.account, 253)
    width = len(str(len(codes)))
    lines = tuple(f"{number:>{width}}.  {code}" for number, code in enumerate(codes, 1))
    document = Document(
        tone=Tone.INFO,
        status="Account",
        context=f"for {visible(facts.application, 253)}" if facts.application else "",
        title="Your recovery codes",
        summary=f"Each of these codes lets you into the account {account} once, when you have no other way in.",
        preheader="Print them or keep them in a password manager, then delete this mail.",
        blocks=(
            Listing("Codes", lines, "Upper or lower case and the hyphen do not matter."),
            Paragraph(
                "Keep them",
                (
                    "Print this list or put it into a password manager, then delete this mail.",
                    "Each code works once. When you are given new ones, use only those.",
                ),
            ),
            Paragraph(
                _NOT_YOU,
                (
                    "Tell whoever runs the application at once: these codes have to be made invalid, and somebody may be in your account.",
                    "Give the codes to nobody. Nobody will ask you for them.",
                ),
            ),
            _asked(facts),
        ),
        origin=_origin(facts),
    )
    return Rendered(subject_of_codes(facts.application), plain.write(document), page.write(document))


ACCOUNT_VALUES = {
    "account.name": "the account, as the application calls it",
    "account.application": "the host that the link leads to; of codes perhaps nothing",
    "account.link": "the whole link; nothing in a mail with codes",
    "account.codes": "list of the codes; empty in a mail with a link",
    "account.requestedTime": "when somebody asked for it: `2026-11-21 14:02:11 UTC`",
    "account.expirationTime": "until when the link is valid; for codes until when the mail may go out",
    "account.validFor": "how long that is: `15 min`",
    "account.request": "the AccountRecovery, with its namespace",
    "account.cluster": "the name of the cluster, if the operator was given one",
}
"""What an EmailTemplate of account mail may read, and what it is."""


def account_values(facts: RecoveryFacts, link: str = "", codes: tuple[str, ...] = ()) -> dict[str, Any]:
    """`{"account": {…}}` with exactly the names of `ACCOUNT_VALUES`."""
    values = {
        "name": visible(facts.account, 253),
        "application": visible(facts.application, 253) or None,
        "link": link or None,
        "codes": list(codes),
        "requestedTime": moment(facts.requested),
        "expirationTime": moment(facts.expires),
        "validFor": span((facts.expires - facts.requested).total_seconds()),
        "request": f"{name(facts.namespace)}/{name(facts.request)}",
        "cluster": visible(facts.cluster, 80) or None,
    }
    return {"account": values}


def unfit(made: Rendered, link: str, codes: tuple[str, ...]) -> str:
    """Why a mail in a user's words may not go out, as the end of a sentence; empty if it may. A subject shows on locked screens."""
    token = link.rpartition("=")[2]
    if any(secret in made.subject for secret in (token, *codes) if secret):
        return "writes the link or a code into the subject, which shows on locked screens"
    said = f"{made.text}\n{unescape(made.html)}"
    if link and link not in said:
        return "does not write account.link"
    return "" if all(code in said for code in codes) else "does not write every one of account.codes"


def _asked(facts: RecoveryFacts, until: str = "") -> Facts:
    rows = (
        ("Account", visible(facts.account, 253)),
        ("Asked for", moment(facts.requested)),
        (until, moment(facts.expires) if until else ""),
        ("Asked for by", f"AccountRecovery {name(facts.namespace)}/{name(facts.request)}"),
        ("Cluster", visible(facts.cluster, 80)),
    )
    return Facts("Details", rows)


def _origin(facts: RecoveryFacts) -> str:
    return f"Sent by watchbell because AccountRecovery {name(facts.namespace)}/{name(facts.request)} asked for it."
