"""The DATA phase: what was taken, what was not, and what nobody knows; and that every byte arrives as it left."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprig import BYE, GREET, OK, USER, Scripted, dialer, ehlo, mail_server, relay
from watchbell.api.reasons import Reason
from watchbell.smtp.model import Envelope, RecipientOutcome, Relay, StageName, SubmitReport
from watchbell.smtp.replies import wire_body
from watchbell.smtp.session import Session, StageLog, open_session
from watchbell.smtp.submit import submit

ACCEPTED, REFUSED = RecipientOutcome.ACCEPTED, RecipientOutcome.REFUSED
DEFERRED, UNKNOWN = RecipientOutcome.DEFERRED, RecipientOutcome.UNKNOWN
A, B = "a@example.com", "b@example.com"
MAIL = b"Subject: hello\r\n\r\nhello\r\n"
GO = b"354 go ahead\r\n"
ENVELOPE = [GREET, "r", ehlo(), "r", OK, "r", OK, "r"]


class Gate:
    """A `before_body` that notes when it was asked."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.asked = 0

    async def __call__(self) -> bool:
        self.asked += 1
        return self.is_open


async def opened(target: Relay) -> Session:
    session = await open_session(target, dialer(), StageLog())
    assert isinstance(session, Session), session
    return session


async def one_mail(
    server: Scripted, payload: bytes = MAIL, *, gate: Gate | None = None, **changes
) -> tuple[SubmitReport, Session]:
    session = await opened(relay(server.port, **changes))
    return await submit(session, Envelope(USER, (A,)), payload, gate or Gate()), session


def only(report: SubmitReport) -> tuple[RecipientOutcome, Reason | None]:
    (result,) = report.recipients
    return result.outcome, result.fault.reason if result.fault else None


BEFORE_THE_BODY = [
    ("refused for now", [b"451 4.3.0 later\r\n", "r", OK, "hang"], DEFERRED, Reason.TEMPORARY_FAILURE),
    ("refused for good", [b"554 5.5.1 no valid recipients\r\n", "r", OK, "hang"], REFUSED, Reason.PERMANENT_FAILURE),
    ("dropped", ["close"], DEFERRED, Reason.CONNECTION_CLOSED),
    ("shutting down", [b"421 4.3.2 bye\r\n", "close"], DEFERRED, Reason.SERVER_BUSY),
    ("out of turn", [b"250 what body?\r\n", "r", OK, "hang"], DEFERRED, Reason.PROTOCOL_VIOLATION),
    ("354 and more", [GO + b"250 ok\r\n", "hang"], DEFERRED, Reason.PROTOCOL_VIOLATION),
]


@pytest.mark.parametrize(("script", "outcome", "reason"), [pytest.param(*rest, id=i) for i, *rest in BEFORE_THE_BODY])
async def test_before_the_354_nothing_was_sent_and_everything_may_be_tried_again(script, outcome, reason):
    gate = Gate()
    async with Scripted([*ENVELOPE, *script]) as server:
        report, _ = await one_mail(server, gate=gate)

    assert only(report)[0] is outcome
    assert report.fault is not None
    assert report.fault.stage is StageName.DATA
    assert report.fault.reason is reason or reason is Reason.SERVER_BUSY, report.fault
    assert gate.asked == 0, "nothing may be marked as being sent"


AFTER_THE_DOT = [
    ("closed", ["close"], UNKNOWN, Reason.DELIVERY_OUTCOME_UNKNOWN),
    ("reset", ["abort"], UNKNOWN, Reason.DELIVERY_OUTCOME_UNKNOWN),
    ("garbage", [b"\x00\xff\x00\r\n", "hang"], UNKNOWN, Reason.DELIVERY_OUTCOME_UNKNOWN),
    ("two replies", [b"250 ok\r\n250 ok\r\n", "hang"], UNKNOWN, Reason.DELIVERY_OUTCOME_UNKNOWN),
    ("not now", [b"451 4.3.0 disk full\r\n", "hang"], DEFERRED, Reason.TEMPORARY_FAILURE),
    ("hang-up with a no", [b"421 4.3.2 shutting down\r\n", "close"], DEFERRED, None),
    ("spam", [b"554 5.7.1 message looks like spam\r\n", "hang"], REFUSED, Reason.CONTENT_REJECTED),
    ("blocked content", [b"552 5.7.0 blocked: security issue\r\n", "hang"], REFUSED, Reason.CONTENT_REJECTED),
    (
        "SPF and DKIM",
        [b"550 5.7.26 unauthenticated email is not accepted\r\n", "hang"],
        REFUSED,
        Reason.DOMAIN_AUTHENTICATION_FAILED,
    ),
    (
        "Send As",
        [b"554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException\r\n", "hang"],
        REFUSED,
        Reason.SENDER_NOT_ALLOWED,
    ),
    ("too large after all", [b"552 5.3.4 message too big\r\n", "hang"], REFUSED, Reason.MESSAGE_TOO_LARGE),
    ("quota", [b"550 5.4.5 daily user sending quota exceeded\r\n", "hang"], DEFERRED, Reason.QUOTA_EXCEEDED),
]


@pytest.mark.parametrize(("script", "outcome", "reason"), [pytest.param(*rest, id=i) for i, *rest in AFTER_THE_DOT])
async def test_after_the_dot_only_a_readable_reply_says_what_became_of_the_message(script, outcome, reason):
    async with Scripted([*ENVELOPE, GO, "data", *script]) as server:
        report, session = await one_mail(server)

    assert only(report)[0] is outcome
    assert report.fault is not None
    assert report.fault.reason is reason or reason is None
    assert session.messages_sent == 0
    if outcome is UNKNOWN:
        assert not session.is_usable


async def test_silence_after_the_dot_leaves_the_outcome_open():
    async with Scripted([*ENVELOPE, GO, "data", "hang"]) as server:
        report, session = await one_mail(server, impatient=("data_termination_s",))

    assert only(report) == (UNKNOWN, Reason.DELIVERY_OUTCOME_UNKNOWN)
    assert not session.is_usable


async def test_an_unknown_outcome_is_only_for_those_who_were_accepted():
    script = [GREET, "r", ehlo(), "r", OK, "r", OK, "r", b"550 5.1.1 no\r\n", "r", GO, "data", "close"]
    async with Scripted(script) as server:
        session = await opened(relay(server.port))
        report = await submit(session, Envelope(USER, (A, B)), MAIL, Gate())

    assert [result.outcome for result in report.recipients] == [UNKNOWN, REFUSED]
    assert report.recipients[1].fault is not None
    assert report.recipients[1].fault.reason is Reason.RECIPIENT_UNKNOWN


async def test_the_gate_is_asked_after_the_354_and_before_the_body():
    heard_at_gate: list[int] = []
    async with Scripted([*ENVELOPE, GO, "data", OK, *BYE]) as server:
        session = await opened(relay(server.port))

        async def gate() -> bool:
            heard_at_gate.extend([len(server.heard), len(server.bodies)])
            return True

        report = await submit(session, Envelope(USER, (A,)), MAIL, gate)
        await session.quit()

    assert report.fault is None
    assert heard_at_gate == [4, 0]


async def test_a_closed_gate_sends_nothing_and_closes_the_connection():
    async with Scripted([*ENVELOPE, GO, "hang"]) as server:
        report, session = await one_mail(server, gate=Gate(is_open=False))
        await server.left()

    assert only(report) == (DEFERRED, Reason.TEMPORARY_FAILURE)
    assert not session.is_usable
    assert server.bodies == []


async def test_a_hang_up_while_the_gate_thinks_is_heard_and_nothing_is_sent():
    async with Scripted([*ENVELOPE, GO, 0.05, b"421 4.4.2 too slow\r\n", "hang"]) as server:
        session = await opened(relay(server.port))

        async def slow() -> bool:
            async with asyncio.timeout(30):
                while not session.dialog.wire.has_unasked_bytes:  # noqa: ASYNC110 - the wire has no event for this
                    await asyncio.sleep(0.001)
            return True

        report = await submit(session, Envelope(USER, (A,)), MAIL, slow)

    assert only(report)[0] is DEFERRED
    assert report.fault is not None
    assert report.fault.code == 421
    assert server.bodies == []


async def test_a_gate_that_raises_closes_the_connection():
    async def broken() -> bool:
        raise LookupError("the object is gone")

    async with Scripted([*ENVELOPE, GO, "hang"]) as server:
        session = await opened(relay(server.port))
        with pytest.raises(LookupError):
            await submit(session, Envelope(USER, (A,)), MAIL, broken)
        await server.left()

    assert not session.is_usable


BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 64 * 1024 * 8 + b"\r\n"


@pytest.mark.parametrize("then", [("close",), ("stop", 100), ("hang",)], ids=["closes", "stops reading", "reads on"])
async def test_a_refusal_in_the_middle_of_the_body_is_read_and_not_called_unknown(then):
    early = b"552 5.3.4 message too big\r\n"
    async with Scripted([*ENVELOPE, GO, "taste", early, *then]) as server:
        started = time.monotonic()
        report, session = await one_mail(server, BIG)

    assert only(report) == (REFUSED, Reason.MESSAGE_TOO_LARGE)
    assert not session.is_usable
    assert time.monotonic() - started < 60


async def test_a_drop_in_the_middle_of_the_body_is_not_called_unknown():
    async with Scripted([*ENVELOPE, GO, "stop", 0.1, "abort"]) as server:
        report, session = await one_mail(server, BIG)

    outcome, reason = only(report)
    assert outcome is DEFERRED
    assert reason in {Reason.CONNECTION_RESET, Reason.CONNECTION_CLOSED}
    assert not session.is_usable


async def test_a_server_that_stops_reading_holds_nobody_for_longer_than_a_block_may_take():
    async with Scripted([*ENVELOPE, GO, "stop", 30]) as server:
        report, session = await one_mail(server, BIG, impatient=("data_block_s",))

    assert only(report) == (DEFERRED, Reason.COMMAND_TIMED_OUT)
    assert not session.is_usable


BODIES = {
    "leading dots": b"Subject: x\r\n\r\n.\r\n..\r\n.hidden\r\nend\r\n.\r\n",
    "starts with a dot": b".Subject: x\r\n\r\n",
    "only a dot": b".",
    "nothing": b"",
    "no line end at the end": b"Subject: x\r\n\r\nlast line",
    "a long line": b"Subject: x\r\n\r\n" + b"y" * 10_000_000 + b"\r\n",
    "ten megabytes of lines": b"Subject: x\r\n\r\n" + (b"." + b"z" * 76 + b"\r\n") * 132_000,
    "dots at block ends": b"Subject: x\r\n\r\n" + (b"q" * 1021 + b"\r\n.") * 1000 + b"\r\n",
}


@pytest.mark.parametrize("payload", [pytest.param(body, id=name) for name, body in BODIES.items()])
async def test_every_byte_arrives_as_it_left(payload):
    async with Scripted([*ENVELOPE, GO, "data", OK, *BYE]) as server:
        report, session = await one_mail(server, payload)
        await session.quit()

    assert report.fault is None
    whole = payload if payload.endswith(b"\r\n") else payload + b"\r\n"
    assert unstuffed(server.bodies[0]) == whole


async def test_a_real_server_gets_the_same_bytes_through_tls(authority):
    payload = BODIES["leading dots"]
    async with mail_server(has_auth=False, tls=authority.server_context()) as server:
        report, session = await one_mail(server, payload)
        await session.quit()

    assert report.fault is None
    assert server.inbox.messages[0][2] == payload


def unstuffed(body: bytes) -> bytes:
    """What a server makes of the body: RFC 5321 §4.5.2."""
    lines = body.removesuffix(b".\r\n").split(b"\r\n")
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b".", b"..", b"a", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\r\n"]
)


@given(st.lists(PIECES, max_size=30))
def test_no_payload_can_end_the_message_early(pieces):
    body = wire_body(b"".join(pieces))

    assert body.endswith(b"\r\n.\r\n") or body == b".\r\n"
    assert body.find(b"\r\n.\r\n") in {-1, len(body) - 5}, "the only final dot is the last one"
    assert body.replace(b"\r\n", b"").count(b"\r") == 0
    assert body.replace(b"\r\n", b"").count(b"\n") == 0


@given(
    st.lists(
        st.binary(max_size=20).filter(lambda line: b"\r" not in line and b"\n" not in line), min_size=1, max_size=20
    )
)
def test_what_has_proper_line_ends_is_only_stuffed(lines):
    payload = b"\r\n".join(lines) + b"\r\n"

    assert unstuffed(wire_body(payload)) == payload
