"""`watchbell doctor run|list|explain`: what is wrong with the way of a mail, why, and what to do.

Before: `diagnosisoptions` read the flags. The same checks look at a cluster, at manifests (`-f`), and at plain settings (`-f` or `--env`).
Reads only: from the cluster with the caller's rights, from mail servers with the operator's own probe.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from watchbell.cli import doctortext
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, print_data, table
from watchbell.cli.denials import granting
from watchbell.cli.paint import painter
from watchbell.cli.remedywords import in_flags
from watchbell.convert.draft import UnreadableError
from watchbell.convert.settings import read_environ
from watchbell.doctor import files
from watchbell.doctor.catalog import CHECKS, UnknownCheckError, Wish, chosen, examine, full_id, groups, worst
from watchbell.doctor.facts import Facts, Source
from watchbell.doctor.gather import OPERATOR_LABEL, Place, gather, sees_all
from watchbell.doctor.model import Check, Finding, Result, Severity, Status
from watchbell.doctor.probing import dial
from watchbell.doctor.record import described, document, junit
from watchbell.doctor.relays import Dialled, relays
from watchbell.doctor.remote import chosen_pod, results_of
from watchbell.kube.client import PODS
from watchbell.kube.execute import run_in_pod
from watchbell.smtp.model import Relay

USAGE, UNREACHABLE, TIMED_OUT, INTERRUPTED = 2, 4, 124, 130
MAX_FILE_BYTES = 16 * 1024 * 1024
_NEVER = len(Severity)


def do(flags: argparse.Namespace) -> int:
    """0 nothing at or above --fail-on, 1 something, 2 usage, 4 the cluster did not answer or refused, 124 too slow."""
    try:
        match flags.action:
            case "list":
                return _list(flags)
            case "explain":
                return _explain(flags)
            case _:
                return _run(flags, chosen(_wish(flags)))
    except (UnknownCheckError, CommandError) as error:
        complain(error)
        return USAGE


def _wish(flags: argparse.Namespace) -> Wish:
    return Wish(
        ids=tuple(flags.check),
        categories=tuple(flags.category),
        tags=tuple(flags.tag),
        least=Severity(flags.severity),
        is_quick=getattr(flags, "quick", False),
    )


def _list(flags: argparse.Namespace) -> int:
    checks = chosen(_wish(flags))
    if flags.output in {"json", "yaml"}:
        print_data({"checks": [described(check, {}) for check in checks]}, flags.output)
    else:
        table(
            ["ID", "CATEGORY", "SEVERITY", "NETWORK", "TITLE"],
            doctortext.list_rows(checks),
            has_titles=not flags.no_headers,
        )
    return 0


def _explain(flags: argparse.Namespace) -> int:
    wanted = full_id(flags.id)
    found = [check for check in CHECKS if check.id == wanted or check.id.startswith(f"{wanted}.")]
    brush = painter(flags.color)
    if wanted in groups():
        print(f"{wanted} stands for {len(found)} checks.\n")
    for check in found:
        for line in doctortext.explain_lines(brush, check):
            print(line)
        print()
    return 0


def _run(flags: argparse.Namespace, checks: tuple[Check, ...]) -> int:
    if flags.file or flags.env:
        return _alone(flags, checks)

    async def work(cluster: Cluster) -> int:
        async with asyncio.timeout(flags.timeout):
            if flags.from_operator:
                return await _from_operator(cluster, flags, checks)
            facts = await _look(cluster, flags)
            return await _finish(flags, checks, facts, cluster.client.access.server)

    try:
        return in_cluster(flags, work, failed=UNREACHABLE)
    except TimeoutError:
        return _too_slow(flags)


def _too_slow(flags: argparse.Namespace) -> int:
    complain(
        f"it took longer than {flags.timeout:g} s; give more with --timeout, or leave the network out with --quick"
    )
    return TIMED_OUT


async def _from_operator(cluster: Cluster, flags: argparse.Namespace, checks: tuple[Check, ...]) -> int:
    """The same program in the operator's pod; its findings are shown here."""
    home = flags.operator_namespace
    pods = await cluster.client.list(PODS, home, label_selector=OPERATOR_LABEL)
    place = chosen_pod(pods)
    if place is None:
        raise CommandError(
            f"no pod of the operator runs in namespace {home}; see: watchbell doctor --check check.operator",
            UNREACHABLE,
        )
    pod, container = place
    words = [
        "watchbell",
        "doctor",
        "run",
        "-o",
        "json",
        "--fail-on",
        "never",
        f"--timeout={flags.timeout}",
        f"--operator-namespace={home}",
    ]
    words += [f"--check={check.id}" for check in checks]
    words += [f"--namespace={flags.namespace}"] if flags.namespace else []
    words += ["--login"] if flags.login else []
    _tell(flags, f"looking from pod {pod} ...")
    ran = await run_in_pod(cluster.client.access, home, pod, container, words)
    found = results_of(ran.out, pod) if ran.code == 0 else f"exit code {ran.code}: {ran.err.strip() or ran.out[:200]}"
    if isinstance(found, str):
        raise CommandError(f"the doctor in pod {pod} gave no report: {found}", UNREACHABLE)
    facts = Facts(
        datetime.now(UTC), Source.CLUSTER, home=home, namespaces=(flags.namespace,) if flags.namespace else ()
    )
    _print(flags, found, facts, f"{cluster.client.access.server}, seen from pod {pod}")
    return _exit_code(flags, found)


async def _look(cluster: Cluster, flags: argparse.Namespace) -> Facts:
    from watchbell.settings import settings_from  # noqa: PLC0415 - only against a cluster
    from watchbell.start import wanted_rights  # noqa: PLC0415 - brings the operator's libraries

    namespace = cluster.namespace
    if not flags.namespace and not flags.all_namespaces:
        namespace = None if await sees_all(cluster.client) else cluster.home
    rights = wanted_rights(settings_from([f"--cluster-resource-namespace={flags.operator_namespace}"]))
    facts = await gather(cluster.client, Place(namespace, flags.operator_namespace, flags.operator_account, rights))
    if facts.crds and set(facts.gaps) >= {"SmtpConnector", "ClusterSmtpConnector", "CollectorPolicy", "EmailMessage"}:
        refusal = facts.gaps["SmtpConnector"]
        raise CommandError(f"{refusal}; an administrator allows it with: {granting(refusal)}", UNREACHABLE)
    return facts


def _alone(flags: argparse.Namespace, checks: tuple[Check, ...]) -> int:
    """Files and settings, without a cluster."""
    try:
        facts, plain = _read(flags)
        return asyncio.run(_in_time(flags, _finish(flags, checks, facts, "", plain)))
    except UnreadableError as error:
        complain(error)
        return USAGE
    except TimeoutError:
        return _too_slow(flags)
    except KeyboardInterrupt:
        return INTERRUPTED


async def _in_time(flags: argparse.Namespace, work: Coroutine[None, None, int]) -> int:
    async with asyncio.timeout(flags.timeout):
        return await work


def _read(flags: argparse.Namespace) -> tuple[Facts, tuple[tuple[str, Relay], ...]]:
    """Manifests as facts, and the relay of each file of settings. Raises UnreadableError."""
    texts = [(name, text) for name in flags.file for name, text in _texts(name)]
    settings = [(name, files.settings_pairs(name, text)) for name, text in texts if files.is_settings(name, text)]
    if flags.env:
        settings.append(("the environment", read_environ(os.environ)))
    plain = tuple((name, _relay(name, pairs)) for name, pairs in settings)
    manifests = [(name, text) for name, text in texts if not files.is_settings(name, text)]
    now = datetime.now(UTC)
    if not manifests:
        return files.of_settings(now), plain
    return files.manifests(manifests, flags.namespace or "default", flags.operator_namespace, now), plain


def _relay(name: str, pairs: Mapping[str, str]) -> Relay:
    try:
        return files.relay_of_settings(pairs)
    except UnreadableError as error:
        raise UnreadableError(f"{name}: {error}") from error


def _texts(name: str) -> list[tuple[str, str]]:
    """A file, every manifest of a folder, or standard input."""
    if name == "-":
        return [("standard input", sys.stdin.read(MAX_FILE_BYTES))]
    path = Path(name)
    try:
        paths = (
            sorted(one for one in path.rglob("*") if one.suffix in {".yaml", ".yml", ".json"})
            if path.is_dir()
            else [path]
        )
        found = [(str(one), one.read_text(encoding="utf-8")) for one in paths]
    except UnicodeError:
        raise UnreadableError(f"{name} is not text in UTF-8") from None
    except OSError as error:
        raise UnreadableError(f"{error.filename or name} cannot be read: {error.strerror}") from error
    if not found:
        raise UnreadableError(f"{name} holds no .yaml, .yml or .json file")
    return found


async def _finish(
    flags: argparse.Namespace,
    checks: tuple[Check, ...],
    facts: Facts,
    server: str,
    plain: tuple[tuple[str, Relay], ...] = (),
) -> int:
    wanted = [check for check in checks if not check.is_quick]
    if wanted:
        found, gaps = relays(facts, has_login=flags.login)
        dialled = [
            *found,
            *(Dialled(name, relay if flags.login else replace(relay, auth=None)) for name, relay in plain),
        ]
        _tell(flags, f"looking at {len(dialled)} mail server(s) from here ...")
        facts = replace(facts, probes=await dial(dialled, has_login=flags.login))
    results = examine(facts, checks)
    if facts.source is Source.SETTINGS:
        results = tuple(
            replace(one, finding=replace(one.finding, steps=in_flags(one.finding.steps))) for one in results
        )
    if wanted:
        skipped = tuple(
            Result(wanted[0], Finding(Status.SKIP, f"not dialled: {why}", name)) for name, why in gaps.items()
        )
        results = (*results, *skipped)
    _print(flags, results, facts, server)
    return _exit_code(flags, results)


def _exit_code(flags: argparse.Namespace, results: tuple[Result, ...]) -> int:
    return 1 if worst(results) >= _fail_on(flags) else 0


def _fail_on(flags: argparse.Namespace) -> int:
    return _NEVER if flags.fail_on == "never" else Severity(flags.fail_on).rank


def _tell(flags: argparse.Namespace, text: str) -> None:
    """Progress, for people only."""
    if not flags.quiet and sys.stderr.isatty():
        print(text, file=sys.stderr)


def _print(flags: argparse.Namespace, results: tuple[Result, ...], facts: Facts, server: str) -> None:
    match flags.output:
        case "json" | "yaml":
            print_data(document(results, facts.now), flags.output)
        case "junit":
            print(junit(results, _fail_on(flags)), end="")
        case _:
            _print_text(flags, results, facts, server)


def _print_text(flags: argparse.Namespace, results: tuple[Result, ...], facts: Facts, server: str) -> None:
    brush = painter(flags.color)
    if not flags.quiet:
        for line in brush.fold(doctortext.heading(facts, server)):
            print(brush.paint(line, "strong"))
        print()
    platform = "" if facts.source is Source.SETTINGS else flags.platform
    for line in doctortext.report_lines(brush, results, platform, is_quiet=flags.quiet):
        print(line)
    if not results:
        kind = "no cluster object and no setting" if facts.source is not Source.CLUSTER else "nothing"
        print(f"The checks that were chosen found {kind} to look at.")
    print(doctortext.summary_line(brush, results))
