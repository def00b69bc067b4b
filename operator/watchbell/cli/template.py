"""`watchbell template preview`: how a mail in a user's words would look, before anybody gets one.

Before: `options` read the flags. The template is a file or an EmailTemplate of the cluster, the incident a sample or a recorded CollectorIncident.
The text goes to the terminal, the HTML into a file; nothing is sent and nothing in the cluster changes.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from watchbell.api.times import moment
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, harmless
from watchbell.collectors.casework.records import IncidentRecord
from watchbell.kube.client import custom
from watchbell.mail.document import Rendered
from watchbell.mail.facts import CrashFacts, DifferenceFacts, PodFacts
from watchbell.mail.template import Compiled, TemplateProblem, render
from watchbell.mail.template_samples import account_samples, samples
from watchbell.mail.template_values import incident_values
from watchbell.templates.trial import compile_object

TEMPLATES = custom("emailtemplates")
INCIDENTS = custom("collectorincidents")
KIND = "EmailTemplate"
MAX_FILE_BYTES = 1_048_576
Values = dict[str, Any]


def do(flags: argparse.Namespace) -> int:
    """Shows the mail; its exit code. A cluster is asked only for what is there."""
    if flags.incident is not None or not _is_file(flags.template):
        return in_cluster(flags, lambda cluster: _in_cluster(cluster, flags))
    try:
        return _show(flags, _read(flags.template), _sample(flags.sample))
    except CommandError as error:
        complain(error)
        return error.code


def facts_of(body: Mapping[str, Any], cluster: str = "") -> CrashFacts:
    """What the object of an incident still knows: no log and no events, for those stand nowhere but in the mails."""
    record = msgspec.json.decode(msgspec.json.encode(body), type=IncidentRecord, strict=False)
    meta, spec, status = record.metadata, record.spec, record.status
    over, now = moment(status.resolved_time), datetime.now(UTC)
    pods = tuple(
        PodFacts(
            pod.name, pod.node, pod.exit_code, pod.signal, pod.reason, pod.restarts, moment(pod.last_time), pod.message
        )
        for pod in status.affected_pods
    )
    return CrashFacts(
        cluster=cluster,
        namespace=meta.namespace,
        policy=spec.policy_ref.name,
        incident=meta.name,
        owner_kind=spec.owner.kind,
        owner_name=spec.owner.name,
        kind=spec.kind,
        worst=status.worst or spec.kind,
        severity=status.severity or spec.severity,
        container=spec.container,
        image="",
        pods=pods,
        start_time=moment(spec.start_time) or now,
        now=over or now,
        affected_count=status.affected_count,
        flaps=status.flaps,
        differences=tuple(DifferenceFacts(one.check, one.path, one.expected, one.actual) for one in status.differences),
    )


async def _in_cluster(cluster: Cluster, flags: argparse.Namespace) -> int:
    body = (
        _read(flags.template)
        if _is_file(flags.template)
        else await cluster.client.get(TEMPLATES, flags.template, cluster.home)
    )
    if flags.incident is None:
        return _show(flags, body, _sample(flags.sample))
    incident = await cluster.client.get(INCIDENTS, flags.incident, cluster.home)
    facts = facts_of(incident)
    return _show(flags, body, incident_values(facts, is_resolved=bool(incident.get("status", {}).get("resolvedTime"))))


def _is_file(template: str) -> bool:
    return template == "-" or "/" in template or template.endswith((".yaml", ".yml", ".json"))


def _read(template: str) -> Mapping[str, Any]:
    """The first EmailTemplate in the file."""
    try:
        text = sys.stdin.read(MAX_FILE_BYTES) if template == "-" else Path(template).read_text()[:MAX_FILE_BYTES]
        bodies = list(yaml.safe_load_all(text))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CommandError(f"{template} cannot be read: {error}") from error
    for body in bodies:
        if isinstance(body, dict) and body.get("kind") == KIND:
            return body
    raise CommandError(f"{template} holds no {KIND}")


def _sample(word: str) -> Values:
    return next(sample.values for sample in (*samples(), *account_samples()) if sample.word == word)


def _given(pairs: list[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"--parameter {pair}: must be NAME=VALUE", 2)
        given[name] = value
    return given


def _show(flags: argparse.Namespace, body: Mapping[str, Any], values: Values) -> int:
    given = _given(flags.parameter)
    compiled = compile_object(body)
    rendered = render(compiled, values, given) if isinstance(compiled, Compiled) else compiled
    if isinstance(rendered, TemplateProblem):
        raise CommandError(str(rendered))
    _print(rendered)
    if flags.html is not None:
        _write(Path(flags.html), rendered)
    elif rendered.html:
        complain(f"the HTML part has {len(rendered.html.encode())} bytes; --html FILE writes it")
    return 0


def _print(rendered: Rendered) -> None:
    print(f"Subject: {harmless(rendered.subject)}\n")
    for line in rendered.text.rstrip("\n").split("\n"):
        print(harmless(line))


def _write(path: Path, rendered: Rendered) -> None:
    if not rendered.html:
        raise CommandError("the template has no HTML part")
    try:
        path.write_text(rendered.html)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    complain(f"the HTML part is in {path}")
