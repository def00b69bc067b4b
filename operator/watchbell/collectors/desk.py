"""One case at a time: ask what is due, do it, ask again. Called by the work queue with the case's fingerprint.

Before: `reconcile` put the key into the queue because something changed or time passed. After: objects in the API server, and the outbox
has the mail in its hands. Every step can be done twice: names follow from the intent, and 409 means that it is there.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from watchbell.api.enums import Transition
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.collectors.caseload import Case, Caseload
from watchbell.collectors.decisions import Decision, Rest, Step, decide, intend, observe, resolve, settle
from watchbell.collectors.health import Health, Standing, assess
from watchbell.collectors.incidents import Group, Incident, Past, closed_at
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.records import INCIDENT_KIND, MANAGER, incident_body, incident_status
from watchbell.collectors.recovery import adopt, past_of
from watchbell.collectors.telling import Teller
from watchbell.collectors.watch import PodWatches
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import AlreadyExists
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status
from watchbell.logs import about

log = logging.getLogger(__name__)

INCIDENTS = custom("collectorincidents")
STEPS_MAX = 16
FLUSH_S = 0.5
"""The incident's own status waits so long for company; nobody's mail hangs on it."""
SYNC_POLL_S = 0.2
WAITING_MAIL_POLL_S = 60.0
"""So often it is asked whether the last mail went out, before anybody is reminded."""


class Recorder(Protocol):
    """Where Events go (`kube.events.EventRecorder`)."""

    def emit(self, regarding: ObjectRef, *, type_: str, reason: str, action: str, note: str) -> None:
        """Returns at once."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a desk stands among. `clock` is monotonic seconds, `now` the wall clock, `on_change` hears which policy's figures moved."""

    client: Client
    watches: PodWatches
    load: Caseload
    teller: Teller
    recorder: Recorder
    clock: Callable[[], float]
    now: Callable[[], datetime]
    leading: Callable[[], bool]
    policy: Callable[[PolicyKey], Policy | None]
    survey: Callable[[Policy, Group], None]
    on_change: Callable[[PolicyKey], None]


class Desk:
    """Works on cases; see the module's text. `survey(policy, group)` looks at a closed case's workload again."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    async def work(self, fingerprint: str) -> float | None:
        """Everything that is due for one case now; the seconds until something is due again."""
        around = self._around
        case = around.load.cases.get(fingerprint)
        if case is None or not around.leading():
            return None
        policy = self._policy_of(case)
        if policy is None:
            await self._abandon(fingerprint, case)
            return None
        if not policy.is_enforced or policy.scope is None:
            return await self._flush(fingerprint, case)
        if not around.watches.is_synced(policy.scope) and around.watches.failure(policy.scope) is None:
            return SYNC_POLL_S
        return await self._advance(fingerprint, case, policy)

    async def _advance(self, fingerprint: str, case: Case, policy: Policy) -> float | None:
        around = self._around
        for _ in range(STEPS_MAX):
            decision = await self._decided(case, policy)
            if decision.step is Step.REST or not around.leading():
                break
            await self._take(fingerprint, case, policy, decision)
            if around.load.cases.get(fingerprint) is not case:
                return None
        else:
            return 0.0  # the others have their turn
        left_s = await self._flush(fingerprint, case)
        waits = [seconds for seconds in (left_s, decision.again_in_s) if seconds is not None]
        return min(waits, default=None)

    async def _decided(self, case: Case, policy: Policy) -> Decision:
        """What is due. Nobody is reminded of a mail that still waits: when its relay is back, one mail tells of the incident, not a day's worth."""
        decision = self._decide(case, policy)
        if decision.transition is Transition.REPEATED and await self._around.teller.is_waiting(case.incident):
            return Decision(Step.REST, rest=Rest.LAST_MAIL_WAITS, again_in_s=WAITING_MAIL_POLL_S)
        return decision

    def _decide(self, case: Case, policy: Policy) -> Decision:
        now = self._around.now()
        health = self._health(case, policy, now)
        case.incident = observe(case.incident, health, now)
        return decide(case.incident, health, policy.plan, now)

    def _health(self, case: Case, policy: Policy, now: datetime) -> Health:
        """As the pods are seen; a picture that may be stale is no proof that anything got better."""
        watches, scope = self._around.watches, policy.scope
        if scope is None or not watches.is_synced(scope) or watches.failure(scope) is not None:
            return Health(Standing.FAILING)
        return assess(case.incident, watches.pods_of(scope, case.incident.group.owner), now)

    async def _take(self, fingerprint: str, case: Case, policy: Policy, decision: Decision) -> None:
        match decision.step:
            case Step.CREATE:
                await self._create(fingerprint, case, policy)
            case Step.NOTIFY if decision.transition is not None:
                case.incident = intend(case.incident, decision.transition, self._around.now())
                # That the incident is there is the intent of its first telling.
                case.is_intent_due = decision.transition is not Transition.FIRED
            case Step.DELIVER:
                if not case.is_intent_due or await self._write(fingerprint, case):
                    await self._deliver(case, policy)
            case Step.RESOLVE if decision.reason is not None:
                case.incident = resolve(case.incident, decision.reason, policy.plan, self._around.now())
                case.is_intent_due = True
            case Step.CLOSE:
                await self._close(fingerprint, case, policy)

    async def _create(self, fingerprint: str, case: Case, policy: Policy) -> None:
        """The object that opens the incident, and beside it the log of the run that died, as long as it is still there."""
        tail = asyncio.ensure_future(self._around.teller.tail(case, policy))
        try:
            if not await self._open(fingerprint, case):
                return
            await tail
        finally:
            tail.cancel()
            await asyncio.gather(tail, return_exceptions=True)
        incident = case.incident
        case.dirty_since = self._around.clock()
        self._emit(incident, "Warning", str(incident.kind), "Open", f"{_workload(incident)} is failing.")
        self._around.on_change(case.policy_key)
        log.info("incident opened", extra=about(**_about(incident), kind=incident.kind))

    async def _open(self, fingerprint: str, case: Case) -> bool:
        group = case.incident.group
        try:
            body = await self._around.client.create(INCIDENTS, incident_body(case.incident), group.namespace)
        except AlreadyExists:
            body = await self._around.client.get(INCIDENTS, case.incident.name, group.namespace)
            return self._found(fingerprint, case, body)
        case.incident = replace(case.incident, uid=body["metadata"]["uid"])
        return True

    def _found(self, fingerprint: str, case: Case, body: dict[str, Any]) -> bool:
        """The name is taken: by this very incident (made before a restart), or by one that is over and thus comes before this one."""
        past = past_of(body, case.incident.group)
        if past is None:
            adopt(case, body, self._around.now())
            return True
        self._succeed(fingerprint, case, past)
        return False

    def _succeed(self, fingerprint: str, case: Case, past: Past) -> None:
        load = self._around.load
        load.drop(fingerprint)
        load.succeed(fingerprint, past)
        policy = self._policy_of(case)
        if policy is not None:
            # Who took the name may have told of the very same: now the times decide.
            load.absorb(policy, [replace(item, is_live=False) for item in (*case.evidence, *case.deferred)])
            self._around.survey(policy, case.incident.group)

    async def _deliver(self, case: Case, policy: Policy) -> None:
        pending = case.incident.pending
        if pending is None:
            return
        names = await self._around.teller.tell(case, policy, pending)
        case.incident = settle(case.incident, names)
        case.dirty_since = case.dirty_since or self._around.clock()
        log.info("incident told", extra=about(**_about(case.incident), transition=pending.transition, mails=len(names)))

    async def _close(self, fingerprint: str, case: Case, policy: Policy | None) -> None:
        """The last write: from here on the object is out of the working set."""
        case.incident = replace(case.incident, is_closed=True)
        if not await self._write(fingerprint, case):
            return
        incident = case.incident
        self._around.load.drop(fingerprint)
        if incident.resolution is not None:
            self._around.load.end(fingerprint, closed_at(incident, incident.resolution.time))
            reason = incident.resolution.reason
            self._emit(incident, "Normal", str(reason), "Resolve", f"{_workload(incident)}: {reason.doc}")
            log.info("incident resolved", extra=about(**_about(incident), reason=reason))
        self._around.on_change(case.policy_key)
        if policy is not None:
            self._around.load.absorb(policy, case.deferred)
            self._around.survey(policy, incident.group)

    async def _abandon(self, fingerprint: str, case: Case) -> None:
        """Its policy is gone: nobody is left to tell, but the object says how it ended."""
        if not case.incident.uid:
            self._around.load.drop(fingerprint)
            return
        if case.incident.resolution is None:
            case.incident = resolve(case.incident, Reason.POLICY_DELETED, None, self._around.now())
        case.incident = settle(case.incident, ())
        await self._close(fingerprint, case, None)

    # --- the incident's own status

    async def _flush(self, fingerprint: str, case: Case) -> float | None:
        if case.is_changed and case.dirty_since is None:
            case.dirty_since = self._around.clock()
        if case.dirty_since is None or not case.incident.uid:
            return None
        left_s = case.dirty_since + FLUSH_S - self._around.clock()
        if left_s > 0:
            return left_s
        await self._write(fingerprint, case)
        return None

    async def _write(self, fingerprint: str, case: Case) -> bool:
        """Whether the status stands there now; an object that somebody deleted takes its case with it."""
        case.dirty_since, case.is_changed = None, False
        status = incident_status(case.incident, case.conditions, self._around.now())
        ref = _ref(case.incident)
        try:
            written = await write_status(self._around.client, INCIDENTS, ref, status, None, manager=MANAGER)
        except BaseException:
            case.dirty_since = self._around.clock()
            raise
        if written is Written.GONE:
            self._around.load.drop(fingerprint)
            self._around.load.succeed(fingerprint, closed_at(case.incident, self._around.now()))
            self._around.on_change(case.policy_key)
            return False
        case.conditions = status["conditions"]
        case.is_intent_due = False
        return True

    def _policy_of(self, case: Case) -> Policy | None:
        policy = self._around.policy(case.policy_key)
        return policy if policy is not None and policy.uid == case.incident.group.policy_uid else None

    def _emit(self, incident: Incident, type_: str, reason: str, action: str, note: str) -> None:
        self._around.recorder.emit(_ref(incident), type_=type_, reason=reason, action=action, note=note)


def _ref(incident: Incident) -> ObjectRef:
    return ObjectRef(API_VERSION, INCIDENT_KIND, incident.name, incident.group.namespace, incident.uid)


def _workload(incident: Incident) -> str:
    owner = incident.group.owner
    return f"Container {incident.group.container} of {owner.kind} {owner.name}"


def _about(incident: Incident) -> dict[str, object]:
    return {"incident": f"{incident.group.namespace}/{incident.name}", "policy": incident.group.policy}
