"""Whom a message takes along when its turn has come: the queue's slots, seen through the rules of `batching`. Pure.

Before it: the queue has popped a slot that belongs to a group. After it: a sender gets these slots, as one mail or to tell that they wait.

A message that was tried and taken by nobody is as good as new, and may go with others than last time. Once a recipient has it, or may have it, it
stays with those that it went with, known by their common Message-ID.
"""

from collections.abc import Iterable
from dataclasses import replace

from watchbell.outbox.slot import Going, Slot
from watchbell.outbox.together.batching import Kind, Waiting, is_of, sequence_of, share

TOLERANCE_S = 1.0
"""Times in a status are whole seconds, so those of messages that belong together may differ by so much after a restart."""


def gather(first: Slot, others: Iterable[Slot], now: float) -> tuple[Going, tuple[Slot, ...]]:
    """Who goes with `first`, whose turn it is. `others` are those of its group that are with no sender now.

    `first` itself may be missing in the answer: then older ones go before it, and it stays where it is.
    """
    if first.group is None:
        return Going.APART, (first,)
    if not first.is_untouched:
        return _again(first, others, now)
    fresh = [slot for slot in others if slot.is_untouched]
    if first.group.kind is Kind.INCIDENT:
        return _incident([first, *fresh])
    return _batch([first, *(slot for slot in fresh if _may_join(slot, now))], first, now)


def is_full(slot: Slot, others: Iterable[Slot], now: float) -> bool:
    """Whether a message that waits for nothing but company need not wait any more."""
    if slot.is_held or slot.attempts or not _waits_for_company(slot):
        return False
    return gather(slot, others, now)[0] is Going.TOGETHER


def _again(first: Slot, others: Iterable[Slot], now: float) -> tuple[Going, tuple[Slot, ...]]:
    same = [
        slot
        for slot in others
        if slot.message_id == first.message_id and not slot.is_untouched and slot.due <= now + TOLERANCE_S
    ]
    if not same and is_of(first.message_id, (first.uid,)):
        return Going.APART, (first,)
    return Going.TOGETHER, tuple(
        sorted([first, *same], key=lambda slot: (sequence_of(slot.note), slot.made, slot.name))
    )


def _incident(slots: list[Slot]) -> tuple[Going, tuple[Slot, ...]]:
    """After an outage one mail tells it all. Without one (none of them was ever put off) each telling is a mail, as ever."""
    if len(slots) > 1 and any(slot.conditions for slot in slots):
        return Going.TOGETHER, tuple(sorted(slots, key=lambda slot: (sequence_of(slot.note), slot.name)))
    return Going.APART, (slots[0],)


def _batch(slots: list[Slot], first: Slot, now: float) -> tuple[Going, tuple[Slot, ...]]:
    by_uid = {slot.uid: slot for slot in slots}
    shared = share([_waiting(slot, now) for slot in slots])
    if not shared.is_due(now):
        return Going.WAITING, (first,)
    return Going.TOGETHER, tuple(by_uid[one.uid] for one in shared.members)


def _waiting(slot: Slot, now: float) -> Waiting:
    """One that was tried before has waited enough."""
    if slot.waiting is None:
        raise ValueError("a message of a batch has a time to wait")
    return replace(slot.waiting, until=now) if slot.attempts else slot.waiting


def _may_join(slot: Slot, now: float) -> bool:
    """It is due, or waits for nothing but company; not while it waits for its connector, its time or its next attempt."""
    return slot.due <= now + TOLERANCE_S or (not slot.is_held and _waits_for_company(slot))


def _waits_for_company(slot: Slot) -> bool:
    return slot.waiting is not None and abs(slot.due - slot.waiting.until) < TOLERANCE_S
