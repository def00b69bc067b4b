# ruff: noqa: E501 - a row of a table stays on its line
"""Each row of the taxonomy that starts without a reply: DNS, errnos, TLS, silence, broken protocol; and the sentences people search for."""

import errno
import socket
import ssl

import aiosmtplib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext, context_of
from watchbell.smtp.model import AuthPlan, Grant, OAuthPlan, Relay, RetryClass, StageName, TlsMode, TlsPlan
from watchbell.smtp.verdict import Breakage, BreakageKind, classify_breakage

K = BreakageKind
S = StageName
HERE = ReplyContext(host="smtp.example.com", port=587, address="192.168.1.50")
IMPLICIT = ReplyContext(host="smtp.example.com", port=465, tls_mode=TlsMode.IMPLICIT, address="192.168.1.50")
PORT_25 = ReplyContext(host="smtp.example.com", port=25, address="192.168.1.50")
FRESH = ReplyContext(host="smtp.example.com", port=465, is_fresh_tls=True)

ROWS = [
    (S.RESOLVE, Breakage(K.DNS, "NXDOMAIN"), HERE, R.HOST_NOT_FOUND, "lookup smtp.example.com: no such host (NXDOMAIN)"),
    (S.RESOLVE, Breakage(K.DNS, "EAI_NONAME"), HERE, R.HOST_NOT_FOUND, "lookup smtp.example.com: no such host (EAI_NONAME)"),
    (S.RESOLVE, Breakage(K.DNS, "NODATA"), HERE, R.HOST_HAS_NO_ADDRESS, "lookup smtp.example.com: no A or AAAA record (NODATA)"),
    (S.RESOLVE, Breakage(K.DNS, "SERVFAIL"), HERE, R.DNS_TEMPORARY_FAILURE, "lookup smtp.example.com: server misbehaving (SERVFAIL)"),
    (S.RESOLVE, Breakage(K.DNS, "REFUSED"), HERE, R.DNS_TEMPORARY_FAILURE, "lookup smtp.example.com: server refused the query (REFUSED)"),
    (S.RESOLVE, Breakage(K.DNS, "TIMEOUT"), HERE, R.DNS_TEMPORARY_FAILURE, "lookup smtp.example.com: i/o timeout (TIMEOUT)"),
    (S.RESOLVE, Breakage(K.DNS, "EAI_AGAIN"), HERE, R.DNS_TEMPORARY_FAILURE, "lookup smtp.example.com: temporary failure in name resolution (EAI_AGAIN)"),
    (S.RESOLVE, Breakage(K.UNICODE), HERE, R.INVALID_HOST, "lookup smtp.example.com: invalid host name"),
    (S.CONNECT, Breakage(K.ERRNO, "ECONNREFUSED"), HERE, R.CONNECTION_REFUSED, "dial tcp 192.168.1.50:587: connect: connection refused (ECONNREFUSED)"),
    (S.CONNECT, Breakage(K.ERRNO, "ETIMEDOUT"), HERE, R.CONNECTION_TIMED_OUT, "dial tcp 192.168.1.50:587: connect: connection timed out (ETIMEDOUT)"),
    (S.CONNECT, Breakage(K.TIMEOUT), HERE, R.CONNECTION_TIMED_OUT, "dial tcp 192.168.1.50:587: connect: connection timed out (ETIMEDOUT)"),
    (S.CONNECT, Breakage(K.TIMEOUT), PORT_25, R.OUTBOUND_SMTP_BLOCKED, "dial tcp 192.168.1.50:25: connect: connection timed out (ETIMEDOUT)"),
    (S.CONNECT, Breakage(K.ERRNO, "EHOSTUNREACH"), HERE, R.NO_ROUTE_TO_HOST, "dial tcp 192.168.1.50:587: connect: no route to host (EHOSTUNREACH)"),
    (S.CONNECT, Breakage(K.ERRNO, "ENETUNREACH"), HERE, R.NO_ROUTE_TO_HOST, "dial tcp 192.168.1.50:587: connect: network is unreachable (ENETUNREACH)"),
    (S.CONNECT, Breakage(K.ERRNO, "EPERM"), HERE, R.CONNECT_DENIED_LOCALLY, "dial tcp 192.168.1.50:587: connect: operation not permitted (EPERM)"),
    (S.CONNECT, Breakage(K.ERRNO, "EACCES"), HERE, R.CONNECT_DENIED_LOCALLY, "dial tcp 192.168.1.50:587: connect: permission denied (EACCES)"),
    (S.CONNECT, Breakage(K.ERRNO, "ECONNRESET"), HERE, R.CONNECTION_RESET, "dial tcp 192.168.1.50:587: connect: connection reset by peer (ECONNRESET)"),
    (S.HELLO, Breakage(K.ERRNO, "EPIPE"), HERE, R.CONNECTION_RESET, "read tcp 192.168.1.50:587: broken pipe (EPIPE)"),
    (S.TLS, Breakage(K.TLS, "WRONG_VERSION_NUMBER"), IMPLICIT, R.PLAINTEXT_ON_TLS_PORT, "tls: first record does not look like a TLS handshake (WRONG_VERSION_NUMBER)"),
    (S.TLS, Breakage(K.TLS, "RECORD_LAYER_FAILURE"), IMPLICIT, R.PLAINTEXT_ON_TLS_PORT, "tls: first record does not look like a TLS handshake (RECORD_LAYER_FAILURE)"),
    (S.TLS, Breakage(K.TLS, "WRONG_VERSION_NUMBER"), HERE, R.TLS_HANDSHAKE_FAILED, "tls: first record does not look like a TLS handshake (WRONG_VERSION_NUMBER)"),
    (S.GREETING, Breakage(K.NOT_SMTP, "TLS"), HERE, R.TLS_ON_PLAINTEXT_PORT, "read tcp 192.168.1.50:587: not an SMTP server (it looks like TLS)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=20), HERE, R.CERTIFICATE_UNTRUSTED, "tls: failed to verify certificate: unable to get local issuer certificate: certificate signed by unknown authority (X509_V_ERR 20)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=19), HERE, R.CERTIFICATE_UNTRUSTED, "tls: failed to verify certificate: self-signed certificate in certificate chain (X509_V_ERR 19)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=21), HERE, R.CERTIFICATE_UNTRUSTED, "tls: failed to verify certificate: unable to verify the first certificate (X509_V_ERR 21)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=18), HERE, R.CERTIFICATE_SELF_SIGNED, "tls: failed to verify certificate: self-signed certificate (X509_V_ERR 18)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=10), HERE, R.CERTIFICATE_EXPIRED, "tls: failed to verify certificate: certificate has expired (X509_V_ERR 10)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=9), HERE, R.CERTIFICATE_NOT_YET_VALID, "tls: failed to verify certificate: certificate is not yet valid (X509_V_ERR 9)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=62), ReplyContext(host="relay", certificate_names=("a.example", "b.example")), R.CERTIFICATE_NAME_MISMATCH, "tls: failed to verify certificate: x509: certificate is valid for a.example, b.example, not relay (X509_V_ERR 62)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=62), ReplyContext(host="10.0.0.1", server_name="mx.example", certificate_names=("a.example",)), R.CERTIFICATE_NAME_MISMATCH, "tls: failed to verify certificate: x509: certificate is valid for a.example, not mx.example (X509_V_ERR 62)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=64), HERE, R.CERTIFICATE_NAME_MISMATCH, "tls: failed to verify certificate: x509: certificate is valid for other names, not smtp.example.com (X509_V_ERR 64)"),
    (S.TLS, Breakage(K.CERTIFICATE, verify_code=85, text="Missing Authority Key Identifier"), HERE, R.CERTIFICATE_INVALID, "tls: failed to verify certificate: Missing Authority Key Identifier (X509_V_ERR 85)"),
    (S.TLS, Breakage(K.TLS, "TLSV1_ALERT_PROTOCOL_VERSION"), HERE, R.TLS_VERSION_TOO_OLD, "tls: handshake failure: tlsv1 alert protocol version (TLSV1_ALERT_PROTOCOL_VERSION)"),
    (S.TLS, Breakage(K.TLS, "UNSUPPORTED_PROTOCOL"), HERE, R.TLS_VERSION_TOO_OLD, "tls: handshake failure: unsupported protocol (UNSUPPORTED_PROTOCOL)"),
    (S.TLS, Breakage(K.TLS, "SSLV3_ALERT_HANDSHAKE_FAILURE"), HERE, R.NO_SHARED_CIPHER, "tls: handshake failure: sslv3 alert handshake failure (SSLV3_ALERT_HANDSHAKE_FAILURE)"),
    (S.TLS, Breakage(K.TLS, "TLSV13_ALERT_CERTIFICATE_REQUIRED"), HERE, R.CLIENT_CERTIFICATE_REQUIRED, "tls: handshake failure: tlsv13 alert certificate required (TLSV13_ALERT_CERTIFICATE_REQUIRED)"),
    (S.TLS, Breakage(K.TLS, "TLSV1_UNRECOGNIZED_NAME"), HERE, R.CERTIFICATE_NAME_MISMATCH, "tls: handshake failure: tlsv1 unrecognized name (TLSV1_UNRECOGNIZED_NAME)"),
    (S.GREETING, Breakage(K.EOF), FRESH, R.CLIENT_CERTIFICATE_REQUIRED, "read tcp smtp.example.com:465: EOF"),
    (S.HELLO, Breakage(K.TLS, "TLSV13_ALERT_CERTIFICATE_REQUIRED"), FRESH, R.CLIENT_CERTIFICATE_REQUIRED, "read tcp smtp.example.com:465: tlsv13 alert certificate required (TLSV13_ALERT_CERTIFICATE_REQUIRED)"),
    (S.TLS, Breakage(K.EOF), HERE, R.TLS_HANDSHAKE_FAILED, "tls: handshake failure: EOF"),
    (S.TLS, Breakage(K.ERRNO, "ECONNRESET"), HERE, R.TLS_HANDSHAKE_FAILED, "tls: handshake failure: connection reset by peer (ECONNRESET)"),
    (S.TLS, Breakage(K.TIMEOUT), HERE, R.TLS_HANDSHAKE_FAILED, "tls: handshake failure: i/o timeout"),
    (S.TLS, Breakage(K.PROTOCOL, "bytes before the handshake"), HERE, R.PROTOCOL_VIOLATION, "tls: handshake failure: protocol violation: bytes before the handshake"),
    (S.GREETING, Breakage(K.NOT_SMTP, "SSH"), HERE, R.NOT_AN_SMTP_SERVER, "read tcp 192.168.1.50:587: not an SMTP server (it looks like SSH)"),
    (S.GREETING, Breakage(K.EOF), HERE, R.CLOSED_BEFORE_GREETING, "read tcp 192.168.1.50:587: EOF"),
    (S.GREETING, Breakage(K.TIMEOUT), HERE, R.GREETING_TIMED_OUT, "read tcp 192.168.1.50:587: i/o timeout"),
    (S.GREETING, Breakage(K.ERRNO, "ECONNRESET"), HERE, R.CONNECTION_RESET, "read tcp 192.168.1.50:587: connection reset by peer (ECONNRESET)"),
    (S.TOKEN, Breakage(K.TIMEOUT), HERE, R.OAUTH_UNAVAILABLE, "read tcp 192.168.1.50:587: i/o timeout"),
    (S.AUTHENTICATE, Breakage(K.TIMEOUT), HERE, R.COMMAND_TIMED_OUT, "read tcp 192.168.1.50:587: i/o timeout"),
    (S.RECIPIENT, Breakage(K.EOF), HERE, R.CONNECTION_CLOSED, "read tcp 192.168.1.50:587: EOF"),
    (S.RECIPIENT, Breakage(K.PROTOCOL, "two replies at once"), HERE, R.PROTOCOL_VIOLATION, "read tcp 192.168.1.50:587: protocol violation: two replies at once"),
    (S.SENDER, Breakage(K.OTHER, "SMTPException"), HERE, R.TEMPORARY_FAILURE, "read tcp 192.168.1.50:587: SMTPException"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "breakage", "context", "reason", "headline"), ROWS)
def test_each_failure_without_a_reply_has_its_reason_and_its_sentence(stage, breakage, context, reason, headline):
    found = classify_breakage(stage, breakage, context)
    assert found.reason is reason
    assert found.chain[0] == headline
    assert headline in found.message
    assert found.remedies


def test_a_connection_lost_after_the_final_dot_leaves_the_outcome_unknown():
    found = classify_breakage(S.DATA, Breakage(K.EOF), HERE, is_body_sent=True)
    assert (found.reason, found.is_permanent, found.retry) == (R.DELIVERY_OUTCOME_UNKNOWN, False, RetryClass.B)


def test_a_refused_client_certificate_is_not_suspected_of_one_that_was_given():
    given_one = ReplyContext(host="smtp.example.com", port=465, is_fresh_tls=True, has_client_certificate=True)
    assert classify_breakage(S.GREETING, Breakage(K.EOF), given_one).reason is R.CLOSED_BEFORE_GREETING


@given(st.sampled_from(StageName), st.sampled_from(BreakageKind), st.text(max_size=40), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_every_breakage_at_every_stage_is_exactly_one_fault(stage, kind, name, verify_code):
    found = classify_breakage(stage, Breakage(kind, name, verify_code), HERE)
    assert found.remedies
    assert found.chain
    assert found.message.isprintable()


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def unverified(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    error.verify_message = "self-signed certificate"
    return error


def ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] no")
    error.reason = reason
    return error


EXCEPTIONS = [
    (caused(aiosmtplib.SMTPConnectError("no"), unverified(18)), K.CERTIFICATE, ""),
    (ssl_error("WRONG_VERSION_NUMBER"), K.TLS, "WRONG_VERSION_NUMBER"),
    (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), K.EOF, ""),
    (socket.gaierror(socket.EAI_AGAIN, "again"), K.DNS, "EAI_AGAIN"),
    (UnicodeError("label empty or too long"), K.UNICODE, ""),
    (aiosmtplib.SMTPResponseException(-1, "Malformed SMTP response line: secret-banner"), K.NOT_SMTP, ""),
    (aiosmtplib.SMTPConnectTimeoutError("Timed out waiting for server ready message"), K.TIMEOUT, ""),
    (caused(aiosmtplib.SMTPConnectError("no"), aiosmtplib.SMTPServerDisconnected("gone")), K.EOF, ""),
    (aiosmtplib.SMTPServerDisconnected("Unexpected EOF received"), K.EOF, ""),
    (caused(aiosmtplib.SMTPServerDisconnected("gone"), ConnectionResetError()), K.ERRNO, "ECONNRESET"),
    (BrokenPipeError(), K.ERRNO, "EPIPE"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), K.ERRNO, "EHOSTUNREACH"),
    (TimeoutError(), K.TIMEOUT, ""),
    (EOFError(), K.EOF, ""),
    (aiosmtplib.SMTPException("SMTP STARTTLS extension not supported"), K.OTHER, "SMTPException"),
]


@pytest.mark.parametrize(("error", "kind", "name"), EXCEPTIONS)
def test_each_exception_of_the_libraries_becomes_a_plain_value(error, kind, name):
    found = breakage_of(error)
    assert (found.kind, found.name) == (kind, name)
    assert found.chain[0].startswith(type(error).__name__)
    assert "secret-banner" not in repr(found)


def test_a_chain_of_causes_that_bites_its_tail_ends():
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first
    assert len(breakage_of(first).chain) == 2


def test_a_relay_gives_its_secrets_to_the_scrubber_and_shows_none():
    oauth = OAuthPlan(Grant.CLIENT_CREDENTIALS, "https://login.example", client_secret=Sensitive("hush-hush"))
    relay = Relay("smtp.example.com", 587, TlsPlan(), AuthPlan("alice", Sensitive("hunter2!"), oauth=oauth))
    context = context_of(relay)
    assert {secret.reveal() for secret in context.secrets} == {"hunter2!", "hush-hush"}
    assert "hunter2" not in repr(context)
    assert "hush" not in repr(context)
