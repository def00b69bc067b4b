"""Messages in line, in simulated time: in order, told once, never above the limit, and all of them out in the end."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.enums import Priority
from watchbell.api.reasons import Reason
from watchbell.mail.address import Mailbox
from watchbell.outbox.limits.gate import Blocked, Gate, Pass, Request
from watchbell.outbox.limits.lines import Lines
from watchbell.outbox.note import Metadata, Note, Reference, Spec
from watchbell.outbox.outlet import Allowance, ConnectorKey, Outlet, OutletLimits
from watchbell.outbox.queue import WorkingSet
from watchbell.outbox.retry import DEFAULT_SCHEDULE
from watchbell.smtp.model import Relay

NOW = 1_800_000_000.0
LANE = ConnectorKey("SmtpConnector", "apps", "main")


class World:
    """The outbox without API server and relay: what is granted counts as sent at once, what is told stands at once."""

    def __init__(self, **allowance):
        self.now = NOW
        self.workset = WorkingSet()
        self.gate = Gate(DEFAULT_SCHEDULE)
        self.lines = Lines(self.workset, self.tell, DEFAULT_SCHEDULE)
        self.told = {}
        self.writes = Counter()
        self.sent = []
        self.over = []
        limits = OutletLimits(allowances=(Allowance("main", **allowance),))
        self.outlet = Outlet(LANE, Relay("mail.example.com", 587), Mailbox("", "a@example.com"), limits=limits)
        self.waiting = []

    def tell(self, slot, settled):
        assert settled.is_in_line
        assert settled.verdict.reason is Reason.RATE_LIMITED
        self.told[slot.uid] = settled.due.timestamp()
        self.writes[slot.uid] += 1
        self.waiting.append((slot, settled))

    def arrive(self, uid, priority=Priority.NORMAL, deadline_s=None):
        meta = Metadata(uid, uid, "apps", creation_timestamp=datetime.fromtimestamp(self.now, UTC))
        self.workset.add(Note(meta, Spec(Reference("main"), priority, active_deadline_seconds=deadline_s)), self.now)

    def run(self, until=None):
        """Until nothing may be done before `until`."""
        while True:
            self._work()
            due = self.workset.next_due()
            if due is None or (until is not None and due > until):
                break
            self.now = max(self.now, due)
        if until is not None:
            self.now = until

    def _work(self):
        while slots := self.workset.take_party(self.now, 4):
            for slot in slots:
                self._attempt(slot)
            self._write()
        self.lines.tell_newcomers(self.now)
        self._write()
        if self.workset.next_due() is not None and self.workset.next_due() <= self.now:
            self._work()

    def _attempt(self, slot):
        self.workset.finished(slot)
        if slot.note.deadline.timestamp() <= self.now:
            self.over.append((self.now, slot.uid))
            self.workset.remove(slot.uid)
            return
        is_high = slot.note.spec.priority is Priority.HIGH
        answer = self.gate.admit(self.outlet, Request(slot.lane, 1, is_high=is_high), self.now)
        if isinstance(answer, Pass):
            self.gate.ended(answer, None, self.now)
            self.sent.append((self.now, slot.uid))
            self.workset.remove(slot.uid)
        else:
            assert isinstance(answer, Blocked)
            self.lines.stand(slot, answer, self.now)

    def _write(self):
        waiting, self.waiting = self.waiting, []
        for slot, settled in waiting:
            self.lines.returned(slot, settled)

    @property
    def order(self):
        return [uid for _, uid in self.sent]


def test_a_backlog_goes_in_its_order_and_each_is_told_once_and_nearly_right():
    world = World(messages_per_minute=5)
    for i in range(60):
        world.arrive(f"{i:02}")
    world.run()
    assert world.order == [f"{i:02}" for i in range(60)]
    assert set(world.writes) == {f"{i:02}" for i in range(5, 60)}
    assert set(world.writes.values()) == {1}
    for at, uid in world.sent[5:]:
        assert abs(at - world.told[uid]) <= 62


def test_who_comes_later_stands_behind_and_is_told_so():
    world = World(messages_per_minute=2)
    for uid in ("a", "b", "c"):
        world.arrive(uid)
    world.run(NOW + 10)
    for uid in ("d", "e"):
        world.arrive(uid)
    world.run(NOW + 11)
    assert world.told["c"] < world.told["d"] <= world.told["e"]
    world.run()
    assert world.order == ["a", "b", "c", "d", "e"]


def test_high_passes_the_line_within_what_is_kept_back_for_it():
    world = World(messages_per_minute=20)
    for i in range(40):
        world.arrive(f"{i:02}")
    world.run(NOW + 1)
    assert len(world.sent) == 18
    for i in range(3):
        world.arrive(f"high{i}", Priority.HIGH)
    world.run(NOW + 2)
    assert world.order[18:] == ["high0", "high1"]
    world.run()
    assert world.order[20] == "high2"
    assert sorted(world.order[21:]) == [f"{i:02}" for i in range(18, 40)]


@pytest.mark.parametrize("deadline_s", [30, 3600, 80_000])
def test_a_message_leaves_the_line_at_its_deadline(deadline_s):
    world = World(messages_per_day=1)
    world.arrive("first")
    world.arrive("late", deadline_s=deadline_s)
    world.run(NOW + deadline_s + 1)
    assert world.order == ["first"]
    assert world.over == [(NOW + deadline_s, "late")]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_comes_when_all_go_out_and_never_too_many_at_once(data):
    limit = data.draw(st.integers(1, 12))
    world = World(messages_per_minute=limit)
    steps = data.draw(
        st.lists(st.tuples(st.floats(0, 50), st.sampled_from(Priority), st.integers(0, 9)), min_size=1, max_size=50)
    )
    alive = set()
    for i, (gap, priority, luck) in enumerate(steps):
        world.run(world.now + gap)
        world.arrive(f"{i:02}", priority)
        alive.add(f"{i:02}")
        if luck == 0 and (waiting := alive - set(world.order)):
            victim = data.draw(st.sampled_from(sorted(waiting)))
            world.workset.cancel(victim)
            alive.discard(victim)
    world.run()
    assert set(world.order) == alive
    times = [at for at, _ in world.sent]
    assert all(later - first >= 60 for first, later in zip(times, times[limit:], strict=False))
    for priority in Priority:
        same = [uid for uid in world.order if steps[int(uid)][1] is priority]
        assert same == sorted(same), "within a priority nobody is overtaken"
    assert len(world.workset) == 0
    if len({priority for _, priority, _ in steps}) == 1:
        # Whom nobody may pass is told once more at most.
        assert max(world.writes.values(), default=0) <= 2
