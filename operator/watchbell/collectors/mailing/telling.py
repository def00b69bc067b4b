"""Tellings become mails: the facts of this moment, created as EmailMessages and handed to the outbox at once.

Before: `desk` has one telling that goes alone, `mailroom` several that share a mail. After: the outbox sends. What it says is fixed when the message
is made, so what arrives late still says what was true then. A message that is there already was made before a restart, and the outbox knows it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from watchbell.api import names
from watchbell.api.enums import BuiltinTemplate
from watchbell.api.route import Route
from watchbell.collectors.casework.batches import Batch
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.incidents import Incident, Notification
from watchbell.collectors.casework.letters import MESSAGES, Envelope, Letter, message_body, thread_key
from watchbell.collectors.casework.naming import SINGLE, BatchMark, Member, digest_name, message_name, read_members
from watchbell.collectors.casework.routing import takes
from watchbell.collectors.mailing.accounts import Scene, digest_facts, incident_facts, worst_of
from watchbell.collectors.mailing.recipients import Recipients
from watchbell.collectors.mailing.wording import Wording
from watchbell.collectors.policies import Policy
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.silencing.silences import Silence
from watchbell.kube.client import Client
from watchbell.kube.errors import AlreadyExists, NotFound
from watchbell.logs import about
from watchbell.mail.builtin import Packed, packed_or_rendered
from watchbell.mail.document import Rendered

log = logging.getLogger(__name__)


FOREIGN_MAX = 10_000


class MessageSink(Protocol):
    """Where created messages go at once; the outbox."""

    def submit(self, body: dict[str, Any]) -> None:
        """Takes an EmailMessage as the API server returned it. Returns at once."""


class LeftoverMessageError(Exception):
    """A message of this name is still there that belongs to another incident."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Makes the mails of tellings. `chains`: the last digest of each route of a policy, by (policy's uid, route).

    `foreign`: by (policy's uid, route, incident, sequence) the digest that tells it, though the reply was lost and its batch does not know yet.
    """

    client: Client
    watches: PodWatches
    sink: MessageSink
    now: Callable[[], datetime]
    cluster_name: str
    recipients: Recipients
    wording: Wording
    chains: dict[tuple[str, str], int] = field(default_factory=dict)
    foreign: dict[tuple[str, str, str, int], str] = field(default_factory=dict)

    def routes(self, case: Case, policy: Policy) -> tuple[Route, ...]:
        """The routes that take the pending telling."""
        return tuple(route for route in policy.routes if takes(route, case.incident))

    async def tell(self, case: Case, policy: Policy, telling: Notification) -> bool:
        """Creates the messages of one telling, one for each route that takes it, into `case.sent`. False = nobody can be told now."""
        wanted = self.routes(case, policy)
        todo = [route for route in wanted if (telling.sequence, route.name) not in case.sent]
        lists = await asyncio.gather(*(self.recipients.of(policy, route) for route in todo))
        served = [(route, to) for route, to in zip(todo, lists, strict=True) if to or route.cc or route.bcc]
        scene, content = self._scene(policy), dict[str, Packed | Rendered]()
        for route, _ in served:
            template = _template(route)
            if template not in content:
                facts = incident_facts(case, scene, telling.transition)
                content[template] = await self.wording.of(policy.key, template, facts, telling.transition)
        creations = (
            self._create_single(case, telling, _letter(route, to, content[_template(route)])) for route, to in served
        )
        # All are waited for, so that none goes on unseen when another fails; the step is then done again as a whole.
        await _all(creations)
        return bool(case.sent_of(telling.sequence)) or not wanted

    async def _create_single(self, case: Case, telling: Notification, letter: Letter) -> None:
        incident = case.incident
        name = message_name(incident.name, telling.sequence, letter.route)
        member = Member(incident.name, telling.sequence, telling.transition)
        mark = BatchMark(incident.group.policy_uid, letter.route, SINGLE)
        envelope = Envelope(name, mark, (member,), (incident,), thread_key(incident), incident.severity)
        try:
            body = message_body(envelope, letter)
            created = await self.client.create(MESSAGES, body, incident.group.namespace, brief=True)
        except AlreadyExists:
            await self._expect_own(incident, name)
        else:
            self.sink.submit(created)
        case.sent[telling.sequence, letter.route] = name

    async def _expect_own(self, incident: Incident, name: str) -> None:
        """Made before a restart, it is done. One that a deleted incident left behind is about to be collected: come back then."""
        there = await self.client.get(MESSAGES, name, incident.group.namespace)
        owners = there["metadata"].get("ownerReferences") or ()
        if not any(owner.get("uid") == incident.uid for owner in owners):
            raise LeftoverMessageError(f"EmailMessage {name} belongs to an incident that is gone")
        log.info("message is there already", extra=about(message=name))

    async def tell_together(self, cases: Sequence[Case], policy: Policy, batch: Batch, silence: Silence | None) -> bool:
        """Creates the digest of each route, listing what the route takes and was not told yet. False = nobody can be told now."""
        thread = thread_of([case.incident for case in cases])
        is_wanted = False
        for route in policy.routes:
            taken = [case for case in cases if takes(route, case.incident)]
            is_wanted = is_wanted or bool(taken)
            to = await self.recipients.of(policy, route) if taken else ()
            if to or route.cc or route.bcc:
                await self._tell_route(taken, policy, (route, to), (batch, silence, thread))
        for case in cases:
            case.incident = _threaded(case.incident, thread)
        return not is_wanted or any(case.sent_of(_sequence(case)) for case in cases)

    async def _tell_route(
        self,
        taken: Sequence[Case],
        policy: Policy,
        aim: tuple[Route, tuple[str, ...]],
        what: tuple[Batch, Silence | None, str],
    ) -> None:
        (route, to), (batch, silence, thread) = aim, what
        while len(self.foreign) > FOREIGN_MAX:
            del self.foreign[next(iter(self.foreign))]
        while True:
            for case in taken:
                self._recall(case, policy.uid, route.name)
            untold = [case for case in taken if (_sequence(case), route.name) not in case.sent]
            if not untold:
                return
            facts = digest_facts(untold, self._scene(policy), batch, silence)
            letter = _letter(route, to, packed_or_rendered(BuiltinTemplate.DIGEST, facts))
            number = self.chains.get((policy.uid, route.name), SINGLE) + 1
            envelope = _envelope(untold, policy, BatchMark(policy.uid, route.name, number), thread)
            told = await self._create_digest(envelope, letter, policy.key[0])
            self.chains[policy.uid, route.name] = number
            for telling in told:
                self.foreign[policy.uid, route.name, *telling] = envelope.name

    def _recall(self, case: Case, policy_uid: str, route: str) -> None:
        sequence = _sequence(case)
        name = self.foreign.pop((policy_uid, route, case.incident.name, sequence), None)
        if name is not None:
            case.sent[sequence, route] = name

    async def _create_digest(self, envelope: Envelope, letter: Letter, namespace: str) -> frozenset[tuple[str, int]]:
        """Which tellings the digest of that name lists: ours, or those of the one that is there already, for then those are told."""
        members = envelope.members
        try:
            body = message_body(envelope, letter)
            self.sink.submit(await self.client.create(MESSAGES, body, namespace, brief=True))
        except AlreadyExists:
            try:
                there = await self.client.get(MESSAGES, envelope.name, namespace)
            except NotFound:
                return frozenset()  # collected in this moment: the next number is free
            annotations = there["metadata"].get("annotations") or {}
            members = read_members(annotations.get(names.ANNOTATION_INCIDENTS, ""))
            log.info("digest is there already", extra=about(message=envelope.name))
        return frozenset((member.incident, member.sequence) for member in members)

    async def is_waiting(self, incident: Incident) -> bool:
        """Whether the mail of the last telling has not gone out yet."""
        messages = incident.notifications[-1].messages if incident.notifications else None
        if not messages:
            return False
        try:
            message = await self.client.get(MESSAGES, messages[0], incident.group.namespace)
        except NotFound:
            return False
        return not message.get("status", {}).get("completionTime")

    def _scene(self, policy: Policy) -> Scene:
        pods = self.watches.pods(policy.scope) if policy.scope else {}
        return Scene(self.cluster_name, policy, pods, self.now())


def thread_of(incidents: Sequence[Incident]) -> str:
    """The thread of a mail about several: the one in which most of them were told first, else that of the first."""
    threads = [thread_key(incident) for incident in incidents if incident.told is not None]
    if not threads:
        return thread_key(incidents[0])
    return max(dict.fromkeys(threads), key=threads.count)


def _threaded(incident: Incident, thread: str) -> Incident:
    """An incident that was first told in a digest goes on in that digest's thread."""
    if incident.told is not None or incident.thread or thread == incident.uid:
        return incident
    return replace(incident, thread=thread)


async def _all(creations: Iterable[Awaitable[None]]) -> None:
    results = await asyncio.gather(*creations, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _template(route: Route) -> str:
    return route.template_ref.name if route.template_ref else ""


def _sequence(case: Case) -> int:
    pending = case.incident.pending
    return pending.sequence if pending is not None else 0


def _envelope(cases: Sequence[Case], policy: Policy, mark: BatchMark, thread: str) -> Envelope:
    incidents = tuple(case.incident for case in cases)
    members = tuple(
        Member(incident.name, incident.pending.sequence, incident.pending.transition)
        for incident in incidents
        if incident.pending is not None
    )
    return Envelope(digest_name(policy.key[1], mark), mark, members, incidents, thread, worst_of(incidents))


def _letter(route: Route, to: tuple[str, ...], content: Packed | Rendered) -> Letter:
    ref = route.connector_ref
    named = {"kind": str(ref.kind), "name": ref.name} if ref else None
    return Letter(route.name, to, route.cc, route.bcc, named, content)
