"""`watchbell status`: how it stands, on one screen: operator, connectors, policies, open incidents, outbox.

Before: the flags. Read with the caller's rights; what may not be read says so in its place. A reason is never cut: it stands below its line, whole.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watchbell.api.conditions import condition_of, is_ready
from watchbell.api.times import moment
from watchbell.cli.cluster import Cluster, in_cluster, sentence
from watchbell.cli.console import harmless, print_data
from watchbell.cli.incident import kind_of, severity_of, told
from watchbell.cli.paint import Painter, painter
from watchbell.cli.spans import short
from watchbell.doctor.gather import OPERATOR_LABEL
from watchbell.kube.client import PODS, Client, custom
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.resources import Resource

INCIDENTS_SHOWN = 10
KINDS = {
    "connectors": custom("smtpconnectors"),
    "clusterConnectors": custom("clustersmtpconnectors", namespaced=False),
    "policies": custom("collectorpolicies"),
    "incidents": custom("collectorincidents"),
    "messages": custom("emailmessages"),
}
CONNECTOR_COLUMNS = ("NAME", "READY", "REASON", "ENDPOINT", "LAST-PROBE", "AGE")
POLICY_COLUMNS = ("NAME", "READY", "REASON", "PODS", "CRASHING", "DRIFTED", "INCIDENTS", "AGE")
INCIDENT_COLUMNS = ("NAME", "KIND", "SEVERITY", "OWNER", "TOLD", "AGE")
LEAST_COLUMNS = {CONNECTOR_COLUMNS: 4, POLICY_COLUMNS: 4, INCIDENT_COLUMNS: 3}
"""So many must stay on a narrow terminal; the others are left out from the right, and `-o json` has them."""
_SEVERITIES = ("Critical", "Warning", "Info")
Body = Mapping[str, Any]


def do(flags: argparse.Namespace) -> int:
    """0 shown, 1 the cluster did not answer."""
    return in_cluster(flags, lambda cluster: _show(cluster, flags))


async def _show(cluster: Cluster, flags: argparse.Namespace) -> int:
    found, gaps = await _read(cluster, flags.operator_namespace)
    screen = Screen(found, gaps, cluster.namespace, flags.operator_namespace, datetime.now(UTC))
    if flags.output:
        print_data(screen.summary(), flags.output)
    else:
        for line in screen.lines(painter(flags.color)):
            print(line)
    return 0


async def _read(cluster: Cluster, home: str) -> tuple[dict[str, list[Body]], dict[str, str]]:
    """The objects of each kind, and why some could not be read. Raises ApiError if none could, since then there is nothing to show."""
    wanted: dict[str, tuple[Resource, str | None, str, str]] = {
        name: (
            resource,
            cluster.namespace if resource.namespaced else None,
            "",
            "status.resolvedTime=" if name == "incidents" else "",
        )
        for name, resource in KINDS.items()
    }
    wanted["operator"] = (PODS, home, OPERATOR_LABEL, "")
    answers = await asyncio.gather(*(_list(cluster.client, *place) for place in wanted.values()))
    found = {name: answer for name, answer in zip(wanted, answers, strict=True) if isinstance(answer, list)}
    refused = {name: answer for name, answer in zip(wanted, answers, strict=True) if not isinstance(answer, list)}
    if set(refused) >= set(KINDS):
        raise refused["connectors"]
    return found, {name: sentence(error) for name, error in refused.items()}


async def _list(
    client: Client, resource: Resource, namespace: str | None, labels: str, fields: str
) -> list[Body] | Forbidden | NotFound:
    try:
        return list(await client.list(resource, namespace, label_selector=labels, field_selector=fields))
    except (Forbidden, NotFound) as error:
        return error


@dataclass(frozen=True, slots=True)
class _Kind:
    """One table of the screen."""

    title: str
    key: str
    columns: tuple[str, ...]
    row: Callable[[Body], list[str]]


class Screen:
    """One look, laid out (no I/O)."""

    def __init__(
        self,
        found: Mapping[str, Sequence[Body]],
        gaps: Mapping[str, str],
        namespace: str | None,
        home: str,
        now: datetime,
    ) -> None:
        self._found = found
        self._gaps = gaps
        self._namespace = namespace
        self._home = home
        self._now = now

    def lines(self, brush: Painter) -> Iterator[str]:
        """Everything, for people."""
        yield from brush.fold(self._operator(), brush.paint("Operator", "strong") + "  ", "  ")
        yield ""
        connectors = [*self._found.get("connectors", ()), *self._found.get("clusterConnectors", ())]
        yield from self._section(
            brush, _Kind("Connectors", "connectors", CONNECTOR_COLUMNS, self._connector), connectors
        )
        policies = self._found.get("policies", ())
        yield from self._section(brush, _Kind("Policies", "policies", POLICY_COLUMNS, self._policy), policies)
        yield from self._incident_lines(brush)
        yield from brush.fold(self._outbox(), brush.paint("Outbox", "strong") + "  ", "  ")

    def summary(self) -> dict[str, Any]:
        """The same for programs."""
        connectors = [*self._found.get("connectors", ()), *self._found.get("clusterConnectors", ())]
        waiting, failed = self._messages()
        return {
            "operator": {
                "namespace": self._home,
                "pods": len(self._found.get("operator", ())),
                "ready": sum(map(is_ready, self._found.get("operator", ()))),
            },
            "connectors": [{"name": _name(body), **_ready(body)} for body in connectors],
            "policies": [
                {"name": _name(body), **_ready(body), "matchedPods": _status(body).get("matchedPods")}
                for body in self._found.get("policies", ())
            ],
            "openIncidents": [
                {"name": _name(body), "kind": kind_of(body), "severity": severity_of(body)}
                for body in self._incidents()
            ],
            "outbox": {"waiting": len(waiting), "failedWithinADay": len(failed)},
            "notRead": dict(self._gaps),
        }

    def _operator(self) -> str:
        if gap := self._gaps.get("operator"):
            return f"not known: {gap}"
        pods = self._found.get("operator", ())
        if not pods:
            return f"no pod in namespace {self._home} (--operator-namespace names another)"
        return f"{sum(map(is_ready, pods))} of {len(pods)} pods ready in namespace {self._home}"

    def _section(self, brush: Painter, table: _Kind, bodies: Sequence[Body]) -> Iterator[str]:
        yield brush.paint(table.title, "strong")
        if gap := self._gaps.get(table.key):
            yield from brush.fold(f"not known: {gap}", "  ")
        elif not bodies:
            yield "  none"
        if bodies:
            ordered = sorted(bodies, key=_name)
            yield from _table(
                brush, table.columns, [table.row(body) for body in ordered], [_trouble(body) for body in ordered]
            )
        yield ""

    def _connector(self, body: Body) -> list[str]:
        ready, status = _ready(body), _status(body)
        return [
            _name(body),
            ready["ready"],
            ready["reason"],
            str(status.get("endpoint", "")),
            self._ago(status.get("lastProbeTime")),
            self._age(body),
        ]

    def _policy(self, body: Body) -> list[str]:
        ready, status = _ready(body), _status(body)
        counts = [str(status.get(key, "")) for key in ("matchedPods", "crashingPods", "driftedPods", "openIncidents")]
        return [_name(body), ready["ready"], ready["reason"], *counts, self._age(body)]

    def _incidents(self) -> list[Body]:
        return sorted(
            self._found.get("incidents", ()),
            key=lambda body: (_SEVERITIES.index(severity_of(body)), str(body["spec"].get("startTime"))),
        )

    def _incident_lines(self, brush: Painter) -> Iterator[str]:
        bodies = self._incidents()
        yield brush.paint("Open incidents", "strong")
        if gap := self._gaps.get("incidents"):
            yield from brush.fold(f"not known: {gap}", "  ")
        elif not bodies:
            yield "  none"
        else:
            shown = bodies[:INCIDENTS_SHOWN]
            rows = [
                [
                    _name(body),
                    kind_of(body),
                    severity_of(body),
                    f"{body['spec']['owner']['kind']}/{body['spec']['owner']['name']}",
                    told(body),
                    self._age(body),
                ]
                for body in shown
            ]
            yield from _table(brush, INCIDENT_COLUMNS, rows, [""] * len(rows))
            if len(bodies) > len(shown):
                yield f"  and {len(bodies) - len(shown)} more: watchbell incident list" + (
                    "" if self._namespace else " -A"
                )
        yield ""

    def _messages(self) -> tuple[list[Body], list[Body]]:
        """Those that wait, and those that failed within a day."""
        messages = self._found.get("messages", ())
        waiting = [body for body in messages if not _status(body).get("completionTime")]
        failed = [
            body
            for body in messages
            if condition_of(body, "Succeeded").get("status") == "False" and self._is_recent(body)
        ]
        return waiting, failed

    def _outbox(self) -> str:
        if gap := self._gaps.get("messages"):
            return f"not known: {gap}"
        waiting, failed = self._messages()
        if not waiting and not failed:
            return "nothing waits, and nothing failed within a day"
        told_ = [f"{len(waiting)} waiting"]
        if waiting:
            oldest = min(waiting, key=lambda body: str(body["metadata"].get("creationTimestamp")))
            reasons = Counter(str(condition_of(body, "Succeeded").get("reason", "new")) for body in waiting)
            told_[0] += (
                f" ({', '.join(f'{count} {reason}' for reason, count in reasons.most_common())}; the oldest for {self._age(oldest)})"
            )
        if failed:
            reasons = Counter(str(condition_of(body, "Succeeded").get("reason")) for body in failed)
            told_.append(
                f"{len(failed)} failed within a day ({', '.join(f'{count} {reason}' for reason, count in reasons.most_common())})"
            )
        return ", ".join(told_)

    def _is_recent(self, body: Body) -> bool:
        ended = moment(_status(body).get("completionTime"))
        return ended is not None and (self._now - ended).total_seconds() < 86_400

    def _age(self, body: Body) -> str:
        return self._ago(body["metadata"].get("creationTimestamp"))

    def _ago(self, text: str | None) -> str:
        then = moment(text)
        return short((self._now - then).total_seconds()) if then else ""


def _table(
    brush: Painter, titles: tuple[str, ...], rows: Sequence[Sequence[str]], troubles: Sequence[str]
) -> Iterator[str]:
    """Columns, as many as fit, and below a line what is wrong with it. Where too few fit each row is told in words instead."""
    cells = [[harmless(cell) or "-" for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    shown = _fitting(widths, brush.width)
    is_narrow = shown < LEAST_COLUMNS[titles]
    if not is_narrow:
        yield "  " + brush.paint(_columns(titles[:shown], widths), "faint")
    for row, trouble in zip(cells, troubles, strict=True):
        line = row[0] if is_narrow else _columns(row[:shown], widths)
        yield "  " + (brush.paint(line, "bad") if trouble else line)
        if is_narrow:
            words = [f"{title} {cell}" for title, cell in zip(titles[1:], row[1:], strict=True)]
            yield from brush.fold(", ".join(words), "    ")
        if trouble:
            yield from brush.fold(harmless(trouble), "    ")


def _fitting(widths: Sequence[int], width: int | None) -> int:
    """How many columns fit, from the left; without a terminal all of them."""
    if width is None:
        return len(widths)
    return max((count for count in range(len(widths) + 1) if sum(widths[:count]) + 2 * count <= width), default=0)


def _columns(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()


def _trouble(body: Body) -> str:
    ready = condition_of(body, "Ready")
    if not ready:
        return "the operator has not looked at it yet"
    return "" if ready.get("status") == "True" else str(ready.get("message", ""))


def _ready(body: Body) -> dict[str, str]:
    ready = condition_of(body, "Ready")
    return {"ready": str(ready.get("status", "Unknown")), "reason": str(ready.get("reason", ""))}


def _status(body: Body) -> Body:
    return body.get("status") or {}


def _name(body: Body) -> str:
    """`shop/default`; `cluster/default` for a kind without namespace."""
    return f"{body['metadata'].get('namespace') or 'cluster'}/{body['metadata']['name']}"
