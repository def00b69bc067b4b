"""Collectors: pods → findings → incidents → messages. The one object that the runtime builds of this package.

Before: `policy_changed` and `policy_deleted` from the handlers, pods from `watch`, open incidents from their informer. After: the outbox gets
messages by `sink.submit`. Only while `leading()` is true is anything decided or written; a standby keeps its caches warm and decides over
them when its time comes. Everything in memory can be lost: taking over builds it from what the API server has.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from watchbell.collectors.caseload import Caseload
from watchbell.collectors.crash import detect
from watchbell.collectors.desk import INCIDENTS, Desk, Recorder, Surroundings
from watchbell.collectors.incidents import Group, closed_at
from watchbell.collectors.pod import Pod, owner_of
from watchbell.collectors.policies import Policy, PolicyKey, Scope, read_policy
from watchbell.collectors.records import IncidentRecord
from watchbell.collectors.recovery import IncidentPage, case_of
from watchbell.collectors.standing import POLICIES, Standing
from watchbell.collectors.telling import MessageSink, Teller
from watchbell.collectors.watch import PodWatches
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, Conflict, NotFound
from watchbell.kube.informer import Informer
from watchbell.kube.workqueue import WorkQueue

log = logging.getLogger(__name__)

OPEN = "status.resolvedTime="
"""Field selector: incidents that are over cost no memory."""
_PAGE = msgspec.json.Decoder(IncidentPage)


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
    ) -> None:
        self._client, self._settings = client, settings
        self._clock, self._now, self._leading, self._chance = clock, now, leading, chance
        self._policies: dict[PolicyKey, Policy] = {}
        self._refused: set[PolicyKey] = set()
        self._load = Caseload()
        self._deciding = False
        self._led = asyncio.Event()
        self._told_failing: set[PolicyKey] = set()
        self._watches = PodWatches(client, on_pod=self._heed_pod)
        self._records = [self._informer(namespace) for namespace in settings.namespaces or (None,)]
        self._cases: WorkQueue[str] = WorkQueue(
            self._desk(sink, recorder).work, workers=settings.workers, name="incidents", clock=clock
        )
        standing = Standing(client, self._watches, self._load, self._policies, self._refused, now, leading)
        self._standing: WorkQueue[PolicyKey] = WorkQueue(standing.work, workers=4, name="policies", clock=clock)

    def _desk(self, sink: MessageSink, recorder: Recorder) -> Desk:
        teller = Teller(self._client, self._watches, sink, self._now, self._settings.cluster_name)
        return Desk(
            Surroundings(
                client=self._client,
                watches=self._watches,
                load=self._load,
                teller=teller,
                recorder=recorder,
                clock=self._clock,
                now=self._now,
                leading=self._may_decide,
                policy=self._policies.get,
                survey=self._survey_group,
                on_change=self._touch_policy,
            )
        )

    def _informer(self, namespace: str | None) -> Informer[IncidentRecord]:
        return Informer(
            self._client,
            INCIDENTS,
            IncidentRecord,
            namespace=namespace,
            field_selector=OPEN,
            on_change=self._heed_record,
        )

    # --- what others see

    @property
    def matched_pods(self) -> int:
        """Pods in memory."""
        return self._watches.pod_count

    @property
    def open_incidents(self) -> int:
        """Incidents that are not over."""
        return len(self._load.cases)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How often findings did what, and why the others did nothing."""
        return {str(outcome): count for outcome, count in self._load.outcomes.items()}

    @property
    def failures(self) -> int:
        """Units of work that ended in an unexpected error."""
        return self._cases.failures + self._standing.failures

    @property
    def is_ready(self) -> bool:
        """Whether all caches are full (or told why not)."""
        if not all(informer.synced.is_set() or informer.failure for informer in self._records):
            return False
        scopes = {policy.scope for policy in self._policies.values() if policy.is_enforced and policy.scope}
        return all(self._watches.is_synced(scope) or self._watches.failure(scope) for scope in scopes)

    async def idle(self) -> None:
        """Waits until no case and no policy waits for work; timers may be set."""
        await self._cases.idle()
        await self._standing.idle()

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
        self._touch_policy(policy.key, delay_s=0.0)
        self._touch_cases(policy.key)
        if self._deciding:
            self._survey(policy)

    def policy_deleted(self, key: PolicyKey) -> None:
        """The CollectorPolicy `(namespace, name)` is gone; its open incidents end with PolicyDeleted."""
        if self._policies.pop(key, None) is None:
            return
        self._watches.unsubscribe(key)
        self._refused.discard(key)
        self._standing.forget(key)
        self._touch_cases(key)
        self._retry_refused()

    def connectors_changed(self) -> None:
        """A connector came or went: policies look for theirs again."""
        for key in self._policies:
            self._touch_policy(key)

    def leadership_changed(self) -> None:
        """`leading()` may answer otherwise now. Without this call it is noticed within `tick_s`."""
        self._led.set()

    def _watch(self, policy: Policy) -> None:
        self._refused.discard(policy.key)
        if not policy.is_enforced or policy.scope is None:
            self._watches.unsubscribe(policy.key)
        elif not self._watches.subscribe(policy.key, policy.scope):
            self._refused.add(policy.key)

    def _retry_refused(self) -> None:
        for key in tuple(self._refused):
            self._watch(self._policies[key])
            self._touch_policy(key)

    # --- pods change

    def _heed_pod(self, scope: Scope, old: Pod | None, new: Pod | None) -> None:
        if not self._may_decide():
            return
        seen = new or old
        if seen is None:
            return
        owner = owner_of(seen)
        for key in self._watches.subscribers(scope):
            policy = self._policies.get(key)
            if policy is None or not policy.is_enforced:
                continue
            if new is not None:
                self._judge(policy, old, new)
            for fingerprint in self._load.about(key, owner):
                self._cases.add(fingerprint)
            if old is None or new is None:
                self._touch_policy(key)

    def _judge(self, policy: Policy, old: Pod | None, new: Pod) -> None:
        now = self._now()
        findings = detect(old, new, policy.rules_at(now) if old is None else policy.rules, now).findings
        if findings:
            for fingerprint in self._load.absorb(policy, findings):
                self._cases.add(fingerprint)

    def _survey(self, policy: Policy) -> None:
        """Looks at all pods of a policy as if for the first time."""
        if policy.is_enforced and policy.scope is not None:
            for pod in tuple(self._watches.pods(policy.scope).values()):
                self._judge(policy, None, pod)

    def _survey_group(self, policy: Policy, group: Group) -> None:
        """Looks again at what a case was about that is closed now: a crash that came meanwhile opens the next one."""
        if not policy.is_enforced or policy.scope is None:
            return
        for pod in self._watches.pods_of(policy.scope, group.owner):
            self._judge(policy, None, pod)
        if group.fingerprint in self._load.cases:
            self._cases.add(group.fingerprint)

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
        policy = self._policies.get(case.policy_key)
        is_acknowledged = case_of(new, policy, self._now()).incident.is_acknowledged
        if is_acknowledged != case.incident.is_acknowledged:
            case.incident = replace(case.incident, is_acknowledged=is_acknowledged)
            self._cases.add(fingerprint)

    # --- work

    async def run(self) -> None:
        """Watches, decides while leading, and audits, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for work in (self._watches.run(), self._cases.run(), self._standing.run(), self._lead()):
                group.create_task(work)
            for informer in self._records:
                group.create_task(informer.run())

    def _may_decide(self) -> bool:
        return self._deciding and self._leading()

    async def _lead(self) -> None:
        audit_at = 0.0
        while True:
            if not self._leading():
                self._stand_by()
            elif (not self._deciding or self._clock() >= audit_at) and self._are_records_synced():
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

    def _are_records_synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self._records)

    def _stand_by(self) -> None:
        if self._deciding:
            self._deciding = False
            self._load.clear()

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
        await self._read_past()
        if not self._leading():
            return
        now = self._now()
        for informer in self._records:
            for record in informer.store.values():
                self._admit(record, now)
        self._deciding = True
        for policy in tuple(self._policies.values()):
            self._survey(policy)
            self._touch_policy(policy.key)
        for fingerprint in tuple(self._load.cases):
            self._cases.add(fingerprint)

    def _admit(self, record: IncidentRecord, now: datetime) -> None:
        policy = self._policies.get((record.metadata.namespace, record.spec.policy_ref.name))
        case = case_of(record, policy, now)
        if case.incident.group.fingerprint not in self._load.cases:
            self._load.put(case)

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

    async def _read_past(self) -> None:
        """What is over, so that an old crash is not told again; what has been over for long is deleted."""
        oldest = self._now() - timedelta(seconds=self._settings.resolved_ttl_s)
        for namespace in self._settings.namespaces or (None,):
            async with aclosing(self._client.pages(INCIDENTS, namespace)) as pages:
                async for page in pages:
                    for record in _PAGE.decode(page).items or ():
                        await self._remember(record, oldest)
        self._load.forget_ends_before(oldest)

    async def _remember(self, record: IncidentRecord, oldest: datetime) -> None:
        past = record.past
        if past is None:
            return
        if past.resolved_time >= oldest:
            self._load.end(record.spec.fingerprint, past)
            return
        meta = record.metadata
        try:
            await self._client.delete(INCIDENTS, meta.name, meta.namespace, uid=meta.uid)
        except (NotFound, Conflict):
            return

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
