"""From the object that a user wrote to a mail that can go on the wire: the last look at a message before a server hears of it. Pure.

Before it: the courier has the object, with its text. After it: an envelope and the bytes, the same for each attempt. What is wrong with a
message is found here, with the field's path, before any connection is opened.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from watchbell.api.enums import BuiltinTemplate, ConnectorKind, Disposition, OnUnavailable, OnUncertain, Priority, Use
from watchbell.api.message import EmailMessage, MessageAttachment
from watchbell.api.meta import parse
from watchbell.api.names import ANNOTATION_THREAD, API_VERSION
from watchbell.mail.address import AddressProblem, Mailbox, WireAddress, parse_mailbox, wire_address
from watchbell.mail.attachment import Attachment
from watchbell.mail.builtin import FACTS, unpack
from watchbell.mail.content import Enclosed, picture_problem
from watchbell.mail.dkim import signed
from watchbell.mail.document import Rendered
from watchbell.mail.message import Draft, Importance, MessageProblem, build, message_id, thread_root
from watchbell.outbox.letters.content import Enclosure
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

    `since` is when it could first be sent. `is_minted`: text and HTML are still to be made, since they may stand nowhere. `template` names the
    EmailTemplate that is still to make them from `parameters`; `enclosures` are the files that are still to be read.
    """

    uid: str
    namespace: str
    use: Use
    connector: ConnectorRef | None
    created: datetime
    since: datetime
    deadline: datetime
    on_uncertain: OnUncertain
    priority: Priority
    on_unavailable: OnUnavailable
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
    template: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    enclosures: tuple[Enclosure, ...] = ()
    enclosed: tuple[Enclosed, ...] = ()

    @property
    def has_sources(self) -> bool:
        """Whether something is still to be read before it can go out."""
        return bool(self.template or self.enclosures)


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
        since=max(created, spec.not_before_time) if spec.not_before_time else created,
        deadline=deadline(created, spec.not_before_time, spec.active_deadline_seconds),
        on_uncertain=spec.on_uncertain,
        priority=spec.priority,
        on_unavailable=spec.on_unavailable,
        recipients=recipients,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=spec.subject or content.subject,
        text=content.text,
        html=content.html,
        thread=(meta.annotations or {}).get(ANNOTATION_THREAD, ""),
        attachments=(*map(_attachment, spec.attachments), *content.attachments),
        is_minted=_is_minted(parsed),
        template=_template(parsed),
        parameters={item.name: item.value for item in spec.parameters},
        enclosures=tuple(_enclosures(spec.attachments)),
    )


def filled(letter: Letter, made: Rendered) -> Letter:
    """The letter with the text that was made for it; its own subject stays."""
    subject = letter.subject or made.subject
    return replace(letter, subject=subject, text=made.text, html=made.html, is_minted=False, template="")


def enclosed(letter: Letter, contents: Sequence[bytes]) -> Letter:
    """The letter with what its enclosures hold, in their order."""
    files = list(letter.attachments)
    for one, data in zip(letter.enclosures, contents, strict=True):
        files[one.place] = replace(files[one.place], data=data)
    return replace(letter, attachments=tuple(files), enclosures=())


def _attachment(item: MessageAttachment) -> Attachment:
    is_inline = item.disposition is Disposition.INLINE
    return Attachment(item.filename, item.content_type, item.text or "", None, is_inline)


def _enclosures(items: Sequence[MessageAttachment]) -> Iterator[Enclosure]:
    for place, item in enumerate(items):
        if item.config_map_key_ref is not None:
            yield Enclosure("ConfigMap", item.config_map_key_ref.name, item.config_map_key_ref.key, place)
        elif item.secret_key_ref is not None:
            yield Enclosure("Secret", item.secret_key_ref.name, item.secret_key_ref.key, place)


def _template(parsed: EmailMessage) -> str:
    """The EmailTemplate that makes the words."""
    return (parsed.spec.template_ref.name or "") if parsed.spec.template_ref else ""


def _content(parsed: EmailMessage) -> Rendered | Flaw:
    """What it says: as written, or rendered now from what its template takes."""
    spec = parsed.spec
    if spec.body is not None:
        return Rendered(spec.subject or "", spec.body.text or "", spec.body.html or "")
    if spec.template_ref is None:
        return Flaw("spec.body", "is missing, and so is templateRef")
    builtin = spec.template_ref.builtin
    if builtin is None or builtin in MINTED:
        return Rendered(spec.subject or "", "", "")
    facts = next((item.value for item in spec.parameters if item.name == FACTS), None)
    if facts is None:
        return Flaw("spec.parameters", f"must name {FACTS}, which the built-in template {builtin} takes")
    rendered = unpack(builtin, facts)
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
    if letter.is_minted or letter.has_sources:
        raise ValueError("a letter cannot go out before its text was made and its files were read")
    mail_from = wire_address(outlet.sender.address)
    if isinstance(mail_from, AddressProblem):
        return Flaw("spec.from.address", mail_from.message, is_of_connector=True)
    if letter.use is Use.MESSAGE and (told := picture_problem(letter.html, letter.attachments)):
        return Flaw("spec.attachments", told)
    identifier = known_message_id or message_id((letter.uid,), mail_from.domain)
    draft = Draft(
        sender=outlet.sender,
        to=letter.to,
        cc=letter.cc,
        reply_to=letter.reply_to or outlet.reply_to,
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        message_id=identifier,
        date=letter.created,
        thread_root=thread_root(letter.thread, mail_from.domain) if letter.thread else "",
        importance=Importance(letter.priority.value),
        list_id=_list_id(outlet.key.name, cluster_name) if letter.use is Use.ALERT else "",
        extra_headers=outlet.headers,
        attachments=letter.attachments,
        enclosed=letter.enclosed,
    )
    built = build(draft)
    if isinstance(built, MessageProblem):
        return _flaw(built)
    payload = signed(built, outlet.dkim, letter.created) if outlet.dkim else built
    return Composed(mail_from, payload, identifier)


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
