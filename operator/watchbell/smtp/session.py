"""One open SMTP session: the way from a `Relay` to a connection that may send, and the little that keeps it alive.

Own resolve → egress policy → token → pinned connect → TLS or greeting, EHLO, STARTTLS, TLS → EHLO → AUTH, each a stage of `opening`. Before this:
connectors, which made the relay. After it: `probe`, which only looks, and `submit`, which sends. Both use this very function: if they could
disagree, a proven connector would prove nothing.
"""

from watchbell.smtp.dialog import Dialog
from watchbell.smtp.model import Fault, Relay, ServerFacts, StageName
from watchbell.smtp.opening import Dialer, Opening
from watchbell.smtp.replies import Capabilities
from watchbell.smtp.stagelog import StageLog

__all__ = ["Dialer", "Session", "StageLog", "open_session"]


async def open_session(
    relay: Relay, dialer: Dialer, journal: StageLog, *, until: StageName = StageName.AUTHENTICATE
) -> "Session | Fault":
    """Open a session up to and including the stage `until`; the journal gets every stage's report either way.

    Each stage has its own time-out; there is none for the whole (the caller knows what it has time for, and may cancel: the socket is closed).
    """
    opening = Opening(relay, dialer, journal)
    is_kept = False
    try:
        fault = await opening.run(until)
        is_kept = fault is None
    finally:
        if not is_kept:
            opening.close()
    return fault or Session(opening, dialer)


class Session:
    """A connection past its opening. Not for two tasks at once: one transaction after the other."""

    def __init__(self, opening: Opening, dialer: Dialer) -> None:
        self.relay: Relay = opening.relay
        self.facts: ServerFacts = opening.journal.facts
        self.capabilities: Capabilities = opening.capabilities
        self.dialog: Dialog = opening.dialog
        self.clock = dialer.clock
        self.opened_at: float = dialer.clock()
        self.messages_sent = 0

    @property
    def is_usable(self) -> bool:
        """Whether another transaction may be tried: connected, and no byte too many was heard."""
        return self.dialog.is_open

    async def reset(self) -> Fault | None:
        """Forget the transaction under way. RFC 5321 §4.1.1.5."""
        return await self._ask("RSET", StageName.SENDER)

    async def noop(self) -> Fault | None:
        """Ask for a sign of life. RFC 5321 §4.1.1.9."""
        return await self._ask("NOOP", StageName.SENDER)

    async def quit(self) -> None:
        """Say good-bye and close. What the server answers, or that it does not, changes nothing any more."""
        try:
            if self.is_usable:
                await self.dialog.ask(StageName.DATA, "QUIT", self.relay.timeouts.quit_s)
        finally:
            self.close()

    def close(self) -> None:
        """Close at once."""
        self.dialog.wire.abort()

    async def _ask(self, command: str, stage: StageName) -> Fault | None:
        reply = await self.dialog.ask(stage, command, self.relay.timeouts.command_s)
        if isinstance(reply, Fault):
            return reply
        return None if reply.is_positive else self.dialog.refusal(stage, reply)
