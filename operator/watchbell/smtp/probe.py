"""Proving a relay without, or with, a test mail: the very session that the courier opens, looked at stage by stage.

Comes after `session` and `submit`; connectors and SmtpTest read its report. A probe that runs out of its whole time fails in the stage that it was
in, and what comes later is reported as not probed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from watchbell.api.reasons import Reason
from watchbell.smtp.context import context_of
from watchbell.smtp.model import Envelope, Fault, Level, ProbeReport, Relay, StageName, SubmitReport, TlsMode
from watchbell.smtp.session import Dialer, Session, open_session
from watchbell.smtp.stagelog import StageLog
from watchbell.smtp.submit import check_sender, submit
from watchbell.smtp.verdict import Breakage, BreakageKind, classify_breakage

# What each level opens. Connect means that an SMTP server greets; TLS includes the EHLO behind it, so that capabilities are known.
_UNTIL = {
    Level.CONNECT: StageName.GREETING,
    Level.TLS: StageName.HELLO,
    Level.AUTHENTICATE: StageName.AUTHENTICATE,
    Level.SENDER: StageName.AUTHENTICATE,
}
_PROBED = tuple(name for name in StageName if name not in {StageName.RECIPIENT, StageName.DATA})


async def probe(relay: Relay, dialer: Dialer, level: Level, journal: StageLog | None = None) -> ProbeReport:
    """Try the stages that belong to `level`; never a recipient, never content. Bounded by `relay.timeouts.total_probe_s`.

    A `journal` of the caller's own lets somebody watch.
    """
    journal = journal or StageLog(dialer.clock)
    fault: Fault | None = None
    if level is not Level.DISABLED:
        fault = await _in_time(relay, journal, lambda: _probe(relay, dialer, journal, level))
    return _report(relay, journal, fault, _PROBED)


async def deliver(
    relay: Relay, dialer: Dialer, envelope: Envelope, payload: bytes, journal: StageLog | None = None
) -> ProbeReport:
    """All stages and a real mail. The opening has the probe's time; the message has that of RFC 5321 §4.5.3.2, stage by stage."""
    journal = journal or StageLog(dialer.clock)
    opened: list[Session] = []
    fault = await _in_time(relay, journal, lambda: _open(relay, dialer, journal, opened))
    for session in opened:
        sent = await submit(session, envelope, payload, _go_on)
        await session.quit()
        journal.append(sent.stages)
        fault = _first_fault(sent)
    return _report(relay, journal, fault, tuple(StageName))


async def _go_on() -> bool:
    return True


async def _open(relay: Relay, dialer: Dialer, journal: StageLog, opened: list[Session]) -> Fault | None:
    session = await open_session(relay, dialer, journal)
    if isinstance(session, Fault):
        return session
    opened.append(session)
    return None


async def _probe(relay: Relay, dialer: Dialer, journal: StageLog, level: Level) -> Fault | None:
    session = await open_session(relay, dialer, journal, until=_UNTIL[level])
    if isinstance(session, Fault):
        return session
    try:
        fault = await check_sender(session, journal) if level is Level.SENDER else None
        await session.quit()
    finally:
        session.close()
    return fault


async def _in_time(relay: Relay, journal: StageLog, work: Callable[[], Awaitable[Fault | None]]) -> Fault | None:
    """The work's fault, or that of the stage in which the whole time was over."""
    limit_s = relay.timeouts.total_probe_s
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await work()
    except TimeoutError:
        if not limit.expired():
            raise
        stage = journal.current
        if stage is None:
            # Only the good-bye was left: everything that was asked had been proven.
            return None
        fault = classify_breakage(stage, Breakage(BreakageKind.TIMEOUT), context_of(relay))
        journal.fail(stage, fault)
        return fault


def _first_fault(sent: SubmitReport) -> Fault | None:
    return sent.fault or next((result.fault for result in sent.recipients if result.fault is not None), None)


def _report(relay: Relay, journal: StageLog, fault: Fault | None, names: tuple[StageName, ...]) -> ProbeReport:
    for name in names:
        if (reason := _why_not(relay, name)) is not None:
            journal.skip(name, reason)
    order = _order(relay)
    stages = tuple(sorted(journal.stages, key=lambda stage: order.index(stage.name)))
    return ProbeReport(stages, fault, journal.facts, journal.transcript)


def _order(relay: Relay) -> list[StageName]:
    """The stages as this relay's session passes them, so that skipped ones stand where they would have been."""
    late_tls = (StageName.GREETING, StageName.HELLO, StageName.START_TLS, StageName.TLS)
    early_tls = (StageName.TLS, StageName.GREETING, StageName.HELLO, StageName.START_TLS)
    return [
        *(StageName.POLICY, StageName.RESOLVE, StageName.TOKEN, StageName.CONNECT),
        *(late_tls if relay.tls.mode is TlsMode.START_TLS else early_tls),
        *(StageName.AUTHENTICATE, StageName.SENDER, StageName.RECIPIENT, StageName.DATA),
    ]


def _why_not(relay: Relay, name: StageName) -> Reason | None:
    """Why a stage has no result: it was not reached, or the relay does without it. None = such a relay has no such stage."""
    match name:
        case StageName.TLS if relay.tls.mode is TlsMode.NONE:
            return Reason.TLS_DISABLED
        case StageName.START_TLS if relay.tls.mode is not TlsMode.START_TLS:
            return None
        case StageName.TOKEN if relay.auth is None or relay.auth.oauth is None:
            return None
        case StageName.AUTHENTICATE if relay.auth is None:
            return Reason.AUTHENTICATION_NOT_REQUIRED
        case _:
            return Reason.NOT_PROBED
