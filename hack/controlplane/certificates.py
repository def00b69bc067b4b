"""An authority of its own for one control plane: the serving certificate (127.0.0.1 included), client certificates, the service-account key."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controlplane.errors import ControlPlaneError

_LIFE = dt.timedelta(days=2)
_SERVED_AS: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.DNSName("kubernetes"),
    x509.DNSName("kubernetes.default"),
    x509.DNSName("kubernetes.default.svc"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
)


class Authority:
    """Makes certificates below one root that lives as long as this object; the root's certificate is PEM in ``certificate_pem``."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test control plane")])
        draft = _draft(self._name, self._name, self._key.public_key())
        draft = draft.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        draft = draft.add_extension(_usage(signs=True), critical=True)
        self._root = draft.sign(self._key, hashes.SHA256())
        self.certificate_pem = self._root.public_bytes(serialization.Encoding.PEM)

    def serving(self) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) for the API server."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
        return self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(_SERVED_AS))

    def client(self, user: str, groups: Sequence[str]) -> tuple[bytes, bytes]:
        """Certificate and key (PEM) with which a client is ``user`` in ``groups``."""
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        return self._issue(
            x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)]),
            ExtendedKeyUsageOID.CLIENT_AUTH,
            None,
        )

    def _issue(
        self, name: x509.Name, purpose: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        draft = _draft(name, self._name, key.public_key())
        draft = draft.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        draft = draft.add_extension(_usage(signs=False), critical=True)
        draft = draft.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        # Python 3.13 verifies strictly: a leaf must name its issuer's key.
        draft = draft.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if names is not None:
            draft = draft.add_extension(names, critical=False)
        return draft.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), _key_pem(key)


def service_account_key() -> bytes:
    """A private key (PEM) for signing service-account tokens; RSA, since every verifier knows it."""
    return _key_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def write_private(path: Path, content: bytes) -> Path:
    """Writes a file that only its owner reads."""
    try:
        path.touch(mode=0o600)
        path.write_bytes(content)
    except OSError as problem:
        raise ControlPlaneError(
            f"{path} could not be written ({problem.strerror}); free some space or choose another folder."
        ) from problem
    return path


def _draft(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
    )
    draft = draft.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + _LIFE)
    return draft.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
