"""The article of each check, for the docs and for `doctor explain` (pure): what it looks at, why, the causes, the cures, how to verify.

Made from the catalogue, so that it cannot be older than the check. Before: `catalog`. After: `watchbell.reference` writes docs/doctor/,
and the command line prints the same.
"""

from collections.abc import Iterator

from watchbell.doctor.catalog import CHECKS
from watchbell.doctor.model import Check, Remedy

_WAYS = {"kubectl": "With kubectl", "helm": "With Helm", "gitops": "With Flux or Argo CD"}


def article(check: Check) -> str:
    """Markdown with the front matter of the doctor's first articles."""
    return "".join(f"{line}\n" for line in _lines(check))


def _lines(check: Check) -> Iterator[str]:
    yield from ("---", f"checkId: {check.id}", "plugin: watchbell.doctor", f"severity: {check.severity}")
    yield from (f"category: {check.category}", f"tags: [{', '.join(check.tags)}]", "---", "")
    yield from (f"# {check.title}", "")
    yield from ("## What it checks", "", _escaped(check.looks_at), "")
    yield from ("## Why it matters", "", _escaped(check.why), "")
    yield from ("## Common causes", "")
    for cause in check.causes:
        yield f"- {_escaped(cause.text)} ({cause.likelihood})"
    yield from ("", "## How to fix")
    for remedy in check.remedies:
        yield from _way(remedy)
    yield from ("", "## Verification", "", "```console", check.how_to_verify, "```")
    if check.related:
        yield from ("", "## Related checks", "")
        for related in check.related:
            yield f"- {_link(related)}"


def _way(remedy: Remedy) -> Iterator[str]:
    yield from ("", f"### {_WAYS[remedy.platform]}", "")
    for step in remedy.steps:
        yield f"- {_escaped(step)}"
    if not remedy.is_safe:
        yield "- Look twice before: it changes what is let through."
    if remedy.commands:
        yield from ("", "```console", *remedy.commands, "```")


def _link(id_: str) -> str:
    """A related check, or a group: the first check of it is its page."""
    title = next((check.title for check in CHECKS if check.id == id_), "each stage of the way to the server")
    page = id_ if any(check.id == id_ for check in CHECKS) else "README"
    return f"[{id_}]({page}.md): {title}"


def index() -> str:
    """The table of all checks."""
    rows = "".join(
        f"| [{check.id}]({check.id}.md) | {check.category} | {check.severity} | {check.title} |\n" for check in CHECKS
    )
    return f"{_INDEX}{rows}"


_INDEX = """# Checks of `watchbell doctor`

What each looks at, why, the usual causes and the cures. How to run them: [the doctor](../operations/doctor.md).

| check | category | severity | what must hold |
|---|---|---|---|
"""


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")
