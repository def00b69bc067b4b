"""What TLS must prove: each way to fail it, provoked from a real TLS server (OpenSSL's own for what Python's refuses to speak)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from smtprig import BYE, GREET, Authority, Scripted, check_report, dialer, ehlo, mail_server, password, provoke, relay
from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.model import Level, StageName, StageResult, TlsMode, TlsPlan
from watchbell.smtp.probe import probe
from watchbell.smtp.tls import Unusable, tls_context

IMPLICIT = TlsMode.IMPLICIT
NOW = datetime.now(UTC)
BOTH = pytest.mark.parametrize("mode", [TlsMode.IMPLICIT, TlsMode.START_TLS])


def tls_server(context: ssl.SSLContext, mode: TlsMode):
    """A server that would greet and offer a login, if the client came so far."""
    if mode is TlsMode.IMPLICIT:
        return Scripted([GREET, "r", ehlo("AUTH PLAIN"), *BYE], tls=context, is_implicit=True)
    return Scripted([GREET, "r", ehlo("STARTTLS"), "r", b"220 go\r\n", "tls", "r", ehlo(), *BYE], tls=context)


@asynccontextmanager
async def openssl_server(authority: Authority, folder: Path, *options: str) -> AsyncIterator[int]:
    """`openssl s_server` on a port of its own choosing."""
    leaf = authority.ca.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(folder / "server.crt")
    leaf.private_key_pem.write_to_path(folder / "server.key")
    (folder / "ca.crt").write_text(authority.pem)
    files = ("-cert", folder / "server.crt", "-key", folder / "server.key", "-CAfile", folder / "ca.crt")
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_server", "-accept", "127.0.0.1:0", *files, *options,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while b"ACCEPT" not in (line := await process.stdout.readline()):
                assert line, "openssl ended before it listened"
        yield int(line.rsplit(b":", 1)[1])
    finally:
        process.kill()
        await process.communicate()


def self_signed() -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("relay.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return context_with(key, certificate)


def context_with(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
    blob = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with trustme.Blob(blob).tempfile() as path:
        context.load_cert_chain(path)
    return context


@BOTH
async def test_an_unknown_issuer_is_not_trusted_and_the_remedy_names_the_ca(authority, mode):
    async with tls_server(authority.server_context(), mode) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=mode), auth=password())

    assert (fault.stage, fault.reason) == (StageName.TLS, Reason.CERTIFICATE_UNTRUSTED)
    assert any("caConfigMapRef" in remedy for remedy in fault.remedies)
    assert not any(line.startswith("AUTH") for line in server.commands)


@BOTH
async def test_a_self_signed_certificate_is_named_as_such(mode):
    async with tls_server(self_signed(), mode) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=mode))

    assert fault.reason is Reason.CERTIFICATE_SELF_SIGNED


async def test_a_self_signed_certificate_is_trusted_once_it_is_given_as_ca():
    context = self_signed()
    async with tls_server(context, IMPLICIT) as server:
        report = await probe(relay(server.port, tls=TlsPlan(mode=IMPLICIT, verify=False)), dialer(), Level.TLS)
        shown = await certificate_of(server.port)
        plan = TlsPlan(mode=IMPLICIT, ca_pem=shown, server_name="relay.test")
        trusted = await probe(relay(server.port, tls=plan), dialer(), Level.TLS)

    assert report.fault is None
    assert trusted.fault is None


async def certificate_of(port: int) -> str:
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))


async def test_a_missing_intermediate_is_an_untrusted_certificate(authority):
    leaf = authority.ca.create_child_ca().issue_cert("127.0.0.1")
    bare = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with trustme.Blob(leaf.private_key_pem.bytes() + leaf.cert_chain_pems[0].bytes()).tempfile() as path:
        bare.load_cert_chain(path)
    async with tls_server(bare, IMPLICIT) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem))

    assert fault.reason is Reason.CERTIFICATE_UNTRUSTED


@pytest.mark.parametrize(
    ("begins", "ends", "reason"),
    [
        (NOW - timedelta(days=9), NOW - timedelta(days=1), Reason.CERTIFICATE_EXPIRED),
        (NOW + timedelta(days=1), NOW + timedelta(days=9), Reason.CERTIFICATE_NOT_YET_VALID),
    ],
)
@BOTH
async def test_a_certificate_out_of_its_time_is_refused(authority, begins, ends, reason, mode):
    leaf = authority.ca.issue_cert("127.0.0.1", not_before=begins, not_after=ends)
    async with tls_server(authority.server_context(leaf=leaf), mode) as server:
        report = await probe(relay(server.port, tls=TlsPlan(mode=mode, ca_pem=authority.pem)), dialer(), Level.TLS)

    check_report(report)
    assert report.fault is not None
    assert report.fault.reason is reason
    assert report.server.tls is not None, "the certificate that was refused is shown all the same"
    assert report.server.tls.not_after == ends.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_certificate_for_another_purpose_is_refused_with_openssls_own_words(authority):
    leaf = certificate_for_clients_only(authority)
    async with tls_server(leaf, IMPLICIT) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem))

    assert fault.reason is Reason.CERTIFICATE_INVALID
    assert "purpose" in fault.chain[0]


def certificate_for_clients_only(authority: Authority) -> ssl.SSLContext:
    issuer = x509.load_pem_x509_certificate(authority.pem.encode())
    issuer_key = serialization.load_pem_private_key(authority.ca.private_key_pem.bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([])).issuer_name(issuer.subject).public_key(key.public_key()).serial_number(8)
        .not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )  # fmt: skip
    return context_with(key, certificate)


@BOTH
async def test_a_certificate_for_other_names_lists_them(authority, mode):
    async with tls_server(authority.server_context("mail.example.com", "smtp.example.com"), mode) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=mode, ca_pem=authority.pem))

    assert fault.reason is Reason.CERTIFICATE_NAME_MISMATCH
    assert "mail.example.com, smtp.example.com" in fault.chain[0]


async def test_the_server_name_of_the_spec_is_the_name_that_is_verified(authority):
    async with tls_server(authority.server_context("mail.example.com"), IMPLICIT) as server:
        plan = TlsPlan(mode=IMPLICIT, ca_pem=authority.pem, server_name="mail.example.com")
        report = await probe(relay(server.port, tls=plan), dialer(), Level.TLS)

    assert report.fault is None


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
async def test_a_server_with_only_old_tls_versions_is_refused(authority, tmp_path, version):
    async with openssl_server(authority, tmp_path, version, "-cipher", "ALL:@SECLEVEL=0") as port:
        fault = await provoke(port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem), auth=password())

    assert fault.reason is Reason.TLS_VERSION_TOO_OLD


async def test_a_minimum_of_tls_13_refuses_tls_12(authority, tmp_path):
    async with openssl_server(authority, tmp_path, "-tls1_2") as port:
        fault = await provoke(port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem, min_version="TLS13"))

    assert fault.reason is Reason.TLS_VERSION_TOO_OLD


async def test_a_server_with_only_obsolete_ciphers_is_refused(authority, tmp_path):
    obsolete = ("-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0")
    async with openssl_server(authority, tmp_path, *obsolete) as port:
        fault = await provoke(port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem))

    assert fault.reason is Reason.NO_SHARED_CIPHER


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_server_that_wants_a_client_certificate_gets_that_reason(authority, tmp_path, version):
    async with openssl_server(authority, tmp_path, version, "-Verify", "1", "-verify_return_error") as port:
        fault = await provoke(port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem), auth=password())

    assert fault.reason is Reason.CLIENT_CERTIFICATE_REQUIRED


@pytest.mark.parametrize(
    ("script", "reason"), [(["close"], Reason.CLOSED_BEFORE_GREETING), (["abort"], Reason.CONNECTION_RESET)]
)
async def test_an_end_right_after_the_handshake_only_hints_at_a_client_certificate(authority, script, reason):
    """A load balancer without a living server does the same: that heals by itself, a missing certificate does not."""
    async with Scripted(script, tls=authority.server_context(), is_implicit=True) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=IMPLICIT, ca_pem=authority.pem))

    assert fault.reason is reason
    assert not fault.is_permanent
    assert "clientCertSecretRef" in fault.remedies[-1]


async def test_a_client_certificate_is_shown_to_the_server(authority):
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    mine = authority.ca.issue_cert("operator@example.com")
    plan = TlsPlan(
        mode=IMPLICIT,
        ca_pem=authority.pem,
        client_cert_pem=mine.cert_chain_pems[0].bytes().decode(),
        client_key_pem=Sensitive(mine.private_key_pem.bytes().decode()),
    )
    async with tls_server(context, IMPLICIT) as server:
        report = await probe(relay(server.port, tls=plan), dialer(), Level.TLS)

    assert report.fault is None
    assert "PRIVATE KEY" not in repr(report) + repr(plan)


@pytest.mark.parametrize("script", [[GREET, "hang"], [b"HTTP/1.1 400 Bad Request\r\n\r\n", "close"]])
async def test_plain_text_on_a_tls_port_is_told(script):
    async with Scripted(script) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=IMPLICIT), auth=password())

    assert fault.reason is Reason.PLAINTEXT_ON_TLS_PORT
    assert any("StartTLS" in remedy for remedy in fault.remedies)


@pytest.mark.parametrize("script", [["close"], [0.05, "abort"], ["hang"]], ids=["closed", "reset", "silent"])
async def test_a_handshake_that_breaks_off_is_a_failed_handshake(script):
    async with Scripted(script) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=IMPLICIT), impatient=("tls_s",))

    assert (fault.stage, fault.reason) == (StageName.TLS, Reason.TLS_HANDSHAKE_FAILED)


async def test_without_verification_the_report_says_so_and_shows_the_certificate(authority):
    async with tls_server(authority.server_context("elsewhere.example"), IMPLICIT) as server:
        report = await probe(relay(server.port, tls=TlsPlan(mode=IMPLICIT, verify=False)), dialer(), Level.TLS)

    tls = next(stage for stage in report.stages if stage.name is StageName.TLS)
    assert (tls.result, tls.reason) == (StageResult.PASSED, Reason.TLS_NOT_VERIFIED)
    assert report.server.tls is not None
    assert report.server.tls.version == "TLSv1.3"
    assert "trustme" in report.server.tls.issuer
    assert len(report.server.tls.sha256) == 64


async def test_a_private_ca_is_added_to_the_systems_roots_and_does_not_replace_them(authority, tmp_path, monkeypatch):
    public, private = authority, Authority(trustme.CA())
    roots = tmp_path / "roots.pem"
    roots.write_text(public.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    plan = TlsPlan(mode=IMPLICIT, ca_pem=private.pem)

    for issuer in (public, private):
        async with tls_server(issuer.server_context(), IMPLICIT) as server:
            report = await probe(relay(server.port, tls=plan), dialer(), Level.TLS)
        assert report.fault is None


async def test_what_cannot_be_a_ca_or_a_client_certificate_fails_before_any_packet(authority):
    async with Scripted([GREET, "hang"]) as server:
        ca = await provoke(server.port, tls=TlsPlan(ca_pem="not a certificate"))
        client = await provoke(server.port, tls=TlsPlan(client_cert_pem=authority.pem))

    assert (ca.stage, ca.reason) == (StageName.POLICY, Reason.INVALID_CA_BUNDLE)
    assert (client.stage, client.reason) == (StageName.POLICY, Reason.INVALID_CLIENT_CERTIFICATE)
    assert server.connections == 0


def test_an_encrypted_key_is_refused_instead_of_asking_on_a_terminal(authority):
    leaf = authority.ca.issue_cert("operator@example.com")
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass phrase"),
    )
    plan = TlsPlan(client_cert_pem=leaf.cert_chain_pems[0].bytes().decode(), client_key_pem=Sensitive(locked.decode()))

    assert tls_context(plan) == Unusable(
        Reason.INVALID_CLIENT_CERTIFICATE, "the private key is encrypted with a passphrase"
    )


def test_plans_that_demand_the_same_share_one_context(authority):
    first = TlsPlan(mode=IMPLICIT, ca_pem=authority.pem, server_name="a.example")
    second = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem, server_name="b.example")

    assert tls_context(first) is tls_context(second)
    assert tls_context(first) is not tls_context(TlsPlan(ca_pem=authority.pem, min_version="TLS13"))


async def test_a_login_under_implicit_tls_needs_no_permission_for_clear_text(authority):
    async with mail_server(tls=authority.server_context(), is_implicit=True) as server:
        plan = TlsPlan(mode=IMPLICIT, ca_pem=authority.pem)
        report = await probe(
            relay(server.port, tls=plan, auth=password(plaintext_allowed=False)), dialer(), Level.AUTHENTICATE
        )

    assert report.fault is None
    assert server.inbox.logins
