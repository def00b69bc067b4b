"""The report for programs: one document of kind DoctorReport, or JUnit for CI (pure). Before: results. After: JSON, YAML or XML is printed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from watchbell import __version__
from watchbell.api.times import stamp
from watchbell.doctor.model import Check, Remedy, Result, Status
from watchbell.smtp.remedies import personalise

API_VERSION = "doctor.watchbell.dev/v1"
KIND = "DoctorReport"
PLUGIN = "watchbell.doctor"
RUNBOOKS = "https://watchbell.dev/docs/doctor"
Body = dict[str, Any]


def runbook(check_id: str) -> str:
    """The article of a check."""
    return f"{RUNBOOKS}/{check_id}"


def document(results: Sequence[Result], now: datetime) -> Body:
    """The whole report."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"creationTimestamp": stamp(now)},
        "version": __version__,
        "summary": dict(summary(results)),
        "checks": [entry(result) for result in results],
    }


def summary(results: Sequence[Result]) -> Counter[str]:
    """How many findings of each status."""
    return Counter({str(status): sum(result.finding.status is status for result in results) for status in Status})


def entry(result: Result) -> Body:
    """One finding with all that is known of its check."""
    check, finding = result.check, result.finding
    is_trouble = result.weight >= 0
    return described(check, finding.names) | {
        "status": str(finding.status),
        "object": finding.object,
        "message": finding.message,
        "evidence": [{"key": key, "value": value} for key, value in finding.evidence],
        "steps": list(personalise(finding.steps, finding.names)) if is_trouble else [],
        "durationMilliseconds": finding.duration_ms,
    }


def described(check: Check, names: Mapping[str, str]) -> Body:
    """The fixed part of a check."""
    return {
        "id": check.id,
        "plugin": PLUGIN,
        "title": check.title,
        "category": str(check.category),
        "severity": str(check.severity),
        "tags": list(check.tags),
        "whyItMatters": check.why,
        "causes": [{"text": cause.text, "likelihood": str(cause.likelihood)} for cause in check.causes],
        "remediation": [_remedy(remedy, names) for remedy in check.remedies],
        "verification": check.how_to_verify,
        "runbookURL": runbook(check.id),
        "related": list(check.related),
    }


def _remedy(remedy: Remedy, names: Mapping[str, str]) -> Body:
    return {
        "platform": str(remedy.platform),
        "steps": list(remedy.steps),
        "commands": list(personalise(remedy.commands, names)),
        "safe": remedy.is_safe,
    }


def junit(results: Sequence[Result], fail_on: int) -> str:
    """JUnit XML: what counts for the exit code is a failure, what was skipped is skipped."""
    counts = [result.weight >= fail_on for result in results]
    suite = ET.Element("testsuite", name="watchbell doctor", tests=str(len(results)), failures=str(sum(counts)))
    for result, counts_for_exit in zip(results, counts, strict=True):
        check, finding = result.check, result.finding
        name = f"{check.title}: {finding.object}" if finding.object else check.title
        case = ET.SubElement(
            suite, "testcase", classname=check.id, name=_printable(name), time=f"{finding.duration_ms / 1000:.3f}"
        )
        text = "\n".join((finding.message, *(f"{key}: {value}" for key, value in finding.evidence)))
        if counts_for_exit:
            ET.SubElement(
                case, "failure", type=str(finding.status), message=_printable(finding.message)
            ).text = _printable(text)
        elif finding.status is Status.SKIP:
            ET.SubElement(case, "skipped", message=_printable(finding.message))
        else:
            ET.SubElement(case, "system-out").text = _printable(text)
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Without what XML 1.0 cannot hold."""
    return "".join(
        char
        for char in text
        if char in "\t\n" or (ord(char) >= 32 and not 0xD800 <= ord(char) <= 0xDFFF and ord(char) < 0xFFFE)
    )
