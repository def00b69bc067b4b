"""Drift from a baseline (pure): one owner's pods, what they should be, the policy's rules, now → a verdict.

Before: `drifts` gathers the pods, the owner and the ConfigMaps. After: a drifted owner is one finding, `incidents` does the rest. While a roll-out
moves or is paused nothing is said: pods of two revisions are what a roll-out is. A difference must stand for `pending_s` before it counts, each on
its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from watchbell.api.enums import BaselineMode, DriftCheck
from watchbell.collectors.baselines import fleet
from watchbell.collectors.baselines.baseline import (
    CapturedContainer,
    CapturedWorkload,
    config_names,
    described,
    labels_hash,
)
from watchbell.collectors.baselines.comparison import (
    Marked,
    clipped,
    hash_annotations,
    joined,
    lean,
    path_of,
    template_differences,
    unexpected_containers,
)
from watchbell.collectors.baselines.digests import is_same_image
from watchbell.collectors.baselines.fleet import Alike, Desired, Found, Later, Motion, Subject, alike
from watchbell.collectors.baselines.verdicts import Known, State, Verdict, finding, merged, timed
from watchbell.collectors.findings import Difference
from watchbell.collectors.rules import DriftRules, Pinned, PinnedContainer
from watchbell.collectors.seen.shape import ContainerShape, Pairs, Shape

__all__ = ["Desired", "Motion", "State", "Subject", "Verdict", "assess", "finding", "wanted_configs"]


@dataclass(frozen=True, slots=True)
class Look:
    """One owner's pods compared once: what all checks share."""

    subject: Subject
    rules: DriftRules
    groups: tuple[Alike, ...]
    captured: CapturedWorkload | None
    now: datetime

    @property
    def template(self) -> Marked | None:
        """What the owner says, if there is one that says anything."""
        return self.subject.desired.marked if self.subject.desired is not None else None

    @property
    def pinned(self) -> Pinned | None:
        """The pinned baseline, in that mode."""
        return self.rules.pinned if self.rules.mode is BaselineMode.PINNED else None

    def has(self, check: DriftCheck) -> bool:
        """Whether the policy asks for it."""
        return check in self.rules.checks


def assess(
    subject: Subject,
    rules: DriftRules,
    now: datetime,
    *,
    captured: CapturedWorkload | None = None,
    standing: Mapping[Known, datetime] | None = None,
) -> Verdict:
    """The verdict. `captured` is the owner's captured self in mode Captured, `standing` the last verdict's."""
    look = Look(subject, rules, alike(subject.pods), captured, now)
    quiet = _quiet(look)
    if quiet is not None:
        return quiet
    later = [_coverage(look), _stale(look)]
    found = [*_by_pod(look), *_fleet(look), *(item for one in later for item in one.found)]
    verdict = timed(merged(found), standing or {}, rules.pending_s, now)
    waits = [one.again_in_s for one in later if one.again_in_s is not None]
    return replace(verdict, again_in_s=_least(verdict.again_in_s, *waits))


def _least(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _quiet(look: Look) -> Verdict | None:
    """The named reason for which nothing can be said, if there is one."""
    subject, rules = look.subject, look.rules
    if not rules.checks:
        return Verdict(State.OFF, detail="The policy compares nothing: `drift.checks` is empty.")
    motion = subject.desired.motion if subject.desired is not None else Motion.SETTLED
    if motion is Motion.MOVING:
        return Verdict(State.MOVING, detail="A roll-out is under way.")
    if motion is Motion.PAUSED:
        return Verdict(State.PAUSED, detail="The roll-out is paused.")
    if not look.groups and subject.desired is None:
        return Verdict(State.NO_PODS, detail="There is no pod.")
    if rules.mode is BaselineMode.CAPTURED and look.captured is None:
        return Verdict(State.NO_BASELINE, detail="No healthy state was captured yet.")
    return _mismatch(look)


def _mismatch(look: Look) -> Verdict | None:
    """A baseline that is about other pods: comparing with it would say that nothing is wrong."""
    if look.pinned is None or not look.pinned.containers or not look.groups:
        return None
    pinned = {container.name for container in look.pinned.containers}
    present = sorted({container.name for group in look.groups for container in _containers(group.marked.shape)})
    if pinned & set(present):
        return None
    text = (
        f"baseline.pinned names {', '.join(sorted(pinned))}, but the pods of {look.subject.owner.kind} {look.subject.owner.name} have "
        f"{', '.join(present)}. See `watchbell baseline capture`."
    )
    return Verdict(State.BASELINE_MISMATCH, detail=clipped(text))


def _containers(shape: Shape) -> tuple[ContainerShape, ...]:
    return (*shape.containers, *shape.init_containers)


# --- pods against the baseline


def _by_pod(look: Look) -> Iterator[Found]:
    """What each group of like pods has; the baseline's mode decides with what they are compared."""
    for group in look.groups:
        names = tuple(pod.metadata.name for pod in group.pods)
        for difference in (*_of_group(look, group.marked), *_asked_images(look, group.marked.shape)):
            if look.has(difference.check):
                yield Found(difference, names)


def _of_group(look: Look, have: Marked) -> Iterable[Difference]:
    if look.captured is not None and look.rules.mode is BaselineMode.CAPTURED:
        return _captured_differences(look, look.captured, have)
    if look.pinned is not None:
        return _pinned_differences(look, look.pinned, have)
    return template_differences(look.template, have, look.rules) if look.template is not None else ()


def _asked_images(look: Look, shape: Shape) -> Iterator[Difference]:
    """Images that a custom resource asks for. A sidecar that was injected long ago keeps its image until its pod is made anew."""
    for name, image in look.subject.images.items():
        container = shape.find(name)
        if container is not None and look.rules.takes(name) and not is_same_image(image, container.image):
            path = f"{path_of(shape, name)}.image"
            yield Difference(DriftCheck.IMAGE, path, clipped(image), clipped(container.image))


_HASHED: tuple[tuple[DriftCheck, str, Callable[[CapturedContainer], str], Callable[[ContainerShape], str]], ...] = (
    (DriftCheck.COMMAND, "command", lambda one: one.command_hash, lambda now: joined(now.command)),
    (DriftCheck.ARGS, "args", lambda one: one.args_hash, lambda now: joined(now.args)),
    (DriftCheck.ENV, "env", lambda one: one.env_hash, lambda _: "differs"),
    (DriftCheck.RESOURCES, "resources", lambda one: one.resources_hash, lambda now: _listed(now.resources)),
    (DriftCheck.SECURITY_CONTEXT, "securityContext", lambda one: one.security_hash, lambda now: _listed(now.security)),
)
"""Of each field that is kept as a hash: check, path, the hash, and what it is now for people to read (never of env)."""


def _listed(pairs: Pairs) -> str:
    return clipped(", ".join(f"{name}={text}" for name, text in pairs)) or "(none)"


def _captured_differences(look: Look, captured: CapturedWorkload, have: Marked) -> Iterator[Difference]:
    shape = lean(have, look.template)
    for want in captured.containers:
        path, actual = path_of(have.shape, want.name), shape.find(want.name)
        if actual is not None:
            yield from _captured_container(want, actual, described(actual, shape, look.rules), path)
        elif look.rules.takes(want.name):
            yield Difference(DriftCheck.UNEXPECTED_CONTAINER, path, *_MISSING)
    yield from unexpected_containers(shape, frozenset(one.name for one in captured.containers), look.rules)
    if captured.service_account != shape.service_account:
        names = captured.service_account or "default", shape.service_account or "default"
        yield Difference(DriftCheck.SERVICE_ACCOUNT, "serviceAccountName", *names)
    if captured.labels_hash != labels_hash(have, look.template, look.rules):
        yield Difference(DriftCheck.LABELS, "labels", "as captured", "differ")
    if look.template is not None:
        yield from hash_annotations(look.template.annotations, have.annotations, look.rules)


def _captured_container(
    want: CapturedContainer, now: ContainerShape, have: CapturedContainer, path: str
) -> Iterator[Difference]:
    if not is_same_image(want.image, have.image):
        yield Difference(DriftCheck.IMAGE, f"{path}.image", clipped(want.image), clipped(have.image))
    for check, name, hash_of, text_of in _HASHED:
        expected = hash_of(want)
        if expected and expected != hash_of(have):
            known = want.args if check is DriftCheck.ARGS else ""
            yield Difference(check, f"{path}.{name}", known or "as captured", text_of(now))


def _pinned_differences(look: Look, pinned: Pinned, have: Marked) -> Iterator[Difference]:
    """What is pinned must be so; what is not falls back to the owner's template."""
    shape = lean(have, look.template)
    spoken: set[tuple[DriftCheck, str]] = set()
    for want in pinned.containers:
        path, actual = path_of(have.shape, want.name), shape.find(want.name)
        spoken |= {(check, f"{path}.{name}") for check, name in _spoken(want)}
        if actual is not None:
            yield from _pinned_container(want, described(actual, shape, look.rules), path)
        elif look.rules.takes(want.name):
            spoken.add((DriftCheck.UNEXPECTED_CONTAINER, path))
            yield Difference(DriftCheck.UNEXPECTED_CONTAINER, path, *_MISSING)
    if pinned.containers:
        for extra in unexpected_containers(shape, frozenset(one.name for one in pinned.containers), look.rules):
            spoken.add((extra.check, extra.path))
            yield extra
    for difference in template_differences(look.template, have, look.rules) if look.template is not None else ():
        at = difference.path.partition(".env[")[0] + ".env" if ".env[" in difference.path else difference.path
        if (difference.check, at) not in spoken:
            yield difference


_MISSING = ("a container of that name", "missing")


def _spoken(want: PinnedContainer) -> Iterator[tuple[DriftCheck, str]]:
    """Which fields of a container its pinned self decides."""
    if want.images:
        yield DriftCheck.IMAGE, "image"
    if want.args_hash:
        yield DriftCheck.ARGS, "args"
    if want.env_hash:
        yield DriftCheck.ENV, "env"
        yield DriftCheck.ENV, "envFrom"


def _pinned_container(want: PinnedContainer, have: CapturedContainer, path: str) -> Iterator[Difference]:
    if want.images and not any(is_same_image(image, have.image) for image in want.images):
        yield Difference(DriftCheck.IMAGE, f"{path}.image", clipped(" or ".join(want.images)), clipped(have.image))
    if want.args_hash and want.args_hash != have.args_hash:
        yield Difference(DriftCheck.ARGS, f"{path}.args", f"as pinned ({want.args_hash})", clipped(have.args))
    if want.env_hash and want.env_hash != have.env_hash:
        yield Difference(DriftCheck.ENV, f"{path}.env", "as pinned", "differs")


# --- the fleet


def _fleet(look: Look) -> Iterator[Found]:
    subject, rules, groups = look.subject, look.rules, look.groups
    listed = _listed_digests(look)
    if look.has(DriftCheck.IMAGE_DIGEST) and groups:
        yield from fleet.unlisted_digests(groups, listed)
        yield from fleet.skew(groups, subject, rules, frozenset(listed))
    if look.has(DriftCheck.REPLICAS):
        pinned = look.pinned.replicas if look.pinned is not None else None
        yield from fleet.replicas(subject, groups, pinned or rules.replicas)
    if look.has(DriftCheck.CONFIG_MAP_CONTENT):
        yield from fleet.config_content(subject, _wanted_content(look))


def _listed_digests(look: Look) -> dict[str, tuple[str, ...]]:
    """The digests that the baseline allows, by container."""
    if look.pinned is not None:
        digests = {one.name: one.image_digests for one in look.pinned.containers}
    elif look.captured is not None:
        digests = {one.name: one.image_digests for one in look.captured.containers}
    else:
        digests = {}
    return {name: allowed for name, allowed in digests.items() if allowed and look.rules.takes(name)}


def _wanted_content(look: Look) -> tuple[tuple[str, str], ...]:
    if look.pinned is not None:
        return look.pinned.config_maps
    return look.captured.config_maps if look.captured is not None else ()


def _coverage(look: Look) -> Later:
    return fleet.coverage(look.subject, look.groups, look.now) if look.has(DriftCheck.NODE_COVERAGE) else Later()


def _stale(look: Look) -> Later:
    if not look.has(DriftCheck.STALE_CONFIG):
        return Later()
    return fleet.stale_configs(look.groups, look.subject, look.rules, look.now)


def wanted_configs(
    groups: Sequence[Alike], desired: Desired | None, rules: DriftRules, captured: CapturedWorkload | None
) -> frozenset[str]:
    """The ConfigMaps that the rules are about: those that the pods read, and those of the baseline."""
    template = desired.marked.shape if desired is not None else None
    names: set[str] = set()
    needs_read = DriftCheck.STALE_CONFIG in rules.checks or rules.mode is BaselineMode.CAPTURED
    if needs_read:
        names.update(name for group in groups for name in config_names(group.marked.shape, rules, template))
    if DriftCheck.CONFIG_MAP_CONTENT in rules.checks:
        pinned = rules.pinned.config_maps if rules.pinned and rules.mode is BaselineMode.PINNED else ()
        names.update(name for name, _ in (*pinned, *(captured.config_maps if captured else ())))
    return frozenset(names)
