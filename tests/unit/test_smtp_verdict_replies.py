"""Each row of the taxonomy that starts from a reply, with the words that the providers really use."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Mechanism, RetryClass, StageName
from watchbell.smtp.verdict import classify_challenge, classify_reply, enhanced_code, fault, reply_line

G, H, T, A = StageName.GREETING, StageName.HELLO, StageName.START_TLS, StageName.AUTHENTICATE
M, RC, D = StageName.SENDER, StageName.RECIPIENT, StageName.DATA
STOREDRV = "5.2.0 STOREDRV.Submission.Exception:"

ROWS = [
    # Greeting
    (G, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", R.GREETING_REJECTED),
    (G, "550 5.7.1 Access denied", R.GREETING_REJECTED),
    (G, "421 too many connections", R.SERVER_BUSY),
    (G, "450 4.3.2 try later", R.SERVER_BUSY),
    (G, "421 4.7.0 host Error: too many connections from 192.0.2.1", R.SERVER_BUSY),
    # EHLO
    (H, "421 4.7.0 Try again later, closing connection. (EHLO)", R.EHLO_REJECTED),
    (H, "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname", R.EHLO_REJECTED),
    (H, "501 5.5.4 Invalid domain name", R.EHLO_REJECTED),
    (H, "550 HELO argument is invalid", R.EHLO_REJECTED),
    (H, "554 5.7.1 <pod-1>: Helo command rejected: Access denied", R.EHLO_REJECTED),
    (H, "500 unrecognized command", R.ESMTP_UNSUPPORTED),
    (H, "502 5.5.1 command not implemented", R.ESMTP_UNSUPPORTED),
    (H, "500 5.5.1 Error: this is an LMTP server, use LHLO", R.LMTP_SERVER),
    (H, "421 busy", R.SERVER_BUSY),
    # STARTTLS
    (T, "454 4.7.0 TLS not available due to local problem", R.STARTTLS_UNAVAILABLE),
    (T, "454 TLS not available due to temporary reason", R.STARTTLS_UNAVAILABLE),
    (T, "554 5.7.3 Unable to initialize security subsystem", R.STARTTLS_UNAVAILABLE),
    # Login over clear text
    (A, "538 5.7.11 Encryption required for requested authentication mechanism", R.ENCRYPTION_REQUIRED),
    (A, "538 no", R.ENCRYPTION_REQUIRED),
    (A, "530 5.7.0 Must issue a STARTTLS command first", R.ENCRYPTION_REQUIRED),
    (M, "530 5.7.0 Must issue a STARTTLS command first. abc - gsmtp", R.ENCRYPTION_REQUIRED),
    # Login refused
    (A, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", R.CREDENTIALS_REJECTED),
    (A, "535 5.7.0 Mailgun is not loving your login or password", R.CREDENTIALS_REJECTED),
    (A, "535 Authentication Credentials Invalid", R.CREDENTIALS_REJECTED),
    (A, "535 5.7.8 Username and Password not accepted. For more information, go to", R.CREDENTIALS_REJECTED),
    (A, "535 Authentication failed: Bad username / password", R.CREDENTIALS_REJECTED),
    (A, "535 5.7.3 Authentication unsuccessful", R.CREDENTIALS_REJECTED),
    (A, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", R.CREDENTIALS_REJECTED),
    (A, "534 5.7.9 Application-specific password required. For more information, go to", R.APP_PASSWORD_REQUIRED),
    (A, "534 5.7.9 Please log in", R.APP_PASSWORD_REQUIRED),
    (A, "534 5.7.14 Please log in with your web browser and then try again.", R.WEB_LOGIN_REQUIRED),
    (A, "534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1>", R.WEB_LOGIN_REQUIRED),
    (A, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", R.BASIC_AUTH_DISABLED),
    (A, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", R.SMTP_AUTH_DISABLED),
    (A, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", R.SMTP_AUTH_DISABLED),
    (A, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.", R.BASIC_AUTH_DISABLED),
    (A, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.", R.BASIC_AUTH_DISABLED),
    (A, "550 5.7.30 Basic authentication is not supported for Client Submission.", R.BASIC_AUTH_DISABLED),
    (M, "550 5.7.30 Basic authentication is not supported for Client Submission.", R.BASIC_AUTH_DISABLED),
    (A, "550 5.7.30 no words", R.BASIC_AUTH_DISABLED),
    (A, "430 4.2.0 STOREDRV; mailbox logon failure; failed to process message", R.MAILBOX_ACCESS_DENIED),
    (A, "430 4.2.0 no words", R.MAILBOX_ACCESS_DENIED),
    (A, "525 5.7.1 Unauthorized IP address", R.SOURCE_IP_NOT_ALLOWED),
    (A, "535 5.7.1 Unauthorized IP", R.SOURCE_IP_NOT_ALLOWED),
    (A, "525 account off", R.SOURCE_IP_NOT_ALLOWED),
    (A, "504 5.5.4 Unrecognized authentication type", R.NO_SHARED_AUTH_MECHANISM),
    (A, "504 5.7.4 mechanism too weak", R.NO_SHARED_AUTH_MECHANISM),
    (A, "503 5.5.1 AUTH not available", R.AUTH_NOT_OFFERED),
    (A, "454 4.7.0 Temporary authentication failure", R.AUTH_TEMPORARILY_UNAVAILABLE),
    (A, "421 4.7.0 closing", R.AUTH_TEMPORARILY_UNAVAILABLE),
    (A, "454 4.7.0 Too many login attempts, please try again later.", R.AUTH_TEMPORARILY_UNAVAILABLE),
    (A, "432 4.7.12 A password transition is needed", R.AUTH_TEMPORARILY_UNAVAILABLE),
    # The sender
    (M, "530 5.7.0 Authentication Required. For more information, go to", R.AUTHENTICATION_REQUIRED),
    (M, "530 5.7.57 Client not authenticated to send mail.", R.AUTHENTICATION_REQUIRED),
    (M, "550 5.7.1 Authentication required", R.AUTHENTICATION_REQUIRED),
    (M, "530 no", R.AUTHENTICATION_REQUIRED),
    (RC, "553 5.7.1 <a@example.com>: Sender address rejected: not logged in", R.AUTHENTICATION_REQUIRED),
    (RC, "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user alice", R.SENDER_NOT_ALLOWED),
    (D, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", R.SENDER_NOT_ALLOWED),
    (D, f"554 {STOREDRV}SendAsDeniedException.MapiExceptionSendAsDenied", R.SENDER_NOT_ALLOWED),
    (D, "554 Message rejected: Email address is not verified. The following identities failed the check in region", R.SENDER_NOT_ALLOWED),
    (D, "550 The from address does not match a verified Sender Identity.", R.SENDER_NOT_ALLOWED),
    (M, "550 5.7.1 sender refused", R.SENDER_NOT_ALLOWED),
    (M, "553 no", R.SENDER_NOT_ALLOWED),
    (M, "552 5.3.4 Message size exceeds fixed limit", R.MESSAGE_TOO_LARGE),
    (D, "552 5.3.4 Your message exceeded Google's message size limits.", R.MESSAGE_TOO_LARGE),
    (D, "552 no", R.MESSAGE_TOO_LARGE),
    # Recipients
    (RC, "550 5.1.1 <x@example.com>: Recipient address rejected: User unknown in local recipient table", R.RECIPIENT_UNKNOWN),
    (RC, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", R.RECIPIENT_UNKNOWN),
    (RC, "551 user not local", R.RECIPIENT_UNKNOWN),
    (RC, "553 mailbox name not allowed", R.RECIPIENT_UNKNOWN),
    (RC, "550 no", R.RECIPIENT_UNKNOWN),
    (RC, "554 5.7.1 <x@example.com>: Relay access denied", R.RELAY_DENIED),
    (RC, "550 5.7.64 TenantAttribution; Relay Access Denied", R.RELAY_DENIED),
    (RC, "550 5.7.1 Relaying denied", R.RELAY_DENIED),
    (RC, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", R.RELAY_DENIED),
    (RC, "450 4.2.0 <x@example.com>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/", R.GREYLISTED),
    (RC, "451 4.7.1 Greylisting in action, please come back later", R.GREYLISTED),
    (RC, "450 4.7.1 wait", R.GREYLISTED),
    (RC, "452 4.5.3 Error: too many recipients", R.TOO_MANY_RECIPIENTS),
    (RC, "552 too many recipients", R.TOO_MANY_RECIPIENTS),
    (RC, "452 4.2.2 The email account that you tried to reach is over quota", R.MAILBOX_FULL),
    (RC, "552 5.2.2 The email account that you tried to reach is over quota", R.MAILBOX_FULL),
    (RC, "553 5.6.7 needs SMTPUTF8", R.ADDRESS_NOT_SUPPORTED),
    # Any stage
    (RC, "421 4.7.0 too many errors", R.RATE_LIMITED),
    (D, "421 4.4.5 Too many sessions", R.RATE_LIMITED),
    (RC, "451 4.7.500 Server busy. Please try again later", R.RATE_LIMITED),
    (A, "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", R.RATE_LIMITED),
    (D, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", R.RATE_LIMITED),
    (D, "454 Throttling failure: Maximum sending rate exceeded.", R.RATE_LIMITED),
    (RC, "450 4.2.1 Peak SMTP relay limit exceeded for customer.", R.RATE_LIMITED),
    (RC, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that", R.RATE_LIMITED),
    (M, "550 5.4.5 Daily user sending quota exceeded.", R.QUOTA_EXCEEDED),
    (D, "550 5.4.5 Daily SMTP relay limit exceeded", R.QUOTA_EXCEEDED),
    (D, f"554 {STOREDRV}SubmissionQuotaExceededException.MapiExceptionShutoffQuotaExceeded", R.QUOTA_EXCEEDED),
    (D, "454 Throttling failure: Daily message quota exceeded.", R.QUOTA_EXCEEDED),
    (A, "451 Authentication failed: Maximum credits exceeded", R.QUOTA_EXCEEDED),
    (RC, "421 Sandbox subdomains are for test purposes only. Please add your own domain", R.PROVIDER_ACCOUNT_RESTRICTED),
    (D, "554 Sandbox subdomains are for test purposes only. Please add your own domain", R.PROVIDER_ACCOUNT_RESTRICTED),
    (M, "421 Domain mg.example.com is not allowed to send: The domain is unverified", R.PROVIDER_ACCOUNT_RESTRICTED),
    (M, "550 5.1.8 Access denied, bad outbound sender", R.PROVIDER_ACCOUNT_RESTRICTED),
    (M, "550 5.7.501 Access denied, spam abuse detected", R.PROVIDER_ACCOUNT_RESTRICTED),
    (M, "550 5.7.503 Access denied, banned sender", R.PROVIDER_ACCOUNT_RESTRICTED),
    (M, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP", R.PROVIDER_ACCOUNT_RESTRICTED),
    (D, f"554 {STOREDRV}OutboundSpamException; WASCL UserAction verdict is not None", R.PROVIDER_ACCOUNT_RESTRICTED),
    (A, "502 5.7.0 Your account is not yet activated", R.PROVIDER_ACCOUNT_RESTRICTED),
    # DATA
    (D, "550 5.7.1 Our system has detected that this message is likely unsolicited mail", R.CONTENT_REJECTED),
    (D, "554 5.7.1 Spam message rejected", R.CONTENT_REJECTED),
    (D, "552 5.7.0 This message was blocked because its content presents a potential security issue", R.CONTENT_REJECTED),
    (D, "550 5.7.26 This mail has been blocked because the sender is unauthenticated.", R.DOMAIN_AUTHENTICATION_FAILED),
    (D, "550 5.7.27 SPF did not pass", R.DOMAIN_AUTHENTICATION_FAILED),
    (D, "550 5.7.30 DKIM did not pass", R.DOMAIN_AUTHENTICATION_FAILED),
    (D, "550 5.7.515 Access denied, sending domain example.com doesn't meet the required authentication level.", R.DOMAIN_AUTHENTICATION_FAILED),
    # What has no better name
    (D, "451 4.3.0 queue file write error", R.TEMPORARY_FAILURE),
    (D, "554 5.3.0 Transaction failed", R.PERMANENT_FAILURE),
    (M, "503 5.5.1 bad sequence of commands", R.PERMANENT_FAILURE),
    (M, "354 go on", R.PROTOCOL_VIOLATION),
    (RC, "999 what", R.PROTOCOL_VIOLATION),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "reply", "reason"), ROWS)
def test_each_reply_of_the_taxonomy_has_its_reason(stage, reply, reason):
    code, _, text = reply.partition(" ")
    found = classify_reply(stage, int(code), [text])
    assert found.reason is reason
    assert found.stage is stage
    assert found.chain == (reply,)
    assert reply in found.message or found.message.endswith("…")
    assert found.remedies


@pytest.mark.parametrize(
    ("reply", "mechanism", "reason"),
    [
        ("535 5.7.3 Authentication unsuccessful", Mechanism.XOAUTH2, R.OAUTH_TOKEN_REJECTED),
        ("535 5.7.8 Username and Password not accepted", Mechanism.OAUTHBEARER, R.OAUTH_TOKEN_REJECTED),
        ("535 no", Mechanism.XOAUTH2, R.OAUTH_TOKEN_REJECTED),
        ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", Mechanism.XOAUTH2, R.SMTP_AUTH_DISABLED),
        ("535 5.7.3 Authentication unsuccessful", Mechanism.PLAIN, R.CREDENTIALS_REJECTED),
    ],
)  # fmt: skip
def test_the_same_refusal_means_another_thing_for_a_token_than_for_a_password(reply, mechanism, reason):
    code, _, text = reply.partition(" ")
    assert classify_reply(A, int(code), [text], ReplyContext(mechanism=mechanism)).reason is reason


@pytest.mark.parametrize(
    ("stage", "reply", "retry", "is_permanent"),
    [
        (A, "535 5.7.8 no", RetryClass.C, True),
        (A, "454 4.7.0 later", RetryClass.B, False),
        (RC, "552 5.2.2 full", RetryClass.B, True),
        (RC, "452 4.2.2 full", RetryClass.B, False),
        (T, "454 4.7.0 no", RetryClass.B, False),
        (T, "554 5.7.0 no", RetryClass.B, True),
        (RC, "550 5.1.1 no", RetryClass.NEVER, True),
        (RC, "451 4.7.1 greylisted", RetryClass.GREYLIST, False),
        (RC, "452 4.5.3 too many recipients", RetryClass.NOW, False),
        (D, "550 5.4.5 quota", RetryClass.D, False),
        (D, "554 5.3.0 no", RetryClass.NEVER, True),
        (M, "503 5.5.1 no", RetryClass.C, True),
        (D, "451 4.3.0 later", RetryClass.A, False),
    ],
)
def test_each_reason_says_when_another_try_is_worth_it(stage, reply, retry, is_permanent):
    code, _, text = reply.partition(" ")
    found = classify_reply(stage, int(code), [text])
    assert (found.retry, found.is_permanent) == (retry, is_permanent)


def test_the_greeting_of_another_service_is_not_repeated():
    found = classify_reply(G, 200, ["news.internal InterNetNews ready, token abc"])
    assert found.reason is R.NOT_AN_SMTP_SERVER
    assert found.chain == ("200 is no SMTP greeting",)
    assert "InterNetNews" not in repr(found)


def test_every_reason_that_a_stage_can_end_in_has_a_nature():
    for reason in (
        R.STARTTLS_NOT_OFFERED,
        R.STARTTLS_STRIPPED,
        R.TLS_ON_PLAINTEXT_PORT,
        R.AUTH_NOT_OFFERED,
        R.DELIVERY_OUTCOME_UNKNOWN,
    ):
        assert fault(H, reason, detail="because").message == f"{reason.doc[:-1]}: because"


def test_an_enhanced_code_of_another_class_is_not_believed():
    assert enhanced_code(535, "5.7.8 no") == "5.7.8"
    assert enhanced_code(451, "5.7.8 no") is None
    assert enhanced_code(250, "2.1.0 ok") == "2.1.0"
    assert enhanced_code(535, "see 5.7.8") is None
    assert enhanced_code(535, "5.7.8888 no") is None


def test_a_reply_of_several_lines_is_told_in_one_and_repeats_its_code_once():
    lines = [
        "5.7.8 Username and Password not accepted. For more information, go to",
        "5.7.8  https://support.google.com/mail/?p=BadCredentials",
    ]
    told = reply_line(535, lines)
    assert (
        told
        == "535 5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials"
    )


def test_the_error_in_a_token_challenge_is_quoted_by_field():
    found = classify_challenge('{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}')
    assert found.reason is R.OAUTH_TOKEN_REJECTED
    assert found.chain == ("334 schemes=bearer scope=https://mail.google.com/ status=401",)


@pytest.mark.parametrize("garbage", ["", "not json", "[1]", "[" * 100_000, '"text"'])
def test_a_token_challenge_that_is_garbage_is_still_one_fault(garbage):
    found = classify_challenge(garbage)
    assert found.reason is R.OAUTH_TOKEN_REJECTED
    assert found.chain == ("334 no readable error",)


LINES = st.lists(st.text(max_size=200), max_size=5)


@given(
    st.sampled_from(StageName), st.integers(min_value=-1, max_value=1000), LINES, st.sampled_from([None, *Mechanism])
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_server_says_becomes_exactly_one_bounded_fault(stage, code, lines, mechanism):
    found = classify_reply(stage, code, lines, ReplyContext(host="smtp.example.com", port=587, mechanism=mechanism))
    assert found.reason in R
    assert len(found.message) <= 512
    assert found.message.isprintable()
    assert all(entry.isprintable() and len(entry.encode()) <= 1024 for entry in found.chain)
    assert found.remedies
