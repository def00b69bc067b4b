"""Drift under watch: one owner after another is compared with its baseline whenever a pod, the owner or a ConfigMap changed.

Before: `touch` from pods and policies, `owner_changed` from `workloads`. After: `report(policy, owner, verdict)` when a verdict changed, and
`verdict` for whoever judges an incident. Nothing of it is durable but captured baselines, which `standing` writes into the policy's status; how long
a difference stands is counted anew after a restart, and until it counts nobody may take the owner for healthy.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from watchbell.api.enums import BaselineMode
from watchbell.collectors.baselines.baseline import CapturedWorkload, NotYet, pinned_hash
from watchbell.collectors.baselines.captures import Captures
from watchbell.collectors.baselines.comparison import Marked
from watchbell.collectors.baselines.configs import Configs
from watchbell.collectors.baselines.drift import assess, wanted_configs
from watchbell.collectors.baselines.fleet import Desired, Motion, Subject, alike
from watchbell.collectors.baselines.verdicts import State, Verdict
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.seen.pod import Owner, Pod, owner_of
from watchbell.collectors.seen.rollouts import ON_DELETE, RolloutState, rollout_state
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.seen.workload import KINDS, DaemonSet, Job, OtelCollector, Workload
from watchbell.collectors.sightings import DriftSight
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, Forbidden, Unauthorized
from watchbell.kube.workqueue import WorkQueue

Key = tuple[PolicyKey, Owner]
Report = Callable[[Policy, Owner, Verdict], None]
OTEL_SIDECAR = "sidecar.opentelemetry.io/inject"
"""The annotation that names the OpenTelemetryCollector whose sidecar a pod gets (or says `true` or `false`)."""
OTEL_CONTAINER = "otc-container"
UNKNOWN_S, UNREADABLE_S = 5.0, 60.0
"""When to look again at an owner that is not known, or may not be read: no change of it would tell."""
GATHER_S = 0.25
"""Changes that come together are looked at together."""
COST_SHARE = 50
"""A look may take one part in so many of the time: a fleet of thousands is compared less often."""


class OwnerSource(Protocol):
    """Where owners come from: `workloads.Workloads`."""

    def get(self, namespace: str, owner: Owner) -> Workload | None:
        """The workload; None when it is not there, or not known yet."""
        ...

    def is_synced(self, namespace: str, kind: str = "") -> bool:
        """Whether a kind was listed once in full."""
        ...

    def failure(self, namespace: str, kind: str = "") -> ApiError | None:
        """Why the picture of a kind may be stale or missing."""
        ...


@dataclass(slots=True)
class _Entry:
    """What is remembered of one owner under one policy. `cost_s` is what the last look took, `template` what its owner said then."""

    verdict: Verdict
    cost_s: float = 0.0
    template: Marked | None = None


class Drifts:
    """See the module's text. All methods are called on the loop."""

    def __init__(  # noqa: PLR0913 - what it stands on, each of its own kind, all but the client by name
        self,
        client: Client,
        *,
        watches: PodWatches,
        workloads: OwnerSource,
        policies: Mapping[PolicyKey, Policy],
        now: Callable[[], datetime],
        clock: Callable[[], float],
        report: Report,
        leading: Callable[[], bool],
        on_baseline: Callable[[PolicyKey], None] = lambda _: None,
        architecture_of: Callable[[str], str] = lambda _: "",
        config_round_s: float = 60.0,
    ) -> None:
        self._watches, self._workloads, self._policies = watches, workloads, policies
        self._now, self._report, self._leading = now, report, leading
        self._clock, self._architecture_of = clock, architecture_of
        self._entries: dict[Key, _Entry] = {}
        self._captures = Captures(now=now, has_pods=self._has_pods, on_capture=on_baseline)
        self._configs: Configs[Key] = Configs(
            client, on_change=self._config_changed, clock=clock, leading=leading, round_s=config_round_s
        )
        self._queue: WorkQueue[Key] = WorkQueue(self._work, workers=1, name="drift", clock=clock)

    # --- what others see

    @property
    def failures(self) -> int:
        """Looks and reads that ended in an unexpected error."""
        return self._queue.failures + self._configs.failures

    def verdict(self, policy: PolicyKey, owner: Owner) -> Verdict | None:
        """The last verdict; None before the first look."""
        entry = self._entries.get((policy, owner))
        return entry.verdict if entry is not None else None

    def verdicts(self, policy: PolicyKey) -> Mapping[Owner, Verdict]:
        """All of a policy's, for a survey."""
        return {owner: entry.verdict for (key, owner), entry in self._entries.items() if key == policy}

    def sight(self, policy: PolicyKey) -> DriftSight:
        """How many pods of which workloads are drifted, for the policy's status."""
        drifted = {owner: one for owner, one in self.verdicts(policy).items() if one.state is State.DRIFTED}
        names = tuple(sorted(f"{owner.kind}/{owner.name}" for owner in drifted))
        return DriftSight(sum(len(one.pods) for one in drifted.values()), names)

    def baseline_status(self, policy: PolicyKey) -> Mapping[str, Any] | None:
        """`status.baseline`; None while nothing is known that should replace what stands there."""
        found = self._policies.get(policy)
        if found is None:
            return None
        match found.drift.mode:
            case BaselineMode.PINNED if found.drift.pinned is not None:
                return {"mode": str(BaselineMode.PINNED), "hash": pinned_hash(found.drift.pinned)}
            case BaselineMode.CAPTURED:
                return self._captures.status_of(found)
            case _:
                return {"mode": str(BaselineMode.OWNER_TEMPLATE)}

    async def idle(self) -> None:
        """Waits until no owner waits for a look; timers may be set."""
        await self._queue.idle()

    # --- what changes

    def touch(self, policy: PolicyKey, owner: Owner) -> None:
        """Something about the owner or its pods may have changed."""
        entry = self._entries.get((policy, owner))
        self._queue.add_after((policy, owner), max(GATHER_S, entry.cost_s * COST_SHARE if entry else 0.0))

    def survey(self, policy: PolicyKey) -> None:
        """Looks at all owners of a policy: it is new, it changed, or this process leads from now on."""
        found = self._policies.get(policy)
        owners = {owner for key, owner in self._entries if key == policy}
        if found is not None and found.scope is not None:
            owners |= {owner_of(pod) for pod in self._watches.pods(found.scope).values()}
        for owner in owners:
            self._queue.add((policy, owner))

    def owner_changed(self, namespace: str, owner: Owner) -> None:
        """A workload changed; the policies that have pods of it look again."""
        for key, policy in self._policies.items():
            if policy.scope is None or policy.scope.namespace != namespace:
                continue
            if (key, owner) in self._entries or self._has_pods(policy, owner):
                self.touch(key, owner)
        if owner.kind == OtelCollector.kind:
            for key, below in tuple(self._entries):
                if key[0] == namespace:
                    self.touch(key, below)

    def policy_gone(self, policy: PolicyKey) -> None:
        """Forgets all about a policy, its captured baseline too."""
        for key in [key for key in self._entries if key[0] == policy]:
            self._forget(key)
        self._captures.forget(policy)

    def stand_by(self) -> None:
        """This process leads no more: what it saw is worth nothing by the time it leads again."""
        for key in tuple(self._entries):
            self._forget(key)
        self._captures.clear()

    def _has_pods(self, policy: Policy, owner: Owner) -> bool:
        return policy.scope is not None and bool(self._watches.pods_of(policy.scope, owner))

    def _config_changed(self, holders: Collection[Key]) -> None:
        for policy, owner in holders:
            self.touch(policy, owner)

    def _forget(self, key: Key) -> None:
        self._entries.pop(key, None)
        self._configs.need(key, key[0][0], ())
        self._queue.forget(key)

    # --- work

    async def run(self) -> None:
        """Compares, and reads ConfigMaps, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run())
            group.create_task(self._configs.run())

    async def _work(self, key: Key) -> float | None:
        policy = self._policies.get(key[0])
        if policy is None or not policy.is_enforced or policy.scope is None:
            self._forget(key)
            return None
        if not self._leading():
            return None
        started = self._clock()
        entry = self._entries.get(key)
        before = entry.verdict if entry is not None else None
        template = self._template(policy.scope.namespace, key[1])
        verdict = self._look(policy, key[1])
        if entry is not None and verdict.state is State.MOVING and template == entry.template:
            # An autoscaler moves pods, not the revision: what stood before stands on.
            verdict = replace(verdict, standing=entry.verdict.standing)
        self._entries[key] = _Entry(verdict, self._clock() - started, template)
        if before is None or _said(before) != _said(verdict):
            self._report(policy, key[1], verdict)
        if verdict.state is State.NO_PODS:
            self._forget(key)
            return None
        return verdict.again_in_s

    def _template(self, namespace: str, owner: Owner) -> Marked | None:
        workload = self._workloads.get(namespace, owner)
        desired = desired_of(workload) if workload is not None else None
        return desired.marked if desired is not None else None

    def _look(self, policy: Policy, owner: Owner) -> Verdict:
        if policy.scope is None:
            return Verdict(State.OFF)
        namespace, rules = policy.scope.namespace, policy.drift
        pods = self._watches.pods_of(policy.scope, owner)
        workload = self._workloads.get(namespace, owner)
        unknown = self._unknown(namespace, owner, workload) if pods else None
        if unknown is not None:
            return unknown
        subject = self._subject(policy, owner, pods, workload)
        if rules.mode is not BaselineMode.CAPTURED:
            return self._assessed(policy, subject, None)
        if owner.kind == Job.kind:
            return Verdict(State.OFF, detail="Jobs come and go: there is nothing to capture.")
        captured = self._captures.known(policy, owner) or self._capture(policy, subject)
        if isinstance(captured, NotYet):
            return Verdict(State.NO_BASELINE, detail=f"No baseline is captured: {captured}.")
        return self._assessed(policy, subject, captured)

    def _capture(self, policy: Policy, subject: Subject) -> CapturedWorkload | NotYet:
        is_whole = policy.scope is not None and self._watches.is_synced(policy.scope)
        return self._captures.capture(policy, subject) if is_whole else NotYet.NO_PODS

    def _assessed(self, policy: Policy, subject: Subject, captured: CapturedWorkload | None) -> Verdict:
        before = self.verdict(policy.key, subject.owner)
        standing = before.standing if before is not None else None
        return assess(subject, policy.drift, self._now(), captured=captured, standing=standing)

    def _unknown(self, namespace: str, owner: Owner, workload: Workload | None) -> Verdict | None:
        """Why an owner that ought to be known is not."""
        if workload is not None or owner.kind not in KINDS or owner.kind == OtelCollector.kind:
            return None
        failure = self._workloads.failure(namespace, owner.kind)
        if isinstance(failure, Forbidden | Unauthorized):
            plural = KINDS[owner.kind][0].plural
            text = f"{owner.kind} {owner.name} cannot be read: {failure}. Give the operator get, list and watch on {plural} in {namespace}."
            return Verdict(State.UNREADABLE, detail=text, again_in_s=UNREADABLE_S)
        text = f"{owner.kind} {owner.name} is not known (yet), or gone."
        return Verdict(State.OWNER_UNKNOWN, detail=text, again_in_s=UNKNOWN_S)

    def _subject(self, policy: Policy, owner: Owner, pods: tuple[Pod, ...], workload: Workload | None) -> Subject:
        key, namespace = (policy.key, owner), policy.key[0] if policy.scope is None else policy.scope.namespace
        captured = self._captures.known(policy, owner) if policy.drift.mode is BaselineMode.CAPTURED else None
        desired = desired_of(workload) if workload is not None else None
        names = wanted_configs(alike(pods), desired, policy.drift, captured)
        self._configs.need(key, namespace, names)
        return Subject(
            owner=owner,
            pods=pods,
            desired=desired,
            configs={name: self._configs.state(namespace, name) for name in names},
            architectures=self._architectures(pods),
            images=self._asked_images(namespace, pods, workload),
        )

    def _asked_images(self, namespace: str, pods: tuple[Pod, ...], workload: Workload | None) -> Mapping[str, str]:
        above = collector_above(pods, workload)
        return images_of(self._workloads.get(namespace, above) if above is not None else None)

    def _architectures(self, pods: tuple[Pod, ...]) -> Mapping[str, str]:
        nodes = {pod.spec.node_name for pod in pods}
        return {node: known for node in nodes if (known := self._architecture_of(node))}


def _said(verdict: Verdict) -> tuple[object, ...]:
    """What of a verdict is news."""
    return verdict.state, verdict.differences, verdict.pods, verdict.detail


def collector_above(pods: tuple[Pod, ...], workload: Workload | None) -> Owner | None:
    """The OpenTelemetryCollector that made the owner, or whose sidecar the pods carry."""
    above = workload.controller if workload is not None else None
    if above is not None and above.kind == OtelCollector.kind:
        return above
    named = pods[0].metadata.annotations.get(OTEL_SIDECAR, "") if pods else ""
    return Owner(OtelCollector.kind, named) if named else None


def images_of(collector: Workload | None) -> Mapping[str, str]:
    """What an OpenTelemetryCollector asks for, by container; nothing where it leaves that to its operator."""
    return {OTEL_CONTAINER: collector.spec.image} if collector is not None and collector.spec.image else {}


def desired_of(workload: Workload) -> Desired | None:
    """A workload as drift needs it; None when it has no template (an OpenTelemetryCollector)."""
    template = workload.spec.template
    if template is None:
        return None
    is_daemon_set = workload.kind == DaemonSet.kind
    has_replicas = not is_daemon_set and workload.kind != Job.kind
    return Desired(
        marked=Marked(template.spec.shape, template.metadata.labels, template.metadata.annotations),
        motion=_motion(workload),
        replicas=workload.replicas if has_replicas else None,
        nodes_wanted=workload.status.desired_number_scheduled if is_daemon_set else None,
        nodes_ready=workload.status.number_ready,
    )


def _motion(workload: Workload) -> Motion:
    """With OnDelete a revision does not move by itself: pods that were left behind are drift. A Job never moves."""
    if workload.kind == Job.kind:
        return Motion.SETTLED
    strategy = workload.spec.update_strategy
    match rollout_state(workload).state:
        case RolloutState.SETTLED:
            return Motion.SETTLED
        case RolloutState.PAUSED if strategy is not None and strategy.type == ON_DELETE and not workload.spec.paused:
            return Motion.SETTLED
        case RolloutState.PAUSED:
            return Motion.PAUSED
        case _:
            return Motion.MOVING
