"""An EmailMessage as the queue sees it: where it goes and how far it has come, without its text. Pure.

Before it: the informer decodes straight into `Note`, and a message handed in at creation is converted to it. After it: `workset` keeps one `Slot`
for each unfinished message, some 1 KiB however long the mail; `letter` reads the rest when its time has come.
"""

from datetime import datetime
from typing import Any

import msgspec

from watchbell.api.conditions import find
from watchbell.api.enums import ConnectorKind, Priority
from watchbell.api.message import RecipientState
from watchbell.api.names import ANNOTATION_BATCH, ANNOTATION_INCIDENTS, DEFAULT_CONNECTOR
from watchbell.api.reasons import Reason
from watchbell.outbox.outlet import ConnectorKey
from watchbell.outbox.progress import Progress, RecipientProgress
from watchbell.outbox.retry import deadline


class Annotations(msgspec.Struct, frozen=True):
    """Which tellings of which incidents an alert carries (`incident:sequence:transition`), and for whom: `policy/route/number`."""

    incidents: str = msgspec.field(name=ANNOTATION_INCIDENTS, default="")
    mark: str = msgspec.field(name=ANNOTATION_BATCH, default="")


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """The part of the metadata that matters here."""

    name: str
    uid: str
    namespace: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    annotations: Annotations | None = None


class Reference(msgspec.Struct, frozen=True):
    """`spec.connectorRef`."""

    name: str
    kind: ConnectorKind = ConnectorKind.SMTP_CONNECTOR


class Batch(msgspec.Struct, frozen=True, rename="camel"):
    """`spec.batch`."""

    key: str
    max_wait_seconds: int = 300
    max_messages: int = 20


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    """What decides when, where and with whom."""

    connector_ref: Reference | None = None
    priority: Priority = Priority.NORMAL
    not_before_time: datetime | None = None
    ttl_seconds_after_finished: int | None = None
    active_deadline_seconds: int | None = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    batch: Batch | None = None


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """One entry of `status.recipientResults`."""

    index: int
    result: RecipientState
    reason: str | None = None
    code: int | None = None
    enhanced_code: str | None = None


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """What the outbox wrote after the last attempt."""

    attempts: int = 0
    last_attempt_time: datetime | None = None
    next_attempt_time: datetime | None = None
    completion_time: datetime | None = None
    message_id: str = msgspec.field(name="messageID", default="")
    connector: str = ""
    recipient_results: tuple[Result, ...] = ()
    content_digest: str = ""
    conditions: tuple[dict[str, Any], ...] = ()


class Note(msgspec.Struct, frozen=True):
    """One message without its text."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do for it."""
        return self.status.completion_time is not None or self.metadata.deletion_timestamp is not None

    @property
    def deadline(self) -> datetime | None:
        """When it is given up."""
        created = self.metadata.creation_timestamp
        return created and deadline(created, self.spec.not_before_time, self.spec.active_deadline_seconds)

    @property
    def is_held(self) -> bool:
        """Whether an earlier process left it waiting for its connector: nothing was tried, or nothing that counts against the message."""
        if self.status.next_attempt_time is None:
            return False
        told = find(self.status.conditions, "Succeeded") or {}
        if told.get("reason") == Reason.BATCHED:
            return False
        return self.status.attempts == 0 or told.get("reason") not in {None, Reason.RETRYING}

    @property
    def lane(self) -> ConnectorKey:
        """The connector it names; without a reference the default one of its namespace, which has no kind here."""
        return lane_of(self.metadata.namespace, self.spec.connector_ref)


def lane_of(namespace: str, ref: Reference | None) -> ConnectorKey:
    """All messages of a lane go through the same connector, so one lane never waits for another."""
    if ref is None:
        return ConnectorKey("", namespace, DEFAULT_CONNECTOR)
    return ConnectorKey(ref.kind, "" if ref.kind is ConnectorKind.CLUSTER_SMTP_CONNECTOR else namespace, ref.name)


def note_of(body: dict[str, Any]) -> Note:
    """From a decoded object. Raises msgspec.ValidationError for what the schema of the CRD cannot have let through."""
    return msgspec.convert(body, Note)


def progress_of(status: Status, recipient_count: int, resend_after_s: float) -> Progress:
    """What the status remembers. A lost reply is waited for anew from the last attempt's time, which is never too short."""
    known = {result.index: result for result in status.recipient_results}
    recipients = tuple(
        RecipientProgress(found.result, found.reason, found.code, found.enhanced_code)
        if (found := known.get(i))
        else RecipientProgress()
        for i in range(recipient_count)
    )
    known_so_far = Progress(
        recipients,
        status.attempts,
        status.last_attempt_time,
        connector=status.connector,
        content_digest=status.content_digest,
    )
    return known_so_far.with_resend_after(resend_after_s)
