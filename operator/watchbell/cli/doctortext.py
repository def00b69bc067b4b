"""The doctor's report for people, as lines (pure): what is well in a line each, what is not with all that is known about it.

Before: results. After: `doctor` prints. Nothing is cut: on a narrow terminal a line goes on below.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from watchbell.cli.console import harmless
from watchbell.cli.paint import Painter
from watchbell.doctor.facts import Facts, Source
from watchbell.doctor.model import Check, Finding, Remedy, Result, Severity, Status
from watchbell.smtp.remedies import personalise

_WORDS = {
    Status.PASS: ("ok  ", "good"),
    Status.INFO: ("info", "faint"),
    Status.WARN: ("WARN", "warn"),
    Status.FAIL: ("FAIL", "bad"),
    Status.SKIP: ("-   ", "faint"),
    Status.ERROR: ("ERR ", "bad"),
}
SHOWN_WELL = 3
_PAD = " " * 8


def report_lines(painter: Painter, results: Sequence[Result], platform: str, *, is_quiet: bool) -> Iterator[str]:
    """Every finding, those of one check together; quietly only what somebody should look at."""
    explained: set[str] = set()
    for result in _gathered(results):
        is_trouble = result.finding.status in {Status.WARN, Status.FAIL, Status.ERROR}
        if is_quiet and not is_trouble:
            continue
        yield from _finding_lines(painter, result)
        if is_trouble:
            yield from _evidence_lines(painter, result)
            yield from _cure_lines(painter, result, platform, is_first=result.check.id not in explained)
            explained.add(result.check.id)


def _gathered(results: Sequence[Result]) -> Iterator[Result]:
    """The results, but of a check that is well with many objects only how many they are."""
    well = Counter(result.check.id for result in results if result.finding.status is Status.PASS)
    told: set[str] = set()
    for result in results:
        count = well[result.check.id]
        if result.finding.status is not Status.PASS or count <= SHOWN_WELL:
            yield result
        elif result.check.id not in told:
            told.add(result.check.id)
            yield replace(result, finding=Finding(Status.PASS, f"{count} objects are well"))


def _finding_lines(painter: Painter, result: Result) -> Iterator[str]:
    finding = result.finding
    word, style = _WORDS[finding.status]
    what = f"{harmless(finding.object)}: " if finding.object else ""
    lines = painter.fold(f"{result.check.id}  {what}{harmless(finding.message)}", _PAD)
    lines[0] = f"  {painter.paint(word, style)}  {lines[0].lstrip()}"
    yield from lines


def _evidence_lines(painter: Painter, result: Result) -> Iterator[str]:
    for key, value in result.finding.evidence:
        yield from painter.fold(harmless(value), f"{_PAD}{painter.paint(harmless(key), 'faint')}: ", _PAD + "  ")


def _cure_lines(painter: Painter, result: Result, platform: str, *, is_first: bool) -> Iterator[str]:
    """The steps for this very finding; causes and general steps once for each check."""
    check, finding = result.check, result.finding
    for step in personalise(finding.steps, finding.names):
        yield from painter.fold(harmless(step), f"{_PAD}> ", _PAD + "  ")
    if not is_first:
        yield ""
        return
    yield from painter.fold(check.why, f"{_PAD}Why it matters: ", _PAD + "  ")
    for cause in check.causes:
        yield from painter.fold(f"{cause.text} ({cause.likelihood})", f"{_PAD}Cause: ", _PAD + "  ")
    for remedy in (one for one in check.remedies if one.platform == platform):
        yield from _remedy_lines(painter, remedy, personalise(remedy.commands, finding.names))
    yield f"{_PAD}More: watchbell doctor explain {check.id}"
    yield ""


def _remedy_lines(painter: Painter, remedy: Remedy, commands: Sequence[str]) -> Iterator[str]:
    for step in remedy.steps:
        yield from painter.fold(step, f"{_PAD}Do: ", _PAD + "    ")
    for command in commands:
        # A command is never folded: half of it pasted into a shell does something else.
        yield f"{_PAD}  $ {command}"
    if not remedy.is_safe:
        yield from painter.fold("Look twice before you do that: it changes what is let through.", _PAD + "    ")


def summary_line(painter: Painter, results: Sequence[Result]) -> str:
    """`2 failed, 1 warning, 20 well, 3 skipped`."""
    count = {status: sum(result.finding.status is status for result in results) for status in Status}
    failed = count[Status.FAIL] + count[Status.ERROR]
    parts = [painter.paint(f"{failed} failed", "bad" if failed else "good")]
    parts.append(painter.paint(f"{count[Status.WARN]} to look at", "warn" if count[Status.WARN] else "good"))
    parts += [f"{count[Status.PASS]} well", f"{count[Status.INFO]} to know", f"{count[Status.SKIP]} skipped"]
    return ", ".join(parts)


def heading(facts: Facts, server: str) -> str:
    """What was looked at."""
    match facts.source:
        case Source.CLUSTER:
            where = f"namespace {facts.namespaces[0]}" if facts.namespaces else "all namespaces"
            return f"Cluster {server} (Kubernetes {facts.server_version}), {where}, operator in namespace {facts.home}"
        case Source.FILES:
            count = sum(map(len, facts.objects.values()))
            return f"{count} object(s) in files; no cluster was asked"
        case Source.SETTINGS:
            return "Plain settings; no cluster was asked"


def explain_lines(painter: Painter, check: Check) -> Iterator[str]:
    """All that is known of a check."""
    yield painter.paint(f"{check.id}: {check.title}", "strong")
    yield f"  {check.category}, severity {check.severity}, tags {', '.join(check.tags)}"
    yield from painter.fold(check.looks_at, "  Looks at: ", "    ")
    yield from painter.fold(check.why, "  Why it matters: ", "    ")
    for cause in check.causes:
        yield from painter.fold(f"{cause.text} ({cause.likelihood})", "  Cause: ", "    ")
    for remedy in check.remedies:
        yield f"  {remedy.platform}:"
        yield from _remedy_lines(painter, remedy, remedy.commands)
    yield f"  Verify: {check.how_to_verify}"
    if check.related:
        yield from painter.fold(", ".join(check.related), "  Related: ", "    ")


def list_rows(checks: Sequence[Check]) -> list[list[str]]:
    """Rows of `doctor list`."""
    return [
        [check.id, str(check.category), str(check.severity), "no" if check.is_quick else "yes", check.title]
        for check in checks
    ]


SEVERITY_WORDS = tuple(str(severity) for severity in Severity)
