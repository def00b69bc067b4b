"""AlertSilences under watch: which one mutes an incident now, which have ended untold, and how each stands.

Before: `silences`, which judges. After: whoever decides what to tell asks `muting`, and hears by `on_change` when the answer may be another: at
each beginning, each end, each change. Ends survive a restart: `status.endedMessageTime` is written only once the mail about the end is in the outbox.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from watchbell.api.conditions import Condition, merge
from watchbell.api.meta import Problem
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.api.times import stamp, stamp_if_any
from watchbell.collectors.silencing.silences import (
    IncidentFacts,
    Silence,
    SilenceKey,
    Window,
    boundary_s,
    muted_by,
    read_silence,
)
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import ApiError
from watchbell.kube.informers import Informers
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status
from watchbell.kube.workqueue import WorkQueue

SILENCES = custom("alertsilences")
KIND = "AlertSilence"
MANAGER = "watchbell-silences"
WORKERS = 4
COUNT_DELAY_S = 1.0
"""Counts are written at most so often: a storm under a silence moves them a thousand times."""
LOOK_AGAIN_S = 300.0
"""The wall clock may be set while a timer runs, so no timer runs longer."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a silence does: incidents that it mutes now, and tellings that it has held back so far."""

    matched_incidents: int = 0
    held_back: int = 0


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int = 0
    creation_timestamp: str = ""


class SilenceRecord(msgspec.Struct):
    """An AlertSilence as the informer decodes it: spec and status as they came, since what users write is judged by the model."""

    metadata: _Meta
    spec: Any = None
    status: Any = None

    @property
    def key(self) -> SilenceKey:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def written(self) -> Mapping[str, Any]:
        """The status that stands there."""
        return self.status if isinstance(self.status, dict) else {}

    def read(self) -> Silence | tuple[Problem, ...]:
        """The value, or what is wrong with it."""
        meta = {
            "name": self.metadata.name,
            "namespace": self.metadata.namespace,
            "uid": self.metadata.uid,
            "creationTimestamp": self.metadata.creation_timestamp or None,
        }
        return read_silence({"metadata": meta, "spec": self.spec, "status": dict(self.written)})


class Hush:
    """The AlertSilences of `namespaces` (empty = all), as one process sees them.

    `on_change(namespace)` is called on the loop when what is muted there may have changed; `tally(key)` gives the counts of a silence. Only
    while `leading()` is anything written. `now` is the wall clock, `clock` a monotonic one in seconds.
    """

    def __init__(  # noqa: PLR0913 - what to watch, whom to tell, two clocks and the right to write, all by name
        self,
        client: Client,
        *,
        namespaces: tuple[str, ...],
        now: Callable[[], datetime],
        clock: Callable[[], float],
        leading: Callable[[], bool],
        on_change: Callable[[str], None],
        tally: Callable[[SilenceKey], Tally] = lambda _key: Tally(),
    ) -> None:
        self._client = client
        self._now = now
        self._leading = leading
        self._on_change = on_change
        self._tally = tally
        self._silences: dict[str, dict[str, Silence]] = {}
        # Ended silences are kept for ever; what is asked for each incident and at each turn must not grow with them.
        self._live: dict[str, dict[str, Silence]] = {}
        self._untold: dict[str, dict[str, Silence]] = {}
        self._windows: dict[SilenceKey, Window] = {}
        self._told: dict[str, datetime] = {}
        self._queue: WorkQueue[SilenceKey] = WorkQueue(self._look, workers=WORKERS, name="silences", clock=clock)
        self._informers = Informers(client, SILENCES, SilenceRecord, namespaces, on_change=self._heed)

    # ------------------------------------------------------------------ what is asked

    def muting(self, namespace: str, facts: IncidentFacts) -> Silence | None:
        """The silence that mutes this incident of `namespace` now."""
        live = self._live.get(namespace)
        return muted_by(facts, live.values(), self._now()) if live else None

    def find(self, namespace: str, name: str) -> Silence | None:
        """A silence by name, whether it mutes or not; None = it is not there, or is not valid."""
        return self._silences.get(namespace, {}).get(name)

    def ended(self, namespace: str) -> tuple[Silence, ...]:
        """Those that ended and of which no mail has told; the caller says `told` when one has, or when there is nothing to tell."""
        now = self._now()
        return tuple(
            silence
            for silence in self._untold.get(namespace, {}).values()
            if silence.window(now) is Window.EXPIRED and silence.uid not in self._told
        )

    @property
    def is_synced(self) -> bool:
        """Whether every silence was seen once: before, nobody can say that an incident is not muted."""
        return self._informers.is_synced

    @property
    def failure(self) -> ApiError | None:
        """Why the picture may be stale now."""
        return self._informers.failure

    # ------------------------------------------------------------------ what is told

    def told(self, key: SilenceKey) -> None:
        """The mail about its end is in the outbox, or there was nothing to tell."""
        silence = self.find(*key)
        if silence is not None and silence in self.ended(key[0]):
            self._told[silence.uid] = self._now()
            self._queue.add(key)

    def counted(self, key: SilenceKey) -> None:
        """Its tally moved."""
        if self.find(*key) is not None:
            self._queue.add_after(key, COUNT_DELAY_S)

    def lead(self) -> None:
        """This process writes from now on."""
        for key in self._windows:
            self._queue.add(key)

    async def run(self) -> None:
        """Watches and writes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._queue.run())

    # ------------------------------------------------------------------ how it works

    def _heed(self, old: SilenceRecord | None, new: SilenceRecord | None) -> None:
        """Only what users write counts here: a status that comes back changes nothing."""
        if new is None:
            if old is not None:
                self._forget(old)
            return
        is_news = old is None or old.spec != new.spec
        self._keep(new)
        if is_news:
            self._queue.add(new.key)
            self._on_change(new.metadata.namespace)

    def _keep(self, record: SilenceRecord) -> None:
        read = record.read()
        self._drop(record.key)
        if not isinstance(read, Silence):
            return
        namespace, name = record.key
        self._silences.setdefault(namespace, {})[name] = read
        if read.window(self._now()) is not Window.EXPIRED:
            self._live.setdefault(namespace, {})[name] = read
        if read.ended_told is None:
            self._untold.setdefault(namespace, {})[name] = read
        else:
            self._told.pop(read.uid, None)

    def _drop(self, key: SilenceKey) -> None:
        for index in (self._silences, self._live, self._untold):
            if key[0] in index:
                index[key[0]].pop(key[1], None)
                if not index[key[0]]:
                    del index[key[0]]

    def _forget(self, record: SilenceRecord) -> None:
        namespace = record.metadata.namespace
        self._drop(record.key)
        self._windows.pop(record.key, None)
        self._told.pop(record.metadata.uid, None)
        self._queue.forget(record.key)
        self._on_change(namespace)

    def _record(self, key: SilenceKey) -> SilenceRecord | None:
        return self._informers.get(key)

    async def _look(self, key: SilenceKey) -> float | None:
        """One silence as of now: tells of a boundary that was passed, writes the status; seconds to the next look."""
        record = self._record(key)
        if record is None:
            return None
        silence, now = self.find(*key), self._now()
        self._pass_boundary(key, silence.window(now) if silence else None)
        if self._leading():
            await self._write(record, silence, now)
        left_s = boundary_s(silence, self._now()) if silence else None
        return None if left_s is None else min(max(0.0, left_s), LOOK_AGAIN_S)

    def _pass_boundary(self, key: SilenceKey, window: Window | None) -> None:
        before = self._windows.get(key)
        if window is None:
            self._windows.pop(key, None)
            return
        self._windows[key] = window
        if window is Window.EXPIRED:
            self._live.get(key[0], {}).pop(key[1], None)
        if before is not None and before is not window:
            self._on_change(key[0])

    async def _write(self, record: SilenceRecord, silence: Silence | None, now: datetime) -> None:
        meta, current = record.metadata, record.written
        existing = current.get("conditions") or ()
        conditions = _conditions(silence, record, now)
        status: dict[str, Any] = {
            "observedGeneration": meta.generation,
            "conditions": merge(existing, conditions, meta.generation, now),
        }
        if silence is not None:
            status |= self._figures(silence, current)
        ref = ObjectRef(API_VERSION, KIND, meta.name, meta.namespace, meta.uid)
        await write_status(self._client, SILENCES, ref, status, current, manager=MANAGER)

    def _figures(self, silence: Silence, current: Mapping[str, Any]) -> dict[str, Any]:
        """What was held back only grows: a process that just started knows less than the one before it wrote."""
        tally = self._tally(silence.key)
        before = current.get("heldBack")
        told = stamp_if_any(silence.ended_told or self._told.get(silence.uid))
        figures = {
            "matchedIncidents": tally.matched_incidents,
            "heldBack": max(tally.held_back, before if isinstance(before, int) else 0),
        }
        return figures | ({"endedMessageTime": told} if told else {})


def _conditions(silence: Silence | None, record: SilenceRecord, now: datetime) -> tuple[Condition, ...]:
    if silence is None:
        read = record.read()
        text = "; ".join(map(str, read)) if isinstance(read, tuple) else Reason.INVALID_SPEC.doc
        return (
            Condition("Accepted", "False", Reason.INVALID_SPEC, text),
            Condition("Active", "False", Reason.INVALID_SPEC, "It mutes nothing."),
            Condition("Stalled", "True", Reason.INVALID_SPEC, text),
        )
    accepted = Condition("Accepted", "True", Reason.ACCEPTED, Reason.ACCEPTED.doc)
    return accepted, _active(silence, now)


def _active(silence: Silence, now: datetime) -> Condition:
    match silence.window(now):
        case Window.PENDING:
            return Condition("Active", "False", Reason.SILENCE_PENDING, f"It begins at {stamp(silence.start)}.")
        case Window.ACTIVE:
            return Condition("Active", "True", Reason.SILENCE_ACTIVE, f"It mutes until {stamp(silence.end)}.")
        case Window.EXPIRED:
            return Condition("Active", "False", Reason.SILENCE_EXPIRED, f"It ended at {stamp(silence.end)}.")
