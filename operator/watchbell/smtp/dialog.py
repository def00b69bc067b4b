"""One command, one reply: the dialogue over a connection, in which everything that goes wrong is a `Fault`.

Comes after `wire`, before `session`, `auth` and `submit`, which know what to say. It judges nothing itself: replies and breakages go to `verdict`
with the facts known so far. After a reply too many, a time-out or a lost connection the dialogue is over for good: nobody could tell any more
which reply belongs to which command.
"""

import asyncio
from dataclasses import replace

from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException

from watchbell.api.sensitive import Sensitive
from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Fault, StageName
from watchbell.smtp.replies import Reply, hang_up_notice
from watchbell.smtp.server_text import guess_protocol
from watchbell.smtp.stagelog import StageLog
from watchbell.smtp.verdict import Breakage, BreakageKind, classify_breakage, classify_reply
from watchbell.smtp.wire import Wire

BROKEN = (OSError, SMTPException, EOFError)
"""What the layers below raise when a connection breaks: sockets, TLS (`ssl.SSLError` and time-outs are OSErrors) and aiosmtplib."""


class Dialog:
    """Speaks one line at a time and remembers what is known of the peer in `context`."""

    def __init__(self, wire: Wire, journal: StageLog, context: ReplyContext) -> None:
        self.wire = wire
        self.journal = journal
        self.context = context
        self._end: Fault | None = None

    @property
    def is_open(self) -> bool:
        """Whether another command makes sense."""
        return self._end is None and self.wire.is_connected and not self.wire.has_unasked_bytes

    def learn(self, **facts: object) -> None:
        """Add to what verdicts and remedies may know."""
        self.context = replace(self.context, **facts)  # type: ignore[arg-type] # names and types are ReplyContext's, checked at run time

    def keep_out(self, secret: Sensitive) -> None:
        """Scrub this out of all that the server says from now on."""
        self.learn(secrets=(*self.context.secrets, secret))
        self.journal.keep_out((secret,))

    async def greeting(self, timeout_s: float) -> Reply | Fault:
        """The first reply, for which nothing is sent. RFC 5321 §3.1."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await self.wire.read_response()
        except BROKEN as exc:
            return self.broken(StageName.GREETING, exc, timeout_s)
        return self._heard(StageName.GREETING, response)

    async def ask(
        self, stage: StageName, line: str | bytes, timeout_s: float, *, is_secret: bool = False
    ) -> Reply | Fault:
        """Send a line and return its one reply, whatever the code; a fault only if the connection is of no use any more.

        The time-out is for the whole reply, not for each read: a server that drips a byte a second must not hold a probe for an hour.
        """
        if (fault := self.left_over(stage)) is not None:
            return fault
        raw = line if isinstance(line, bytes) else line.encode()
        if not is_secret and not self.journal.is_full:
            self.journal.said(raw.decode("utf-8", "replace"))
        try:
            response = await self.wire.command(raw, timeout_s)
        except BROKEN as exc:
            return self.broken(stage, exc, timeout_s)
        return self._heard(stage, response, is_secret=is_secret)

    async def verdict_on_body(self, timeout_s: float, *, is_whole: bool = True) -> Reply | Fault:
        """The reply to a body. If it cannot be read and the final dot has left us, nobody knows what became of the message (RFC 1047)."""
        try:
            response = await self.wire.read_response(timeout_s)
        except BROKEN as exc:
            self.journal.remark(f"no reply to the message: {type(exc).__name__}")
            return self.end(classify_breakage(StageName.DATA, breakage_of(exc), self.context, is_body_sent=is_whole))
        heard = self._heard(StageName.DATA, response)
        if isinstance(heard, Fault) and is_whole:
            breakage = Breakage(BreakageKind.PROTOCOL, "more than one reply to the message")
            return classify_breakage(StageName.DATA, breakage, self.context, is_body_sent=True)
        return heard

    def refusal(self, stage: StageName, reply: Reply) -> Fault:
        """What a reply means that is not the one wanted at this stage. A 421 ends the dialogue: the server is about to hang up."""
        fault = classify_reply(stage, reply.code, reply.lines, self.context)
        if reply.code == 421:
            self.end(fault)
        return fault

    def violation(self, stage: StageName, what: str) -> Fault:
        """End the dialogue because the protocol is broken; `what` in plain words."""
        return self.end(classify_breakage(stage, Breakage(BreakageKind.PROTOCOL, what), self.context))

    def broken(self, stage: StageName, exc: BaseException, timeout_s: float = 0) -> Fault:
        """End the dialogue because the connection broke."""
        self.learn(timeout_s=timeout_s)
        if self.wire.is_foreign:
            return self.end(classify_breakage(stage, self._foreign(), self.context))
        if isinstance(exc, SMTPResponseException):
            return self.violation(stage, "a reply that is malformed or longer than 32 KiB")
        breakage = breakage_of(exc)
        if breakage.kind is BreakageKind.EOF and self.wire.lost_by is not None:
            breakage = breakage_of(self.wire.lost_by)
        self.journal.remark(f"{stage}: {breakage.name or breakage.kind}")
        return self.end(classify_breakage(stage, breakage, self.context))

    def reconsidered(self, stage: StageName, exc: BaseException) -> Fault:
        """The same breakage judged again, now that more is known."""
        return classify_breakage(stage, breakage_of(exc), self.context)

    def end(self, fault: Fault) -> Fault:
        """Close the connection; `fault` is what every later command gets."""
        self._end = self._end or fault
        self.wire.abort()
        return fault

    def _heard(self, stage: StageName, response: SMTPResponse, *, is_secret: bool = False) -> Reply | Fault:
        """The one reply. A 421 right behind it takes nothing from it; it ends the dialogue before the next command."""
        if self.wire.has_unasked_bytes and hang_up_notice(bytes(self.wire.seen)) is None:
            return self._desync(stage)
        reply = Reply(response.code, response.message)
        if not self.journal.is_full and not (is_secret and reply.code == 334):
            self.journal.heard(reply.code, reply.text)
        return reply

    def left_over(self, stage: StageName) -> Fault | None:
        """What stands against sending the next command: an end, or bytes that came after the last reply."""
        if self._end is not None:
            return self._end
        if not self.wire.has_unasked_bytes:
            return None
        if (notice := hang_up_notice(bytes(self.wire.seen))) is None:
            return self._desync(stage)
        return self.refusal(stage, Reply(421, notice[4:].decode("utf-8", "replace").strip()))

    def _desync(self, stage: StageName) -> Fault:
        """Bytes beyond the one reply that was due; in a greeting they may show that this is no SMTP server."""
        raw = bytes(self.wire.seen)
        if self.wire.is_foreign or (stage is StageName.GREETING and not raw[:3].isdigit()):
            return self.end(classify_breakage(stage, self._foreign(), self.context))
        self.journal.remark("more than one reply to one command")
        return self.violation(stage, "the server sent more than the one reply that was due")

    def _foreign(self) -> Breakage:
        return Breakage(BreakageKind.NOT_SMTP, guess_protocol(bytes(self.wire.seen[:16])))
