"""Messages that stand in line for a limit or a relay, in their order; each is told once when its turn is expected.

Before it: `gate` said that nothing more of a lane may go for now. After it: the lane pauses, and its messages keep their places in it; those of a
higher priority may still pass. A message whose deadline comes first leaves the line for it. What a message is told is an estimate, and is
told anew only when it was far too early: a backlog costs one write a message, not one each minute.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from watchbell import metrics
from watchbell.outbox.limits.gate import Blocked
from watchbell.outbox.note import progress_of
from watchbell.outbox.outlet import ConnectorKey
from watchbell.outbox.queue import WorkingSet
from watchbell.outbox.retry import Schedule
from watchbell.outbox.settle import Settled
from watchbell.outbox.slot import Slot
from watchbell.outbox.verdict import waiting

TELL_AFTER_S = 5.0
"""A shorter wait is over before anybody has read of it."""
WRONG_BY_S = 90.0
"""More than one window of a minute, by which an estimate is easily off."""
WRONG_BY = 0.25


class Lines:
    """All lanes that pause. `put` has a result written; when it stands, `returned` puts the message back into its place."""

    def __init__(self, workset: WorkingSet, put: Callable[[Slot, Settled], None], schedule: Schedule) -> None:
        self._workset = workset
        self._put = put
        self._schedule = schedule
        self._blocked: dict[tuple[ConnectorKey, int], Blocked] = {}

    def stand(self, slot: Slot, blocked: Blocked, now: float) -> None:
        """This message, and all of its lane that have no higher priority, wait."""
        if blocked.measure is not None:
            metrics.LIMIT_WAITS.labels(blocked.measure.value).inc()
        self._blocked[slot.lane, slot.rank] = blocked
        self._workset.put_back(slot, min(slot.due, now))
        self._workset.pause(slot.lane, slot.rank, blocked.until, now)
        for place, one in enumerate(self._workset.line(slot.lane, slot.rank)):
            self._tell(one, blocked, place, now)

    def tell_newcomers(self, now: float) -> None:
        """Messages that came into a lane while it pauses."""
        for slot, place in self._workset.newcomers():
            blocked = self._blocking(slot, now)
            if blocked is not None:
                self._tell(slot, blocked, place, now)

    def returned(self, slot: Slot, settled: Settled) -> None:
        """What a message was told stands in its status: it goes back to its place, or waits for its deadline if that comes first."""
        deadline = slot.note.deadline
        due = slot.due if settled.due is None or deadline is None or settled.due < deadline else deadline.timestamp()
        self._workset.put_back(slot, due, is_held=due > slot.due)

    # --- inside

    def _blocking(self, slot: Slot, now: float) -> Blocked | None:
        """The pause that a message of this rank is under."""
        found = [
            blocked
            for (lane, rank), blocked in self._blocked.items()
            if lane == slot.lane and rank <= slot.rank and blocked.until > now
        ]
        self._blocked = {key: blocked for key, blocked in self._blocked.items() if blocked.until > now}
        return max(found, key=lambda blocked: blocked.until, default=None)

    def _tell(self, slot: Slot, blocked: Blocked, place: int, now: float) -> None:
        expected = blocked.until + place // blocked.batch * blocked.span_s
        wrong_by_s = max(WRONG_BY_S, (expected - now) * WRONG_BY)
        is_known = expected < slot.promised + wrong_by_s and not self._ends_first(slot, expected)
        if expected - now < TELL_AFTER_S or is_known:
            return
        slot.promised = expected
        self._workset.take_out(slot)
        self._put(slot, self._settled(slot, blocked, expected))

    @staticmethod
    def _ends_first(slot: Slot, expected: float) -> bool:
        """Whether a message that counts on its turn is over before it comes."""
        deadline = slot.note.deadline
        return deadline is not None and slot.due < deadline.timestamp() <= expected

    def _settled(self, slot: Slot, blocked: Blocked, expected: float) -> Settled:
        status = slot.note.status
        known = progress_of(status, len(status.recipient_results), self._schedule.resend_after_s)
        due, deadline = datetime.fromtimestamp(expected, UTC), slot.note.deadline
        return Settled(
            slot.progress or known,
            waiting(blocked.reason, f"{blocked.message}."),
            min(due, deadline) if deadline else due,
            is_in_line=True,
        )
