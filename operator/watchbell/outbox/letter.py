"""From the object that a user wrote to a mail that can go on the wire: the last look at a message before a server hears of it. Pure.

Before it: the courier has the object, with its text. After it: an envelope and the bytes, the same for each attempt. What is wrong with a
message is found here, with the field's path, before any connection is opened.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from watchbell.api.enums import BuiltinTemplate, ConnectorKind, OnUncertain, Priority, Use
from watchbell.api.message import EmailMessage
from watchbell.api.meta import parse
from watchbell.api.names import ANNOTATION_THREAD, API_VERSION
from watchbell.mail.address import AddressProblem, Mailbox, WireAddress, parse_mailbox, wire_address
from watchbell.mail.attachment import Attachment
from watchbell.mail.builtin import FACTS, unpack
from watchbell.mail.content import Enclosed
from watchbell.mail.document import Rendered
from watchbell.mail.message import Draft, Importance, MessageProblem, build, message_id, thread_root
from watchbell.outbox.outlet import ConnectorRef, Outlet
from watchbell.outbox.retry import deadline

_INCIDENT = "CollectorIncident"
_RECOVERY = "AccountRecovery"
_CONNECTORS = frozenset(ConnectorKind)
MINTED = frozenset({BuiltinTemplate.PASSWORD_RESET, BuiltinTemplate.RECOVERY_CODES})
"""Templates of mails that may stand nowhere: their text is made when they are sent (`minting`)."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, checked. `recipients` are in the order to, cc, bcc: their positions are the indexes of `recipientResults`.

    `is_minted`: text and HTML are still to be made, since they may stand nowhere.
    """

    uid: str
    namespace: str
    use: Use
    connector: ConnectorRef | None
    created: datetime
    deadline: datetime
    on_uncertain: OnUncertain
    priority: Priority
    recipients: tuple[WireAddress, ...]
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    subject: str
    text: str
    html: str
    thread: str
    attachments: tuple[Attachment, ...] = ()
    is_minted: bool = False
    enclosed: tuple[Enclosed, ...] = ()


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a message cannot be sent; `field` is the path in the object. A flaw of the connector may be mended, one of the message never."""

    field: str
    message: str
    is_of_connector: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True, slots=True)
class Composed:
    """What goes to the server: CRLF, 7-bit, not dot-stuffed."""

    mail_from: WireAddress
    payload: bytes
    message_id: str


def read(body: dict[str, Any]) -> Letter | Flaw:
    """The checked message, or its first flaw."""
    parsed = parse(EmailMessage, body)
    if isinstance(parsed, tuple):
        return Flaw(parsed[0].path, parsed[0].message) if parsed else Flaw("spec", "is not an EmailMessage")
    lists = {field: _mailboxes(field, getattr(parsed.spec, name)) for field, name in _LISTS}
    for found in lists.values():
        if isinstance(found, Flaw):
            return found
    to, cc, bcc, reply_to = (found for found in lists.values() if not isinstance(found, Flaw))
    recipients = tuple(_wire(mailbox) for mailbox in (*to, *cc, *bcc))
    if not recipients:
        return Flaw("spec.to", "names no recipient, and neither do cc and bcc")
    return _letter(parsed, recipients, (to, cc, reply_to))


_LISTS = (("spec.to", "to"), ("spec.cc", "cc"), ("spec.bcc", "bcc"), ("spec.replyTo", "reply_to"))


def _letter(
    parsed: EmailMessage,
    recipients: tuple[WireAddress, ...],
    lists: tuple[tuple[Mailbox, ...], tuple[Mailbox, ...], tuple[Mailbox, ...]],
) -> Letter | Flaw:
    meta, spec = parsed.metadata, parsed.spec
    created = meta.creation_timestamp
    if created is None:
        return Flaw("metadata.creationTimestamp", "is missing")
    to, cc, reply_to = lists
    content = _content(parsed)
    if isinstance(content, Flaw):
        return content
    ref = spec.connector_ref
    return Letter(
        uid=meta.uid,
        namespace=meta.namespace,
        use=_use(parsed),
        connector=ConnectorRef(ref.kind, ref.name) if ref else None,
        created=created,
        deadline=deadline(created, spec.not_before_time, spec.active_deadline_seconds),
        on_uncertain=spec.on_uncertain,
        priority=spec.priority,
        recipients=recipients,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=spec.subject or content.subject,
        text=content.text,
        html=content.html,
        thread=(meta.annotations or {}).get(ANNOTATION_THREAD, ""),
        attachments=(
            *content.attachments,
            *(Attachment(item.filename, item.content_type, item.text) for item in spec.attachments),
        ),
        is_minted=_is_minted(parsed),
    )


def filled(letter: Letter, made: Rendered) -> Letter:
    """The letter with the text that was made for it."""
    return replace(letter, text=made.text, html=made.html, is_minted=False)


def _content(parsed: EmailMessage) -> Rendered | Flaw:
    """What it says: as written, or rendered now from what its template takes."""
    spec = parsed.spec
    if spec.body is not None:
        return Rendered(spec.subject or "", spec.body.text or "", spec.body.html or "")
    if spec.template_ref is None:
        return Flaw("spec.body", "is missing, and so is templateRef")
    if _is_minted(parsed):
        return Rendered(spec.subject or "", "", "")
    facts = next((item.value for item in spec.parameters if item.name == FACTS), None)
    if facts is None:
        return Flaw(
            "spec.parameters", f"must name {FACTS}, which the built-in template {spec.template_ref.builtin} takes"
        )
    rendered = unpack(spec.template_ref.builtin, facts)
    return rendered if isinstance(rendered, Rendered) else Flaw(f"spec.parameters[{FACTS}]", rendered)


def _is_minted(parsed: EmailMessage) -> bool:
    return parsed.spec.template_ref is not None and parsed.spec.template_ref.builtin in MINTED


def _use(parsed: EmailMessage) -> Use:
    """An alert is what an incident owns, account mail what an AccountRecovery has made, a test what a connector's drill has; else a user's message.

    Users may write any owner into a message. As account mail that gains them nothing: such a message goes out only if its AccountRecovery wants it.
    """
    owners = {
        owner.kind
        for owner in parsed.metadata.owner_references or ()
        if owner.api_version == API_VERSION and owner.controller
    }
    if _is_minted(parsed):
        return Use.RECOVERY if _RECOVERY in owners else Use.MESSAGE
    if parsed.spec.template_ref is not None and parsed.spec.template_ref.builtin is BuiltinTemplate.DRILL:
        return Use.TEST if owners & _CONNECTORS else Use.MESSAGE
    return Use.ALERT if _INCIDENT in owners else Use.MESSAGE


def _mailboxes(field: str, texts: tuple[str, ...] | None) -> tuple[Mailbox, ...] | Flaw:
    mailboxes = []
    for i, text in enumerate(texts or ()):
        mailbox = parse_mailbox(text)
        if isinstance(mailbox, AddressProblem):
            return Flaw(f"{field}[{i}]", mailbox.message)
        mailboxes.append(mailbox)
    return tuple(mailboxes)


def _wire(mailbox: Mailbox) -> WireAddress:
    wire = wire_address(mailbox.address)
    if isinstance(wire, AddressProblem):
        raise TypeError(f"a parsed mailbox has no wire form: {wire.message}")
    return wire


def compose(letter: Letter, outlet: Outlet, known_message_id: str, cluster_name: str = "") -> Composed | Flaw:
    """The bytes for this connector. A Message-ID that was used before stays, even if the connector's From has changed since."""
    if letter.is_minted:
        raise ValueError("a letter cannot go out before its text was made")
    mail_from = wire_address(outlet.sender.address)
    if isinstance(mail_from, AddressProblem):
        return Flaw("spec.from.address", mail_from.message, is_of_connector=True)
    identifier = known_message_id or message_id((letter.uid,), mail_from.domain)
    reply_to, headers = letter.reply_to or outlet.reply_to, outlet.headers
    if len(reply_to) > 1:
        headers = (*headers, ("Reply-To", ", ".join(_wire(mailbox).text for mailbox in reply_to)))
    draft = Draft(
        sender=outlet.sender,
        to=letter.to,
        cc=letter.cc,
        reply_to=reply_to[0] if len(reply_to) == 1 else None,
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        message_id=identifier,
        date=letter.created,
        thread_root=thread_root(letter.thread, mail_from.domain) if letter.thread else "",
        importance=Importance(letter.priority.value),
        list_id=_list_id(outlet.key.name, cluster_name) if letter.use is Use.ALERT else "",
        extra_headers=headers,
        attachments=letter.attachments,
        enclosed=letter.enclosed,
    )
    built = build(draft)
    if isinstance(built, MessageProblem):
        return _flaw(built)
    return Composed(mail_from, built, identifier)


def _flaw(problem: MessageProblem) -> Flaw:
    """What the message holds is the message's flaw, everything else the connector's."""
    is_own = problem.field in _FIELDS or problem.field.startswith("attachments")
    return Flaw(_FIELDS.get(problem.field, f"spec.{problem.field}"), problem.message, not is_own)


def _list_id(connector: str, cluster_name: str) -> str:
    """What mail filters go by; the cluster's name is free text, so what a List-Id cannot hold is replaced."""
    parts = (re.sub(r"[^A-Za-z0-9_-]+", "-", part).strip("-_") for part in ("alerts", connector, cluster_name))
    return ".".join(part for part in parts if part)


_FIELDS = {
    "to": "spec.to",
    "cc": "spec.cc",
    "replyTo": "spec.replyTo",
    "subject": "spec.subject",
    "text": "spec.body.text",
    "html": "spec.body.html",
}
