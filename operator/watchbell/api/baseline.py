"""What is right: the baseline of a CollectorPolicy, what is compared with it, and the captured one as status shows it."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from watchbell.api import fields as f
from watchbell.api.enums import BaselineMode, DriftCheck
from watchbell.api.markers import InCode, ListMap, ListSet, Matches, Rule
from watchbell.api.meta import Block

ImageDigest = Annotated[
    str,
    StringConstraints(min_length=1, max_length=71),
    Matches(r"sha256:[0-9a-f]{64}", "imageDigests must hold digests such as sha256:... with 64 hexadecimal digits"),
]
Image = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Matches(r"[!-~]+", "images must hold references such as docker.io/otel/opentelemetry-collector:0.110.0"),
]
_HASH = r"(?:[a-z][a-z0-9-]{0,31}:)?[0-9a-f]{8,128}"


def _hash(field: str) -> Matches:
    return Matches(_HASH, f"{field} must be a hash as `watchbell baseline capture` prints it")


ArgsHash = Annotated[str, StringConstraints(min_length=1, max_length=161), _hash("argsHash")]
EnvHash = Annotated[str, StringConstraints(min_length=1, max_length=161), _hash("envHash")]
DataHash = Annotated[str, StringConstraints(min_length=1, max_length=161), _hash("dataHash")]
SeenHash = Annotated[str, StringConstraints(max_length=161)]
Replicas = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


class ReplicaRange(Block):
    """Between how many and how many pods."""

    RULES = (
        Rule("has(self.min) || has(self.max)", "min or max must be set", ".min", lambda bounds: not bounds.is_empty),
        Rule(
            "!has(self.min) || !has(self.max) || self.min <= self.max",
            "min may not be greater than max",
            ".min",
            lambda bounds: bounds.min is None or bounds.max is None or bounds.min <= bounds.max,
        ),
    )

    min: Replicas | None = Field(None, description="At least so many.")
    max: Replicas | None = Field(None, description="At most so many.")

    @property
    def is_empty(self) -> bool:
        """Whether it bounds nothing."""
        return self.min is None and self.max is None


class PinnedContainer(Block):
    """What one container must be; what is not set is not compared."""

    name: f.ContainerName = Field(description="The container.")
    images: Annotated[tuple[Image, ...], Field(max_length=8), ListSet()] = Field(
        (), description="The images that it may run, as the pod names them."
    )
    image_digests: Annotated[tuple[ImageDigest, ...], Field(max_length=16), ListSet()] = Field(
        (), description="The digests that its image may have; the index's and each platform's count alike."
    )
    args_hash: ArgsHash | None = Field(None, description="The hash of its command and arguments.")
    env_hash: EnvHash | None = Field(
        None, description="The keyed hash of its environment. No value can be read from it."
    )


class PinnedConfigMap(Block):
    """What one ConfigMap must hold."""

    name: f.Name = Field(description="The ConfigMap.")
    data_hash: DataHash = Field(description="The hash of its data.")


class Pinned(Block):
    """A baseline that is kept in Git; `watchbell baseline capture` prints one."""

    RULES = (
        Rule(
            "(has(self.containers) && size(self.containers) > 0) || (has(self.configMaps) && size(self.configMaps) > 0) || has(self.replicas)",
            "pinned must name containers, configMaps or replicas",
            "",
            lambda pinned: bool(pinned.containers or pinned.config_maps or pinned.replicas),
        ),
    )

    containers: Annotated[tuple[PinnedContainer, ...], Field(max_length=16), ListMap("name")] = Field(
        (), description="What containers must be."
    )
    config_maps: Annotated[tuple[PinnedConfigMap, ...], Field(max_length=16), ListMap("name")] = Field(
        (), description="What ConfigMaps must hold."
    )
    replicas: ReplicaRange | None = Field(None, description="How many pods a workload must have.")


class Baseline(Block):
    """What pods are compared with."""

    RULES = (
        Rule(
            "(self.mode == 'Pinned') == has(self.pinned)",
            "pinned must be set with mode Pinned, and may not be set otherwise",
            ".pinned",
            lambda baseline: (baseline.mode is BaselineMode.PINNED) is (baseline.pinned is not None),
        ),
    )

    mode: BaselineMode = Field(
        BaselineMode.OWNER_TEMPLATE,
        description="OwnerTemplate: a pod is compared with the template of its workload, so that a roll-out is no drift. Captured: with the first "
        "healthy state that was seen. Pinned: with what stands in `pinned`.",
    )
    capture_revision: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="For Captured: another value captures anew, and so accepts what is there."
    )
    pinned: Pinned | None = Field(None, description="For Pinned: what must be.")


class Drift(Block):
    """What is compared with the baseline."""

    checks: Annotated[tuple[DriftCheck, ...], Field(max_length=16), ListSet(), InCode("all of them")] = Field(
        tuple(DriftCheck), description="What is compared. An empty list turns it off."
    )
    label_keys: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=316)], ...], Field(max_length=32), ListSet()
    ] = Field(
        (),
        description="Labels compares only these labels. Unset: those of the template. With mode Captured a change needs another `captureRevision`.",
    )
    ignored_env_names: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...], Field(max_length=64), ListSet()
    ] = Field(
        (),
        description="Env never looks at these variables. With mode Captured a change needs another `captureRevision`.",
    )
    config_hash_annotations: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=316)], ...],
        Field(max_length=8),
        ListSet(),
        InCode("checksum/config"),
    ] = Field(
        ("checksum/config",),
        description="ConfigHashAnnotation compares these annotations of a pod with its workload's template.",
    )
    replicas: ReplicaRange | None = Field(
        None,
        description="Replicas compares only with a range that is set, here or in `baseline.pinned.replicas`: an autoscaler is no drift.",
    )
    pending_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = Field(
        60, description="A difference must stand so long before it counts."
    )


class CapturedContainer(Block):
    """What a container was."""

    name: f.Word = Field(description="The container.")
    image: Annotated[str, Field(max_length=512)] | None = Field(None, description="Its image, as the pod named it.")
    image_digests: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=161)], ...], Field(max_length=8), ListSet()
    ] = Field((), description="The digests that it ran.")
    command_hash: SeenHash | None = Field(None, description="The hash of its command.")
    args_hash: SeenHash | None = Field(None, description="The hash of its arguments.")
    args: f.Paragraph | None = Field(None, description="Its arguments, for people; cut and redacted.")
    env_hash: SeenHash | None = Field(None, description="The keyed hash of its environment.")
    resources_hash: SeenHash | None = Field(None, description="The hash of its requests and limits.")
    security_context_hash: SeenHash | None = Field(None, description="The hash of its security context.")


class CapturedConfigMap(Block):
    """What a ConfigMap held."""

    name: f.Word = Field(description="The ConfigMap.")
    data_hash: SeenHash = Field(description="The hash of its data.")


class CapturedWorkload(Block):
    """What the pods of a workload were."""

    kind: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="The workload's kind.")
    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="The workload's name.")
    containers: Annotated[tuple[CapturedContainer, ...], Field(max_length=16), ListMap("name")] = Field(
        (), description="Its containers."
    )
    service_account: f.Word | None = Field(None, description="Its service account.")
    labels_hash: SeenHash | None = Field(None, description="The hash of the labels that are compared.")
    config_maps: Annotated[tuple[CapturedConfigMap, ...], Field(max_length=16), ListMap("name")] = Field(
        (), description="The ConfigMaps that it reads."
    )


class BaselineStatus(Block):
    """The baseline that is in force."""

    mode: BaselineMode | None = Field(None, description="Its mode.")
    revision: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="The `captureRevision` that it was captured for."
    )
    capture_time: AwareDatetime | None = Field(None, description="When it was captured.")
    hash: SeenHash | None = Field(None, description="The hash of all of it.")
    workloads: Annotated[tuple[CapturedWorkload, ...], Field(max_length=64), ListMap("kind", "name")] = Field(
        (), description="What was captured, by workload."
    )
