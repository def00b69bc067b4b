"""`watchbell test NAME --to A`: the operator tries a connector with its own network and Secret, and this shows how it went.

Before: the flags. It creates an SmtpTest and, with `--wait`, follows it to its end. The object stays for an hour, so that others can look at it.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping
from typing import Any

from watchbell.api.conditions import condition_of
from watchbell.api.enums import ConnectorKind, StageName, StageResult
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, harmless, object_name, print_object
from watchbell.cli.paint import Painter, painter
from watchbell.cli.probetext import stage_lines
from watchbell.kube.client import Client, custom
from watchbell.mail.nearest import nearest
from watchbell.smtp.model import ServerFacts, StageReport, TlsFacts

TESTS = custom("smtptests")
KEPT_S = 3600
LOOK_EVERY_S = 0.3
UNSEEN_S = 20.0
_LEVELS = {"connect": "Connect", "authenticate": "Authenticate", "deliver": "Deliver"}
_KINDS = {
    **dict.fromkeys(("smtpconnector", "smtpconnectors", "smtpc"), ConnectorKind.SMTP_CONNECTOR),
    **dict.fromkeys(("clustersmtpconnector", "clustersmtpconnectors", "csmtpc"), ConnectorKind.CLUSTER_SMTP_CONNECTOR),
}
Body = Mapping[str, Any]


def do(flags: argparse.Namespace) -> int:
    """0 created, or with --wait passed; 1 it failed or could not be created; 2 the command line was wrong."""
    try:
        spec = draft(flags)
    except CommandError as error:
        complain(error)
        return error.code
    return in_cluster(flags, lambda cluster: _run(cluster, flags, spec))


def draft(flags: argparse.Namespace) -> dict[str, Any]:
    """The spec of the SmtpTest. Raises CommandError (code 2)."""
    kind, slash, name = flags.name.rpartition("/")
    known = _KINDS.get(kind.lower()) if slash else ConnectorKind.SMTP_CONNECTOR
    if known is None:
        near = nearest(kind.lower(), _KINDS)
        raise CommandError(
            f"there is no kind {kind} of connector; "
            + (f"did you mean {near}?" if near else "use smtpconnector or clustersmtpconnector"),
            2,
        )
    level = _LEVELS[flags.level] if flags.level else "Deliver" if flags.to else "Authenticate"
    if level == "Deliver" and not flags.to:
        raise CommandError("--level deliver needs --to: who gets the test mail", 2)
    if level != "Deliver" and flags.to:
        raise CommandError(f"--to sends a mail, and --level {flags.level} does not: leave one of them away", 2)
    spec: dict[str, Any] = {
        "connectorRef": {"kind": str(known), "name": name},
        "level": level,
        "ttlSecondsAfterFinished": KEPT_S,
    }
    return spec | ({"to": flags.to} if flags.to else {})


async def _run(cluster: Cluster, flags: argparse.Namespace, spec: dict[str, Any]) -> int:
    body = {
        "apiVersion": API_VERSION,
        "kind": "SmtpTest",
        "metadata": {"generateName": f"{spec['connectorRef']['name'][:40]}-"},
        "spec": spec,
    }
    made = await cluster.client.create(TESTS, body, cluster.home)
    if flags.wait:
        made = await _followed(cluster, flags, made)
    if flags.output:
        print_object(made, flags.output)
    elif not flags.wait:
        name = made["metadata"]["name"]
        print(
            f"{object_name(made)} created; see: kubectl -n {cluster.home} get smtptest {name} -o wide, or give --wait"
        )
        return 0
    else:
        for line in result_lines(painter(flags.color), made):
            print(line)
    return 0 if not flags.wait or condition_of(made, "Succeeded").get("status") == "True" else 1


async def _followed(cluster: Cluster, flags: argparse.Namespace, made: Body) -> dict[str, Any]:
    name = str(made["metadata"]["name"])
    try:
        async with asyncio.timeout(flags.timeout):
            return await _end(cluster.client, name, cluster.home)
    except TimeoutError:
        raise CommandError(
            f"smtptest {name} has not finished within {flags.timeout:g} s; it goes on: kubectl -n {cluster.home} get smtptest {name}"
        ) from None
    except asyncio.CancelledError:
        complain(f"smtptest {name} goes on without you: kubectl -n {cluster.home} get smtptest {name}")
        raise


async def _end(client: Client, name: str, namespace: str) -> dict[str, Any]:
    """The test, once it is finished; says once that nobody seems to take it up."""
    unseen_until: float | None = time.monotonic() + UNSEEN_S
    while True:
        body = await client.get(TESTS, name, namespace)
        if (body.get("status") or {}).get("completionTime"):
            return body
        if condition_of(body, "Succeeded"):
            unseen_until = None
        elif unseen_until is not None and time.monotonic() > unseen_until:
            complain(
                "nobody has taken the test up yet: does the operator run? see: watchbell doctor --check check.operator"
            )
            unseen_until = None
        await asyncio.sleep(LOOK_EVERY_S)


def result_lines(brush: Painter, body: Body) -> list[str]:
    """Each stage, the verdict, and what to do."""
    status, verdict = body.get("status") or {}, condition_of(body, "Succeeded")
    lines = [brush.paint(f"{object_name(body)}: {status.get('endpoint', 'no server was reached')}", "strong"), ""]
    facts, transcript = _facts(status), [harmless(str(line)) for line in status.get("transcript") or ()]
    for stage in status.get("stages") or ():
        report = _report(stage)
        # A passed stage of a login that nobody wants says nothing.
        if report.reason is not Reason.AUTHENTICATION_NOT_REQUIRED:
            lines += stage_lines(brush, report, facts, transcript)
    is_good = verdict.get("status") == "True"
    lines += ["", *brush.fold(harmless(f"{verdict.get('reason')}: {verdict.get('message')}"))]
    lines[-1] = brush.paint(lines[-1], "good" if is_good else "bad") if len(lines[-1]) < 80 else lines[-1]
    failed = next((stage for stage in status.get("stages") or () if stage.get("result") == "Failed"), None)
    for number, entry in enumerate((failed or {}).get("chain") or (), 1):
        lines += brush.fold(harmless(str(entry)), f"  {number:>3}. ")
    for sentence in status.get("remediation") or ():
        lines += brush.fold(harmless(str(sentence)), "  - ")
    return lines


def _facts(status: Body) -> ServerFacts:
    server = status.get("server") or {}
    tls = server.get("tls") or {}
    shown = TlsFacts(
        str(tls.get("version", "")), str(tls.get("cipher", "")), str(tls.get("subject", "")), str(tls.get("issuer", "")),
        str(tls.get("notAfter", "")), str(tls.get("sha256", "")),
    )  # fmt: skip
    return ServerFacts(capabilities=tuple(server.get("capabilities") or ()), tls=shown if tls else None)


def _report(stage: Body) -> StageReport:
    reason = stage.get("reason")
    return StageReport(
        StageName(stage["name"]),
        StageResult(stage["result"]),
        int(stage.get("durationMilliseconds") or 0),
        next((one for one in Reason if one == reason), None),
    )
