"""Makes the relay and the outlet of what was gathered. Pure: values in, values or a named refusal out.

After `gather`, before `schedule` and the probe. The defaults that a spec may leave out are filled in here and nowhere else, so `status.endpoint`
says what was really used.
"""

from dataclasses import dataclass, replace

from watchbell.api.connector import Auth, ConnectorSpec, Limits, OAuth2
from watchbell.api.enums import ConnectorKind, Grant, Mechanism, Plaintext, TlsMode, Verification
from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.connectors.credentials import (
    Refusal,
    SecretView,
    Value,
    check_opt_in,
    check_signs,
    read_text,
    read_value,
    refs_refusal,
)
from watchbell.connectors.fallback import fallback_key
from watchbell.connectors.gather import Found
from watchbell.mail.address import AddressProblem, Mailbox, parse_mailbox, wire_address, wire_domain
from watchbell.mail.dkim import DkimKey, KeyProblem, private_key
from watchbell.outbox.outlet import Allowance, ConnectorKey, Outlet, OutletLimits
from watchbell.smtp.egress import EgressPolicy, check_port
from watchbell.smtp.model import AuthPlan, OAuthPlan, Relay, Timeouts, TlsPlan
from watchbell.smtp.providers import limits_of
from watchbell.smtp.ses import derive_password

GOOGLE_ENDPOINT = "https://oauth2.googleapis.com/token"
DEFAULT_PORTS = {TlsMode.START_TLS: 587, TlsMode.IMPLICIT: 465, TlsMode.NONE: 25}
NEWLINE_NOTE = "a line break at the end of the Secret's value was left off; write it without one, for example with printf %s instead of echo"


@dataclass(frozen=True, slots=True)
class Allowances:
    """What the operator's admin allows: the egress policy, insecure settings, and the pod's own federated token (None: it has none)."""

    egress: EgressPolicy
    insecure: bool = False
    federated_token_file: str | None = None


@dataclass(frozen=True, slots=True)
class Assembled:
    """A connector ready to be probed: its outlet (with the relay), what is worth a remark, and the Secret that commands in remedies name."""

    outlet: Outlet
    had_newline: bool
    secret_namespace: str
    secret_name: str


def assemble(key: ConnectorKey, found: Found, allowances: Allowances) -> Assembled | Refusal:
    """The outlet of a connector."""
    refusal = _insecurity(found.base, allowed=allowances.insecure) or _identity(found) or _circle(key, found)
    if refusal is not None:
        return refusal
    tls = _tls(found)
    if isinstance(tls, Refusal):
        return tls
    host = found.base.host or ""
    port = found.base.port or DEFAULT_PORTS[tls.mode]
    denied = check_port(allowances.egress, port)
    if denied is not None:
        return Refusal(
            "Accepted",
            Reason.PORT_NOT_ALLOWED,
            f"spec.port: {denied.message}; --egress-allow-port lists the ports that may be used",
        )
    login = _login(found, host)
    if isinstance(login, Refusal):
        return login
    sender, reply_to = _sender(found), _reply_to(found)
    if isinstance(sender, Refusal):
        return sender
    if isinstance(reply_to, Refusal):
        return reply_to
    dkim = _dkim(found)
    if isinstance(dkim, Refusal):
        return dkim
    relay = Relay(
        host=host,
        port=port,
        tls=tls,
        auth=_with_surroundings(login.plan, found.ca_pem, allowances.federated_token_file),
        mail_from=_wire(sender.address),
        hello_name=found.base.hello_name or "",
        timeouts=replace(Timeouts(), connect_each_s=float(found.base.probe.timeout_seconds))
        if found.base.probe
        else Timeouts(),
    )
    secret_name = found.secret.name if found.secret else ""
    outlet = replace(_outlet(key, found, relay, sender, reply_to), dkim=dkim)
    return Assembled(outlet, login.had_newline, found.namespace, secret_name)


def _insecurity(base: ConnectorSpec, *, allowed: bool) -> Refusal | None:
    if allowed:
        return None
    if base.tls and base.tls.verification is Verification.NONE:
        field = "spec.tls.verification: None"
    elif base.auth and base.auth.plaintext is Plaintext.ALLOW:
        field = "spec.auth.plaintext: Allow"
    else:
        return None
    return Refusal(
        "Accepted",
        Reason.INSECURE_NOT_ALLOWED,
        f"{field} works only if the operator runs with --allow-insecure-tls; better trust the CA with spec.tls.caSecretRef",
    )


def _identity(found: Found) -> Refusal | None:
    """Workload identity is the operator's own: a tenant who could use it would send as whatever mailbox the operator may."""
    oauth = found.base.auth.oauth2 if found.base.auth else None
    if (
        oauth is None
        or oauth.grant is not Grant.WORKLOAD_IDENTITY
        or found.base_key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR
    ):
        return None
    return Refusal(
        "Accepted",
        Reason.INSECURE_NOT_ALLOWED,
        "spec.auth.oauth2.grant: WorkloadIdentity is the operator's own identity and works in a ClusterSmtpConnector only; "
        "use one through spec.parentRef",
    )


def _circle(key: ConnectorKey, found: Found) -> Refusal | None:
    """A connector cannot take over for itself, nor a parent for its children, which use its server and login."""
    fallback = fallback_key(found.spec, found.base, key.namespace)
    if fallback not in (key, found.base_key):
        return None
    return Refusal(
        "Accepted",
        Reason.FALLBACK_IS_ITSELF,
        f"spec.fallbackRef of {found.base_key} names the connector itself: name another one, or leave it out",
    )


def _with_surroundings(plan: AuthPlan | None, ca_pem: str | None, token_file: str | None) -> AuthPlan | None:
    """What a token needs beside the `auth` block: the connector's own CA, and for workload identity the pod's token."""
    if plan is None or plan.oauth is None:
        return plan
    path = token_file if plan.oauth.grant is Grant.WORKLOAD_IDENTITY else None
    return replace(plan, oauth=replace(plan.oauth, ca_pem=ca_pem, federated_token_file=path))


def _tls(found: Found) -> TlsPlan | Refusal:
    tls = found.base.tls
    if tls is None:
        return TlsPlan()
    plan = TlsPlan(
        mode=tls.mode,
        server_name=tls.server_name,
        ca_pem=found.ca_pem,
        min_version=str(tls.min_version),
        verify=tls.verification is not Verification.NONE,
    )
    if found.client_cert is None:
        return plan
    refusal = check_opt_in(found.client_cert, found.base.host or "")
    cert, key = read_text(found.client_cert, "tls.crt"), read_text(found.client_cert, "tls.key")
    for result in (refusal, cert, key):
        if isinstance(result, Refusal):
            return result
    return replace(plan, client_cert_pem=str(cert), client_key_pem=Sensitive(str(key)))


@dataclass(frozen=True, slots=True)
class _Login:
    plan: AuthPlan | None
    had_newline: bool = False


def _login(found: Found, host: str) -> _Login | Refusal:
    auth = found.base.auth
    if auth is None:
        return _Login(None)
    secret = found.secret
    if secret is None:
        return _without_secret(auth)
    refusal = check_opt_in(secret, host)
    if refusal is not None:
        return refusal
    username = Value(Sensitive(auth.username)) if auth.username else _username(auth, secret)
    if isinstance(username, Refusal):
        return username
    name = f"{auth.domain}\\{username.secret.reveal()}" if auth.domain else username.secret.reveal()
    if auth.oauth2 is not None:
        oauth = _oauth(auth.oauth2, secret, name)
        return oauth if isinstance(oauth, Refusal) else _Login(_plan(auth, name, oauth=oauth), username.had_newline)
    if auth.mechanism is Mechanism.EXTERNAL:
        return _Login(_plan(auth, name))
    return _password_login(auth, secret, name, host, username.had_newline)


def _without_secret(auth: Auth) -> _Login | Refusal:
    """A login that needs no Secret: a client certificate, or a token by workload identity."""
    if auth.oauth2 is not None and auth.oauth2.grant is Grant.WORKLOAD_IDENTITY:
        return _Login(_plan(auth, auth.username or "", oauth=_oauth_plan(auth.oauth2)))
    if auth.mechanism is Mechanism.EXTERNAL:
        return _Login(_plan(auth, auth.username or ""))
    return Refusal("Accepted", Reason.INVALID_SPEC, "spec.auth.secretRef must be set for this kind of login")


def _password_login(auth: Auth, secret: SecretView, name: str, host: str, had_newline: bool) -> _Login | Refusal:  # noqa: FBT001 - a carried fact, not a switch
    key = auth.password_key or ("aws-secret-access-key" if auth.ses else "password")
    password = read_value(secret, key)
    if isinstance(password, Refusal):
        return password
    value = password.secret
    if auth.ses is not None:
        value = derive_password(value, auth.ses.region)
    elif host.rstrip(".").lower().endswith(("gmail.com", "googlemail.com")):
        # Google shows app passwords in groups of four; the spaces are no part of them.
        value = Sensitive(value.reveal().replace(" ", ""))
    return _Login(_plan(auth, name, password=value), had_newline or password.had_newline)


def _plan(auth: Auth, name: str, *, password: Sensitive | None = None, oauth: OAuthPlan | None = None) -> AuthPlan:
    return AuthPlan(
        username=name,
        password=password,
        mechanism=auth.mechanism,
        oauth=oauth,
        plaintext_allowed=auth.plaintext is Plaintext.ALLOW,
    )


def _username(auth: Auth, secret: SecretView) -> Value | Refusal:
    default = "aws-access-key-id" if auth.ses and "username" not in secret.data else "username"
    return read_value(secret, auth.username_key or default)


def _oauth_plan(oauth: OAuth2) -> OAuthPlan:
    return OAuthPlan(
        grant=oauth.grant,
        # Not the token_uri of service-account.json: who writes a Secret may not choose where assertions go.
        token_url=oauth.token_url or (GOOGLE_ENDPOINT if oauth.grant is Grant.GOOGLE_SERVICE_ACCOUNT else ""),
        client_id=oauth.client_id or "",
        scopes=tuple(oauth.scopes or ()),
    )


def _oauth(oauth: OAuth2, secret: SecretView, username: str) -> OAuthPlan | Refusal:
    plan = replace(_oauth_plan(oauth), subject=username)
    match oauth.grant:
        case Grant.WORKLOAD_IDENTITY:
            return plan
        case Grant.GOOGLE_SERVICE_ACCOUNT:
            document = read_text(secret, "service-account.json")
            return (
                document if isinstance(document, Refusal) else replace(plan, service_account_json=Sensitive(document))
            )
        case Grant.REFRESH_TOKEN:
            token = read_value(secret, "refresh-token")
            if isinstance(token, Refusal):
                return token
            client = read_value(secret, "client-secret") if "client-secret" in secret.data else None
            if isinstance(client, Refusal):
                return client
            return replace(plan, refresh_token=token.secret, client_secret=client.secret if client else None)
        case Grant.CLIENT_CREDENTIALS:
            return _client_credentials(plan, secret)


def _client_credentials(plan: OAuthPlan, secret: SecretView) -> OAuthPlan | Refusal:
    if "client.crt" in secret.data:
        cert, key = read_text(secret, "client.crt"), read_text(secret, "client.key")
        if isinstance(cert, Refusal):
            return cert
        return key if isinstance(key, Refusal) else replace(plan, client_cert_pem=cert, client_key_pem=Sensitive(key))
    client = read_value(secret, "client-secret")
    return client if isinstance(client, Refusal) else replace(plan, client_secret=client.secret)


def _dkim(found: Found) -> DkimKey | Refusal | None:
    """What mails are signed with."""
    wanted, secret = found.base.dkim, found.dkim
    if wanted is None or secret is None:
        return None
    domain = wire_domain(wanted.domain)
    if isinstance(domain, AddressProblem):
        return Refusal("Accepted", Reason.INVALID_SPEC, f"spec.dkim.domain: {domain.message}")
    pem = check_signs(secret) or read_text(secret, wanted.key)
    if isinstance(pem, Refusal):
        return pem
    key = private_key(pem)
    if isinstance(key, KeyProblem):
        text = f"spec.dkim.secretRef: key {wanted.key} of Secret {secret.name} {key.message}"
        return refs_refusal(Reason.SECRET_MALFORMED, text)
    return DkimKey(domain, wanted.selector, key)


def _sender(found: Found) -> Mailbox | Refusal:
    own, inherited = found.spec.from_, found.base.from_
    address = (own and own.address) or (inherited and inherited.address) or ""
    name = (own and own.name) or (inherited and inherited.name) or ""
    wire = wire_address(address)
    if isinstance(wire, AddressProblem):
        return Refusal("Accepted", Reason.INVALID_SPEC, f"spec.from.address: {wire.message}")
    return Mailbox(name, address)


def _wire(address: str) -> str:
    wire = wire_address(address)
    if isinstance(wire, AddressProblem):
        raise TypeError("the sender was checked before")
    return wire.text


def _reply_to(found: Found) -> tuple[Mailbox, ...] | Refusal:
    mailboxes = []
    for index, text in enumerate(found.spec.reply_to or found.base.reply_to):
        mailbox = parse_mailbox(text)
        if isinstance(mailbox, AddressProblem):
            return Refusal("Accepted", Reason.INVALID_SPEC, f"spec.replyTo[{index}]: {mailbox.message}")
        mailboxes.append(mailbox)
    return tuple(mailboxes)


def _outlet(key: ConnectorKey, found: Found, relay: Relay, sender: Mailbox, reply_to: tuple[Mailbox, ...]) -> Outlet:
    headers = found.spec.headers or found.base.headers
    return Outlet(
        key=key,
        relay=relay,
        sender=sender,
        reply_to=reply_to,
        headers=tuple((header.name, header.value) for header in headers),
        limits=_limits(key, found, relay),
    )


def _limits(key: ConnectorKey, found: Found, relay: Relay) -> OutletLimits:
    """What the spec says, else its parent, else what is known of the provider; each field by itself."""
    own, base = found.spec.limits or Limits(), found.base.limits or Limits()
    policy = found.base.recipient_policy
    known = limits_of(found.base.host or "")
    return OutletLimits(
        max_connections=own.max_connections or base.max_connections or known.connections,
        max_recipients_per_message=own.max_recipients_per_message
        or base.max_recipients_per_message
        or known.recipients_per_message,
        max_message_bytes=own.max_message_bytes or base.max_message_bytes or known.message_bytes,
        allowed_domains=_domains(policy.allowed_domains if policy else ()),
        denied_domains=_domains(policy.denied_domains if policy else ()),
        allowances=_allowances(key, found, relay),
    )


def _allowances(key: ConnectorKey, found: Found, relay: Relay) -> tuple[Allowance, ...]:
    """What a mail counts against: the limits of the connector, those of its parent, and of the provider what neither this nor the parent sets.

    A parent's limits hold for all of its children together, so a child cannot lift them. The provider's are those of the login: whoever
    uses the same one shares them.
    """
    own, base = found.spec.limits or Limits(), found.base.limits or Limits()
    known = limits_of(relay.host)
    allowances = [
        _allowance(str(found.base_key), base),
        Allowance(
            relay.account,
            0 if base.messages_per_minute else known.messages_per_minute,
            0 if base.messages_per_day else known.messages_per_day,
            0 if base.recipients_per_day else known.recipients_per_day,
        ),
    ]
    if found.base_key != key:
        allowances.append(_allowance(str(key), own))
    return tuple(allowance for allowance in allowances if allowance.is_limited)


def _allowance(scope: str, limits: Limits) -> Allowance:
    return Allowance(
        scope, limits.messages_per_minute or 0, limits.messages_per_day or 0, limits.recipients_per_day or 0
    )


def _domains(names: tuple[str, ...]) -> tuple[str, ...]:
    encoded = (wire_domain(name) for name in names)
    return tuple(name for name in encoded if isinstance(name, str))
