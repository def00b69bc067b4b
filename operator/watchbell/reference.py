"""Writes the reference pages that are made from code outside of `api`.

Commands, flags, log keys, metrics, SMTP reasons with their cures, the doctor's articles; and the table of known providers in the page about limits.

`python -m watchbell.reference [--check]`; with `--check` nothing is written and the exit code says whether the pages are current.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from watchbell import metrics
from watchbell.api.reasons import Reason
from watchbell.cli.main import parser as command_line
from watchbell.cli.manual import commands_page
from watchbell.doctor.article import article, index
from watchbell.doctor.catalog import CHECKS
from watchbell.generated import between, command
from watchbell.logs import KEYS
from watchbell.settings import OPTIONS
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.natures import NATURES
from watchbell.smtp.providers import PROVIDERS
from watchbell.smtp.remedies import remedies

PAGES = "docs/operations"
ROOT = Path(__file__).resolve().parents[2]
LIMITS = "docs/limits.md"
MIB = 1024 * 1024
MADE = "<!-- Made by `make generate`; do not edit. -->"
EXAMPLE = ReplyContext(host="smtp.example.com", port=587)
ARTICLES = "docs/doctor"
"""The doctor's, one for each check. Every file in it is made here."""


FLAGS = """# Flags of `watchbell run`

Each flag is also an environment variable; the flag wins. `--kubeconfig` and `--context` choose a cluster when the operator runs beside it.

| flag | variable | default | what it does |
|---|---|---|---|
"""
METRICS = """# Metrics

Served at `/metrics` (`--metrics-bind-address`). Labels come from closed sets or are names of watchbell's own objects; never addresses,
pod names or server text. Beside them stand `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and their kin, as
every Prometheus client has them. What is true now (connectors, messages, incidents) is read at each scrape; a standby judges no connector and has
no incident, so it shows none.

Alert rules stand in [alerts.yaml](../../charts/watchbell/files/alerts.yaml) with a [runbook](../runbooks/README.md) for each, a Grafana dashboard in
[dashboard.json](../../charts/watchbell/files/dashboard.json); both work without the chart. Prometheus must keep the labels of the metrics
(`honorLabels: true`), since `namespace` is that of the connector or policy.

| metric | type | labels | meaning |
|---|---|---|---|
"""
PROVIDERS_HEAD = """| provider | hosts, and all below them | messages a minute | … a day | recipients a day | … a message | connections | size |
|---|---|---|---|---|---|---|---|
"""
LOGS = """# Log lines

Written to standard error: one line for each unit of work, JSON (`--log-format json`, the default) or text for people with the same keys.
`--log-level` counts for watchbell's own lines; of its libraries only warnings and errors are shown. Passwords, tokens, addresses of people and what a
mail says are never logged. The first four keys are on every line.

```console
kubectl -n watchbell-system logs deploy/watchbell | grep '"level":"error"'
kubectl -n watchbell-system logs deploy/watchbell | jq -r 'select(.connector) | [.time, .connector, .reason] | @tsv'
```

| key | meaning |
|---|---|
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


def families() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Every metric of our own, with its labels."""
    for name in sorted(vars(metrics)):
        value = getattr(metrics, name)
        if isinstance(value, metrics.Reading):
            yield next(iter(value.describe())), value.labels
        elif isinstance(value, MetricWrapperBase):
            labels = value._labelnames  # noqa: SLF001 - the library offers no public way to ask
            yield next(iter(value.describe())), tuple(labels)


def metrics_page() -> str:
    """Every metric with its labels."""
    rows = []
    for family, labelled in families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in labelled)
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


def providers_table() -> str:
    """What is known of providers, a row each."""
    rows = [
        f"| {known.name} | {', '.join(f'`{suffix}`' for suffix in known.suffixes)} | {_number(limits.messages_per_minute)} | "
        f"{_number(limits.messages_per_day)} | {_number(limits.recipients_per_day)} | {_number(limits.recipients_per_message)} | "
        f"{limits.connections} | {limits.message_bytes // MIB} MiB |\n"
        for known in PROVIDERS
        for limits in (known.limits,)
    ]
    return PROVIDERS_HEAD + "".join(rows)


def _number(count: int) -> str:
    return f"{count:,}" if count else ""


def logs_page() -> str:
    """Every key of a log line."""
    return f"{MADE}\n{LOGS}" + "".join(f"| `{key}` | {meaning} |\n" for key, meaning in KEYS.items())


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def pages(root: Path = ROOT) -> Mapping[str, str]:
    """All pages by their path below the repository."""
    return {
        f"{PAGES}/commands.md": f"{MADE}\n{commands_page(command_line())}",
        f"{ARTICLES}/README.md": f"{MADE}\n{index()}",
        **{f"{ARTICLES}/{check.id}.md": article(check) for check in CHECKS},
        f"{PAGES}/flags.md": flags_page(),
        f"{PAGES}/logs.md": logs_page(),
        f"{PAGES}/metrics.md": metrics_page(),
        f"{PAGES}/smtp-reasons.md": smtp_page(),
        LIMITS: between((root / LIMITS).read_text(encoding="utf-8"), "providers", providers_table()),
    }


def main() -> int:
    """Write or check; the exit code."""
    return command("watchbell.reference", pages, ROOT, (ARTICLES,))


if __name__ == "__main__":
    sys.exit(main())
