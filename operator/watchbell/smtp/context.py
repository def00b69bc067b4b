"""What was going on when something failed: the facts that verdicts and remedies need beside the failure itself.

Sessions fill it as they learn more (`dataclasses.replace`); `verdict` and `remedies` read it. Pure: no socket, no clock. The secrets in it are only
there to be scrubbed out of what servers say; they are `Sensitive` and never shown.
"""

from dataclasses import dataclass

from watchbell.api.sensitive import Sensitive
from watchbell.smtp.model import Mechanism, Relay, TlsMode

_PASSWORD_MECHANISMS = frozenset({Mechanism.AUTO, Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.CRAM_MD5})
_TOKEN_MECHANISMS = frozenset({Mechanism.XOAUTH2, Mechanism.OAUTHBEARER})


@dataclass(frozen=True, slots=True)
class ReplyContext:
    """Facts about one session. Empty values mean "not known"; `mechanism` is the one that was tried (None: no login).

    `server_name` is the name that the certificate must carry where that is not the host, `address` the peer's IP without port. `offered` are
    SASL mechanisms, `certificate_names` the names in the server's certificate.
    `is_fresh_tls` says that the handshake is done and nothing was read since: where a refused client certificate shows up in TLS 1.3.
    """

    host: str = ""
    port: int = 0
    tls_mode: TlsMode = TlsMode.START_TLS
    address: str = ""
    hello_name: str = ""
    username: str = ""
    mail_from: str = ""
    mechanism: Mechanism | None = None
    offered: tuple[str, ...] = ()
    certificate_names: tuple[str, ...] = ()
    has_client_certificate: bool = False
    is_fresh_tls: bool = False
    max_message_bytes: int = 0
    timeout_s: float = 0
    server_name: str = ""
    secrets: tuple[Sensitive, ...] = ()

    @property
    def endpoint(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return _joined(self.host, self.port)

    @property
    def peer(self) -> str:
        """`address:port`, or `host:port` while the address is not known."""
        return _joined(self.address or self.host, self.port)

    @property
    def has_password_login(self) -> bool:
        """A password was to be sent."""
        return self.mechanism in _PASSWORD_MECHANISMS

    @property
    def has_token_login(self) -> bool:
        """An OAuth2 token was to be sent."""
        return self.mechanism in _TOKEN_MECHANISMS


def context_of(relay: Relay) -> ReplyContext:
    """What is known before the first packet; every secret of the relay is in `secrets`."""
    auth, oauth = relay.auth, relay.auth.oauth if relay.auth else None
    secrets = [relay.tls.client_key_pem, auth.password if auth else None]
    if oauth:
        secrets += [oauth.client_secret, oauth.client_key_pem, oauth.refresh_token, oauth.service_account_json]
    return ReplyContext(
        host=relay.host,
        server_name=relay.tls.server_name or "",
        port=relay.port,
        tls_mode=relay.tls.mode,
        hello_name=relay.hello_name,
        username=auth.username if auth else "",
        mail_from=relay.mail_from,
        mechanism=auth.mechanism if auth else None,
        has_client_certificate=relay.tls.client_cert_pem is not None,
        secrets=tuple(secret for secret in secrets if secret),
    )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
