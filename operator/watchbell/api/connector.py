"""SmtpConnector and ClusterSmtpConnector: one server as one login sees it. The session and the credentials, never recipients or content."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StrictBool

from watchbell.api import fields as f
from watchbell.api.encryption import ConfigMapKeyRef, Dkim, SecretKeyRef, Tls
from watchbell.api.enums import ConnectorKind, Level, Mechanism, NamespacesFrom, TlsMode, Use
from watchbell.api.login import Auth, OAuth2, Ses
from watchbell.api.markers import InCode, ListMap, ListSet, Rule
from watchbell.api.meta import Block, LabelSelector, LocalRef, Resource, Spec, Status
from watchbell.api.stages import Remediation, Server, Stages

__all__ = [
    "AllowedNamespaces",
    "Auth",
    "ClusterConnectorSpec",
    "ClusterSmtpConnector",
    "ConfigMapKeyRef",
    "ConnectorRef",
    "ConnectorSpec",
    "ConnectorStatus",
    "Dkim",
    "FallbackRef",
    "From",
    "Header",
    "Limits",
    "NamespacedConnectorSpec",
    "OAuth2",
    "Probe",
    "RecipientPolicy",
    "SecretKeyRef",
    "Ses",
    "Slowdown",
    "SmtpConnector",
    "Tls",
    "UsedCredentials",
]


class ConnectorRef(Block):
    """A connector: one of the same namespace, or a ClusterSmtpConnector that allows the namespace."""

    kind: Annotated[ConnectorKind, InCode("SmtpConnector")] = Field(
        ConnectorKind.SMTP_CONNECTOR, description="SmtpConnector or ClusterSmtpConnector."
    )
    name: f.Name = Field(description="The connector's name.")


class From(Block):
    """The sender that recipients see."""

    address: f.Address | None = Field(None, description="The address; also the envelope's sender.")
    name: f.SenderName | None = Field(None, description="The name shown beside it.")


class Header(Block):
    """An extra header for every mail."""

    name: f.HeaderName = Field(description="The header's name, without the colon.")
    value: f.HeaderValue = Field(description="Its value, one line.")


class Probe(Block):
    """How often and how far the connector is proven."""

    level: Level = Field(
        Level.AUTHENTICATE,
        description="Disabled, Connect, TLS, Authenticate, or Sender (also asks whether the login may send as `from.address`; nothing is sent).",
    )
    period_seconds: Annotated[int, Field(strict=True, ge=10, le=86_400)] = Field(
        600, description="The time between two probes."
    )
    auth_period_seconds: Annotated[int, Field(strict=True, ge=10, le=604_800)] = Field(
        3600, description="The time between two logins: they count against limits, so most probes end before."
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=60)] = Field(
        5, description="The time for one TCP connection attempt."
    )
    failure_threshold: Annotated[int, Field(strict=True, ge=1, le=20)] = Field(
        3, description="Failures in a row before a connector that was Ready loses it."
    )


class Limits(Block):
    """What the server takes. What is unset comes from the table of known providers; other hosts have no rate."""

    messages_per_minute: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None, InCode("the provider's, else no limit")
    ] = Field(None, description="Messages in any minute; what is over waits. A tenth is kept back for priority High.")
    messages_per_day: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None, InCode("the provider's, else no limit")
    ] = Field(None, description="Messages in any 24 hours; what is over waits. Counted over restarts.")
    recipients_per_day: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None, InCode("the provider's, else no limit")
    ] = Field(None, description="Recipients of all messages in any 24 hours; what is over waits.")
    max_connections: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=20)] | None, InCode("the provider's, else 2")
    ] = Field(None, description="Connections open at once.")
    max_recipients_per_message: Annotated[
        Annotated[int, Field(strict=True, ge=1, le=1000)] | None, InCode("the provider's, else 50")
    ] = Field(None, description="Recipients in one transaction; more are sent in several.")
    max_message_bytes: Annotated[
        Annotated[int, Field(strict=True, ge=1024, le=157_286_400)] | None, InCode("the provider's, else 10485760")
    ] = Field(None, description="The largest message; the server's own SIZE counts as well.")


class Drill(Block):
    """A fire drill: a mail a period that goes the way of every alert, so that silence means that nothing is wrong."""

    period_seconds: Annotated[int, Field(strict=True, ge=60, le=2_592_000)] = Field(
        86_400, description="The time between two drills."
    )
    to: Annotated[tuple[f.To, ...], Field(min_length=1, max_length=10), ListSet()] = Field(
        description="Who gets it; best a mailbox that somebody misses a mail in."
    )


class RecipientPolicy(Block):
    """To which domains mail may go."""

    allowed_domains: Annotated[tuple[f.Domain, ...], Field(max_length=64), ListSet()] = Field(
        (), description="Only these domains. Unset: all."
    )
    denied_domains: Annotated[tuple[f.Domain, ...], Field(max_length=64), ListSet()] = Field(
        (), description="Never these domains."
    )


class FallbackRef(Block):
    """A connector that takes over."""

    kind: ConnectorKind = Field(description="SmtpConnector (of the same namespace) or ClusterSmtpConnector.")
    name: f.Name = Field(description="The connector's name.")


class AllowedNamespaces(Block):
    """Which namespaces may use a ClusterSmtpConnector."""

    RULES = (
        Rule(
            "self.from == 'Selector' ? has(self.selector) : !has(self.selector)",
            "selector must be set with from Selector, and may not be set otherwise",
            ".selector",
            lambda allowed: (allowed.from_ is NamespacesFrom.SELECTOR) == (allowed.selector is not None),
        ),
        Rule(
            "self.from == 'Names' ? has(self.names) && size(self.names) > 0 : !has(self.names) || size(self.names) == 0",
            "names must be set with from Names, and may not be set otherwise",
            ".names",
            lambda allowed: (allowed.from_ is NamespacesFrom.NAMES) == bool(allowed.names),
        ),
    )

    from_: NamespacesFrom = Field(description="All, Selector or Names.")
    selector: LabelSelector | None = Field(None, description="The labels of namespaces that may use it.")
    names: Annotated[tuple[f.RouteName, ...], Field(max_length=256), ListSet()] = Field(
        (), description="The names of namespaces that may use it."
    )


_OF_THE_PARENT = (
    ("host", "host"),
    ("port", "port"),
    ("tls", "tls"),
    ("auth", "auth"),
    ("helloName", "hello_name"),
    ("probe", "probe"),
    ("recipientPolicy", "recipient_policy"),
    ("fallbackRef", "fallback_ref"),
    ("dkim", "dkim"),
)


def _of_the_parent(field: str, attribute: str) -> Rule:
    return Rule(
        f"!has(self.parentRef) || !has(self.{field})",
        f"{field} may not be set together with parentRef: it comes from the ClusterSmtpConnector",
        f".{field}",
        lambda spec: spec.parent_ref is None or getattr(spec, attribute) is None,
    )


_EXTERNAL_RULE = Rule(
    "!has(self.auth) || self.auth.mechanism != 'External' || (has(self.tls) && has(self.tls.clientCertSecretRef))",
    "tls.clientCertSecretRef must be set with auth.mechanism External",
    ".auth.mechanism",
    lambda spec: (
        spec.auth is None
        or spec.auth.mechanism is not Mechanism.EXTERNAL
        or (spec.tls is not None and spec.tls.client_cert_secret_ref is not None)
    ),
)

_HEADERS_RULE = Rule(
    "!has(self.headers) || self.headers.all(one, self.headers.exists_one(other, other.name.lowerAscii() == one.name.lowerAscii()))",
    "headers may not set one name twice, in whatever case",
    ".headers",
    lambda spec: len({header.name.lower() for header in spec.headers}) == len(spec.headers),
)


class ConnectorSpec(Spec):
    """The fields of both kinds; `ABSENT` of the two classes below says which of them a kind lacks in the API."""

    display_name: f.DisplayName | None = Field(None, description="What the connector is for, in a few words.")
    suspend: StrictBool = Field(False, description="No probes; messages are held until it is unset.")  # noqa: FBT003 - a field's default
    parent_ref: LocalRef | None = Field(
        None,
        description="Use the host, TLS and credentials of this ClusterSmtpConnector. Then only displayName, suspend, from, replyTo, headers, "
        "limits and drill may be set: a child that could change the host could steal the parent's password.",
    )
    host: f.Host | None = Field(None, description="The server's name or address.")
    port: Annotated[f.Port | None, InCode("StartTLS 587, Implicit 465, None 25")] = Field(
        None, description="The server's port; what was used stands in `status.endpoint`."
    )
    tls: Annotated[Tls | None, InCode("StartTLS with full verification")] = Field(
        None, description="How the connection is encrypted."
    )
    auth: Annotated[Auth | None, InCode("no login: the server relays by address")] = Field(
        None, description="Who logs in."
    )
    from_: From | None = Field(None, description="The sender that recipients see.")
    reply_to: Annotated[tuple[f.ReplyTo, ...], Field(max_length=5), ListSet()] = Field(
        (), description="Where answers go."
    )
    hello_name: Annotated[f.HelloName | None, InCode("the operator's host name, made full")] = Field(
        None, description="The name given with EHLO; some servers look it up."
    )
    headers: Annotated[tuple[Header, ...], Field(max_length=16), ListMap("name")] = Field(
        (), description="Extra headers for every mail."
    )
    probe: Annotated[Probe | None, InCode("level Authenticate every 600 seconds")] = Field(
        None, description="How often and how far the connector is proven."
    )
    dkim: Annotated[Dkim | None, InCode("mails are not signed here")] = Field(
        None, description="A DKIM signature on every mail."
    )
    limits: Limits | None = Field(None, description="What the server takes.")
    recipient_policy: RecipientPolicy | None = Field(None, description="To which domains mail may go.")
    fallback_ref: FallbackRef | None = Field(
        None,
        description="The connector that takes over while this one is not ready (while it is suspended, its mail is held). Its own rules hold: "
        "namespaces, uses, recipients, limits. Its From is used unless its allowedFromAddresses lists this one's, and its own fallbackRef is not "
        "followed.",
    )
    drill: Drill | None = Field(
        None, description="A regular proof mail; what comes of it stands in the condition `Proven`."
    )
    allowed_namespaces: AllowedNamespaces | None = Field(None, description="Which namespaces may use it.")
    allowed_uses: Annotated[tuple[Use, ...], Field(max_length=4), ListSet(), InCode("every use")] = Field(
        (), description="What it may be used for: Alert, Message, Test, Recovery."
    )
    allowed_from_addresses: Annotated[tuple[f.AllowedAddress, ...], Field(max_length=64), ListSet(), InCode("any")] = (
        Field(
            (),
            description="The From addresses that a SmtpConnector with `parentRef` may set: addresses, or *@example.com for a domain.",
        )
    )


class NamespacedConnectorSpec(ConnectorSpec):
    """The session and the credentials, or the ClusterSmtpConnector to inherit them from."""

    ABSENT = frozenset({"allowed_namespaces", "allowed_uses", "allowed_from_addresses"})
    RULES = (
        Rule(
            "has(self.parentRef) || has(self.host)",
            "host must be set unless parentRef is",
            ".host",
            lambda spec: spec.parent_ref is not None or spec.host is not None,
        ),
        Rule(
            "has(self.parentRef) || (has(self.from) && has(self.from.address))",
            "from.address must be set unless parentRef is",
            ".from",
            lambda spec: spec.parent_ref is not None or (spec.from_ is not None and spec.from_.address is not None),
        ),
        _EXTERNAL_RULE,
        _HEADERS_RULE,
        *(_of_the_parent(field, attribute) for field, attribute in _OF_THE_PARENT),
    )


class ClusterConnectorSpec(ConnectorSpec):
    """The session and the credentials, and which namespaces may use them."""

    ABSENT = frozenset({"parent_ref"})
    RULES = (
        Rule(
            "has(self.from.address)",
            "from.address must be set",
            ".from",
            lambda spec: spec.from_.address is not None,
        ),
        Rule(
            "!has(self.fallbackRef) || self.fallbackRef.kind == 'ClusterSmtpConnector'",
            "fallbackRef.kind must be ClusterSmtpConnector: a cluster connector has no namespace to look in",
            ".fallbackRef.kind",
            lambda spec: spec.fallback_ref is None or spec.fallback_ref.kind is ConnectorKind.CLUSTER_SMTP_CONNECTOR,
        ),
        _EXTERNAL_RULE,
        _HEADERS_RULE,
    )

    host: f.Host = Field(description="The server's name or address.")
    from_: From = Field(description="The sender that recipients see.")
    allowed_namespaces: AllowedNamespaces = Field(description="Which namespaces may use it. There is no default.")


class UsedCredentials(Block):
    """Which version of the Secret is in use."""

    secret_resource_version: f.Word | None = Field(
        None, description="The resourceVersion of the Secret; never a hash of what it holds."
    )
    last_authentication_time: AwareDatetime | None = Field(None, description="When the server last accepted them.")


class Slowdown(Block):
    """The provider asked this connector's login to slow down."""

    reason: f.Word = Field(description="RateLimited, or QuotaExceeded.")
    messages_per_minute: f.Count | None = Field(
        None,
        description="What was left of the rate at `startTime`; a tenth of the full rate comes back each ten minutes. Unset: nothing goes out.",
    )
    start_time: AwareDatetime = Field(description="When the provider last said so.")
    end_time: AwareDatetime = Field(description="When mail goes out as before, if it does not say so again.")


class ConnectorStatus(Status):
    """What the last probe found."""

    endpoint: f.Word | None = Field(None, description="The host and port in use.")
    tls_mode: TlsMode | None = Field(None, description="The TLS mode in use.")
    resolved_from: f.Text | None = Field(None, description="The connector that host and credentials come from.")
    last_probe_time: AwareDatetime | None = Field(None, description="When it was last probed.")
    last_success_time: AwareDatetime | None = Field(None, description="When a probe last passed.")
    next_probe_time: AwareDatetime | None = Field(None, description="When the next probe is due.")
    last_proven_delivery_time: AwareDatetime | None = Field(None, description="When the server last accepted a drill.")
    consecutive_failures: f.Count | None = Field(None, description="Failed probes in a row.")
    credentials: UsedCredentials | None = Field(None, description="The credentials in use.")
    probed_revision: f.Word | None = Field(
        None,
        description="The generations and resourceVersions of all that the last probe stood on; a restart believes the status if they are the same.",
    )
    slowdown: Slowdown | None = Field(
        None, description="How long and how far the provider has slowed this connector down; absent when it has not."
    )
    server: Server | None = Field(None, description="What the server says of itself.")
    stages: Stages = Field((), description="The stages of the last probe, in their order.")
    remediation: Remediation = Field((), description="What to do, in plain sentences with commands.")
    last_handled_request: f.Text | None = Field(
        None, description="The value of the annotation watchbell.dev/requested-at that was last answered."
    )


class SmtpConnector(Resource):
    """A mail server as one login sees it, proven again and again, for the workloads of its namespace."""

    spec: NamespacedConnectorSpec
    status: ConnectorStatus = Field(default_factory=ConnectorStatus)


class ClusterSmtpConnector(Resource):
    """A mail server for many namespaces. Its Secrets live in the operator's namespace, so that tenants never hold the password."""

    spec: ClusterConnectorSpec
    status: ConnectorStatus = Field(default_factory=ConnectorStatus)
