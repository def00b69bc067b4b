"""Who shares a mail and when it goes: nothing is lost, doubled, late or too many, whatever comes in whatever order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.enums import Priority
from watchbell.api.message import RecipientState
from watchbell.mail.message import message_id
from watchbell.outbox.note import Annotations, Batch, Metadata, Note, Reference, Result, Spec, Status
from watchbell.outbox.outlet import ConnectorKey
from watchbell.outbox.progress import Progress, RecipientProgress
from watchbell.outbox.queue import WorkingSet
from watchbell.outbox.slot import Going
from watchbell.outbox.together.batching import Kind, Waiting, group_of, is_of, seed, share, shared_id

NOW = 1_800_000_000.0


def at(seconds):
    return datetime.fromtimestamp(NOW + seconds, UTC)


def note(uid, made_s=0, batch=("reports", 60, 3), incidents="", status=None, **spec):
    meta = Metadata(
        f"name-{uid}",
        str(uid),
        "apps",
        creation_timestamp=at(made_s),
        annotations=Annotations(incidents, "policy/route/0"),
    )
    wanted = {"connector_ref": Reference("main"), "to": ("ops@example.org",)} | spec
    return Note(meta, Spec(batch=Batch(*batch) if batch else None, **wanted), status or Status())


def take(workset, now):
    """What the next sender gets; a message that is only to say that it waits is put back to wait."""
    while slots := workset.take_party(now, 16):
        going = slots[0].party.going
        for slot in slots:
            workset.finished(slot)
        if going is not Going.WAITING:
            for slot in slots:
                workset.remove(slot.uid)
            return [slot.uid for slot in slots]
        workset.put_back(slots[0], slots[0].waiting.until)
    return []


# --- which and when


WAITINGS = st.lists(
    st.builds(
        lambda since, wait, most: (since, wait, most), st.integers(0, 100), st.integers(1, 60), st.integers(2, 6)
    ),
    max_size=30,
).map(lambda rows: [Waiting(f"u{i}", f"n{i}", s, s + w, m) for i, (s, w, m) in enumerate(rows)])


@settings(deadline=None)
@given(WAITINGS)
def test_a_share_holds_the_oldest_in_their_order_and_never_more_than_any_of_them_wants(waiting):
    found = share(waiting)
    assert len(found.members) <= min((one.most for one in found.members), default=0)
    ordered = sorted(waiting, key=lambda one: (one.since, one.name, one.uid))
    assert list(found.members) == ordered[: len(found.members)]
    assert bool(found.members) == bool(waiting)


@settings(deadline=None)
@given(WAITINGS, st.randoms())
def test_a_share_does_not_depend_on_the_order_in_which_messages_are_seen(waiting, chance):
    mixed = list(waiting)
    chance.shuffle(mixed)
    assert share(mixed) == share(waiting)


def live(notes, *, kills=()):
    """Every message comes when it was made; the queue is asked at every moment at which it says that something is due, and sends at once."""
    workset, sent = WorkingSet(), []
    left = sorted(notes, key=lambda one: one.metadata.creation_timestamp)
    gone: set[str] = set()
    now = NOW
    while True:
        while left and left[0].metadata.creation_timestamp.timestamp() <= now:
            workset.add(left.pop(0), now)
        if now in kills:
            workset = WorkingSet()
            for one in notes:
                if one.metadata.uid not in gone and one.metadata.creation_timestamp.timestamp() <= now:
                    workset.add(one, now)
        while found := take(workset, now):
            sent.append((now, found))
            gone.update(found)
        due = workset.next_due()
        times = [left[0].metadata.creation_timestamp.timestamp()] if left else []
        times += [due] if due is not None else []
        times += [kill for kill in kills if kill > now]
        if not times:
            return sent
        now = min(times)


NOTES = st.lists(
    st.tuples(st.integers(0, 90), st.sampled_from(["a", "b"]), st.integers(1, 40), st.integers(2, 5)), max_size=25
).map(lambda rows: [note(i, made, (key, wait, most)) for i, (made, key, wait, most) in enumerate(rows)])


@settings(deadline=None)
@given(NOTES, st.sets(st.integers(0, 120), max_size=3))
def test_every_message_goes_once_in_time_with_its_own_kind_and_never_too_many(notes, kills):
    by_uid = {one.metadata.uid: one for one in notes}
    sent = live(notes, kills={NOW + kill for kill in kills})
    told = [uid for _, uids in sent for uid in uids]
    assert sorted(told) == sorted(by_uid)
    for when, uids in sent:
        batches = [by_uid[uid].spec.batch for uid in uids]
        assert len({batch.key for batch in batches}) == 1
        assert len(uids) <= min(batch.max_messages for batch in batches)
        made = [by_uid[uid].metadata.creation_timestamp for uid in uids]
        assert made == sorted(made)
        for time, batch in zip(made, batches, strict=True):
            assert when <= (time + timedelta(seconds=batch.max_wait_seconds)).timestamp()


@settings(deadline=None)
@given(NOTES)
def test_the_order_within_a_batch_key_is_kept(notes):
    by_uid = {one.metadata.uid: one for one in notes}
    for key in "ab":
        told = [uid for _, uids in live(notes) for uid in uids if by_uid[uid].spec.batch.key == key]
        times = [by_uid[uid].metadata.creation_timestamp for uid in told]
        assert times == sorted(times)


def test_a_batch_that_became_full_while_its_last_message_was_told_to_wait_goes_at_once():
    workset = WorkingSet(lane_limit=3)
    slots = []
    for uid in "abc":
        workset.add(note(uid), NOW)
        slots += workset.take_party(NOW, 16)
    assert {slot.party.going for slot in slots} == {Going.WAITING}
    for slot in slots:
        workset.finished(slot)
        workset.put_back(slot, slot.waiting.until)
    assert take(workset, NOW) == ["a", "b", "c"]


def test_after_a_restart_a_batch_that_is_full_does_not_wait_and_one_that_is_not_does():
    batched = Status(next_attempt_time=at(60), conditions=({"type": "Succeeded", "reason": "Batched"},))
    workset = WorkingSet()
    for uid in "ab":
        workset.add(note(uid, status=batched), NOW + 5)
    assert take(workset, NOW + 5) == []
    assert workset.next_due() == NOW + 60
    workset.add(note("c", status=batched), NOW + 5)
    assert take(workset, NOW + 5) == ["a", "b", "c"]


def test_a_message_waits_for_its_own_time_first():
    workset = WorkingSet()
    workset.add(note("later", batch=("reports", 10, 2), not_before_time=at(100)), NOW)
    workset.add(note("now", batch=("reports", 10, 2)), NOW)
    assert take(workset, NOW) == []
    assert take(workset, NOW + 10) == ["now"]
    assert take(workset, NOW + 100) == []
    assert take(workset, NOW + 110) == ["later"]


def test_one_that_its_server_put_off_is_not_tried_before_its_time_because_another_came():
    workset = WorkingSet()
    retrying = Status(attempts=2, next_attempt_time=at(300), conditions=({"type": "Succeeded", "reason": "Retrying"},))
    workset.add(note("old", status=retrying), NOW)
    workset.add(note("new", batch=("reports", 10, 2)), NOW)
    assert take(workset, NOW) == []
    assert take(workset, NOW + 10) == ["new"]
    assert take(workset, NOW + 300) == ["old"]


def test_those_that_somebody_may_have_stay_with_those_they_went_with():
    workset = WorkingSet()
    first, second = message_id(("a+b",), "example.com"), message_id(("c+d",), "example.com")
    for uid, identifier in {"a": first, "b": first, "c": second, "d": second}.items():
        status = Status(
            attempts=1,
            next_attempt_time=at(600),
            message_id=identifier,
            recipient_results=(Result(0, RecipientState.UNCERTAIN),),
            conditions=({"type": "Succeeded", "reason": "Retrying"},),
        )
        workset.add(note(uid, batch=("reports", 60, 10), status=status), NOW)
    workset.add(note("new", batch=("reports", 60, 10)), NOW)
    assert take(workset, NOW + 60) == ["new"]
    assert [take(workset, NOW + 600) for _ in range(2)] == [["a", "b"], ["c", "d"]]


def test_one_that_is_to_go_apart_never_waits_again():
    workset = WorkingSet()
    for uid in "abc":
        workset.add(note(uid), NOW)
    slots = workset.take_party(NOW, 16)
    for slot in slots:
        workset.finished(slot)
        workset.part(slot)
        workset.put_back(slot, NOW)
    again = workset.take_party(NOW, 16)
    assert sorted(slot.uid for slot in again) == ["a", "b", "c"]
    assert {slot.party.going for slot in again} == {Going.APART}


# --- the group


def test_a_group_is_the_key_the_connector_and_the_recipients_in_any_order():
    same = note("b", to=("b@example.org", "a@example.org"))
    assert group_of(note("a", to=("a@example.org", "b@example.org"))) == group_of(same)
    others = [
        note("x", batch=("invoices", 60, 3)),
        note("x", to=("a@example.org",)),
        note("x", cc=("boss@example.org",)),
        note("x", connector_ref=None),
        note("x", reply_to=("a@example.org",)),
    ]
    assert len({group_of(one) for one in (note("a"), *others)}) == 6


def test_high_priority_goes_alone_and_so_does_what_has_no_batch():
    assert group_of(note("u", priority=Priority.HIGH)) is None
    assert group_of(note("u", batch=None)) is None


@pytest.mark.parametrize(
    ("members", "key"), [("oom-1:1:Fired", "oom-1"), ("oom-1:1:Fired,b:2:Fired", None), ("", None)]
)
def test_alerts_of_one_incident_belong_together_and_a_digest_to_nobody(members, key):
    group = group_of(note("u", batch=None, incidents=members, priority=Priority.HIGH))
    assert (group and (group.kind, group.key)) == (key and (Kind.INCIDENT, f"{key} policy/route"))


def test_mails_of_one_incident_that_all_wait_go_as_one_whenever_each_is_due():
    workset = WorkingSet()
    retrying = Status(attempts=3, next_attempt_time=at(300), conditions=({"type": "Succeeded", "reason": "Retrying"},))
    workset.add(note("fired", 0, None, "i:1:Fired", retrying), NOW)
    workset.add(note("other", 0, None, "j:1:Fired"), NOW)
    assert take(workset, NOW) == ["other"]
    workset.add(note("a-resolved", 200, None, "i:10:Resolved"), NOW + 200)
    assert take(workset, NOW + 200) == ["fired", "a-resolved"]


def test_without_an_outage_each_telling_of_an_incident_is_a_mail_of_its_own():
    workset = WorkingSet()
    workset.add(note("fired", 0, None, "i:1:Fired"), NOW)
    workset.add(note("resolved", 0, None, "i:2:Resolved"), NOW)
    slots = workset.take_party(NOW, 16)
    assert [slot.uid for slot in slots] == ["fired", "resolved"]
    assert {slot.party.going for slot in slots} == {Going.APART}


def test_a_first_mail_that_somebody_may_have_keeps_its_own_place():
    workset = WorkingSet()
    status = Status(
        attempts=1,
        next_attempt_time=at(600),
        message_id=message_id(("fired",), "example.com"),
        recipient_results=(Result(0, RecipientState.UNCERTAIN),),
        conditions=({"type": "Succeeded", "reason": "Retrying"},),
    )
    workset.add(note("fired", 0, None, "i:1:Fired", status), NOW)
    workset.add(note("resolved", 200, None, "i:2:Resolved"), NOW + 200)
    assert take(workset, NOW + 200) == ["resolved"]
    assert take(workset, NOW + 600) == ["fired"]


# --- the identifier


def test_a_message_id_is_kept_where_it_hides_nothing():
    three = message_id((seed("abc"),), "example.com")
    assert shared_id([three] * 3, "abc", may_have_it=False) == three
    assert shared_id([three] * 2, "ab", may_have_it=True) == three
    assert shared_id([three] * 2, "ab", may_have_it=False) == ""
    assert shared_id([three, ""], "ab", may_have_it=True) == ""
    assert shared_id(["", ""], "ab", may_have_it=False) == ""
    assert is_of(message_id((seed("cab"),), "other.example"), "bca")
    assert is_of(message_id(("a",), "example.com"), "a")


def test_only_what_nobody_has_counts_as_untouched():
    workset = WorkingSet()
    workset.add(note("u"), NOW)
    [slot] = workset.take_party(NOW, 1)
    assert slot.is_untouched
    for state in RecipientState:
        slot.progress = Progress((RecipientProgress(RecipientState.PENDING), RecipientProgress(state)))
        assert slot.is_untouched == (state is RecipientState.PENDING)
    assert slot.lane == ConnectorKey("SmtpConnector", "apps", "main")
