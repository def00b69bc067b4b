"""What pods of one template have in common, kept once: the base of the structs into which pods and templates are decoded.

Before: the bytes of a pod or of a workload's template, within `pod` and `workload`. After: `drift` compares shapes. The parts of a spec that a
template decides are taken as raw bytes and looked up in `shaping`: pods of one template share one `Shape`, and `is` tells that two pods are alike.
"""

from collections.abc import Mapping
from sys import intern

import msgspec

from watchbell.collectors.seen.shapes import SIDECAR, Access, ConfigUse, ContainerShape, Pairs, Shape
from watchbell.collectors.seen.shaping import annotations_of, env_digest, labels_of, shape_of

__all__ = [
    "NOTHING",
    "SIDECAR",
    "Access",
    "ConfigUse",
    "ContainerShape",
    "Marks",
    "Pairs",
    "Shape",
    "ShapedSpec",
    "Template",
    "annotations_of",
    "env_digest",
    "labels_of",
]

NOTHING = msgspec.Raw(b"")
NO_SHAPE = Shape()


class ShapedSpec(msgspec.Struct, rename="camel", gc=False):
    """The base of a pod's spec: give it fields of your own and call `super().__post_init__()`. The raw fields are empty after decoding."""

    raw_containers: msgspec.Raw = msgspec.field(name="containers", default=NOTHING)
    raw_init: msgspec.Raw = msgspec.field(name="initContainers", default=NOTHING)
    raw_volumes: msgspec.Raw = msgspec.field(name="volumes", default=NOTHING)
    raw_security: msgspec.Raw = msgspec.field(name="securityContext", default=NOTHING)
    service_account_name: str = ""
    host_network: bool = False
    host_pid: bool = msgspec.field(name="hostPID", default=False)
    host_ipc: bool = msgspec.field(name="hostIPC", default=False)
    shape: Shape = msgspec.field(name="$shape", default=NO_SHAPE)

    def __post_init__(self) -> None:
        self.service_account_name = intern(self.service_account_name)
        if self.raw_containers is NOTHING and self.shape is not NO_SHAPE:
            return
        self.shape = shape_of(self)
        self.raw_containers = self.raw_init = self.raw_volumes = self.raw_security = NOTHING

    @property
    def containers(self) -> tuple[ContainerShape, ...]:
        """The containers proper."""
        return self.shape.containers

    @property
    def init_containers(self) -> tuple[ContainerShape, ...]:
        """The init containers, sidecars among them."""
        return self.shape.init_containers


class Marks(msgspec.Struct, rename="camel", gc=False):
    """A template's metadata: labels and annotations as shared mappings."""

    raw_labels: msgspec.Raw = msgspec.field(name="labels", default=NOTHING)
    raw_annotations: msgspec.Raw = msgspec.field(name="annotations", default=NOTHING)
    labels: Mapping[str, str] = msgspec.field(name="$labels", default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(name="$annotations", default_factory=dict)

    def __post_init__(self) -> None:
        if self.raw_labels is not NOTHING:
            self.labels, self.raw_labels = labels_of(self.raw_labels), NOTHING
        if self.raw_annotations is not NOTHING:
            self.annotations, self.raw_annotations = annotations_of(self.raw_annotations), NOTHING


class Template(msgspec.Struct, gc=False):
    """A workload's `spec.template`."""

    metadata: Marks = msgspec.field(default_factory=Marks)
    spec: ShapedSpec = msgspec.field(default_factory=ShapedSpec)
