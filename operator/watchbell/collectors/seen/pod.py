"""A pod as far as alerts need it: the shape into which the informer decodes, and plain questions about it.

Before: bytes of a list or watch. After: `crash` judges what changed, `drift` what it is made of. Only the fields below are ever kept; ten thousand
pods must fit into some 50 MiB, so structs are outside of the garbage collector's view (`gc=False`: they form no cycles), what a template says is one
`Shape` for all its pods, and words that repeat from pod to pod (images, nodes, owners) are stored once.
"""

from collections.abc import Mapping
from sys import intern
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

import msgspec

from watchbell.collectors.seen.shape import NOTHING, SIDECAR, ContainerShape, ShapedSpec, annotations_of, labels_of

MESSAGE_MAX_CHARACTERS = 1024
FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
BARE = "Pod"
"""The owner's kind of a pod that has none but itself."""
OUT_OF_MEMORY = "OOMKilled"
"""The kubelet's word for a run that was killed for its memory."""
OWNER_KIND_MAX = 63
OWNER_NAME_MAX = 253
HASH_LABEL = "pod-template-hash"
"""A Deployment's controller puts it on the pods of each of its ReplicaSets."""
MAIN_ANNOTATION = "kubectl.kubernetes.io/default-container"
GOOD_CONDITIONS = frozenset({"PodScheduled", "Initialized", "ContainersReady", "Ready", "PodReadyToStartContainers"})
"""Conditions that every healthy pod has as True, five times ten thousand."""
NONE: Mapping[str, str] = MappingProxyType({})
KEPT_MAX = 4096
T = TypeVar("T")


class _Kept(Generic[T]):
    """Equal values as one object."""

    def __init__(self) -> None:
        self._known: dict[T, T] = {}

    def same(self, value: T) -> T:
        if len(self._known) > KEPT_MAX:
            self._known.clear()
        return self._known.setdefault(value, value)


class Terminated(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """How a run of a container ended. Times are RFC 3339 in whole seconds, as the kubelet writes them."""

    exit_code: int = 0
    signal: int | None = None
    reason: str | None = None
    message: str | None = None
    finished_at: str | None = None
    container_id: str | None = msgspec.field(name="containerID", default=None)

    def __post_init__(self) -> None:
        if self.message is not None and len(self.message) > MESSAGE_MAX_CHARACTERS:
            self.message = self.message[-MESSAGE_MAX_CHARACTERS:]

    @property
    def identity(self) -> tuple[str | None, str | None, int]:
        """What tells this end from every other end of the same container."""
        return (self.container_id, self.finished_at, self.exit_code)


class Waiting(msgspec.Struct, rename="camel", gc=False):
    """Why a container does not run now."""

    reason: str | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        if self.message is not None and len(self.message) > MESSAGE_MAX_CHARACTERS:
            self.message = self.message[:MESSAGE_MAX_CHARACTERS]


class Running(msgspec.Struct, rename="camel", gc=False):
    """Since when a container runs."""

    started_at: str | None = None


class ContainerState(msgspec.Struct, rename="camel", gc=False):
    """At most one of the three is there; none means waiting (core/v1 ContainerState)."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, rename="camel", gc=False):
    """What the kubelet last said about one container."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    state: ContainerState | None = None
    last_state: ContainerState | None = None

    def __post_init__(self) -> None:
        self.name, self.image, self.image_id = intern(self.name), intern(self.image), intern(self.image_id)
        if self.last_state is not None and self.last_state.terminated is None:
            self.last_state = None

    @property
    def ended(self) -> Terminated | None:
        """The end of the present run, if it has ended."""
        return self.state.terminated if self.state else None

    @property
    def ended_before(self) -> Terminated | None:
        """The end of the run before the present one."""
        return self.last_state.terminated if self.last_state else None

    @property
    def waiting_reason(self) -> str:
        """Why it waits; empty when it does not."""
        return (self.state.waiting.reason or "") if self.state and self.state.waiting else ""


class OwnerReference(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Whose pod it is. `kind` and `name` are as somebody wrote them: the API server checks neither."""

    kind: str = ""
    name: str = ""
    controller: bool = False


class Metadata(msgspec.Struct, rename="camel", gc=False):
    """The object's identity, its way out, and its marks. Labels and annotations are shared mappings: read only."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    owner_references: tuple[OwnerReference, ...] = ()
    raw_labels: msgspec.Raw = msgspec.field(name="labels", default=NOTHING)
    raw_annotations: msgspec.Raw = msgspec.field(name="annotations", default=NOTHING)
    labels: Mapping[str, str] = msgspec.field(name="$labels", default_factory=lambda: NONE)
    annotations: Mapping[str, str] = msgspec.field(name="$annotations", default_factory=lambda: NONE)

    def __post_init__(self) -> None:
        self.namespace = intern(self.namespace)
        if self.raw_labels is not NOTHING:
            self.labels, self.raw_labels = labels_of(self.raw_labels), NOTHING
        if self.raw_annotations is not NOTHING:
            self.annotations, self.raw_annotations = annotations_of(self.raw_annotations), NOTHING
        if self.owner_references:
            self.owner_references = _OWNERS.same(self.owner_references)


class PodSpec(ShapedSpec, rename="camel", gc=False):
    """Where it runs and what of; `shape` is what its template decides."""

    node_name: str = ""
    restart_policy: str = "Always"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.node_name, self.restart_policy = intern(self.node_name), intern(self.restart_policy)


class PodCondition(msgspec.Struct, rename="camel", gc=False):
    """One condition (core/v1 PodCondition)."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class PodStatus(msgspec.Struct, rename="camel", gc=False):
    """What the kubelet says. `reason` is set where the pod as a whole was ended (Evicted, NodeShutdown, …).

    Of the kubelet's and the scheduler's conditions only those stay that are not True: a healthy pod keeps none. Ephemeral containers are left out:
    how somebody's debug session ends is no news.
    """

    phase: str = ""
    reason: str | None = None
    message: str | None = None
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def __post_init__(self) -> None:
        self.phase = intern(self.phase)
        if self.message is not None:
            self.message = self.message[:MESSAGE_MAX_CHARACTERS]
        if self.conditions:
            kept = [one for one in self.conditions if one.status != "True" or one.type not in GOOD_CONDITIONS]
            for condition in kept:
                condition.message = condition.message[:MESSAGE_MAX_CHARACTERS]
            self.conditions = tuple(kept)

    @property
    def is_ready(self) -> bool:
        """Whether every container is ready, and nobody says that the pod is not: on a lost node its containers still read ready."""
        statuses = self.container_statuses
        return bool(statuses) and all(status.ready for status in statuses) and self.condition("Ready") is None

    def condition(self, type_: str) -> PodCondition | None:
        """The condition of that type; of those in GOOD_CONDITIONS only one that is not True."""
        for condition in self.conditions:
            if condition.type == type_:
                return condition
        return None


_OWNERS: _Kept[tuple[OwnerReference, ...]] = _Kept()


class Pod(msgspec.Struct, gc=False):
    """One pod."""

    metadata: Metadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def is_finished(self) -> bool:
        """No container of it will ever run again."""
        return self.status.phase in FINISHED_PHASES

    @property
    def is_being_deleted(self) -> bool:
        """Somebody asked for its end."""
        return self.metadata.deletion_timestamp is not None


class Owner(NamedTuple):
    """The workload that people know: Deployment, DaemonSet, StatefulSet, Job, …, or the bare pod itself."""

    kind: str
    name: str


def owner_of(pod: Pod) -> Owner:
    """The workload behind a pod, without asking the API.

    The controller of a Deployment names its ReplicaSets `{deployment}-{hash}` and labels their pods with that hash (apps/v1,
    `pod-template-hash`), so the Deployment's name is what stands before it. A ReplicaSet without the label was made by hand.
    """
    for controller in pod.metadata.owner_references:
        # A static pod's mirror is controlled by its node, which is no workload.
        if controller.controller and controller.kind != "Node":
            break
    else:
        return Owner(BARE, pod.metadata.name)
    # An incident holds no more than this of what somebody wrote.
    kind, name = controller.kind[:OWNER_KIND_MAX], controller.name[:OWNER_NAME_MAX]
    template_hash = pod.metadata.labels.get(HASH_LABEL)
    if kind == "ReplicaSet" and template_hash and name.endswith(f"-{template_hash}"):
        return Owner("Deployment", name[: -len(template_hash) - 1])
    return Owner(kind, name)


def spec_of(pod: Pod, container: str) -> ContainerShape | None:
    """The container's part of the spec."""
    return pod.spec.shape.find(container)


def memory_limit(pod: Pod, container: str) -> str:
    """The memory limit as the spec writes it (`512Mi`); empty when there is none."""
    spec = spec_of(pod, container)
    return spec.memory_limit if spec else ""


def main_container(pod: Pod) -> str:
    """The container that the pod is there for: the one that kubectl takes by default, else the spec's first; empty for none."""
    named = pod.metadata.annotations.get(MAIN_ANNOTATION, "")
    containers = pod.spec.containers
    if named and any(container.name == named for container in containers):
        return named
    return containers[0].name if containers else ""


def is_sidecar(pod: Pod, container: str) -> bool:
    """Whether an init container goes on running beside the others (KEP-753)."""
    spec = spec_of(pod, container)
    return spec is not None and spec.restart_policy == SIDECAR


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    """The container's status; None before the kubelet has told any."""
    for status in pod.status.container_statuses:
        if status.name == container:
            return status
    for status in pod.status.init_container_statuses:
        if status.name == container:
            return status
    return None
