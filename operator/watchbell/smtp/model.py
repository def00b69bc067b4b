"""The values that pass between the stages of an SMTP session, and to those who ask for one.

Connectors build a `Relay`; `session` opens it and reports each stage; `probe` and `submit` return reports. All values are frozen, hold no
socket and no clock, and never show a secret.
"""

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum

from watchbell.api.enums import Grant, Level, Mechanism, RecipientOutcome, StageName, StageResult, TlsMode
from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive

__all__ = [
    "AuthPlan",
    "Envelope",
    "Fault",
    "Grant",
    "Level",
    "Mechanism",
    "OAuthPlan",
    "ProbeReport",
    "RecipientOutcome",
    "RecipientResult",
    "Relay",
    "RetryClass",
    "ServerFacts",
    "StageName",
    "StageReport",
    "StageResult",
    "SubmitReport",
    "Timeouts",
    "TlsFacts",
    "TlsMode",
    "TlsPlan",
]


class RetryClass(StrEnum):
    """When a failed attempt is worth another (`reference` page delivery semantics).

    A: 30 s to 5 min. B: 5 to 30 min. C: hourly, and at once when the Secret or the spec changes. D: the provider's next quota window.
    GREYLIST: 1, 5, 15 min. NOW: at once, changed (recipients split). NEVER: this message or recipient is done for.
    """

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    GREYLIST = "Greylist"
    NOW = "Now"
    NEVER = "Never"


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """What TLS must prove. `ca_pem` is added to the system's roots, never instead of them."""

    mode: TlsMode = TlsMode.START_TLS
    server_name: str | None = None
    ca_pem: str | None = None
    client_cert_pem: str | None = None
    client_key_pem: Sensitive | None = None
    min_version: str = "TLS12"
    verify: bool = True


@dataclass(frozen=True, slots=True)
class OAuthPlan:
    """Where and how to get a token; which of the secrets is set follows from `grant`. `ca_pem` is added to the system's roots."""

    grant: Grant
    token_url: str
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    client_secret: Sensitive | None = None
    client_cert_pem: str | None = None
    client_key_pem: Sensitive | None = None
    refresh_token: Sensitive | None = None
    service_account_json: Sensitive | None = None
    federated_token_file: str | None = None
    subject: str = ""
    ca_pem: str | None = None


@dataclass(frozen=True, slots=True)
class AuthPlan:
    """Who logs in and with what. `oauth` excludes `password`."""

    username: str
    password: Sensitive | None = None
    mechanism: Mechanism = Mechanism.AUTO
    oauth: OAuthPlan | None = None
    plaintext_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each stage (RFC 5321 §4.5.3.2 where the RFC sets one; shorter where a probe must not hang)."""

    resolve_s: float = 5
    connect_each_s: float = 5
    connect_all_s: float = 15
    tls_s: float = 10
    greeting_s: float = 30
    command_s: float = 30
    auth_s: float = 30
    token_s: float = 10
    data_initiation_s: float = 120
    data_block_s: float = 180
    data_termination_s: float = 600
    quit_s: float = 5
    total_probe_s: float = 120


@dataclass(frozen=True, slots=True)
class Relay:
    """One server as one login sees it: all that a session needs. Never recipients, never content."""

    host: str
    port: int
    tls: TlsPlan = TlsPlan()
    auth: AuthPlan | None = None
    mail_from: str = ""
    hello_name: str = ""
    timeouts: Timeouts = Timeouts()

    @property
    def endpoint(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def key(self) -> str:
        """Equal for relays whose open connections are interchangeable: same endpoint, TLS demands, login and secret. Kept in memory only."""
        return hashlib.blake2b(_reveal(self).encode(), digest_size=16).hexdigest()

    @property
    def circuit(self) -> str:
        """Equal for relays that fail together: as `key`, but whatever they send as. Kept in memory only."""
        return replace(self, mail_from="", hello_name="").key

    @property
    def account(self) -> str:
        """Equal for relays that share what the provider allows: same server, same user name. A new password brings no new quota.

        No secret is in it, so it may be stored.
        """
        user = self.auth.username if self.auth else ""
        return hashlib.blake2b(f"{self.endpoint}\0{user}".lower().encode(), digest_size=12).hexdigest()


def _reveal(relay: Relay) -> str:
    auth = relay.auth
    secrets = [relay.tls.client_key_pem]
    if auth is not None:
        oauth = auth.oauth
        secrets += [auth.password]
        secrets += (
            [oauth.client_secret, oauth.client_key_pem, oauth.refresh_token, oauth.service_account_json]
            if oauth
            else []
        )
    return repr(relay) + "\0".join(secret.reveal() if secret else "" for secret in secrets)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something did not work: the value that every failed stage ends in.

    `message` is one line for people (sanitised, at most 512 characters); `chain` goes from the outermost cause to the innermost, in the
    form people search for (`dial tcp 192.0.2.7:587: connect: connection timed out (ETIMEDOUT)`), at most eight entries of 1 KiB.
    `remedies` are plain sentences in Kubernetes terms.
    """

    stage: StageName
    reason: Reason
    message: str
    retry: RetryClass
    is_permanent: bool
    code: int | None = None
    enhanced_code: str | None = None
    chain: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage of one session."""

    name: StageName
    result: StageResult
    duration_ms: int = 0
    reason: Reason | None = None
    code: int | None = None
    enhanced_code: str | None = None
    message: str = ""
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What was negotiated and which certificate was shown; `not_after` is RFC 3339 in UTC, `sha256` lower-case hex."""

    version: str
    cipher: str
    subject: str
    issuer: str
    not_after: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself after the last EHLO. `max_message_bytes` 0 = it named no limit (RFC 1870).

    `addresses` is what its name resolved to, `address` the one that answered. `certificates` is the chain as shown, in DER, the server's own first;
    empty unless the session's log asked for it.
    """

    capabilities: tuple[str, ...] = ()
    auth_mechanisms: tuple[str, ...] = ()
    max_message_bytes: int = 0
    tls: TlsFacts | None = None
    address: str = ""
    addresses: tuple[str, ...] = ()
    certificates: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """The whole of a probe or a test: each stage, what the server is, and the one fault that ended it (None = all passed)."""

    stages: tuple[StageReport, ...]
    fault: Fault | None
    server: ServerFacts
    transcript: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom on the wire; addresses are ready for it (A-labels, no display names). RFC 5321 §2.3.1."""

    mail_from: str
    recipients: tuple[str, ...]
    needs_smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """One recipient of one attempt; `fault` is None only when accepted."""

    address: str
    outcome: RecipientOutcome
    fault: Fault | None = None
    code: int | None = None
    enhanced_code: str | None = None


@dataclass(frozen=True, slots=True)
class SubmitReport:
    """One attempt to hand over one message. `fault` is the session's or transaction's own fault, beside those of single recipients."""

    recipients: tuple[RecipientResult, ...]
    server_response: str = ""
    fault: Fault | None = None
    stages: tuple[StageReport, ...] = field(default=())
