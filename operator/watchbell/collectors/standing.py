"""How a policy stands: its figures and conditions, written when they change.

Before: `reconcile` and `desk` say that a policy's figures moved. After: users read `kubectl get colpol`. Nothing waits for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from watchbell.api.enums import ConnectorKind
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.collectors.caseload import Caseload
from watchbell.collectors.health import assess
from watchbell.collectors.policies import Policy, PolicyKey, Sighting, policy_status, wanted_connectors
from watchbell.collectors.records import MANAGER
from watchbell.collectors.watch import PodWatches
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import NotFound
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status

POLICIES = custom("collectorpolicies")
CONNECTORS = {
    ConnectorKind.SMTP_CONNECTOR: custom("smtpconnectors"),
    ConnectorKind.CLUSTER_SMTP_CONNECTOR: custom("clustersmtpconnectors", namespaced=False),
}
SYNC_POLL_S = 0.2
MISSING_POLL_S = 60.0
"""A connector that is missing is looked for so often, should nobody tell of its coming."""


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

    async def work(self, key: PolicyKey) -> float | None:
        """The status of one policy as of now; the seconds until it should be looked at again."""
        policy = self.policies.get(key)
        if policy is None or not self.leading():
            return None
        if not self._is_settled(policy):
            return SYNC_POLL_S
        missing = await self._missing(policy) if policy.is_enforced else ()
        # The wait above may have brought another spec or other figures.
        policy = self.policies.get(key)
        if policy is None:
            return None
        await self._write(policy, policy_status(policy, self._sighting(policy, missing), self.now()))
        return MISSING_POLL_S if missing else None

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

    def _sighting(self, policy: Policy, missing: tuple[str, ...]) -> Sighting:
        cases = self.load.of_policy(policy.key)
        if not policy.is_enforced or policy.scope is None:
            return Sighting(open_incidents=len(cases))
        crashing = 0
        for case in cases:
            pods = self.watches.pods_of(policy.scope, case.incident.group.owner)
            crashing += assess(case.incident, pods, self.now()).failing
        matched = len(self.watches.pods(policy.scope))
        return Sighting(matched, min(crashing, matched), len(cases), self._refusal(policy), missing)

    def _refusal(self, policy: Policy) -> tuple[Reason, str] | None:
        if policy.key in self.refused:
            return Reason.TOO_MANY_SELECTORS, Reason.TOO_MANY_SELECTORS.doc
        error = self.watches.failure(policy.scope) if policy.scope else None
        if error is None:
            return None
        return Reason.PODS_FORBIDDEN, f"Pods of namespace {policy.key[0]} cannot be watched: {error.message}"

    async def _missing(self, policy: Policy) -> tuple[str, ...]:
        """Routes whose connector is not there, as people would name it."""
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
