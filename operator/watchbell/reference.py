"""Writes the reference pages that are made from code outside of `api`: commands, flags, metrics, SMTP reasons with their cures.

`python -m watchbell.reference [--check]`; with `--check` nothing is written and the exit code says whether the pages are current.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from watchbell import metrics
from watchbell.api.reasons import Reason
from watchbell.cli.main import parser as command_line
from watchbell.cli.manual import commands_page
from watchbell.doctor.article import article, index
from watchbell.doctor.catalog import CHECKS
from watchbell.settings import OPTIONS
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.natures import NATURES
from watchbell.smtp.remedies import remedies

PAGES = Path("docs/operations")
MADE = "<!-- Made by `make generate`; do not edit. -->"
EXAMPLE = ReplyContext(host="smtp.example.com", port=587)
ARTICLES = Path("docs/doctor")
"""The doctor's, one for each check."""


FLAGS = """# Flags of `watchbell run`

Each flag is also an environment variable; the flag wins. `--kubeconfig` and `--context` choose a cluster when the operator runs beside it.

| flag | variable | default | what it does |
|---|---|---|---|
"""
METRICS = """# Metrics

Served at `/metrics` (`--metrics-bind-address`). Labels come from closed sets or are names of watchbell's own objects; never addresses,
pod names or server text.

| metric | type | labels | meaning |
|---|---|---|---|
"""
SMTP = """# SMTP reasons and what to do

What stands in conditions, in `status.stages[].reason` and in mails' results when a stage fails. Retry classes: A 30 s to 5 min, B 5 to 30 min,
C hourly and at once when the Secret or the spec changes, D the provider's next quota window.

"""


def flags_page() -> str:
    """Every option of `watchbell run`."""
    return f"{MADE}\n{FLAGS}" + "".join(
        f"| `{option.flag}` | `{option.variable}` | {option.default and f'`{option.default}`'} | {option.help} |\n"
        for option in OPTIONS
    )


def _metrics() -> Iterator[MetricWrapperBase]:
    for name in sorted(vars(metrics)):
        value = getattr(metrics, name)
        if isinstance(value, MetricWrapperBase):
            yield value


def metrics_page() -> str:
    """Every metric with its labels."""
    rows = []
    for metric in _metrics():
        family = next(iter(metric.describe()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - the library offers no public way to ask
        rows.append((name, f"| `{name}` | {family.type} | {labels} | {family.documentation} |"))
    return f"{MADE}\n{METRICS}" + "".join(f"{row}\n" for _, row in sorted(rows))


def smtp_page() -> str:
    """Every SMTP reason with its retry class and cure."""
    sections = []
    for reason in Reason:
        nature = NATURES.get(reason)
        if nature is None:
            continue
        cures = "\n".join(f"- {_escaped(sentence)}" for sentence in remedies(reason, EXAMPLE))
        kind = "permanent" if nature.is_permanent else "temporary"
        sections.append(f"## {reason}\n\n{reason.doc} ({kind}; retry class {nature.retry})\n\n{cures}\n")
    return f"{MADE}\n{SMTP}" + "\n".join(sections)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def pages() -> Mapping[Path, str]:
    """All pages by their path."""
    return {
        PAGES / "commands.md": f"{MADE}\n{commands_page(command_line())}",
        ARTICLES / "README.md": f"{MADE}\n{index()}",
        **{ARTICLES / f"{check.id}.md": article(check) for check in CHECKS},
        PAGES / "flags.md": flags_page(),
        PAGES / "metrics.md": metrics_page(),
        PAGES / "smtp-reasons.md": smtp_page(),
    }


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is not current")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check:
        for path in stale:
            sys.stderr.write(f"{path} is not current: run make generate\n")
        return 1 if stale else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
