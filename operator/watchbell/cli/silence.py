"""`watchbell silence create|expire|list`: mute alerts for a while, end that early, see what is muted.

Before: `options` read the flags, `silencedraft` made an object of them. All of it is done with the rights of whoever calls.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from watchbell.api.times import moment, stamp
from watchbell.cli import silencedraft
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, print_list, print_object, table
from watchbell.cli.incident import facts_of, is_open
from watchbell.cli.spans import left, short
from watchbell.collectors.silencing.silences import Silence, Window, read_silence
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import AlreadyExists, ApiError
from watchbell.kube.reviews import who_am_i

SILENCES = custom("alertsilences")
INCIDENTS = custom("collectorincidents")
NAMED_MAX = 5
Body = dict[str, Any]


def do(flags: argparse.Namespace) -> int:
    """The verb that was chosen; its exit code."""
    match flags.action:
        case "create":
            return _create(flags, datetime.now(UTC))
        case "expire":
            return in_cluster(flags, lambda cluster: _expire(cluster, flags))
        case _:
            return in_cluster(flags, lambda cluster: _list(cluster, flags))


def _create(flags: argparse.Namespace, now: datetime) -> int:
    try:
        body = silencedraft.draft(flags, flags.created_by or "", now)
    except ValueError as error:
        complain(error)
        return 2
    wrong = read_silence(body)
    if isinstance(wrong, tuple):
        complain("; ".join(map(str, wrong)))
        return 2
    if flags.dry_run:
        if flags.namespace:
            body["metadata"]["namespace"] = flags.namespace
        print_object(body, flags.output or "yaml")
        return 0
    return in_cluster(flags, lambda cluster: _make(cluster, flags, body))


async def _make(cluster: Cluster, flags: argparse.Namespace, body: Body) -> int:
    if not flags.created_by:
        body["spec"]["createdBy"] = await who_am_i(cluster.client)
    try:
        made = await cluster.client.create(SILENCES, body, cluster.home)
    except AlreadyExists as error:
        raise CommandError(f"an AlertSilence of this name is there already: {body['metadata']['name']}") from error
    if flags.output:
        print_object(made, flags.output)
        return 0
    print(_made(made, datetime.now(UTC)))
    await _tell_matches(cluster, made)
    return 0


def _made(body: Body, now: datetime) -> str:
    meta, spec = body["metadata"], body["spec"]
    end = silencedraft.time_of(spec["endTime"], "endTime")
    start = moment(spec.get("startTime"))
    begins = f" from {stamp(start)}" if start and start > now else ""
    until = f"until {stamp(end)} (in {left((end - now).total_seconds())})"
    what = silencedraft.describe(spec["matchers"])
    return f"alertsilence.watchbell.dev/{meta['name']} created: mutes {what} in namespace {meta['namespace']}{begins} {until}"


async def _tell_matches(cluster: Cluster, made: Body) -> None:
    """How many open incidents it matches; who may not list incidents is not told."""
    silence = read_silence(made)
    if not isinstance(silence, Silence):
        return
    try:
        bodies = await cluster.client.list(INCIDENTS, cluster.home)
    except ApiError:
        return
    names = sorted(body["metadata"]["name"] for body in bodies if is_open(body) and silence.mutes(facts_of(body)))
    if not names:
        print("No open incident matches it now.")
        return
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    print(f"Open incidents that match it now: {', '.join(names[:NAMED_MAX])}{more}.")


async def _expire(cluster: Cluster, flags: argparse.Namespace) -> int:
    for name in flags.names:
        body = await cluster.client.get(SILENCES, name, cluster.home)
        ended, text = await _end(cluster.client, body, datetime.now(UTC))
        if flags.output:
            print_object(ended, flags.output)
        else:
            print(f"alertsilence.watchbell.dev/{name} {text}")
    return 0


async def _end(client: Client, body: Body, now: datetime) -> tuple[Body, str]:
    """What stands there afterwards, and what was done. One that never began is deleted: it held nothing back."""
    meta, spec = body["metadata"], body["spec"]
    start = moment(spec.get("startTime"))
    match _window(body, now):
        case Window.EXPIRED:
            return body, f"ended already at {spec['endTime']}"
        case Window.PENDING:
            await client.delete(SILENCES, meta["name"], meta["namespace"], uid=meta["uid"])
            return body, "had not begun: deleted"
    end = max(now.replace(microsecond=0), start + timedelta(seconds=1)) if start else now
    patched = await client.patch(SILENCES, meta["name"], {"spec": {"endTime": stamp(end)}}, meta["namespace"])
    return patched, "ended; one mail will say what it held back, if it held back anything"


def _window(body: Mapping[str, Any], now: datetime) -> Window | None:
    """None = the object is not one that mutes anything."""
    read = read_silence(body)
    return read.window(now) if isinstance(read, Silence) else None


async def _list(cluster: Cluster, flags: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    bodies = await cluster.client.list(SILENCES, cluster.namespace)
    shown = [body for body in bodies if flags.expired or _window(body, now) is not Window.EXPIRED]
    if flags.output and flags.output != "wide":
        print_list(shown, flags.output)
        return 0
    if not shown:
        where = f"in namespace {cluster.namespace}" if cluster.namespace else "in any namespace"
        complain(
            f"no silence mutes anything {where}" + ("" if flags.expired else "; --expired shows those that have ended")
        )
        return 0
    shown.sort(key=lambda body: (str(body["metadata"].get("namespace")), str(body["spec"].get("endTime"))))
    _print(shown, now, flags)
    return 0


def _print(bodies: Sequence[Mapping[str, Any]], now: datetime, flags: argparse.Namespace) -> None:
    titles = ["NAME", "STATE", "ENDS-IN", "INCIDENTS", "HELD-BACK", "MATCHERS", "AGE"]
    rows = [_row(body, now) for body in bodies]
    if flags.output == "wide":
        titles += ["CREATED-BY", "COMMENT"]
        rows = [
            [*row, str(body["spec"].get("createdBy", "")), str(body["spec"].get("comment", ""))]
            for row, body in zip(rows, bodies, strict=True)
        ]
    if flags.all_namespaces:
        titles.insert(0, "NAMESPACE")
        rows = [[str(body["metadata"]["namespace"]), *row] for row, body in zip(rows, bodies, strict=True)]
    table(titles, rows, has_titles=not flags.no_headers)


def _row(body: Mapping[str, Any], now: datetime) -> list[str]:
    meta, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    end, made = moment(spec.get("endTime")), moment(meta.get("creationTimestamp"))
    left_s = (end - now).total_seconds() if end else 0
    return [
        str(meta["name"]),
        str(_window(body, now) or "Invalid"),
        left(left_s) if left_s > 0 else "ended",
        str(status.get("matchedIncidents", "")),
        str(status.get("heldBack", "")),
        silencedraft.describe(spec.get("matchers")),
        short((now - made).total_seconds()) if made else "",
    ]
