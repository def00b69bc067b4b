"""The tables of connectors, tests and messages."""

from typing import Any

from api.caseform import ABSENT, BASES, HIDDEN, KEY, NAME, JsonObject, Refused, mailbox

_HOST = (
    "host must be a host name or an IP address, without scheme, port, path or brackets (international names as xn--...)"
)
_HELLO = "helloName must be a full host name with a dot, or an address in brackets such as [192.0.2.1]"
_RESERVED = (
    "headers may only set X-..., List-Help, List-Unsubscribe, List-Subscribe, List-Post, List-Owner, List-Archive, Feedback-ID and "
    "Importance: the name is reserved"
)
_TWICE = [{"name": "X-Team", "value": "a"}, {"name": "x-team", "value": "b"}]
_ADDRESS = "address must be a plain address such as alerts@example.com"
_SECRET = {"secretRef": {"name": "login"}}
_OAUTH = {"grant": "ClientCredentials", "tokenURL": "https://login.example.com/token", "clientID": "app"}


def _connector(path: str, message: str, **change: Any) -> Refused:
    return Refused("SmtpConnector", change, path, message)


def _auth(path: str, message: str, auth: JsonObject) -> Refused:
    return _connector(f"spec.auth.{path}", message, auth=auth)


def _tls(path: str, message: str, **tls: Any) -> Refused:
    return _connector(f"spec.tls.{path}", message, tls=tls)


def _cluster(path: str, message: str, **change: Any) -> Refused:
    return Refused("ClusterSmtpConnector", change, path, message)


_DKIM = {"domain": "example.com", "selector": "mail1", "secretRef": {"name": "dkim"}}
_CONNECTOR = [
    _connector("spec.host", "host must be set unless parentRef is", host=ABSENT),
    _connector("spec.from", "from.address must be set unless parentRef is", **{"from": ABSENT}),
    _connector("spec.from", "from.address must be set unless parentRef is", **{"from": {"name": "Alerts"}}),
    *(
        _connector("spec.host", _HOST, host=host)
        for host in (
            "https://smtp.example.com",
            "smtp.example.com:587",
            "[2001:db8::1]",
            "smtp example.com",
            "smtp.example.com/path",
            "-smtp.example.com",
            "smtp..example.com",
            "smtp.example.com\n",
            "höst.example.com",
            "user@smtp.example.com",
        )
    ),
    _connector("spec.displayName", f"displayName {HIDDEN}", displayName="two\nlines"),
    _connector("spec.from.address", _ADDRESS, **{"from": {"address": "Alerts <alerts@example.com>"}}),
    _connector("spec.from.address", _ADDRESS, **{"from": {"address": "alerts@example.com\r\nBcc: x@example.net"}}),
    _connector("spec.from.address", _ADDRESS, **{"from": {"address": "alerts"}}),
    _connector("spec.from.address", _ADDRESS, **{"from": {"address": "a@b@c.example"}}),
    _connector("spec.from.name", f"name {HIDDEN}", **{"from": {"address": "a@example.com", "name": "A\r\nB"}}),
    _connector("spec.from.name", f"name {HIDDEN}", **{"from": {"address": "a@example.com", "name": "A\u202eB"}}),
    _connector("spec.replyTo[0]", mailbox("replyTo"), replyTo=["nobody"]),
    *(
        _connector("spec.helloName", _HELLO, helloName=name)
        for name in ("localhost", "watchbell-6d5f7c8b9-abcde", "[nonsense]", "a b.example.com")
    ),
    _connector(
        "spec.helloName",
        "helloName may not be localhost.localdomain: many servers refuse it",
        helloName="LocalHost.localdomain",
    ),
    *(
        _connector("spec.headers[0].name", _RESERVED, headers=[{"name": name, "value": "x"}])
        for name in (
            "Bcc",
            "from",
            "Content-Type",
            "DKIM-Signature",
            "Subject",
            "Message-ID",
            "X-",
            "X A",
            "X-A:",
            "List-Id",
        )
    ),
    _connector(
        "spec.headers[0].name",
        "headers may not set X-Auto-Response-Suppress: watchbell sets it itself",
        headers=[{"name": "X-Auto-Response-Suppress", "value": "All"}],
    ),
    _connector("spec.headers", "headers may not set one name twice, in whatever case", headers=_TWICE),
    _connector("spec.headers[0].value", f"value {HIDDEN}", headers=[{"name": "X-Team", "value": "a\r\nBcc: b@c"}]),
    _connector(
        "spec.recipientPolicy.allowedDomains[0]",
        "domain must be a mail domain such as example.com, without '@'",
        recipientPolicy={"allowedDomains": ["@example.com"]},
    ),
    _connector("spec.parentRef.name", NAME, host=ABSENT, parentRef={"name": "No_Such"}),
    _connector(
        "spec.auth.mechanism",
        "tls.clientCertSecretRef must be set with auth.mechanism External",
        auth={"mechanism": "External"},
    ),
    *(
        _connector(
            f"spec.{field}",
            f"{field} may not be set together with parentRef: it comes from the ClusterSmtpConnector",
            **({"host": ABSENT, "parentRef": {"name": "corporate"}} | {field: value}),
        )
        for field, value in {
            "host": "evil.example.net",
            "port": 2525,
            "tls": {"mode": "None"},
            "auth": _SECRET,
            "helloName": "mail.example.com",
            "probe": {"level": "Disabled"},
            "recipientPolicy": {"allowedDomains": ["example.com"]},
            "fallbackRef": {"kind": "ClusterSmtpConnector", "name": "backup"},
            "dkim": _DKIM,
        }.items()
    ),
]

_TLS = [
    _tls(
        "caConfigMapRef",
        "caConfigMapRef may not be set together with caSecretRef",
        caSecretRef={"name": "a"},
        caConfigMapRef={"name": "b"},
    ),
    *(
        _tls(field, f"{field} may not be set with tls.mode None: there is no TLS", **{"mode": "None", field: value})
        for field, value in {
            "caSecretRef": {"name": "ca"},
            "caConfigMapRef": {"name": "ca"},
            "clientCertSecretRef": {"name": "cert"},
            "serverName": "mail.example.com",
        }.items()
    ),
    _tls("serverName", "serverName must be a host name or an IP address", serverName="*.example.com"),
    _tls("caSecretRef.key", KEY, caSecretRef={"name": "ca", "key": "a/b"}),
    _tls("caSecretRef.name", NAME, caSecretRef={"name": "other-namespace/ca"}),
]

_AUTH = [
    _auth(
        "secretRef",
        "secretRef must be set unless mechanism is External or oauth2.grant is WorkloadIdentity",
        {"username": "u"},
    ),
    _auth(
        "username",
        "username must be set where no secretRef holds it",
        {"oauth2": _OAUTH | {"grant": "WorkloadIdentity"}},
    ),
    _auth(
        "usernameKey",
        "usernameKey may not be set together with username",
        _SECRET | {"username": "u", "usernameKey": "k"},
    ),
    _auth(
        "usernameKey",
        "usernameKey may not be set without secretRef",
        {"usernameKey": "k", "oauth2": _OAUTH | {"grant": "WorkloadIdentity"}},
    ),
    _auth(
        "passwordKey",
        "passwordKey may not be set without secretRef",
        {"username": "u", "passwordKey": "k", "oauth2": _OAUTH | {"grant": "WorkloadIdentity"}},
    ),
    _auth(
        "passwordKey",
        "passwordKey may not be set together with oauth2: a token takes the place of the password",
        _SECRET | {"passwordKey": "k", "oauth2": _OAUTH},
    ),
    _auth(
        "passwordKey",
        "passwordKey may not be set with mechanism External: the client certificate takes the place of the password",
        _SECRET | {"passwordKey": "k", "mechanism": "External"},
    ),
    _auth(
        "mechanism",
        "mechanism must be Auto, XOAuth2 or OAuthBearer together with oauth2",
        _SECRET | {"mechanism": "Plain", "oauth2": _OAUTH},
    ),
    _auth("oauth2", "oauth2 must be set with mechanism XOAuth2 or OAuthBearer", _SECRET | {"mechanism": "XOAuth2"}),
    _auth("domain", "domain may not be set together with oauth2", _SECRET | {"domain": "CORP", "oauth2": _OAUTH}),
    _auth("domain", "domain must be a Windows domain without '\\', '/' and '@'", _SECRET | {"domain": "CORP\\"}),
    _auth(
        "ses",
        "ses may not be set together with oauth2",
        _SECRET | {"ses": {"region": "eu-central-1"}, "oauth2": _OAUTH},
    ),
    _auth(
        "mechanism",
        "mechanism must be Auto, Plain or Login together with ses",
        _SECRET | {"ses": {"region": "eu-central-1"}, "mechanism": "CramMD5"},
    ),
    _auth(
        "ses.region", "region must be an AWS region such as eu-central-1", _SECRET | {"ses": {"region": "Frankfurt"}}
    ),
    _auth("username", f"username {HIDDEN}", _SECRET | {"username": "u\0root"}),
    _auth(
        "oauth2.tokenURL",
        "tokenURL must be set unless grant is GoogleServiceAccount",
        _SECRET | {"oauth2": {"grant": "RefreshToken", "clientID": "app"}},
    ),
    _auth(
        "oauth2.clientID",
        "clientID must be set unless grant is GoogleServiceAccount",
        _SECRET | {"oauth2": {"grant": "RefreshToken", "tokenURL": "https://a.example/t"}},
    ),
    _auth("oauth2.clientID", f"clientID {HIDDEN}", _SECRET | {"oauth2": _OAUTH | {"clientID": "a\nb"}}),
    *(
        _auth(
            "oauth2.tokenURL",
            "tokenURL must be an https URL without user information and fragment",
            _SECRET | {"oauth2": _OAUTH | {"tokenURL": url}},
        )
        for url in ("http://a.example/t", "https://u:p@a.example/t", "https://a.example/t#x", "a.example", "https:// /")
    ),
    _auth(
        "oauth2.scopes[0]",
        "scopes must be OAuth2 scopes without spaces and quotes (RFC 6749 section 3.3)",
        _SECRET | {"oauth2": _OAUTH | {"scopes": ["a b"]}},
    ),
]

_SIGNED = [
    _connector(
        "spec.dkim.selector",
        "selector must be the name before ._domainkey in DNS: letters, digits, '-' and '.'",
        dkim=_DKIM | {"selector": selector},
    )
    for selector in ("mail_1", "-a", "a..b", "mail1._domainkey")
]

_CLUSTER = [
    _cluster("spec.headers", "headers may not set one name twice, in whatever case", headers=_TWICE),
    _cluster("spec.from", "from.address must be set", **{"from": {"name": "Alerts"}}),
    _cluster(
        "spec.auth.mechanism",
        "tls.clientCertSecretRef must be set with auth.mechanism External",
        auth={"mechanism": "External"},
    ),
    *(
        _cluster(f"spec.allowedNamespaces.{field}", message, allowedNamespaces=allowed)
        for field, message, allowed in (
            ("selector", "selector must be set with from Selector, and may not be set otherwise", {"from": "Selector"}),
            (
                "selector",
                "selector must be set with from Selector, and may not be set otherwise",
                {"from": "All", "selector": {"matchLabels": {"a": "b"}}},
            ),
            ("names", "names must be set with from Names, and may not be set otherwise", {"from": "Names"}),
            (
                "names",
                "names must be set with from Names, and may not be set otherwise",
                {"from": "Names", "names": []},
            ),
            (
                "names",
                "names must be set with from Names, and may not be set otherwise",
                {"from": "All", "names": ["a"]},
            ),
        )
    ),
    _cluster(
        "spec.allowedNamespaces.names[0]",
        "name must be lower-case letters, digits and '-'",
        allowedNamespaces={"from": "Names", "names": ["A"]},
    ),
    _cluster(
        "spec.allowedFromAddresses[0]",
        "allowedFromAddresses must hold addresses such as alerts@example.com, or *@example.com for a whole domain",
        allowedFromAddresses=["example.com"],
    ),
]

_MAIL = [
    Refused(
        "ClusterSmtpConnector",
        {"fallbackRef": {"kind": "SmtpConnector", "name": "backup"}},
        "spec.fallbackRef.kind",
        "fallbackRef.kind must be ClusterSmtpConnector: a cluster connector has no namespace to look in",
    ),
    Refused("SmtpTest", {"to": []}, "spec.to", "to must name a recipient at level Deliver"),
    Refused("SmtpTest", {"to": ABSENT}, "spec.to", "to must name a recipient at level Deliver"),
    Refused("EmailMessage", {"to": ABSENT}, "spec.to", "to, cc or bcc must name at least one recipient"),
    Refused(
        "EmailMessage",
        {"to": [f"a{i}@example.com" for i in range(60)], "bcc": [f"b{i}@example.com" for i in range(41)]},
        "spec.to",
        "to, cc and bcc may not name more than 100 recipients together",
    ),
    Refused("EmailMessage", {"body": {}}, "spec.body.text", "body.text or body.html must be set"),
    Refused("EmailMessage", {"body": ABSENT}, "spec.body", "either body or templateRef must be set, and not both"),
    Refused(
        "EmailMessage",
        {"templateRef": {"builtin": "Crash"}},
        "spec.body",
        "either body or templateRef must be set, and not both",
    ),
    Refused("EmailMessage", {"subject": ABSENT}, "spec.subject", "subject must be set, unless a template makes it"),
    Refused(
        "EmailMessage",
        {"parameters": [{"name": "facts", "value": "{}"}]},
        "spec.parameters",
        "parameters may not be set without templateRef",
    ),
    Refused(
        "EmailMessage",
        {"body": ABSENT, "templateRef": {"builtin": "Crash"}, "parameters": [{"name": "a b", "value": ""}]},
        "spec.parameters[0].name",
        "name must be letters, digits and '_', beginning with a letter",
    ),
    Refused(
        "EmailMessage",
        {"batch": {"key": "nightly reports"}},
        "spec.batch.key",
        "batch.key must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    ),
    Refused(
        "EmailMessage",
        {"batch": {"key": "reports", "maxWaitSeconds": 600}, "activeDeadlineSeconds": 600},
        "spec.batch.maxWaitSeconds",
        "batch.maxWaitSeconds must be smaller than activeDeadlineSeconds",
    ),
    *(
        Refused(
            "EmailMessage",
            {"body": ABSENT, "templateRef": {"builtin": builtin}, "batch": {"key": "reports"}},
            "spec.batch",
            "batch may not be set for account mail",
        )
        for builtin in ("PasswordReset", "RecoveryCodes")
    ),
    Refused("EmailMessage", {"subject": "a\r\nBcc: b@example.com"}, "spec.subject", f"subject {HIDDEN}"),
    Refused("EmailMessage", {"subject": "a\u2028b"}, "spec.subject", f"subject {HIDDEN}"),
    Refused("EmailMessage", {"connectorRef": {"name": "A B"}}, "spec.connectorRef.name", NAME),
    *(
        Refused("EmailMessage", {field: [text]}, f"spec.{field}[0]", mailbox(field))
        for field in ("to", "cc", "bcc", "replyTo")
        for text in (
            "ops",
            "ops@",
            "@example.com",
            "a@b.example, c@d.example",
            "<ops@example.com",
            "a\nb <a@b.example>",
        )
    ),
]

REFUSED = [*_CONNECTOR, *_SIGNED, *_TLS, *_AUTH, *_CLUSTER, *_MAIL]

BOUNDS: list[tuple[str, JsonObject, str, str]] = [
    ("SmtpConnector", {"limits": {"messagesPerMinute": 0}}, "spec.limits.messagesPerMinute", "must be at least 1"),
    ("SmtpConnector", {"limits": {"recipientsPerDay": 0}}, "spec.limits.recipientsPerDay", "must be at least 1"),
    (
        "EmailMessage",
        {"onUnavailable": "Drop"},
        "spec.onUnavailable",
        "must be one of 'Hold', 'Discard'",
    ),
    (
        "SmtpConnector",
        {"fallbackRef": {"name": "backup"}},
        "spec.fallbackRef.kind",
        "must be set",
    ),
    ("SmtpConnector", {"port": 0}, "spec.port", "must be at least 1"),
    ("SmtpConnector", {"port": 65536}, "spec.port", "must be at most 65535"),
    ("SmtpConnector", {"port": "587"}, "spec.port", "must be a whole number"),
    ("SmtpConnector", {"host": ""}, "spec.host", "must have at least 1 characters"),
    ("SmtpConnector", {"host": 25}, "spec.host", "must be a text"),
    ("SmtpConnector", {"displayName": "x" * 129}, "spec.displayName", "must have at most 128 characters"),
    ("SmtpConnector", {"suspend": "yes"}, "spec.suspend", "must be true or false"),
    (
        "SmtpConnector",
        {"tls": {"mode": "Opportunistic"}},
        "spec.tls.mode",
        "must be one of 'StartTLS', 'Implicit', 'None'",
    ),
    ("SmtpConnector", {"tls": "Implicit"}, "spec.tls", "must be an object"),
    ("SmtpConnector", {"auth": {"secretRef": {}}}, "spec.auth.secretRef.name", "must be set"),
    ("SmtpConnector", {"auth": _SECRET | {"ses": {}}}, "spec.auth.ses.region", "must be set"),
    ("SmtpConnector", {"auth": _SECRET | {"oauth2": {}}}, "spec.auth.oauth2.grant", "must be set"),
    ("SmtpConnector", {"replyTo": [f"a{i}@b.example" for i in range(6)]}, "spec.replyTo", "must have at most 5 items"),
    ("SmtpConnector", {"replyTo": "a@b.example"}, "spec.replyTo", "must be a list"),
    ("SmtpConnector", {"replyTo": ["a@b.example"] * 2}, "spec.replyTo[1]", "may not be a@b.example again"),
    ("SmtpConnector", {"probe": {"periodSeconds": 9}}, "spec.probe.periodSeconds", "must be at least 10"),
    ("SmtpConnector", {"limits": {"maxConnections": 0}}, "spec.limits.maxConnections", "must be at least 1"),
    ("ClusterSmtpConnector", {"host": ABSENT}, "spec.host", "must be set"),
    ("ClusterSmtpConnector", {"from": ABSENT}, "spec.from", "must be set"),
    ("ClusterSmtpConnector", {"allowedNamespaces": ABSENT}, "spec.allowedNamespaces", "must be set"),
    ("SmtpTest", {"timeoutSeconds": 601}, "spec.timeoutSeconds", "must be at most 600"),
    ("EmailMessage", {"subject": ""}, "spec.subject", "must have at least 1 characters"),
    (
        "EmailMessage",
        {"notBeforeTime": "tomorrow"},
        "spec.notBeforeTime",
        "must be a time such as 2026-01-31T08:00:00Z",
    ),
    (
        "EmailMessage",
        {"notBeforeTime": "2026-01-31T08:00:00"},
        "spec.notBeforeTime",
        "must be a time with its zone, such as 2026-01-31T08:00:00Z",
    ),
    ("EmailMessage", {"batch": {"key": "a", "maxMessages": 1}}, "spec.batch.maxMessages", "must be at least 2"),
    ("EmailMessage", {"batch": {"key": "a", "maxMessages": 101}}, "spec.batch.maxMessages", "must be at most 100"),
    ("EmailMessage", {"batch": {"key": "a", "maxWaitSeconds": 0}}, "spec.batch.maxWaitSeconds", "must be at least 1"),
    ("EmailMessage", {"batch": {"maxMessages": 5}}, "spec.batch.key", "must be set"),
    ("SmtpConnector", {"drill": {"to": []}}, "spec.drill.to", "must have at least 1 items"),
    ("SmtpConnector", {"drill": {"periodSeconds": 60}}, "spec.drill.to", "must be set"),
    (
        "SmtpConnector",
        {"drill": {"to": ["a@b.example"], "periodSeconds": 59}},
        "spec.drill.periodSeconds",
        "must be at least 60",
    ),
    ("EmailMessage", {"priority": "Urgent"}, "spec.priority", "must be one of 'High', 'Normal', 'Low'"),
]

TAKEN: list[tuple[str, JsonObject]] = [
    ("SmtpConnector", {"fallbackRef": {"kind": "SmtpConnector", "name": "backup"}}),
    ("ClusterSmtpConnector", {"fallbackRef": {"kind": "ClusterSmtpConnector", "name": "backup"}}),
    ("SmtpConnector", {"limits": {"messagesPerMinute": 30, "messagesPerDay": 2000, "recipientsPerDay": 10_000}}),
    ("EmailMessage", {"onUnavailable": "Discard"}),
    *((kind, {}) for kind in BASES),
    *(
        ("SmtpConnector", {"host": host})
        for host in (
            "mailhost",
            "smtp.example.com.",
            "192.0.2.7",
            "2001:db8::25",
            "::ffff:192.0.2.7",
            "xn--mller-kva.example",
            "smtp_relay",
        )
    ),
    ("SmtpConnector", {"host": ABSENT, "from": ABSENT, "parentRef": {"name": "corporate"}}),
    ("SmtpConnector", {"host": ABSENT, "from": {"name": "Team"}, "parentRef": {"name": "corporate"}}),
    (
        "SmtpConnector",
        {
            "host": ABSENT,
            "parentRef": {"name": "corporate"},
            "displayName": "Ünïcode — 邮件",
            "suspend": True,
            "replyTo": ['"Ops, on call" <ops@example.com>'],
            "headers": [
                {"name": "X-Team", "value": "telemetry"},
                {"name": "list-help", "value": "<https://example.com>"},
            ],
            "limits": {"maxConnections": 1},
        },
    ),
    ("SmtpConnector", {"from": {"address": "dörte@müller.example", "name": "Dörte"}}),
    ("SmtpConnector", {"from": {"address": "root@mailhost"}}),
    ("SmtpConnector", {"helloName": "[192.0.2.1]"}),
    ("SmtpConnector", {"helloName": "[IPv6:2001:db8::1]"}),
    ("SmtpConnector", {"helloName": "mail.example.com"}),
    ("SmtpConnector", {"tls": {"mode": "None"}}),
    ("SmtpConnector", {"tls": {"verification": "None", "minVersion": "TLS13", "serverName": "mail.example.com"}}),
    ("SmtpConnector", {"tls": {"caSecretRef": {"name": "ca", "key": "tls.crt"}}}),
    ("SmtpConnector", {"tls": {"clientCertSecretRef": {"name": "cert"}}, "auth": {"mechanism": "External"}}),
    ("SmtpConnector", {"auth": _SECRET | {"usernameKey": "user", "passwordKey": "pass", "domain": "CORP"}}),
    ("SmtpConnector", {"auth": _SECRET | {"plaintext": "Allow", "mechanism": "Login"}}),
    ("SmtpConnector", {"auth": _SECRET | {"oauth2": _OAUTH | {"scopes": ["https://outlook.office365.com/.default"]}}}),
    ("SmtpConnector", {"auth": _SECRET | {"username": "u@example.com", "oauth2": {"grant": "GoogleServiceAccount"}}}),
    ("SmtpConnector", {"auth": {"username": "u@example.com", "oauth2": _OAUTH | {"grant": "WorkloadIdentity"}}}),
    ("SmtpConnector", {"auth": _SECRET | {"ses": {"region": "us-gov-west-1"}, "passwordKey": "secret-key"}}),
    ("SmtpConnector", {"recipientPolicy": {"allowedDomains": ["example.com"], "deniedDomains": ["müller.example"]}}),
    ("SmtpConnector", {"dkim": _DKIM}),
    ("SmtpConnector", {"dkim": _DKIM | {"domain": "müller.example", "selector": "2026-11.mail", "key": "ed25519.pem"}}),
    ("ClusterSmtpConnector", {"dkim": _DKIM}),
    ("ClusterSmtpConnector", {"allowedNamespaces": {"from": "Names", "names": ["team-a"]}}),
    ("ClusterSmtpConnector", {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"mail": "yes"}}}}),
    ("ClusterSmtpConnector", {"allowedUses": ["Alert"], "allowedFromAddresses": ["*@example.com", "a@example.com"]}),
    ("SmtpTest", {"to": ABSENT, "level": "Authenticate"}),
    ("SmtpTest", {"connectorRef": {"kind": "ClusterSmtpConnector", "name": "corporate"}, "ttlSecondsAfterFinished": 0}),
    ("SmtpConnector", {"drill": {"to": ["On call <oncall@example.com>"], "periodSeconds": 86400}}),
    (
        "EmailMessage",
        {"batch": {"key": "nightly-reports", "maxWaitSeconds": 3600, "maxMessages": 100}, "priority": "High"},
    ),
    ("EmailMessage", {"to": ABSENT, "bcc": ["Ops Team <ops@example.com>"]}),
    (
        "EmailMessage",
        {
            "body": ABSENT,
            "subject": ABSENT,
            "templateRef": {"builtin": "Crash"},
            "parameters": [{"name": "facts", "value": "{}"}],
        },
    ),
    ("EmailMessage", {"to": [f"a{i}@example.com" for i in range(100)]}),
    ("EmailMessage", {"subject": "Grüße 👋 [collector] down", "body": {"html": "<p>Hi</p>"}}),
    ("EmailMessage", {"notBeforeTime": "2026-01-31T08:00:00+01:00", "onUncertain": "AssumeSent", "priority": "High"}),
]
