"""The open incidents at hand: which there are, whom they are about, what hides them, and what ended before them.

Before: `reconcile` brings findings and what the API server knows. After: `desk` works on each case. Plain memory, no I/O: what is here can
be built anew at any time from the objects and the pods.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from watchbell.api.enums import DriftCheck
from watchbell.api.route import Route
from watchbell.collectors.casework.decisions import Rest
from watchbell.collectors.casework.folding import CHANGING, Outcome, fold
from watchbell.collectors.casework.incidents import RANKS, Family, Group, Incident, Past, group_of
from watchbell.collectors.casework.routing import reaches_all
from watchbell.collectors.findings import Finding
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.rules import Severities
from watchbell.collectors.seen.pod import Owner

DEFERRED_MAX = 200
PARENTS = frozenset({Family.CRASH, Family.START, Family.SCHEDULING, Family.EVICTION})
"""Trouble that explains a roll-out that is stuck, pods that are not ready, and nodes without a collector."""
CHILDREN = (Family.READINESS, Family.ROLLOUT, Family.DRIFT)
"""Trouble that may be the same seen from elsewhere, what says most first; of drift only nodes without a collector."""


@dataclass(slots=True)
class Case:
    """An incident under work.

    `evidence` opened it and is folded anew if its name turns out to be taken; `deferred` came while it was being closed. `is_intent_due`: what is
    intended must be written before anybody is told. `sent`: which message told which telling on which route. `rest`, `rest_by`: why nobody is told
    now.
    """

    incident: Incident
    evidence: tuple[Finding, ...] = ()
    deferred: list[Finding] = field(default_factory=list)
    conditions: list[dict[str, Any]] = field(default_factory=list)
    sent: dict[tuple[int, str], str] = field(default_factory=dict)
    log_lines: tuple[str, ...] | None = None
    log_pod: str = ""
    events: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    rest: Rest | None = None
    rest_by: str = ""
    is_changed: bool = False
    is_alone: bool = False
    is_intent_due: bool = False
    dirty_since: float | None = None

    @property
    def policy_key(self) -> PolicyKey:
        """The policy it belongs to, by name."""
        return (self.incident.group.namespace, self.incident.group.policy)

    @property
    def fingerprint(self) -> str:
        """Under which it is found."""
        return self.incident.group.fingerprint

    def sent_of(self, sequence: int) -> dict[str, str]:
        """The messages that told one telling, by route."""
        return {route: name for (number, route), name in self.sent.items() if number == sequence}


class Caseload:
    """Open cases and the last closed incident of each group, by fingerprint."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.past: dict[str, Past] = {}
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self._by_owner: dict[tuple[PolicyKey, Owner], set[str]] = {}
        self._by_policy: dict[PolicyKey, dict[str, None]] = {}

    def absorb(self, policy: Policy, findings: Iterable[Finding]) -> tuple[str, ...]:
        """Folds findings into their cases; the fingerprints of those that changed. `outcomes` counts why the others did not.

        What is seen at one look is folded with the most telling kind first: an incident keeps the kind that it began as.
        """
        changed = {}
        for finding in sorted(findings, key=lambda finding: -RANKS[finding.kind]):
            group = group_of(*policy.key, policy.uid, finding)
            fingerprint = group.fingerprint
            outcome = self._fold(group, fingerprint, finding, policy.severities)
            self.outcomes[outcome] += 1
            if outcome in CHANGING:
                changed[fingerprint] = True
        return tuple(changed)

    def _fold(self, group: Group, fingerprint: str, finding: Finding, severities: Severities) -> Outcome:
        case = self.cases.get(fingerprint)
        before = case.incident if case else None
        after, outcome = fold(before, group, (finding,), self.past.get(fingerprint), severities)
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
        fingerprint = case.fingerprint
        self.cases[fingerprint] = case
        self._by_owner.setdefault((case.policy_key, case.incident.group.owner), set()).add(fingerprint)
        self._by_policy.setdefault(case.policy_key, {})[fingerprint] = None

    def drop(self, fingerprint: str) -> Case | None:
        """The case is over, or gone."""
        case = self.cases.pop(fingerprint, None)
        if case is not None:
            key = (case.policy_key, case.incident.group.owner)
            left = self._by_owner.get(key, set())
            left.discard(fingerprint)
            if not left:
                self._by_owner.pop(key, None)
            ours = self._by_policy.get(case.policy_key, {})
            ours.pop(fingerprint, None)
            if not ours:
                self._by_policy.pop(case.policy_key, None)
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
        self.past[fingerprint] = replace(past, resolved_time=time)

    def forget_ends_before(self, time: datetime) -> None:
        """What was over before that is told no more: workloads with names of their own for each run (Jobs, bare pods) would pile up for ever."""
        self.past = {key: past for key, past in self.past.items() if past.resolved_time >= time}

    def about(self, policy: PolicyKey, owner: Owner) -> tuple[str, ...]:
        """The open cases of one workload under one policy."""
        return tuple(self._by_owner.get((policy, owner), ()))

    def of_policy(self, policy: PolicyKey) -> tuple[Case, ...]:
        """The open cases of one policy."""
        return tuple(self.cases[fingerprint] for fingerprint in self._by_policy.get(policy, ()))

    def hider(self, case: Case, routes: Sequence[Route] = ()) -> str:
        """The name of the open incident that explains this one, and of which all hear who would hear of this one; empty if there is none.

        Pods that are not ready, a roll-out that is stuck by them and nodes that they leave uncovered are one trouble: what people heard of first
        goes on, else what says most is told.
        """
        if not _is_child(case.incident):
            return ""
        mine = case.incident
        about = (self.cases[key].incident for key in self.about(case.policy_key, mine.group.owner))
        hiders = [
            other
            for other in about
            if other.resolution is None and _place(other) < _place(mine) and reaches_all(routes, other, mine)
        ]
        if hiders:
            return min(hiders, key=lambda other: (_place(other), other.name)).name
        return self._lost_node(case, routes)

    def _lost_node(self, case: Case, routes: Sequence[Route]) -> str:
        """The incident of a lost node, if lost nodes have all the pods that leave nodes uncovered."""
        pods = {name for name in case.incident.affected if name}
        if case.incident.group.family is not Family.DRIFT or not pods:
            return ""
        name = ""
        for other in (one.incident for one in self.of_policy(case.policy_key)):
            is_open_node = other.group.family is Family.NODE and other.resolution is None
            if is_open_node and pods & other.affected.keys() and reaches_all(routes, other, case.incident):
                name, pods = name or other.name, pods - other.affected.keys()
        return name if not pods else ""

    def hidden_by(self, over: Case) -> tuple[str, ...]:
        """The open cases that it may have hidden: they are to be asked again when it is over."""
        if over.incident.group.family is Family.NODE:
            return tuple(self._by_policy.get(over.policy_key, ()))
        return self.about(over.policy_key, over.incident.group.owner)

    def firing(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """How many incidents go on, by namespace and name of the policy, kind and severity: each as bad as it has become."""
        ongoing = (case.incident for case in self.cases.values() if case.incident.uid and not case.incident.resolution)
        counts = Counter(
            (one.group.namespace, one.group.policy, one.worst or one.kind, one.severity) for one in ongoing
        )
        return ((labels, float(count)) for labels, count in counts.items())

    def clear(self) -> None:
        """Forgets all; somebody else leads now."""
        self.cases.clear()
        self.past.clear()
        self._by_owner.clear()
        self._by_policy.clear()


def _is_child(incident: Incident) -> bool:
    if incident.group.family is Family.DRIFT:
        checks = {difference.check for difference in incident.differences}
        return checks == {DriftCheck.NODE_COVERAGE}
    return incident.group.family in CHILDREN


def _place(incident: Incident) -> tuple[int, bool, int]:
    """Who of several that may be one trouble is told: what explains the others, then who was told already, then what says most."""
    if incident.group.family in PARENTS:
        return 0, False, 0
    if not _is_child(incident):
        return 2, False, 0
    return 1, incident.told is None, CHILDREN.index(incident.group.family)
