"""Which message is next: order within a connector, fairness between connectors, and nothing that comes back after its end."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from watchbell.api.enums import ConnectorKind, Priority
from watchbell.outbox.note import Metadata, Note, Reference, Result, Spec, Status, note_of, progress_of
from watchbell.outbox.outlet import ConnectorKey
from watchbell.outbox.queue import QueueState, WorkingSet

NOW = 1_800_000_000.0


def note(uid, connector="main", priority=Priority.NORMAL, namespace="apps", **status):
    ref = Reference(connector) if connector else None
    return Note(Metadata(f"name-{uid}", str(uid), namespace), Spec(ref, priority), Status(**status))


def drain(workset, now=NOW):
    taken = []
    while (slot := workset.take(now)) is not None:
        taken.append(slot.uid)
        workset.finished(slot)
        workset.remove(slot.uid)
    return taken


def test_within_a_connector_priority_goes_first_and_then_age():
    workset = WorkingSet()
    for uid, priority in [("n1", "Normal"), ("l", "Low"), ("n2", "Normal"), ("h", "High")]:
        workset.add(note(uid, priority=Priority(priority)), NOW)
    assert drain(workset) == ["h", "n1", "n2", "l"]


def test_connectors_take_turns_however_long_one_backlog_is():
    workset = WorkingSet()
    for i in range(50):
        workset.add(note(f"long-{i}", "long"), NOW)
    workset.add(note("short", "short"), NOW)
    assert "short" in drain(workset)[:2]


def test_a_connector_takes_no_more_senders_than_it_has_connections():
    workset = WorkingSet(lane_limit=2)
    for i in range(5):
        workset.add(note(f"a{i}", "a"), NOW)
    workset.add(note("b", "b"), NOW)
    slots = [workset.take(NOW) for _ in range(4)]
    assert Counter(slot.lane.name for slot in slots if slot) == {"a": 2, "b": 1}
    workset.finished(slots[0])
    assert workset.take(NOW) is not None
    assert workset.running == 3


def test_a_message_waits_for_its_time():
    workset = WorkingSet()
    later = datetime.fromtimestamp(NOW + 60, UTC)
    workset.add(Note(Metadata("n", "u", "apps"), Spec(not_before_time=later)), NOW)
    assert workset.take(NOW) is None
    assert workset.next_due() == NOW + 60
    assert workset.take(NOW + 60).uid == "u"
    assert workset.next_due() is None


def test_a_planned_attempt_is_kept_over_a_restart():
    workset = WorkingSet()
    workset.add(note("u", next_attempt_time=datetime.fromtimestamp(NOW + 300, UTC), attempts=3), NOW)
    assert workset.next_due() == NOW + 300


def test_a_late_event_does_not_bring_back_what_is_finished():
    workset = WorkingSet()
    workset.add(note("u"), NOW)
    assert drain(workset) == ["u"]
    assert not workset.add(note("u"), NOW)
    assert not workset.add(note("done", completion_time=datetime.fromtimestamp(NOW, UTC)), NOW)
    assert len(workset) == 0


def test_a_message_that_is_deleted_while_it_is_sent_leaves_afterwards():
    workset = WorkingSet()
    workset.add(note("u"), NOW)
    slot = workset.take(NOW)
    workset.cancel("u")
    assert "u" in workset
    workset.finished(slot)
    workset.put_back(slot, NOW + 1)
    assert "u" not in workset
    assert workset.take(NOW + 2) is None


def test_held_messages_come_at_once_when_their_connector_changes():
    workset = WorkingSet()
    lanes = {
        "named": Reference("main"),
        "cluster": Reference("main", ConnectorKind.CLUSTER_SMTP_CONNECTOR),
        "default": None,
    }
    for uid, ref in lanes.items():
        workset.add(Note(Metadata(uid, uid, "apps"), Spec(ref)), NOW)
    for slot in [workset.take(NOW) for _ in lanes]:
        workset.finished(slot)
        workset.put_back(slot, NOW + 3600, is_held=True)
    assert workset.take(NOW) is None
    assert workset.release(ConnectorKey("SmtpConnector", "other", "main"), NOW) == 0
    for key, uid in [
        (ConnectorKey("SmtpConnector", "apps", "main"), "named"),
        (ConnectorKey("ClusterSmtpConnector", "", "main"), "cluster"),
        (ConnectorKey("ClusterSmtpConnector", "", "default"), "default"),
    ]:
        assert workset.release(key, NOW) == 1
        assert workset.take(NOW).uid == uid


def test_a_held_message_is_looked_at_again_without_any_change():
    workset = WorkingSet()
    workset.add(note("u"), NOW)
    slot = workset.take(NOW)
    workset.finished(slot)
    workset.put_back(slot, NOW + 3600, is_held=True)
    assert workset.take(NOW + 3600).uid == "u"
    assert workset.release(slot.lane, NOW) == 0


def test_texts_of_a_long_backlog_are_not_kept():
    workset = WorkingSet(bodies_max_bytes=2 * len(b'{"spec":{}}'))
    for i in range(4):
        workset.add(note(i), NOW, {"spec": {}})
    kept = [workset.get(str(i)).body is not None for i in range(4)]
    assert kept == [True, True, False, False]


def test_an_answer_that_comes_after_the_watch_still_saves_a_read():
    workset = WorkingSet()
    workset.add(note("u"), NOW)
    assert not workset.add(note("u"), NOW, {"spec": {}})
    assert workset.take(NOW).body == {"spec": {}}


def dated(uid, connector="main", age_s=0.0, not_before=None):
    made = datetime.fromtimestamp(NOW - age_s, UTC)
    start = None if not_before is None else datetime.fromtimestamp(not_before, UTC)
    spec = Spec(Reference(connector), not_before_time=start)
    return Note(Metadata(f"name-{uid}", uid, "apps", creation_timestamp=made), spec)


def test_every_message_is_counted_in_the_state_in_which_it_waits():
    workset = WorkingSet()
    assert workset.census(NOW) == dict.fromkeys(QueueState, (0, 0.0))
    workset.add(dated("sent", age_s=10), NOW)
    sending = workset.take(NOW)
    for uid, age_s in (("held", 900), ("retry", 60), ("ready", 30)):
        workset.add(dated(uid, uid, age_s), NOW)
    workset.put_back(workset.get("held"), NOW + 600, is_held=True)
    workset.put_back(workset.get("retry"), NOW + 600)
    assert workset.census(NOW) == {
        QueueState.SENDING: (1, 10),
        QueueState.HELD: (1, 900),
        QueueState.SCHEDULED: (1, 60),
        QueueState.READY: (1, 30),
    }
    workset.finished(sending)
    assert workset.census(NOW)[QueueState.SENDING] == (1, 10), "its result is not written yet"
    workset.remove("sent")
    assert workset.census(NOW)[QueueState.SENDING] == (0, 0)


def test_a_message_ages_from_the_time_from_which_it_may_go():
    workset = WorkingSet()
    workset.add(dated("later", age_s=3600, not_before=NOW + 60), NOW)
    assert workset.census(NOW)[QueueState.SCHEDULED] == (1, 0)
    assert workset.census(NOW + 90)[QueueState.READY] == (1, 30)


def test_a_clock_that_is_behind_the_api_server_makes_no_age_below_zero():
    workset = WorkingSet()
    workset.add(dated("new", age_s=-5), NOW)
    assert workset.census(NOW)[QueueState.READY] == (1, 0)


def test_a_note_is_read_from_an_object_with_all_that_the_status_remembers():
    body = {
        "metadata": {
            "name": "n",
            "namespace": "apps",
            "uid": "u",
            "generation": 1,
            "creationTimestamp": "2026-11-21T08:00:00Z",
        },
        "spec": {
            "to": ["a@example.org"],
            "subject": "s",
            "body": {"text": "t"},
            "connectorRef": {"name": "main"},
            "priority": "High",
        },
        "status": {
            "attempts": 2,
            "messageID": "<m@example.com>",
            "lastAttemptTime": "2026-11-21T08:01:00Z",
            "recipientResults": [{"index": 1, "result": "Uncertain", "reason": "DeliveryOutcomeUnknown"}],
        },
    }
    found = note_of(body)
    assert found.lane == ConnectorKey("SmtpConnector", "apps", "main")
    assert found.status.message_id == "<m@example.com>"
    progress = progress_of(found.status, 3, 600)
    assert [recipient.state.value for recipient in progress.recipients] == ["Pending", "Uncertain", "Pending"]
    assert progress.resend_time == datetime(2026, 11, 21, 8, 11, tzinfo=UTC)
    assert progress_of(Status(recipient_results=(Result(0, "Accepted"),)), 1, 600).has_open is False


class Life(RuleBasedStateMachine):
    """Any order of events: each unfinished message is waiting, ready or running, exactly once, and is offered again in the end."""

    def __init__(self):
        super().__init__()
        self.workset = WorkingSet(lane_limit=2)
        self.now = NOW
        self.alive = set()
        self.running = {}
        self.made = 0

    @rule(connector=st.sampled_from("abc"), priority=st.sampled_from(Priority))
    def arrive(self, connector, priority):
        self.made += 1
        uid = str(self.made)
        assert self.workset.add(note(uid, connector, priority), self.now)
        self.alive.add(uid)

    @rule(most=st.integers(1, 4))
    def take(self, most):
        for slot in self.workset.take_party(self.now, most):
            assert slot.uid in self.alive
            assert slot.uid not in self.running
            self.running[slot.uid] = slot

    @precondition(lambda self: self.running)
    @rule(delay_s=st.integers(0, 100), is_held=st.booleans())
    def give_back(self, delay_s, is_held):
        uid, slot = self.running.popitem()
        self.workset.finished(slot)
        self.workset.put_back(slot, self.now + delay_s, is_held=is_held)
        if slot.is_gone:
            self.alive.discard(uid)

    @precondition(lambda self: self.running)
    @rule()
    def finish(self):
        uid, slot = self.running.popitem()
        self.workset.finished(slot)
        self.workset.remove(uid)
        self.alive.discard(uid)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def delete(self, data):
        uid = data.draw(st.sampled_from(sorted(self.alive)))
        self.workset.cancel(uid)
        if uid not in self.running:
            self.alive.discard(uid)

    @rule(connector=st.sampled_from("abc"))
    def change(self, connector):
        self.workset.release(ConnectorKey("SmtpConnector", "apps", connector), self.now)

    @rule(connector=st.sampled_from("abc"), rank=st.integers(0, 2), for_s=st.integers(1, 200))
    def pause(self, connector, rank, for_s):
        lane = ConnectorKey("SmtpConnector", "apps", connector)
        self.workset.pause(lane, rank, self.now + for_s, self.now)
        line = self.workset.line(lane, rank)
        assert not {slot.uid for slot in line} & self.running.keys()
        for slot in line[:1]:
            self.workset.take_out(slot)
            self.workset.put_back(slot, slot.due)

    @rule(by_s=st.integers(1, 50))
    def wait(self, by_s):
        self.now += by_s

    @invariant()
    def counts_agree(self):
        assert len(self.workset) == len(self.alive)
        assert self.workset.running == len(self.running)

    def teardown(self):
        for uid, slot in self.running.items():
            self.workset.finished(slot)
            self.workset.put_back(slot, self.now)
            if slot.is_gone:
                self.alive.discard(uid)
        assert set(drain(self.workset, self.now + timedelta(days=1).total_seconds())) == self.alive
        assert not self.workset._lanes
        assert not self.workset._held
        assert not self.workset._paused


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def held(uid, reason="ConnectorNotReady", attempts=0):
    told = {"type": "Succeeded", "status": "Unknown", "reason": reason, "message": ""}
    later = datetime.fromtimestamp(NOW + 3600, UTC)
    return note(uid, next_attempt_time=later, attempts=attempts, conditions=(told,))


def test_a_message_whose_connector_became_ready_while_its_answer_was_written_is_not_held():
    workset = WorkingSet()
    workset.add(note("a"), NOW)
    slot = workset.take(NOW)
    workset.finished(slot)
    workset.release(slot.lane, NOW)
    workset.put_back(slot, NOW + 3600, is_held=True)
    assert workset.take(NOW) is slot
    workset.finished(slot)
    workset.put_back(slot, NOW + 3600, is_held=True)
    assert workset.take(NOW) is None


def test_a_message_that_an_earlier_process_left_waiting_for_its_connector_is_looked_at_once():
    workset = WorkingSet()
    workset.add(held("nothing-tried"), NOW)
    workset.add(held("after-a-refused-login", "Retrying"), NOW)
    workset.add(held("after-a-try", "Retrying", attempts=1), NOW)
    assert sorted(drain(workset)) == ["after-a-refused-login", "nothing-tried"]
    assert drain(workset, NOW + 3600) == ["after-a-try"]


def test_a_new_message_from_the_watch_waits_a_moment_for_its_body_and_goes_at_once_when_it_is_handed_in():
    workset = WorkingSet(grace_s=0.02)
    message = note("a")
    assert workset.add(message, 100.0)
    assert workset.take(100.0) is None
    assert workset.add(message, 100.005, {"whole": "object"})
    slot = workset.take(100.005)
    assert slot is not None
    assert slot.body == {"whole": "object"}


def test_a_new_message_that_nobody_hands_in_goes_after_the_moment():
    workset = WorkingSet(grace_s=0.02)
    workset.add(note("a"), 100.0)
    assert workset.next_due() == 100.02
    assert workset.take(100.02) is not None


def test_one_sender_takes_several_of_a_lane_in_their_order_and_one_connection_for_all():
    workset = WorkingSet(lane_limit=1)
    for uid, priority in (
        ("low", Priority.LOW),
        ("a", Priority.NORMAL),
        ("high", Priority.HIGH),
        ("b", Priority.NORMAL),
    ):
        workset.add(note(uid, "c", priority), NOW)
    party = workset.take_party(NOW, 3)
    assert [slot.uid for slot in party] == ["high", "a", "b"]
    assert workset.running == 3
    for slot in party[:2]:
        workset.finished(slot)
    assert workset.take_party(NOW, 3) == ()
    workset.finished(party[2])
    assert [slot.uid for slot in workset.take_party(NOW, 3)] == ["low"]


def test_what_is_ready_is_shared_by_the_connections_that_are_free():
    workset = WorkingSet(lane_limit=2)
    for uid in "abcde":
        workset.add(note(uid), NOW)
    assert [[slot.uid for slot in workset.take_party(NOW, 16)] for _ in range(3)] == [["a", "b", "c"], ["d", "e"], []]


def test_a_lane_gets_more_connections_when_its_limit_is_known_and_keeps_them():
    workset = WorkingSet(lane_limit=1)
    for uid in "abc":
        workset.add(note(uid), NOW)
    first = workset.take(NOW)
    assert workset.take(NOW) is None
    workset.widen(first.lane, 2)
    second = workset.take(NOW)
    assert second is not None
    assert workset.take(NOW) is None
    for slot in (first, second):
        workset.finished(slot)
        workset.remove(slot.uid)
    drain(workset)
    workset.add(note("d"), NOW)
    workset.add(note("e"), NOW)
    assert workset.take(NOW) is not None
    assert workset.take(NOW) is not None


MAIN = ConnectorKey("SmtpConnector", "apps", "main")


def test_a_lane_that_pauses_keeps_its_order_and_lets_a_higher_priority_pass():
    workset = WorkingSet(lane_limit=3)
    for uid, priority in (("a", Priority.NORMAL), ("low", Priority.LOW), ("b", Priority.NORMAL)):
        workset.add(note(uid, priority=priority), NOW)
    workset.add(note("other", "another"), NOW)
    workset.pause(MAIN, 1, NOW + 60, NOW)
    assert [slot.uid for slot in workset.line(MAIN, 1)] == ["a", "b", "low"]
    assert drain(workset) == ["other"]
    workset.add(note("high", priority=Priority.HIGH), NOW)
    assert drain(workset) == ["high"]
    assert workset.next_due() == NOW + 60
    assert drain(workset, NOW + 60) == ["a", "b", "low"]


def test_a_party_ends_where_the_pause_begins():
    workset = WorkingSet()
    for uid, priority in (("high", Priority.HIGH), ("a", Priority.NORMAL)):
        workset.add(note(uid, priority=priority), NOW)
    workset.pause(MAIN, 1, NOW + 60, NOW)
    assert [slot.uid for slot in workset.take_party(NOW, 16)] == ["high"]


def test_pauses_of_two_priorities_end_each_at_its_time():
    workset = WorkingSet()
    for uid, priority in (("high", Priority.HIGH), ("a", Priority.NORMAL)):
        workset.add(note(uid, priority=priority), NOW)
    workset.pause(MAIN, 1, NOW + 3600, NOW)
    workset.pause(MAIN, 0, NOW + 60, NOW)
    assert drain(workset) == []
    assert drain(workset, NOW + 60) == ["high"]
    assert drain(workset, NOW + 3600) == ["a"]


def test_a_change_of_the_connector_ends_the_pause():
    workset = WorkingSet()
    workset.add(note("a"), NOW)
    workset.pause(MAIN, 0, NOW + 3600, NOW)
    assert workset.release(MAIN, NOW) == 1
    assert drain(workset) == ["a"]


def test_newcomers_of_a_lane_that_pauses_are_named_once_with_how_many_stand_before_them():
    workset = WorkingSet()
    workset.add(note("a"), NOW)
    workset.pause(MAIN, 0, NOW + 3600, NOW)
    workset.line(MAIN, 0)
    workset.add(note("b"), NOW)
    workset.add(note("elsewhere", "another"), NOW)
    assert workset.take(NOW).uid == "elsewhere"
    assert [(slot.uid, place) for slot, place in workset.newcomers()] == [("b", 1)]
    assert workset.newcomers() == []


def test_a_message_whose_deadline_is_over_waits_for_no_pause():
    workset = WorkingSet()
    created = datetime.fromtimestamp(NOW - 100, UTC)
    meta = Metadata("n", "over", "apps", creation_timestamp=created)
    workset.add(Note(meta, Spec(Reference("main"), active_deadline_seconds=50)), NOW)
    workset.add(note("a"), NOW)
    workset.pause(MAIN, 0, NOW + 3600, NOW)
    assert drain(workset) == ["over"]
