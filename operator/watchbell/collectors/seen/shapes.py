"""What a template decides of a pod, as values (pure): containers, security, and which ConfigMaps and Secrets are read how.

Before: `shaping` builds them from the bytes of a spec. After: `drift` compares them, `baseline` captures them.
"""

from enum import StrEnum

import msgspec

SIDECAR = "Always"
"""The restart policy that makes an init container a sidecar (KEP-753)."""
Pairs = tuple[tuple[str, str], ...]
"""Sorted (name, text) pairs."""


class Access(StrEnum):
    """How a container comes by a ConfigMap or Secret, which decides whether it ever sees a change."""

    MOUNT = "Mount"
    SUB_PATH = "SubPath"
    ENV = "Env"
    ENV_FROM = "EnvFrom"


class ConfigUse(msgspec.Struct, frozen=True, gc=False):
    """One container reads one object. `kind` is ConfigMap or Secret; `where` the mount path or the variable's name (the prefix for EnvFrom).

    `key` is the one entry of it that is read, empty for all (or not known).
    """

    kind: str
    name: str
    container: str
    access: Access
    where: str = ""
    key: str = ""


class ContainerShape(msgspec.Struct, frozen=True, gc=False):
    """One container as the spec wants it.

    `env` pairs are (name, digest of the value or of where it comes from), `resources` are (`limits.memory`, text as written), `security` is the
    securityContext flattened (`capabilities.drop`, `["ALL"]`). `is_probed`: a liveness or startup probe may kill it.
    """

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Pairs = ()
    env_from: tuple[str, ...] = ()
    resources: Pairs = ()
    security: Pairs = ()
    restart_policy: str = ""
    is_probed: bool = False

    @property
    def memory_limit(self) -> str:
        """As the spec writes it (`512Mi`); empty when there is none."""
        return next((text for name, text in self.resources if name == "limits.memory"), "")


class Shape(msgspec.Struct, frozen=True, gc=False):
    """What a template decides of a pod's spec. `security` is the pod's own securityContext with the host's namespaces."""

    containers: tuple[ContainerShape, ...] = ()
    init_containers: tuple[ContainerShape, ...] = ()
    service_account: str = ""
    security: Pairs = ()
    uses: tuple[ConfigUse, ...] = ()

    def find(self, container: str) -> ContainerShape | None:
        """The container of that name, init containers too."""
        for candidate in (*self.containers, *self.init_containers):
            if candidate.name == container:
                return candidate
        return None
