"""What desk, mailroom and statuses stand among: the API server, the caches, the clocks, and the questions that others answer.

Before: `reconcile` builds it once. After: nobody else reaches into another's parts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watchbell.collectors.casework.caseload import Case, Caseload
from watchbell.collectors.casework.health import View
from watchbell.collectors.casework.incidents import Group, Incident
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.silencing.silences import IncidentFacts, Silence, SilenceKey
from watchbell.kube.client import Client
from watchbell.kube.resources import ObjectRef


class Recorder(Protocol):
    """Where Events go (`kube.events.EventRecorder`)."""

    def emit(self, regarding: ObjectRef, *, type_: str, reason: str, action: str, note: str) -> None:
        """Returns at once."""


class Silences(Protocol):
    """What of `hush.Hush` is asked here."""

    def muting(self, namespace: str, facts: IncidentFacts) -> Silence | None:
        """The silence that mutes this incident now."""

    def find(self, namespace: str, name: str) -> Silence | None:
        """A silence by name, whether it mutes or not."""

    def ended(self, namespace: str) -> tuple[Silence, ...]:
        """Those that ended and of which no mail has told."""

    def told(self, key: SilenceKey) -> None:
        """The mail about its end is in the outbox, or there was nothing to tell."""

    def counted(self, key: SilenceKey) -> None:
        """Its figures moved."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`clock` is monotonic seconds, `now` the wall clock, `on_change` hears which policy's figures moved, `requeue` that a case is to be looked at.

    `view(policy, incident)` is all that can be seen of its workload now, `survey(policy, group)` looks at a closed case's workload again,
    `is_busy` says whether there is more urgent work than an incident's own status.
    """

    client: Client
    watches: PodWatches
    load: Caseload
    silences: Silences
    recorder: Recorder
    clock: Callable[[], float]
    now: Callable[[], datetime]
    leading: Callable[[], bool]
    is_busy: Callable[[], bool]
    policy: Callable[[PolicyKey], Policy | None]
    view: Callable[[Policy, Incident], View]
    survey: Callable[[Policy, Group], None]
    on_change: Callable[[PolicyKey], None]
    requeue: Callable[[str], None]

    def policy_of(self, case: Case) -> Policy | None:
        """The policy that made the incident; None when it is gone, or another has its name."""
        policy = self.policy(case.policy_key)
        return policy if policy is not None and policy.uid == case.incident.group.policy_uid else None
