"""The working set: every unfinished message, and which one is next. Pure; the hours come in as seconds since the epoch.

Before it: messages handed in at creation, and the informer. After it: `dispatch` takes a slot whenever a sender is free. Within a lane (one
connector) High goes before Normal before Low, then the one due longest; between lanes the one served longest ago is next, and a lane takes no
more slots than it has connections, so a slow or dead relay holds up its own mail only.
"""

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from watchbell.api.enums import Priority
from watchbell.api.names import DEFAULT_CONNECTOR
from watchbell.outbox.note import Note
from watchbell.outbox.outlet import ConnectorKey
from watchbell.outbox.slot import Going, Party, Slot
from watchbell.outbox.together.batching import Group, group_of, waiting_of
from watchbell.outbox.together.gathering import gather, is_full

_RANKS = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
_OVER = -1
"""The rank of a message whose deadline is over: it takes no turn on the wire, so it waits for nobody."""
RECENT_MAX = 8192
BODIES_MAX_BYTES = 16 * 1024 * 1024


class QueueState(StrEnum):
    """What an unfinished message waits for; a result that is being written counts as Sending."""

    READY = "Ready"
    SENDING = "Sending"
    HELD = "Held"
    SCHEDULED = "Scheduled"


@dataclass(slots=True)
class _Lane:
    limit: int
    running: int = 0
    ready: list[tuple[int, float, int, int, str]] = field(default_factory=list)
    """Rank, time, number of arrival, ticket and uid: who is due at the same time keeps the order in which they came."""


class WorkingSet:
    """All unfinished messages by uid. A slot is waiting (for its time), ready (in its lane), running, or gone."""

    def __init__(self, *, lane_limit: int = 1, bodies_max_bytes: int = BODIES_MAX_BYTES, grace_s: float = 0.0) -> None:
        self._lane_limit = lane_limit
        self._limits: dict[ConnectorKey, int] = {}
        self._grace_s = grace_s
        self._bodies_max_bytes = bodies_max_bytes
        self._bodies_bytes = 0
        self._slots: dict[str, Slot] = {}
        self._lanes: dict[ConnectorKey, _Lane] = {}
        self._held: dict[ConnectorKey, set[str]] = {}
        self._out: set[str] = set()
        self._runnable: OrderedDict[ConnectorKey, None] = OrderedDict()
        self._paused: dict[ConnectorKey, dict[int, float]] = {}
        self._newcomers: list[Slot] = []
        self._waiting: list[tuple[float, int, str]] = []
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._groups: dict[Group, dict[str, Slot]] = {}
        self._tickets = 0
        self._now = 0.0
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, uid: str) -> bool:
        return uid in self._slots

    @property
    def running(self) -> int:
        """How many messages are with a sender now."""
        return sum(slot.is_running for slot in map(self._slots.__getitem__, self._out))

    def census(self, now: float) -> Mapping[QueueState, tuple[int, float]]:
        """How many messages are in each state, and the age of the oldest there in seconds, from when it was made or may go at the earliest."""
        counts, oldest = dict.fromkeys(QueueState, 0), dict.fromkeys(QueueState, now)
        for uid, slot in self._slots.items():
            state = _state(slot, now, is_out=uid in self._out)
            counts[state] += 1
            oldest[state] = min(oldest[state], slot.since)
        return {state: (count, now - oldest[state]) for state, count in counts.items()}

    def add(self, note: Note, now: float, body: dict[str, Any] | bytes | None = None) -> bool:
        """Take in a message; False when it is known, finished, or was finished a moment ago (a late event must not bring it back).

        A new one that the watch brings, so without `body`, is given `grace_s`: if it was made in this process, its body is about to be handed
        in, and need not be read from the API server.
        """
        uid = note.metadata.uid
        known = self._slots.get(uid)
        if known is not None:
            return body is not None and self._hand_in(known, body, now)
        if note.is_finished or uid in self._recent:
            return False
        # The connector may have become ready while nobody looked: a message that waits for it is looked at once, then held again.
        next_time = None if note.is_held else note.status.next_attempt_time
        times = [moment.timestamp() for moment in (note.spec.not_before_time, next_time) if moment]
        soon = now if body is not None or note.status.conditions else now + self._grace_s
        slot = Slot(note, note.lane, _RANKS[note.spec.priority], max([soon, *times]), now)
        slot.learn(note)
        self._arrivals += 1
        slot.number = self._arrivals
        self._slots[uid] = slot
        self._join(slot, group_of(note))
        self._keep_body(slot, body)
        self._schedule(slot, now if is_full(slot, self._others(slot), now) else slot.due)
        return True

    def _hand_in(self, known: Slot, body: dict[str, Any] | bytes, now: float) -> bool:
        """The watch was quicker than the answer to the create; True if the message need not wait any longer."""
        if known.is_running or known.progress is not None:
            return False
        self._keep_body(known, body)
        if not now < known.due <= now + self._grace_s:
            return False
        self._schedule(known, now)
        return True

    def take(self, now: float) -> Slot | None:
        """The next message that may be tried now, marked as running; None when there is none."""
        return next(iter(self.take_party(now, 1)), None)

    def take_party(self, now: float, most: int) -> tuple[Slot, ...]:
        """The next messages of the lane whose turn it is, in their order, for one sender and one connection; each must be `finished`.

        They share what is ready with the connections that are still free, so that none of these stands idle.
        """
        self._now = now
        self._promote(now)
        while self._runnable:
            key = next(iter(self._runnable))
            lane = self._lanes[key]
            share = math.ceil(len(lane.ready) / (lane.limit - lane.running))
            slots = self._pop_party(key, lane, min(most, share), now)
            self._runnable.move_to_end(key)
            if slots:
                lane.running += 1
            self._mark(key)
            if slots:
                return slots
        return ()

    def _pop_party(self, key: ConnectorKey, lane: _Lane, most: int, now: float) -> tuple[Slot, ...]:
        slots: list[Slot] = []
        going = Going.APART
        while len(slots) < most and self._has_turn(key, lane):
            slot = self._slots[heapq.heappop(lane.ready)[4]]
            going, company = gather(slot, self._others(slot), now)
            if going is not Going.APART and slots:
                self._push(lane, slot)
                going = Going.APART
                break
            slots += company
            if going is not Going.APART:
                if slot not in company:
                    self._push(lane, slot)
                break
        party = Party(len(slots), going)
        for slot in slots:
            slot.is_running, slot.is_stirred, slot.party = True, False, party
            self._out.add(slot.uid)
            self._leave_queues(slot)
        return tuple(slots)

    def _others(self, slot: Slot) -> list[Slot]:
        """Those of its group that are with no sender."""
        if slot.group is None:
            return []
        return [
            one for uid, one in self._groups.get(slot.group, {}).items() if uid not in self._out and one is not slot
        ]

    def part(self, slot: Slot) -> None:
        """From now on it goes by itself: its mail was refused as a whole, and nobody knows for whose sake."""
        self._leave_group(slot)
        slot.message_id = ""

    def widen(self, key: ConnectorKey, limit: int) -> None:
        """So many connections a lane may have from now on."""
        if self._limits.get(key, self._lane_limit) == limit:
            return
        self._limits[key] = limit
        if (lane := self._lanes.get(key)) is not None:
            lane.limit = limit
            self._mark(key)

    def pause(self, key: ConnectorKey, rank: int, until: float, now: float) -> None:
        """No message of this lane with this rank, or a lower one, goes before `until`; they keep their places."""
        if until <= now:
            return
        self._paused.setdefault(key, {})[rank] = until
        self._promote(now)
        if key in self._lanes:
            self._mark(key)

    def resume(self, keys: Iterable[ConnectorKey]) -> None:
        """These lanes pause no more."""
        for key in keys:
            self._unpause(key)

    def line(self, key: ConnectorKey, rank: int) -> list[Slot]:
        """The messages of a lane that are ready and have this rank or a lower one, in their order."""
        lane = self._lanes.get(key)
        entries = sorted(entry for entry in lane.ready if entry[0] >= rank) if lane else []
        self._newcomers = [slot for slot in self._newcomers if slot.lane != key]
        return [self._slots[uid] for *_, ticket, uid in entries if not self._stale(uid, ticket)]

    def newcomers(self) -> list[tuple[Slot, int]]:
        """Messages that became ready in a lane that pauses, since the last call, and about how many stand before each."""
        slots, self._newcomers = self._newcomers, []
        return [
            (slot, max(0, len(lane.ready) - 1))
            for slot in slots
            if self._slots.get(slot.uid) is slot and not slot.is_running and (lane := self._lanes.get(slot.lane))
        ]

    def take_out(self, slot: Slot) -> None:
        """Something about a message that stands in line is to be written: nobody sends it before it is `put_back`."""
        slot.ticket, slot.is_stirred = 0, False
        self._out.add(slot.uid)

    def next_due(self) -> float | None:
        """When the first waiting message becomes ready, or a lane's pause ends; None when none waits."""
        due = self._first_due()
        ends = [until for pauses in self._paused.values() for until in pauses.values()]
        return min(ends if due is None else [due, *ends], default=None)

    def finished(self, slot: Slot) -> None:
        """The slot's sender is done with it; `put_back` or `remove` follows, at once or when the result is written."""
        if not slot.is_running:
            return
        slot.is_running = False
        party, slot.party = slot.party, None
        if party is None:
            return
        party.left -= 1
        if not party.left:
            self._lanes[slot.lane].running -= 1
            self._mark(slot.lane)

    def put_back(self, slot: Slot, due: float, *, is_held: bool = False) -> None:
        """Wait for `due`; a held slot comes earlier when `release` is called for its connector."""
        if slot.is_gone:
            self.remove(slot.uid)
            return
        self._out.discard(slot.uid)
        if is_held and slot.is_stirred:
            # Its connector changed after it was asked: what it said then is old.
            is_held, due = False, 0.0
        slot.is_held = is_held
        if is_held:
            self._held.setdefault(slot.lane, set()).add(slot.uid)
        self._schedule(slot, due)
        if is_full(slot, self._others(slot), self._now):
            # While it was told how long it waits, its batch became full.
            self._schedule(slot, self._now)

    def remove(self, uid: str) -> None:
        """Finished or deleted: it will not come back, even if an old event says so."""
        slot = self._slots.pop(uid, None)
        self._out.discard(uid)
        self._recent[uid] = None
        self._recent.move_to_end(uid)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        if slot is None:
            return
        slot.is_gone = True
        slot.ticket = 0
        self._leave_group(slot)
        self._unhold(slot)
        self.drop_body(slot)
        self._tidy(slot.lane)

    def cancel(self, uid: str) -> None:
        """The object is gone. A running slot is only marked: its sender finds out when it is done."""
        slot = self._slots.get(uid)
        if slot is not None and slot.is_running:
            slot.is_gone = True
        else:
            self.remove(uid)

    def look_again(self, uid: str, now: float) -> None:
        """Something became of the message that this memory does not know: what it is due for says the object."""
        slot = self._slots.get(uid)
        if slot is not None and not slot.is_running and uid not in self._out:
            self._schedule(slot, now)

    def get(self, uid: str) -> Slot | None:
        """The slot of an unfinished message."""
        return self._slots.get(uid)

    def drop_body(self, slot: Slot) -> None:
        """Keep the message without its text."""
        self._bodies_bytes -= len(slot.kept)
        slot.kept = b""

    def release(self, key: ConnectorKey, now: float) -> int:
        """A connector changed: every message held for it is due now, its lanes pause no more, and one that is out will not be held.

        Returns how many were held or paused.
        """
        for uid in self._out:
            slot = self._slots[uid]
            slot.is_stirred = slot.is_stirred or _concerns(key, slot.lane)
        paused = [lane for lane in self._paused if _concerns(key, lane)]
        self.resume(paused)
        lanes = [lane for lane in self._held if _concerns(key, lane)]
        uids = [uid for lane in lanes for uid in self._held.pop(lane)]
        for uid in uids:
            slot = self._slots[uid]
            slot.is_held = False
            self._schedule(slot, now)
        return len(uids) + len(paused)

    # --- inside

    def _join(self, slot: Slot, group: Group | None) -> None:
        if group is not None:
            slot.group, slot.waiting = group, waiting_of(slot.note)
            self._groups.setdefault(group, {})[slot.uid] = slot

    def _leave_group(self, slot: Slot) -> None:
        group, slot.group, slot.waiting = slot.group, None, None
        members = self._groups.get(group) if group is not None else None
        if group is not None and members is not None:
            members.pop(slot.uid, None)
            if not members:
                del self._groups[group]

    def _leave_queues(self, slot: Slot) -> None:
        """It was taken, though its own time may not have come."""
        self._unhold(slot)
        slot.ticket = 0

    @staticmethod
    def _push(lane: _Lane, slot: Slot) -> None:
        """Back to where it was popped from."""
        heapq.heappush(lane.ready, (slot.rank, slot.due, slot.number, slot.ticket, slot.uid))

    def _keep_body(self, slot: Slot, body: dict[str, Any] | bytes | None) -> None:
        if body is None or slot.kept:
            return
        kept = body if isinstance(body, bytes) else msgspec.json.encode(body)
        if self._bodies_bytes + len(kept) <= self._bodies_max_bytes:
            slot.kept = kept
            self._bodies_bytes += len(kept)

    def _schedule(self, slot: Slot, due: float) -> None:
        self._tickets += 1
        slot.ticket = self._tickets
        slot.due = due
        heapq.heappush(self._waiting, (due, slot.ticket, slot.uid))

    def _promote(self, now: float) -> None:
        self._end_pauses(now)
        while (due := self._first_due()) is not None and due <= now:
            _, ticket, uid = heapq.heappop(self._waiting)
            slot = self._slots[uid]
            self._unhold(slot)
            lane = self._lanes.setdefault(slot.lane, _Lane(self._limits.get(slot.lane, self._lane_limit)))
            deadline = slot.note.deadline
            rank = _OVER if deadline is not None and deadline.timestamp() <= now else slot.rank
            heapq.heappush(lane.ready, (rank, due, slot.number, ticket, uid))
            if slot.lane in self._paused and rank != _OVER and not slot.promised:
                self._newcomers.append(slot)
            self._mark(slot.lane)

    def _first_due(self) -> float | None:
        while self._waiting and self._stale(self._waiting[0][2], self._waiting[0][1]):
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def _end_pauses(self, now: float) -> None:
        for key, pauses in list(self._paused.items()):
            for rank in [rank for rank, until in pauses.items() if until <= now]:
                del pauses[rank]
            if not pauses:
                self._unpause(key)
            elif key in self._lanes:
                self._mark(key)

    def _unpause(self, key: ConnectorKey) -> None:
        self._paused.pop(key, None)
        if key in self._lanes:
            self._mark(key)

    def _has_turn(self, key: ConnectorKey, lane: _Lane) -> bool:
        """Whether the first of the lane's ready messages may go: what waits for nothing goes first, so if it may not, none may."""
        while lane.ready and self._stale(lane.ready[0][4], lane.ready[0][3]):
            heapq.heappop(lane.ready)
        if not lane.ready:
            return False
        first = lane.ready[0][0]
        return not any(rank <= first for rank in self._paused.get(key, ()))

    def _stale(self, uid: str, ticket: int) -> bool:
        slot = self._slots.get(uid)
        return slot is None or slot.ticket != ticket

    def _unhold(self, slot: Slot) -> None:
        slot.is_held = False
        held = self._held.get(slot.lane)
        if held is not None:
            held.discard(slot.uid)
            if not held:
                del self._held[slot.lane]

    def _mark(self, key: ConnectorKey) -> None:
        """A lane is runnable while it has ready messages and a free connection."""
        lane = self._lanes[key]
        if lane.running < lane.limit and self._has_turn(key, lane):
            self._runnable.setdefault(key)
        else:
            self._runnable.pop(key, None)
            self._tidy(key)

    def _tidy(self, key: ConnectorKey) -> None:
        lane = self._lanes.get(key)
        if lane is not None and not lane.ready and not lane.running:
            del self._lanes[key]
            self._runnable.pop(key, None)


def _state(slot: Slot, now: float, *, is_out: bool) -> QueueState:
    if is_out:
        return QueueState.SENDING
    if slot.is_held:
        return QueueState.HELD
    return QueueState.READY if slot.due <= now else QueueState.SCHEDULED


def _concerns(key: ConnectorKey, lane: ConnectorKey) -> bool:
    """A lane without a kind is a namespace's default: its own connector of that name, or the cluster's."""
    if lane == key:
        return True
    return not lane.kind and key.name == DEFAULT_CONNECTOR and key.namespace in ("", lane.namespace)
