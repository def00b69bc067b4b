"""Workloads as alerts and drift need them (pure): the shapes into which the informers of `workloads` decode Deployments and their like.

Before: bytes of a list or watch. After: `rollouts` says whether one moves, `changes` what changed, `drift` compares its template with its pods.
Templates are the shared shapes of `shape`, so old ReplicaSets cost little.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar

import msgspec

from watchbell.api.times import moment
from watchbell.collectors.seen.pod import Metadata, Owner, PodCondition
from watchbell.collectors.seen.shape import Template
from watchbell.kube.resources import DAEMONSETS, DEPLOYMENTS, JOBS, REPLICASETS, STATEFULSETS, Resource

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
OTEL_GROUP, OTEL_PLURAL = "opentelemetry.io", "opentelemetrycollectors"


class WorkloadMeta(Metadata, rename="camel", gc=False):
    """The object's identity; `generation` counts the changes of its spec."""

    generation: int = 0


class RollingUpdate(msgspec.Struct, rename="camel", gc=False):
    """How a roll-out goes on; only a StatefulSet has a `partition`: pods with a smaller ordinal keep the old revision."""

    partition: int = 0


class Strategy(msgspec.Struct, rename="camel", gc=False):
    """`RollingUpdate`, `Recreate` (Deployment) or `OnDelete` (DaemonSet, StatefulSet)."""

    type: str = ""
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(msgspec.Struct, rename="camel", gc=False):
    """What is wanted. Deployments write `strategy`, DaemonSets and StatefulSets `updateStrategy`, OpenTelemetryCollectors `mode` and `image`."""

    replicas: int | None = None
    paused: bool = False
    suspend: bool = False
    template: Template | None = None
    strategy: Strategy | None = None
    update_strategy: Strategy | None = None
    mode: str = ""
    image: str = ""


class WorkloadStatus(msgspec.Struct, rename="camel", gc=False):
    """What its controller counted."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0
    failed: int = 0
    conditions: tuple[PodCondition, ...] = ()

    def condition(self, type_: str) -> PodCondition | None:
        """The condition of that type."""
        return next((one for one in self.conditions if one.type == type_), None)


class Workload(msgspec.Struct, gc=False):
    """One object that makes pods."""

    kind: ClassVar[str] = ""
    metadata: WorkloadMeta
    spec: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    status: WorkloadStatus = msgspec.field(default_factory=WorkloadStatus)

    @property
    def owner(self) -> Owner:
        """It, as findings name it."""
        return Owner(self.kind, self.metadata.name)

    @property
    def controller(self) -> Owner | None:
        """Who made it: the Deployment of a ReplicaSet, the OpenTelemetryCollector of a Deployment."""
        found = next((one for one in self.metadata.owner_references if one.controller), None)
        return Owner(found.kind, found.name) if found else None

    @property
    def replicas(self) -> int:
        """How many pods are wanted; absent means one (apps/v1)."""
        return 1 if self.spec.replicas is None else self.spec.replicas

    @property
    def revision(self) -> str:
        """How its controller names the present template; empty where there is no such name."""
        return self.metadata.annotations.get(REVISION_ANNOTATION, "") or self.status.update_revision

    @property
    def created(self) -> datetime | None:
        """When it was made."""
        return moment(self.metadata.creation_timestamp)


class Deployment(Workload, gc=False):
    """apps/v1."""

    kind: ClassVar[str] = "Deployment"


class StatefulSet(Workload, gc=False):
    """apps/v1."""

    kind: ClassVar[str] = "StatefulSet"


class DaemonSet(Workload, gc=False):
    """apps/v1."""

    kind: ClassVar[str] = "DaemonSet"


class ReplicaSet(Workload, gc=False):
    """apps/v1."""

    kind: ClassVar[str] = "ReplicaSet"


class Job(Workload, gc=False):
    """batch/v1."""

    kind: ClassVar[str] = "Job"


class OtelCollector(Workload, gc=False):
    """opentelemetry.io; makes a Deployment, DaemonSet or StatefulSet `{name}-collector`, or sidecars in pods of others."""

    kind: ClassVar[str] = "OpenTelemetryCollector"


BUILT_IN: Mapping[type[Workload], Resource] = MappingProxyType(
    {
        Deployment: DEPLOYMENTS,
        StatefulSet: STATEFULSETS,
        DaemonSet: DAEMONSETS,
        ReplicaSet: REPLICASETS,
        Job: JOBS,
    }
)

OTEL_RESOURCE = Resource(OTEL_GROUP, "v1beta1", OTEL_PLURAL)
"""OpenTelemetryCollectors as their operator serves them today; `workloads` asks the API server for the version."""
KINDS: Mapping[str, tuple[Resource, type[Workload]]] = MappingProxyType(
    {kind.kind: (resource, kind) for kind, resource in BUILT_IN.items()}
    | {OtelCollector.kind: (OTEL_RESOURCE, OtelCollector)}
)
"""Owner kinds that can be read: where, and as what."""


def read_workload(data: bytes, kind: str) -> Workload:
    """One object as the API server gave it; `kind` is one of KINDS. Raises `msgspec.MsgspecError` for what is no such object."""
    return msgspec.json.decode(data, type=KINDS[kind][1])


@dataclass(frozen=True, slots=True)
class Revision:
    """One template that a workload had. `time` None: not known (an old template was taken again, or it was there before we looked)."""

    number: str
    template: Template
    time: datetime | None


def revisions_of(replica_sets: tuple[Workload, ...]) -> tuple[Revision, ...]:
    """A Deployment's templates by its ReplicaSets, oldest first. A roll-back takes an old ReplicaSet again: its age says nothing then."""
    numbered = [
        (int(one.revision), one) for one in replica_sets if one.revision.isdecimal() and one.spec.template is not None
    ]
    numbered.sort(key=lambda pair: pair[0])
    found: list[Revision] = []
    newest: datetime | None = None
    for number, one in numbered:
        created = one.created
        is_first_use = created is not None and (newest is None or created >= newest)
        newest = created if is_first_use else newest
        if one.spec.template is not None:
            found.append(Revision(str(number), one.spec.template, created if is_first_use else None))
    return tuple(found)
