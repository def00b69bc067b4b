"""Whatever a server says, in whatever order: every session ends, with at most one fault, no secret and no open socket."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from smtprig import GREET, OK, USER, Scripted, check_no_secret, check_report, dialer, ehlo, password, relay
from watchbell.smtp.model import Envelope, RecipientOutcome, StageResult
from watchbell.smtp.probe import deliver
from watchbell.smtp.session import Session, StageLog, open_session
from watchbell.smtp.submit import submit

ANSWERS = st.sampled_from(
    [
        GREET,
        OK,
        b"235 in\r\n",
        b"334 \r\n",
        b"354 go\r\n",
        b"250-relay\r\n250 AUTH LOGIN PLAIN\r\n",
        b"250-relay\r\n250 SIZE 10\r\n",
        b"421 bye\r\n",
        b"450 4.7.1 later\r\n",
        b"452 4.5.3 too many\r\n",
        b"535 5.7.8 no\r\n",
        b"550 5.1.1 no\r\n",
        b"550-a\r\n250 b\r\n",
        b"250 ok\r\n250 ok\r\n",
        b"2",
        b"\xff\xfe\r\n",
        b"999 what\r\n",
        "close",
        "abort",
    ]
)
TURNS = st.lists(ANSWERS, max_size=9)
IMPATIENT = ("greeting_s", "command_s", "auth_s", "data_initiation_s", "data_termination_s", "quit_s", "tls_s")


def script_of(answers) -> list:
    """Answer, read a line, answer, …; after a 354 read the body, so that the dialogue can come to its end."""
    steps = [GREET]
    for answer in answers:
        steps += ["data" if steps[-1] == b"354 go\r\n" else "r", answer]
    return steps


@settings(deadline=None, max_examples=60)
@given(TURNS)
async def test_any_dialogue_ends_with_one_fault_or_a_mail(answers):
    async with Scripted(script_of(answers)) as server:
        async with asyncio.timeout(30):
            target = relay(server.port, auth=password(), impatient=IMPATIENT)
            report = await deliver(target, dialer(), Envelope(USER, ("a@example.com", "b@example.com")), b"x\r\n")
        await server.left()

    check_no_secret(report)
    failed = [stage for stage in report.stages if stage.result is StageResult.FAILED]
    if report.fault is None:
        assert failed == []
    elif failed:
        check_report(report)


@settings(deadline=None, max_examples=60)
@given(TURNS)
async def test_any_transaction_gives_each_recipient_exactly_one_result(answers):
    recipients = ("a@example.com", "b@example.com", "c@example.com")
    script = [GREET, "r", ehlo(), *script_of(answers)[1:]]
    async with Scripted(script) as server:
        session = await open_session(relay(server.port, impatient=IMPATIENT), dialer(), StageLog())
        assert isinstance(session, Session)
        async with asyncio.timeout(30):
            report = await submit(session, Envelope(USER, recipients), b"x\r\n", _yes)
            await session.quit()
        await server.left()

    assert [result.address for result in report.recipients] == list(recipients)
    assert all((result.fault is None) == (result.outcome is RecipientOutcome.ACCEPTED) for result in report.recipients)
    may_be_taken = {RecipientOutcome.ACCEPTED, RecipientOutcome.UNKNOWN}
    if any(result.outcome in may_be_taken for result in report.recipients):
        assert b"354 go\r\n" in answers, "without a 354 nothing can have been taken"


async def _yes() -> bool:
    return True
