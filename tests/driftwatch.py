"""Workloads, pods and ConfigMaps in one namespace of a real API server, without controllers, and drift watched over them."""

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from collectorrig import OURS, policy_body
from controlplane import Rest
from driftrig import IMAGE, Body, collector, digest
from kuberig import running
from podrig import container, running_state, stamp
from watchbell.api.times import moment
from watchbell.collectors.baselines.drifts import Drifts
from watchbell.collectors.baselines.verdicts import State, Verdict
from watchbell.collectors.policies import Policy, PolicyKey, Scope, read_policy
from watchbell.collectors.seen.pod import Owner, Pod, owner_of
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.seen.workloads import Workloads
from watchbell.kube.client import Client

LABELS = {"app": "gateway", "team": "observability"}
PLURALS = {
    "Deployment": "deployments",
    "DaemonSet": "daemonsets",
    "StatefulSet": "statefulsets",
    "ReplicaSet": "replicasets",
    "Job": "jobs",
}
SETTLED: Mapping[str, Body] = {
    "Deployment": {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1},
    "ReplicaSet": {"replicas": 1, "readyReplicas": 1},
    "StatefulSet": {"replicas": 1, "readyReplicas": 1, "currentRevision": "a", "updateRevision": "a"},
    "DaemonSet": {
        "currentNumberScheduled": 1,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 1,
        "numberReady": 1,
        "updatedNumberScheduled": 1,
    },
    "Job": {"active": 1},
}


class Place:
    """One namespace."""

    def __init__(self, rest: Rest, namespace: str) -> None:
        self.rest, self.namespace = rest, namespace
        self.core = f"/api/v1/namespaces/{namespace}"
        self.started = datetime.now(UTC) - timedelta(hours=1)

    def path(self, kind: str, name: str = "") -> str:
        group = "batch/v1" if kind == "Job" else "apps/v1"
        return f"/apis/{group}/namespaces/{self.namespace}/{PLURALS[kind]}" + (f"/{name}" if name else "")

    def make_owner(
        self,
        kind: str,
        part: Body | None = None,
        owner: Body | None = None,
        annotations: Body | None = None,
        **spec: Any,
    ) -> Body:
        """A workload `gateway` whose controller says that all is done; `annotations` are its template's."""
        metadata: Body = {"labels": LABELS} | ({"annotations": annotations} if annotations else {})
        template = {"metadata": metadata, "spec": {"containers": [part or lean_collector()]}}
        template["spec"]["volumes"] = [{"name": "config", "configMap": {"name": "gateway-config"}}]
        if kind == "Job":
            template["spec"]["restartPolicy"] = "Never"
        else:
            spec = {"selector": {"matchLabels": LABELS}} | spec
        if kind == "StatefulSet":
            spec = {"serviceName": "gateway"} | spec
        about: Body = {"name": "gateway"} | ({"ownerReferences": [owner]} if owner else {})
        body = {"metadata": about, "spec": {"template": template} | spec}
        made = self.rest.post(self.path(kind), body)
        self.settle(kind)
        return made

    def settle(self, kind: str, **status: Any) -> None:
        generation = self.rest.get(self.path(kind, "gateway"))["metadata"]["generation"]
        told = SETTLED[kind] | ({} if kind == "Job" else {"observedGeneration": generation}) | status
        self.rest.merge(f"{self.path(kind, 'gateway')}/status", {"status": told})

    def make_pod(self, name: str, owner: Body | None, *parts: Body | None, **spec: Any) -> None:
        """A pod that is ready since an hour ago."""
        metadata: Body = {"name": name, "labels": LABELS}
        if owner is not None:
            said = owner["spec"]["template"]["metadata"]
            metadata |= {"ownerReferences": [reference(owner)], "labels": said["labels"]}
            metadata["annotations"] = said.get("annotations", {})
        made = {
            "containers": [part for part in parts if part] or [lean_collector()],
            "volumes": [{"name": "config", "configMap": {"name": "gateway-config"}}],
        }
        self.rest.post(f"{self.core}/pods", {"metadata": metadata, "spec": {"nodeName": "node-1"} | made | spec})
        self.tell_pod(name)

    def tell_pod(self, name: str, letter: str = "a", **status: Any) -> None:
        """Its kubelet says how the collector is."""
        one = {"image": IMAGE, "imageID": f"docker.io/otel/x@{digest(letter)}", "state": running_state(self.started)}
        told = {"phase": "Running", "containerStatuses": [container(**(one | status))]}
        self.rest.merge(f"{self.core}/pods/{name}/status", {"status": told})

    def change_pod(self, name: str, patch: Body) -> None:
        self.rest.merge(f"{self.core}/pods/{name}", patch)

    def set_image(self, name: str, image: str) -> None:
        """As `kubectl set image pod/…` does."""
        body = self.rest.get(f"{self.core}/pods/{name}")
        body["spec"]["containers"][0]["image"] = image
        self.rest.put(f"{self.core}/pods/{name}", body)

    def remove_pod(self, name: str) -> None:
        self.rest.delete(f"{self.core}/pods/{name}?gracePeriodSeconds=0")

    def make_config(self, text: str = "receivers: {}", name: str = "gateway-config") -> None:
        self.rest.post(f"{self.core}/configmaps", {"metadata": {"name": name}, "data": {"relay.yaml": text}})

    def set_config(self, text: str, name: str = "gateway-config") -> None:
        self.rest.merge(f"{self.core}/configmaps/{name}", {"data": {"relay.yaml": text}})

    def make_policy(self, **spec: Any) -> Policy:
        return read_policy(self.make_policy_body(**spec))

    def make_policy_body(self, **spec: Any) -> Body:
        spec = {"drift": {"pendingSeconds": 0}} | spec
        return self.rest.post(
            f"{OURS}/{self.namespace}/collectorpolicies", policy_body(namespace=self.namespace, **spec)
        )


def lean_collector(**fields: Any) -> Body:
    """The collector as a pod that an API server takes without a secret or config map being there."""
    return copy.deepcopy(collector(env=[{"name": "TENANT", "value": "blue"}])) | fields


def reference(owner: Body) -> Body:
    """As a controller refers to what it owns."""
    known = {key: owner[key] for key in ("apiVersion", "kind")}
    return known | {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}


class Watcher:
    """Drift as `reconcile` runs it, without the rest."""

    def __init__(
        self,
        client: Client,
        *policies: Policy,
        owners_client: Client | None = None,
        configs_client: Client | None = None,
        is_leading: Callable[[], bool] = lambda: True,
    ) -> None:
        self.policies: dict[PolicyKey, Policy] = {policy.key: policy for policy in policies}
        self.reports: list[tuple[Owner, Verdict]] = []
        self.captures: list[PolicyKey] = []
        self.watches = PodWatches(client, on_pod=self._heed)
        self.workloads = Workloads(owners_client or client, on_change=self._owner, now=now)
        self.drifts = Drifts(
            configs_client or client,
            watches=self.watches,
            workloads=self.workloads,
            policies=self.policies,
            now=now,
            clock=time.monotonic,
            report=lambda _, owner, verdict: self.reports.append((owner, verdict)),
            leading=is_leading,
            on_baseline=self.captures.append,
            config_round_s=0.1,
        )
        for policy in policies:
            self.begin(policy)

    def begin(self, policy: Policy) -> None:
        self.policies[policy.key] = policy
        self.watches.subscribe(policy.key, policy.scope)
        self.workloads.need(policy.scope.namespace, policy.key)
        self.drifts.survey(policy.key)

    def _heed(self, scope: Scope, old: Pod | None, new: Pod | None) -> None:
        for key in self.watches.subscribers(scope):
            self.drifts.touch(key, owner_of(new or old))

    def _owner(self, namespace: str, owner: Owner) -> None:
        self.drifts.owner_changed(namespace, owner)

    def state(self, owner: Owner) -> State | None:
        (key,) = self.policies
        verdict = self.drifts.verdict(key, owner)
        return verdict.state if verdict is not None else None

    def verdict(self, owner: Owner) -> Verdict:
        (key,) = self.policies
        found = self.drifts.verdict(key, owner)
        assert found is not None
        return found

    def detail(self, owner: Owner) -> str:
        return self.verdict(owner).detail if self.state(owner) is not None else ""

    async def until(self, owner: Owner, state: State | None, deadline_s: float = 40.0) -> None:
        """Waits for a verdict."""
        end = time.monotonic() + deadline_s
        while self.state(owner) is not state:
            assert time.monotonic() < end, f"{owner} is not {state}: {self.drifts.verdicts(next(iter(self.policies)))}"
            await asyncio.sleep(0.02)


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def watching(client: Client, *policies: Policy, **options: Any) -> AsyncIterator[Watcher]:
    watcher = Watcher(client, *policies, **options)
    async with running(watcher.watches.run(), watcher.workloads.run(), watcher.drifts.run()):
        yield watcher


def changed_at(body: Body) -> datetime:
    """When a ConfigMap's data last changed, as the API server says."""
    times = [moment(entry["time"]) for entry in body["metadata"]["managedFields"] if "f:data" in entry["fieldsV1"]]
    return max(time_ for time_ in times if time_ is not None)


__all__ = ["Place", "Watcher", "changed_at", "lean_collector", "reference", "stamp", "watching"]
