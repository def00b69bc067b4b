"""All that is seen of the cluster: pods, nodes, workloads, silences and baselines, each under watch, and who hears of what.

Before: policies say what they need. After: `lookout` puts findings into the caseload, and the cases that moved are worked on. A standby sees
everything and judges nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watchbell.collectors.baselines.drifts import Drifts
from watchbell.collectors.baselines.verdicts import Verdict
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.casework.decisions import Rest
from watchbell.collectors.lookout import Lookout, Sources
from watchbell.collectors.policies import Policy, PolicyKey, Scope
from watchbell.collectors.seen.changes import changed_meanwhile, what_changed
from watchbell.collectors.seen.nodes import Nodes
from watchbell.collectors.seen.pod import Owner, Pod, owner_of
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.seen.workloads import Workloads
from watchbell.collectors.silencing.hush import Hush, Tally
from watchbell.collectors.silencing.silences import SilenceKey
from watchbell.kube.client import Client


class Running(Protocol):
    """A part that works until it is cancelled."""

    async def run(self) -> None:
        """Until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who hears which case moved, which policy's figures did, and where silences began or ended. `may_decide`: whether anything is judged."""

    may_decide: Callable[[], bool]
    on_case: Callable[[str], None]
    on_policy: Callable[[PolicyKey], None]
    on_silences: Callable[[str], None]


class Senses:
    """See the module's text. `policies` and `load` are the live ones."""

    def __init__(  # noqa: PLR0913 - what it watches, for whom, and two clocks, all but the client by name
        self,
        client: Client,
        *,
        namespaces: tuple[str, ...],
        policies: Mapping[PolicyKey, Policy],
        load: Caseload,
        hearers: Hearers,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        leading: Callable[[], bool],
    ) -> None:
        self._policies, self._load, self._hearers, self._now = policies, load, hearers, now
        self.watches = PodWatches(client, on_pod=self._heed_pod)
        self.nodes = Nodes(client, on_change=self._heed_node, now=now)
        self.workloads = Workloads(client, on_change=self._heed_workload, now=now)
        self.hush = Hush(
            client,
            namespaces=namespaces,
            now=now,
            clock=clock,
            leading=leading,
            on_change=self._heed_silences,
            tally=self._tally,
        )
        self.lookout = Lookout(
            Sources(client, self.watches, self.nodes, self.workloads),
            load=load,
            on_case=hearers.on_case,
            policy=policies.get,
            policies=lambda: tuple(policies.values()),
            now=now,
            clock=clock,
        )
        self.drifts = self.lookout.drifts = Drifts(
            client,
            watches=self.watches,
            workloads=self.workloads,
            policies=policies,
            now=now,
            clock=clock,
            report=self._heed_verdict,
            leading=hearers.may_decide,
            on_baseline=hearers.on_policy,
            architecture_of=self._architecture_of,
        )

    @property
    def parts(self) -> tuple[Running, ...]:
        """All that has to run."""
        return (self.watches, self.nodes, self.workloads, self.hush, self.lookout, self.drifts)

    @property
    def failures(self) -> int:
        """Looks that ended in an unexpected error."""
        return self.lookout.failures + self.drifts.failures

    @property
    def is_ready(self) -> bool:
        """Whether it is known what is muted and which nodes are lost, as far as that may be known: before, nobody is told."""
        is_hush_ready = self.hush.is_synced or self.hush.failure is not None
        return is_hush_ready and (self.nodes.is_synced or self.nodes.failure is not None)

    # --- what policies need

    def watch(self, policy: Policy) -> bool:
        """Sees the pods and workloads of a policy from now on, or no more if it is not enforced. False = there are too many watches."""
        if not policy.is_enforced or policy.scope is None:
            self.watches.unsubscribe(policy.key)
            self.workloads.release(policy.key[0], policy.key)
            return True
        self.workloads.need(policy.key[0], policy.key)
        return self.watches.subscribe(policy.key, policy.scope)

    def forget(self, key: PolicyKey) -> None:
        """The policy is gone."""
        self.watches.unsubscribe(key)
        self.workloads.release(key[0], key)
        self.drifts.policy_gone(key)

    def survey(self, policy: Policy) -> None:
        """Looks at all that a policy watches as if for the first time."""
        self.lookout.survey(policy)
        self.drifts.survey(policy.key)

    def what_changed(self, namespace: str, owner: Owner, since: datetime, until: datetime | None) -> tuple[str, ...]:
        """What of a workload changed before a trouble began, or while it lasted."""
        revisions = self.workloads.revisions(namespace, owner)
        if until is not None:
            return changed_meanwhile(revisions, since, until)
        return what_changed(revisions, since, self._now())

    # --- what is seen

    def _heed_pod(self, scope: Scope, old: Pod | None, new: Pod | None) -> None:
        seen = new or old
        if seen is None or not self._hearers.may_decide():
            return
        self.lookout.heed_pod(old, new)
        owner = owner_of(seen)
        for key in self.watches.subscribers(scope):
            policy = self._policies.get(key)
            if policy is None or not policy.is_enforced:
                continue
            if new is not None:
                self.lookout.judge(policy, old, new)
            for fingerprint in self._load.about(key, owner):
                self._hearers.on_case(fingerprint)
            self.drifts.touch(key, owner)
            if old is None or new is None:
                self._hearers.on_policy(key)

    def _heed_node(self, name: str) -> None:
        if self._hearers.may_decide():
            self.lookout.heed_node(name)

    def _heed_workload(self, namespace: str, owner: Owner) -> None:
        if self._hearers.may_decide():
            self.lookout.heed_workload(namespace, owner)

    def _heed_verdict(self, policy: Policy, owner: Owner, verdict: Verdict) -> None:
        if self._hearers.may_decide():
            self.lookout.heed_verdict(policy, owner, verdict)
            self._hearers.on_policy(policy.key)

    def _heed_silences(self, namespace: str) -> None:
        if not self._hearers.may_decide():
            return
        for case in self._load.cases.values():
            if case.policy_key[0] == namespace:
                self._hearers.on_case(case.fingerprint)
        self._hearers.on_silences(namespace)

    def _tally(self, key: SilenceKey) -> Tally:
        cases = [case for case in self._load.cases.values() if (case.policy_key[0], case.incident.silenced_by) == key]
        return Tally(sum(case.rest is Rest.SILENCED for case in cases), len(cases))

    def _architecture_of(self, name: str) -> str:
        node = self.nodes.get(name)
        return node.status.node_info.architecture if node is not None else ""
