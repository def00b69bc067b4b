"""What OpenSSL and the sockets of this very machine raise is understood; no exception here is made by hand."""

import asyncio
import datetime as dt
import socket
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from watchbell.api.reasons import Reason
from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import StageName, TlsMode
from watchbell.smtp.verdict import BreakageKind, classify_breakage

NAME = "smtp.example.com"
CONTEXT = ReplyContext(host=NAME, port=465, tls_mode=TlsMode.IMPLICIT, address="192.0.2.7")


def server_context(certificate=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def client_context(authority=None):
    context = ssl.create_default_context()
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if authority is not None:
        authority.configure_trust(context)
    return context


def handshake(server, client, name=NAME):
    """Both sides in memory; what the client raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    theirs_failed = False
    for _ in range(10):
        try:
            ours.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            return error
        if not theirs_failed:
            try:
                theirs.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                theirs_failed = True
    return None


def self_signed(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, SHA256())
    )
    path = tmp_path / "self.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = server_context()
    context.load_cert_chain(path)
    return context


def old_server(authority):
    context = server_context(authority.issue_cert(NAME))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def modern_client(authority):
    context = client_context(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def ciphers(context, names):
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(names)
    return context


PAST = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def authority():
    return trustme.CA()


def cases(authority, tmp_path):
    good = authority.issue_cert(NAME)
    trusting = client_context(authority)
    return {
        "an unknown issuer": (server_context(good), client_context(), Reason.CERTIFICATE_UNTRUSTED),
        "a self-signed certificate": (self_signed(tmp_path), client_context(), Reason.CERTIFICATE_SELF_SIGNED),
        "an expired certificate": (
            server_context(authority.issue_cert(NAME, not_before=PAST, not_after=PAST + dt.timedelta(days=9))),
            trusting,
            Reason.CERTIFICATE_EXPIRED,
        ),
        "a certificate of tomorrow": (
            server_context(authority.issue_cert(NAME, not_before=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))),
            trusting,
            Reason.CERTIFICATE_NOT_YET_VALID,
        ),
        "a certificate for another name": (server_context(authority.issue_cert("mx.example.net")), trusting, Reason.CERTIFICATE_NAME_MISMATCH),
        "a server that is too old": (old_server(authority), modern_client(authority), Reason.TLS_VERSION_TOO_OLD),
        "no cipher in common": (
            ciphers(server_context(good), "ECDHE-ECDSA-AES128-GCM-SHA256"),
            ciphers(client_context(authority), "ECDHE-ECDSA-AES256-GCM-SHA384"),
            Reason.NO_SHARED_CIPHER,
        ),
    }  # fmt: skip


CASES = (
    "an unknown issuer",
    "a self-signed certificate",
    "an expired certificate",
    "a certificate of tomorrow",
    "a certificate for another name",
    "a server that is too old",
    "no cipher in common",
)


@pytest.mark.parametrize("case", CASES)
def test_a_handshake_that_fails_on_this_openssl_has_its_reason(case, authority, tmp_path):
    server, client, reason = cases(authority, tmp_path)[case]
    error = handshake(server, client)
    assert isinstance(error, ssl.SSLError)
    assert classify_breakage(StageName.TLS, breakage_of(error), CONTEXT).reason is reason


async def test_a_missing_client_certificate_shows_up_only_after_the_handshake(authority):
    server = server_context(authority.issue_cert(NAME))
    server.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server)
    # The server's side of the refusal is not the question.
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    served = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=server)
    port = served.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client_context(authority), server_hostname=NAME
    )
    with pytest.raises((OSError, EOFError)) as caught:
        await reader.readexactly(1)
    writer.close()
    served.close()
    await served.wait_closed()
    fresh = ReplyContext(host=NAME, port=465, tls_mode=TlsMode.IMPLICIT, is_fresh_tls=True)
    assert (
        classify_breakage(StageName.GREETING, breakage_of(caught.value), fresh).reason
        is Reason.CLIENT_CERTIFICATE_REQUIRED
    )


@asynccontextmanager
async def talking(serve):
    async def handle(reader, writer):
        try:
            await serve(reader, writer)
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def plain_greeting(reader, writer):
    writer.write(b"220 smtp.example.com ESMTP\r\n")
    await writer.drain()
    await reader.read(4096)


async def hangs_up(reader, writer):
    await reader.read(4096)


async def resets(reader, writer):
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (plain_greeting, Reason.PLAINTEXT_ON_TLS_PORT),
        (hangs_up, Reason.TLS_HANDSHAKE_FAILED),
        (resets, Reason.TLS_HANDSHAKE_FAILED),
    ],
)
async def test_what_is_no_tls_on_a_tls_port_has_its_reason(serve, reason):
    async with talking(serve) as port:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which one is the question
            await asyncio.open_connection("127.0.0.1", port, ssl=client_context(), server_hostname=NAME)
    found = classify_breakage(StageName.TLS, breakage_of(caught.value), CONTEXT)
    assert found.reason is reason
    assert "220" not in "".join(found.chain)


def test_a_refusal_of_this_kernel_is_understood():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is the question
            socket.create_connection(unused.getsockname(), timeout=2)
    found = breakage_of(caught.value)
    assert (found.kind, found.name) == (BreakageKind.ERRNO, "ECONNREFUSED")


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_host_that_cannot_be_encoded_is_understood(host):
    with pytest.raises(UnicodeError) as caught:
        socket.getaddrinfo(host, 25)
    assert breakage_of(caught.value).kind is BreakageKind.UNICODE
