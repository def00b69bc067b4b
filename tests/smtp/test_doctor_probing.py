"""The doctor's own dialling: several relays at once, without logins, and the addresses that certificates name."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from smtprig import Authority, mail_server, relay
from watchbell.api.reasons import Reason
from watchbell.doctor.probing import dial
from watchbell.doctor.relays import Dialled
from watchbell.smtp.model import TlsMode, TlsPlan


def certificate(folder: Path, *urls: str) -> ssl.SSLContext:
    """A self-signed certificate that names these OCSP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.test")])
    access = [
        x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)) for url in urls
    ]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=100))
        .add_extension(x509.AuthorityInformationAccess(access), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "relay.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context


async def test_the_places_that_know_of_revoked_certificates_are_tried(tmp_path):
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    good = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ocsp"
    try:
        async with mail_server(tls=certificate(tmp_path, good, "http://127.0.0.1:1/ocsp")) as server:
            plan = TlsPlan(mode=TlsMode.START_TLS, verify=False)
            (probed,) = await dial([Dialled("relay", relay(server.port, tls=plan))], has_login=False)
    finally:
        listening.close()
        await listening.wait_closed()
    assert probed.report.fault is None
    assert probed.revocation == ((good, True), ("http://127.0.0.1:1/ocsp", False))


async def test_many_relays_are_dialled_at_once_and_reported_in_their_order(authority: Authority):
    async with mail_server(has_auth=False) as plain, mail_server(tls=authority.server_context()) as other:
        start_tls = relay(other.port, tls=TlsPlan(mode=TlsMode.START_TLS))
        wanted = [Dialled("gone", relay(1)), Dialled("plain", relay(plain.port)), Dialled("untrusted", start_tls)]
        found = await dial(wanted, has_login=False)
    assert [one.label for one in found] == ["gone", "plain", "untrusted"]
    reasons = [one.report.fault.reason if one.report.fault else None for one in found]
    assert reasons == [Reason.CONNECTION_REFUSED, None, Reason.CERTIFICATE_UNTRUSTED]
    assert plain.inbox.messages == []
