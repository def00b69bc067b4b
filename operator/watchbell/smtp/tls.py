"""What TLS must prove and what it showed: contexts made from a `TlsPlan`, facts read from a finished handshake.

Before this comes the connected socket, after it the greeting or the second EHLO. A context holds keys but no state of a connection, so all
sessions with the same demands share one.
"""

import hashlib
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.certificate import Certificate, certificate_of
from watchbell.smtp.model import TlsFacts, TlsPlan

_CONTEXTS_KEPT = 64  # up to 2 MiB each where the system's roots cannot be looked up one by one
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why no context can be made of a plan; `detail` is a sentence without any key material."""

    reason: Reason
    detail: str


SERVER_HAD_AGREED = "the server had agreed to a version and a cipher before"


class _Witness(ssl.SSLObject):
    """Notes on a failed handshake how far it came.

    Up to TLS 1.2 a server refuses a missing client certificate with the same alert as a lack of common ciphers (RFC 5246 §7.4.6); but then
    it has already chosen one.
    """

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            if self.cipher() is not None:
                exc.add_note(SERVER_HAD_AGREED)
            raise


@dataclass(frozen=True, slots=True)
class _Demands:
    """The part of a plan that makes contexts differ."""

    ca_pem: str | None
    client_cert_pem: str | None
    client_key_pem: Sensitive | None
    min_version: str
    verify: bool


def tls_context(plan: TlsPlan) -> ssl.SSLContext | Unusable:
    """The context for a plan; made once for all sessions that demand the same."""
    return _context(_Demands(plan.ca_pem, plan.client_cert_pem, plan.client_key_pem, plan.min_version, plan.verify))


@lru_cache(maxsize=_CONTEXTS_KEPT)
def _context(demands: _Demands) -> ssl.SSLContext | Unusable:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslobject_class = _Witness
    context.minimum_version = _VERSIONS.get(demands.min_version, ssl.TLSVersion.TLSv1_2)
    # A certificate that the user names as trusted is enough, even when it is no root (the default from Python 3.13 on).
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not demands.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _load_system_roots(context)
    return _with_private_ca(context, demands) or _with_client_certificate(context, demands) or context


def _load_system_roots(context: ssl.SSLContext) -> None:
    """Look roots up by hash when needed if the system has such a folder: reading all of them takes 40 ms and megabytes for each context.

    A bundle that lies in that folder holds the same roots (Debian's ca-certificates makes both); one elsewhere is somebody's wish and is read.
    """
    folder = Path(ssl.get_default_verify_paths().capath or os.devnull)
    bundle = os.environ.get("SSL_CERT_FILE")
    is_same = bundle is None or Path(bundle).parent == folder
    if is_same and any(folder.glob("*.0")):
        context.load_verify_locations(capath=str(folder))
    else:
        context.load_default_certs()


def _with_private_ca(context: ssl.SSLContext, demands: _Demands) -> Unusable | None:
    if demands.ca_pem is None:
        return None
    try:
        context.load_verify_locations(cadata=demands.ca_pem)
    except (ssl.SSLError, ValueError) as exc:
        return Unusable(Reason.INVALID_CA_BUNDLE, _openssl_reason(exc))
    return None


def _with_client_certificate(context: ssl.SSLContext, demands: _Demands) -> Unusable | None:
    if demands.client_cert_pem is None:
        return None
    key = demands.client_key_pem.reveal() if demands.client_key_pem else ""
    try:
        with _secret_file(f"{demands.client_cert_pem}\n{key}\n") as path:
            context.load_cert_chain(path, password=_refuse_to_ask)
    except (ssl.SSLError, ValueError) as exc:
        return Unusable(Reason.INVALID_CLIENT_CERTIFICATE, _openssl_reason(exc))
    return None


def _refuse_to_ask() -> str:
    """Without this OpenSSL would ask for the passphrase of an encrypted key on the terminal, and wait."""
    raise ValueError("the private key is encrypted with a passphrase")


def _openssl_reason(exc: Exception) -> str:
    reason = getattr(exc, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(exc)


@contextmanager
def _secret_file(text: str) -> Iterator[str]:
    """A path to the text for an API that reads only files; on Linux it never touches a disk."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("client-certificate")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield file.name


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a finished handshake showed; `names` are those of the certificate, at most 16."""

    facts: TlsFacts
    names: tuple[str, ...]


def read_handshake(connection: ssl.SSLObject | ssl.SSLSocket) -> Handshake:
    """Version, cipher and certificate of a finished handshake."""
    cipher = connection.cipher()
    der = connection.getpeercert(binary_form=True) or b""
    shown = certificate_of(connection.getpeercert() or {}) or _parsed(der)
    facts = TlsFacts(
        version=connection.version() or "",
        cipher=cipher[0] if cipher else "",
        subject=shown.subject,
        issuer=shown.issuer,
        not_after=shown.not_after,
        sha256=hashlib.sha256(der).hexdigest(),
    )
    return Handshake(facts, shown.names)


def shown_chain(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[bytes, ...]:
    """The certificates that the server sent, in DER, its own first. Public from Python 3.13 on; before that, one level deeper."""
    if sys.version_info >= (3, 13):
        return tuple(connection.get_unverified_chain())
    inner = getattr(connection, "_sslobj", None)
    shown = inner.get_unverified_chain() if inner is not None else None
    return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in shown or ())


def _parsed(der: bytes) -> Certificate:
    """Python shows an unverified certificate only as bytes. The library that reads them takes ten megabytes, so it is loaded only then."""
    from watchbell.smtp.certificate_bytes import certificate_of_bytes  # noqa: PLC0415 - see above

    return certificate_of_bytes(der)


def client_hello() -> bytes:
    """The first record of a handshake, to find out whether a silent server waits for one."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    hello = context.wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        hello.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot finish without an answer")


def is_tls_answer(head: bytes) -> bool:
    """Whether the first bytes of an answer are a TLS handshake or alert record (RFC 8446 §5.1)."""
    return head[:1] in {b"\x15", b"\x16"} and head[1:2] == b"\x03"
