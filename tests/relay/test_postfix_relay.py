"""The session against Postfix 3.7: a real server's dialect for logins, TLS, sender ownership, relaying, greylisting and delivery."""

import asyncio
import time
from dataclasses import replace

import pytest

from relay.postfix import GREYLISTED, MAILBOX, OTHER_USER, SIZE_LIMIT, Postfix
from smtprig import CANARY, USER, Authority, check_no_secret, check_report, dialer, password
from smtprig import relay as loopback
from watchbell.api.reasons import Reason
from watchbell.smtp.model import (
    Envelope,
    Level,
    Mechanism,
    RecipientOutcome,
    Relay,
    RetryClass,
    StageName,
    StageResult,
    SubmitReport,
    TlsMode,
    TlsPlan,
)
from watchbell.smtp.probe import deliver, probe
from watchbell.smtp.session import Session, StageLog, open_session
from watchbell.smtp.submit import submit

ACCEPTED, REFUSED, DEFERRED = RecipientOutcome.ACCEPTED, RecipientOutcome.REFUSED, RecipientOutcome.DEFERRED


async def _yes() -> bool:
    return True


@pytest.fixture
def submission(postfix: Postfix, authority: Authority) -> Relay:
    """STARTTLS, a private CA and a login, as a Kubernetes user would have it."""
    tls = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem)
    return loopback(postfix.ports["submission"], tls=tls, auth=password(plaintext_allowed=False))


@pytest.fixture
def smtps(postfix: Postfix, submission: Relay) -> Relay:
    return replace(submission, port=postfix.ports["smtps"], tls=replace(submission.tls, mode=TlsMode.IMPLICIT))


@pytest.fixture
def exchanger(postfix: Postfix) -> Relay:
    """A relay without TLS and login, as a cluster's own one may be."""
    return loopback(postfix.ports["plain"])


async def sent(target: Relay, recipients: tuple[str, ...], payload: bytes, sender: str = USER) -> SubmitReport:
    session = await open_session(target, dialer(), StageLog())
    assert isinstance(session, Session), session
    report = await submit(session, Envelope(sender, recipients), payload, _yes)
    await session.quit()
    check_no_secret(report)
    return report


def letter(marker: str, body: bytes = b"hello\r\n") -> bytes:
    """A message with all the headers that a server would else add."""
    headers = (
        f"From: {USER}",
        "Date: Sat, 21 Nov 2026 00:00:00 +0000",
        f"Subject: {marker}",
        f"Message-ID: <{marker}@example.com>",
    )
    return "\r\n".join((*headers, "", "")).encode() + body


@pytest.mark.parametrize("mechanism", [Mechanism.AUTO, Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.CRAM_MD5])
@pytest.mark.parametrize("mode", [TlsMode.START_TLS, TlsMode.IMPLICIT])
async def test_the_right_password_logs_in_with_every_mechanism(submission, smtps, mode, mechanism):
    target = submission if mode is TlsMode.START_TLS else smtps
    target = replace(target, auth=password(mechanism=mechanism, plaintext_allowed=False))

    report = await probe(target, dialer(), Level.SENDER)

    assert report.fault is None
    check_no_secret(report)
    assert report.server.tls is not None
    assert report.server.tls.version == "TLSv1.3"
    assert report.server.max_message_bytes == SIZE_LIMIT
    assert set(report.server.auth_mechanisms) == {"PLAIN", "LOGIN", "CRAM-MD5"}


@pytest.mark.parametrize("mechanism", [Mechanism.PLAIN, Mechanism.LOGIN, Mechanism.CRAM_MD5])
async def test_a_wrong_password_is_tried_once_and_called_by_its_name(postfix, submission, mechanism):
    failed, one_try = f"SASL {mechanism_name(mechanism)} authentication failed", " auth=0/1 "
    before = postfix.log()

    report = await probe(
        replace(submission, auth=password("wr0ng-passw0rd", mechanism=mechanism)), dialer(), Level.AUTHENTICATE
    )

    check_report(report)
    assert report.fault is not None
    assert (report.fault.stage, report.fault.reason) == (StageName.AUTHENTICATE, Reason.CREDENTIALS_REJECTED)
    assert (report.fault.code, report.fault.enhanced_code) == (535, "5.7.8")
    assert "wr0ng-passw0rd" not in repr(report)
    # The session's last line counts its logins (`disconnect from … auth=0/1`): two tries would stand there as 0/2.
    # In a thread, since the client's side closes only while the loop runs.
    log = await asyncio.to_thread(postfix.log_with, one_try, before.count(one_try) + 1)
    assert log.count(failed) == before.count(failed) + 1


def mechanism_name(mechanism: Mechanism) -> str:
    return "CRAM-MD5" if mechanism is Mechanism.CRAM_MD5 else mechanism.value.upper()


async def test_without_the_private_ca_the_certificate_is_not_trusted(submission):
    report = await probe(replace(submission, tls=TlsPlan(mode=TlsMode.START_TLS)), dialer(), Level.SENDER)

    check_report(report)
    assert report.fault is not None
    assert report.fault.reason is Reason.CERTIFICATE_UNTRUSTED
    assert report.server.tls is not None
    assert "trustme" in report.server.tls.issuer


async def test_the_wrong_tls_mode_for_the_port_is_told_both_ways(postfix, submission, smtps):
    implicit_on_submission = await probe(replace(smtps, port=postfix.ports["submission"]), dialer(), Level.TLS)
    quick = replace(submission.timeouts, greeting_s=1.0)
    start_tls_on_smtps = await probe(
        replace(submission, port=postfix.ports["smtps"], timeouts=quick), dialer(), Level.TLS
    )

    assert implicit_on_submission.fault is not None
    assert implicit_on_submission.fault.reason is Reason.PLAINTEXT_ON_TLS_PORT
    assert start_tls_on_smtps.fault is not None
    assert start_tls_on_smtps.fault.reason is Reason.TLS_ON_PLAINTEXT_PORT


async def test_a_server_without_tls_is_told_and_gets_no_password(postfix, submission, exchanger):
    report = await probe(replace(submission, port=exchanger.port), dialer(), Level.AUTHENTICATE)

    check_report(report)
    assert report.fault is not None
    assert report.fault.reason is Reason.STARTTLS_NOT_OFFERED


async def test_a_login_where_none_is_offered_is_a_failure(exchanger):
    report = await probe(replace(exchanger, auth=password()), dialer(), Level.AUTHENTICATE)

    assert report.fault is not None
    assert report.fault.reason is Reason.AUTH_NOT_OFFERED


async def test_a_sender_owned_by_somebody_else_is_refused_at_mail_from(smtps):
    """This port judges at once (smtpd_delay_reject=no), so the Sender probe finds it."""
    report = await probe(replace(smtps, mail_from=OTHER_USER), dialer(), Level.SENDER)

    check_report(report)
    assert report.fault is not None
    assert (report.fault.stage, report.fault.reason) == (StageName.SENDER, Reason.SENDER_NOT_ALLOWED)
    assert (report.fault.code, report.fault.enhanced_code) == (553, "5.7.1")


async def test_a_sender_owned_by_somebody_else_is_refused_at_the_recipient_by_default(submission):
    """Postfix's default is to say so only at RCPT: the reason is the sender all the same, and not an unknown recipient."""
    report = await sent(submission, (MAILBOX,), letter("not-mine"), sender=OTHER_USER)

    (result,) = report.recipients
    assert result.fault is not None
    assert result.code == 553
    assert result.fault.reason is Reason.SENDER_NOT_ALLOWED


async def test_mail_for_elsewhere_is_not_relayed_without_a_login(exchanger):
    report = await sent(exchanger, ("someone@elsewhere.example",), letter("elsewhere"))

    (result,) = report.recipients
    assert result.outcome is REFUSED
    assert result.fault is not None
    assert result.fault.reason is Reason.RELAY_DENIED
    assert result.fault.chain[0].startswith("554 5.7.1 <someone@elsewhere.example>: Relay access denied")


async def test_an_unknown_recipient_does_not_keep_the_mail_from_the_others(postfix, submission):
    report = await sent(submission, ("nobody@example.com", MAILBOX), letter("mixed"))

    assert [result.outcome for result in report.recipients] == [REFUSED, ACCEPTED]
    assert report.recipients[0].fault is not None
    assert report.recipients[0].fault.reason is Reason.RECIPIENT_UNKNOWN
    assert report.server_response.startswith("250 2.0.0 Ok: queued as ")
    assert postfix.mail_with("inbox", b"Subject: mixed")


async def test_greylisting_defers_first_and_accepts_later(postfix, exchanger):
    first = await sent(exchanger, (GREYLISTED, MAILBOX), letter("grey-1"))
    second = await sent(exchanger, (GREYLISTED,), letter("grey-2"))

    assert [result.outcome for result in first.recipients] == [DEFERRED, ACCEPTED]
    assert first.recipients[0].fault is not None
    assert first.recipients[0].fault.reason is Reason.GREYLISTED
    assert first.recipients[0].fault.retry is RetryClass.GREYLIST
    assert [result.outcome for result in second.recipients] == [ACCEPTED]
    assert postfix.mail_with("grey", b"Subject: grey-2")


async def test_a_message_over_the_limit_is_not_sent_and_the_limit_is_named(postfix, submission):
    report = await sent(submission, (MAILBOX,), letter("too-big", b"x" * 900 + b"\r\n" * SIZE_LIMIT))

    assert report.fault is not None
    assert report.fault.reason is Reason.MESSAGE_TOO_LARGE
    assert str(SIZE_LIMIT) in report.fault.message
    assert [result.outcome for result in report.recipients] == [REFUSED]


BODY = (
    b".\r\n..\r\n.leading dot\r\n"
    + b"a long line " * 80
    + b"\r\n\r\n"
    + b"line\r\n" * 2000
    + b"From the start of a line\r\n.\r\n"
)


@pytest.mark.parametrize("name", ["submission", "smtps", "exchanger"])
async def test_a_mail_lies_in_the_mailbox_byte_for_byte(postfix, name, request):
    target: Relay = request.getfixturevalue(name)
    payload = letter(f"exact-{name}", BODY)

    report = await sent(target, (MAILBOX,), payload)

    assert report.fault is None
    mail = postfix.mail_with("inbox", f"Subject: exact-{name}".encode())
    start = mail.index(b"From: " + USER.encode())
    assert mail[start:] == payload.replace(b"\r\n", b"\n")


async def test_one_connection_carries_a_whole_queue_each_mail_once(postfix, submission):
    session = await open_session(submission, dialer(), StageLog())
    assert isinstance(session, Session)
    for number in range(50):
        report = await submit(session, Envelope(USER, (MAILBOX,)), letter(f"queue-{number:03}"), _yes)
        assert report.fault is None
    await session.quit()

    postfix.mail_with("inbox", b"Subject: queue-049")
    for number in range(50):
        postfix.mail_with("inbox", f"Subject: queue-{number:03}".encode())
    everything = b"".join(postfix.mails("inbox"))
    assert everything.count(b"Subject: queue-") == 50
    assert session.messages_sent == 50


async def test_a_delivery_shows_what_the_first_hop_said_and_no_more(submission):
    report = await deliver(submission, dialer(), Envelope(USER, (MAILBOX,)), letter("test-mail"))

    assert report.fault is None
    assert [stage.name for stage in report.stages if stage.result is StageResult.PASSED][-2:] == [
        StageName.RECIPIENT,
        StageName.DATA,
    ]
    assert any("Ok: queued as" in line for line in report.transcript)
    assert not any(line.startswith("C: AUTH") for line in report.transcript)
    check_no_secret(report)
    assert CANARY not in "\n".join(report.transcript)


async def test_a_delayed_greeting_is_waited_for(postfix):
    target = loopback(postfix.ports["strict"])
    started = time.monotonic()

    report = await probe(target, dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert time.monotonic() - started >= 1


async def test_the_name_policy_refuses_a_bad_name_and_takes_a_literal(postfix):
    refused = await probe(loopback(postfix.ports["strict"], hello_name="bad.example.com"), dialer(), Level.AUTHENTICATE)
    literal = await probe(loopback(postfix.ports["strict"], hello_name="pod-7d9f"), dialer(), Level.AUTHENTICATE)

    assert refused.fault is not None
    assert (refused.fault.stage, refused.fault.reason) == (StageName.HELLO, Reason.EHLO_REJECTED)
    assert literal.fault is None
    assert "C: EHLO [127.0.0.1]" in literal.transcript


async def test_too_many_connections_are_a_busy_server_and_worth_another_try(postfix):
    target = loopback(postfix.ports["crowded"])
    first = await open_session(target, dialer(), StageLog())
    assert isinstance(first, Session)
    second = await probe(target, dialer(), Level.AUTHENTICATE)
    await first.quit()

    assert second.fault is not None
    assert second.fault.code == 421
    assert second.fault.retry is RetryClass.B
    assert not second.fault.is_permanent
