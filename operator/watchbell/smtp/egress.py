"""The egress policy: which addresses and ports the operator may dial on behalf of those who write connectors.

Asked by `endpoint` for every resolved address just before it is dialled, and by `oauth` for token endpoints. Pure. Without it a connector is a port
scanner inside of the cluster and a way to the cloud's metadata service (CWE-918). The lists are explicit, because the meaning of Python's
`is_private` has changed between releases (CVE-2024-4032).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from watchbell.api.reasons import Reason
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Fault, StageName
from watchbell.smtp.verdict import fault

Network = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address
DEFAULT_PORTS = frozenset({25, 465, 587, 2465, 2525, 2587})

# Named by no host name's owner but by the platform: an allowed *name* never opens them, since its DNS may point anywhere.
_PLATFORM = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local: AWS, Google, Azure, OpenStack metadata, ECS and EKS credentials
            "fe80::/10",
            "fec0::/10",
            "168.63.129.16/32",  # Azure wire server
            "100.100.100.200/32",  # Alibaba metadata
            "192.0.0.192/32",  # Oracle metadata
            "fd00:ec2::/32",  # AWS metadata
            "fd20:ce::/32",  # Google metadata
            "0.0.0.0/8",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "ff00::/8",
            "::/128",
        ),
    )
)
_LOOPBACK = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_EMBEDDED_AT_END = tuple(map(IPv6Network, ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "::ffff:0:0:0/96")))
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: the prefix length is the site's choice
_FIRST_ROUTABLE = 1 << 24
_ISATAP = (0x00005EFE, 0x02005EFE)
_LOW_32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the operator's flags allow. CIDRs are text (`10.0.0.0/8`), hosts exact names or `*.example.com`.

    Everything is allowed but `deny_cidrs`, `api_servers` (the Kubernetes API's addresses) and what is never a mail server: loopback, link-local,
    multicast, unspecified and metadata addresses, in each IPv6 disguise. `allow_cidrs` lifts each of these; `allow_hosts` lifts `deny_cidrs` and
    loopback for that name, but not the platform's addresses. To allow nothing but a list, deny `0.0.0.0/0` and `::/0`.
    """

    allow_hosts: tuple[str, ...] = ()
    allow_cidrs: tuple[str, ...] = ()
    deny_cidrs: tuple[str, ...] = ()
    allow_ports: frozenset[int] = DEFAULT_PORTS
    api_servers: tuple[str, ...] = ()


def check_port(policy: EgressPolicy, port: int, context: ReplyContext | None = None) -> Fault | None:
    """A fault if no connection to `port` is allowed anywhere."""
    if port in policy.allow_ports:
        return None
    ports = ", ".join(map(str, sorted(policy.allow_ports)))
    return _denied(f"port {port} is not one of {ports}", context)


def check_address(policy: EgressPolicy, host: str, ip: str, context: ReplyContext | None = None) -> Fault | None:
    """A fault if `ip`, one of the addresses of `host`, may not be dialled. Says the same whether or not anything lives there."""
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return _denied(f"{ip} is not an IP address", context)
    if is_address_allowed(policy, host, address):
        return None
    return _denied(f"{address} of {host} is outside of the operator's egress policy", context)


def is_address_allowed(policy: EgressPolicy, host: str, address: IpAddress) -> bool:
    """The rule itself, for an address in every form that it may stand for."""
    forms = tuple(_forms(address))
    named = tuple(form for form in forms if _inside(form, policy.allow_cidrs))
    others = tuple(form for form in forms if form not in named)
    if any(_is_platform(policy, form) for form in others) or is_host_named(policy.api_servers, host):
        return False
    if is_host_named(policy.allow_hosts, host):
        return True
    if any(_within(form, _LOOPBACK) for form in others):
        return False
    return bool(named) or not any(_inside(form, policy.deny_cidrs) for form in forms)


def is_host_named(patterns: tuple[str, ...], host: str) -> bool:
    """`host` is one of the names, or below a `*.` one. Case and a trailing dot do not matter."""
    name = host.rstrip(".").lower()
    return any(_matches(pattern.rstrip(".").lower(), name) for pattern in patterns)


def _matches(pattern: str, name: str) -> bool:
    return name == pattern or (pattern.startswith("*.") and name.endswith(pattern[1:]) and len(name) > len(pattern) - 1)


def _is_platform(policy: EgressPolicy, address: IpAddress) -> bool:
    return _within(address, _PLATFORM) or _inside(address, _addresses_only(policy.api_servers))


@lru_cache(maxsize=16)
def _addresses_only(names: tuple[str, ...]) -> tuple[str, ...]:
    """Some platforms give the API server as a DNS name: those are compared with the host."""
    return tuple(name for name in names if _is_ip(name))


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _forms(address: IpAddress) -> Iterator[IpAddress]:
    """The address, and each IPv4 address that a translator on the way could make of it."""
    yield address
    if isinstance(address, IPv4Address):
        return
    value = int(address)
    if value > 1 and any(address in network for network in _EMBEDDED_AT_END):
        yield IPv4Address(value & _LOW_32)
    if address in _LOCAL_NAT64:
        yield from map(IPv4Address, _translated(value))
    if address in _SIX_TO_FOUR:
        yield IPv4Address((value >> 80) & _LOW_32)
    if address in _TEREDO:
        yield IPv4Address(~value & _LOW_32)
        yield IPv4Address((value >> 64) & _LOW_32)
    if (value >> 32) & _LOW_32 in _ISATAP:
        yield IPv4Address(value & _LOW_32)


def _translated(value: int) -> Iterator[int]:
    """The IPv4 address inside, for prefixes of 48, 56, 64 and 96 bits (RFC 6052 §2.2: bits 64 to 71 are skipped)."""
    joined = (value >> 64) << 56 | (value & ((1 << 56) - 1))
    for end in (88, 96, 104):
        candidate = joined >> (120 - (end - 8)) & _LOW_32
        if candidate >= _FIRST_ROUTABLE:
            yield candidate
    yield value & _LOW_32


def _inside(address: IpAddress, cidrs: tuple[str, ...]) -> bool:
    return bool(cidrs) and _within(address, _networks(cidrs))


def _within(address: IpAddress, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


@lru_cache(maxsize=64)
def _networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(cidr, strict=False) for cidr in cidrs)


def _denied(detail: str, context: ReplyContext | None) -> Fault:
    return fault(StageName.POLICY, Reason.DESTINATION_NOT_ALLOWED, context or ReplyContext(), detail)
