"""Open sessions that are kept between mails: a handshake with TLS and login costs a hundred times what a mail on a kept connection does.

Before it: the courier knows the relay. After it: `submit` uses the session. A session is lent to one sender at a time. It is given up after
`messages_max` mails, after `age_max_s`, when it was idle for `idle_max_s`, and whenever anything about it is doubtful.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from watchbell.smtp.model import Fault, Relay
from watchbell.smtp.session import Dialer, Session, StageLog, open_session


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long a session serves, in mails and seconds."""

    messages_max: int = 100
    age_max_s: float = 300.0
    idle_max_s: float = 15.0


KEEPING = Keeping()


@dataclass(slots=True)
class Lent:
    """A session in the hands of one sender. `is_fresh` False = it has served before, so the server may have hung up meanwhile."""

    session: Session
    is_fresh: bool


@dataclass(slots=True)
class _Kept:
    session: Session
    timer: asyncio.TimerHandle
    reset: asyncio.Task[Fault | None]


class Connections:
    """All kept sessions of the process, by `Relay.key`: a relay that changed in any way, its password too, finds none of the old ones."""

    def __init__(self, dialer: Dialer, keeping: Keeping = KEEPING) -> None:
        self._dialer = dialer
        self._keeping = keeping
        self._kept: dict[str, list[_Kept]] = {}
        self._farewells: set[asyncio.Task[None]] = set()
        self._resets: set[asyncio.Task[Fault | None]] = set()
        self.opened = 0

    async def borrow(self, relay: Relay, *, fresh: bool = False) -> Lent | Fault:
        """A usable session: a kept one, or a new one. `fresh` = a new one in any case."""
        while not fresh and (kept := self._pop(relay.key)) is not None:
            if await self._is_reset(kept) and self._is_good(kept.session):
                return Lent(kept.session, is_fresh=False)
            self._part(kept.session)
        opened = await open_session(relay, self._dialer, StageLog(self._dialer.clock))
        if isinstance(opened, Fault):
            return opened
        self.opened += 1
        return Lent(opened, is_fresh=True)

    def serves(self, lent: Lent, relay: Relay) -> bool:
        """Whether the session may be used for one more mail to this relay."""
        return lent.session.relay.key == relay.key and self._is_good(lent.session)

    def give_back(self, lent: Lent) -> None:
        """Keep the session for the next mail; RSET goes out at once, and its reply is read while nobody waits for it."""
        session = lent.session
        if not self._is_good(session):
            self._part(session)
            return
        loop = asyncio.get_running_loop()
        key = session.relay.key
        timer = loop.call_later(self._keeping.idle_max_s, self._idle, key, session)
        reset = loop.create_task(session.reset(), name="outbox-reset")
        self._resets.add(reset)
        reset.add_done_callback(self._resets.discard)
        self._kept.setdefault(key, []).append(_Kept(session, timer, reset))

    async def close(self, grace_s: float = 2.0) -> None:
        """Say good-bye on every kept session; after `grace_s` without an answer just hang up."""
        await _end(self._resets, grace_s)
        sessions = [kept for row in self._kept.values() for kept in row]
        self._kept.clear()
        for kept in sessions:
            kept.timer.cancel()
            self._part(kept.session)
        await _end(self._farewells, grace_s)
        for kept in sessions:
            kept.session.close()

    @staticmethod
    async def _is_reset(kept: _Kept) -> bool:
        try:
            return await kept.reset is None
        except BaseException:
            # Cancelled with half a reply on its way: nobody else may use this session.
            kept.session.close()
            raise

    def _pop(self, key: str) -> _Kept | None:
        row = self._kept.get(key)
        if not row:
            return None
        kept = row.pop()
        if not row:
            del self._kept[key]
        kept.timer.cancel()
        return kept

    def _is_good(self, session: Session) -> bool:
        age_s = self._dialer.clock() - session.opened_at
        is_young = session.messages_sent < self._keeping.messages_max and age_s < self._keeping.age_max_s
        return session.is_usable and is_young

    def _idle(self, key: str, session: Session) -> None:
        row = self._kept.get(key, [])
        row[:] = [kept for kept in row if kept.session is not session]
        if not row:
            self._kept.pop(key, None)
        self._part(session)

    def _part(self, session: Session) -> None:
        if not session.is_usable:
            session.close()
            return
        task = asyncio.get_running_loop().create_task(session.quit(), name="outbox-quit")
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)


async def _end(tasks: Collection[asyncio.Task[Any]], grace_s: float) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tuple(tasks), timeout=grace_s)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
