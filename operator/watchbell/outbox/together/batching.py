"""Which waiting messages share a mail, and when it goes: `spec.batch`, and alerts of one incident that an outage kept. Pure.

Before it: the queue knows which messages wait. After it: the queue gives a sender those that go together; `compilation` makes one mail of them.
Nothing is kept here: who goes together follows from what waits, so a process that takes over finds the same groups.
"""

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from watchbell.api.enums import Priority
from watchbell.mail.message import message_id
from watchbell.outbox.note import Note
from watchbell.outbox.outlet import ConnectorKey

MOST = 100
"""The most that `maxMessages` allows: so many of the oldest are looked at, however many wait."""


class Kind(StrEnum):
    """Why messages may share a mail: their writer said so, or they tell the beginning and the end of one incident."""

    BATCH = "Batch"
    INCIDENT = "Incident"


@dataclass(frozen=True, slots=True)
class Group:
    """What messages that may share a mail have in common. `key` is that of the batch, or the incident's name with the policy and the route."""

    kind: Kind
    namespace: str
    lane: ConnectorKey
    key: str
    recipients: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that waits for others. Times in seconds since the epoch; `most` is how many it wants in its mail.

    The API server tells times in whole seconds. Of one second the names decide, so that a process that takes over makes the same mail.
    """

    uid: str
    name: str
    since: float
    until: float
    most: int


@dataclass(frozen=True, slots=True)
class Share:
    """The oldest that go together, in their order. `is_closed`: no other may join, so they need not wait."""

    members: tuple[Waiting, ...]
    is_closed: bool

    def is_due(self, now: float) -> bool:
        """Whether the mail goes now: it is full, or the first of those in it has waited as long as it would."""
        return self.is_closed or any(one.until <= now for one in self.members)


def group_of(note: Note) -> Group | None:
    """The group of a message; None for one that goes alone: with priority High `batch` does not count."""
    spec, meta = note.spec, note.metadata
    if spec.batch is not None and spec.priority is not Priority.HIGH:
        return _group(note, Kind.BATCH, spec.batch.key)
    if spec.batch is not None or meta.annotations is None or "," in meta.annotations.incidents:
        return None
    incident, _, rest = meta.annotations.incidents.partition(":")
    route = meta.annotations.mark.rpartition("/")[0]
    return _group(note, Kind.INCIDENT, f"{incident} {route}") if incident and rest else None


def _group(note: Note, kind: Kind, key: str) -> Group:
    spec = note.spec
    recipients = tuple(frozenset(texts) for texts in (spec.to, spec.cc, spec.bcc, spec.reply_to))
    return Group(kind, note.metadata.namespace, note.lane, key, recipients)


def sequence_of(note: Note) -> int:
    """The how manieth telling of its incident an alert is; 0 for anything else."""
    _, _, rest = (note.metadata.annotations.incidents if note.metadata.annotations else "").partition(":")
    number = rest.partition(":")[0]
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def waiting_of(note: Note) -> Waiting | None:
    """How long a message of a batch waits; None without a batch."""
    batch = note.spec.batch
    if batch is None:
        return None
    since = max(_seconds(note.metadata.creation_timestamp), _seconds(note.spec.not_before_time))
    return Waiting(note.metadata.uid, note.metadata.name, since, since + batch.max_wait_seconds, batch.max_messages)


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time else 0.0


def share(waiting: Collection[Waiting]) -> Share:
    """The oldest of these that go together: as many as each of them wants in its mail."""
    members: list[Waiting] = []
    most = 0
    for one in heapq.nsmallest(MOST + 1, waiting, key=lambda one: (one.since, one.name, one.uid)):
        wanted = min(most or one.most, one.most)
        if len(members) >= wanted:
            return Share(tuple(members), is_closed=True)
        members.append(one)
        most = wanted
    return Share(tuple(members), is_closed=0 < most <= len(members))


def shared_id(known: Collection[str], uids: Sequence[str], *, may_have_it: bool) -> str:
    """The Message-ID that a mail with these messages keeps; empty for a new one, which follows from `uids`.

    Mail stores show one mail of each Message-ID. So one that told less or more keeps it only where all who get it now may have had it already
    (`may_have_it`): anywhere else it would hide what they have not seen.
    """
    same = set(known)
    if len(same) != 1 or not (found := same.pop()):
        return ""
    return found if may_have_it or is_of(found, uids) else ""


def is_of(identifier: str, uids: Sequence[str]) -> bool:
    """Whether the Message-ID was made for exactly these messages, whatever domain the connector had then."""
    own = message_id((seed(uids),), "own.invalid")
    return identifier.partition("@")[0] == own.partition("@")[0]


def seed(uids: Sequence[str]) -> str:
    """What a mail's Message-ID is made from: of one message its uid, as everywhere; of several all of them."""
    return "+".join(sorted(uids))
