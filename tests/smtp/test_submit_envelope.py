"""Who may send to whom: MAIL and RCPT, one result for each recipient, and nothing sent when nobody is left."""

import pytest

from smtprig import BYE, CANARY, GREET, OK, USER, Scripted, check_no_secret, dialer, ehlo, mail_server, password, relay
from watchbell.api.reasons import Reason
from watchbell.smtp.model import Envelope, Fault, Level, RecipientOutcome, Relay, RetryClass, StageName, SubmitReport
from watchbell.smtp.probe import deliver, probe
from watchbell.smtp.session import Session, StageLog, open_session
from watchbell.smtp.submit import submit

ACCEPTED, REFUSED, DEFERRED = RecipientOutcome.ACCEPTED, RecipientOutcome.REFUSED, RecipientOutcome.DEFERRED
MAIL = b"Subject: hello\r\n\r\nhello\r\n"
A, B, C = "a@example.com", "b@example.com", "c@example.com"
GO = b"354 go ahead\r\n"


async def yes() -> bool:
    return True


async def opened(target: Relay) -> Session:
    session = await open_session(target, dialer(), StageLog())
    assert isinstance(session, Session), session
    return session


async def sent(server: Scripted, *recipients: str, payload: bytes = MAIL, **changes) -> tuple[SubmitReport, Session]:
    session = await opened(relay(server.port, **changes))
    report = await submit(session, Envelope(USER, recipients), payload, yes)
    check_no_secret(report)
    assert [result.address for result in report.recipients] == list(recipients)
    assert all((result.fault is None) == (result.outcome is ACCEPTED) for result in report.recipients)
    return report, session


def talk(*steps, offers=()):
    return [GREET, "r", ehlo(*offers), *steps]


def outcomes(report: SubmitReport) -> list[RecipientOutcome]:
    return [result.outcome for result in report.recipients]


def reasons(report: SubmitReport) -> list[Reason | None]:
    return [result.fault.reason if result.fault else None for result in report.recipients]


SENDER_REFUSALS = [
    ("530 5.7.0 Authentication required", Reason.AUTHENTICATION_REQUIRED, REFUSED),
    ("530 5.7.57 Client not authenticated to send mail", Reason.AUTHENTICATION_REQUIRED, REFUSED),
    (
        "553 5.7.1 <alerts@example.com>: Sender address rejected: not owned by user bob",
        Reason.SENDER_NOT_ALLOWED,
        REFUSED,
    ),
    ("550 5.7.60 SMTP; Client does not have permissions to send as this sender", Reason.SENDER_NOT_ALLOWED, REFUSED),
    ("552 5.3.4 Message size exceeds fixed limit", Reason.MESSAGE_TOO_LARGE, REFUSED),
    ("451 4.3.0 queue file write error", Reason.TEMPORARY_FAILURE, DEFERRED),
    ("432 4.3.2 Concurrent connections limit exceeded", Reason.RATE_LIMITED, DEFERRED),
    ("454 Throttling failure: Maximum sending rate exceeded.", Reason.RATE_LIMITED, DEFERRED),
    ("454 Throttling failure: Daily message quota exceeded.", Reason.QUOTA_EXCEEDED, DEFERRED),
    ("550 5.4.5 Daily user sending limit exceeded.", Reason.QUOTA_EXCEEDED, DEFERRED),
    ("451 Authentication failed: Maximum credits exceeded", Reason.QUOTA_EXCEEDED, DEFERRED),
    ("550 5.1.8 Access denied, bad outbound sender", Reason.PROVIDER_ACCOUNT_RESTRICTED, REFUSED),
]


@pytest.mark.parametrize(("reply", "reason", "outcome"), SENDER_REFUSALS)
async def test_a_refused_sender_is_told_for_every_recipient(reply, reason, outcome):
    async with Scripted(talk("r", reply.encode() + b"\r\n", *BYE)) as server:
        report, session = await sent(server, A, B)
        await session.quit()

    assert report.fault is not None
    assert (report.fault.stage, report.fault.reason) == (StageName.SENDER, reason)
    assert outcomes(report) == [outcome, outcome]
    assert report.fault.code == int(reply[:3])
    assert server.commands[1:] == [f"MAIL FROM:<{USER}>", "QUIT"]


async def test_each_recipient_has_its_own_result_and_the_others_get_the_mail():
    replies = (
        OK,
        "r",
        b"250 2.1.5 a\r\n",
        "r",
        b"450 4.7.1 greylisted, come back\r\n",
        "r",
        b"550 5.1.1 no such user\r\n",
    )
    async with Scripted(talk("r", *replies, "r", GO, "data", b"250 2.0.0 queued as 4F2\r\n", *BYE)) as server:
        report, session = await sent(server, A, B, C)
        await session.quit()

    assert outcomes(report) == [ACCEPTED, DEFERRED, REFUSED]
    assert reasons(report) == [None, Reason.GREYLISTED, Reason.RECIPIENT_UNKNOWN]
    assert report.recipients[0].code == 250
    assert report.recipients[0].enhanced_code == "2.0.0"
    assert report.recipients[1].fault is not None
    assert report.recipients[1].fault.retry is RetryClass.GREYLIST
    assert report.server_response == "250 2.0.0 queued as 4F2"
    assert report.fault is None
    assert session.messages_sent == 1


RECIPIENT_REFUSALS = [
    ("550 5.1.1 user unknown", Reason.RECIPIENT_UNKNOWN),
    ("551 5.1.6 user moved", Reason.RECIPIENT_UNKNOWN),
    ("554 5.7.1 <a@example.com>: Relay access denied", Reason.RELAY_DENIED),
    ("550 5.7.64 TenantAttribution; Relay Access Denied", Reason.RELAY_DENIED),
    ("450 4.2.0 <a@example.com>: Recipient address rejected: Greylisted", Reason.GREYLISTED),
    ("452 4.2.2 mailbox full", Reason.MAILBOX_FULL),
    ("552 5.2.2 mailbox full", Reason.MAILBOX_FULL),
    ("553 5.6.7 address not supported", Reason.ADDRESS_NOT_SUPPORTED),
]


@pytest.mark.parametrize(("reply", "reason"), RECIPIENT_REFUSALS)
async def test_when_all_are_refused_the_transaction_is_reset_and_nothing_is_sent(reply, reason):
    refusal = reply.encode() + b"\r\n"
    async with Scripted(talk("r", OK, "r", refusal, "r", refusal, "r", OK, *BYE)) as server:
        report, session = await sent(server, A, B)
        is_usable = session.is_usable
        await session.quit()

    assert reasons(report) == [reason, reason]
    assert server.commands[-2:] == ["RSET", "QUIT"]
    assert "DATA" not in server.commands
    assert is_usable
    assert report.fault is None, "the recipients' faults are theirs, not the transaction's"


@pytest.mark.parametrize("reply", [b"452 4.5.3 too many recipients\r\n", b"552 too many recipients\r\n"])
async def test_what_is_too_many_for_one_transaction_is_left_for_the_next(reply):
    async with Scripted(talk("r", OK, "r", OK, "r", reply, "r", GO, "data", OK, *BYE)) as server:
        report, session = await sent(server, A, B, C)
        await session.quit()

    assert reasons(report) == [None, Reason.TOO_MANY_RECIPIENTS, Reason.TOO_MANY_RECIPIENTS]
    assert report.recipients[1].fault is not None
    assert report.recipients[1].fault.retry is RetryClass.NOW
    assert sum(line.startswith("RCPT") for line in server.commands) == 2, "the third is not even asked for"


async def test_a_reply_too_many_is_never_taken_for_the_next_recipients():
    async with Scripted(talk("r", OK, "r", OK + b"250 extra\r\n", "r", b"550 5.1.1 no\r\n", "hang")) as server:
        report, session = await sent(server, A, B, C)

    assert report.fault is not None
    assert report.fault.reason is Reason.PROTOCOL_VIOLATION
    assert outcomes(report) == [DEFERRED] * 3
    assert not session.is_usable
    assert len([line for line in server.commands if line.startswith("RCPT")]) == 1


async def test_a_reply_that_comes_late_ends_the_session_before_the_next_command():
    async with Scripted(talk("r", OK, "r", OK, b"250 extra\r\n", "r", OK, "hang")) as server:
        session = await opened(relay(server.port))
        await submit(session, Envelope(USER, (A,)), MAIL, yes)
        again = await submit(session, Envelope(USER, (A,)), MAIL, yes)

    assert again.fault is not None
    assert not session.is_usable


async def test_a_hang_up_between_recipients_defers_all():
    async with Scripted(talk("r", OK, "r", OK, "r", b"421 4.3.2 shutting down\r\n", "close")) as server:
        report, session = await sent(server, A, B, C)

    assert outcomes(report) == [DEFERRED] * 3
    assert report.fault is not None
    assert report.fault.code == 421
    assert not session.is_usable


async def test_a_message_over_the_servers_limit_is_not_even_announced():
    async with Scripted(talk(*BYE, offers=("SIZE 1000",))) as server:
        report, session = await sent(server, A, payload=b"x" * 1001)
        await session.quit()

    assert reasons(report) == [Reason.MESSAGE_TOO_LARGE]
    assert server.commands == ["EHLO operator.test", "QUIT"]
    assert report.fault is not None
    assert "1001 bytes" in report.fault.message


async def test_the_size_is_announced_where_the_server_knows_the_word():
    async with Scripted(talk("r", OK, "r", OK, "r", GO, "data", OK, *BYE, offers=("SIZE 0",))) as server:
        report, session = await sent(server, A)
        await session.quit()

    assert report.fault is None
    assert server.commands[1] == f"MAIL FROM:<{USER}> SIZE={len(MAIL)}"


async def test_smtputf8_is_used_only_if_needed_and_only_if_offered():
    wide = Envelope(USER, ("jörg@xn--mller-kva.example",), needs_smtputf8=True)
    async with Scripted(talk("r", OK, "r", OK, "r", GO, "data", OK, *BYE, offers=("SMTPUTF8",))) as server:
        session = await opened(relay(server.port))
        report = await submit(session, wide, MAIL, yes)
        await session.quit()
    async with Scripted(talk(*BYE)) as without:
        session = await opened(relay(without.port))
        refused = await submit(session, wide, MAIL, yes)
        await session.quit()

    assert report.fault is None
    assert server.commands[1:3] == [f"MAIL FROM:<{USER}> SMTPUTF8", "RCPT TO:<jörg@xn--mller-kva.example>"]
    assert reasons(refused) == [Reason.ADDRESS_NOT_SUPPORTED]
    assert without.commands == ["EHLO operator.test", "QUIT"]


async def test_the_null_sender_is_written_as_the_empty_path():
    async with Scripted(talk("r", OK, "r", OK, "r", GO, "data", OK, *BYE)) as server:
        session = await opened(relay(server.port))
        await submit(session, Envelope("", (A,)), MAIL, yes)
        await session.quit()

    assert server.commands[1] == "MAIL FROM:<>"


@pytest.mark.parametrize("address", ["a@b.c>\r\nRCPT TO:<evil@x.y", "a@b.c> SIZE=1", "a b@c.d", "a@b.c\r\nDATA"])
async def test_an_address_can_never_smuggle_a_command(address):
    async with Scripted(talk("r", OK, "hang")) as server:
        session = await opened(relay(server.port))
        with pytest.raises(ValueError, match="address on the wire"):
            await submit(session, Envelope(USER, (address,)), MAIL, yes)

    assert not session.is_usable
    assert server.commands[1:] == [f"MAIL FROM:<{USER}>"]


async def test_one_session_carries_many_messages(authority):
    async with mail_server(has_auth=False) as server:
        session = await opened(relay(server.port))
        for number in range(20):
            report = await submit(session, Envelope(USER, (A,)), b"Subject: %d\r\n\r\nx\r\n" % number, yes)
            assert report.fault is None
        await session.quit()

    assert session.messages_sent == 20
    assert [body.split(b"\r\n")[0] for _, _, body in server.inbox.messages] == [b"Subject: %d" % n for n in range(20)]


async def test_a_421_between_messages_is_seen_before_the_next_one():
    goodbye = OK + b"421 4.4.2 idle too long\r\n"
    async with Scripted(talk("r", OK, "r", OK, "r", GO, "data", goodbye, "close")) as server:
        session = await opened(relay(server.port))
        first = await submit(session, Envelope(USER, (A,)), MAIL, yes)
        is_usable = session.is_usable
        second = await submit(session, Envelope(USER, (A,)), MAIL, yes)

    assert outcomes(first) == [ACCEPTED], "the message was taken, whatever was said behind it"
    assert not is_usable
    assert outcomes(second) == [DEFERRED]
    assert second.fault is not None
    assert second.fault.code == 421


async def test_a_drop_in_rset_makes_the_session_unusable_and_changes_no_result():
    async with Scripted(talk("r", OK, "r", b"550 5.1.1 no\r\n", "r", "close")) as server:
        report, session = await sent(server, A)

    assert reasons(report) == [Reason.RECIPIENT_UNKNOWN]
    assert not session.is_usable


async def test_noop_and_reset_tell_whether_the_connection_lives():
    async with Scripted(talk("r", OK, "r", OK, "r", "close")) as server:
        session = await opened(relay(server.port))
        assert await session.noop() is None
        assert await session.reset() is None
        lost = await session.noop()

    assert isinstance(lost, Fault)
    assert lost.reason is Reason.CONNECTION_CLOSED
    assert not session.is_usable


async def test_a_sender_that_is_not_ours_is_found_by_the_probe_too():
    async with Scripted(talk("r", b"553 5.7.1 sender not owned by user\r\n", *BYE)) as server:
        report = await probe(relay(server.port), dialer(), Level.SENDER)

    assert report.fault is not None
    assert (report.fault.stage, report.fault.reason) == (StageName.SENDER, Reason.SENDER_NOT_ALLOWED)


async def test_a_delivery_shows_every_stage_and_the_first_fault(authority):
    async with mail_server(has_auth=True) as server:
        server.inbox.replies["RCPT"] = lambda address: "550 5.1.1 unknown" if address == B else ""
        good = await deliver(relay(server.port, auth=password()), dialer(), Envelope(USER, (A,)), MAIL)
        mixed = await deliver(relay(server.port, auth=password()), dialer(), Envelope(USER, (A, B)), MAIL)

    assert good.fault is None
    assert [stage.name for stage in good.stages][-3:] == [StageName.SENDER, StageName.RECIPIENT, StageName.DATA]
    assert mixed.fault is not None
    assert mixed.fault.reason is Reason.RECIPIENT_UNKNOWN
    assert [rcpts for _, rcpts, _ in server.inbox.messages] == [[A], [A]]
    assert any("queued as" in line for line in good.transcript)
    assert CANARY not in repr(good)
