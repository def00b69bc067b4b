"""A line of the journal: what is known of one message while its body may be on the wire. Pure.

Before it: the courier makes one for each message that it is about to send. After it: `page` keeps the lines in the cluster, and whoever takes over
reads in them which mails may be out.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec


class Accepted(msgspec.Struct, frozen=True):
    """The server took the message for all recipients of the entry: (code, enhanced code) of each. Its result need not be written at once then."""

    response: str
    codes: tuple[tuple[int | None, str | None], ...]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message whose body may be on the wire: attempt number `attempt`, for the recipients at these indexes.

    Those of one `party` go one after the other, by `place`, each only when it stands here that the one before was taken.
    """

    uid: str
    namespace: str
    name: str
    attempt: int
    started: datetime
    indexes: tuple[int, ...]
    message_id: str
    accepted: Accepted | None = None
    party: str = ""
    place: int = 0
    content_digest: str = ""


def line_of(entry: Entry) -> str:
    """The entry as one line of JSON."""
    return msgspec.json.encode(entry).decode()


def entry_of(line: str) -> Entry | None:
    """The entry in a line; None where it holds none."""
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.MsgspecError:
        return None


def doubtful(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Of what a process left behind, the messages that may be out and are not known to be: of each party the first that was not taken."""
    first: dict[str, Entry] = {}
    for entry in entries:
        if entry.accepted is None:
            party = entry.party or f"alone:{entry.uid}"
            if party not in first or entry.place < first[party].place:
                first[party] = entry
    return tuple(first.values())
