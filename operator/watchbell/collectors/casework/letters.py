"""A mail as an EmailMessage (pure): who gets it, which tellings are in it, and what it says.

Before: `telling` and `mailroom` rendered it for a route. After: they create it. The object is the record of who was told what: its annotations list
the tellings, so a process that takes over knows them although no incident's status says so yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchbell.api import names
from watchbell.api.enums import Severity
from watchbell.collectors.casework.incidents import Group, Incident
from watchbell.collectors.casework.naming import BatchMark, Member, members_text
from watchbell.kube.resources import custom
from watchbell.mail.builtin import FACTS, Packed
from watchbell.mail.document import Rendered

MESSAGES = custom("emailmessages")
INCIDENT_KIND = "CollectorIncident"
MANAGED_BY = "watchbell"
MESSAGE_TTL_S = 604_800
"""A week: as long as its incident is kept after its end."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail: to whom, by which connector (as the route has it), and what it says: facts for a built-in template, or finished text."""

    route: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    connector_ref: Mapping[str, str] | None
    content: Packed | Rendered


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a mail is to the operator: its name, its mark, the tellings in it and the incidents that they are of, the first of which leads."""

    name: str
    mark: BatchMark
    members: tuple[Member, ...]
    incidents: tuple[Incident, ...]
    thread: str
    severity: Severity


def thread_key(incident: Incident) -> str:
    """What all mails of the incident have in common: the thread of its first one, which may be a digest's."""
    return incident.thread or incident.uid


def labels(group: Group) -> dict[str, str]:
    """What objects that are made for a policy are found by."""
    # A label's value ends at 63 characters, a policy's name at 253; the reference in the spec is always whole.
    named = {names.LABEL_POLICY: group.policy} if len(group.policy) <= 63 else {}
    return {names.LABEL_MANAGED_BY: MANAGED_BY} | named


def message_body(envelope: Envelope, letter: Letter) -> dict[str, Any]:
    """The EmailMessage; owned by its incidents, so it goes when the last of them goes."""
    group = envelope.incidents[0].group
    alone = {names.LABEL_FINGERPRINT: group.fingerprint} if len(envelope.incidents) == 1 else {}
    spec: dict[str, Any] = {
        "to": list(letter.to),
        "cc": list(letter.cc),
        "bcc": list(letter.bcc),
        "connectorRef": dict(letter.connector_ref) if letter.connector_ref else None,
        "subject": letter.content.subject,
        **_content(letter.content),
        "priority": "High" if envelope.severity is Severity.CRITICAL else "Normal",
        "ttlSecondsAfterFinished": MESSAGE_TTL_S,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": "EmailMessage",
        "metadata": {
            "name": envelope.name,
            "namespace": group.namespace,
            "labels": labels(group) | alone,
            "annotations": {
                names.ANNOTATION_THREAD: envelope.thread,
                names.ANNOTATION_INCIDENTS: members_text(envelope.members),
                names.ANNOTATION_BATCH: str(envelope.mark),
            },
            "ownerReferences": [_owner_reference(item, is_first=not i) for i, item in enumerate(envelope.incidents)],
        },
        "spec": {key: value for key, value in spec.items() if value not in (None, [], "")},
    }


def _content(content: Packed | Rendered) -> dict[str, Any]:
    if isinstance(content, Packed):
        facts = {"name": FACTS, "value": content.facts}
        return {"templateRef": {"builtin": str(content.builtin)}, "parameters": [facts]}
    return {
        "body": {"text": content.text, "html": content.html} if content.html else {"text": content.text},
        "attachments": [
            {"filename": item.filename, "contentType": item.content_type, "text": item.text}
            for item in content.attachments
        ],
    }


def _owner_reference(incident: Incident, *, is_first: bool) -> dict[str, Any]:
    reference: dict[str, Any] = {
        "apiVersion": names.API_VERSION,
        "kind": INCIDENT_KIND,
        "name": incident.name,
        "uid": incident.uid,
    }
    return reference | ({"controller": True} if is_first else {})
