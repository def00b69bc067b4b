"""From checked addresses to a connected socket: staggered attempts, every errno kept, no socket left behind.

Comes after `resolver` and before `session`. Resolving and dialling are ours and not the SMTP library's, so that the checked address is the one that
is dialled (no rebinding), and a black-holed IPv6 address costs 250 ms instead of the whole time-out (RFC 8305).
"""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.egress import DEFAULT_PORTS, EgressPolicy, check_address, check_port
from watchbell.smtp.model import Fault, StageName, Timeouts
from watchbell.smtp.resolver import Address, Resolver, close_resolver, resolve
from watchbell.smtp.verdict import Breakage, BreakageKind, classify_breakage
from watchbell.smtp.verdict_faults import headline

__all__ = [
    "DEFAULT_PORTS",
    "Address",
    "Connected",
    "EgressPolicy",
    "Resolver",
    "check_address",
    "check_port",
    "close_resolver",
    "connect",
    "resolve",
]

STAGGER_S = 0.25
_USUAL_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Connected:
    """A connected, non-blocking socket that the receiver must close, and where it leads."""

    sock: socket.socket
    address: Address


async def connect(
    addresses: Sequence[Address],
    timeouts: Timeouts = _USUAL_TIMEOUTS,
    context: ReplyContext | None = None,
) -> Connected | Fault:
    """The first address that answers; each next one starts 250 ms after the one before, or at once when that has failed (RFC 8305 §5).

    The fault's chain names every address with its errno. No socket is left open but the one returned.
    """
    race = _Race(tuple(dict.fromkeys(addresses)), timeouts.connect_each_s)
    try:
        winner = await race.finish(timeouts.connect_all_s)
    except BaseException:
        race.close()
        raise
    if winner is not None:
        return race.keep(winner)
    return _nobody_answered(race, context or ReplyContext())


class _Race:
    """Attempts to connect, staggered. Owns every socket until `keep`."""

    def __init__(self, addresses: tuple[Address, ...], each_s: float) -> None:
        self._addresses = addresses
        self._each_s = each_s
        self._open: dict[Address, socket.socket] = {}
        self._attempts: list[asyncio.Task[Address | None]] = []
        self._kept: Address | None = None
        self.failures: dict[Address, Breakage] = {}

    async def finish(self, all_s: float) -> Address | None:
        """The address that won, or None when all have failed or the time is over. No other attempt is left."""
        try:
            async with asyncio.timeout(all_s):
                return await self._run()
        except TimeoutError:
            return None
        finally:
            await self._stop()

    async def _run(self) -> Address | None:
        waiting = list(self._addresses)
        running: set[asyncio.Task[Address | None]] = set()
        while waiting or running:
            if waiting:
                running.add(self._start(waiting.pop(0)))
            pause_s = STAGGER_S if waiting else None
            done, running = await asyncio.wait(running, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                if winner := attempt.result():
                    self._kept = winner
                    return winner
        return None

    def _start(self, address: Address) -> asyncio.Task[Address | None]:
        attempt = asyncio.get_running_loop().create_task(self._dial(address), name=f"dial {address.ip}")
        self._attempts.append(attempt)
        return attempt

    async def _dial(self, address: Address) -> Address | None:
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
            self._open[address] = sock
            sock.settimeout(0)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self._each_s):
                await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
        except OSError as error:
            self.failures[address] = breakage_of(error)
            self._shut(address)
            return None
        except asyncio.CancelledError:
            self._shut(address)
            raise
        return address

    async def _stop(self) -> None:
        """Cancels the losers, waits for their end and closes those who came in second."""
        for attempt in self._attempts:
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        for address in [address for address in self._open if address != self._kept]:
            self._shut(address)

    def close(self) -> None:
        """Closes every socket, the winner's too: nobody is there to take it."""
        for address in tuple(self._open):
            self._shut(address)

    def keep(self, winner: Address) -> Connected:
        """Hands over the winner's socket."""
        return Connected(self._open.pop(winner), winner)

    def silent(self) -> tuple[Address, ...]:
        """The addresses that were dialled, or would have been, without any answer until the time was over."""
        return tuple(address for address in self._addresses if address not in self.failures)

    def _shut(self, address: Address) -> None:
        if sock := self._open.pop(address, None):
            with suppress(OSError):
                sock.close()


_TELLING = ("EPERM", "EACCES", "ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "", "ETIMEDOUT")


def _nobody_answered(race: _Race, context: ReplyContext) -> Fault:
    failures = dict(race.failures) | {address: Breakage(BreakageKind.TIMEOUT) for address in race.silent()}
    ranked = sorted(failures.items(), key=lambda item: _rank(item[1]))
    if not ranked:
        return classify_breakage(StageName.RESOLVE, Breakage(BreakageKind.DNS, "NODATA"), context)
    address, telling = ranked[0]
    lines = [headline(StageName.CONNECT, broken, _at(context, other)) for other, broken in ranked[1:]]
    return classify_breakage(StageName.CONNECT, replace(telling, chain=(*lines, *telling.chain)), _at(context, address))


def _rank(breakage: Breakage) -> int:
    """What says most about the way to the server comes first; "no route" comes last: it is usual for the family that a cluster does not have."""
    return _TELLING.index(breakage.name) if breakage.name in _TELLING else len(_TELLING)


def _at(context: ReplyContext, address: Address) -> ReplyContext:
    return replace(context, address=address.ip, port=address.port)
