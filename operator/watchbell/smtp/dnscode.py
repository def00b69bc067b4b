"""Asks DNS itself why a name has no address. Loaded by `resolver` when `getaddrinfo` said that it found nothing.

RFC 1035 §4.1.1: NXDOMAIN (no such name) and an empty answer (a name without addresses) need different cures.
"""

from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.resolver


async def response_code(host: str, nameservers: Sequence[str], port: int) -> str:
    """NXDOMAIN, NODATA, SERVFAIL, REFUSED or TIMEOUT; empty if DNS does find the name, or cannot be asked. No `nameservers`: the system's."""
    try:
        resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        if nameservers:
            resolver.nameservers = list(nameservers)
            resolver.port = port
        await resolver.resolve(host, "A", search=not host.endswith("."), raise_on_no_answer=True)
    except dns.exception.DNSException as error:
        return _code_of(error)
    except (OSError, UnicodeError):
        return ""
    return ""


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
