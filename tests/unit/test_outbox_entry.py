"""What a process that died left behind: which of its mails may be out."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from watchbell.outbox.records.entry import Accepted, Entry, doubtful

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TAKEN = Accepted("250 OK", ((250, None),))


def entry(uid: str, party: str = "", place: int = 0, taken: bool = False) -> Entry:
    return Entry(uid, "apps", uid, 1, NOW, (0,), "<a@b.example>", TAKEN if taken else None, party, place)


def test_mail_that_was_taken_is_in_no_doubt() -> None:
    assert doubtful([entry("a", taken=True)]) == ()


def test_mail_that_went_alone_is_in_doubt_until_it_was_taken() -> None:
    assert doubtful([entry("a"), entry("b")]) == (entry("a"), entry("b"))


def test_of_a_party_only_the_first_that_was_not_taken_can_have_been_on_the_wire() -> None:
    left = [entry("c", "1", 2), entry("a", "1", 0, taken=True), entry("b", "1", 1), entry("d", "2", 0)]
    assert {one.uid for one in doubtful(left)} == {"b", "d"}


@given(st.lists(st.tuples(st.sampled_from("123"), st.integers(0, 15), st.booleans()), max_size=40))
def test_each_party_leaves_at_most_one_in_doubt(rows: list[tuple[str, int, bool]]) -> None:
    left = [entry(f"{i}", party, place, taken) for i, (party, place, taken) in enumerate(rows)]
    found = doubtful(left)
    assert len({one.party for one in found}) == len(found)
    assert all(one.accepted is None for one in found)
    assert {one.party for one in found} == {one.party for one in left if one.accepted is None}
