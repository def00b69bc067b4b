"""The same as `certificate`, read from the DER bytes: for certificates that were shown but not verified.

Loaded only when such a connector is there, since the library takes ten megabytes.
"""

from datetime import UTC
from functools import lru_cache

from cryptography import x509

from watchbell.smtp.certificate import NAMES_SHOWN, Certificate

_KEPT = 256


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
