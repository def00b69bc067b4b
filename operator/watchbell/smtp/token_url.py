"""The address of a token endpoint, taken apart with suspicion: it is going to be given a secret.

Used by `oauth` and its tables. Pure. Whatever two parsers could read in two ways is refused here, before the HTTP client sees it (CWE-918).
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class TokenUrl:
    """Scheme, host in lower case, and the port with its default filled in."""

    is_https: bool
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """This machine, by its usual names."""
        return self.host in _LOOPBACK_HOSTS

    @property
    def is_address(self) -> bool:
        """An IP address in its standard form."""
        return _is_address(self.host)


def parse_token_url(text: str) -> TokenUrl | None:
    """The parts of an http or https URL, or None: no host, credentials in it, an odd port, or an address in an odd spelling (`127.1`)."""
    try:
        url = urlsplit(text)
        host, port = (url.hostname or "").lower(), url.port
    except ValueError:
        return None
    if url.scheme not in {"http", "https"} or not host or "@" in url.netloc or not text.isprintable() or "\\" in text:
        return None
    if _is_numeric(host) and not _is_address(host):
        return None
    return TokenUrl(url.scheme == "https", host, port or (443 if url.scheme == "https" else 80))


def host_of(text: str) -> str:
    """The host alone; empty when the URL is not usable."""
    url = parse_token_url(text)
    return url.host if url else ""


def _is_numeric(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
