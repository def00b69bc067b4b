"""The same as `certificate`, read from the DER bytes: for certificates that were shown but not verified.

Loaded only when such a connector is there, since the library takes ten megabytes.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from watchbell.smtp.certificate import NAMES_SHOWN, Certificate

_KEPT = 256
_URLS_SHOWN = 8
_OCSP = AuthorityInformationAccessOID.OCSP


@lru_cache(maxsize=_KEPT)
def certificate_of_bytes(der: bytes) -> Certificate:
    """What the bytes say; an empty one where OpenSSL took what this stricter parser does not: the connection is as good as its verification says."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        not_after = parsed.not_valid_after_utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return Certificate(parsed.subject.rfc4514_string(), parsed.issuer.rfc4514_string(), not_after, _names(parsed))
    except ValueError:
        return Certificate()


def _names(parsed: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    dns = extension.value.get_values_for_type(x509.DNSName)
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    return tuple([*dns, *(str(address) for address in addresses)][:NAMES_SHOWN])


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of a chain, for people: names as RFC 4514 strings, times in UTC, `key` such as `RSA 2048`, `signature` such as `sha256`.

    `status_urls` are where its revocation could be asked for (OCSP and CRL, RFC 5280 §4.2.1.13, §4.2.2.1); nothing here asks.
    """

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    key: str
    signature: str
    sha256: str
    is_authority: bool
    status_urls: tuple[str, ...]


def link_of(der: bytes) -> Link | None:
    """What one certificate says; None for bytes that are none."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        algorithm = parsed.signature_hash_algorithm
        return Link(
            subject=parsed.subject.rfc4514_string(),
            issuer=parsed.issuer.rfc4514_string(),
            not_before=parsed.not_valid_before_utc,
            not_after=parsed.not_valid_after_utc,
            names=_names(parsed),
            key=_key(parsed),
            signature=algorithm.name if algorithm else "",
            sha256=hashlib.sha256(der).hexdigest(),
            is_authority=_is_authority(parsed),
            status_urls=_status_urls(parsed),
        )
    except (ValueError, UnsupportedAlgorithm):
        return None


def links_of_pem(text: str) -> tuple[Link, ...] | None:
    """Every certificate of a PEM bundle; None if it holds none, or one that cannot be read."""
    try:
        ders = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(text.encode())]
    except ValueError:
        return None
    links = [link_of(der) for der in ders]
    return tuple(link for link in links if link is not None) or None


def _key(parsed: x509.Certificate) -> str:
    key = parsed.public_key()
    match key:
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")


def _is_authority(parsed: x509.Certificate) -> bool:
    try:
        return parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _status_urls(parsed: x509.Certificate) -> tuple[str, ...]:
    found: list[str] = []
    for extension in parsed.extensions:
        if isinstance(extension.value, x509.AuthorityInformationAccess):
            found += [str(one.access_location.value) for one in extension.value if one.access_method == _OCSP]
        elif isinstance(extension.value, x509.CRLDistributionPoints):
            found += [str(name.value) for point in extension.value for name in point.full_name or ()]
    return tuple(found[:_URLS_SHOWN])
