"""Captured baselines of all policies: the first healthy state of each workload, until the policy asks for another revision.

Before: `drifts` looks at an owner in mode Captured. After: `standing` writes `status_of` into the policy's status, which is where a later process
finds it; a capture that was not written yet is simply taken again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from watchbell.collectors.baselines.baseline import (
    WORKLOADS_MAX,
    Baseline,
    CapturedWorkload,
    NotYet,
    baseline_json,
    capture,
    read_baseline,
    with_workload,
)
from watchbell.collectors.baselines.fleet import Subject
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.seen.pod import Owner


class Captures:
    """What was captured, by policy. `has_pods(policy, owner)` tells which workloads still exist; `on_capture` that there is something to write."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        has_pods: Callable[[Policy, Owner], bool],
        on_capture: Callable[[PolicyKey], None],
    ) -> None:
        self._now, self._has_pods, self._on_capture = now, has_pods, on_capture
        self._baselines: dict[PolicyKey, tuple[str, Baseline]] = {}

    def known(self, policy: Policy, owner: Owner) -> CapturedWorkload | None:
        """What was captured of an owner."""
        return self._baseline(policy).find(owner)

    def status_of(self, policy: Policy) -> Mapping[str, Any] | None:
        """`status.baseline`; None while nothing is captured for the revision that is asked for, so that the former one stays visible."""
        baseline = self._baseline(policy)
        return baseline_json(baseline) if baseline.workloads else None

    def capture(self, policy: Policy, subject: Subject) -> CapturedWorkload | NotYet:
        """The owner as it is, kept from now on; or why not yet."""
        found = capture(subject, policy.drift)
        if isinstance(found, NotYet):
            return found
        grown = with_workload(self._with_room(policy), found)
        if isinstance(grown, NotYet):
            return grown
        self._baselines[policy.key] = (policy.uid, grown)
        self._on_capture(policy.key)
        return found

    def forget(self, policy: PolicyKey) -> None:
        """The policy is gone."""
        self._baselines.pop(policy, None)

    def clear(self) -> None:
        """Forgets all: the next leader's status is what counts."""
        self._baselines.clear()

    def _baseline(self, policy: Policy) -> Baseline:
        """In memory, else in the policy's status, else an empty one of the wanted revision."""
        revision = policy.drift.capture_revision
        uid, baseline = self._baselines.get(policy.key, ("", None))
        if baseline is not None and uid == policy.uid and baseline.revision == revision:
            return baseline
        stored = read_baseline(policy.status.get("baseline"))
        found = stored if stored is not None and stored.revision == revision else Baseline(revision, self._now())
        self._baselines[policy.key] = (policy.uid, found)
        return found

    def _with_room(self, policy: Policy) -> Baseline:
        """Workloads that have no pods any more make room when it is needed; the time is that of the first capture."""
        baseline = self._baseline(policy)
        if not baseline.workloads:
            return replace(baseline, captured=self._now())
        if len(baseline.workloads) < WORKLOADS_MAX:
            return baseline
        return replace(
            baseline, workloads=tuple(one for one in baseline.workloads if self._has_pods(policy, one.owner))
        )
