"""Signed assertions for token endpoints (RFC 7523): with a client's certificate, or with a service account's key.

Imported by `oauth_grants` only when a grant needs it: PyJWT and cryptography take ten megabytes, which an operator without such connectors need
not have.
"""

import base64
import hashlib
from collections.abc import Mapping

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from watchbell.api.sensitive import Sensitive


class UnusableKeyError(Exception):
    """A certificate or key that cannot sign; the text is the kind of error and holds nothing of the key."""


def signed_by_certificate(claims: Mapping[str, object], cert_pem: str, key: Sensitive) -> str:
    """PS256 with the certificate's thumbprint, as Microsoft Entra wants it."""
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem.encode())
        thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
        header = {"x5t#S256": base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()}
        return jwt.encode(dict(claims), key.reveal(), algorithm="PS256", headers=header)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise UnusableKeyError(type(error).__name__) from None


def signed_by_key(claims: Mapping[str, object], key: Sensitive, key_id: str) -> str:
    """RS256 with the key's identifier, as Google wants it."""
    try:
        return jwt.encode(dict(claims), key.reveal(), algorithm="RS256", headers={"kid": key_id} if key_id else None)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise UnusableKeyError(type(error).__name__) from None
