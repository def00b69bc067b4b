"""A pod as far as alerts need it: the shape into which the informer decodes, and plain questions about it.

Before: bytes of a list or watch. After: `crash` judges what changed. Only the fields below are ever kept; ten thousand pods must fit
into some 50 MiB, so structs are outside of the garbage collector's view (`gc=False`: they form no cycles) and words that repeat from pod
to pod (images, nodes, container names, owners) are stored once.
"""

from sys import intern
from typing import NamedTuple

import msgspec

MESSAGE_MAX_CHARACTERS = 1024
FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
BARE = "Pod"
"""The owner's kind of a pod that has none but itself."""
OWNER_KIND_MAX = 63
OWNER_NAME_MAX = 253


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


class OwnerReference(msgspec.Struct, rename="camel", gc=False):
    """Whose pod it is."""

    kind: str = ""
    name: str = ""
    controller: bool = False

    def __post_init__(self) -> None:
        # The API server checks neither; an incident holds no more than this of them.
        self.kind, self.name = intern(self.kind[:OWNER_KIND_MAX]), intern(self.name[:OWNER_NAME_MAX])


class PodLabels(msgspec.Struct, gc=False):
    """The one label that is read: a Deployment's controller puts it on the pods of each of its ReplicaSets."""

    pod_template_hash: str = msgspec.field(name="pod-template-hash", default="")

    def __post_init__(self) -> None:
        self.pod_template_hash = intern(self.pod_template_hash)


class Metadata(msgspec.Struct, rename="camel", gc=False):
    """The object's identity and its way out."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: PodLabels | None = None
    owner_references: tuple[OwnerReference, ...] = ()

    def __post_init__(self) -> None:
        self.namespace = intern(self.namespace)
        if self.labels is not None and not self.labels.pod_template_hash:
            self.labels = None


class Limits(msgspec.Struct, gc=False):
    """Resource limits; a quantity is text, or a bare number in hand-written objects."""

    memory: str | int = ""

    def __post_init__(self) -> None:
        self.memory = intern(str(self.memory))


class Resources(msgspec.Struct, gc=False):
    """What a container may use."""

    limits: Limits | None = None


class Container(msgspec.Struct, rename="camel", gc=False):
    """A container as the spec wants it. `restart_policy` Always on an init container makes it a sidecar (KEP-753)."""

    name: str = ""
    restart_policy: str | None = None
    resources: Resources | None = None

    def __post_init__(self) -> None:
        self.name = intern(self.name)
        if self.resources is not None and self.resources.limits is None:
            self.resources = None


class PodSpec(msgspec.Struct, rename="camel", gc=False):
    """Where it runs and what of."""

    node_name: str = ""
    restart_policy: str = "Always"
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()

    def __post_init__(self) -> None:
        self.node_name, self.restart_policy = intern(self.node_name), intern(self.restart_policy)


class PodStatus(msgspec.Struct, rename="camel", gc=False):
    """What the kubelet says. `reason` is set where the pod as a whole was ended (Evicted, NodeShutdown, …)."""

    phase: str = ""
    reason: str | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def __post_init__(self) -> None:
        self.phase = intern(self.phase)


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
    controller = next((owner for owner in pod.metadata.owner_references if owner.controller), None)
    if controller is None:
        return Owner(BARE, pod.metadata.name)
    labels = pod.metadata.labels
    suffix = f"-{labels.pod_template_hash}" if labels is not None else ""
    if controller.kind == "ReplicaSet" and suffix and controller.name.endswith(suffix):
        return Owner("Deployment", controller.name.removesuffix(suffix))
    return Owner(controller.kind, controller.name)


def spec_of(pod: Pod, container: str) -> Container | None:
    """The container's part of the spec."""
    for candidate in (*pod.spec.containers, *pod.spec.init_containers):
        if candidate.name == container:
            return candidate
    return None


def memory_limit(pod: Pod, container: str) -> str:
    """The memory limit as the spec writes it (`512Mi`); empty when there is none."""
    spec = spec_of(pod, container)
    limits = spec.resources.limits if spec and spec.resources else None
    return str(limits.memory) if limits else ""


def status_of(pod: Pod, container: str) -> ContainerStatus | None:
    """The container's status; None before the kubelet has told any."""
    for status in pod.status.container_statuses:
        if status.name == container:
            return status
    for status in pod.status.init_container_statuses:
        if status.name == container:
            return status
    return None
