"""What only the pods of a workload together tell (pure): version skew, replicas, nodes without a collector, configuration that nobody read again.

Before: `drifts` gathers a `Subject`. After: `drift` adds what each pod's shape tells and decides. Knows no owner's API object, only `Desired`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from watchbell.api.enums import DriftCheck
from watchbell.api.times import moment, stamp
from watchbell.collectors.baselines.comparison import Marked, is_foreign, path_of
from watchbell.collectors.baselines.content import ConfigState, Content, Unread
from watchbell.collectors.baselines.digests import image_digest
from watchbell.collectors.findings import Difference
from watchbell.collectors.rules import DriftRules, Range
from watchbell.collectors.seen.pod import ContainerStatus, Owner, Pod, status_of
from watchbell.collectors.seen.shape import SIDECAR, Access, ConfigUse, Shape, env_digest

KUBELET_SYNC_S = 120.0
"""So long the kubelet may take to bring a changed ConfigMap into a volume (its sync period and its cache's, a minute each)."""
STARTING_S = 180.0
"""So long a new pod on a new node may take to become ready before its node counts as uncovered."""
NODES_SHOWN = 5
DIGESTS_SHOWN = 3
_RELOADING_ARGS = ("--watch-config", "-Y", "--enable-hot-reload", "--config.reload", "--web.enable-config-reload")
_RELOADING_ENV = frozenset({("VECTOR_WATCH_CONFIG", env_digest("VECTOR_WATCH_CONFIG", "true"))})
_RELOADER_WORDS = ("config-reloader", "configmap-reload", "config-reload", "configreloader", "config-watcher")


class Motion(StrEnum):
    """Whether the workload's revision is on its way."""

    SETTLED = "Settled"
    MOVING = "Moving"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True)
class Desired:
    """A workload as drift needs it. `replicas` None = it has none (a DaemonSet); `nodes_wanted` only of a DaemonSet."""

    marked: Marked
    motion: Motion = Motion.SETTLED
    replicas: int | None = None
    nodes_wanted: int | None = None
    nodes_ready: int = 0


@dataclass(frozen=True, slots=True)
class Alike:
    """Pods that one template made: they share one shape, labels and annotations."""

    marked: Marked
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """One owner under one policy. `architectures` by node name, as far as known; `configs` by the ConfigMap's name.

    `images` are what a custom resource above the owner asks for, by container (an OpenTelemetryCollector's `spec.image`).
    """

    owner: Owner
    pods: tuple[Pod, ...]
    desired: Desired | None
    configs: Mapping[str, ConfigState] = field(default_factory=dict)
    architectures: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A difference and the pods that have it; none where it is about the workload."""

    difference: Difference
    pods: tuple[str, ...] = ()


def alike(pods: Sequence[Pod]) -> tuple[Alike, ...]:
    """The pods in groups that need to be compared once. Finished ones and those on their way out are left out."""
    groups: dict[tuple[int, int, int], list[Pod]] = {}
    for pod in pods:
        if not pod.is_finished and not pod.is_being_deleted:
            meta = pod.metadata
            groups.setdefault((id(pod.spec.shape), id(meta.labels), id(meta.annotations)), []).append(pod)
    return tuple(Alike(marked(group[0]), tuple(group)) for group in groups.values())


def marked(pod: Pod) -> Marked:
    """What is compared of a pod."""
    return Marked(pod.spec.shape, pod.metadata.labels, pod.metadata.annotations)


# --- digests


def skew(groups: Sequence[Alike], subject: Subject, rules: DriftRules, settled: frozenset[str]) -> Iterator[Found]:
    """Ready pods that run one image reference from different digests: a tag was moved, and some nodes have the old one.

    The most common digest is taken for the right one. `settled` containers have a baseline of digests and are left out; an image that is named by
    digest cannot skew; on nodes of another architecture another digest is right.
    """
    for (name, image, _), digests in _digests(groups, subject).items():
        if len(digests) < 2 or name in settled or "@" in image or not rules.takes(name):
            continue
        common = max(digests, key=lambda digest: (len(digests[digest]), digest))
        for digest in sorted(digests.keys() - {common}):
            path = f"{path_of(groups[0].marked.shape, name)}.imageDigest"
            yield Found(Difference(DriftCheck.IMAGE_DIGEST, path, common, digest), tuple(digests[digest]))


def _digests(groups: Sequence[Alike], subject: Subject) -> dict[tuple[str, str, str], dict[str, list[str]]]:
    """Pod names by digest, for each (container, image, architecture)."""
    found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for group in groups:
        images = {container.name: container.image for container in group.marked.shape.containers}
        for pod in group.pods:
            architecture = subject.architectures.get(pod.spec.node_name, "")
            for status in pod.status.container_statuses:
                digest = image_digest(status.image_id) if status.ready else ""
                if digest and status.name in images:
                    key = (status.name, images[status.name], architecture)
                    found.setdefault(key, {}).setdefault(digest, []).append(pod.metadata.name)
    return found


def unlisted_digests(groups: Sequence[Alike], listed: Mapping[str, tuple[str, ...]]) -> Iterator[Found]:
    """Ready containers whose digest is not among those of the baseline. A runtime that tells no registry's digest tells nothing."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        for pod in group.pods:
            for status in pod.status.container_statuses:
                digest = image_digest(status.image_id) if status.ready and status.name in listed else ""
                if digest and digest not in listed[status.name]:
                    wrong.setdefault((status.name, digest), []).append(pod.metadata.name)
    for (name, digest), pods in wrong.items():
        allowed = listed[name]
        more = f" or {len(allowed) - DIGESTS_SHOWN} others" if len(allowed) > DIGESTS_SHOWN else ""
        path = f"{path_of(groups[0].marked.shape, name)}.imageDigest"
        text = " or ".join(allowed[:DIGESTS_SHOWN]) + more
        yield Found(Difference(DriftCheck.IMAGE_DIGEST, path, text, digest), tuple(pods))


# --- how many


def replicas(subject: Subject, groups: Sequence[Alike], allowed: Range | None) -> Iterator[Found]:
    """A count outside its range, by the workload's spec (who scales by hand changes that), else by the pods. Without a range there is no check."""
    if allowed is None or (subject.desired is not None and subject.desired.nodes_wanted is not None):
        return
    asked = subject.desired.replicas if subject.desired is not None else None
    count = asked if asked is not None else sum(len(group.pods) for group in groups)
    is_low = allowed.least is not None and count < allowed.least
    if is_low or (allowed.most is not None and count > allowed.most):
        yield Found(Difference(DriftCheck.REPLICAS, "replicas", _range(allowed), str(count)))


def _range(allowed: Range) -> str:
    match allowed:
        case Range(least=None, most=most):
            return f"at most {most}"
        case Range(least=least, most=None):
            return f"at least {least}"
        case Range(least=least, most=most) if least == most:
            return str(least)
        case _:
            return f"{allowed.least} to {allowed.most}"


@dataclass(frozen=True, slots=True)
class Later:
    """What was found, and in how many seconds time alone may bring more."""

    found: tuple[Found, ...] = ()
    again_in_s: float | None = None


def coverage(subject: Subject, groups: Sequence[Alike], now: datetime) -> Later:
    """Nodes where the DaemonSet should run a pod and none is ready. New pods have `STARTING_S` to become so."""
    desired = subject.desired
    if desired is None or desired.nodes_wanted is None or desired.nodes_ready >= desired.nodes_wanted:
        return Later()
    unready = [pod for group in groups for pod in group.pods if not pod.status.is_ready]
    ages = {pod.metadata.name: _age_s(pod, now) for pod in unready}
    late = [pod for pod in unready if ages[pod.metadata.name] >= STARTING_S]
    starting = [STARTING_S - age_s for age_s in ages.values() if age_s < STARTING_S]
    again_in_s = min(starting, default=None)
    missing = desired.nodes_wanted - desired.nodes_ready - len(starting)
    if missing <= 0:
        return Later((), again_in_s)
    nodes = sorted({pod.spec.node_name or "(none yet)" for pod in late})
    expected = f"a ready pod on each of {desired.nodes_wanted} nodes"
    difference = Difference(DriftCheck.NODE_COVERAGE, "nodes", expected, _uncovered(missing, nodes))
    return Later((Found(difference, tuple(pod.metadata.name for pod in late)),), again_in_s)


def _uncovered(missing: int, nodes: Sequence[str]) -> str:
    known = nodes[:missing]
    shown = ", ".join(known[:NODES_SHOWN]) + (
        f" and {len(known) - NODES_SHOWN} more" if len(known) > NODES_SHOWN else ""
    )
    without = missing - len(known)
    parts = [f"not ready on {shown}"] if shown else []
    parts += [f"no pod on {without} of them"] if without else []
    return f"{missing} uncovered: {', '.join(parts)}"


def _age_s(pod: Pod, now: datetime) -> float:
    made = moment(pod.metadata.creation_timestamp)
    return (now - made).total_seconds() if made is not None else STARTING_S


# --- configuration


def config_content(subject: Subject, wanted: Sequence[tuple[str, str]]) -> Iterator[Found]:
    """ConfigMaps whose content is not the baseline's."""
    for name, data_hash in wanted:
        state = subject.configs.get(name, Unread.NOT_YET)
        actual = state.data_hash if isinstance(state, Content) else "missing"
        if (isinstance(state, Content) or state is Unread.MISSING) and actual != data_hash:
            yield Found(Difference(DriftCheck.CONFIG_MAP_CONTENT, f"configMaps[{name}].data", data_hash, actual))


def stale_configs(groups: Sequence[Alike], subject: Subject, rules: DriftRules, now: datetime) -> Later:
    """Containers that run on a ConfigMap's former content, and nothing known makes them read it again."""
    template = subject.desired.marked.shape if subject.desired is not None else None
    found: dict[Difference, list[str]] = {}
    waits: list[float] = []
    for group in groups:
        for use in _config_uses(group.marked.shape, template, rules):
            state = subject.configs.get(use.name)
            if not isinstance(state, Content):
                continue
            changed = state.changed_at(use.key)
            old = _started_before(group, use, changed)
            wait_s = _sync_wait_s(use, changed, now)
            if old and wait_s > 0:
                waits.append(wait_s)
            elif old:
                found.setdefault(_stale(group.marked.shape, use, changed), []).extend(old)
    return Later(tuple(Found(difference, tuple(pods)) for difference, pods in found.items()), min(waits, default=None))


def _config_uses(shape: Shape, template: Shape | None, rules: DriftRules) -> Iterator[ConfigUse]:
    """One for each (container, ConfigMap) that nothing reloads."""
    is_reloaded = _has_reloader(shape)
    for use in shape.uses:
        if use.kind != "ConfigMap" or not rules.takes(use.container) or is_foreign(use.container, template):
            continue
        if use.access is not Access.MOUNT or not (is_reloaded or _reloads_itself(shape, use.container)):
            yield use


def _has_reloader(shape: Shape) -> bool:
    return any(
        word in container.name or word in container.image
        for container in (*shape.containers, *shape.init_containers)
        for word in _RELOADER_WORDS
    )


def _reloads_itself(shape: Shape, name: str) -> bool:
    container = shape.find(name)
    if container is None:
        return False
    words = (*container.command, *container.args)
    return any(word.startswith(_RELOADING_ARGS) for word in words) or not _RELOADING_ENV.isdisjoint(container.env)


def _sync_wait_s(use: ConfigUse, changed: datetime, now: datetime) -> float:
    """How long the kubelet may still take; env and subPath mounts are never brought up to date."""
    if use.access is not Access.MOUNT:
        return 0.0
    return (changed + timedelta(seconds=KUBELET_SYNC_S) - now).total_seconds()


def _started_before(group: Alike, use: ConfigUse, changed: datetime) -> list[str]:
    """Pods whose container read it before `changed`. Times of the API are whole seconds in one form, so text compares as time does."""
    limit, shape = stamp(changed), group.marked.shape
    is_one_shot = any(init.name == use.container and init.restart_policy != SIDECAR for init in shape.init_containers)
    read = ((pod, _read_at(status_of(pod, use.container), is_one_shot=is_one_shot)) for pod in group.pods)
    return [pod.metadata.name for pod, time in read if time and time < limit]


def _read_at(status: ContainerStatus | None, *, is_one_shot: bool) -> str | None:
    """When the container read its configuration: as it started; an init container at the latest as it ended."""
    state = status.state if status is not None else None
    if state is None:
        return None
    if is_one_shot:
        return state.terminated.finished_at if state.terminated else None
    return state.running.started_at if state.running else None


_WHY = {
    Access.MOUNT: "mounted, and nothing known reloads it",
    Access.SUB_PATH: "a subPath mount is never updated",
    Access.ENV: "env is read at the start only",
    Access.ENV_FROM: "env is read at the start only",
}


def _stale(shape: Shape, use: ConfigUse, changed: datetime) -> Difference:
    path = f"{path_of(shape, use.container)}.configMap[{use.name}]"
    expected, actual = f"as of {stamp(changed)}", f"older: {_WHY[use.access]}"
    return Difference(DriftCheck.STALE_CONFIG, path, expected, actual)
