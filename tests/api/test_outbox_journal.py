"""The journal's pages on a real API server: cheap writes, one holder, nothing forgotten."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from faultproxy import Answer
from kuberig import client_of, proxied
from outboxrig import by_uid, journal_lines, until
from watchbell.kube.client import CONFIGMAPS
from watchbell.kube.errors import ApiError, NotFound
from watchbell.outbox.records.entry import Accepted, Entry, entry_of
from watchbell.outbox.records.journal import LINES_EACH, PAGES_MAX, Journal, page_name

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TAKEN = Accepted("250 2.0.0 queued", ((250, "2.0.0"),))


def entry(number: int) -> Entry:
    return Entry(f"uid-{number}", "apps", f"m{number}", 1, NOW, (0,), "<a@b.example>", party="1", place=number)


def accepted(number: int) -> Entry:
    return msgspec.structs.replace(entry(number), accepted=TAKEN)


@pytest.fixture
async def client(control_plane):
    async with client_of(control_plane) as client:
        yield client


def opened(client, namespace, who="me", lost=None):
    return Journal(client, namespace, who, on_lost=lambda: lost.append(who) if lost is not None else None)


async def fill(journal, first, count, step=16):
    """Enters so many entries, as parties do: some at once, one party after the other."""
    for start in range(first, first + count, step):
        batch = range(start, min(start + step, first + count))
        assert all(await asyncio.gather(*(journal.enter(entry(number)) for number in batch)))


async def pages(client, namespace):
    """How many lines each page has, in order."""
    found = []
    for number in range(PAGES_MAX):
        try:
            found.append(len(by_uid((await client.get(CONFIGMAPS, page_name(number), namespace)).get("data") or {})))
        except NotFound:
            return found
    return found


async def test_in_quiet_times_the_journal_is_one_small_object(client, namespace):
    journal = opened(client, namespace)
    await journal.open()
    for number in range(3 * LINES_EACH):
        assert await journal.enter(entry(number))
        journal.forget(f"uid-{number}")
    await journal.close()

    assert await pages(client, namespace) == [0]


async def test_many_lines_stand_in_several_pages_and_a_successor_reads_them_all(client, namespace):
    journal = opened(client, namespace)
    await journal.open()
    await fill(journal, 0, 300)
    for number in range(0, 300, 2):
        journal.accept(accepted(number))
    for number in range(0, 300, 2):
        assert await journal.stands(f"uid-{number}")
    sizes = await pages(client, namespace)
    journal.stop()

    assert len(sizes) >= 4
    assert sum(sizes) == 300
    assert max(sizes) < 2 * LINES_EACH, "while a page is opened the one before takes some more"
    left = await opened(client, namespace, "next").open()
    assert {one.uid: one for one in left} == {f"uid-{n}": entry(n) if n % 2 else accepted(n) for n in range(300)}


async def test_lines_of_all_pages_leave_when_their_results_are_written(client, namespace):
    journal = opened(client, namespace)
    await journal.open()
    await fill(journal, 0, 200)
    for number in range(200):
        journal.forget(f"uid-{number}")
    assert len(journal) == 0
    await journal.close()

    assert set(await pages(client, namespace)) == {0}
    assert await opened(client, namespace, "next").open() == ()


async def test_what_stands_already_costs_no_write(client, namespace):
    journal = opened(client, namespace)
    await journal.open()
    assert await journal.enter(entry(1))
    writes = journal.writes
    assert await journal.stands("uid-1")
    assert journal.writes == writes
    journal.accept(accepted(1))
    assert await journal.stands("uid-1")
    assert journal.writes == writes + 1
    stored = await journal_lines(client, namespace)
    await journal.close()

    assert entry_of(stored["uid-1"]) == accepted(1)


async def test_a_result_that_is_awaited_is_on_its_way_before_anybody_asks(client, namespace):
    journal = opened(client, namespace)
    await journal.open()
    assert await journal.enter(entry(1))
    journal.accept(accepted(1), is_awaited=True)
    writes = journal.writes
    await until(lambda: journal.writes == writes + 1)
    assert await journal.stands("uid-1")
    assert journal.writes == writes + 1
    await journal.close()


async def test_who_lost_the_journal_enters_nothing_into_any_page(client, namespace):
    lost: list[str] = []
    old = opened(client, namespace, "old", lost)
    await old.open()
    await fill(old, 0, 200)
    new = opened(client, namespace, "new", lost)
    left = await new.open()

    assert len(left) == 200
    assert not await old.enter(entry(0))
    assert old.is_lost
    assert lost == ["old"]
    assert not await old.enter(entry(999))
    assert not await old.stands("uid-0")
    assert await new.enter(entry(1000))
    await new.close()


async def test_no_page_is_opened_behind_the_back_of_a_successor(client, namespace):
    lost: list[str] = []
    old = opened(client, namespace, "old", lost)
    await old.open()
    await fill(old, 0, LINES_EACH)
    before = await pages(client, namespace)
    new = opened(client, namespace, "new", lost)
    await new.open()
    await old.enter(entry(500))
    await until(lambda: old.is_lost)
    await until(lambda: old._opening is None or old._opening.done())
    assert len(old._pages) == 1, "a page that was made after the loss is not used"
    await fill(new, 1000, 2 * LINES_EACH)
    left = await opened(client, namespace, "third").open()

    assert before == [LINES_EACH]
    assert {one.uid for one in left} == {f"uid-{n}" for n in (*range(LINES_EACH), *range(1000, 1000 + 2 * LINES_EACH))}
    await new.close()


@pytest.mark.parametrize("lines", [0, 3 * LINES_EACH])
async def test_of_two_that_take_over_at_once_at_most_one_may_send(client, namespace, lines):
    before = opened(client, namespace, "before")
    await before.open()
    await fill(before, 0, lines)
    before.stop()
    both = [opened(client, namespace, name) for name in ("one", "two")]
    results = await asyncio.gather(*(journal.open() for journal in both), return_exceptions=True)
    assert all(isinstance(result, tuple | ApiError) for result in results)
    may_send = [
        await journal.enter(entry(9000 + number))
        for number, journal in enumerate(both)
        if isinstance(results[number], tuple)
    ]

    assert sum(may_send) <= 1


async def test_a_page_that_somebody_deletes_is_made_again(client, namespace):
    journal = opened(client, namespace)
    await journal.open()
    await fill(journal, 0, 150)
    number = next(n for n, one in enumerate(await pages(client, namespace)) if n and one)
    await client.delete(CONFIGMAPS, page_name(number), namespace)
    for place in range(150):
        journal.accept(accepted(place))
    for place in range(150):
        assert await journal.stands(f"uid-{place}")
    stored = await journal_lines(client, namespace)
    await journal.close()

    assert {uid: entry_of(line) for uid, line in stored.items()} == {f"uid-{n}": accepted(n) for n in range(150)}


async def test_where_no_other_page_can_be_had_the_first_one_takes_all(control_plane, namespace):
    async with proxied(control_plane) as (proxy, client):
        journal = opened(client, namespace)
        await journal.open()
        proxy.plan = lambda request: (
            Answer(403, b'{"kind":"Status","code":403,"reason":"Forbidden","message":"no"}')
            if request.method == "POST"
            else None
        )
        await fill(journal, 0, 3 * LINES_EACH)
        sizes = await pages(client, namespace)
        await journal.close()

    assert sizes == [3 * LINES_EACH]
