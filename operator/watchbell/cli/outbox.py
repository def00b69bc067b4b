"""`watchbell outbox list|show|retry|cancel`: what waits and why, what became of a message, send it again, take it back.

Before: `options` read the flags. All of it is done with the rights of whoever calls; what the outbox did stands in each message's status.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watchbell.api.times import moment
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, harmless, print_list, print_object, table
from watchbell.cli.outboxcopy import copy_of, doubt, is_finished, recipients, succeeded
from watchbell.cli.spans import left, short
from watchbell.kube.client import custom
from watchbell.kube.errors import NotFound

MESSAGES = custom("emailmessages")
UNFINISHED = "status.completionTime="
FINISHED = "status.completionTime!="
_HELD = frozenset({"ConnectorNotReady", "Suspended", "ConnectorNotFound"})
Body = Mapping[str, Any]


def do(flags: argparse.Namespace) -> int:
    """The verb that was chosen; its exit code."""
    match flags.action:
        case "show":
            return in_cluster(flags, lambda cluster: _show(cluster, flags))
        case "retry":
            return in_cluster(flags, lambda cluster: _retry(cluster, flags))
        case "cancel":
            return in_cluster(flags, lambda cluster: _cancel(cluster, flags))
        case _:
            return in_cluster(flags, lambda cluster: _list(cluster, flags))


# ---------------------------------------------------------------- list


async def _list(cluster: Cluster, flags: argparse.Namespace) -> int:
    selector = FINISHED if flags.failed else "" if flags.finished else UNFINISHED
    bodies = await cluster.client.list(MESSAGES, cluster.namespace, field_selector=selector)
    shown = [body for body in bodies if not flags.failed or succeeded(body).get("status") == "False"]
    shown.sort(key=lambda body: (str(body["metadata"].get("creationTimestamp")), body["metadata"]["name"]))
    if flags.output and flags.output != "wide":
        print_list(shown, flags.output)
        return 0
    if not shown:
        where = f"in namespace {cluster.namespace}" if cluster.namespace else "in any namespace"
        complain(f"{_nothing(flags)} {where}")
        return 0
    _print(shown, datetime.now(UTC), flags)
    return 0


def _nothing(flags: argparse.Namespace) -> str:
    if flags.failed:
        return "no message has failed"
    return (
        "there is no message" if flags.finished else "no message waits; --failed and --finished show those that ended"
    )


def _print(bodies: Sequence[Body], now: datetime, flags: argparse.Namespace) -> None:
    titles = ["NAME", "SUCCEEDED", "REASON", "ATTEMPTS", "NEXT-ATTEMPT", "CONNECTOR", "AGE"]
    rows = [_row(body, now) for body in bodies]
    if flags.output == "wide":
        titles += ["PRIORITY", "RECIPIENTS", "SUBJECT", "MESSAGE"]
        rows = [[*row, *_more(body)] for row, body in zip(rows, bodies, strict=True)]
    if flags.all_namespaces:
        titles.insert(0, "NAMESPACE")
        rows = [[body["metadata"]["namespace"], *row] for row, body in zip(rows, bodies, strict=True)]
    table(titles, rows, has_titles=not flags.no_headers)


def _row(body: Body, now: datetime) -> list[str]:
    told, status = succeeded(body), body.get("status") or {}
    made = moment(body["metadata"].get("creationTimestamp"))
    return [
        str(body["metadata"]["name"]),
        str(told.get("status") or "Unknown"),
        str(told.get("reason") or "Queued"),
        str(status.get("attempts", 0)),
        next_attempt(body, now),
        _connector(body),
        short((now - made).total_seconds()) if made else "",
    ]


def _more(body: Body) -> list[str]:
    spec = body["spec"]
    return [
        str(spec.get("priority", "")),
        str(len(recipients(body))),
        str(spec.get("subject", "")),
        str(succeeded(body).get("message", "")),
    ]


def next_attempt(body: Body, now: datetime) -> str:
    """`in 5m`, `now`, or what it waits for; empty for what is finished."""
    if is_finished(body):
        return ""
    due = moment((body.get("status") or {}).get("nextAttemptTime"))
    if due is None:
        waits = succeeded(body).get("reason") in _HELD
        due = None if waits else moment(body["spec"].get("notBeforeTime"))
        if waits:
            return "connector"
    left_s = (due - now).total_seconds() if due else 0.0
    return f"in {left(left_s)}" if left_s > 0 else "now"


def _connector(body: Body) -> str:
    ref = body["spec"].get("connectorRef") or {}
    name = str(ref.get("name", "default"))
    return f"cluster/{name}" if ref.get("kind") == "ClusterSmtpConnector" else name


# ---------------------------------------------------------------- show


async def _show(cluster: Cluster, flags: argparse.Namespace) -> int:
    for number, name in enumerate(flags.names):
        body = await cluster.client.get(MESSAGES, name, cluster.home)
        if flags.output:
            print_object(body, flags.output)
            continue
        together = await _together(cluster, body)
        if number:
            print()
        for line in _described(body, together, datetime.now(UTC)):
            print(line)
    return 0


async def _together(cluster: Cluster, body: Body) -> tuple[str, ...]:
    """The other messages in the same mail."""
    identifier = (body.get("status") or {}).get("messageID")
    if not identifier:
        return ()
    others = await cluster.client.list(MESSAGES, cluster.home)
    return tuple(
        sorted(
            str(one["metadata"]["name"])
            for one in others
            if (one.get("status") or {}).get("messageID") == identifier
            and one["metadata"]["uid"] != body["metadata"]["uid"]
        )
    )


def _described(body: Body, together: Sequence[str], now: datetime) -> Iterator[str]:
    told, status, spec = succeeded(body), body.get("status") or {}, body["spec"]
    batch = spec.get("batch") or {}
    rows = (
        ("Name", f"{body['metadata']['namespace']}/{body['metadata']['name']}"),
        ("Subject", spec.get("subject")),
        ("Connector", _connector(body)),
        ("Priority", spec.get("priority")),
        ("Batch", batch.get("key")),
        ("Created", body["metadata"].get("creationTimestamp")),
        ("Succeeded", f"{told.get('status', 'Unknown')} ({told.get('reason', 'Queued')})"),
        ("Message", told.get("message")),
        ("Attempts", status.get("attempts", 0)),
        ("Last attempt", status.get("lastAttemptTime")),
        ("Next attempt", next_attempt(body, now)),
        ("Finished", status.get("completionTime")),
        ("Message-ID", status.get("messageID")),
        ("Shares its mail", ", ".join(together)),
        ("Server said", status.get("serverResponse")),
    )
    for label, value in rows:
        if value not in (None, ""):
            yield f"{label + ':':<17}{harmless(str(value))}"
    yield "Recipients:"
    for field, address, result in recipients(body):
        yield f"  {field:<4} {harmless(address)}: {_result(result)}"


def _result(result: Body) -> str:
    codes = " ".join(str(result[key]) for key in ("code", "enhancedCode") if result.get(key))
    parts = (str(result.get("result", "Pending")), str(result.get("reason", "")), codes)
    return harmless(", ".join(part for part in parts if part))


# ---------------------------------------------------------------- retry, cancel


async def _retry(cluster: Cluster, flags: argparse.Namespace) -> int:
    for name in flags.names:
        body = await cluster.client.get(MESSAGES, name, cluster.home)
        try:
            wanted = copy_of(body, is_for_everyone=flags.everyone)
        except ValueError as error:
            raise CommandError(str(error)) from error
        made = await cluster.client.create(MESSAGES, wanted, cluster.home)
        if flags.output:
            print_object(made, flags.output)
            continue
        count = len(recipients(made))
        print(
            f"emailmessage.watchbell.dev/{made['metadata']['name']} created: {name} once more, to {count} of {len(recipients(body))} recipients"
        )
    return 0


async def _cancel(cluster: Cluster, flags: argparse.Namespace) -> int:
    for name in flags.names:
        body = await cluster.client.get(MESSAGES, name, cluster.home)
        if is_finished(body):
            raise CommandError(f"{name} is finished ({succeeded(body).get('reason')}): there is nothing to cancel")
        why = doubt(body)
        if why and not flags.yes and not _is_confirmed(name, why):
            raise CommandError(f"{name} was not cancelled")
        meta = body["metadata"]
        try:
            await cluster.client.delete(MESSAGES, name, meta["namespace"], uid=meta["uid"])
        except NotFound:
            complain(f"{name} is gone already")
            continue
        told = f"; it {why}" if why else ": nobody got it"
        print(f"emailmessage.watchbell.dev/{name} cancelled{told}")
    return 0


def _is_confirmed(name: str, why: str) -> bool:
    """A question, if there is somebody to ask."""
    if not sys.stdin.isatty():
        raise CommandError(f"{name} {why}; --yes deletes it all the same")
    print(f"{name} {why}. Delete it all the same? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
