"""The `tls` block of a connector: how the connection is encrypted, and where the CA and the client certificate stand."""

from pydantic import Field

from watchbell.api import fields as f
from watchbell.api.enums import TlsMode, TlsVersion, Verification
from watchbell.api.markers import Rule
from watchbell.api.meta import Block, LocalRef


class SecretKeyRef(Block):
    """A key of a Secret. For a SmtpConnector it stands in the same namespace, for a ClusterSmtpConnector in the operator's."""

    name: f.Name = Field(description="The Secret's name.")
    key: f.SecretKey = Field("ca.crt", description="The key that holds the PEM certificates.")


class ConfigMapKeyRef(Block):
    """A key of a ConfigMap. For a SmtpConnector it stands in the same namespace, for a ClusterSmtpConnector in the operator's."""

    name: f.Name = Field(description="The ConfigMap's name.")
    key: f.SecretKey = Field("ca.crt", description="The key that holds the PEM certificates.")


def _not_with_mode_none(field: str, attribute: str) -> Rule:
    return Rule(
        f"self.mode != 'None' || !has(self.{field})",
        f"{field} may not be set with tls.mode None: there is no TLS",
        f".{field}",
        lambda tls: tls.mode is not TlsMode.NONE or getattr(tls, attribute) is None,
    )


class Dkim(Block):
    """A DKIM signature on every mail (RFC 6376), for relays that do not sign themselves. Most providers do."""

    domain: f.Domain = Field(description="The domain that signs; that of `from.address`, or one above it.")
    selector: f.Selector = Field(
        description="Where the public key stands in DNS: the TXT record `<selector>._domainkey.<domain>`."
    )
    secret_ref: LocalRef = Field(
        description='The Secret with the private key, labelled watchbell.dev/dkim-key: "true". For a ClusterSmtpConnector it stands in the '
        "operator's namespace."
    )
    key: f.SecretKey = Field(
        "private.pem", description="The key of the Secret that holds it: PEM, RSA (best with 2048 bits) or Ed25519."
    )


class Tls(Block):
    """How the connection is encrypted and what the server must prove."""

    RULES = (
        Rule(
            "!has(self.caSecretRef) || !has(self.caConfigMapRef)",
            "caConfigMapRef may not be set together with caSecretRef",
            ".caConfigMapRef",
            lambda tls: tls.ca_secret_ref is None or tls.ca_config_map_ref is None,
        ),
        _not_with_mode_none("caSecretRef", "ca_secret_ref"),
        _not_with_mode_none("caConfigMapRef", "ca_config_map_ref"),
        _not_with_mode_none("clientCertSecretRef", "client_cert_secret_ref"),
        _not_with_mode_none("serverName", "server_name"),
    )

    mode: TlsMode = Field(
        TlsMode.START_TLS,
        description="StartTLS (the server must offer it), Implicit (TLS at once, as on port 465) or None (clear text). Never opportunistic.",
    )
    ca_secret_ref: SecretKeyRef | None = Field(None, description="A CA in a Secret, added to the system's roots.")
    ca_config_map_ref: ConfigMapKeyRef | None = Field(
        None, description="A CA in a ConfigMap, added to the system's roots."
    )
    client_cert_secret_ref: LocalRef | None = Field(
        None, description="A Secret with `tls.crt` and `tls.key`, shown to servers that ask for a client certificate."
    )
    server_name: f.ServerName | None = Field(
        None, description="The name that the certificate must bear, if it is not `host`."
    )
    min_version: TlsVersion = Field(TlsVersion.TLS12, description="The oldest TLS version that is accepted.")
    verification: Verification = Field(
        Verification.FULL,
        description="Full, or None: the certificate is not checked. None works only if the operator runs with --allow-insecure-tls.",
    )
