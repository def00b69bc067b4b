"""Baselines (pure): what a healthy workload was captured as, its form in `status.baseline`, and the block for Git.

Before: `drift` has the subject of a policy in mode Captured; the command line has the same from the API. After: `drift` compares. Hashes are those of
`digests`, so that what `watchbell baseline capture` prints is what the operator computes. Of env no value is kept, only one hash of the list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchbell.api.enums import BaselineMode
from watchbell.api.times import moment, stamp
from watchbell.collectors.baselines.comparison import CONTROLLER_LABELS, Marked, is_foreign, joined, lean
from watchbell.collectors.baselines.content import Content, Unread
from watchbell.collectors.baselines.digests import env_hash, image_digest, text_hash
from watchbell.collectors.baselines.fleet import Alike, Motion, Subject, alike
from watchbell.collectors.baselines.quantities import canonical
from watchbell.collectors.rules import DriftRules, Pinned
from watchbell.collectors.seen.pod import Owner
from watchbell.collectors.seen.shape import ContainerShape, Pairs, Shape

WORKLOADS_MAX = 64
CONTAINERS_MAX = 16
CONFIG_MAPS_MAX = 16
DIGESTS_MAX = 8
ARGS_MAX = 1024


@dataclass(frozen=True, slots=True)
class CapturedContainer:
    """One container as it was. `args` is for people to read, redacted; the hash is what is compared."""

    name: str
    image: str = ""
    image_digests: tuple[str, ...] = ()
    command_hash: str = ""
    args_hash: str = ""
    args: str = ""
    env_hash: str = ""
    resources_hash: str = ""
    security_hash: str = ""


@dataclass(frozen=True, slots=True)
class CapturedWorkload:
    """One workload as it was. `config_maps` are (name, hash of the data)."""

    owner: Owner
    containers: tuple[CapturedContainer, ...]
    service_account: str = ""
    labels_hash: str = ""
    config_maps: tuple[tuple[str, str], ...] = ()

    def find(self, container: str) -> CapturedContainer | None:
        """The container of that name."""
        return next((found for found in self.containers if found.name == container), None)


@dataclass(frozen=True, slots=True)
class Baseline:
    """All that a policy captured under one revision."""

    revision: str
    captured: datetime
    workloads: tuple[CapturedWorkload, ...] = ()

    def find(self, owner: Owner) -> CapturedWorkload | None:
        """The workload of that owner."""
        return next((found for found in self.workloads if found.owner == owner), None)


class NotYet(StrEnum):
    """Why nothing is captured now."""

    NO_PODS = "there is no pod"
    MOVING = "a roll-out is under way"
    NOT_READY = "not all pods are ready"
    DIFFERENT = "the pods are not alike"
    CONFIG_UNREAD = "a ConfigMap was not read yet"
    FULL = "the baseline holds 64 workloads already"


# --- capturing


def capture(subject: Subject, rules: DriftRules) -> CapturedWorkload | NotYet:
    """The workload as it is, if it is healthy: no roll-out, every pod ready, all pods alike, every ConfigMap read."""
    groups = alike(subject.pods)
    if not groups:
        return NotYet.NO_PODS
    if subject.desired is not None and subject.desired.motion is not Motion.SETTLED:
        return NotYet.MOVING
    if not all(pod.status.is_ready for group in groups for pod in group.pods):
        return NotYet.NOT_READY
    template = subject.desired.marked if subject.desired is not None else None
    shapes = {lean(group.marked, template) for group in groups}
    if len(shapes) > 1:
        return NotYet.DIFFERENT
    shape = shapes.pop()
    names = config_names(shape, rules, template.shape if template is not None else None)
    if any(subject.configs.get(name, Unread.NOT_YET) is Unread.NOT_YET for name in names):
        return NotYet.CONFIG_UNREAD
    hashes = ((name, subject.configs[name]) for name in names[:CONFIG_MAPS_MAX])
    return CapturedWorkload(
        owner=subject.owner,
        containers=tuple(
            replace(described(container, shape, rules), image_digests=_digests(groups, container.name))
            for container in taken(shape, rules)
        ),
        service_account=shape.service_account,
        labels_hash=labels_hash(groups[0].marked, template, rules),
        config_maps=tuple((name, state.data_hash) for name, state in hashes if isinstance(state, Content)),
    )


def taken(shape: Shape, rules: DriftRules) -> tuple[ContainerShape, ...]:
    """The containers that the policy looks at, as many as a baseline holds."""
    found = (container for container in (*shape.containers, *shape.init_containers) if rules.takes(container.name))
    return tuple(found)[:CONTAINERS_MAX]


def config_names(shape: Shape, rules: DriftRules, template: Shape | None) -> tuple[str, ...]:
    """The ConfigMaps that the policy's containers read, each once; not those of containers that a webhook added to `template`'s."""
    names = {
        use.name: None
        for use in shape.uses
        if use.kind == "ConfigMap" and rules.takes(use.container) and not is_foreign(use.container, template)
    }
    return tuple(sorted(names))


def described(container: ContainerShape, shape: Shape, rules: DriftRules) -> CapturedContainer:
    """A container of a lean shape as a baseline has it, but for its digests, which only statuses tell."""
    return CapturedContainer(
        name=container.name,
        image=container.image,
        command_hash=text_hash(container.command),
        args_hash=text_hash(container.args),
        args=joined(container.args)[:ARGS_MAX],
        env_hash=container_env_hash(container, rules),
        resources_hash=resources_hash(container.resources),
        security_hash=security_hash(container, shape),
    )


def _digests(groups: Sequence[Alike], name: str) -> tuple[str, ...]:
    found = {
        image_digest(status.image_id)
        for group in groups
        for pod in group.pods
        for status in (*pod.status.container_statuses, *pod.status.init_container_statuses)
        if status.name == name
    }
    return tuple(sorted(found - {""}))[:DIGESTS_MAX]


def container_env_hash(container: ContainerShape, rules: DriftRules) -> str:
    """Of a container's env without the names that the policy ignores, and of where it takes whole sets from."""
    pairs = [pair for pair in container.env if pair[0] not in rules.ignored_env]
    return env_hash([*pairs, *((f"envFrom {source}", "") for source in container.env_from)])


def resources_hash(resources: Pairs) -> str:
    """Of amounts, however they are spelled."""
    return text_hash([(name, canonical(text)) for name, text in resources])


def security_hash(container: ContainerShape, shape: Shape) -> str:
    """Of the container's securityContext and the pod's."""
    return text_hash([container.security, shape.security])


def labels_hash(have: Marked, template: Marked | None, rules: DriftRules) -> str:
    """Of the labels that count: `labelKeys`, else the template's, else all that no controller writes."""
    if rules.label_keys:
        keys = rules.label_keys
    elif template is not None:
        keys = frozenset(template.labels)
    else:
        keys = frozenset(have.labels) - CONTROLLER_LABELS
    return text_hash({key: have.labels[key] for key in sorted(keys & have.labels.keys())})


def with_workload(baseline: Baseline, found: CapturedWorkload) -> Baseline | NotYet:
    """The baseline with one workload more, or in place of its former self."""
    others = tuple(known for known in baseline.workloads if known.owner != found.owner)
    if len(others) >= WORKLOADS_MAX:
        return NotYet.FULL
    workloads = tuple(sorted((*others, found), key=lambda workload: workload.owner))
    return Baseline(baseline.revision, baseline.captured, workloads)


# --- as status shows it


def baseline_json(baseline: Baseline) -> dict[str, Any]:
    """`status.baseline` of a policy in mode Captured."""
    workloads = [_workload_json(workload) for workload in baseline.workloads]
    return {
        "mode": str(BaselineMode.CAPTURED),
        **({"revision": baseline.revision} if baseline.revision else {}),
        "captureTime": stamp(baseline.captured),
        "hash": text_hash(workloads),
        "workloads": workloads,
    }


def _workload_json(workload: CapturedWorkload) -> dict[str, Any]:
    return _filled(
        {
            "kind": workload.owner.kind,
            "name": workload.owner.name,
            "containers": [_container_json(container) for container in workload.containers],
            "serviceAccount": workload.service_account,
            "labelsHash": workload.labels_hash,
            "configMaps": [{"name": name, "dataHash": digest} for name, digest in workload.config_maps],
        }
    )


def _container_json(container: CapturedContainer) -> dict[str, Any]:
    return _filled(
        {
            "name": container.name,
            "image": container.image,
            "imageDigests": list(container.image_digests),
            "commandHash": container.command_hash,
            "argsHash": container.args_hash,
            "args": container.args,
            "envHash": container.env_hash,
            "resourcesHash": container.resources_hash,
            "securityContextHash": container.security_hash,
        }
    )


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value}


def read_baseline(body: Mapping[str, Any] | None) -> Baseline | None:
    """What `baseline_json` wrote; None for another mode, for nothing, and for what a hand made unreadable (then it is captured anew)."""
    if not body or body.get("mode") != BaselineMode.CAPTURED:
        return None
    captured = moment(body.get("captureTime"))
    workloads = body.get("workloads") or []
    if captured is None or body.get("hash") != text_hash(workloads):
        return None
    return Baseline(str(body.get("revision", "")), captured, tuple(_read_workload(workload) for workload in workloads))


def _read_workload(body: Mapping[str, Any]) -> CapturedWorkload:
    return CapturedWorkload(
        owner=Owner(body["kind"], body["name"]),
        containers=tuple(_read_container(container) for container in body.get("containers") or ()),
        service_account=body.get("serviceAccount", ""),
        labels_hash=body.get("labelsHash", ""),
        config_maps=tuple((item["name"], item["dataHash"]) for item in body.get("configMaps") or ()),
    )


def _read_container(body: Mapping[str, Any]) -> CapturedContainer:
    return CapturedContainer(
        name=body["name"],
        image=body.get("image", ""),
        image_digests=tuple(body.get("imageDigests") or ()),
        command_hash=body.get("commandHash", ""),
        args_hash=body.get("argsHash", ""),
        args=body.get("args", ""),
        env_hash=body.get("envHash", ""),
        resources_hash=body.get("resourcesHash", ""),
        security_hash=body.get("securityContextHash", ""),
    )


# --- as Git keeps it


def pinned_block(workloads: Iterable[CapturedWorkload]) -> dict[str, Any]:
    """`spec.baseline.pinned` for these workloads; containers of one name in several of them become one entry that allows each."""
    containers: dict[str, dict[str, Any]] = {}
    config_maps: dict[str, str] = {}
    for workload in workloads:
        config_maps |= dict(workload.config_maps)
        for container in workload.containers:
            _pin(containers.setdefault(container.name, {"name": container.name}), container)
    return _filled(
        {
            "containers": [containers[name] for name in sorted(containers)],
            "configMaps": [{"name": name, "dataHash": config_maps[name]} for name in sorted(config_maps)],
        }
    )


def _pin(entry: dict[str, Any], container: CapturedContainer) -> None:
    is_first = len(entry) == 1
    for key, values in (("images", (container.image,)), ("imageDigests", container.image_digests)):
        known = sorted({*entry.get(key, ()), *filter(None, values)})
        if known:
            entry[key] = known
    for key, value in (("argsHash", container.args_hash), ("envHash", container.env_hash)):
        if is_first:
            entry[key] = value
        elif entry.get(key) != value:
            entry.pop(key, None)


def pinned_hash(pinned: Pinned) -> str:
    """One hash of a pinned baseline, for `status.baseline.hash`."""
    containers = [(one.name, one.images, one.image_digests, one.args_hash, one.env_hash) for one in pinned.containers]
    limits = (pinned.replicas.least, pinned.replicas.most) if pinned.replicas else ()
    return text_hash([containers, pinned.config_maps, limits])
