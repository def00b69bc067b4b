from dataclasses import replace

import pytest

from dkimrig import made, pem
from watchbell.api.connector import ClusterConnectorSpec, NamespacedConnectorSpec
from watchbell.api.enums import ConnectorKind, Mechanism
from watchbell.api.reasons import Reason
from watchbell.connectors.assemble import Allowances, Assembled, assemble
from watchbell.connectors.credentials import Refusal, SecretView
from watchbell.connectors.gather import Found
from watchbell.outbox.outlet import ConnectorKey
from watchbell.smtp.egress import EgressPolicy

KEY = ConnectorKey(ConnectorKind.SMTP_CONNECTOR, "shop", "default")
ALLOWED = Allowances(EgressPolicy(), federated_token_file="/var/run/token")
LOGIN = {"username": b"user@example.com", "password": b"geheim"}


def found(spec, data=None, *, cluster=False, ca_pem=None):
    model = ClusterConnectorSpec if cluster else NamespacedConnectorSpec
    base = {"host": "smtp.example.com", "from": {"address": "a@example.com", "name": "A"}}
    parsed = model.model_validate(base | ({"allowedNamespaces": {"from": "All"}} if cluster else {}) | spec)
    secret = None
    if data is not None:
        secret = SecretView("shop", "relay", "1", "watchbell.dev/smtp", {}, {}, data)
    key = ConnectorKey(ConnectorKind.CLUSTER_SMTP_CONNECTOR, "", "default") if cluster else KEY
    return Found(parsed, parsed, key, "shop", "1", "1", secret, None, ca_pem)


def relay(spec, data=None, **options):
    result = assemble(KEY, found(spec, data, **options), ALLOWED)
    assert isinstance(result, Assembled), result
    return result.outlet.relay


def refusal(spec, data=None, allowances=ALLOWED, **options):
    result = assemble(KEY, found(spec, data, **options), allowances)
    assert isinstance(result, Refusal), result
    return result


AUTH = {"auth": {"secretRef": {"name": "relay"}}}


@pytest.mark.parametrize(("mode", "port"), [("StartTLS", 587), ("Implicit", 465), ("None", 25)])
def test_the_port_follows_from_the_tls_mode_unless_it_is_set(mode, port):
    assert relay({"tls": {"mode": mode}}).port == port
    assert relay({"tls": {"mode": mode}, "port": 2525}).port == 2525


def test_a_connector_without_auth_logs_in_with_nothing():
    assert relay({}).auth is None


def test_a_windows_domain_stands_before_the_user_name():
    auth = relay(
        {"auth": {"secretRef": {"name": "relay"}, "domain": "CORP"}}, {"username": b"u", "password": b"p"}
    ).auth
    assert auth is not None
    assert auth.username == "CORP\\u"


def test_an_ses_password_is_derived_from_the_secret_access_key_as_aws_publishes_it():
    spec = {
        "host": "email-smtp.eu-central-1.amazonaws.com",
        "auth": {"secretRef": {"name": "relay"}, "ses": {"region": "eu-central-1"}},
    }
    auth = relay(spec, {"aws-access-key-id": b"AKIAEXAMPLE", "aws-secret-access-key": b"some+secret+key"}).auth
    assert auth is not None
    assert auth.username == "AKIAEXAMPLE"
    assert auth.password is not None
    assert auth.password.reveal() == "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"


def test_the_spaces_of_a_google_app_password_are_no_part_of_it():
    auth = relay(
        {"host": "smtp.gmail.com"} | AUTH, {"username": b"u@gmail.com", "password": b"abcd efgh ijkl mnop"}
    ).auth
    assert auth is not None
    assert auth.password is not None
    assert auth.password.reveal() == "abcdefghijklmnop"


OAUTH = {"tokenURL": "https://login.microsoftonline.com/t/oauth2/v2.0/token", "clientID": "c", "scopes": ["s"]}


@pytest.mark.parametrize(
    ("grant", "data", "attribute"),
    [
        ("ClientCredentials", {"client-secret": b"x-secret"}, "client_secret"),
        ("ClientCredentials", {"client.crt": b"CERT", "client.key": b"KEY"}, "client_key_pem"),
        ("RefreshToken", {"refresh-token": b"r-token"}, "refresh_token"),
        ("GoogleServiceAccount", {"service-account.json": b"{}"}, "service_account_json"),
    ],
)
def test_each_oauth_grant_takes_its_secret_from_its_key(grant, data, attribute):
    spec = {"auth": {"secretRef": {"name": "relay"}, "username": "box@example.com", "oauth2": OAUTH | {"grant": grant}}}
    auth = relay(spec, data).auth
    assert auth is not None
    assert auth.oauth is not None
    assert auth.password is None
    assert getattr(auth.oauth, attribute)
    assert auth.oauth.subject == "box@example.com"


def test_a_google_service_account_needs_no_token_url_and_its_own_file_chooses_none():
    spec = {
        "auth": {
            "secretRef": {"name": "relay"},
            "username": "box@example.com",
            "oauth2": {"grant": "GoogleServiceAccount"},
        }
    }
    auth = relay(spec, {"service-account.json": b'{"token_uri": "https://evil.example"}'}).auth
    assert auth is not None
    assert auth.oauth is not None
    assert auth.oauth.token_url == "https://oauth2.googleapis.com/token"


def test_a_private_ca_of_the_connector_counts_for_its_token_endpoint():
    spec = {"auth": {"secretRef": {"name": "relay"}, "username": "u", "oauth2": OAUTH | {"grant": "ClientCredentials"}}}
    auth = relay(spec, {"client-secret": b"x-secret"}, ca_pem="PEM").auth
    assert auth is not None
    assert auth.oauth is not None
    assert auth.oauth.ca_pem == "PEM"


def test_workload_identity_is_the_operators_own_and_no_tenants():
    spec = {"auth": {"username": "box@example.com", "oauth2": OAUTH | {"grant": "WorkloadIdentity"}}}
    refused = refusal(spec)
    assert (refused.reason, "ClusterSmtpConnector" in refused.message) == (Reason.INSECURE_NOT_ALLOWED, True)
    auth = relay(spec, cluster=True).auth
    assert auth is not None
    assert auth.oauth is not None
    assert auth.oauth.federated_token_file == "/var/run/token"


def test_external_needs_no_password():
    auth = relay({"auth": {"mechanism": "External", "username": "u"}}).auth
    assert auth is not None
    assert (auth.mechanism, auth.password) == (Mechanism.EXTERNAL, None)


@pytest.mark.parametrize(
    ("spec", "data", "reason", "named"),
    [
        ({"from": {"address": "a..b@example.com"}}, None, Reason.INVALID_SPEC, "spec.from.address"),
        ({"replyTo": ["ok@example.com", "a..b@example.com"]}, None, Reason.INVALID_SPEC, "spec.replyTo[1]"),
        ({"port": 8080}, None, Reason.PORT_NOT_ALLOWED, "spec.port"),
        ({"tls": {"verification": "None"}}, None, Reason.INSECURE_NOT_ALLOWED, "spec.tls.verification"),
        (AUTH, {"username": b"u"}, Reason.SECRET_KEY_MISSING, "password"),
        ({"auth": {"secretRef": {"name": "relay"}}}, None, Reason.INVALID_SPEC, "spec.auth.secretRef"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_field(spec, data, reason, named):
    refused = refusal(spec, data)
    assert refused.reason is reason
    assert named in refused.message


def test_insecure_settings_work_with_the_operators_flag():
    allowances = Allowances(EgressPolicy(), insecure=True)
    result = assemble(KEY, found({"tls": {"verification": "None"}}), allowances)
    assert isinstance(result, Assembled)
    assert result.outlet.relay.tls.verify is False


def test_limits_come_from_the_spec_else_from_the_provider():
    known = assemble(KEY, found({"host": "smtp.office365.com"}), ALLOWED)
    own = assemble(KEY, found({"host": "smtp.office365.com", "limits": {"maxRecipientsPerMessage": 7}}), ALLOWED)
    assert isinstance(known, Assembled)
    assert isinstance(own, Assembled)
    assert (known.outlet.limits.max_recipients_per_message, own.outlet.limits.max_recipients_per_message) == (500, 7)


def test_a_child_inherits_each_limit_that_it_does_not_set():
    child = found({"limits": {"maxConnections": 1}})
    parent = found({"limits": {"maxConnections": 5, "maxMessageBytes": 4096}})
    result = assemble(KEY, replace(child, base=parent.base), ALLOWED)
    assert isinstance(result, Assembled)
    limits = result.outlet.limits
    assert (limits.max_connections, limits.max_message_bytes, limits.max_recipients_per_message) == (1, 4096, 50)


GMAIL = "smtp.gmail.com"


def allowances(child, parent):
    made = found({"host": GMAIL, "limits": parent})
    if child is not None:
        made = replace(found({"limits": child}), base=made.base, base_key=PARENT)
    result = assemble(KEY, made, ALLOWED)
    assert isinstance(result, Assembled)
    account = result.outlet.relay.account
    names = {str(KEY): "own", str(PARENT): "parent", account: "account"}
    return {
        names[one.scope]: (one.messages_per_minute, one.messages_per_day, one.recipients_per_day)
        for one in result.outlet.limits.allowances
    }


PARENT = ConnectorKey(ConnectorKind.CLUSTER_SMTP_CONNECTOR, "", "corporate")


@pytest.mark.parametrize(
    ("child", "parent", "expected"),
    [
        (None, {}, {"account": (0, 500, 10_000)}),
        (None, {"messagesPerDay": 2000}, {"own": (0, 2000, 0), "account": (0, 0, 10_000)}),
        (
            None,
            {"messagesPerMinute": 5, "messagesPerDay": 9, "recipientsPerDay": 7},
            {"own": (5, 9, 7)},
        ),
        ({"messagesPerDay": 50}, {}, {"own": (0, 50, 0), "account": (0, 500, 10_000)}),
        (
            {"messagesPerDay": 5000},
            {"messagesPerDay": 100},
            {"own": (0, 5000, 0), "parent": (0, 100, 0), "account": (0, 0, 10_000)},
        ),
    ],
    ids=["the provider's", "a paid plan", "all set", "a child with less", "a child that cannot lift its parent's"],
)
def test_mail_counts_against_the_connector_its_parent_and_its_provider(child, parent, expected):
    assert allowances(child, parent) == expected


def test_an_unknown_host_has_no_rate():
    result = assemble(KEY, found({}), ALLOWED)
    assert isinstance(result, Assembled)
    assert result.outlet.limits.allowances == ()


def test_a_connector_cannot_be_its_own_fallback_nor_a_parent_that_of_its_children():
    own = refusal({"fallbackRef": {"kind": "SmtpConnector", "name": "default"}})
    assert (own.reason, own.condition) == (Reason.FALLBACK_IS_ITSELF, "Accepted")
    fallback = {"fallbackRef": {"kind": "ClusterSmtpConnector", "name": "corporate"}}
    child = replace(found({}), base=found(fallback, cluster=True).base, base_key=PARENT)
    refused = assemble(KEY, child, ALLOWED)
    assert isinstance(refused, Refusal)
    assert "spec.fallbackRef of ClusterSmtpConnector/corporate names the connector itself" in refused.message
    assert isinstance(assemble(KEY, found(fallback), ALLOWED), Assembled)


def test_the_sender_of_an_international_domain_is_encoded_for_the_wire():
    assert relay({"from": {"address": "a@bücher.example"}}).mail_from == "a@xn--bcher-kva.example"


DKIM = {"dkim": {"domain": "müller.example", "selector": "mail1", "secretRef": {"name": "dkim"}}}
SIGNS = {"watchbell.dev/dkim-key": "true"}


def dkim_of(data, labels=SIGNS):
    view = SecretView("shop", "dkim", "1", "Opaque", labels, {}, data)
    return assemble(KEY, replace(found(DKIM), dkim=view), ALLOWED)


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_connector_with_a_key_signs_for_its_domain_in_a_labels(kind):
    result = dkim_of({"private.pem": pem(made(kind)).encode()})
    assert isinstance(result, Assembled), result
    key = result.outlet.dkim
    assert key is not None
    assert (key.domain, key.selector, key.algorithm) == ("xn--mller-kva.example", "mail1", f"{kind}-sha256")
    assert "PRIVATE" not in repr(result)


@pytest.mark.parametrize(
    ("data", "labels", "reason", "told"),
    [
        ({"private.pem": b"x"}, {}, Reason.SECRET_NOT_OPTED_IN, "label secret dkim watchbell.dev/dkim-key=true"),
        (
            {"private.pem": b"x"},
            {"watchbell.dev/smtp": "true"},
            Reason.SECRET_NOT_OPTED_IN,
            "label secret dkim watchbell.dev/dkim-key=true",
        ),
        ({"tls.key": b"x"}, SIGNS, Reason.SECRET_KEY_MISSING, "has no key private.pem (keys: tls.key)"),
        ({"private.pem": b"\xff"}, SIGNS, Reason.SECRET_MALFORMED, "is not UTF-8 text"),
        (
            {"private.pem": b"hunter2"},
            SIGNS,
            Reason.SECRET_MALFORMED,
            "key private.pem of Secret dkim is not a private key",
        ),
    ],
)
def test_a_key_that_cannot_sign_is_named_with_its_cure_and_never_shown(data, labels, reason, told):
    result = dkim_of(data, labels)
    assert isinstance(result, Refusal), result
    assert (result.condition, result.reason) == ("ResolvedRefs", reason)
    assert told in result.message
    assert "hunter2" not in result.message
