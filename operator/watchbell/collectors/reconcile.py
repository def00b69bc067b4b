"""Collectors: pods → findings → incidents → messages. The one object that the runtime builds of this package.

Before: `policy_changed` and `policy_deleted` from the handlers, pods from `watch`, open incidents from their informer. After: the outbox gets
messages by `sink.submit`. Only while `leading()` is true is anything decided or written; a standby keeps its caches warm and decides over
them when its time comes. Everything in memory can be lost: taking over builds it from what the API server has.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from watchbell.api.names import ANNOTATION_ACKNOWLEDGED_BY
from watchbell.collectors.books import Books, TemplateBook
from watchbell.collectors.casework.batches import sent_before
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.casework.incidents import closed_at
from watchbell.collectors.casework.records import IncidentRecord
from watchbell.collectors.casework.recovery import Outgone, case_of
from watchbell.collectors.casework.statuses import INCIDENTS
from watchbell.collectors.casework.surroundings import Recorder, Surroundings
from watchbell.collectors.casework.takeover import Takeover
from watchbell.collectors.desk import Desk
from watchbell.collectors.faults.podevents import warning_events
from watchbell.collectors.mailing.clues import Clues
from watchbell.collectors.mailing.recipients import Recipients
from watchbell.collectors.mailing.telling import MessageSink, Teller
from watchbell.collectors.mailing.wording import Templates, Wording
from watchbell.collectors.policies import Policy, PolicyKey, named_templates, read_policy
from watchbell.collectors.rights import Rights
from watchbell.collectors.senses import Hearers, Running, Senses
from watchbell.collectors.standing import POLICIES, Standing
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError
from watchbell.kube.informers import Informers
from watchbell.kube.workqueue import WorkQueue

log = logging.getLogger(__name__)

OPEN = "status.resolvedTime="
"""Field selector: incidents that are over cost no memory."""
STORM_DEPTH = 32
"""So many cases wait at once: there is no time for what only helps."""


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """Knobs. `namespaces` empty = all; times in seconds."""

    cluster_name: str = ""
    namespaces: tuple[str, ...] = ()
    workers: int = 16
    audit_s: float = 1800.0
    tick_s: float = 1.0
    policy_status_delay_s: float = 1.0
    resolved_ttl_s: float = 604_800.0


class Collectors:
    """See the module's text. All methods are called on the loop; `policy_changed` and `policy_deleted` also before and without `run`."""

    def __init__(  # noqa: PLR0913 - what it stands on, each of its own kind, all but the client by name
        self,
        client: Client,
        *,
        sink: MessageSink,
        recorder: Recorder,
        clock: Callable[[], float],
        now: Callable[[], datetime],
        leading: Callable[[], bool],
        settings: CollectorSettings = CollectorSettings(),
        chance: Callable[[], float] = random.random,
        templates: Templates | None = None,
        template_book: TemplateBook | None = None,
        mail_backlog: Callable[[], int] = int,
    ) -> None:
        self._client, self._settings = client, settings
        self._clock, self._now, self._leading, self._chance = clock, now, leading, chance
        self._mail_backlog = mail_backlog
        self._policies: dict[PolicyKey, Policy] = {}
        self._refused: set[PolicyKey] = set()
        self._load = Caseload()
        self._deciding = False
        self._led = asyncio.Event()
        self._told_failing: set[PolicyKey] = set()
        self._senses = Senses(
            client,
            namespaces=settings.namespaces,
            policies=self._policies,
            load=self._load,
            hearers=Hearers(self._may_decide, self._requeue, self._touch_policy, self._heed_silences),
            now=now,
            clock=clock,
            leading=leading,
        )
        self._watches = self._senses.watches
        self._records = Informers(
            client, INCIDENTS, IncidentRecord, settings.namespaces, field_selector=OPEN, on_change=self._heed_record
        )
        self._recipients = Recipients(client, clock, self._touch_policy)
        self._teller = Teller(
            client,
            self._watches,
            sink,
            now,
            settings.cluster_name,
            self._recipients,
            Wording(self._touch_policy, templates),
        )
        self._desk = self._build_desk(recorder)
        self._takeover = Takeover(client, self._load, settings.namespaces, now, settings.resolved_ttl_s)
        self._cases: WorkQueue[str] = WorkQueue(
            self._desk.work, workers=settings.workers, name="incidents", clock=clock
        )
        books = Books(
            drift=self._senses.drifts,
            owners=self._senses.workloads,
            recipients=self._recipients,
            rights=Rights(client, clock),
        )
        books = replace(books, templates=template_book) if template_book is not None else books
        standing = Standing(client, self._watches, self._load, self._policies, self._refused, now, leading, books)
        self._standing: WorkQueue[PolicyKey] = WorkQueue(standing.work, workers=4, name="policies", clock=clock)

    def _build_desk(self, recorder: Recorder) -> Desk:
        around = Surroundings(
            client=self._client,
            watches=self._watches,
            load=self._load,
            silences=self._senses.hush,
            recorder=recorder,
            clock=self._clock,
            now=self._now,
            leading=self._may_decide,
            is_busy=self._is_busy,
            policy=self._policies.get,
            view=self._senses.lookout.view,
            survey=self._senses.lookout.survey_group,
            on_change=self._touch_policy,
            requeue=self._requeue,
        )
        clues = Clues(self._client, self._watches, self._is_storm, warning_events, self._senses.what_changed)
        return Desk(around, self._teller, clues)

    def _is_storm(self) -> bool:
        return self._cases.depth > STORM_DEPTH

    def _is_busy(self) -> bool:
        """Whether anybody waits for a mail: an incident's own status can wait for that."""
        return bool(self._cases.depth or self._desk.mailroom.is_busy or self._mail_backlog() or self._client.is_busy)

    def _requeue(self, fingerprint: str) -> None:
        self._cases.add(fingerprint)

    # --- what others see

    @property
    def matched_pods(self) -> int:
        """Pods in memory."""
        return self._watches.pod_count

    @property
    def open_incidents(self) -> int:
        """Incidents that are not over."""
        return len(self._load.cases)

    def firing(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """How many incidents go on, by namespace, policy, kind and severity."""
        return self._load.firing()

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How often findings did what, and why the others did nothing."""
        return {str(outcome): count for outcome, count in self._load.outcomes.items()}

    @property
    def failures(self) -> int:
        """Units of work that ended in an unexpected error."""
        queues = (self._cases, self._standing, self._desk.statuses, self._desk.mailroom)
        return self._senses.failures + sum(queue.failures for queue in queues)

    @property
    def is_ready(self) -> bool:
        """Whether all caches are full (or told why not)."""
        if not (self._records.is_settled and self._senses.is_ready):
            return False
        scopes = {policy.scope for policy in self._policies.values() if policy.is_enforced and policy.scope}
        return all(self._watches.is_synced(scope) or self._watches.failure(scope) for scope in scopes)

    async def idle(self) -> None:
        """Waits until no case and no policy waits for work; timers may be set."""
        for queue in (self._cases, self._desk.mailroom, self._cases, self._desk.statuses, self._standing):
            await queue.idle()

    # --- policies come and go

    def policy_changed(self, body: Mapping[str, Any]) -> None:
        """A CollectorPolicy was seen, for the first time or again. An event that only brings our own status back changes nothing."""
        policy = read_policy(body)
        before = self._policies.get(policy.key)
        is_same_object = before is not None and before.uid == policy.uid
        if before is not None and is_same_object and policy.generation < before.generation:
            return  # an audit's list can be older than the event that came while it was read
        self._policies[policy.key] = policy
        is_same = before is not None and is_same_object and before.generation == policy.generation
        if before is not None and is_same and before.requested_at == policy.requested_at:
            return
        self._watch(policy)
        self._recipients.forget(policy.key)
        self._teller.wording.forget(policy.key)
        self._touch_policy(policy.key, delay_s=0.0)
        self._touch_cases(policy.key)
        self._desk.mailroom.wake(policy.key)
        if self._deciding:
            self._senses.survey(policy)

    def policy_deleted(self, key: PolicyKey) -> None:
        """The CollectorPolicy `(namespace, name)` is gone; its open incidents end with PolicyDeleted."""
        if self._policies.pop(key, None) is None:
            return
        self._senses.forget(key)
        self._desk.mailroom.forget(key)
        self._refused.discard(key)
        self._standing.forget(key)
        self._recipients.forget(key)
        self._teller.wording.forget(key)
        self._touch_cases(key)
        self._retry_refused()

    def connectors_changed(self) -> None:
        """A connector came or went: policies look for theirs again."""
        for key in self._policies:
            self._touch_policy(key)

    def template_changed(self, namespace: str, name: str) -> None:
        """An EmailTemplate came, went, or is right or wrong now: policies that name it say so."""
        for key, policy in self._policies.items():
            if key[0] == namespace and name in named_templates(policy):
                self._touch_policy(key)

    def leadership_changed(self) -> None:
        """`leading()` may answer otherwise now. Without this call it is noticed within `tick_s`."""
        self._led.set()
        if self._leading():
            self._senses.hush.lead()

    def _watch(self, policy: Policy) -> None:
        self._refused.discard(policy.key)
        if not self._senses.watch(policy):
            self._refused.add(policy.key)

    def _retry_refused(self) -> None:
        for key in tuple(self._refused):
            self._watch(self._policies[key])
            self._touch_policy(key)

    # --- silences end

    def _heed_silences(self, namespace: str) -> None:
        self._desk.settle_silences(namespace)

    # --- incidents change

    def _heed_record(self, old: IncidentRecord | None, new: IncidentRecord | None) -> None:
        """Somebody else's hand on an incident: acknowledged, or deleted. What we wrote ourselves comes back here too."""
        seen = new or old
        if seen is None or not self._may_decide():
            return
        fingerprint = seen.spec.fingerprint
        case = self._load.cases.get(fingerprint)
        if case is None or case.incident.uid != seen.metadata.uid:
            return
        if new is None:
            # Who deletes an incident has heard of it: only what comes after that is news.
            self._load.drop(fingerprint)
            self._load.succeed(fingerprint, closed_at(case.incident, self._now()))
            self._touch_policy(case.policy_key)
            return
        by = new.metadata.annotations.get(ANNOTATION_ACKNOWLEDGED_BY, "")
        if by != case.incident.acknowledged_by:
            case.incident = replace(case.incident, is_acknowledged=bool(by), acknowledged_by=by)
            case.is_changed = True
            self._cases.add(fingerprint)

    # --- work

    async def run(self) -> None:
        """Watches, decides while leading, and audits, until cancelled."""
        queues: tuple[Running, ...] = (self._cases, self._desk.mailroom, self._desk.statuses, self._standing)
        async with asyncio.TaskGroup() as group:
            for part in (*self._senses.parts, *queues, self._records):
                group.create_task(part.run())
            group.create_task(self._lead())

    def _may_decide(self) -> bool:
        return self._deciding and self._leading()

    async def _lead(self) -> None:
        audit_at = 0.0
        while True:
            if not self._leading():
                self._stand_by()
            elif (not self._deciding or self._clock() >= audit_at) and self._are_caches_full():
                if await self._tried_take_over():
                    audit_at = self._clock() + self._settings.audit_s * (0.75 + self._chance() / 2)
            else:
                self._retell_failures()
            await self._tick()

    async def _tick(self) -> None:
        self._led.clear()
        try:
            async with asyncio.timeout(self._settings.tick_s):
                await self._led.wait()
        except TimeoutError:
            return

    def _are_caches_full(self) -> bool:
        return self._records.is_synced and self._senses.is_ready

    def _stand_by(self) -> None:
        if self._deciding:
            self._deciding = False
            self._load.clear()
            self._desk.mailroom.clear()
            self._senses.drifts.stand_by()

    async def _tried_take_over(self) -> bool:
        try:
            await self._take_over()
        except ApiError as error:
            log.warning("incidents cannot be taken over yet: %s", error)
            return False
        return True

    async def _take_over(self) -> None:
        """At the start of leading, and as an audit from time to time: what the API server has is what counts."""
        await self._compare_policies()
        await self._takeover.read_past()
        # What this process made itself it knows; a list would only tell what is on its way.
        outgone = None if self._deciding else await self._takeover.read_outgone()
        if not self._leading():
            return
        now = self._now()
        for record in self._records.values():
            self._admit(record, outgone, now)
        if outgone is not None:
            self._remember_mails(outgone, now)
        self._deciding = True
        for policy in tuple(self._policies.values()):
            self._senses.survey(policy)
            self._touch_policy(policy.key)
        for fingerprint in tuple(self._load.cases):
            self._cases.add(fingerprint)
        for namespace in {key[0] for key in self._policies}:
            self._desk.settle_silences(namespace)

    def _admit(self, record: IncidentRecord, outgone: Outgone | None, now: datetime) -> None:
        policy = self._policies.get((record.metadata.namespace, record.spec.policy_ref.name))
        case = case_of(record, policy, now)
        if case.fingerprint not in self._load.cases:
            if outgone is not None:
                outgone.settle(case)
            self._load.put(case)

    def _remember_mails(self, outgone: Outgone, now: datetime) -> None:
        """Budgets and periods go on where the process before left them."""
        self._teller.chains.update(outgone.chains)
        for policy in self._policies.values():
            times = tuple(outgone.times.get(policy.uid, {}).values())
            if times and policy.is_enforced:
                self._desk.mailroom.remember(policy.key, sent_before(times, policy.plan, now))

    async def _compare_policies(self) -> None:
        """Events are hints; this is the truth."""
        known, listed = set(self._policies), set[PolicyKey]()
        for namespace in self._settings.namespaces or (None,):
            for body in await self._client.list(POLICIES, namespace):
                key = (str(body["metadata"]["namespace"]), str(body["metadata"]["name"]))
                listed.add(key)
                if key not in known or key in self._policies:
                    self.policy_changed(body)
        # What came while the list was read is not in it, and not gone either; what went then is in it and yet gone.
        for key in known - listed:
            self.policy_deleted(key)

    def _retell_failures(self) -> None:
        """A watch that began to fail, or stopped failing, shows in its policies' conditions."""
        failing = {
            key
            for key, policy in self._policies.items()
            if policy.scope is not None and self._watches.failure(policy.scope) is not None
        }
        for key in failing ^ self._told_failing:
            self._touch_policy(key)
        self._told_failing = failing

    def _touch_policy(self, key: PolicyKey, delay_s: float | None = None) -> None:
        if key in self._policies:
            self._standing.add_after(key, self._settings.policy_status_delay_s if delay_s is None else delay_s)

    def _touch_cases(self, key: PolicyKey) -> None:
        for case in self._load.of_policy(key):
            self._cases.add(case.incident.group.fingerprint)
