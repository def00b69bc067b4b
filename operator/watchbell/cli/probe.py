"""`watchbell probe HOST[:PORT]`: a mail server looked at stage by stage from where you are, without Kubernetes.

Before: `probeorder` made an order of the flags. It goes the operator's own way (`smtp.probe`, with `--to` also `smtp.submit`), so what passes here
passes there, but for the network. Nothing is sent unless `--to` names somebody.
"""

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from watchbell.api.enums import Level, StageName
from watchbell.api.reasons import Reason
from watchbell.api.times import stamp
from watchbell.cli import probetext
from watchbell.cli.console import CommandError, complain, harmless
from watchbell.cli.paint import Painter, painter
from watchbell.cli.probeorder import Order, order_of
from watchbell.cli.remedywords import in_flags
from watchbell.smtp.certificate_bytes import Link, link_of
from watchbell.smtp.egress import EgressPolicy
from watchbell.smtp.endpoint import close_resolver
from watchbell.smtp.model import Fault, ProbeReport, Relay, StageReport
from watchbell.smtp.oauth import TokenEgress, TokenSource
from watchbell.smtp.probe import deliver, probe
from watchbell.smtp.session import Dialer
from watchbell.smtp.stagelog import StageLog

INTERRUPTED = 130
EVERYWHERE = EgressPolicy(allow_cidrs=("0.0.0.0/0", "::/0"), allow_ports=frozenset(range(1, 65536)))
"""Whoever types the command may go where the machine may go; the egress policy guards the operator's."""


def do(flags: argparse.Namespace) -> int:
    """0 every stage passed, 1 one failed, 2 the command line was wrong, 130 Ctrl-C."""
    try:
        order = order_of(flags)
    except CommandError as error:
        complain(error)
        return error.code
    screen = Screen(painter(flags.color), is_live=flags.output is None)
    try:
        report = asyncio.run(run(order, screen))
    except KeyboardInterrupt:
        screen.clear()
        complain(
            "interrupted; " + ("the server may or may not have taken the mail" if order.mail else "nothing was sent")
        )
        return INTERRUPTED
    return show(order, report, screen.painter, flags)


class Screen:
    """Shows stages while they happen; on a terminal also the one that is under way."""

    def __init__(self, painter: Painter, *, is_live: bool = True) -> None:
        self.painter = painter
        self._is_live = is_live
        self._has_pending = False

    def watch(self, journal: StageLog, name: StageName, report: StageReport | None) -> None:
        """A stage begins (None) or has ended."""
        if not self._is_live:
            return
        self.clear()
        if report is None:
            if self.painter.width is not None:
                sys.stdout.write(probetext.doing(name)[: self.painter.width - 1])
                self._has_pending = True
        else:
            for line in probetext.stage_lines(self.painter, report, journal.facts, journal.transcript):
                print(line)
        sys.stdout.flush()

    def begin(self, relay: Relay) -> None:
        """The first line."""
        if self._is_live:
            for line in self.painter.fold(harmless(probetext.heading(relay))):
                print(self.painter.paint(line, "strong"))
            print(flush=True)

    def clear(self) -> None:
        """Take back the line of the stage under way."""
        if self._has_pending:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()
            self._has_pending = False


async def run(order: Order, screen: Screen | None = None) -> ProbeReport:
    """The probe itself."""
    tokens = TokenSource(TokenEgress(EVERYWHERE), clock=time.monotonic, now=lambda: datetime.now(UTC))
    dialer = Dialer(EVERYWHERE, tokens, time.monotonic)
    journal = StageLog(
        time.monotonic,
        watch=lambda name, report: screen.watch(journal, name, report) if screen else None,
        keeps_certificates=True,
    )
    if screen:
        screen.begin(order.relay)
    try:
        if order.mail is None:
            return await probe(order.relay, dialer, order.level, journal)
        return await deliver(order.relay, dialer, *order.mail, journal)
    finally:
        await tokens.close()
        close_resolver()


def links(report: ProbeReport) -> tuple[Link, ...]:
    """The certificates that the server showed."""
    return tuple(link for link in map(link_of, report.server.certificates) if link is not None)


def show(order: Order, report: ProbeReport, painter: Painter, flags: argparse.Namespace) -> int:
    """Prints the report; the exit code."""
    if flags.output == "json":
        print(json.dumps(as_json(order.relay, report), indent=4, ensure_ascii=False))
    else:
        _show(order, report, painter, has_transcript=flags.transcript)
    return 0 if report.fault is None else 1


def _show(order: Order, report: ProbeReport, painter: Painter, *, has_transcript: bool) -> None:
    for stage in report.stages:
        if is_missed(order, stage, report.fault):
            print(*probetext.stage_lines(painter, stage, report.server, ()), sep="\n")
    print()
    now, shown = datetime.now(UTC), links(report)
    lines = [*probetext.chain_lines(painter, shown, now), *probetext.server_lines(painter, report.server)]
    if has_transcript:
        lines += probetext.transcript_lines(painter, report.transcript)
    lines += probetext.caution_lines(painter, probetext.cautions(order.relay, shown, now))
    if report.fault is not None:
        lines += probetext.fault_lines(painter, report.fault)
    else:
        lines += painter.fold(_good_news(order))
    for line in lines:
        print(line)


def is_missed(order: Order, stage: StageReport, fault: Fault | None) -> bool:
    """Whether the stage was wanted and the probe did not come to it."""
    is_extra = stage.name is StageName.SENDER and order.level is not Level.SENDER
    return fault is not None and stage.reason is Reason.NOT_PROBED and not is_extra


def _good_news(order: Order) -> str:
    if order.mail is not None:
        return "The server took the mail. That is all SMTP can tell: look whether it arrived."
    if order.relay.auth is None:
        return (
            "Everything that was tried works. No login was tried: give --user for that, and --to to send a test mail."
        )
    return "Everything works up to here. To send a test mail, give --from and --to."


def as_json(relay: Relay, report: ProbeReport) -> dict[str, Any]:
    """The whole report, for programs."""
    facts = report.server
    return {
        "endpoint": relay.endpoint,
        "tlsMode": str(relay.tls.mode),
        "result": "Failed" if report.fault else "Passed",
        "stages": [_stage(stage) for stage in report.stages],
        "server": {
            "addresses": list(facts.addresses),
            "address": facts.address,
            "capabilities": list(facts.capabilities),
            "authMechanisms": list(facts.auth_mechanisms),
            "maxMessageBytes": facts.max_message_bytes,
            "tls": {"version": facts.tls.version, "cipher": facts.tls.cipher} if facts.tls else None,
            "certificates": [_certificate(link) for link in links(report)],
        },
        "fault": _fault(report.fault) if report.fault else None,
        "transcript": list(report.transcript),
    }


def _stage(stage: StageReport) -> dict[str, Any]:
    told = {
        "name": str(stage.name),
        "result": str(stage.result),
        "durationMilliseconds": stage.duration_ms,
        "reason": str(stage.reason) if stage.reason else None,
        "code": stage.code,
        "enhancedCode": stage.enhanced_code,
        "message": stage.message or None,
        "chain": list(stage.chain) or None,
    }
    return {key: value for key, value in told.items() if value is not None}


def _certificate(link: Link) -> dict[str, Any]:
    return {
        "subject": link.subject,
        "issuer": link.issuer,
        "names": list(link.names),
        "notBefore": stamp(link.not_before),
        "notAfter": stamp(link.not_after),
        "key": link.key,
        "signatureHash": link.signature,
        "sha256": link.sha256,
        "isAuthority": link.is_authority,
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "stage": str(fault.stage),
        "reason": str(fault.reason),
        "meaning": fault.reason.doc,
        "message": fault.message,
        "chain": list(fault.chain),
        "isPermanent": fault.is_permanent,
        "remedies": list(in_flags(fault.remedies)),
    }
