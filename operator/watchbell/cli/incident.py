"""`watchbell incident list|ack|unack`: what is wrong, who was told or why nobody was, and that somebody is at it.

Before: `options` read the flags. All of it is done with the rights of whoever calls; an acknowledgement is one annotation.
"""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from watchbell.api.conditions import find
from watchbell.api.enums import IncidentKind, Severity
from watchbell.api.names import ANNOTATION_ACKNOWLEDGED_BY
from watchbell.api.times import moment
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, print_list, print_object, table
from watchbell.cli.spans import short
from watchbell.collectors.silencing.silences import IncidentFacts
from watchbell.kube.client import custom
from watchbell.kube.reviews import who_am_i

INCIDENTS = custom("collectorincidents")
_ORDER = {str(severity): number for number, severity in enumerate(Severity)}
Body = Mapping[str, Any]


def do(flags: argparse.Namespace) -> int:
    """The verb that was chosen; its exit code."""
    match flags.action:
        case "ack":
            return in_cluster(flags, lambda cluster: _acknowledge(cluster, flags))
        case "unack":
            return in_cluster(flags, lambda cluster: _take_back(cluster, flags))
        case _:
            return in_cluster(flags, lambda cluster: _list(cluster, flags))


def is_open(body: Body) -> bool:
    """Whether the fault stands, as far as the operator wrote it down."""
    resolved = find(_conditions(body), "Resolved")
    return resolved is None or resolved["status"] != "True"


def facts_of(body: Body) -> IncidentFacts:
    """What a silence can look at in an incident. The operator knows more pods than the fifty that stand in the object."""
    spec, status = body["spec"], body.get("status") or {}
    pods = status.get("affectedPods") or ()
    return IncidentFacts(
        policy=spec["policyRef"]["name"],
        owner_kind=spec["owner"]["kind"],
        owner_name=spec["owner"]["name"],
        pods=tuple(pod["name"] for pod in pods),
        nodes=tuple({pod["node"]: None for pod in pods if pod.get("node")}),
        kind=IncidentKind(kind_of(body)),
        severity=Severity(severity_of(body)),
    )


def kind_of(body: Body) -> str:
    """The worst that it has been."""
    return str((body.get("status") or {}).get("worst") or body["spec"]["kind"])


def severity_of(body: Body) -> str:
    """How bad it is by now."""
    return str((body.get("status") or {}).get("severity") or body["spec"]["severity"])


def told(body: Body) -> str:
    """Whether people know, in one word: the reason of what keeps it quiet, or `Told`."""
    quiet = _quiet(body)
    if quiet is not None:
        return "Silenced" if quiet["type"] == "Silenced" else str(quiet["reason"])
    if ANNOTATION_ACKNOWLEDGED_BY in (body["metadata"].get("annotations") or {}):
        return "Acknowledged"
    return "Told" if find(_conditions(body), "Notified") else ""


def _quiet(body: Body) -> Body | None:
    """The condition that says why nobody is told."""
    for type_, status in (("Silenced", "True"), ("Notified", "False")):
        found = find(_conditions(body), type_)
        if found is not None and found["status"] == status:
            return found
    return None


def _conditions(body: Body) -> Sequence[Body]:
    return (body.get("status") or {}).get("conditions") or ()


async def _acknowledge(cluster: Cluster, flags: argparse.Namespace) -> int:
    who = flags.by or await who_am_i(cluster.client)
    if not who:
        raise CommandError("the cluster does not tell who you are: say it with --by")
    for name in flags.names:
        body = await cluster.client.get(INCIDENTS, name, cluster.home)
        over = "" if is_open(body) else "; it was over already"
        patched = await _annotate(cluster, name, who)
        _answer(patched, f"acknowledged by {who}: no more repeats; its end is told{over}", flags)
    return 0


async def _take_back(cluster: Cluster, flags: argparse.Namespace) -> int:
    for name in flags.names:
        patched = await _annotate(cluster, name, None)
        _answer(patched, "no longer acknowledged: repeats go on", flags)
    return 0


async def _annotate(cluster: Cluster, name: str, who: str | None) -> dict[str, Any]:
    change = {"metadata": {"annotations": {ANNOTATION_ACKNOWLEDGED_BY: who}}}
    return await cluster.client.patch(INCIDENTS, name, change, cluster.home)


def _answer(body: Body, text: str, flags: argparse.Namespace) -> None:
    if flags.output:
        print_object(body, flags.output)
    else:
        print(f"collectorincident.watchbell.dev/{body['metadata']['name']} {text}")


async def _list(cluster: Cluster, flags: argparse.Namespace) -> int:
    selector = "" if flags.resolved else "status.resolvedTime="
    bodies = await cluster.client.list(INCIDENTS, cluster.namespace, field_selector=selector)
    bodies.sort(key=_worst_first)
    if flags.output and flags.output != "wide":
        print_list(bodies, flags.output)
        return 0
    if not bodies:
        where = f"in namespace {cluster.namespace}" if cluster.namespace else "in any namespace"
        complain(f"no incident is open {where}" + ("" if flags.resolved else "; --resolved shows those that are over"))
        return 0
    _print(bodies, datetime.now(UTC), flags)
    return 0


def _worst_first(body: Body) -> tuple[bool, int, str, str]:
    spec, meta = body["spec"], body["metadata"]
    return not is_open(body), _ORDER.get(severity_of(body), len(_ORDER)), spec["startTime"], meta["name"]


def _print(bodies: Sequence[Body], now: datetime, flags: argparse.Namespace) -> None:
    titles = ["NAME", "KIND", "OWNER", "SEVERITY", "RESOLVED", "TOLD", "PODS", "LAST-MAIL", "AGE"]
    rows = [_row(body, now) for body in bodies]
    if flags.output == "wide":
        titles += ["POLICY", "CONTAINER", "ACKNOWLEDGED-BY", "WHY-QUIET"]
        rows = [[*row, *_more(body)] for row, body in zip(rows, bodies, strict=True)]
    if flags.all_namespaces:
        titles.insert(0, "NAMESPACE")
        rows = [[body["metadata"]["namespace"], *row] for row, body in zip(rows, bodies, strict=True)]
    table(titles, rows, has_titles=not flags.no_headers)


def _row(body: Body, now: datetime) -> list[str]:
    spec, status, meta = body["spec"], body.get("status") or {}, body["metadata"]
    mails = [moment(item.get("time")) for item in status.get("notifications") or () if item.get("messageRef")]
    return [
        meta["name"],
        kind_of(body),
        f"{spec['owner']['kind']}/{spec['owner']['name']}",
        severity_of(body),
        str(not is_open(body)),
        told(body),
        str(status.get("affectedCount", "")),
        _ago(mails[-1], now) if mails else "",
        _ago(moment(meta["creationTimestamp"]), now),
    ]


def _more(body: Body) -> list[str]:
    return [
        body["spec"]["policyRef"]["name"],
        body["spec"].get("container") or "",
        (body["metadata"].get("annotations") or {}).get(ANNOTATION_ACKNOWLEDGED_BY, ""),
        str((_quiet(body) or {}).get("message", "")),
    ]


def _ago(time: datetime | None, now: datetime) -> str:
    return short((now - time).total_seconds()) if time else ""
