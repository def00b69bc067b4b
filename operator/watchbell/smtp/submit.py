"""Handing one message over: MAIL, RCPT for each recipient, and a DATA phase of our own, with one result for each recipient.

Comes after `session`; the outbox's courier calls it. The message is complete before: nothing is rendered here. What counts most is to know for each
recipient whether the server took the message, refused it, or may have taken it: only a reply lost after the final dot leaves that open (RFC 1047).
"""

import asyncio
from collections.abc import Awaitable, Callable

from watchbell.api.reasons import Reason
from watchbell.smtp.dialog import BROKEN
from watchbell.smtp.model import Envelope, Fault, RecipientOutcome, RecipientResult, StageName, SubmitReport, TlsMode
from watchbell.smtp.replies import Reply, wire_body
from watchbell.smtp.session import Session
from watchbell.smtp.stagelog import StageLog, StageMark
from watchbell.smtp.verdict import enhanced_code, fault, reply_line

BeforeBody = Callable[[], Awaitable[bool]]
"""Awaited after the 354 and before the first byte of the body; False = do not send."""

_BLOCK_BYTES = 256 * 1024
_RESPONSE_CHARACTERS = 512


async def submit(session: Session, envelope: Envelope, payload: bytes, before_body: BeforeBody) -> SubmitReport:
    """One transaction. `payload` has CRLF line ends, is 7-bit and not dot-stuffed. Never raises for what a server does.

    When it is cancelled or `before_body` raises, the session is closed: the server must not take half a message for a whole one.
    """
    transaction = _Transaction(session, envelope)
    is_done = False
    try:
        await transaction.run(payload, before_body)
        is_done = True
    finally:
        if not is_done:
            session.close()
    return transaction.report()


async def check_sender(session: Session, log: StageLog) -> Fault | None:
    """Ask whether this login may send as `relay.mail_from`, and forget the transaction. Some servers tell only after DATA."""
    sender = session.relay.mail_from
    transaction = _Transaction(session, Envelope(sender, (), needs_smtputf8=not sender.isascii()), log)
    refused = await transaction.mail(b"")
    if refused is None:
        await session.reset()
    return refused


class _Transaction:
    """The state of one transaction; `results` holds None for a recipient whose fate is the message's."""

    def __init__(self, session: Session, envelope: Envelope, log: StageLog | None = None) -> None:
        self._session = session
        self._dialog = session.dialog
        self._times = session.relay.timeouts
        self._envelope = envelope
        self._log = log or StageLog(session.clock)
        self._results: list[RecipientResult | None] = [None] * len(envelope.recipients)
        self._fault: Fault | None = None
        self._response: Reply | None = None

    def report(self) -> SubmitReport:
        """What became of it; every recipient has a result by now."""
        final = self._response
        told = reply_line(final.code, final.lines, self._dialog.context)[:_RESPONSE_CHARACTERS] if final else ""
        return SubmitReport(tuple(r for r in self._results if r is not None), told, self._fault, self._log.stages)

    async def run(self, payload: bytes, before_body: BeforeBody) -> None:
        """The three steps; each may end it."""
        if (refused := await self.mail(payload)) is not None:
            return self._settle(refused)
        if not await self._recipients():
            return None
        with self._log.stage(StageName.DATA) as mark:
            await self._data(mark, payload, before_body)
        return None

    async def mail(self, payload: bytes) -> Fault | None:
        """MAIL FROM, unless we see ourselves that the server cannot take this message."""
        with self._log.stage(StageName.SENDER) as mark:
            mark.fault = self._unfit(payload) or await self._say_mail(payload)
        return mark.fault

    def _unfit(self, payload: bytes) -> Fault | None:
        offered, context = self._session.capabilities, self._dialog.context
        if self._session.relay.tls.mode is not TlsMode.NONE and not self._dialog.wire.is_encrypted:
            # Cannot happen with a whole opening; a session opened only part of the way must not send in clear.
            return fault(StageName.SENDER, Reason.ENCRYPTION_REQUIRED, context, "the connection is in clear text")
        if 0 < offered.size_bytes < len(payload):
            detail = f"{len(payload)} bytes, and the server takes {offered.size_bytes}"
            return fault(StageName.SENDER, Reason.MESSAGE_TOO_LARGE, context, detail)
        if self._envelope.needs_smtputf8 and not offered.offers("SMTPUTF8"):
            return fault(StageName.SENDER, Reason.ADDRESS_NOT_SUPPORTED, context, "no SMTPUTF8 in the answer to EHLO")
        return None

    async def _say_mail(self, payload: bytes) -> Fault | None:
        """RFC 5321 §4.1.1.2, with SIZE of RFC 1870 and SMTPUTF8 of RFC 6531 where offered and needed."""
        line = f"MAIL FROM:<{_path(self._envelope.mail_from)}>"
        if payload and self._session.capabilities.offers("SIZE"):
            line += f" SIZE={len(payload)}"
        if self._envelope.needs_smtputf8:
            line += " SMTPUTF8"
        reply = await self._dialog.ask(StageName.SENDER, line, self._times.command_s)
        if isinstance(reply, Fault):
            return reply
        return None if reply.is_positive else self._dialog.refusal(StageName.SENDER, reply)

    async def _recipients(self) -> bool:
        """RCPT for each; False when there is nobody left to send to, and then the transaction is undone."""
        with self._log.stage(StageName.RECIPIENT) as mark:
            for index, address in enumerate(self._envelope.recipients):
                refused = await self._say_recipient(index, address)
                if refused is None:
                    continue
                mark.fault = mark.fault or refused
                if not self._dialog.is_open:
                    self._settle(refused)
                    return False
                if refused.reason is Reason.TOO_MANY_RECIPIENTS:
                    # The server is full for this transaction; to ask for the others would only count as abuse.
                    self._refuse_from(index, refused)
                    break
            is_anybody_left = any(result is None for result in self._results)
            if is_anybody_left:
                mark.fault = None
                return True
        await self._session.reset()
        return False

    async def _say_recipient(self, index: int, address: str) -> Fault | None:
        reply = await self._dialog.ask(StageName.RECIPIENT, f"RCPT TO:<{_path(address)}>", self._times.command_s)
        if isinstance(reply, Fault):
            return reply
        if reply.is_positive:
            return None
        refused = self._dialog.refusal(StageName.RECIPIENT, reply)
        self._results[index] = _refused(address, refused)
        return refused

    def _refuse_from(self, first: int, refused: Fault) -> None:
        for index in range(first, len(self._results)):
            self._results[index] = _refused(self._envelope.recipients[index], refused)

    async def _data(self, mark: StageMark, payload: bytes, before_body: BeforeBody) -> None:
        reply = await self._dialog.ask(StageName.DATA, "DATA", self._times.data_initiation_s)
        if not isinstance(reply, Fault) and reply.code != 354:
            reply = self._dialog.refusal(StageName.DATA, reply)
            await self._undo()
        if isinstance(reply, Fault):
            mark.fault = reply
            return self._settle(reply)
        if not await before_body():
            mark.fault = self._dialog.end(self._stopped())
            return self._settle(mark.fault)
        mark.fault = await self._send_body(wire_body(payload)) or await self._verdict()
        if mark.fault is not None:
            self._settle(mark.fault)
        return None

    async def _undo(self) -> None:
        if self._dialog.is_open:
            await self._session.reset()

    def _stopped(self) -> Fault:
        return fault(
            StageName.DATA, Reason.TEMPORARY_FAILURE, self._dialog.context, "stopped before the body: nothing was sent"
        )

    async def _send_body(self, body: bytes) -> Fault | None:
        """Write the body block by block, each under its own time-out. A fault here means that the final dot has not left us."""
        if (late := self._dialog.left_over(StageName.DATA)) is not None:
            # The server may have given up while `before_body` wrote its note; nothing was sent yet.
            return late
        wire = self._dialog.wire
        wire.expect_reply()
        try:
            for start in range(0, len(body), _BLOCK_BYTES):
                wire.write(body[start : start + _BLOCK_BYTES] if len(body) > _BLOCK_BYTES else body)
                if wire.is_paused and not await self._drained():
                    return await self._interrupted()
        except BROKEN as exc:
            return self._dialog.broken(StageName.DATA, exc, self._times.data_block_s)
        return None

    async def _drained(self) -> bool:
        async with asyncio.timeout(self._times.data_block_s):
            return await self._dialog.wire.drained()

    async def _interrupted(self) -> Fault:
        """The server spoke or hung up in the middle of the body: its reply, if there is one, is the reason. The session is over either way."""
        reply = await self._dialog.verdict_on_body(self._times.command_s, is_whole=False)
        if isinstance(reply, Fault):
            return reply
        return self._dialog.end(self._dialog.refusal(StageName.DATA, reply))

    async def _verdict(self) -> Fault | None:
        """The reply to the final dot. RFC 5321 §4.5.3.2.6 gives the server ten minutes."""
        reply = await self._dialog.verdict_on_body(self._times.data_termination_s)
        if isinstance(reply, Fault):
            return reply
        self._response = reply
        if not reply.is_positive:
            return self._dialog.refusal(StageName.DATA, reply)
        self._session.messages_sent += 1
        enhanced = enhanced_code(reply.code, reply.text)
        for index, address in enumerate(self._envelope.recipients):
            if self._results[index] is None:
                accepted = RecipientOutcome.ACCEPTED
                self._results[index] = RecipientResult(address, accepted, None, reply.code, enhanced)
        return None

    def _settle(self, reason: Fault) -> None:
        """The whole transaction failed: so did everybody who had no result of his own."""
        self._fault = reason
        for index, address in enumerate(self._envelope.recipients):
            if self._results[index] is None:
                self._results[index] = _refused(address, reason)


def _refused(address: str, reason: Fault) -> RecipientResult:
    """`Refused` for what will not heal by itself; whether another try is worth it stands in `reason.retry`."""
    if reason.reason is Reason.DELIVERY_OUTCOME_UNKNOWN:
        outcome = RecipientOutcome.UNKNOWN
    else:
        outcome = RecipientOutcome.REFUSED if reason.is_permanent else RecipientOutcome.DEFERRED
    return RecipientResult(address, outcome, reason, reason.code, reason.enhanced_code)


def _path(address: str) -> str:
    """The address for between the angle brackets. Raises ValueError for one that would end the path early: whoever built the envelope is wrong."""
    if not address.startswith('"') and any(char in address for char in "<> \r\n"):
        raise ValueError("an address on the wire holds no space, line end or angle bracket")
    return address
