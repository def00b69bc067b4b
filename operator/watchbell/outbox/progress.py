"""How far a message has come, recipient by recipient: the value that is kept in `status` between attempts. Pure.

Before it: `letters` reads it from the object. After it: `settle` makes the next one of it. It knows no connection and no schedule.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from watchbell.api.message import RecipientState

OPEN = frozenset({RecipientState.PENDING, RecipientState.UNCERTAIN})
"""States in which a recipient may be tried again. `UNCERTAIN`: the last reply was lost once, and one more copy may go out; `UNKNOWN` is final."""


@dataclass(frozen=True, slots=True)
class RecipientProgress:
    """One recipient, in the order to, cc, bcc; reason and codes are the last words about it."""

    state: RecipientState = RecipientState.PENDING
    reason: str | None = None
    code: int | None = None
    enhanced_code: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether this recipient may be tried again."""
        return self.state in OPEN


@dataclass(frozen=True, slots=True)
class Progress:
    """One message between two attempts. `resend_time` is set while a recipient is uncertain: not before it may a second copy go out.

    `connector` is the one that the last attempt went through.
    `content_digest`: what was read from elsewhere for the last attempt, if anything was (`content.digest_of`).
    """

    recipients: tuple[RecipientProgress, ...]
    attempts: int = 0
    last_attempt_time: datetime | None = None
    resend_time: datetime | None = None
    server_response: str = ""
    connector: str = ""
    content_digest: str = ""

    @property
    def has_open(self) -> bool:
        """Whether anything is left to do."""
        return any(recipient.is_open for recipient in self.recipients)

    def due(self, now: datetime) -> tuple[int, ...]:
        """Indexes of the recipients that an attempt at `now` is for, those of whom nothing was heard yet first."""
        may_resend = self.resend_time is None or now >= self.resend_time
        wanted = {RecipientState.PENDING, RecipientState.UNCERTAIN} if may_resend else {RecipientState.PENDING}
        indexes = [i for i, recipient in enumerate(self.recipients) if recipient.state in wanted]
        return tuple(sorted(indexes, key=lambda i: self.recipients[i].reason is not None))

    def with_resend_after(self, resend_after_s: float) -> "Progress":
        """The same, read back from a status that holds no resend time: counted from the last attempt's start."""
        is_uncertain = any(recipient.state is RecipientState.UNCERTAIN for recipient in self.recipients)
        if not is_uncertain or self.last_attempt_time is None:
            return self
        return replace(self, resend_time=self.last_attempt_time + timedelta(seconds=resend_after_s))
