from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.conditions import MAX_MESSAGE_CHARACTERS, Condition, find, merge
from watchbell.api.reasons import Reason

T1 = datetime(2026, 1, 31, 8, tzinfo=UTC)
T2 = T1 + timedelta(minutes=5)
READY = Condition("Ready", "True", Reason.PROVEN, "all stages passed")
BROKEN = Condition("Ready", "False", Reason.CONNECTION_REFUSED, "nothing listens")


def test_a_condition_is_written_whole():
    assert merge([], [READY], 3, T1) == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Proven",
            "message": "all stages passed",
            "lastTransitionTime": "2026-01-31T08:00:00Z",
            "observedGeneration": 3,
        }
    ]


def test_the_transition_time_stays_while_the_status_stays_even_if_the_reason_changes():
    first = merge([], [BROKEN], 1, T1)
    [later] = merge(first, [Condition("Ready", "False", Reason.HOST_NOT_FOUND, "gone")], 2, T2)
    assert later["lastTransitionTime"] == "2026-01-31T08:00:00Z"
    assert (later["reason"], later["observedGeneration"]) == ("HostNotFound", 2)


def test_the_transition_time_moves_when_the_status_flips():
    [later] = merge(merge([], [BROKEN], 1, T1), [READY], 1, T2)
    assert later["lastTransitionTime"] == "2026-01-31T08:05:00Z"


def test_what_is_not_wanted_any_more_vanishes():
    before = merge([], [BROKEN, Condition("Reconciling", "True", Reason.RETRYING, "")], 1, T1)
    assert [one["type"] for one in merge(before, [READY], 1, T2)] == ["Ready"]


def test_the_clock_of_another_zone_is_written_in_utc():
    local = T1.astimezone(timezone(timedelta(hours=2)))
    assert merge([], [READY], 1, local)[0]["lastTransitionTime"] == "2026-01-31T08:00:00Z"


def test_a_message_is_cut_to_what_the_api_takes():
    [one] = merge([], [Condition("Ready", "False", Reason.INVALID_SPEC, "x" * 40_000)], 1, T1)
    assert len(one["message"]) == MAX_MESSAGE_CHARACTERS


def test_a_condition_is_found_by_its_type():
    written = merge([], [READY], 1, T1)
    assert find(written, "Ready") == written[0]
    assert find(written, "Stalled") is None


CONDITION = st.builds(
    Condition,
    st.sampled_from(["Ready", "Accepted", "Stalled", "Reconciling"]),
    st.sampled_from(["True", "False", "Unknown"]),
    st.sampled_from(list(Reason)),
    st.text(max_size=20),
)
SETS = st.lists(CONDITION, unique_by=lambda one: one.type, max_size=4)


@given(before=SETS, wanted=SETS)
def test_merging_is_exact_ordered_and_settles_at_once(before, wanted):
    existing = merge([], before, 1, T1)
    once = merge(existing, wanted, 2, T2)
    assert {one["type"] for one in once} == {one.type for one in wanted}
    assert [one["type"] for one in once] == sorted(one["type"] for one in once)
    assert merge(once, list(reversed(wanted)), 2, T2 + timedelta(hours=1)) == once
