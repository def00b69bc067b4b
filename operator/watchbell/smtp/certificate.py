"""What a server's certificate says, as Python's `ssl` tells it of a certificate that was verified. Pure.

Before: a finished handshake (`tls`). After: `status.server.tls` and the names in verdicts.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

NAMES_SHOWN = 16
# RFC 4514 §3 and, for the rest, the names that OpenSSL prints.
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_ESCAPED = str.maketrans({char: f"\\{char}" for char in '\\,+"<>;'})


@dataclass(frozen=True, slots=True)
class Certificate:
    """Subject and issuer as RFC 4514 strings, `not_after` as RFC 3339 in UTC, and at most 16 of the names it is for."""

    subject: str = ""
    issuer: str = ""
    not_after: str = ""
    names: tuple[str, ...] = ()


def certificate_of(told: Mapping[str, Any]) -> Certificate | None:
    """From `SSLSocket.getpeercert()`; None if it told nothing, as it does of a certificate that was not verified."""
    if not told:
        return None
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(told["notAfter"]), UTC)
    others = told.get("subjectAltName", ())
    names = tuple(value for wanted in ("DNS", "IP Address") for kind, value in others if kind == wanted)
    return Certificate(
        subject=distinguished_name(told.get("subject", ())),
        issuer=distinguished_name(told.get("issuer", ())),
        not_after=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        names=names[:NAMES_SHOWN],
    )


def distinguished_name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """RFC 4514 §2: the last part first, attributes of one part joined by a plus sign."""
    return ",".join(
        "+".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in part) for part in reversed(parts)
    )


def _escaped(value: str) -> str:
    text = value.translate(_ESCAPED)
    if text.startswith((" ", "#")):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") and not text.endswith("\\ ") else text
