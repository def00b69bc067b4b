"""How a policy stands: its figures and conditions, written when they change.

Before: `reconcile` and `desk` say that a policy's figures moved. After: users read `kubectl get colpol`. Nothing waits for it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from watchbell.api.enums import ConnectorKind
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.collectors.books import Books
from watchbell.collectors.casework.caseload import Case, Caseload
from watchbell.collectors.casework.health import assess
from watchbell.collectors.casework.incidents import Family
from watchbell.collectors.casework.records import MANAGER
from watchbell.collectors.policies import (
    Policy,
    PolicyKey,
    absent_containers,
    named_templates,
    wanted_connectors,
)
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.sightings import Sighting, Unresolved, policy_status
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.grants import grant, subject_of
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status

POLICIES = custom("collectorpolicies")
CONNECTORS = {
    ConnectorKind.SMTP_CONNECTOR: custom("smtpconnectors"),
    ConnectorKind.CLUSTER_SMTP_CONNECTOR: custom("clustersmtpconnectors", namespaced=False),
}
SYNC_POLL_S = 0.2
MISSING_POLL_S = 60.0
"""What is missing is looked for so often, should nobody tell of its coming."""
_ASKED = re.compile(r'User "([^"]+)" cannot')
OWNER_KINDS = "deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,jobs.batch"


@dataclass(frozen=True, slots=True)
class Standing:
    """Writes the status of policies; `policies` is the live map, in which the written status is kept."""

    client: Client
    watches: PodWatches
    load: Caseload
    policies: dict[PolicyKey, Policy]
    refused: set[PolicyKey]
    now: Callable[[], datetime]
    leading: Callable[[], bool]
    books: Books = field(default_factory=Books)

    async def work(self, key: PolicyKey) -> float | None:
        """The status of one policy as of now; the seconds until it should be looked at again."""
        policy = self.policies.get(key)
        if policy is None or not self.leading():
            return None
        if not self._is_settled(policy):
            return SYNC_POLL_S
        unresolved = await self._unresolved(policy) if policy.is_enforced else ()
        # The wait above may have brought another spec or other figures.
        policy = self.policies.get(key)
        if policy is None:
            return None
        sighting = self._sighting(policy, unresolved)
        await self._write(policy, policy_status(policy, sighting, self.now()))
        return MISSING_POLL_S if sighting.unresolved else None

    def _is_settled(self, policy: Policy) -> bool:
        if not policy.is_enforced or policy.key in self.refused or policy.scope is None:
            return True
        return self.watches.is_synced(policy.scope) or self.watches.failure(policy.scope) is not None

    async def _write(self, policy: Policy, status: Mapping[str, object]) -> None:
        ref = ObjectRef(API_VERSION, "CollectorPolicy", policy.key[1], policy.key[0], policy.uid)
        await write_status(self.client, POLICIES, ref, status, policy.status, manager=MANAGER)
        current = self.policies.get(policy.key)
        if current is not None and current.uid == policy.uid:
            self.policies[policy.key] = replace(current, status=status)

    def _sighting(self, policy: Policy, unresolved: tuple[Unresolved, ...]) -> Sighting:
        cases = tuple(self.load.of_policy(policy.key))
        drift_incidents = sum(case.incident.group.family is Family.DRIFT for case in cases)
        if not policy.is_enforced or policy.scope is None:
            return Sighting(open_incidents=len(cases), drift_incidents=drift_incidents)
        matched = len(self.watches.pods(policy.scope))
        drift = self.books.drift.sight(policy.key)
        told = {item.reason for item in drift.unresolved}
        seen = (item for item in (*self._unread(policy), *self._unpinned(policy)) if item.reason not in told)
        return Sighting(
            matched,
            min(self._crashing(policy, cases), matched),
            len(cases),
            drift,
            self._refusal(policy),
            (*unresolved, *drift.unresolved, *seen),
            self.books.drift.baseline_status(policy.key),
            drift_incidents,
        )

    def _crashing(self, policy: Policy, cases: tuple[Case, ...]) -> int:
        if policy.scope is None:
            return 0
        crashing = 0
        for case in cases:
            if case.incident.group.family is not Family.DRIFT:
                pods = self.watches.pods_of(policy.scope, case.incident.group.owner)
                crashing += assess(case.incident, pods, self.now()).failing
        return crashing

    def _refusal(self, policy: Policy) -> tuple[Reason, str] | None:
        if policy.key in self.refused:
            return Reason.TOO_MANY_SELECTORS, Reason.TOO_MANY_SELECTORS.doc
        error = self.watches.failure(policy.scope) if policy.scope else None
        if error is None:
            return None
        return Reason.PODS_FORBIDDEN, f"Pods of namespace {policy.key[0]} cannot be watched: {error.message}"

    # --- what the policy names

    async def _unresolved(self, policy: Policy) -> tuple[Unresolved, ...]:
        connectors = tuple(
            Unresolved(
                Reason.CONNECTOR_NOT_FOUND, f"Not found: {name}. Mails wait in the outbox until it is there: create it."
            )
            for name in await self._missing(policy)
        )
        missing = await self.books.rights.missing(policy)
        return (*connectors, *await self._unreachable(policy), *self._unworded(policy), *missing)

    async def _missing(self, policy: Policy) -> tuple[str, ...]:
        """Connectors of routes that are not there, as people would name them."""
        found: dict[tuple[ConnectorKind, str], bool] = {}
        missing: dict[str, None] = {}
        for wanted in wanted_connectors(policy):
            for candidate in wanted.candidates:
                if candidate not in found:
                    found[candidate] = await self._exists(policy.key[0], *candidate)
            if not any(found[candidate] for candidate in wanted.candidates):
                missing[" or ".join(f"{kind} {name}" for kind, name in wanted.candidates)] = None
        return tuple(missing)

    async def _exists(self, namespace: str, kind: ConnectorKind, name: str) -> bool:
        resource = CONNECTORS[kind]
        try:
            await self.client.get(resource, name, namespace if resource.namespaced else None)
        except NotFound:
            return False
        return True

    async def _unreachable(self, policy: Policy) -> tuple[Unresolved, ...]:
        """Recipients of `toFrom` that cannot be read: asked before the first mail needs them."""
        for route in policy.routes:
            if route.to_from:
                await self.books.recipients.of(policy, route)
        problems = self.books.recipients.problems_of(policy.key)
        cure = "Create or correct it, or name another in toFrom; the route's other recipients get their mails."
        return tuple(Unresolved(Reason.RECIPIENTS_NOT_FOUND, f"{text}. {cure}") for text in problems)

    def _unworded(self, policy: Policy) -> tuple[Unresolved, ...]:
        namespace, found = policy.key[0], []
        for name in named_templates(policy):
            problem = self.books.templates.problem(namespace, name)
            if problem == "":
                text = f"There is no EmailTemplate {name} in namespace {namespace}: create it. Until then mails are in the built-in words."
                found.append(Unresolved(Reason.TEMPLATE_NOT_FOUND, text))
            elif problem is not None:
                text = (
                    f"EmailTemplate {name} fails, so mails are in the built-in words: {problem}. "
                    f"See `kubectl -n {namespace} get etpl {name} -o wide`."
                )
                found.append(Unresolved(Reason.TEMPLATE_FAILED, text))
        return tuple(found)

    def _unread(self, policy: Policy) -> tuple[Unresolved, ...]:
        namespace = policy.key[0]
        error = self.books.owners.failure(namespace)
        if not isinstance(error, Forbidden):
            return ()
        asked = _ASKED.search(error.message)
        command = grant("workloads", "get,list,watch", OWNER_KINDS, namespace, subject_of(asked[1] if asked else ""))
        text = (
            f"The workloads of namespace {namespace} cannot be read, so stuck roll-outs and drift are not seen: {error.message}. Allow it: "
            f"{command}"
        )
        return (Unresolved(Reason.OWNERS_FORBIDDEN, text),)

    def _unpinned(self, policy: Policy) -> tuple[Unresolved, ...]:
        if policy.scope is None or policy.drift.pinned is None:
            return ()
        pods = self.watches.pods(policy.scope).values()
        shapes = {id(pod.spec.shape): pod.spec.shape for pod in pods}.values()
        present = {item.name for shape in shapes for item in (*shape.containers, *shape.init_containers)}
        absent = absent_containers(policy.drift, present) if present else ()
        text = "The pinned baseline names {0}, which no pod of the policy has: correct spec.baseline.pinned.containers; the pods have {1}."
        return tuple(
            Unresolved(Reason.BASELINE_CONTAINER_NOT_FOUND, text.format(name, ", ".join(sorted(present)[:10])))
            for name in absent
        )
