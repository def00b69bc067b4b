"""Specs, labels and annotations as values, each equal one kept once (pure but for its caches).

Before: the raw bytes of a spec's parts, from `shape`. After: `shapes`. What they decode to is looked up by a digest of the bytes, so ten thousand
pods of a few templates cost a digest each. What differs from pod to pod stays out: the name of the volume with the service account's token, the
claims of a StatefulSet. No value of an env variable is kept, only a digest of it.
"""

import hmac
from collections.abc import Callable, Hashable, Iterable, Mapping
from hashlib import blake2b, sha256
from sys import intern
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from watchbell.collectors.seen.injection import without_appended
from watchbell.collectors.seen.shapes import Access, ConfigUse, ContainerShape, Pairs, Shape

CACHE_MAX = 1024
"""Shapes that are looked up; a pod of a forgotten one is decoded again, and works as well."""
TEXT_MAX = 4096
"""Of one argument or annotation; what is longer ends in its digest, so equal stays equal and different different."""
ANNOTATION_MAX = 128
ANNOTATIONS_MAX = 256

_ENV_KEY = b"watchbell/env/v1"
_TOKEN_VOLUME = b"kube-api-access-"
_TOKEN_VOLUME_LENGTH = len(_TOKEN_VOLUME) + 5
_ROOT_CONFIG_MAPS = frozenset({"kube-root-ca.crt", "openshift-service-ca.crt"})
_OWN_LABELS = frozenset(
    {
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
    }
)
_OWN_ANNOTATIONS = (
    "cni.",
    "k8s.v1.cni.cncf.io/",
    "k8s.ovn.org/",
    "ovn.kubernetes.io/",
    "v1.multus-cni.io/",
    "vpc.amazonaws.com/",
    "kubernetes.io/config.",
    "batch.kubernetes.io/job-completion-index",
)
"""Beginnings of annotations that differ from pod to pod: addresses, and what the kubelet notes of static pods."""


class RawSpec(Protocol):
    """The parts of a pod's spec that a template decides, before they are decoded."""

    raw_containers: msgspec.Raw
    raw_init: msgspec.Raw
    raw_volumes: msgspec.Raw
    raw_security: msgspec.Raw
    service_account_name: str
    host_network: bool
    host_pid: bool
    host_ipc: bool


# --- each value once

V = TypeVar("V")


class _Cache(Generic[V]):
    """Values by the digest of the bytes they came from, equal ones being one object; the oldest is forgotten first."""

    def __init__(self, build: Callable[[bytes], V], identity: Callable[[V], Hashable], limit: int = CACHE_MAX) -> None:
        self._build, self._identity, self._limit = build, identity, limit
        self._by_bytes: dict[bytes, V] = {}
        self._values: dict[Hashable, V] = {}

    def get(self, data: bytes) -> V:
        key = blake2b(data, digest_size=16).digest()
        found = self._by_bytes.get(key)
        if found is None:
            built = self._build(data)
            found = self._values.setdefault(self._identity(built), built)
            self._by_bytes[key] = found
            _forget_oldest(self._by_bytes, self._limit)
            _forget_oldest(self._values, self._limit)
        return found


def _forget_oldest(known: dict[Any, Any], limit: int) -> None:
    if len(known) > limit:
        del known[next(iter(known))]


# --- how the API writes it


class _EnvVar(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    value: str = ""
    value_from: dict[str, dict[str, Any]] | None = None


class _Named(msgspec.Struct, gc=False):
    name: str = ""


class _EnvFrom(msgspec.Struct, rename="camel", gc=False):
    prefix: str = ""
    config_map_ref: _Named | None = None
    secret_ref: _Named | None = None


class _Mount(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    mount_path: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""


class _Resources(msgspec.Struct, gc=False):
    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}


class _Probe(msgspec.Struct, gc=False):
    """That there is one is all that counts."""


class _Container(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[_EnvVar, ...] = ()
    env_from: tuple[_EnvFrom, ...] = ()
    volume_mounts: tuple[_Mount, ...] = ()
    resources: _Resources = msgspec.field(default_factory=_Resources)
    security_context: dict[str, Any] = {}
    restart_policy: str = ""
    liveness_probe: _Probe | None = None
    startup_probe: _Probe | None = None


class _Containers(msgspec.Struct, gc=False):
    containers: tuple[_Container, ...] | None = None
    init: tuple[_Container, ...] | None = None
    security: dict[str, Any] | None = None


class _Item(msgspec.Struct, rename="camel", gc=False):
    config_map: _Named | None = None
    secret: _Named | None = None


class _Projected(msgspec.Struct, gc=False):
    sources: tuple[_Item, ...] | None = None


class _SecretVolume(msgspec.Struct, rename="camel", gc=False):
    secret_name: str = ""


class _Volume(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    config_map: _Named | None = None
    secret: _SecretVolume | None = None
    projected: _Projected | None = None


class _Parts:
    """Containers without volumes. Compared by identity: the cache gives one for all that are equal."""

    __slots__ = ("mounts", "shape")

    def __init__(self, shape: Shape, mounts: tuple[tuple[str, _Mount], ...]) -> None:
        self.shape, self.mounts = shape, mounts


_Volumes = tuple[tuple[str, str, str], ...]
"""(volume, kind, object)."""
_CONTAINERS = msgspec.json.Decoder(_Containers)
_VOLUMES = msgspec.json.Decoder(tuple[_Volume, ...] | None)
_STRINGS = msgspec.json.Decoder(dict[str, str] | None)


def env_digest(name: str, text: str) -> str:
    """The digest of one literal value, the same in every process. Guessable values can be guessed from it: keep it in memory."""
    return hmac.digest(_ENV_KEY, f"{name}={without_appended(name, text)}".encode(), "sha256")[:16].hex()


def _reference_digest(name: str, source: Mapping[str, Mapping[str, Any]]) -> str:
    # The API server writes apiVersion into a pod's fieldRef that a template may leave out; a missing `optional` is false.
    lean = {
        kind: {key: value for key, value in reference.items() if (key, value) not in _UNSAID}
        for kind, reference in source.items()
    }
    text = msgspec.json.encode(lean, order="deterministic")
    return hmac.digest(_ENV_KEY, name.encode() + b"<" + text, "sha256")[:16].hex()


_UNSAID = (("apiVersion", "v1"), ("optional", False), ("divisor", "0"))


def _env(variables: Iterable[_EnvVar]) -> Pairs:
    """Sorted by name; of several with one name the last counts, as for the kubelet."""
    digests = {
        variable.name: _reference_digest(variable.name, variable.value_from)
        if variable.value_from
        else env_digest(variable.name, variable.value)
        for variable in variables
    }
    return tuple((intern(name), digests[name]) for name in sorted(digests))


def _bounded(text: str, limit: int = TEXT_MAX) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…sha256:{sha256(text.encode()).hexdigest()}"


def flattened(value: Mapping[str, Any], prefix: str = "") -> Pairs:
    """A tree's leaves as (dotted path, text); lists are one leaf, sorted where they hold plain text, since the API's are sets."""
    leaves: list[tuple[str, str]] = []
    for key in sorted(value):
        item, path = value[key], f"{prefix}{key}"
        match item:
            case dict():
                leaves += flattened(item, f"{path}.")
            case list() if all(isinstance(part, str) for part in item):
                leaves.append((path, msgspec.json.encode(sorted(item)).decode()))
            case str():
                leaves.append((path, item))
            case None:
                continue
            case _:
                leaves.append((path, msgspec.json.encode(item, order="deterministic").decode()))
    return tuple(leaves)


def _container(raw: _Container) -> ContainerShape:
    resources = {f"limits.{name}": str(text) for name, text in raw.resources.limits.items()}
    resources |= {f"requests.{name}": str(text) for name, text in raw.resources.requests.items()}
    return ContainerShape(
        name=intern(raw.name),
        image=intern(raw.image),
        command=tuple(map(_bounded, raw.command)),
        args=tuple(map(_bounded, raw.args)),
        env=_env(raw.env),
        env_from=tuple(f"{kind}/{name} {prefix}".rstrip() for kind, name, prefix in _env_sources(raw)),
        resources=tuple(sorted(resources.items())),
        security=flattened(raw.security_context),
        restart_policy=intern(raw.restart_policy),
        is_probed=raw.liveness_probe is not None or raw.startup_probe is not None,
    )


def _env_sources(raw: _Container) -> Iterable[tuple[str, str, str]]:
    for source in raw.env_from:
        if source.config_map_ref is not None:
            yield "ConfigMap", source.config_map_ref.name, source.prefix
        if source.secret_ref is not None:
            yield "Secret", source.secret_ref.name, source.prefix


def _env_uses(raw: _Container) -> Iterable[ConfigUse]:
    for kind, name, prefix in _env_sources(raw):
        yield ConfigUse(kind, name, raw.name, Access.ENV_FROM, prefix)
    for variable in raw.env:
        source = variable.value_from or {}
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if key in source:
                reference = source[key]
                target, entry = str(reference.get("name", "")), str(reference.get("key", ""))
                yield ConfigUse(kind, target, raw.name, Access.ENV, variable.name, entry)


def _build_containers(data: bytes) -> _Parts:
    raw = _CONTAINERS.decode(data)
    containers, init = raw.containers or (), raw.init or ()
    everything = (*containers, *init)
    shape = Shape(
        containers=tuple(map(_container, containers)),
        init_containers=tuple(map(_container, init)),
        security=flattened(raw.security or {}),
        uses=tuple(use for container in everything for use in _env_uses(container)),
    )
    mounts = tuple((container.name, mount) for container in everything for mount in container.volume_mounts)
    return _Parts(shape, mounts)


def _parts_identity(parts: _Parts) -> Hashable:
    mounts = tuple((container, *msgspec.structs.astuple(mount)) for container, mount in parts.mounts)
    return parts.shape, mounts


def _build_volumes(data: bytes) -> _Volumes:
    found: list[tuple[str, str, str]] = []
    for volume in _VOLUMES.decode(data) or ():
        if volume.config_map is not None:
            found.append((volume.name, "ConfigMap", volume.config_map.name))
        if volume.secret is not None:
            found.append((volume.name, "Secret", volume.secret.secret_name))
        for item in (volume.projected.sources or ()) if volume.projected is not None else ():
            if item.config_map is not None:
                found.append((volume.name, "ConfigMap", item.config_map.name))
            if item.secret is not None:
                found.append((volume.name, "Secret", item.secret.name))
    return tuple(item for item in found if item[2] not in _ROOT_CONFIG_MAPS)


def _identity(value: Hashable) -> Hashable:
    return value


_PARTS = _Cache(_build_containers, _parts_identity)
_VOLUME_SOURCES: _Cache[_Volumes] = _Cache(_build_volumes, _identity)
_SHAPES: dict[tuple[_Parts, _Volumes, str, str], Shape] = {}


def shape_of(spec: RawSpec) -> Shape:
    """The one shape for all specs that differ only in what is a pod's own."""
    volumes = bytes(spec.raw_volumes)
    data = b'{"containers":%b,"init":%b,"security":%b}' % (
        bytes(spec.raw_containers) or b"null",
        bytes(spec.raw_init) or b"null",
        bytes(spec.raw_security) or b"null",
    )
    at = volumes.find(_TOKEN_VOLUME)
    if at >= 0:
        token_volume = volumes[at : at + _TOKEN_VOLUME_LENGTH]
        data, volumes = data.replace(token_volume, _TOKEN_VOLUME), volumes.replace(token_volume, _TOKEN_VOLUME)
    key = (
        _PARTS.get(data),
        _VOLUME_SOURCES.get(volumes) if volumes else (),
        spec.service_account_name,
        _host(spec),
    )
    found = _SHAPES.get(key)
    if found is None:
        found = _SHAPES[key] = _composed(*key)
        _forget_oldest(_SHAPES, CACHE_MAX)
    return found


def _host(spec: RawSpec) -> str:
    """The host's namespaces that the pod shares."""
    flags = (("hostIPC", spec.host_ipc), ("hostNetwork", spec.host_network), ("hostPID", spec.host_pid))
    return " ".join(name for name, is_on in flags if is_on)


def _composed(parts: _Parts, volumes: _Volumes, service_account: str, host: str) -> Shape:
    uses = tuple(
        ConfigUse(
            kind,
            name,
            container,
            Access.SUB_PATH if mount.sub_path or mount.sub_path_expr else Access.MOUNT,
            mount.mount_path,
            mount.sub_path,
        )
        for container, mount in parts.mounts
        for volume, kind, name in volumes
        if volume == mount.name
    )
    shared = tuple((name, "true") for name in host.split())
    return msgspec.structs.replace(
        parts.shape,
        service_account=service_account,
        security=tuple(sorted((*parts.shape.security, *shared))),
        uses=(*parts.shape.uses, *uses),
    )


# --- labels and annotations


def _build_labels(data: bytes) -> Mapping[str, str]:
    labels = _STRINGS.decode(data) or {}
    return {intern(key): intern(text) for key, text in labels.items() if key not in _OWN_LABELS}


def _build_annotations(data: bytes) -> Mapping[str, str]:
    annotations = _STRINGS.decode(data) or {}
    kept = [key for key in annotations if not key.startswith(_OWN_ANNOTATIONS)]
    return {intern(key): _bounded(annotations[key], ANNOTATION_MAX) for key in kept[:ANNOTATIONS_MAX]}


def _items(mapping: Mapping[str, str]) -> Hashable:
    return frozenset(mapping.items())


_LABELS = _Cache(_build_labels, _items)
_ANNOTATIONS = _Cache(_build_annotations, _items)


def labels_of(raw: msgspec.Raw) -> Mapping[str, str]:
    """A pod's labels without those that name the one pod; equal ones are one object. Not to be changed."""
    return _LABELS.get(bytes(raw))


def annotations_of(raw: msgspec.Raw) -> Mapping[str, str]:
    """A pod's annotations, long ones cut to a digest, without those that differ from pod to pod by nature. Not to be changed."""
    return _ANNOTATIONS.get(bytes(raw))
