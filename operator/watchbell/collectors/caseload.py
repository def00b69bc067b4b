"""The open incidents at hand: which there are, whom they are about, and what ended before them.

Before: `reconcile` brings findings and what the API server knows. After: `desk` works on each case. Plain memory, no I/O: what is here can
be built anew at any time from the objects and the pods.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from watchbell.collectors.findings import Finding
from watchbell.collectors.incidents import (
    CHANGING,
    RANKS,
    Group,
    Incident,
    Outcome,
    Past,
    fold,
    group_of,
)
from watchbell.collectors.pod import Owner
from watchbell.collectors.policies import Policy, PolicyKey

DEFERRED_MAX = 200


@dataclass(slots=True)
class Case:
    """An incident under work.

    `evidence` opened it and is folded anew if its name turns out to be taken; `deferred` came while it was being closed. `is_intent_due`: what is
    intended must be written before anybody is told.
    """

    incident: Incident
    evidence: tuple[Finding, ...] = ()
    deferred: list[Finding] = field(default_factory=list)
    conditions: list[dict[str, Any]] = field(default_factory=list)
    log_lines: tuple[str, ...] | None = None
    log_pod: str = ""
    is_changed: bool = False
    is_intent_due: bool = False
    dirty_since: float | None = None

    @property
    def policy_key(self) -> PolicyKey:
        """The policy it belongs to, by name."""
        return (self.incident.group.namespace, self.incident.group.policy)


class Caseload:
    """Open cases and the last closed incident of each group, by fingerprint."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.past: dict[str, Past] = {}
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self._by_owner: dict[tuple[PolicyKey, Owner], set[str]] = {}

    def absorb(self, policy: Policy, findings: Iterable[Finding]) -> tuple[str, ...]:
        """Folds findings into their cases; the fingerprints of those that changed. `outcomes` counts why the others did not.

        What is seen at one look is folded with the most telling kind first: an incident keeps the kind that it began as.
        """
        changed = {}
        for finding in sorted(findings, key=lambda finding: -RANKS[finding.kind]):
            group = group_of(*policy.key, policy.uid, finding)
            fingerprint = group.fingerprint
            outcome = self._fold(group, fingerprint, finding, policy)
            self.outcomes[outcome] += 1
            if outcome in CHANGING:
                changed[fingerprint] = True
        return tuple(changed)

    def _fold(self, group: Group, fingerprint: str, finding: Finding, policy: Policy) -> Outcome:
        case = self.cases.get(fingerprint)
        before = case.incident if case else None
        after, outcome = fold(before, group, (finding,), self.past.get(fingerprint), policy.severity)
        if after is None:
            return outcome
        if case is None:
            self.put(Case(after, (finding,)))
            return outcome
        case.incident = after
        case.is_changed = case.is_changed or outcome in CHANGING
        if outcome is Outcome.BEING_RESOLVED and len(case.deferred) < DEFERRED_MAX:
            case.deferred.append(finding)
        elif not after.uid and len(case.evidence) < DEFERRED_MAX:
            case.evidence = (*case.evidence, finding)
        return outcome

    def put(self, case: Case) -> None:
        """One more case, or the same with other content."""
        group = case.incident.group
        self.cases[group.fingerprint] = case
        self._by_owner.setdefault((case.policy_key, group.owner), set()).add(group.fingerprint)

    def drop(self, fingerprint: str) -> Case | None:
        """The case is over, or gone."""
        case = self.cases.pop(fingerprint, None)
        if case is not None:
            key = (case.policy_key, case.incident.group.owner)
            left = self._by_owner.get(key, set())
            left.discard(fingerprint)
            if not left:
                self._by_owner.pop(key, None)
        return case

    def end(self, fingerprint: str, past: Past) -> None:
        """Remembers the later of two ends."""
        known = self.past.get(fingerprint)
        if known is None or known.resolved_time <= past.resolved_time:
            self.past[fingerprint] = past

    def succeed(self, fingerprint: str, past: Past) -> None:
        """Whatever its time: the name is taken, so the next incident's name must follow from it."""
        known = self.past.get(fingerprint)
        time = max(known.resolved_time, past.resolved_time) if known else past.resolved_time
        self.past[fingerprint] = Past(past.name, time, past.ends)

    def forget_ends_before(self, time: datetime) -> None:
        """What was over before that is told no more: workloads with names of their own for each run (Jobs, bare pods) would pile up for ever."""
        self.past = {key: past for key, past in self.past.items() if past.resolved_time >= time}

    def about(self, policy: PolicyKey, owner: Owner) -> tuple[str, ...]:
        """The open cases of one workload under one policy."""
        return tuple(self._by_owner.get((policy, owner), ()))

    def of_policy(self, policy: PolicyKey) -> tuple[Case, ...]:
        """The open cases of one policy."""
        return tuple(case for case in self.cases.values() if case.policy_key == policy)

    def clear(self) -> None:
        """Forgets all; somebody else leads now."""
        self.cases.clear()
        self.past.clear()
        self._by_owner.clear()
