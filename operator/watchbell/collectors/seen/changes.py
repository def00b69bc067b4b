"""What changed before it broke (pure): the last two templates of a workload as plain sentences for the mail.

Before: `workloads` gives the revisions. After: the crash mail shows them as what changed before, the resolved mail as what changed meanwhile.
Images are shown; arguments and env values may hold secrets, so of them only names.
"""

from collections.abc import Iterator
from datetime import datetime

from watchbell.collectors.seen.shape import ContainerShape, Pairs, Shape
from watchbell.collectors.seen.workload import Revision

RELEVANT_S = 7 * 86_400.0
SENTENCES_MAX = 8
NAMES_MAX = 6


def what_changed(revisions: tuple[Revision, ...], since: datetime, now: datetime) -> tuple[str, ...]:
    """How the newest revision differs from the one before it, seen from a failure that began at `since`; empty for what is older than a week.

    `revisions` oldest first. "3 min before" = the new template came three minutes before `since`.
    """
    if len(revisions) < 2:
        return ()
    before, after = revisions[-2:]
    if after.time is not None and (now - after.time).total_seconds() > RELEVANT_S:
        return ()
    return _told(before, after, since)


def changed_meanwhile(revisions: tuple[Revision, ...], since: datetime, until: datetime) -> tuple[str, ...]:
    """How the template at the end of a trouble differs from the one at its beginning; empty when no new one came in between."""
    fresh = [number for number, one in enumerate(revisions) if one.time is not None and since < one.time <= until]
    if not fresh or fresh[0] == 0:
        return ()
    return _told(revisions[fresh[0] - 1], revisions[fresh[-1]], since)


def _told(before: Revision, after: Revision, since: datetime) -> tuple[str, ...]:
    when = _when(after, since)
    sentences = [f"{text}{when}" for text in _differences(before, after)]
    if len(sentences) > SENTENCES_MAX:
        sentences[SENTENCES_MAX - 1 :] = [f"{len(sentences) - SENTENCES_MAX + 1} more differences{when}"]
    return tuple(sentences)


def _when(revision: Revision, since: datetime) -> str:
    number = f" (revision {revision.number})" if revision.number else ""
    if revision.time is None:
        return number
    seconds = (since - revision.time).total_seconds()
    return f", {duration(abs(seconds))} {'before' if seconds >= 0 else 'after it began'}{number}"


def duration(seconds: float) -> str:
    """Some seconds in one unit: `40 s`, `3 min`, `5 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _differences(before: Revision, after: Revision) -> Iterator[str]:
    old, new = before.template.spec.shape, after.template.spec.shape
    for container in (*new.containers, *new.init_containers):
        known = old.find(container.name)
        if known is None:
            yield f"Container {container.name} is new, with image {container.image}"
        else:
            yield from _in_container(known, container)
    for container in (*old.containers, *old.init_containers):
        if new.find(container.name) is None:
            yield f"Container {container.name} is gone"
    yield from _in_pod(old, new)
    marks = _names(
        tuple(before.template.metadata.annotations.items()), tuple(after.template.metadata.annotations.items())
    )
    if marks:
        yield f"Annotations of the pod template changed: {marks}"


def _in_container(old: ContainerShape, new: ContainerShape) -> Iterator[str]:
    of = f"of container {new.name}"
    if old.image != new.image:
        yield f"Image {of}: {old.image} → {new.image}"
    if old.command != new.command:
        yield f"Command {of} changed"
    if old.args != new.args:
        yield f"Arguments {of} changed"
    if (names := _names(old.env, new.env)) or old.env_from != new.env_from:
        yield f"Environment {of} changed: {names or 'where it comes from'}"
    before, after = dict(old.resources), dict(new.resources)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"Resources {of}: {name} {before.get(name, 'none')} → {after.get(name, 'none')}"
    if old.security != new.security:
        yield f"Security context {of} changed: {_names(old.security, new.security)}"


def _in_pod(old: Shape, new: Shape) -> Iterator[str]:
    if old.service_account != new.service_account:
        yield f"Service account: {old.service_account or 'default'} → {new.service_account or 'default'}"
    if old.security != new.security:
        yield f"Security context of the pod changed: {_names(old.security, new.security)}"
    uses = {(use.kind, use.name) for use in new.uses} ^ {(use.kind, use.name) for use in old.uses}
    if uses:
        yield f"ConfigMaps and Secrets that it reads changed: {_listed(sorted(f'{kind} {name}' for kind, name in uses))}"


def _names(old: Pairs, new: Pairs) -> str:
    """The names whose values differ."""
    return _listed(sorted({name for name, _ in set(old) ^ set(new)}))


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_MAX
    return ", ".join(names[:NAMES_MAX]) + (f" and {more} more" if more > 0 else "")
