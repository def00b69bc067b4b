"""What helps whoever gets the mail: the end of the dead run's log, the pod's warnings, what changed before. Gathered beside the incident's creation.

Before: `desk` opens an incident. After: `accounts` has it in the case. Each clue has a deadline and none is worth a mail's time: in a storm,
when the API server has enough to do, none is asked for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.incidents import Family, Incident
from watchbell.collectors.policies import Policy
from watchbell.collectors.seen.pod import Owner, status_of
from watchbell.collectors.seen.watch import PodWatches
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError
from watchbell.logs import about

log = logging.getLogger(__name__)

TAIL_DEADLINE_S = 2.0
"""A kubelet that does not answer may cost a mail its log lines, not its time."""
TAIL_LIMIT_BYTES = 64 * 1024
_WITH_EVENTS = frozenset({Family.CRASH, Family.START, Family.SCHEDULING, Family.READINESS, Family.EVICTION})
Warnings = Callable[[Client, str, str], Awaitable[tuple[str, ...]]]
Changes = Callable[[str, Owner, datetime, datetime | None], tuple[str, ...]]
"""Namespace, workload, when the trouble began, when it was over (None = it stands): what changed before it, or while it lasted."""


async def no_warnings(_client: Client, _namespace: str, _pod: str) -> tuple[str, ...]:
    """Where Events may not be read."""
    return ()


def no_changes(_namespace: str, _owner: Owner, _since: datetime, _until: datetime | None) -> tuple[str, ...]:
    """Where workloads are not watched."""
    return ()


@dataclass(frozen=True, slots=True)
class Clues:
    """Gathers clues into cases. `is_storm`: whether there is too much to do for any; `changes` answers from memory."""

    client: Client
    watches: PodWatches
    is_storm: Callable[[], bool] = bool
    warnings: Warnings = no_warnings
    changes: Changes = no_changes

    async def gather(self, case: Case, policy: Policy) -> None:
        """All clues of a case, at once; those that cannot be had in time are left out."""
        self.note_changes(case)
        if self.is_storm():
            case.log_lines = ()
            return
        await asyncio.gather(self._events(case), self.tail(case, policy))

    def note_changes(self, case: Case) -> None:
        """What changed before the trouble, or, once it is over, while it lasted; from memory."""
        incident, over = case.incident, case.incident.resolution
        until = over.time if over is not None else None
        case.changes = self.changes(incident.group.namespace, incident.group.owner, incident.start_time, until)

    async def _events(self, case: Case) -> None:
        incident = case.incident
        if self.warnings is no_warnings or incident.group.family not in _WITH_EVENTS or not incident.pods:
            return
        case.events = await self.warnings(self.client, incident.group.namespace, incident.pods[0].name)

    async def tail(self, case: Case, policy: Policy) -> None:
        """The last lines of the run that died, into the case; none where the log cannot be had in time."""
        incident = case.incident
        is_about_a_run = incident.group.family is Family.CRASH and bool(incident.group.container)
        if policy.log_tail_lines <= 0 or not incident.pods or not is_about_a_run:
            case.log_lines = ()
            return
        pod = incident.pods[0].name
        lines: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(TAIL_DEADLINE_S):
                lines = await self._lines(incident, policy, pod)
        except (ApiError, TimeoutError) as error:
            log.info("no log lines", extra=about(incident=incident.name, pod=pod, error=str(error)))
        case.log_lines, case.log_pod = lines, pod

    async def _lines(self, incident: Incident, policy: Policy, pod: str) -> tuple[str, ...]:
        namespace, container = incident.group.namespace, incident.group.container
        text = await self.client.pod_log(
            namespace,
            pod,
            container,
            previous=self._has_restarted(policy, pod, container),
            tail_lines=policy.log_tail_lines,
            limit_bytes=TAIL_LIMIT_BYTES,
        )
        return tuple(text.splitlines()[-policy.log_tail_lines :])

    def _has_restarted(self, policy: Policy, pod: str, container: str) -> bool:
        """While the end is the present state its log is still the current one; after that it is the previous."""
        seen = self.watches.pods(policy.scope).get((policy.key[0], pod)) if policy.scope else None
        status = status_of(seen, container) if seen else None
        return status is None or status.ended is None
