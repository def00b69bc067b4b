"""An incident becomes mails: facts gathered, rendered at this moment, created as EmailMessages and handed to the outbox at once.

Before: `desk` decided that a telling is due. After: the outbox sends. The text is fixed when the message is made, so what arrives late still
says what was true then. Names follow from incident, sequence and route: one that is there already was made before a restart, and the outbox
knows it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from watchbell.api.enums import ResolvedMail, Transition
from watchbell.api.policy import Route
from watchbell.api.reasons import Reason
from watchbell.collectors.caseload import Case
from watchbell.collectors.incidents import Affected, Incident, Notification, message_name
from watchbell.collectors.pod import Pod, status_of
from watchbell.collectors.policies import Policy
from watchbell.collectors.records import LISTED_PODS_MAX, Letter, message_body
from watchbell.collectors.watch import PodWatches
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import AlreadyExists, ApiError, NotFound
from watchbell.logs import about
from watchbell.mail.crash import CrashFacts, PodFacts, render_crash, render_resolved
from watchbell.mail.document import Rendered

log = logging.getLogger(__name__)

MESSAGES = custom("emailmessages")
TAIL_DEADLINE_S = 2.0
"""A kubelet that does not answer may cost a mail its log lines, not its time."""
TAIL_LIMIT_BYTES = 64 * 1024


class MessageSink(Protocol):
    """Where created messages go at once; the outbox."""

    def submit(self, body: dict[str, Any]) -> None:
        """Takes an EmailMessage as the API server returned it. Returns at once."""


class LeftoverMessageError(Exception):
    """A message of this name is still there that belongs to another incident."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes the mails of tellings."""

    client: Client
    watches: PodWatches
    sink: MessageSink
    now: Callable[[], datetime]
    cluster_name: str

    async def tell(self, case: Case, policy: Policy, telling: Notification) -> tuple[str, ...]:
        """Creates the messages of one telling, one for each route that takes it; their names."""
        is_resolved = telling.transition is Transition.RESOLVED
        routes = [route for route in policy.routes if not is_resolved or route.resolved is ResolvedMail.SEND]
        if not routes:
            return ()
        if not is_resolved and (case.log_lines is None or telling.transition is Transition.REPEATED):
            await self.tail(case, policy)
        facts = self._facts(case, policy, telling.transition)
        rendered = render_resolved(facts) if is_resolved else render_crash(facts)
        letters = (_letter(route, rendered) for route in routes)
        creations = (self._create(case.incident, telling.sequence, letter) for letter in letters)
        # All are waited for, so that none goes on unseen when another fails; the step is then done again as a whole.
        results = await asyncio.gather(*creations, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return tuple(message_name(case.incident.name, telling.sequence, route.name) for route in routes)

    async def is_waiting(self, incident: Incident) -> bool:
        """Whether the mail of the last telling has not gone out yet."""
        names = incident.notifications[-1].messages if incident.notifications else None
        if not names:
            return False
        try:
            message = await self.client.get(MESSAGES, names[0], incident.group.namespace)
        except NotFound:
            return False
        return not message.get("status", {}).get("completionTime")

    async def _create(self, incident: Incident, sequence: int, letter: Letter) -> None:
        body = message_body(incident, sequence, letter)
        try:
            self.sink.submit(await self.client.create(MESSAGES, body, incident.group.namespace))
        except AlreadyExists:
            await self._expect_own(incident, body["metadata"]["name"])

    async def _expect_own(self, incident: Incident, name: str) -> None:
        """Made before a restart, it is done. One that a deleted incident left behind is about to be collected: come back then."""
        there = await self.client.get(MESSAGES, name, incident.group.namespace)
        owners = there["metadata"].get("ownerReferences") or ()
        if not any(owner.get("uid") == incident.uid for owner in owners):
            raise LeftoverMessageError(f"EmailMessage {name} belongs to an incident that is gone")
        log.info("message is there already", extra=about(message=name))

    async def tail(self, case: Case, policy: Policy) -> None:
        """The last lines of the run that died, into the case; none where the log cannot be had in time."""
        if policy.log_tail_lines <= 0 or not case.incident.affected:
            return
        pod = _latest(case.incident)
        lines: tuple[str, ...] = ()
        try:
            async with asyncio.timeout(TAIL_DEADLINE_S):
                lines = await self._lines(case.incident, policy, pod.name)
        except (ApiError, TimeoutError) as error:
            log.info("no log lines", extra=about(incident=case.incident.name, pod=pod.name, error=str(error)))
        case.log_lines, case.log_pod = lines, pod.name

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

    def _facts(self, case: Case, policy: Policy, transition: Transition) -> CrashFacts:
        incident, over = case.incident, case.incident.resolution
        seen = self.watches.pods(policy.scope) if policy.scope else {}
        pods = sorted(incident.affected.values(), key=lambda pod: (pod.last_time, pod.name), reverse=True)
        return CrashFacts(
            cluster=self.cluster_name,
            namespace=incident.group.namespace,
            policy=incident.group.policy,
            incident=incident.name,
            owner_kind=incident.group.owner.kind,
            owner_name=incident.group.owner.name,
            kind=str(incident.kind),
            worst=str(incident.worst or incident.kind),
            severity=str(incident.severity),
            container=incident.group.container,
            image=incident.image,
            pods=tuple(
                _pod_facts(pod, seen.get((incident.group.namespace, pod.name))) for pod in pods[:LISTED_PODS_MAX]
            ),
            start_time=incident.start_time,
            now=over.time if over else self.now(),
            affected_count=incident.affected_count,
            log_lines=case.log_lines or (),
            log_pod=case.log_pod,
            repeat_seconds=int(policy.plan.repeat_s),
            resolve_after_seconds=int(policy.plan.resolve_after_s),
            send_resolved=policy.plan.tells_resolved,
            is_reminder=transition is Transition.REPEATED,
            well_since=incident.healthy_since if over else None,
            are_pods_gone=over is not None and over.reason is Reason.PODS_GONE,
        )


def _latest(incident: Incident) -> Affected:
    return max(incident.affected.values(), key=lambda pod: (pod.last_time, pod.name))


def _letter(route: Route, rendered: Rendered) -> Letter:
    ref = route.connector_ref
    named = {"kind": str(ref.kind), "name": ref.name} if ref else None
    return Letter(route.name, route.to, route.cc, route.bcc, named, rendered)


def _pod_facts(pod: Affected, seen: Pod | None) -> PodFacts:
    return PodFacts(
        name=pod.name,
        node=pod.node,
        exit_code=pod.exit_code,
        signal=pod.signal,
        reason=pod.reason,
        restarts=pod.restarts,
        last_time=pod.last_time,
        message=pod.message,
        memory_limit=pod.memory_limit,
        is_never_restarted=seen is not None and seen.spec.restart_policy == "Never",
    )
