"""Tokens from a real local endpoint over TLS: each grant, renewal, and what goes wrong."""

import asyncio
import base64
import hashlib
import json
import ssl
from dataclasses import replace
from datetime import UTC, datetime

import jwt
import pytest
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp import oauth as oauth_module
from watchbell.smtp.endpoint import EgressPolicy, close_resolver
from watchbell.smtp.model import Fault, Grant, OAuthPlan, StageName
from watchbell.smtp.oauth import Token, TokenEgress, TokenSource

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOOPBACK = EgressPolicy(allow_cidrs=("127.0.0.0/8",))


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


class Endpoint:
    """A token endpoint that answers as `reply` says and remembers the forms it was sent."""

    def __init__(self):
        self.forms = []
        self.reply = self.grant
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def grant(self, form):
        return web.json_response({"access_token": f"token-{len(self.forms)}", "expires_in": 1000})

    async def handle(self, request):
        self.forms.append(dict(await request.post()))
        self.asked.set()
        await self.gate.wait()
        return await self.reply(self.forms[-1])


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
async def endpoint(authority):
    served = Endpoint()
    app = web.Application()
    app.router.add_post("/token", served.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    served.url = f"https://127.0.0.1:{port}/token"
    served.port = port
    try:
        yield served
    finally:
        served.gate.set()
        await runner.cleanup()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def source(authority, endpoint, clock):
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    policy = replace(LOOPBACK, allow_hosts=("127.0.0.1", "localhost"), allow_ports=frozenset({endpoint.port}))
    made = TokenSource(TokenEgress(policy, ssl_context=trust), clock=clock, now=lambda: NOW)
    yield made
    await made.close()
    close_resolver()


def plan_of(endpoint, grant=Grant.CLIENT_CREDENTIALS, **more):
    return OAuthPlan(grant, endpoint.url, client_id="app", scopes=("scope-a", "scope-b"), **more)


def secret_plan(endpoint):
    return plan_of(endpoint, client_secret=Sensitive("cl13nt-s3cret"))


async def test_client_credentials_with_a_secret(source, endpoint, clock):
    found = await source.token(secret_plan(endpoint), "alerts@example.com")
    assert found == Token(Sensitive("token-1"), clock.time + 800, clock.time + 1000)
    assert endpoint.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "app",
            "client_secret": "cl13nt-s3cret",
            "scope": "scope-a scope-b",
        }
    ]
    assert "token-1" not in repr(found)


async def test_a_token_endpoint_behind_a_private_ca_is_trusted_through_the_connectors_own(authority, endpoint, clock):
    policy = replace(LOOPBACK, allow_hosts=("127.0.0.1",), allow_ports=frozenset({endpoint.port}))
    made = TokenSource(TokenEgress(policy), clock=clock, now=lambda: NOW)
    try:
        unknown = await made.token(secret_plan(endpoint), "a")
        found = await made.token(replace(secret_plan(endpoint), ca_pem=authority.cert_pem.bytes().decode()), "a")
    finally:
        await made.close()
        close_resolver()
    assert isinstance(unknown, Fault)
    assert unknown.reason is Reason.OAUTH_UNAVAILABLE
    assert any("spec.tls.caConfigMapRef" in sentence for sentence in unknown.remedies)
    assert isinstance(found, Token)
    assert len(endpoint.forms) == 1


def rsa_pem():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, pem.decode()


def certificate_pem(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "app")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    return built.not_valid_before(NOW).not_valid_after(NOW.replace(year=2030)).sign(key, SHA256())


async def test_client_credentials_with_a_certificate(source, endpoint):
    key, pem = rsa_pem()
    certificate = certificate_pem(key)
    cert_pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    plan = plan_of(endpoint, client_cert_pem=cert_pem, client_key_pem=Sensitive(pem))
    assert isinstance(await source.token(plan, "a"), Token)
    form = endpoint.forms[0]
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in form
    claims = jwt.decode(
        form["client_assertion"],
        key.public_key(),
        ["PS256"],
        audience=endpoint.url,
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    assert (claims["iss"], claims["sub"]) == ("app", "app")
    assert claims["exp"] - int(NOW.timestamp()) == 300
    thumbprint = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
    assert (
        jwt.get_unverified_header(form["client_assertion"])["x5t#S256"]
        == base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
    )


async def test_a_workload_identity_reads_its_token_anew_each_time(source, endpoint, clock, tmp_path):
    path = tmp_path / "token"
    plan = plan_of(endpoint, Grant.WORKLOAD_IDENTITY, federated_token_file=str(path))
    path.write_text("first.jwt.x\n")
    await source.token(plan, "a")
    path.write_text("second.jwt.x\n")
    clock.time += 900
    await source.token(plan, "a")
    assert [form["client_assertion"] for form in endpoint.forms] == ["first.jwt.x", "second.jwt.x"]


async def test_a_refresh_token(source, endpoint):
    plan = plan_of(
        endpoint, Grant.REFRESH_TOKEN, refresh_token=Sensitive("r3fresh-me"), client_secret=Sensitive("cl13nt")
    )
    assert isinstance(await source.token(plan, "a"), Token)
    assert endpoint.forms[0] == {
        "grant_type": "refresh_token",
        "client_id": "app",
        "refresh_token": "r3fresh-me",
        "client_secret": "cl13nt",
        "scope": "scope-a scope-b",
    }


@pytest.mark.parametrize(
    ("subject", "expected"), [("", "alerts@example.com"), ("boss@example.com", "boss@example.com")]
)
async def test_a_google_service_account_acts_for_the_mailbox(source, endpoint, subject, expected):
    key, pem = rsa_pem()
    account = json.dumps(
        {"client_email": "robot@p.iam", "private_key": pem, "private_key_id": "k1", "token_uri": "https://evil.example"}
    )
    plan = plan_of(endpoint, Grant.GOOGLE_SERVICE_ACCOUNT, service_account_json=Sensitive(account), subject=subject)
    assert isinstance(await source.token(plan, "alerts@example.com"), Token)
    form = endpoint.forms[0]
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(
        form["assertion"],
        key.public_key(),
        ["RS256"],
        audience=endpoint.url,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert (claims["iss"], claims["sub"], claims["scope"]) == ("robot@p.iam", expected, "scope-a scope-b")
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "k1"


@pytest.mark.parametrize(
    ("grant", "more", "reason"),
    [
        (Grant.CLIENT_CREDENTIALS, {}, Reason.OAUTH_CONFIG_INVALID),
        (
            Grant.CLIENT_CREDENTIALS,
            {"client_cert_pem": "x", "client_key_pem": Sensitive("y")},
            Reason.OAUTH_CLIENT_REJECTED,
        ),
        (Grant.WORKLOAD_IDENTITY, {}, Reason.OAUTH_CONFIG_INVALID),
        (Grant.WORKLOAD_IDENTITY, {"federated_token_file": "/nowhere/token"}, Reason.OAUTH_CONFIG_INVALID),
        (Grant.REFRESH_TOKEN, {}, Reason.OAUTH_CONFIG_INVALID),
        (Grant.GOOGLE_SERVICE_ACCOUNT, {}, Reason.OAUTH_CLIENT_REJECTED),
        (
            Grant.GOOGLE_SERVICE_ACCOUNT,
            {"service_account_json": Sensitive('{"client_email":"a","private_key":"not a key"}')},
            Reason.OAUTH_CLIENT_REJECTED,
        ),
        (Grant.GOOGLE_SERVICE_ACCOUNT, {"service_account_json": Sensitive("[1]")}, Reason.OAUTH_CLIENT_REJECTED),
    ],
)
async def test_credentials_that_cannot_work_are_told_without_asking(source, endpoint, grant, more, reason):
    found = await source.token(plan_of(endpoint, grant, **more), "a")
    assert isinstance(found, Fault)
    assert found.reason is reason
    assert endpoint.forms == []


async def test_a_token_is_kept_until_four_fifths_of_its_life_and_then_renewed(source, endpoint, clock):
    plan = secret_plan(endpoint)
    assert (await source.token(plan, "a")).value.reveal() == "token-1"
    clock.time += 799
    assert (await source.token(plan, "a")).value.reveal() == "token-1"
    clock.time += 2
    assert (await source.token(plan, "a")).value.reveal() == "token-2"


async def test_a_failed_renewal_is_no_fault_while_the_old_token_lives(source, endpoint, clock):
    plan = secret_plan(endpoint)
    await source.token(plan, "a")
    endpoint.reply = busy
    clock.time += 850
    assert (await source.token(plan, "a")).value.reveal() == "token-1"
    clock.time += 130
    found = await source.token(plan, "a")
    assert isinstance(found, Fault)
    assert found.reason is Reason.OAUTH_UNAVAILABLE


async def busy(form):
    return web.Response(status=429, text="slow down")


async def test_a_token_that_the_server_rejected_is_dropped(source, endpoint):
    plan = secret_plan(endpoint)
    await source.token(plan, "a")
    source.drop(plan, "a")
    source.drop(plan, "a")
    assert (await source.token(plan, "a")).value.reveal() == "token-2"


async def test_fifty_sessions_ask_once(source, endpoint):
    plan = secret_plan(endpoint)
    endpoint.gate.clear()
    waiting = [asyncio.create_task(source.token(plan, "a")) for _ in range(50)]
    async with asyncio.timeout(30):
        await endpoint.asked.wait()
    waiting[0].cancel()
    endpoint.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {token.value.reveal() for token in found[1:]} == {"token-1"}
    assert len(endpoint.forms) == 1


async def test_another_secret_or_user_is_another_token(source, endpoint):
    plan = secret_plan(endpoint)
    await source.token(plan, "a")
    await source.token(replace(plan, client_secret=Sensitive("rotated-secret")), "a")
    await source.token(plan, "b")
    assert len(endpoint.forms) == 3


async def server_error(form):
    return web.Response(status=503, text="oops")


async def page(form):
    return web.Response(text="<html>Welcome to the hotel</html>", content_type="text/html")


async def huge(form):
    return web.Response(body=b'{"access_token":"' + b"x" * 1_000_000 + b'"}', content_type="application/json")


async def bomb(form):
    return web.Response(body=b"\x1f\x8b" + b"\0" * 1000, headers={"Content-Encoding": "gzip"})


async def moved(form):
    return web.Response(status=307, headers={"Location": "https://evil.example/token"})


@pytest.mark.parametrize("reply", [busy, server_error, page, huge, bomb, moved])
async def test_an_endpoint_that_answers_nonsense_is_unavailable(source, endpoint, reply):
    endpoint.reply = reply
    found = await source.token(secret_plan(endpoint), "a")
    assert isinstance(found, Fault)
    assert (found.reason, found.stage, found.is_permanent) == (Reason.OAUTH_UNAVAILABLE, StageName.TOKEN, False)
    assert len(endpoint.forms) == 1


async def test_an_endpoint_that_says_nothing_costs_no_more_than_the_deadline(source, endpoint, monkeypatch):
    monkeypatch.setattr(oauth_module, "_DEADLINE_S", 0.2)
    endpoint.gate.clear()
    async with asyncio.timeout(30):
        found = await source.token(secret_plan(endpoint), "a")
    assert isinstance(found, Fault)
    assert found.reason is Reason.OAUTH_UNAVAILABLE
    assert "i/o timeout" in found.message


async def refusal(form):
    description = f"AADSTS7000215: Invalid client secret provided: {form['client_secret']}"
    return web.json_response({"error": "invalid_client", "error_description": description}, status=401)


async def test_an_echoed_secret_is_not_told(source, endpoint):
    endpoint.reply = refusal
    found = await source.token(secret_plan(endpoint), "a")
    assert isinstance(found, Fault)
    assert found.reason is Reason.OAUTH_CLIENT_REJECTED
    assert "AADSTS7000215" in found.message
    assert "cl13nt-s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://login.microsoftonline.com/token", Reason.OAUTH_CONFIG_INVALID),
        ("http://127.0.0.1:1/token", Reason.OAUTH_CONFIG_INVALID),
        ("https://user:pass@login.microsoftonline.com/token", Reason.OAUTH_CONFIG_INVALID),
        ("https://login.microsoftonline.com:99999/token", Reason.OAUTH_CONFIG_INVALID),
        ("file:///etc/passwd", Reason.OAUTH_CONFIG_INVALID),
        ("", Reason.OAUTH_CONFIG_INVALID),
        ("https://127.1/token", Reason.OAUTH_CONFIG_INVALID),
        ("https://2130706433/token", Reason.OAUTH_CONFIG_INVALID),
        ("https://login.microsoftonline.com\\@evil.example/token", Reason.OAUTH_CONFIG_INVALID),
        ("https://[", Reason.OAUTH_CONFIG_INVALID),
        ("https://evil.example/token", Reason.HOST_NOT_ALLOWED),
        ("https://login.microsoftonline.com.evil.example/token", Reason.HOST_NOT_ALLOWED),
        ("https://169.254.169.254/token", Reason.HOST_NOT_ALLOWED),
        ("https://login.microsoftonline.com:6443/token", Reason.PORT_NOT_ALLOWED),
    ],
)
async def test_the_secret_goes_nowhere_but_to_an_allowed_https_host(source, url, reason):
    found = await source.token(
        OAuthPlan(Grant.CLIENT_CREDENTIALS, url, "app", client_secret=Sensitive("cl13nt-s3cret")), "a"
    )
    assert isinstance(found, Fault)
    assert found.reason is reason


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_an_allowed_host_at_a_denied_address_gets_nothing(authority, endpoint, clock, host):
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    egress = TokenEgress(
        EgressPolicy(allow_ports=frozenset({endpoint.port})), is_host_allowed=lambda _: True, ssl_context=trust
    )
    made = TokenSource(egress, clock=clock, now=lambda: NOW)
    plan = replace(secret_plan(endpoint), token_url=f"https://{host}:{endpoint.port}/token")
    found = await made.token(plan, "a")
    await made.close()
    close_resolver()
    assert isinstance(found, Fault)
    assert found.reason is Reason.DESTINATION_NOT_ALLOWED
    assert endpoint.forms == []


async def test_an_endpoint_with_an_unknown_certificate_gets_nothing(endpoint, clock):
    policy = replace(LOOPBACK, allow_hosts=("127.0.0.1",), allow_ports=frozenset({endpoint.port}))
    made = TokenSource(TokenEgress(policy), clock=clock, now=lambda: NOW)
    found = await made.token(secret_plan(endpoint), "a")
    await made.close()
    assert isinstance(found, Fault)
    assert found.reason is Reason.OAUTH_UNAVAILABLE
    assert "failed to verify certificate" in found.chain[0]
    assert endpoint.forms == []


@pytest.mark.parametrize("is_flagged", [True, False])
async def test_clear_text_works_on_loopback_and_only_with_the_flag(clock, is_flagged):
    served = Endpoint()
    app = web.Application()
    app.router.add_post("/token", served.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    made = TokenSource(TokenEgress(EgressPolicy(), has_plain_loopback=is_flagged), clock=clock, now=lambda: NOW)
    found = await made.token(secret_plan(served), "a")
    await made.close()
    await runner.cleanup()
    assert isinstance(found, Token) is is_flagged
    assert len(served.forms) == int(is_flagged)


async def test_closing_ends_what_is_under_way(source, endpoint):
    endpoint.gate.clear()
    waiting = asyncio.create_task(source.token(secret_plan(endpoint), "a"))
    async with asyncio.timeout(30):
        await endpoint.asked.wait()
    await source.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
