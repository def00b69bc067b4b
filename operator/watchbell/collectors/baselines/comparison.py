"""One pod's shape against what it should be (pure): differences in images, commands, env, resources, security and labels.

Before: `drift` has the shapes of an owner's pods, one of each. After: it adds what only the fleet tells. Two ways to compare:
`template_differences`, where what the template says must hold and what it does not say is free (defaults of a LimitRange, injected env, tokens); and
`lean`, which takes from a pod what was put into it after its template, so that a captured or pinned baseline can be compared exactly.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from watchbell.api.enums import DriftCheck
from watchbell.collectors.baselines.digests import is_same_image
from watchbell.collectors.baselines.quantities import is_same
from watchbell.collectors.findings import Difference
from watchbell.collectors.rules import DriftRules
from watchbell.collectors.seen.injection import is_injected_container, is_injected_env, unwrapped
from watchbell.collectors.seen.shape import ContainerShape, Pairs, Shape
from watchbell.mail.redaction import redact

TEXT_MAX = 512
SHOWN_ARGS = 3
"""Of longer lists only what differs is shown."""
CONTROLLER_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "controller-uid",
        "job-name",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
    }
)
RESIZERS = ("vpaUpdates", "vpaInPlaceUpdated", "autopilot.gke.io/resource-adjustment")
"""Annotations by which an autoscaler says that it set a pod's resources."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What is compared of a pod or of a template: what a template decides, and what is written on it."""

    shape: Shape
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def is_resized(self) -> bool:
        """Whether an autoscaler has the say over resources."""
        return any(name in self.annotations for name in RESIZERS)


def template_differences(want: Marked, have: Marked, rules: DriftRules) -> tuple[Difference, ...]:
    """Where a pod is not as its owner's template says."""
    found = (
        *_containers(want, have, rules),
        *_pod_level(want.shape, have.shape),
        *labels(want.labels, have.labels, rules),
        *hash_annotations(want.annotations, have.annotations, rules),
    )
    return tuple(difference for difference in found if difference.check in rules.checks)


def clipped(text: str) -> str:
    """Fit for a status field, without secrets."""
    safe = redact(text)
    return safe if len(safe) <= TEXT_MAX else f"{safe[: TEXT_MAX - 1]}…"


# --- containers


def path_of(shape: Shape, name: str) -> str:
    """`containers[collector]`, `initContainers[setup]`."""
    is_init = any(container.name == name for container in shape.init_containers)
    return f"{'initContainers' if is_init else 'containers'}[{name}]"


def _containers(want: Marked, have: Marked, rules: DriftRules) -> Iterator[Difference]:
    for expected in (*want.shape.containers, *want.shape.init_containers):
        if not rules.takes(expected.name):
            continue
        actual, path = have.shape.find(expected.name), path_of(want.shape, expected.name)
        if actual is None:
            yield Difference(DriftCheck.UNEXPECTED_CONTAINER, path, "a container of that name", "missing")
        else:
            yield from container_differences(expected, actual, path, rules)
            if not have.is_resized:
                yield from _resources(expected.resources, actual.resources, path)
    yield from unexpected_containers(have.shape, frozenset(container.name for container in _all(want.shape)), rules)


def _all(shape: Shape) -> tuple[ContainerShape, ...]:
    return (*shape.containers, *shape.init_containers)


def is_foreign(name: str, template: Shape | None) -> bool:
    """Whether a webhook put the container of this name into the pod: known as one's, and the template does not have it.

    The OpenTelemetry operator calls its sidecars as it calls the containers of its own collectors.
    """
    return is_injected_container(name) and (template is None or template.find(name) is None)


def unexpected_containers(have: Shape, known: frozenset[str], rules: DriftRules) -> Iterator[Difference]:
    """Containers that nobody asked for. Known sidecars of admission webhooks are none.

    Nor are ephemeral debug containers (`kubectl debug`): they stand in a list of their own, cannot be told from a look around, and end with the pod.
    """
    for container in _all(have):
        name = container.name
        if name not in known and rules.takes(name) and not is_injected_container(name):
            text = clipped(container.image)
            yield Difference(DriftCheck.UNEXPECTED_CONTAINER, path_of(have, name), "no such container", text)


def container_differences(
    want: ContainerShape, have: ContainerShape, path: str, rules: DriftRules
) -> Iterator[Difference]:
    """All of one container but its resources."""
    if want.image and not is_same_image(want.image, have.image):
        yield Difference(DriftCheck.IMAGE, f"{path}.image", clipped(want.image), clipped(have.image))
    yield from _command(want, have, path)
    yield from _env(want.env, have.env, path, rules)
    yield from _env_from(want.env_from, have.env_from, path)
    yield from _security(want.security, have.security, path)


def _command(want: ContainerShape, have: ContainerShape, path: str) -> Iterator[Difference]:
    if _is_wrapped(want, have):
        return
    if want.command and want.command != have.command:
        yield Difference(DriftCheck.COMMAND, f"{path}.command", *_lines(want.command, have.command))
    if want.args and want.args != have.args:
        yield Difference(DriftCheck.ARGS, f"{path}.args", *_lines(want.args, have.args))


def _is_wrapped(want: ContainerShape, have: ContainerShape) -> bool:
    """Whether the pod runs what the template says, behind a known wrapper (which puts the image's entry point before mere arguments)."""
    behind, said = unwrapped(have.command, have.args), (*want.command, *want.args)
    return behind is not None and behind[len(behind) - len(said) :] == said


def _lines(want: tuple[str, ...], have: tuple[str, ...]) -> tuple[str, str]:
    """Both lists as a shell would have them; of long ones only what the other has not."""
    if max(len(want), len(have)) > SHOWN_ARGS:
        only_want = tuple(text for text in want if text not in have)
        only_have = tuple(text for text in have if text not in want)
        if only_want or only_have:
            return joined(only_want), joined(only_have)
    return joined(want), joined(have)


def joined(words: Iterable[str]) -> str:
    """A command line, readable and without secrets; `(none)` when it is empty."""
    return clipped(shlex.join(words)) or "(none)"


def _env(want: Pairs, have: Pairs, path: str, rules: DriftRules) -> Iterator[Difference]:
    if want == have:
        return
    present = dict(have)
    for name, digest in want:
        if name in rules.ignored_env or present.get(name) == digest:
            continue
        actual = "differs" if name in present else "missing"
        yield Difference(DriftCheck.ENV, f"{path}.env[{name}]", "as in the template", actual)


def _env_from(want: tuple[str, ...], have: tuple[str, ...], path: str) -> Iterator[Difference]:
    missing = tuple(source for source in want if source not in have)
    if missing:
        expected, actual = clipped(", ".join(missing)), clipped(", ".join(have)) or "(none)"
        yield Difference(DriftCheck.ENV, f"{path}.envFrom", expected, actual)


def _resources(want: Pairs, have: Pairs, path: str) -> Iterator[Difference]:
    actual = dict(have)
    for name, text in want:
        found = actual.get(name, "")
        if not is_same(text, found):
            yield Difference(DriftCheck.RESOURCES, f"{path}.resources.{name}", clipped(text), clipped(found) or "none")


def _security(want: Pairs, have: Pairs, path: str) -> Iterator[Difference]:
    actual = dict(have)
    for name, text in want:
        found = actual.get(name, "unset")
        if text != found:
            at = f"{path}.securityContext.{name}" if path else f"securityContext.{name}"
            yield Difference(DriftCheck.SECURITY_CONTEXT, at, clipped(text), clipped(found))


# --- the pod


def _pod_level(want: Shape, have: Shape) -> Iterator[Difference]:
    yield from _security(want.security, have.security, "")
    if want.service_account and want.service_account != have.service_account:
        account = have.service_account or "default"
        yield Difference(DriftCheck.SERVICE_ACCOUNT, "serviceAccountName", want.service_account, account)


def labels(want: Mapping[str, str], have: Mapping[str, str], rules: DriftRules) -> Iterator[Difference]:
    """Labels that the template says and the pod has not so."""
    if want is have:
        return
    for key in sorted(rules.label_keys & want.keys() if rules.label_keys else want.keys()):
        actual = have.get(key)
        if actual != want[key]:
            missing = "missing" if actual is None else clipped(actual)
            yield Difference(DriftCheck.LABELS, f"labels[{key}]", clipped(want[key]), missing)


def hash_annotations(want: Mapping[str, str], have: Mapping[str, str], rules: DriftRules) -> Iterator[Difference]:
    """Hashes of configuration that charts put on a template so that a change makes a roll-out: a pod with another one was not rolled out."""
    for key in rules.config_hash_annotations:
        expected, actual = want.get(key), have.get(key)
        if expected is not None and expected != actual:
            path = f"annotations[{key}]"
            yield Difference(
                DriftCheck.CONFIG_HASH_ANNOTATION, path, clipped(expected), clipped(actual or "") or "missing"
            )


# --- what the template did not put there


def lean(have: Marked, template: Marked | None) -> Shape:
    """The pod's shape without what came after its template: known sidecars, injected env, defaults of resources and security.

    Without a template (a bare pod) only known sidecars are left out.
    """
    said = template.shape if template is not None else None
    return msgspec.structs.replace(
        have.shape,
        containers=_lean_all(have.shape.containers, said, is_resized=have.is_resized),
        init_containers=_lean_all(have.shape.init_containers, said, is_resized=have.is_resized),
        security=have.shape.security if said is None else _only(have.shape.security, said.security),
    )


def _lean_all(
    containers: tuple[ContainerShape, ...], said: Shape | None, *, is_resized: bool
) -> tuple[ContainerShape, ...]:
    found: list[ContainerShape] = []
    for container in containers:
        template = said.find(container.name) if said is not None else None
        if template is not None:
            found.append(_lean_container(container, template, is_resized=is_resized))
        elif not is_injected_container(container.name):
            found.append(container)
    return tuple(found)


def _lean_container(have: ContainerShape, said: ContainerShape, *, is_resized: bool) -> ContainerShape:
    named = {name for name, _ in said.env}
    is_wrapped = _is_wrapped(said, have)
    return msgspec.structs.replace(
        have,
        image=said.image if is_same_image(said.image, have.image) else have.image,
        command=said.command if is_wrapped else have.command,
        args=said.args if is_wrapped else have.args,
        env=tuple(pair for pair in have.env if pair[0] in named or not is_injected_env(pair[0])),
        resources=said.resources if is_resized else _only(have.resources, said.resources),
        security=_only(have.security, said.security),
    )


def _only(have: Pairs, said: Pairs) -> Pairs:
    names = {name for name, _ in said}
    return tuple(pair for pair in have if pair[0] in names)
