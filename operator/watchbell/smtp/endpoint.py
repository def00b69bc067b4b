"""From a host name to a connected socket: resolve, check each address against the egress policy, dial exactly the checked address.

Comes before `session`, after the spec was read. Resolving and dialling are ours and not the SMTP library's, so that the checked address is the
one that is dialled (no rebinding), a black-holed IPv6 address costs 250 ms instead of the whole time-out (RFC 8305), and every errno is kept.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver

from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.egress import (
    DEFAULT_PORTS,
    EgressPolicy,
    check_address,
    check_port,
    is_address_allowed,
    is_host_named,
)
from watchbell.smtp.model import Fault, StageName, Timeouts
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
    "is_address_allowed",
    "is_host_named",
    "resolve",
]

MAX_ADDRESSES = 8
STAGGER_S = 0.25
_RESOLVER_THREADS = 16
_UNKNOWN_NAMES = frozenset({"EAI_NONAME", "EAI_NODATA", "EAI_AGAIN", "EAI_FAIL"})
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
Lookup = Callable[[str, int], Sequence[AddressInfo]]


@dataclass(frozen=True, slots=True)
class Address:
    """One address to dial: `ip` for people and policy, `sockaddr` for the socket; both from the same look-up."""

    family: int
    ip: str
    sockaddr: tuple[Any, ...]

    @property
    def port(self) -> int:
        """The port to dial."""
        return int(self.sockaddr[1])


@dataclass(frozen=True, slots=True)
class Connected:
    """A connected, non-blocking socket that the receiver must close, and where it leads."""

    sock: socket.socket
    address: Address


def _system_lookup(host: str, port: int) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


class Resolver:
    """The system's resolver in threads of its own: `getaddrinfo` may block for 40 seconds, and must not starve the loop's own threads.

    `nameservers` and `nameserver_port` replace those of resolv.conf for the question *why* a name has no address.
    """

    def __init__(
        self, lookup: Lookup = _system_lookup, nameservers: Sequence[str] = (), nameserver_port: int = 53
    ) -> None:
        self._lookup = lookup
        self._nameservers = list(nameservers)
        self._nameserver_port = nameserver_port
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolve")

    async def addresses(self, host: str, port: int) -> tuple[Address, ...] | Breakage:
        """At most eight addresses in the system's order (RFC 6724), or why there are none."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        except (OSError, UnicodeError) as error:
            return await self._explained(host, breakage_of(error))
        return _distinct(found) or Breakage(BreakageKind.DNS, "NODATA")

    async def _explained(self, host: str, breakage: Breakage) -> Breakage:
        """`getaddrinfo` says the same of a name that is missing and of one without addresses; the DNS response code tells them apart."""
        if breakage.kind is not BreakageKind.DNS or breakage.name not in _UNKNOWN_NAMES:
            return breakage
        code = await self._response_code(host)
        return replace(breakage, name=code) if code else breakage

    async def _response_code(self, host: str) -> str:
        try:
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers = list(self._nameservers)
                resolver.port = self._nameserver_port
            await resolver.resolve(host, "A", search=not host.endswith("."), raise_on_no_answer=True)
        except dns.exception.DNSException as error:
            return _code_of(error)
        except (OSError, UnicodeError):
            return ""
        return ""

    def close(self) -> None:
        """Lets the threads go; a look-up that still blocks ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _code_of(error: dns.exception.DNSException) -> str:
    match error:
        case dns.resolver.NXDOMAIN():
            return "NXDOMAIN"
        case dns.resolver.NoAnswer():
            return "NODATA"
        case dns.exception.Timeout():
            return "TIMEOUT"
        case dns.resolver.NoNameservers():
            return "REFUSED" if "REFUSED" in str(error) else "SERVFAIL"
        case _:
            return ""


def _distinct(found: Sequence[AddressInfo]) -> tuple[Address, ...]:
    addresses = (
        Address(family, str(sockaddr[0]), sockaddr) for family, _, _, _, sockaddr in found if family in _FAMILIES
    )
    return tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]


_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_shared: list[Resolver] = []


def _shared_resolver() -> Resolver:
    if not _shared:
        _shared.append(Resolver())
    return _shared[0]


def close_resolver() -> None:
    """Ends the threads of the resolver that `resolve` uses by default; the next call starts new ones."""
    while _shared:
        _shared.pop().close()


async def resolve(
    host: str,
    port: int,
    egress: EgressPolicy,
    *,
    timeout_s: float = 5.0,
    resolver: Resolver | None = None,
    context: ReplyContext | None = None,
) -> tuple[Address, ...] | Fault:
    """The addresses of `host`, every one allowed by `egress`; else one fault of stage Policy or Resolve.

    A trailing dot keeps search domains out.
    One forbidden address among allowed ones forbids all: a name that mixes them is a rebinding attempt or a mistake.
    """
    facts = replace(context or ReplyContext(), host=host, port=port)
    if denied := check_port(egress, port, facts):
        return denied
    found = _literal(host, port) or await _within(resolver or _shared_resolver(), host, port, timeout_s)
    if isinstance(found, Breakage):
        return classify_breakage(StageName.RESOLVE, found, facts)
    for address in found:
        if denied := check_address(egress, host, address.ip, facts):
            return denied
    return found


async def _within(resolver: Resolver, host: str, port: int, timeout_s: float) -> tuple[Address, ...] | Breakage:
    if not host or "\0" in host or len(host) > 253 + host.endswith("."):
        return Breakage(BreakageKind.UNICODE)
    try:
        async with asyncio.timeout(timeout_s):
            return await resolver.addresses(host, port)
    except TimeoutError:
        return Breakage(BreakageKind.DNS, "TIMEOUT", chain=(f"no answer within {timeout_s:g} s",))


def _literal(host: str, port: int) -> tuple[Address, ...] | None:
    """The address itself, if `host` is one in its standard form; `127.1` and `2130706433` go through the resolver as everything else does."""
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv4Address):
        return (Address(socket.AF_INET, str(ip), (str(ip), port)),)
    return None if ip.scope_id else (Address(socket.AF_INET6, str(ip), (str(ip), port, 0, 0)),)


async def connect(
    addresses: Sequence[Address],
    timeouts: Timeouts = Timeouts(),
    context: ReplyContext | None = None,
) -> Connected | Fault:
    """The first address that answers; each next one starts 250 ms after the one before, or at once when that has failed (RFC 8305 §5).

    The fault's chain names every address with its errno. No socket is left open but the one returned.
    """
    race = _Race(tuple(addresses), timeouts.connect_each_s)
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
