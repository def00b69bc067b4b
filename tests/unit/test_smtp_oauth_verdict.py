# ruff: noqa: E501 - a row of a table stays on its line
"""What the answers of token endpoints mean, with the words that Microsoft and Google really use."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Fault, Grant, OAuthPlan, StageName
from watchbell.smtp.oauth_verdict import Answer, Granted, default_scope, read_answer

ENTRA = OAuthPlan(
    Grant.CLIENT_CREDENTIALS,
    "https://login.microsoftonline.com/t/oauth2/v2.0/token",
    "app",
    client_secret=Sensitive("s3cr3t-value"),
)
GOOGLE = OAuthPlan(Grant.GOOGLE_SERVICE_ACCOUNT, "https://oauth2.googleapis.com/token")
CONTEXT = ReplyContext(host="login.microsoftonline.com", port=443, secrets=(Sensitive("s3cr3t-value"),))


def error(status, code, description=""):
    return Answer(status, json.dumps({"error": code, "error_description": description}).encode())


def jwt_of(**claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2ln"


def granted(token, **more):
    return Answer(200, json.dumps({"access_token": token, "expires_in": 3600} | more).encode())


REFUSALS = [
    (error(401, "invalid_client", "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value"), Reason.OAUTH_CLIENT_REJECTED),
    (error(401, "invalid_client", "AADSTS7000222: The provided client secret keys for app are expired."), Reason.OAUTH_CLIENT_REJECTED),
    (error(401, "invalid_client"), Reason.OAUTH_CLIENT_REJECTED),
    (error(401, "odd_error"), Reason.OAUTH_CLIENT_REJECTED),
    (error(400, "invalid_request", "AADSTS90002: Tenant 'nope' not found."), Reason.OAUTH_CONFIG_INVALID),
    (error(400, "unauthorized_client", "AADSTS700016: Application with identifier 'app' was not found in the directory"), Reason.OAUTH_CONFIG_INVALID),
    (error(400, "invalid_grant", "Token has been expired or revoked."), Reason.OAUTH_CONFIG_INVALID),
    (error(401, "invalid_client", "AADSTS70021: No matching federated identity record found for presented assertion."), Reason.OAUTH_CONFIG_INVALID),
    (error(401, "invalid_client", "AADSTS700213: No matching federated identity record found for presented assertion subject"), Reason.OAUTH_CONFIG_INVALID),
    (error(401, "unauthorized_client", "Client is unauthorized to retrieve access tokens using this method"), Reason.OAUTH_CONFIG_INVALID),
    (error(400, "invalid_scope", "AADSTS1002012"), Reason.OAUTH_CONFIG_INVALID),
    (error(400, "invalid_scope", "Some requested scopes were invalid."), Reason.OAUTH_TOKEN_WRONG_SCOPE),
    (error(400, "temporarily_unavailable"), Reason.OAUTH_UNAVAILABLE),
    (error(429, "slow_down"), Reason.OAUTH_UNAVAILABLE),
    (error(503, "server_error"), Reason.OAUTH_UNAVAILABLE),
    (Answer(502, b"<html>Bad Gateway</html>"), Reason.OAUTH_UNAVAILABLE),
    (Answer(200, b"<html>Sign in to the hotel's network</html>"), Reason.OAUTH_UNAVAILABLE),
    (Answer(302, b"{}"), Reason.OAUTH_UNAVAILABLE),
    (Answer(200, b"[" * 50_000), Reason.OAUTH_UNAVAILABLE),
    (granted(None), Reason.OAUTH_UNAVAILABLE),
    (granted(""), Reason.OAUTH_UNAVAILABLE),
    (granted("a\r\nb"), Reason.OAUTH_UNAVAILABLE),
    (granted("x" * 20_000), Reason.OAUTH_UNAVAILABLE),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reason"), REFUSALS)
def test_each_refusal_has_its_reason(answer, reason):
    found = read_answer(answer, ENTRA, CONTEXT)
    assert isinstance(found, Fault)
    assert found.reason is reason
    assert found.stage is StageName.TOKEN
    assert found.remedies


def test_the_endpoints_own_words_are_told_without_the_secret():
    found = read_answer(error(401, "invalid_client", "AADSTS7000215: no, s3cr3t-value is wrong"), ENTRA, CONTEXT)
    assert isinstance(found, Fault)
    assert "invalid_client: AADSTS7000215: no, [redacted] is wrong" in found.message
    assert "s3cr3t-value" not in repr(found)


EXCHANGE = "https://outlook.office365.com"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (
            {"aud": "https://graph.microsoft.com", "roles": ["Mail.Send"]},
            "the token is for https://graph.microsoft.com",
        ),
        ({"aud": EXCHANGE, "roles": ["Mail.Send"]}, "the token lacks the role SMTP.SendAsApp"),
        ({"aud": EXCHANGE}, "the token lacks the role SMTP.SendAsApp"),
        ({"aud": EXCHANGE, "roles": "SMTP.SendAsApp-not"}, "the token lacks the role SMTP.SendAsApp"),
        ({"aud": "", "roles": ["SMTP.SendAsApp"]}, "no audience"),
    ],
)
def test_a_token_that_exchange_would_refuse_is_told_before_it_is_tried(claims, words):
    found = read_answer(granted(jwt_of(**claims)), ENTRA, CONTEXT)
    assert isinstance(found, Fault)
    assert found.reason is Reason.OAUTH_TOKEN_WRONG_SCOPE
    assert words in found.message


@pytest.mark.parametrize(
    ("token", "plan"),
    [
        (jwt_of(aud=EXCHANGE, roles=["SMTP.SendAsApp"]), ENTRA),
        (jwt_of(aud=EXCHANGE + "/", scp="SMTP.Send offline_access"), ENTRA),
        (jwt_of(aud="00000002-0000-0ff1-ce00-000000000000", roles=["SMTP.SendAsApp"]), ENTRA),
        ("opaque-token", ENTRA),
        ("not.a.jwt", ENTRA),
        (jwt_of(aud="anything"), GOOGLE),
    ],
)
def test_a_good_or_unreadable_token_is_taken(token, plan):
    found = read_answer(granted(token), plan, CONTEXT)
    assert isinstance(found, Granted)
    assert found.value.reveal() == token
    assert token not in repr(found)


@pytest.mark.parametrize(
    ("expires_in", "life_s"),
    [
        (3599, 3599),
        ("3599", 3599),
        (None, 3600),
        ("soon", 3600),
        (-5, 60),
        (10**9, 86_400),
        ("nan", 3600),
        ("inf", 86_400),
    ],
)
def test_a_life_that_makes_no_sense_is_bounded(expires_in, life_s):
    found = read_answer(granted("opaque", expires_in=expires_in), ENTRA, CONTEXT)
    assert isinstance(found, Granted)
    assert found.life_s == life_s


def test_each_authority_has_the_scope_that_smtp_needs():
    assert default_scope(ENTRA.token_url) == "https://outlook.office365.com/.default"
    assert default_scope(GOOGLE.token_url) == "https://mail.google.com/"
    assert default_scope("https://idp.example/token") == ""


@given(
    st.integers(100, 599),
    st.binary(max_size=200)
    | st.dictionaries(st.text(max_size=20), st.text(max_size=40)).map(lambda d: json.dumps(d).encode()),
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_answered_is_a_token_or_one_fault(status, body):
    found = read_answer(Answer(status, body), ENTRA, CONTEXT)
    assert isinstance(found, Granted) or found.message.isprintable()
