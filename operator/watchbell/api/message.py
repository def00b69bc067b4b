"""EmailMessage: one mail in the outbox. Any workload may create it without holding the relay's password."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from watchbell.api import fields as f
from watchbell.api.connector import ConnectorRef
from watchbell.api.enums import BuiltinTemplate, Disposition, OnUnavailable, OnUncertain, Priority
from watchbell.api.markers import InCode, ListMap, Matches, Rule, immutable
from watchbell.api.media import INLINE_TYPES, PATTERN
from watchbell.api.meta import Block, Resource, Spec, Status
from watchbell.api.recipients import RECIPIENT_RULES, BccList, CcList, ReplyToList, ToList


class RecipientState(StrEnum):
    """Where one recipient stands; the words are explained at `recipientResults`."""

    PENDING = "Pending"
    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    UNCERTAIN = "Uncertain"
    UNKNOWN = "Unknown"


class Body(Block):
    """The content; with both, recipients see the HTML and, where they cannot, the text."""

    RULES = (
        Rule(
            "has(self.text) || has(self.html)",
            "body.text or body.html must be set",
            ".text",
            lambda body: body.text is not None or body.html is not None,
        ),
    )

    text: Annotated[str, Field(min_length=1, max_length=262_144)] | None = Field(None, description="Plain text.")
    html: Annotated[str, Field(min_length=1, max_length=524_288)] | None = Field(None, description="HTML.")


FileName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=120),
    Matches(
        rf"[^\s.{f.HIDDEN}\"\\/:*?<>|](?:[^{f.HIDDEN}\"\\/:*?<>|]*[^\s{f.HIDDEN}\"\\/:*?<>|])?",
        "filename must be a plain file name: no path, no quotes, no dot or space at its beginning",
    ),
]
ContentType = Annotated[
    str,
    StringConstraints(min_length=3, max_length=127),
    Matches(
        PATTERN,
        "contentType must be one of the types that may go with a mail, such as text/csv, application/pdf or image/png, without parameters",
    ),
]
_INLINE_NAME = re.compile(r"[A-Za-z0-9._-]+")


class FileRef(Block):
    """One key of a ConfigMap or Secret of the message's own namespace."""

    name: f.Name = Field(description="The object's name.")
    key: f.SecretKey = Field(
        description="The key, in `data` or `binaryData`. What it holds is the file, byte for byte."
    )


class MessageAttachment(Block):
    """A file that goes with the mail: written here, or read from a ConfigMap or a Secret when the mail is sent."""

    RULES = (
        Rule(
            "(has(self.text) ? 1 : 0) + (has(self.configMapKeyRef) ? 1 : 0) + (has(self.secretKeyRef) ? 1 : 0) == 1",
            "text, configMapKeyRef or secretKeyRef must be set, and only one of them",
            ".text",
            lambda one: [one.text, one.config_map_key_ref, one.secret_key_ref].count(None) == 2,
        ),
        Rule(
            "!has(self.disposition) || self.disposition != 'Inline' || self.contentType.matches('(?i)^image/')",
            "contentType must be an image with disposition Inline",
            ".contentType",
            lambda one: one.disposition is not Disposition.INLINE or one.content_type.lower() in INLINE_TYPES,
        ),
        Rule(
            "!has(self.disposition) || self.disposition != 'Inline' || self.filename.matches('^[A-Za-z0-9._-]+$')",
            "filename must be letters, digits, '.', '_' and '-' with disposition Inline: the HTML shows it as cid:filename",
            ".filename",
            lambda one: one.disposition is not Disposition.INLINE or _INLINE_NAME.fullmatch(one.filename) is not None,
        ),
    )

    filename: FileName = Field(description="Its name, once in the message.")
    content_type: ContentType = Field(
        description="Its type, such as text/csv. Content that is evidently of another type is refused, and so are programs."
    )
    text: Annotated[str, Field(max_length=524_288)] | None = Field(
        None,
        description="Its content; it goes out as UTF-8. An object of more than about a MiB in all is refused by the API server.",
    )
    config_map_key_ref: FileRef | None = Field(None, description="A key of a ConfigMap that holds its content.")
    secret_key_ref: FileRef | None = Field(
        None,
        description='A key of a Secret that holds its content. The Secret must be labelled watchbell.dev/attachment: "true".',
    )
    disposition: Annotated[Disposition, InCode("Attachment")] = Field(
        Disposition.ATTACHMENT,
        description='Attachment, or Inline: an image that the HTML shows as `<img src="cid:filename">`.',
    )


class TemplateUse(Block):
    """Which template makes subject and body."""

    RULES = (
        Rule(
            "has(self.name) != has(self.builtin)",
            "name or builtin must be set, and not both",
            ".name",
            lambda use: (use.name is None) != (use.builtin is None),
        ),
    )

    name: f.Name | None = Field(
        None,
        description="An EmailTemplate of the same namespace. Its subject serves unless `subject` is set.",
    )
    builtin: BuiltinTemplate | None = Field(
        None,
        description="A built-in template. Those of alerts take the parameter `facts`: JSON, as the operator writes it. PasswordReset and "
        "RecoveryCodes work only in the EmailMessage that the operator makes for an AccountRecovery.",
    )

    @property
    def is_for_accounts(self) -> bool:
        """Whether the mail may stand nowhere before it is sent."""
        return self.builtin in {BuiltinTemplate.PASSWORD_RESET, BuiltinTemplate.RECOVERY_CODES}


class MessageParameter(Block):
    """One value for the template."""

    name: Annotated[
        str,
        StringConstraints(min_length=1, max_length=63),
        Matches(r"[A-Za-z][A-Za-z0-9_]*", "name must be letters, digits and '_', beginning with a letter"),
    ] = Field(description="The parameter's name, once in the message.")
    value: Annotated[str, Field(max_length=524_288)] = Field(description="Its value.")


class Batch(Block):
    """Which messages share a mail: those of one namespace with the same key, connector and recipients."""

    key: Annotated[
        str,
        StringConstraints(min_length=1, max_length=63),
        Matches(
            r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?",
            "batch.key must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
        ),
    ] = Field(description="What they have in common, such as nightly-reports.")
    max_wait_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = Field(
        300, description="How long it may wait for others, counted from its creation or from `notBeforeTime`."
    )
    max_messages: Annotated[int, Field(strict=True, ge=2, le=100)] = Field(
        20, description="With so many messages the mail goes out at once."
    )


class EmailMessageSpec(Spec):
    """What to send. It cannot be changed: to hold it suspend the connector, to cancel it delete the object."""

    RULES = (
        immutable("spec may not be changed: delete the EmailMessage and create another"),
        *RECIPIENT_RULES,
        Rule(
            "has(self.body) != has(self.templateRef)",
            "either body or templateRef must be set, and not both",
            ".body",
            lambda spec: (spec.body is None) != (spec.template_ref is None),
        ),
        Rule(
            "has(self.subject) || has(self.templateRef)",
            "subject must be set, unless a template makes it",
            ".subject",
            lambda spec: spec.subject is not None or spec.template_ref is not None,
        ),
        Rule(
            "!has(self.parameters) || has(self.templateRef)",
            "parameters may not be set without templateRef",
            ".parameters",
            lambda spec: not spec.parameters or spec.template_ref is not None,
        ),
        Rule(
            "!has(self.batch) || self.batch.maxWaitSeconds < self.activeDeadlineSeconds",
            "batch.maxWaitSeconds must be smaller than activeDeadlineSeconds",
            ".batch.maxWaitSeconds",
            lambda spec: spec.batch is None or spec.batch.max_wait_seconds < spec.active_deadline_seconds,
        ),
        Rule(
            "!has(self.batch) || !has(self.templateRef) || !has(self.templateRef.builtin) || "
            "!(self.templateRef.builtin in ['PasswordReset', 'RecoveryCodes'])",
            "batch may not be set for account mail",
            ".batch",
            lambda spec: spec.batch is None or spec.template_ref is None or not spec.template_ref.is_for_accounts,
        ),
    )

    connector_ref: Annotated[ConnectorRef | None, InCode("the connector named default")] = Field(
        None, description="The connector that sends it."
    )
    to: ToList = Field((), description="Recipients.")
    cc: CcList = Field((), description="Recipients of a copy.")
    bcc: BccList = Field((), description="Recipients that the others do not see.")
    reply_to: Annotated[ReplyToList, InCode("the connector's")] = Field((), description="Where answers go.")
    subject: Annotated[f.Subject | None, InCode("the template's")] = Field(None, description="The subject, one line.")
    body: Body | None = Field(None, description="The content.")
    template_ref: TemplateUse | None = Field(
        None, description="A template that makes subject and body when the mail is sent."
    )
    parameters: Annotated[tuple[MessageParameter, ...], Field(max_length=32), ListMap("name")] = Field(
        (), description="Values for the template."
    )
    attachments: Annotated[tuple[MessageAttachment, ...], Field(max_length=10), ListMap("filename")] = Field(
        (), description="Files that go with it."
    )
    batch: Batch | None = Field(
        None,
        description="Wait for others and share a mail with them. Those with priority High do not wait and go by themselves.",
    )
    priority: Priority = Field(Priority.NORMAL, description="Which messages of one connector go first.")
    not_before_time: AwareDatetime | None = Field(None, description="Not to be sent before.")
    active_deadline_seconds: Annotated[int, Field(strict=True, ge=1, le=2_592_000)] = Field(
        86_400, description="Give up so long after the message was created."
    )
    on_uncertain: OnUncertain = Field(
        OnUncertain.RESEND_ONCE,
        description="When the server's last reply is lost: ResendOnce (at most one double, with the same Message-ID), Resend, or AssumeSent.",
    )
    on_unavailable: OnUnavailable = Field(
        OnUnavailable.HOLD,
        description="While the connector is suspended, or not ready and no fallback takes over: Hold (until it is, or the deadline is over), or "
        "Discard (the message ends unsent). A limit that is used up always holds.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(strict=True, ge=0, le=31_536_000)] | None = Field(
        None,
        description="Delete the object so long after it finished. Unset: keep it. Leave it unset where Git owns the object: a tool that makes it "
        "again sends the mail again.",
    )


class RecipientResult(Block):
    """The server's word on one recipient."""

    index: Annotated[int, Field(ge=0, le=299)] = Field(
        description="The recipient's place in to, cc and bcc together, from 0."
    )
    result: RecipientState = Field(
        description="Pending, Accepted (by the first server; SMTP tells no more), Refused, Uncertain (the last reply was lost, one more copy may "
        "go out) or Unknown (lost, and never sent again)."
    )
    reason: f.Word | None = Field(None, description="Why, in one word of a closed set.")
    code: f.ReplyCode | None = Field(None, description="The reply code (RFC 5321).")
    enhanced_code: Annotated[str, Field(max_length=16)] | None = Field(
        None, description="The enhanced code (RFC 3463)."
    )


class EmailMessageStatus(Status):
    """How far it has come."""

    attempts: f.Count | None = Field(None, description="Attempts so far; waiting for a connector is none.")
    last_attempt_time: AwareDatetime | None = Field(None, description="When it was last tried.")
    next_attempt_time: AwareDatetime | None = Field(None, description="When it is tried again.")
    completion_time: AwareDatetime | None = Field(None, description="When it was finished, either way.")
    message_id: Annotated[str, Field(max_length=998)] | None = Field(
        None, description="Its Message-ID, the same for every attempt."
    )
    connector: f.Text | None = Field(
        None,
        description="The connector that it last went through, as kind/namespace/name: the named one, or its fallback.",
    )
    recipient_results: Annotated[tuple[RecipientResult, ...], Field(max_length=300), ListMap("index")] = Field(
        (), description="One entry a recipient."
    )
    server_response: f.Text | None = Field(None, description="The server's last reply.")
    content_digest: f.Word | None = Field(
        None,
        description="What was read from elsewhere (a template, ConfigMaps; of Secrets only their versions) when the mail was last tried, as a "
        "SHA-256. Once somebody may have the mail it may not change.",
    )


class EmailMessage(Resource):
    """A mail for the outbox: durable, retried, and settled once a server took it or it cannot be sent."""

    spec: EmailMessageSpec
    status: EmailMessageStatus = Field(default_factory=EmailMessageStatus)
