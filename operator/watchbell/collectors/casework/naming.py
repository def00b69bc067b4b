"""Names that follow from what they stand for (pure), so that whoever starts from the same state writes the same name and 409 means "done".

Before: a group, an incident, a telling. After: objects in the API server, and at a take-over the way back from a message to the tellings in it.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from watchbell.api.enums import Transition

STEM_MAX = 40
SINGLE: Final = 0
"""The number of a mail that is about one telling; those of digests begin at 1."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Member:
    """One telling: which incident, the how manieth of it, and what it says."""

    incident: str
    sequence: int
    transition: Transition

    def __str__(self) -> str:
        return f"{self.incident}:{self.sequence}:{self.transition}"


@dataclass(frozen=True, slots=True)
class BatchMark:
    """Which mail of which policy a message is: the `number`-th digest of a route, or (0) the mail of one telling."""

    policy_uid: str
    route: str
    number: int

    def __str__(self) -> str:
        return f"{self.policy_uid}/{self.route}/{self.number}"


def digest(*parts: str) -> str:
    """Hex digits that stand for the parts, for no other split of the same characters too."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def stem(name: str) -> str:
    """A name as the beginning of another. Whoever makes a pod by hand may write anything into its owner reference."""
    if not _NAME.fullmatch(name):
        name = re.sub(r"[^a-z0-9]+", "-", name.lower())
    return name[:STEM_MAX].strip("-.")


def message_name(incident: str, sequence: int, route: str) -> str:
    """The EmailMessage of one route of one telling."""
    return f"{incident}-{sequence}-{route}"


def digest_name(policy: str, mark: BatchMark) -> str:
    """The EmailMessage of a digest: the next one of its route, whatever it lists."""
    return "-".join(part for part in (stem(policy), "digest", digest(str(mark))[:12]) if part)


def members_text(members: tuple[Member, ...]) -> str:
    """As the annotation of a message lists them."""
    return ",".join(str(member) for member in members)


def read_members(text: str) -> tuple[Member, ...]:
    """The same, back; what cannot be read is left out."""
    found = (_member(part) for part in text.split(","))
    return tuple(member for member in found if member is not None)


def _member(text: str) -> Member | None:
    incident, _, rest = text.partition(":")
    sequence, _, transition = rest.partition(":")
    if not incident or not sequence.isdecimal() or transition not in frozenset(Transition):
        return None
    return Member(incident, int(sequence), Transition(transition))


def read_mark(text: str) -> BatchMark | None:
    """The mark in an annotation, or None."""
    policy_uid, _, rest = text.partition("/")
    route, _, number = rest.rpartition("/")
    return BatchMark(policy_uid, route, int(number)) if policy_uid and route and number.isdecimal() else None
