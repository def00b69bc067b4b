"""The outbox: messages that are created in the API until they are accepted at the sink, and what a backlog and a relay that hangs cost.

Beside it aiosmtplib alone, which renders nothing, keeps nothing and knows no API: the same bytes to the same sink over as many connections.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from typing import Any

import aiosmtplib

import objects
from apiserver import until
from figures import Figure, Peer, figure, median, percentile, spread
from processes import Process, Sink
from stage import Stage, say, stage

COUNT = 1000
RUNS = 3
CONNECTIONS = 4
BACKLOG = 10_000
PACED = 200
PACE_S = 0.05
HUNG = 50
WITHIN_S = 300.0
PARAGRAPH = "The nightly export of tenant 4711 finished with 12 warnings; the report is attached to the ticket. "
SPEED = frozenset({"outbox_mails_per_s", "outbox_overhead_ms_per_mail"})
NAMES = SPEED | {"backlog_10k_rss_mib", "slow_relay_isolation_p99_ms"}


@dataclass(frozen=True, slots=True)
class _Run:
    """One burst: mails a second at the sink, and CPU of the sender for a mail in milliseconds."""

    rate: float
    cpu_ms: float


async def measure(wanted: frozenset[str]) -> list[Figure]:
    """The figures of this scenario that are wanted."""
    found: list[Figure] = []
    async with stage("mailing") as place:
        if wanted & SPEED:
            found += await _speed(place)
        if "slow_relay_isolation_p99_ms" in wanted:
            found.append(await _isolation(place))
        if "backlog_10k_rss_mib" in wanted:
            found.append(await _backlog(place))
    return [one for one in found if one.name in wanted]


def message(name: str, connector: str = "alerts", priority: str = "Normal") -> dict[str, Any]:
    """An EmailMessage with 3 KB of text and HTML together."""
    text, html = PARAGRAPH * 14, f"<html><body><h1>{name}</h1>{f'<p>{PARAGRAPH}</p>' * 14}</body></html>"
    return {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailMessage",
        "metadata": {"name": name},
        "spec": {
            "connectorRef": {"name": connector},
            "to": [objects.TO],
            "subject": f"Export {name}",
            "body": {"text": text, "html": html},
            "priority": priority,
        },
    }


# --- speed


async def _speed(place: Stage) -> list[Figure]:
    path = await _space(place, "speed", limits={"maxConnections": CONNECTIONS})
    own, raw = [], []
    with place.operator(name="speed") as operator:
        await until(partial(_is_ready, place, "speed", "alerts"), "the connector is Ready", 30)
        await _burst(place, operator, path, "warm", 50)
        for run in range(RUNS):
            own.append(await _burst(place, operator, path, f"run{run}", COUNT))
            raw.append(await _raw_burst(place.sink))
            say(
                f"run {run + 1}: {own[-1].rate:.0f} mails/s, {own[-1].cpu_ms:.2f} ms of CPU each; aiosmtplib {raw[-1].rate:.0f}, {raw[-1].cpu_ms:.2f}"
            )
    rates, peers = [run.rate for run in own], [run.rate for run in raw]
    overheads = [mine.cpu_ms - bare.cpu_ms for mine, bare in zip(own, raw, strict=True)]
    size = place.sink.mails[-1].size_bytes
    note = (
        f"first create of {COUNT} EmailMessages sent (16 in flight) until the sink accepted the last one, rendered and durable, {CONNECTIONS} "
        f"connections with STARTTLS and AUTH; API server, its client and the sink on the same cores; median, {spread(rates)}; "
        f"peer: as many finished mails of {size} bytes over {CONNECTIONS} kept connections, nothing rendered or kept, {spread(peers)}"
    )
    cost = (
        "the operator's CPU for a mail less that of aiosmtplib's process for one in the same run: watch, checks, rendering, journal, result; "
        f"median, {spread(overheads)}"
    )
    return [
        figure("outbox_mails_per_s", median(rates), note, place.load, Peer("aiosmtplib alone", median(peers))),
        figure("outbox_overhead_ms_per_mail", median(overheads), cost, place.load),
    ]


async def _burst(place: Stage, operator: Process, path: str, prefix: str, count: int) -> _Run:
    first, cpu_s, began = len(place.sink.mails), operator.cpu_s(), time.time_ns()
    await place.api.create_all(f"{path}/emailmessages", (message(f"{prefix}-{number:05}") for number in range(count)))
    await until(lambda: len(place.sink.mails) - first >= count, f"{count} mails are accepted", WITHIN_S, 0.01)
    took_s = (max(mail.at_ns for mail in place.sink.mails[first:]) - began) / 1e9
    await until(partial(_is_idle, operator), "every result is written", WITHIN_S, 0.2)
    return _Run(count / took_s, 1000 * (operator.cpu_s() - cpu_s) / count)


def _is_idle(operator: Process) -> bool:
    return operator.metric("watchbell_message_queue_depth") == 0


async def _raw_burst(sink: Sink) -> _Run:
    """In this process; what it does besides is not much."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = objects.LOGIN, objects.TO, "Export raw"
    body = message("raw")["spec"]["body"]
    mail.set_content(body["text"])
    mail.add_alternative(body["html"], subtype="html")
    content, left, first = mail.as_bytes(), iter(range(COUNT)), len(sink.mails)
    began, cpu_s = time.time_ns(), sum(os.times()[:2])
    await asyncio.gather(*(_send_all(sink, content, left) for _ in range(CONNECTIONS)))
    spent_s = sum(os.times()[:2]) - cpu_s
    await until(lambda: len(sink.mails) - first >= COUNT, "the sink took them all", WITHIN_S, 0.01)
    return _Run(COUNT * 1e9 / (max(one.at_ns for one in sink.mails[first:]) - began), 1000 * spent_s / COUNT)


async def _send_all(sink: Sink, content: bytes, left: Iterator[int]) -> None:
    trust = ssl.create_default_context(cadata=sink.relay.ca_pem)
    async with aiosmtplib.SMTP(
        hostname="localhost",
        port=sink.relay.port,
        start_tls=True,
        tls_context=trust,
        username=objects.LOGIN,
        password=sink.relay.password,
    ) as client:
        for _ in left:
            await client.sendmail(objects.LOGIN, [objects.TO], content)


# --- a relay that hangs


async def _isolation(place: Stage) -> Figure:
    path = await _space(place, "isolation")
    async with _silent_server() as port:
        hung = objects.connector("hung", place.sink.relay)
        hung["spec"] |= {"port": port, "probe": {"level": "Disabled"}}
        await place.secrets("isolation", ("hung",))
        await place.api.create(f"{path}/smtpconnectors", hung)
        with place.operator(f"--egress-allow-port={port},{place.sink.relay.port}", name="isolation") as operator:
            operator.wait(operator.is_ready, "the operator is ready")
            await until(partial(_is_ready, place, "isolation", "alerts"), "the connector is Ready", 30)
            alone = await _paced(place, path, "alone")
            bodies = (message(f"hung-{number}", "hung", "High") for number in range(HUNG))
            await place.api.create_all(f"{path}/emailmessages", bodies)
            beside = await _paced(place, path, "beside")
    note = (
        f"create sent until accepted, {PACED} messages one after the other at {1 / PACE_S:g}/s, while {HUNG} messages of priority High wait for a "
        f"relay that takes connections and says nothing; p50 {percentile(beside, 50):.1f} ms; before these came p99 was "
        f"{percentile(alone, 99):.1f} ms, p50 {percentile(alone, 50):.1f} ms"
    )
    return figure("slow_relay_isolation_p99_ms", percentile(beside, 99), note, place.load)


@contextlib.asynccontextmanager
async def _silent_server() -> AsyncIterator[int]:
    """Accepts, and never greets."""
    open_ones: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: open_ones.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in open_ones:
            writer.transport.abort()


async def _paced(place: Stage, path: str, prefix: str) -> list[float]:
    sent: dict[str, int] = {}
    begin = time.monotonic()
    for number in range(PACED):
        await asyncio.sleep(max(0.0, begin + number * PACE_S - time.monotonic()))
        name = f"{prefix}-{number:04}"
        sent[name] = time.time_ns()
        await place.api.create(f"{path}/emailmessages", message(name))
    await until(lambda: sent.keys() <= place.sink.by_workload(prefix).keys(), "all are accepted", WITHIN_S, 0.2)
    accepted = place.sink.by_workload(prefix)
    return [(accepted[name] - at) / 1e6 for name, at in sent.items()]


# --- a backlog


async def _backlog(place: Stage) -> Figure:
    path = await _space(place, "backlog", suspend=True)
    with place.operator(name="backlog") as operator:
        operator.wait(operator.is_ready, "the operator is ready")
        before = operator.memory_mib()
        await place.api.create_all(
            f"{path}/emailmessages", (message(f"queued-{number:05}") for number in range(BACKLOG))
        )
        await until(
            lambda: operator.metric("watchbell_message_queue_depth") >= BACKLOG, "all are queued", WITHIN_S, 0.2
        )
        resident, peak = await _at_rest(operator)
    note = (
        f"VmRSS with {BACKLOG} messages of 3 KB for a suspended connector, all seen and held, once it used less than 5% of a core for 4 s; "
        f"{before:.0f} MiB before; its peak was {peak:.0f} MiB"
    )
    return figure("backlog_10k_rss_mib", resident, note, place.load)


async def _at_rest(operator: Process) -> tuple[float, float]:
    """Resident memory, and its peak, once the operator rests."""
    still = 0
    for _ in range(240):
        before = operator.cpu_s()
        await asyncio.sleep(1)
        still = still + 1 if operator.cpu_s() - before < 0.05 else 0
        if still >= 4:
            return operator.memory_mib(), operator.memory_mib("VmHWM")
    raise RuntimeError("the operator did not come to rest within four minutes")


# --- what they share


async def _space(place: Stage, name: str, **spec: object) -> str:
    """A namespace with a connector `alerts`; `spec` is laid over it."""
    path = await place.space(name)
    await place.secrets(name, ("alerts",))
    body = objects.connector("alerts", place.sink.relay, 3600)
    body["spec"] |= spec
    await place.api.create(f"{path}/smtpconnectors", body)
    return path


async def _is_ready(place: Stage, space: str, name: str) -> bool:
    return objects.is_true(await place.api.get(f"{objects.GROUP}/namespaces/{space}/smtpconnectors/{name}"), "Ready")
