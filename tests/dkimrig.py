"""What the tests of DKIM share: keys, the DNS record of each, and a verifier that somebody else wrote (dkimpy)."""

import base64
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from watchbell.mail.dkim import DkimKey

DOMAIN, SELECTOR = "example.com", "mail1"
NAME = f"{SELECTOR}._domainkey.{DOMAIN}"


@cache
def made(kind: str = "rsa") -> Any:
    """A private key; the same at each call."""
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else Ed25519PrivateKey.generate()


def key(kind: str = "rsa") -> DkimKey:
    return DkimKey(DOMAIN, SELECTOR, made(kind))


def pem(
    private: Any, form: PrivateFormat = PrivateFormat.PKCS8, encryption: KeySerializationEncryption | None = None
) -> str:
    return private.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


def record(kind: str = "rsa") -> str:
    """The TXT record; RFC 8463 §4 has the bare bytes of an Ed25519 key."""
    encoding, form = (
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if kind == "rsa" else (Encoding.Raw, PublicFormat.Raw)
    )
    return f"v=DKIM1; k={kind}; p={base64.b64encode(made(kind).public_key().public_bytes(encoding, form)).decode()}"


def is_right(raw: bytes, kind: str = "rsa") -> bool:
    """Whether dkimpy takes the signature."""

    def look_up(name: bytes, timeout: float = 5) -> bytes:
        assert name.decode() == f"{NAME}.", timeout
        return record(kind).encode()

    return bool(dkim.verify(raw, dnsfunc=look_up))
