"""From a host name to addresses that may be dialled: the system's resolver in threads of its own, the DNS response code, the egress policy.

Comes before `endpoint`, which dials exactly what is returned here. Every address is checked in the very look-up that it is dialled from, so that
nothing can be rebound in between (CWE-350).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.egress import EgressPolicy, check_address, check_port
from watchbell.smtp.model import Fault, StageName
from watchbell.smtp.verdict import Breakage, BreakageKind, classify_breakage

MAX_ADDRESSES = 8
_RESOLVER_THREADS = 16
_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
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
        # Loaded when the first name is not found: the library takes three megabytes and most operators never need it.
        from watchbell.smtp.dnscode import response_code  # noqa: PLC0415 - see above

        return await response_code(host, self._nameservers, self._nameserver_port)

    def close(self) -> None:
        """Lets the threads go; a look-up that still blocks ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _distinct(found: Sequence[AddressInfo]) -> tuple[Address, ...]:
    addresses = (
        Address(family, str(sockaddr[0]), sockaddr) for family, _, _, _, sockaddr in found if family in _FAMILIES
    )
    return tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES]


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
    found = _literal(host, port) or await _looked_up(resolver or _shared_resolver(), host, port, timeout_s)
    if isinstance(found, Breakage):
        return classify_breakage(StageName.RESOLVE, found, facts)
    for address in found:
        if denied := check_address(egress, host, address.ip, facts):
            return denied
    return found


async def _looked_up(resolver: Resolver, host: str, port: int, timeout_s: float) -> tuple[Address, ...] | Breakage:
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
