"""Logging in: every mechanism as it stands on the wire, every refusal with its one reason, and never more than one try."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smtprig import (
    BYE,
    CANARY,
    GREET,
    USER,
    Scripted,
    check_no_secret,
    check_report,
    dialer,
    ehlo,
    mail_server,
    password,
    provoke,
    relay,
)
from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.auth import Login, candidates, sasl
from watchbell.smtp.model import AuthPlan, Grant, Level, Mechanism, OAuthPlan, StageName, StageResult, TlsMode, TlsPlan
from watchbell.smtp.probe import probe

IN = b"235 2.7.0 in\r\n"
PLAIN_LINE = "AUTH PLAIN " + b64encode(f"\0{USER}\0{CANARY}".encode()).decode()
TOKEN = "ya29.c4nary-t0ken"
USER_PROMPT, PASS_PROMPT = b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"


def offering(mechanisms: str, *steps):
    return [GREET, "r", ehlo(f"AUTH {mechanisms}"), "r", *steps]


REFUSALS = [
    ("535 5.7.8 Error: authentication failed", Reason.CREDENTIALS_REJECTED),
    ("535 Authentication Credentials Invalid", Reason.CREDENTIALS_REJECTED),
    (
        "534-5.7.9 Application-specific password required. Go to\r\n534 5.7.9 https://support.google.com/",
        Reason.APP_PASSWORD_REQUIRED,
    ),
    ("534 5.7.14 Please log in via your web browser", Reason.WEB_LOGIN_REQUIRED),
    ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", Reason.BASIC_AUTH_DISABLED),
    (
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        Reason.SMTP_AUTH_DISABLED,
    ),
    ("525 5.7.1 Unauthorized IP address", Reason.SOURCE_IP_NOT_ALLOWED),
    ("538 5.7.11 Encryption required for requested authentication mechanism", Reason.ENCRYPTION_REQUIRED),
    ("530 5.7.0 Must issue a STARTTLS command first", Reason.ENCRYPTION_REQUIRED),
    ("454 4.7.0 Temporary authentication failure", Reason.AUTH_TEMPORARILY_UNAVAILABLE),
    ("421 4.7.0 Too many login attempts", Reason.AUTH_TEMPORARILY_UNAVAILABLE),
]


@pytest.mark.parametrize(("reply", "reason"), REFUSALS)
async def test_a_refused_login_ends_in_its_one_reason_after_one_try(reply, reason):
    async with Scripted(offering("LOGIN PLAIN CRAM-MD5", reply.encode() + b"\r\n", "hang")) as server:
        fault = await provoke(server.port, auth=password(), impatient=("quit_s",))

    assert (fault.stage, fault.reason) == (StageName.AUTHENTICATE, reason)
    assert fault.code == int(reply[:3])
    assert fault.chain[0].startswith(reply[:3] + " " + reply[4:9])
    assert server.commands == ["EHLO operator.test", PLAIN_LINE]
    assert server.connections == 1


ECHOES = [
    f"535 5.7.8 bad command: {PLAIN_LINE}",
    f"535 5.7.8 password {CANARY} is wrong",
    f"501 5.5.2 cannot decode {PLAIN_LINE.split()[2]}",
    f"535-5.7.8 {CANARY}\r\n535 5.7.8 {PLAIN_LINE.split()[2].rstrip('=')}",
]


@pytest.mark.parametrize("reply", ECHOES, ids=range(len(ECHOES)))
async def test_a_server_that_echoes_the_password_does_not_publish_it(reply):
    async with Scripted(offering("PLAIN", reply.encode() + b"\r\n", "hang")) as server:
        report = await probe(relay(server.port, auth=password()), dialer(), Level.AUTHENTICATE)

    check_report(report)
    assert any("5.7.8" in line or "501" in line for line in report.transcript)


BREAKS = [
    ("closed", ["close"], Reason.CONNECTION_CLOSED),
    ("reset", ["abort"], Reason.CONNECTION_RESET),
    ("two replies", [b"235 in\r\n250 extra\r\n", "hang"], Reason.PROTOCOL_VIOLATION),
    ("not SMTP any more", [b"\x00\x00\x00", "hang"], Reason.PROTOCOL_VIOLATION),
    (
        "asks again and again",
        [b"334 \r\n", "r", b"334 \r\n", "r", b"334 \r\n", "r", b"334 \r\n", "hang"],
        Reason.PROTOCOL_VIOLATION,
    ),
]


@pytest.mark.parametrize(("script", "reason"), [pytest.param(s, r, id=i) for i, s, r in BREAKS])
async def test_a_login_that_breaks_off_says_how(script, reason):
    async with Scripted(offering("PLAIN", *script)) as server:
        fault = await provoke(server.port, auth=password())

    assert (fault.stage, fault.reason) == (StageName.AUTHENTICATE, reason)


async def test_a_tarpit_ends_with_the_stage():
    async with Scripted(offering("PLAIN", "hang")) as server:
        fault = await provoke(server.port, auth=password(), impatient=("auth_s",))

    assert (fault.stage, fault.reason) == (StageName.AUTHENTICATE, Reason.COMMAND_TIMED_OUT)


async def test_a_login_that_cannot_be_made_is_a_failure_and_not_a_mail_without_login():
    async with Scripted([GREET, "r", ehlo("SIZE 1000"), "hang"]) as server:
        fault = await provoke(server.port, auth=password())

    assert fault.reason is Reason.AUTH_NOT_OFFERED


async def test_mechanisms_that_do_not_fit_are_listed():
    async with Scripted(offering("GSSAPI NTLM", "hang")) as server:
        fault = await provoke(server.port, auth=password())

    assert fault.reason is Reason.NO_SHARED_AUTH_MECHANISM
    assert "GSSAPI NTLM" in fault.message
    assert server.commands == ["EHLO operator.test"]


async def test_a_password_never_travels_in_clear_unless_that_is_allowed():
    async with Scripted([GREET, "r", ehlo("AUTH PLAIN LOGIN CRAM-MD5"), "hang"]) as server:
        plain = await provoke(server.port, auth=password(plaintext_allowed=False))
    async with Scripted([GREET, "r", ehlo("AUTH PLAIN LOGIN CRAM-MD5"), "hang"]) as server:
        pinned = await provoke(server.port, auth=password(plaintext_allowed=False, mechanism=Mechanism.CRAM_MD5))

    assert plain.reason is Reason.ENCRYPTION_REQUIRED
    assert pinned.reason is Reason.ENCRYPTION_REQUIRED, "a digest is no encryption"
    assert server.commands == ["EHLO operator.test"]


async def passes(server: Scripted, auth: AuthPlan) -> list[str]:
    report = await probe(relay(server.port, auth=auth), dialer(), Level.AUTHENTICATE)
    assert report.fault is None, report.fault
    check_no_secret(report)
    return server.commands[1:-1]


PROMPTS = [
    ("English", USER_PROMPT, PASS_PROMPT),
    ("with a NUL", b"334 " + b64encode(b"User Name\0") + b"\r\n", b"334 " + b64encode(b"Password\0") + b"\r\n"),
    (
        "German",
        b"334 " + b64encode("Benutzername für uns:".encode()) + b"\r\n",
        b"334 " + b64encode(b"Kennwort:") + b"\r\n",
    ),
    ("not base64", b"334 Username:\r\n", b"334 Password:\r\n"),
    ("empty", b"334\r\n", b"334 \r\n"),
]


@pytest.mark.parametrize(("first", "second"), [pytest.param(f, s, id=i) for i, f, s in PROMPTS])
async def test_login_answers_the_prompts_in_their_order_whatever_they_say(first, second):
    async with Scripted(offering("LOGIN", first, "r", second, "r", IN, *BYE)) as server:
        lines = await passes(server, password())

    assert lines == ["AUTH LOGIN", b64encode(USER.encode()).decode(), b64encode(CANARY.encode()).decode()]


async def test_plain_is_preferred_and_cram_md5_must_be_pinned():
    async with Scripted(offering("CRAM-MD5 LOGIN PLAIN", IN, *BYE)) as server:
        assert await passes(server, password()) == [PLAIN_LINE]

    challenge = b"<1896.697170952@relay.test>"
    digest = hmac.new(CANARY.encode(), challenge, hashlib.md5).hexdigest()
    steps = (b"334 " + b64encode(challenge) + b"\r\n", "r", IN, *BYE)
    async with Scripted(offering("CRAM-MD5 LOGIN PLAIN", *steps)) as server:
        lines = await passes(server, password(mechanism=Mechanism.CRAM_MD5))

    assert lines[0] == "AUTH CRAM-MD5"
    assert b64decode(lines[1]).decode() == f"{USER} {digest}"


async def test_a_challenge_that_is_no_base64_is_cancelled():
    steps = (b"334 !!! what !!!\r\n", "r", b"501 5.7.0 cancelled\r\n", "hang")
    async with Scripted(offering("CRAM-MD5", *steps)) as server:
        fault = await provoke(server.port, auth=password(mechanism=Mechanism.CRAM_MD5))

    assert fault.stage is StageName.AUTHENTICATE
    assert server.commands[-1] == "*"


async def test_external_uses_the_certificate_and_names_the_user():
    async with Scripted(offering("EXTERNAL PLAIN", IN, *BYE)) as server:
        auth = AuthPlan(USER, mechanism=Mechanism.EXTERNAL, plaintext_allowed=True)
        assert await passes(server, auth) == ["AUTH EXTERNAL " + b64encode(USER.encode()).decode()]

    async with Scripted(offering("EXTERNAL", IN, *BYE)) as server:
        auth = AuthPlan("", mechanism=Mechanism.EXTERNAL, plaintext_allowed=True)
        assert await passes(server, auth) == ["AUTH EXTERNAL ="]


def test_without_a_password_a_client_certificate_logs_in():
    auth = AuthPlan("")

    assert candidates(auth, has_client_certificate=True) == (Mechanism.EXTERNAL,)
    assert candidates(password(), has_client_certificate=True) == (Mechanism.PLAIN, Mechanism.LOGIN)


def test_the_bearer_line_is_that_of_the_rfc():
    """RFC 7628 §4.1, with the host and port of its example."""
    login = Login("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143)

    assert sasl(Mechanism.OAUTHBEARER, login).initial == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    assert "vF9dft" not in repr(login)


@pytest.fixture
async def token_url() -> AsyncIterator[str]:
    async def grant(request: web.Request) -> web.Response:
        form = await request.post()
        assert form["client_secret"] == CANARY
        return web.json_response({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})

    app = web.Application()
    app.router.add_post("/token", grant)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    yield str(server.make_url("/token"))
    await server.close()


def with_token(url: str, mechanism: Mechanism = Mechanism.AUTO) -> AuthPlan:
    oauth = OAuthPlan(Grant.CLIENT_CREDENTIALS, url, client_id="app", client_secret=Sensitive(CANARY))
    return AuthPlan(USER, mechanism=mechanism, oauth=oauth, plaintext_allowed=True)


async def probe_with_token(server: Scripted, auth: AuthPlan):
    shared = dialer()
    try:
        report = await probe(relay(server.port, auth=auth), shared, Level.AUTHENTICATE)
    finally:
        await shared.tokens.close()
    for form in (TOKEN, b64encode(TOKEN.encode()).decode().rstrip("=")):
        assert form not in repr(report)
    check_no_secret(report)
    return report


XOAUTH2_LINE = "AUTH XOAUTH2 " + b64encode(f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01".encode()).decode()


async def test_a_token_is_fetched_before_the_server_is_dialled_and_used_with_xoauth2(token_url):
    async with Scripted(offering("PLAIN LOGIN XOAUTH2 OAUTHBEARER", IN, *BYE)) as server:
        report = await probe_with_token(server, with_token(token_url))

    assert report.fault is None
    assert server.commands[1] == XOAUTH2_LINE
    names = [stage.name for stage in report.stages if stage.result is StageResult.PASSED]
    assert names.index(StageName.TOKEN) < names.index(StageName.CONNECT)


async def test_a_token_that_cannot_be_had_ends_the_session_before_it_dials(token_url):
    async with Scripted(offering("XOAUTH2", IN, *BYE)) as server:
        report = await probe_with_token(server, with_token(token_url + "/elsewhere"))

    assert report.fault is not None
    assert report.fault.stage is StageName.TOKEN
    assert server.connections == 0


async def test_a_password_mechanism_is_never_used_in_place_of_a_token(token_url):
    async with Scripted(offering("PLAIN LOGIN", "hang")) as server:
        report = await probe_with_token(server, with_token(token_url))

    check_report(report)
    assert report.fault is not None
    assert report.fault.reason is Reason.NO_SHARED_AUTH_MECHANISM


ERROR = b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}')
TOKEN_REFUSALS = [
    (Mechanism.XOAUTH2, b"", "535 5.7.3 Authentication unsuccessful"),
    (Mechanism.XOAUTH2, b"", "535-5.7.8 Username and Password not accepted\r\n535 5.7.8 learn more"),
    (Mechanism.OAUTHBEARER, b"AQ==", "535 5.7.8 invalid token"),
]


@pytest.mark.parametrize(("mechanism", "answer", "reply"), TOKEN_REFUSALS)
async def test_the_error_in_the_challenge_is_read_and_answered_as_the_mechanism_asks(
    token_url, mechanism, answer, reply
):
    steps = (b"334 " + ERROR + b"\r\n", "r", reply.encode() + b"\r\n", *BYE)
    async with Scripted(offering("XOAUTH2 OAUTHBEARER", *steps)) as server:
        report = await probe_with_token(server, with_token(token_url, mechanism))

    check_report(report)
    assert report.fault is not None
    assert report.fault.reason is Reason.OAUTH_TOKEN_REJECTED
    assert server.heard[2] == answer + b"\r\n"
    assert any("status=400" in link for link in report.fault.chain)
    assert report.fault.code == 535


async def test_a_mailbox_that_the_token_may_not_use_has_its_own_reason(token_url):
    denied = b"430 4.2.0 STOREDRV; mailbox logon failure; failed to logon to mailbox\r\n"
    async with Scripted(offering("XOAUTH2", denied, *BYE)) as server:
        report = await probe_with_token(server, with_token(token_url))

    check_report(report)
    assert report.fault is not None
    assert report.fault.reason is Reason.MAILBOX_ACCESS_DENIED


async def test_a_response_too_long_for_one_line_waits_for_the_servers_word():
    long = AuthPlan(USER, Sensitive("y" * 10_000), mechanism=Mechanism.PLAIN, plaintext_allowed=True)
    async with Scripted(offering("PLAIN", b"334 \r\n", "r", IN, *BYE)) as server:
        report = await probe(relay(server.port, auth=long), dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert server.commands[1] == "AUTH PLAIN"
    assert len(server.commands[2]) > 12288


async def test_a_real_server_takes_the_right_password_and_refuses_the_wrong_one(authority):
    plan = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem)
    async with mail_server(tls=authority.server_context()) as server:
        for mechanism in (Mechanism.PLAIN, Mechanism.LOGIN):
            report = await probe(
                relay(server.port, tls=plan, auth=password(mechanism=mechanism)), dialer(), Level.AUTHENTICATE
            )
            assert report.fault is None
        fault = await provoke(server.port, tls=plan, auth=password("wr0ng-c4nary"))

    assert fault.reason is Reason.CREDENTIALS_REJECTED
    assert [login[2] for login in server.inbox.logins] == [CANARY, CANARY, "wr0ng-c4nary"]
