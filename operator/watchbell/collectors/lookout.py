"""The lookout: what pods, nodes, workloads and baselines look like now → findings in the caseload, and what an incident's workload looks like again.

Before: informers tell of changes, timers of thresholds that pass though nothing changes. After: `desk` hears which cases moved. Decides nothing
about mails. Pods of a lost node are told by the node's incident, so what else is wrong with them is not told as well.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from watchbell.api.enums import IncidentKind
from watchbell.collectors.baselines.drifts import Drifts
from watchbell.collectors.baselines.verdicts import State, Verdict, finding
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.casework.folding import Outcome
from watchbell.collectors.casework.health import Standing, View, is_ready
from watchbell.collectors.casework.incidents import Family, Group, Incident
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.faults.podevents import probe_kill
from watchbell.collectors.faults.restarts import Restarts
from watchbell.collectors.findings import NODE_OWNER, Finding, Look
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.seen.node import node_look
from watchbell.collectors.seen.nodes import Nodes
from watchbell.collectors.seen.pod import BARE, Owner, Pod, owner_of
from watchbell.collectors.seen.rollouts import RolloutState, failed_job, rollout_state, stuck
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.seen.workload import Job, Workload
from watchbell.collectors.seen.workloads import Workloads
from watchbell.kube.client import Client
from watchbell.kube.workqueue import WorkQueue

WORKERS = 4
DOUBTS_MAX = 1000
DOUBT_WAIT_S = 0.5
"""The kubelet writes the Event beside the status, not before it."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the lookout looks."""

    client: Client
    watches: PodWatches
    nodes: Nodes
    workloads: Workloads
    restarts: Restarts = field(default_factory=Restarts)


@dataclass(frozen=True, slots=True)
class _Aim:
    """What is to be looked at again: a pod, a node's pods, a workload, or (`doubt`) the Events of a pod."""

    policy: PolicyKey
    kind: str
    name: str
    doubt: str = ""


class Lookout:
    """See the module's text. `on_case` hears fingerprints; `policies_of(namespace)` are the policies that watch pods there."""

    def __init__(  # noqa: PLR0913 - what it looks at, where it puts what it found, and whom it tells, all by name
        self,
        sources: Sources,
        *,
        load: Caseload,
        on_case: Callable[[str], None],
        policy: Callable[[PolicyKey], Policy | None],
        policies: Callable[[], Iterable[Policy]],
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._sources, self._load, self._on_case = sources, load, on_case
        self._policy, self._policies, self._now = policy, policies, now
        self.drifts: Drifts | None = None
        self._doubts: dict[_Aim, Finding] = {}
        self._looks: WorkQueue[_Aim] = WorkQueue(self._look_again, workers=WORKERS, name="looks", clock=clock)

    @property
    def failures(self) -> int:
        """Units of work that ended in an unexpected error."""
        return self._looks.failures

    async def run(self) -> None:
        """Looks again when it is time, until cancelled."""
        await self._looks.run()

    # --- what changed

    def heed_pod(self, old: Pod | None, new: Pod | None) -> None:
        """Once for each change of a pod, before any policy judges it."""
        if new is not None:
            self._sources.restarts.heed(old, new, self._now())
        elif old is not None:
            self._sources.restarts.forget(old)

    def judge(self, policy: Policy, old: Pod | None, new: Pod) -> None:
        """What is wrong with a pod by a policy. `old` None = as if for the first time."""
        now = self._now()
        rules = policy.rules_at(now) if old is None else policy.rules
        nodes = self._sources.nodes
        node = nodes.get(new.spec.node_name) if new.spec.node_name else None
        if node is not None and IncidentKind.NODE_LOST in rules.kinds:
            lost = node_look((new,), node, rules, now)
            if lost.findings:
                self._load.outcomes[Outcome.INHIBITED] += 1
                self._take(policy, lost, _Aim(policy.key, NODE_OWNER, node.metadata.name))
                return
            if lost.again_in_s is not None:
                self._take(policy, lost, _Aim(policy.key, NODE_OWNER, node.metadata.name))
        look = detect(old, new, rules, now, self._sources.restarts)
        if nodes.failure is None and any(one.kind is IncidentKind.NODE_LOST for one in look.findings):
            # The node itself is the better witness: one that was well until it was removed was taken out on purpose, as an autoscaler does.
            # The pod's word counts where nodes may not be read.
            look = replace(look, findings=tuple(one for one in look.findings if one.kind is not IncidentKind.NODE_LOST))
        if look.findings or look.again_in_s is not None or look.doubtful:
            self._take(policy, look, _Aim(policy.key, BARE, new.metadata.name))

    def heed_node(self, name: str) -> None:
        """A node was lost, came back, or vanished."""
        for policy in self._policies():
            self._look_at_node(policy, name)
            for fingerprint in self._load.about(policy.key, Owner(NODE_OWNER, name)):
                self._on_case(fingerprint)

    def heed_workload(self, namespace: str, owner: Owner) -> None:
        """A workload's template, counts or conditions changed."""
        for policy in self._policies():
            if policy.key[0] == namespace:
                self._look_at_workload(policy, owner)
        if self.drifts is not None:
            self.drifts.owner_changed(namespace, owner)

    def heed_verdict(self, policy: Policy, owner: Owner, verdict: Verdict) -> None:
        """A workload was compared with its baseline."""
        found = finding(verdict, owner, self._now())
        self._take(policy, Look((found,) if found is not None else ()), None)
        for fingerprint in self._load.about(policy.key, owner):
            self._on_case(fingerprint)

    def survey(self, policy: Policy) -> None:
        """Looks at all that a policy watches as if for the first time."""
        if not policy.is_enforced or policy.scope is None:
            return
        owners, nodes = dict[Owner, None](), dict[str, None]()
        for pod in tuple(self._sources.watches.pods(policy.scope).values()):
            self.judge(policy, None, pod)
            owners[owner_of(pod)] = nodes[pod.spec.node_name] = None
        for workload in self._sources.workloads.everything(policy.key[0]):
            if _would_be_watched(policy, workload):
                # One whose pods the API server refuses has none by which it would be known.
                owners.setdefault(workload.owner)
        for owner in owners:
            self._look_at_workload(policy, owner)
            self._take_drift(policy, owner)

    def survey_group(self, policy: Policy, group: Group) -> None:
        """Looks again at what a case was about that is closed now: what came meanwhile opens the next one."""
        if not policy.is_enforced or policy.scope is None:
            return
        if group.owner.kind == NODE_OWNER:
            self._look_at_node(policy, group.owner.name)
        for pod in self._sources.watches.pods_of(policy.scope, group.owner):
            self.judge(policy, None, pod)
        self._look_at_workload(policy, group.owner)
        self._take_drift(policy, group.owner)
        if group.fingerprint in self._load.cases:
            self._on_case(group.fingerprint)

    def _take_drift(self, policy: Policy, owner: Owner) -> None:
        verdict = self.drifts.verdict(policy.key, owner) if self.drifts is not None else None
        if verdict is not None:
            found = finding(verdict, owner, self._now())
            self._take(policy, Look((found,) if found is not None else ()), None)

    def _look_at_node(self, policy: Policy, name: str) -> None:
        node, scope = self._sources.nodes.get(name), policy.scope
        if scope is None or not policy.is_enforced:
            return
        pods = [pod for pod in self._sources.watches.pods(scope).values() if pod.spec.node_name == name]
        if node is not None:
            look = node_look(pods, node, policy.rules, self._now())
            self._take(policy, look, _Aim(policy.key, NODE_OWNER, name))
        if not self._sources.nodes.is_lost(name):
            # What else is wrong with its pods was hidden while it was lost.
            for pod in pods:
                self.judge(policy, None, pod)

    def _look_at_workload(self, policy: Policy, owner: Owner) -> None:
        workloads, namespace = self._sources.workloads, policy.key[0]
        workload = workloads.get(namespace, owner)
        if workload is None or policy.scope is None or not policy.is_enforced:
            return
        pods = self._sources.watches.pods_of(policy.scope, owner)
        if not pods and not self._load.about(policy.key, owner) and not _would_be_watched(policy, workload):
            return
        now, aim = self._now(), _Aim(policy.key, owner.kind, owner.name)
        self._take(policy, stuck(workload, policy.rules, now, workloads.moving_since(namespace, owner)), aim)
        self._take(policy, failed_job(workload, pods, policy.rules_at(now), now), aim)
        for fingerprint in self._load.about(policy.key, owner):
            self._on_case(fingerprint)

    def _take(self, policy: Policy, look: Look, aim: _Aim | None) -> None:
        for fingerprint in self._load.absorb(policy, look.findings):
            self._on_case(fingerprint)
        if aim is None:
            return
        if look.again_in_s is not None:
            self._looks.add_after(aim, look.again_in_s)
        for doubt in look.doubtful[: max(0, DOUBTS_MAX - len(self._doubts))]:
            doubtful = _Aim(aim.policy, aim.kind, aim.name, doubt.end_id or doubt.container)
            self._doubts[doubtful] = doubt
            self._looks.add_after(doubtful, DOUBT_WAIT_S)

    async def _look_again(self, aim: _Aim) -> float | None:
        policy = self._policy(aim.policy)
        if policy is None or policy.scope is None or not policy.is_enforced:
            self._doubts.pop(aim, None)
        elif aim.doubt:
            await self._ask_events(policy, aim)
        elif aim.kind == NODE_OWNER:
            self._look_at_node(policy, aim.name)
        elif aim.kind != BARE:
            self._look_at_workload(policy, Owner(aim.kind, aim.name))
        else:
            pod = self._sources.watches.pods(policy.scope).get((aim.policy[0], aim.name))
            if pod is not None:
                self.judge(policy, pod, pod)
        return None

    async def _ask_events(self, policy: Policy, aim: _Aim) -> None:
        doubt = self._doubts.pop(aim, None)
        proven = await probe_kill(self._sources.client, policy.key[0], doubt) if doubt is not None else None
        if proven is not None:
            self._take(policy, Look((proven,)), None)

    # --- what it looks like

    def view(self, policy: Policy, incident: Incident) -> View:
        """All that can be seen of an incident's workload now; what is not known, or may be stale, proves nothing."""
        watches, scope = self._sources.watches, policy.scope
        if scope is None:
            return View(are_fresh=False)
        are_fresh = watches.is_synced(scope) and watches.failure(scope) is None
        owner = incident.group.owner
        match incident.group.family:
            case Family.NODE:
                return View(node=self._node(policy, incident, are_fresh=are_fresh))
            case Family.ROLLOUT:
                return View(rollout=self._rollout(policy, owner))
            case Family.DRIFT:
                return View(drift=self._drift(policy, owner, are_fresh=are_fresh))
        return View(
            watches.pods_of(scope, owner),
            are_fresh,
            conditions=policy.rules.pod_conditions,
            is_lost=self._sources.nodes.is_lost,
            is_given_up=self._is_given_up(policy, owner),
        )

    def _is_given_up(self, policy: Policy, owner: Owner) -> bool:
        workload = self._sources.workloads.get(policy.key[0], owner) if owner.kind == Job.kind else None
        failed = workload.status.condition("Failed") if workload is not None else None
        return failed is not None and failed.status == "True"

    def _node(self, policy: Policy, incident: Incident, *, are_fresh: bool) -> Standing:
        nodes, name = self._sources.nodes, incident.group.owner.name
        if nodes.failure is None and nodes.is_synced:
            if not nodes.known(name):
                return Standing.GONE
            return Standing.FAILING if nodes.is_lost(name) else Standing.READY
        if nodes.is_synced or not are_fresh or policy.scope is None:
            return Standing.UNKNOWN
        # Nodes may not be read: their pods are all there is to see.
        store = self._sources.watches.pods(policy.scope)
        seen = [store.get((policy.key[0], pod.name)) for pod in incident.pods]
        there = [pod for pod in seen if pod is not None and pod.spec.node_name == name and not pod.is_being_deleted]
        if not there:
            return Standing.GONE
        return Standing.READY if all(is_ready(pod) for pod in there) else Standing.FAILING

    def _rollout(self, policy: Policy, owner: Owner) -> Standing:
        workloads, namespace = self._sources.workloads, policy.key[0]
        if workloads.failure(namespace, owner.kind) is not None:
            return Standing.UNKNOWN
        workload = workloads.get(namespace, owner)
        if workload is None:
            return Standing.GONE if workloads.is_synced(namespace, owner.kind) else Standing.UNKNOWN
        look = stuck(workload, policy.rules, self._now(), workloads.moving_since(namespace, owner))
        if look.findings:
            return Standing.FAILING
        is_settled = look.again_in_s is None and rollout_state(workload).state is RolloutState.SETTLED
        return Standing.READY if is_settled else Standing.UNKNOWN

    def _drift(self, policy: Policy, owner: Owner, *, are_fresh: bool) -> Standing:
        verdict = self.drifts.verdict(policy.key, owner) if self.drifts is not None else None
        if policy.scope is None or not are_fresh:
            return Standing.UNKNOWN
        if verdict is None:  # nobody looked yet, or there is nothing left to look at
            has_pods = bool(self._sources.watches.pods_of(policy.scope, owner))
            return Standing.UNKNOWN if has_pods else Standing.GONE
        if verdict.is_healthy:
            return Standing.READY
        match verdict.state:
            case State.DRIFTED:
                return Standing.FAILING
            case State.NO_PODS | State.OFF:
                return Standing.GONE
        return Standing.UNKNOWN


def _would_be_watched(policy: Policy, workload: Workload) -> bool:
    """Whether pods made by its template are the policy's."""
    template = workload.spec.template
    return template is not None and policy.would_watch(template.metadata.labels)
