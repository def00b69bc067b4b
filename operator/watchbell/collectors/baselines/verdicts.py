"""What is said of an owner (pure): verdicts, which differences count by now, and the finding that a drifted owner is.

Before: `drift` found differences. After: `drifts` keeps the verdict and hands it on; `incidents` folds the finding into an incident.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watchbell.api.enums import DriftCheck, IncidentKind
from watchbell.collectors.baselines.fleet import Found
from watchbell.collectors.findings import Difference, Finding
from watchbell.collectors.seen.pod import Owner

DIFFERENCES_MAX = 50
REASON_MAX = 120
Known = tuple[DriftCheck, str]
"""A difference by which it is known from look to look: its check and path."""


class State(StrEnum):
    """What is to be said of an owner; all but DRIFTED and CLEAN are named reasons for saying nothing."""

    DRIFTED = "Drifted"
    CLEAN = "Clean"
    PENDING = "Pending"
    MOVING = "RolloutMoving"
    PAUSED = "RolloutPaused"
    OFF = "NothingToCompare"
    NO_PODS = "NoPods"
    NO_BASELINE = "NotCapturedYet"
    BASELINE_MISMATCH = "BaselineNamesNoContainer"
    UNREADABLE = "OwnerUnreadable"
    OWNER_UNKNOWN = "OwnerNotSeenYet"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an owner is. `pods` are those that differ; `more` differences are not listed; `detail` is a sentence for people, with the cure.

    `standing` is since when each difference is seen, to be handed in at the next look, which is due in `again_in_s` though nothing changes.
    """

    state: State
    differences: tuple[Difference, ...] = ()
    pods: tuple[str, ...] = ()
    more: int = 0
    detail: str = ""
    again_in_s: float | None = None
    standing: Mapping[Known, datetime] = field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        """Whether it may count as back to its baseline; every other state but DRIFTED says neither."""
        return self.state is State.CLEAN


def merged(found: Iterable[Found]) -> tuple[Found, ...]:
    """Each difference once, with all pods that have it, in the order of checks and paths."""
    pods: dict[Difference, dict[str, None]] = {}
    for one in found:
        pods.setdefault(one.difference, {}).update(dict.fromkeys(one.pods))
    order = {check: position for position, check in enumerate(DriftCheck)}
    differences = sorted(pods, key=lambda one: (order[one.check], one.path, one.actual))
    return tuple(Found(difference, tuple(pods[difference])) for difference in differences)


def timed(found: Sequence[Found], standing: Mapping[Known, datetime], pending_s: float, now: datetime) -> Verdict:
    """The verdict on what is found: what stands long enough counts, the rest is pending."""
    since: dict[Known, datetime] = {}
    due: list[Found] = []
    waits: list[float] = []
    for one in found:
        known = (one.difference.check, one.difference.path)
        since[known] = min(standing.get(known, now), now)
        wait_s = pending_s - (now - since[known]).total_seconds()
        if wait_s > 0:
            waits.append(wait_s)
        else:
            due.append(one)
    state = State.DRIFTED if due else State.PENDING if waits else State.CLEAN
    return Verdict(
        state=state,
        differences=tuple(one.difference for one in due[:DIFFERENCES_MAX]),
        pods=tuple(sorted({pod for one in due for pod in one.pods})),
        more=max(0, len(due) - DIFFERENCES_MAX),
        again_in_s=min(waits, default=None),
        standing=since,
    )


def finding(verdict: Verdict, owner: Owner, now: datetime) -> Finding | None:
    """A drifted owner as one finding; None for every other state."""
    if verdict.state is not State.DRIFTED:
        return None
    checks = dict.fromkeys(str(one.check) for one in verdict.differences)
    return Finding(
        kind=IncidentKind.DRIFT,
        pod="",
        pod_uid="",
        owner=owner,
        node="",
        container="",
        is_init=False,
        restarts=0,
        seen_time=now,
        is_standing=True,
        reason=", ".join(checks)[:REASON_MAX],
        note=f"{verdict.more} more differences are not listed." if verdict.more else "",
        differences=verdict.differences,
        pods=verdict.pods,
    )
