"""One case at a time: ask what is due, do it, ask again. Called by the work queue with the case's fingerprint.

Before: `reconcile` put the key into the queue because something changed or time passed. After: objects in the API server, and the outbox
has the mail in its hands. Every step can be done twice: names follow from the intent, and 409 means that it is there. A telling that need not
wait for anything goes from here without another queue; all others wait in the `mailroom`.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Any

from watchbell import metrics
from watchbell.api.enums import Transition
from watchbell.api.reasons import Reason
from watchbell.api.times import stamp
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.decisions import (
    Decision,
    Hold,
    Rest,
    Step,
    decide,
    intend,
    observe,
    relapse,
    resolve,
    settle,
    silence,
    withdraw,
)
from watchbell.collectors.casework.health import judge
from watchbell.collectors.casework.incidents import Incident, Past, closed_at
from watchbell.collectors.casework.records import incident_body
from watchbell.collectors.casework.recovery import adopt, past_of
from watchbell.collectors.casework.statuses import INCIDENTS, Statuses, reference
from watchbell.collectors.casework.surroundings import Surroundings
from watchbell.collectors.mailing.clues import Clues
from watchbell.collectors.mailing.mailroom import NO_RECIPIENTS_POLL_S, Mailroom
from watchbell.collectors.mailing.telling import Teller
from watchbell.collectors.policies import Policy
from watchbell.collectors.silencing.silences import IncidentFacts
from watchbell.kube.errors import AlreadyExists
from watchbell.logs import about

log = logging.getLogger(__name__)

STEPS_MAX = 16
SYNC_POLL_S = 0.2
WAITING_MAIL_POLL_S = 60.0
"""So often it is asked whether the last mail went out, before anybody is reminded."""
_SHOWN = frozenset(
    {
        Rest.WAITING_FOR_MORE,
        Rest.HELD_FOR_DIGEST,
        Rest.THROTTLED,
        Rest.SILENCED,
        Rest.INHIBITED,
        Rest.RECIPIENTS_NOT_FOUND,
    }
)
_SUPPRESSED = {rest: metrics.ALERTS_SUPPRESSED.labels(rest) for rest in sorted(_SHOWN - {Rest.WAITING_FOR_MORE})}
_NOTIFIED = {transition: metrics.ALERTS_NOTIFIED.labels(transition) for transition in Transition}


class Desk:
    """Works on cases; see the module's text."""

    def __init__(self, around: Surroundings, teller: Teller, clues: Clues) -> None:
        self._around, self._teller, self._clues = around, teller, clues
        self.statuses = Statuses(around)
        self.mailroom = Mailroom(around, teller, self.statuses, self._prepare, self._finish)

    async def work(self, fingerprint: str) -> float | None:
        """Everything that is due for one case now; the seconds until something is due again."""
        around = self._around
        case = around.load.cases.get(fingerprint)
        if case is None or not around.leading():
            return None
        policy = around.policy_of(case)
        if policy is None:
            await self._abandon(fingerprint, case)
            return None
        if not policy.is_enforced or policy.scope is None:
            return None
        if not around.watches.is_synced(policy.scope) and around.watches.failure(policy.scope) is None:
            return SYNC_POLL_S
        return await self._advance(fingerprint, case, policy)

    async def _advance(self, fingerprint: str, case: Case, policy: Policy) -> float | None:
        around = self._around
        for _ in range(STEPS_MAX):
            hold = self._hold(case, policy)
            decision = await self._decided(case, policy, hold)
            if decision.step is Step.REST or not around.leading():
                break
            waits = await self._take(fingerprint, case, policy, (decision, hold))
            if around.load.cases.get(fingerprint) is not case:
                return None
            if waits is not None:
                decision = waits
                break
        else:
            return 0.0  # the others have their turn
        self._rest(case, decision.rest, hold)
        return decision.again_in_s

    async def _decided(self, case: Case, policy: Policy, hold: Hold | None) -> Decision:
        """What is due. Nobody is reminded of a mail that still waits: when its relay is back, one mail tells of the incident, not a day's worth."""
        now = self._around.now()
        health = judge(case.incident, self._around.view(policy, case.incident), now)
        case.incident = observe(case.incident, health, now)
        decision = decide(case.incident, health, policy.plan, now, hold)
        if decision.transition is Transition.REPEATED and await self._teller.is_waiting(case.incident):
            return Decision(Step.REST, rest=Rest.LAST_MAIL_WAITS, again_in_s=WAITING_MAIL_POLL_S)
        return decision

    def _hold(self, case: Case, policy: Policy) -> Hold | None:
        """What keeps people from hearing of it; once one of them has heard, the others are told too."""
        incident, pending = case.incident, case.incident.pending
        if incident.is_under_way or (pending is not None and case.sent_of(pending.sequence)):
            return None
        muting = self._around.silences.muting(incident.group.namespace, facts_of(incident))
        if muting is not None:
            return Hold(Rest.SILENCED, muting.key[1], stamp(muting.end))
        hider = self._around.load.hider(case, policy.routes)
        return Hold(Rest.INHIBITED, hider) if hider else None

    def _rest(self, case: Case, rest: Rest | None, hold: Hold | None) -> None:
        """Why nothing is done is written where people look."""
        shown = rest if rest in _SHOWN else None
        by = _by(hold) if hold is not None and shown in {Rest.SILENCED, Rest.INHIBITED} else ""
        if (shown, by) != (case.rest, case.rest_by):
            case.rest, case.rest_by, case.is_changed = shown, by, True
            if shown in _SUPPRESSED:
                _SUPPRESSED[shown].inc()
        if case.is_changed and case.incident.uid:
            self.statuses.note(case)

    async def _take(
        self, fingerprint: str, case: Case, policy: Policy, what: tuple[Decision, Hold | None]
    ) -> Decision | None:
        """Does the step; a decision to rest when it cannot be done now."""
        (decision, hold), now = what, self._around.now()
        match decision.step:
            case Step.CREATE:
                await self._create(fingerprint, case, policy)
            case Step.NOTIFY if decision.transition is not None:
                case.incident = intend(case.incident, decision.transition, now)
                # That the incident is there is the intent of its first telling.
                case.is_intent_due = decision.transition is not Transition.FIRED
            case Step.DELIVER:
                return await self._deliver(case, policy)
            case Step.WITHDRAW:
                case.incident, case.is_changed = withdraw(case.incident), True
            case Step.RELAPSE:
                case.incident, case.is_changed = relapse(case.incident), True
            case Step.HOLD if hold is not None:
                case.incident, case.is_changed = silence(case.incident, hold), True
                self._around.silences.counted((case.policy_key[0], hold.by))
            case Step.RESOLVE if decision.reason is not None:
                case.incident = resolve(case.incident, decision.reason, policy.plan, now, hold)
                case.is_intent_due = case.is_changed = True
            case Step.CLOSE:
                await self._close(fingerprint, case, policy)
        return None

    # --- it begins

    async def _create(self, fingerprint: str, case: Case, policy: Policy) -> None:
        """The object that opens the incident, and beside it what helps to understand it, as long as that is still there."""
        clues = asyncio.ensure_future(self._clues.gather(case, policy))
        try:
            if not await self._open(fingerprint, case):
                return
            await clues
        finally:
            clues.cancel()
            await asyncio.gather(clues, return_exceptions=True)
        # Its name is its own: nothing will be folded anew.
        incident, case.evidence = case.incident, ()
        self.statuses.note(case)
        self._emit(incident, "Warning", str(incident.kind), "Open", f"{_workload(incident)} is failing.")
        self._around.on_change(case.policy_key)
        log.info("incident opened", extra=about(**_about(incident), kind=incident.kind))

    async def _open(self, fingerprint: str, case: Case) -> bool:
        group = case.incident.group
        try:
            body = await self._around.client.create(
                INCIDENTS, incident_body(case.incident), group.namespace, brief=True
            )
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
        policy = self._around.policy_of(case)
        if policy is not None:
            # Who took the name may have told of the very same: now the times decide.
            load.absorb(policy, [replace(item, is_live=False) for item in (*case.evidence, *case.deferred)])
            self._around.survey(policy, case.incident.group)

    # --- people are told

    async def _deliver(self, case: Case, policy: Policy) -> Decision | None:
        if not case.incident.is_under_way:
            waits = self.mailroom.offer(case, policy)
            if waits is not None:
                return Decision(Step.REST, rest=waits)
            case.incident, case.is_alone = replace(case.incident, is_under_way=True), True
        elif not case.is_alone:
            return Decision(Step.REST, rest=Rest.BEING_TOLD)
        try:
            return await self._tell(case, policy)
        finally:
            self.mailroom.done(case)

    async def _tell(self, case: Case, policy: Policy) -> Decision | None:
        if case.is_intent_due and not await self.statuses.write(case):
            return None
        await self._prepare(case, policy)
        pending = case.incident.pending
        if pending is None:
            return None
        if not await self._teller.tell(case, policy, pending):
            return Decision(Step.REST, rest=Rest.RECIPIENTS_NOT_FOUND, again_in_s=NO_RECIPIENTS_POLL_S)
        self._finish(case)
        return None

    async def _prepare(self, case: Case, policy: Policy) -> None:
        """What a mail about this one incident says besides: of its end what changed meanwhile, else what is still there to understand it."""
        pending = case.incident.pending
        if pending is not None and pending.transition is Transition.RESOLVED:
            self._clues.note_changes(case)
        elif pending is not None and case.log_lines is None:
            await self._clues.gather(case, policy)

    def _finish(self, case: Case) -> None:
        """The pending telling is in the outbox."""
        pending = case.incident.pending
        if pending is None:
            return
        messages, held_by = tuple(case.sent_of(pending.sequence).values()), case.incident.silenced_by
        case.incident, case.is_alone = settle(case.incident, messages, self._around.now()), False
        case.rest, case.rest_by = None, ""
        _NOTIFIED[pending.transition].inc()
        # What was seen then is in the mail; the next one looks again.
        case.log_lines, case.log_pod, case.events, case.changes = None, "", (), ()
        self.statuses.note(case)
        if held_by:
            self.settle_silences(case.policy_key[0])
        self._around.requeue(case.fingerprint)
        log.info(
            "incident told", extra=about(**_about(case.incident), transition=pending.transition, mails=len(messages))
        )

    def settle_silences(self, namespace: str) -> None:
        """A silence that ended is done with when nothing that it held back is left."""
        silences = self._around.silences
        for ended in silences.ended(namespace):
            cases = self._around.load.cases.values()
            if not any((case.policy_key[0], case.incident.silenced_by) == ended.key for case in cases):
                silences.told(ended.key)

    # --- it ends

    async def _close(self, fingerprint: str, case: Case, policy: Policy | None) -> None:
        """The last write: from here on the object is out of the working set."""
        case.incident = replace(case.incident, is_closed=True)
        if not await self.statuses.write(case):
            return
        incident = case.incident
        self._around.load.drop(fingerprint)
        if incident.resolution is not None:
            self._around.load.end(fingerprint, closed_at(incident, incident.resolution.time))
            reason = incident.resolution.reason
            self._emit(incident, "Normal", str(reason), "Resolve", f"{_workload(incident)}: {reason.doc}")
            log.info("incident resolved", extra=about(**_about(incident), reason=reason))
        self._around.on_change(case.policy_key)
        for sibling in self._around.load.hidden_by(case):
            self._around.requeue(sibling)
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

    def _emit(self, incident: Incident, type_: str, reason: str, action: str, note: str) -> None:
        self._around.recorder.emit(reference(incident), type_=type_, reason=reason, action=action, note=note)


def facts_of(incident: Incident) -> IncidentFacts:
    """What a silence can look at."""
    owner = incident.group.owner
    return IncidentFacts(
        policy=incident.group.policy,
        owner_kind=owner.kind,
        owner_name=owner.name,
        pods=tuple(name for name in incident.affected if name),
        nodes=tuple(dict.fromkeys(pod.node for pod in incident.affected.values() if pod.node)),
        kind=incident.worst or incident.kind,
        severity=incident.severity,
    )


def _by(hold: Hold) -> str:
    if hold.rest is Rest.SILENCED:
        return f"AlertSilence {hold.by} until {hold.until}" if hold.until else f"AlertSilence {hold.by}"
    return f"incident {hold.by}"


def _workload(incident: Incident) -> str:
    owner = incident.group.owner
    container = f"Container {incident.group.container} of " if incident.group.container else ""
    return f"{container}{owner.kind} {owner.name}"


def _about(incident: Incident) -> dict[str, object]:
    return {"incident": f"{incident.group.namespace}/{incident.name}", "policy": incident.group.policy}
