"""One unfinished message, and those that a sender took together, as the queue and everybody who works for it know them. Pure.

Before it: `note` and a body that was handed in. After it: `queue` orders them, `courier` tries them, the ledger writes what became of them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from watchbell.api.message import RecipientState
from watchbell.api.names import API_VERSION
from watchbell.kube.resources import ObjectRef
from watchbell.outbox.note import Note
from watchbell.outbox.outlet import ConnectorKey
from watchbell.outbox.progress import Progress
from watchbell.outbox.together.batching import Group, Waiting

_BODY = msgspec.json.Decoder(dict[str, Any])


class Going(StrEnum):
    """How a sender is to take what it gets: each as a mail of its own, as one mail, or only to say that it waits for others."""

    APART = "Apart"
    TOGETHER = "Together"
    WAITING = "Waiting"


@dataclass(slots=True)
class Slot:
    """One unfinished message.

    `kept` is the whole object as JSON (a tenth of the memory), only while it was handed in and not yet read. `progress` is set by the first attempt;
    `written` is what stands of it in the object's status. `promised` is when it was told that its turn is expected.
    `group`: those that it may share a mail with, and `waiting` how long it waits for them.
    """

    note: Note
    lane: ConnectorKey
    rank: int
    due: float
    entered: float
    kept: bytes = b""
    progress: Progress | None = None
    written: Progress | None = None
    message_id: str = ""
    conditions: tuple[dict[str, Any], ...] = ()
    is_running: bool = False
    is_held: bool = False
    is_stirred: bool = False
    is_gone: bool = False
    promised: float = 0.0
    number: int = 0
    ticket: int = 0
    party: "Party | None" = None
    group: Group | None = None
    waiting: Waiting | None = None

    def learn(self, note: Note) -> None:
        """What the object's status says, before this process has written any."""
        self.note = note
        self.message_id = self.message_id or note.status.message_id
        self.conditions = note.status.conditions

    @property
    def body(self) -> dict[str, Any] | None:
        """The whole object as it was handed in; None when it is not kept and has to be read."""
        return _BODY.decode(self.kept) if self.kept else None

    @property
    def uid(self) -> str:
        """The identity under which everything about the message is kept."""
        return self.note.metadata.uid

    @property
    def since(self) -> float:
        """Since when it could have gone out: its creation (or when it came here, should that not be known), or its notBeforeTime."""
        made, earliest = self.note.metadata.creation_timestamp, self.note.spec.not_before_time
        made_at = made.timestamp() if made else self.entered
        return max(made_at, earliest.timestamp()) if earliest else made_at

    @property
    def attempts(self) -> int:
        """Attempts that count, so far."""
        return self.note.status.attempts if self.progress is None else self.progress.attempts

    @property
    def is_untouched(self) -> bool:
        """Whether no recipient has it, may have it or has refused it: then nobody can tell which mail it was in."""
        states = [one.result for one in self.note.status.recipient_results]
        if self.progress is not None:
            states = [one.state for one in self.progress.recipients]
        return all(state is RecipientState.PENDING for state in states)

    @property
    def made(self) -> float:
        """When its object was made, in seconds since the epoch."""
        time = self.note.metadata.creation_timestamp
        return time.timestamp() if time else self.entered

    @property
    def ref(self) -> ObjectRef:
        """The very object, for its status and its Events."""
        return ObjectRef(API_VERSION, "EmailMessage", self.name, self.namespace, self.uid)

    @property
    def label(self) -> str:
        """For logs: `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def namespace(self) -> str:
        """The message's namespace."""
        return self.note.metadata.namespace

    @property
    def name(self) -> str:
        """The message's name."""
        return self.note.metadata.name


@dataclass(slots=True)
class Party:
    """Messages that one sender took together: they take one of their lane's connections until the last of them is done."""

    left: int
    going: Going = Going.APART
