"""What EHLO and STARTTLS can do to a session."""

import pytest

from smtprig import CANARY, GREET, USER, Scripted, dialer, ehlo, mail_server, password, provoke, relay
from watchbell.api.reasons import Reason
from watchbell.smtp.model import Envelope, Level, StageName, StageResult, TlsMode, TlsPlan
from watchbell.smtp.probe import probe
from watchbell.smtp.session import Session, StageLog, open_session
from watchbell.smtp.submit import submit

REFUSALS = [
    ("504 5.5.2 need fully-qualified hostname", Reason.EHLO_REJECTED),
    ("501 5.5.4 invalid domain name", Reason.EHLO_REJECTED),
    ("550 5.7.1 HELO rejected", Reason.EHLO_REJECTED),
    ("554 5.7.1 Helo command rejected: Host not found", Reason.EHLO_REJECTED),
    ("421 4.7.0 Try again later, closing connection. (EHLO)", Reason.EHLO_REJECTED),
    ("500 5.5.1 unrecognized command", Reason.ESMTP_UNSUPPORTED),
    ("502 5.5.1 not implemented", Reason.ESMTP_UNSUPPORTED),
    ("500 5.5.1 this is LMTP, say LHLO", Reason.LMTP_SERVER),
]


@pytest.mark.parametrize(("reply", "reason"), REFUSALS)
async def test_a_refused_ehlo_ends_in_its_one_reason(reply, reason):
    async with Scripted([GREET, "r", reply.encode() + b"\r\n", "hang"]) as server:
        fault = await provoke(server.port, auth=password())

    assert fault.stage is StageName.HELLO
    assert fault.reason is reason
    assert server.commands == ["EHLO operator.test"], "HELO has no extensions, and a login is one"


async def test_helo_is_tried_where_neither_tls_nor_a_login_is_wanted():
    async with Scripted([GREET, "r", b"502 5.5.1 no\r\n", "r", b"250 relay.test\r\n", "r", "close"]) as server:
        report = await probe(relay(server.port), dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert server.commands == ["EHLO operator.test", "HELO operator.test", "QUIT"]
    assert report.server.capabilities == ()


async def test_helo_is_not_tried_in_place_of_tls():
    async with Scripted([GREET, "r", b"502 5.5.1 no\r\n", "hang"]) as server:
        fault = await provoke(server.port, tls=TlsPlan(mode=TlsMode.START_TLS))

    assert fault.reason is Reason.ESMTP_UNSUPPORTED
    assert server.commands == ["EHLO operator.test"]


@pytest.mark.parametrize("wanted", ["", "localhost", "watchbell-7d9f", "bad name.example", "caf\u00e9.example"])
async def test_a_name_that_servers_refuse_becomes_an_address_literal(wanted):
    async with Scripted([GREET, "r", ehlo(), "r", "close"]) as server:
        await probe(relay(server.port, hello_name=wanted), dialer(), Level.AUTHENTICATE)

    assert server.commands[0] == "EHLO [127.0.0.1]"


async def test_silence_after_ehlo_is_a_command_timed_out():
    async with Scripted([GREET, "r", "hang"]) as server:
        fault = await provoke(server.port, impatient=("command_s",))

    assert (fault.stage, fault.reason) == (StageName.HELLO, Reason.COMMAND_TIMED_OUT)


async def test_a_hang_up_after_ehlo_is_a_closed_connection():
    async with Scripted([GREET, "r", "close"]) as server:
        fault = await provoke(server.port)

    assert (fault.stage, fault.reason) == (StageName.HELLO, Reason.CONNECTION_CLOSED)


BROKEN_ANSWERS = [
    ("codes that differ within one reply", b"250-relay.test\r\n550 no\r\n"),
    ("a line without a code", b"250-relay.test\r\nSIZE 1000\r\n"),
    ("two replies in one segment", ehlo("SIZE 1000") + b"250 extra\r\n"),
    ("more than 32 KiB", b"250-x\r\n" * 8000),
    ("another protocol all of a sudden", b"<html>\r\n"),
]


@pytest.mark.parametrize("answer", [pytest.param(a, id=i) for i, a in BROKEN_ANSWERS])
async def test_an_answer_that_breaks_the_protocol_ends_the_session(answer):
    async with Scripted([GREET, "r", answer, "hang"]) as server:
        fault = await provoke(server.port, auth=password())

    assert (fault.stage, fault.reason) == (StageName.HELLO, Reason.PROTOCOL_VIOLATION)
    assert len(server.commands) == 1


async def test_two_hundred_extensions_are_bounded_in_the_report():
    many = [f"XEXTENSION{n} {'x' * 60}" for n in range(200)]
    async with Scripted([GREET, "r", ehlo(*many, "SIZE 2000"), "r", "close"]) as server:
        report = await probe(relay(server.port), dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert len(report.server.capabilities) == 64
    assert len(report.transcript) == 64
    assert report.server.max_message_bytes == 2000


SIZES = [("SIZE 0", 0), ("SIZE", 0), ("SIZE lots", 0), ("SIZE -5", 0), ("SIZE 35882577", 35882577), ("size 10", 10)]


@pytest.mark.parametrize(("offer", "limit"), SIZES)
async def test_the_size_limit_is_read_or_taken_as_none(offer, limit):
    async with Scripted([GREET, "r", ehlo(offer), "r", "close"]) as server:
        report = await probe(relay(server.port), dialer(), Level.AUTHENTICATE)

    assert report.server.max_message_bytes == limit


@pytest.mark.parametrize(
    "offer", ["AUTH=LOGIN PLAIN", "auth=login", "auth login", "AUTH LOGIN", "AUTH  LOGIN CRAM-MD5"]
)
async def test_old_and_lower_case_forms_of_auth_are_understood(offer):
    login = [b"235 2.7.0 in\r\n"]
    is_plain = "PLAIN" in offer
    if not is_plain:
        login = [b"334 VXNlcm5hbWU6\r\n", "r", b"334 UGFzc3dvcmQ6\r\n", "r", b"235 2.7.0 in\r\n"]
    async with Scripted([GREET, "r", ehlo(offer), "r", *login, "r", "close"]) as server:
        report = await probe(relay(server.port, auth=password()), dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert server.commands[1].startswith("AUTH PLAIN" if is_plain else "AUTH LOGIN")


START_TLS = TlsPlan(mode=TlsMode.START_TLS)
OFFERED = [GREET, "r", ehlo("STARTTLS", "AUTH PLAIN"), "r"]
START_TLS_FAULTS = [
    ("not offered", [GREET, "r", ehlo("AUTH PLAIN"), "hang"], StageName.START_TLS, Reason.STARTTLS_NOT_OFFERED),
    (
        "struck out by a firewall",
        [GREET, "r", ehlo("XXXXXXXA", "AUTH PLAIN"), "hang"],
        StageName.START_TLS,
        Reason.STARTTLS_STRIPPED,
    ),
    (
        "a greeting of asterisks",
        [b"220 ****************0****\r\n", "r", ehlo(), "hang"],
        StageName.START_TLS,
        Reason.STARTTLS_STRIPPED,
    ),
    (
        "refused for now",
        [*OFFERED, b"454 4.3.0 TLS not available\r\n", "hang"],
        StageName.START_TLS,
        Reason.STARTTLS_UNAVAILABLE,
    ),
    ("refused for good", [*OFFERED, b"502 5.5.1 no\r\n", "hang"], StageName.START_TLS, Reason.STARTTLS_UNAVAILABLE),
    (
        "plain text after the 220",
        [*OFFERED, b"220 go\r\n", 0.1, b"250 what?\r\n", "hang"],
        StageName.TLS,
        Reason.TLS_HANDSHAKE_FAILED,
    ),
    ("closed after the 220", [*OFFERED, b"220 go\r\n", "close"], StageName.TLS, Reason.TLS_HANDSHAKE_FAILED),
    (
        "replies injected behind the 220",
        [*OFFERED, b"220 go\r\n250 injected\r\n", "hang"],
        StageName.TLS,
        Reason.PROTOCOL_VIOLATION,
    ),
]


@pytest.mark.parametrize(("script", "stage", "reason"), [pytest.param(*rest, id=i) for i, *rest in START_TLS_FAULTS])
async def test_starttls_happens_or_the_session_ends(script, stage, reason):
    async with Scripted(script) as server:
        fault = await provoke(server.port, tls=START_TLS, auth=password())

    assert fault.reason is reason
    assert not any(line.startswith("AUTH") for line in server.commands), "no login in clear, whatever the server says"


async def test_silence_after_the_220_ends_with_the_tls_stage():
    async with Scripted([*OFFERED, b"220 go\r\n", "hang"]) as server:
        fault = await provoke(server.port, tls=START_TLS, impatient=("tls_s",))

    assert (fault.stage, fault.reason) == (StageName.TLS, Reason.TLS_HANDSHAKE_FAILED)


async def test_what_was_offered_before_tls_is_forgotten(authority):
    before, after = ehlo("STARTTLS", "AUTH PLAIN", "SIZE 1"), ehlo("AUTH LOGIN", "STARTTLS", "SIZE 2000")
    script = [GREET, "r", before, "r", b"220 go\r\n", "tls", "r", after, "r", b"535 5.7.8 no\r\n", "hang"]
    async with Scripted(script, tls=authority.server_context()) as server:
        plan = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem)
        report = await probe(relay(server.port, tls=plan, auth=password()), dialer(), Level.AUTHENTICATE)

    assert report.server.auth_mechanisms == ("LOGIN",)
    assert report.server.max_message_bytes == 2000
    assert server.commands == ["EHLO operator.test", "STARTTLS", "EHLO operator.test", "AUTH LOGIN"]


async def test_a_healthy_server_passes_every_stage_in_order(authority):
    async with mail_server(tls=authority.server_context()) as server:
        plan = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem)
        report = await probe(
            relay(server.port, tls=plan, auth=password(plaintext_allowed=False)), dialer(), Level.SENDER
        )

    assert report.fault is None
    assert [stage.name for stage in report.stages if stage.result is StageResult.PASSED] == [
        StageName.POLICY,
        StageName.RESOLVE,
        StageName.CONNECT,
        StageName.GREETING,
        StageName.HELLO,
        StageName.START_TLS,
        StageName.TLS,
        StageName.AUTHENTICATE,
        StageName.SENDER,
    ]
    assert server.inbox.logins == [("PLAIN", USER, CANARY)]
    assert server.inbox.hellos == ["operator.test", "operator.test"]
    assert report.server.tls is not None
    assert report.server.address == "127.0.0.1"


async def test_without_a_login_the_session_still_goes_through_tls(authority):
    async with mail_server(tls=authority.server_context(), has_auth=False) as server:
        plan = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem)
        session = await open_session(relay(server.port, tls=plan), dialer(), StageLog())
        assert isinstance(session, Session)
        assert session.dialog.wire.is_encrypted
        await session.quit()


UNTIL = [
    (StageName.CONNECT, []),
    (StageName.GREETING, []),
    (StageName.START_TLS, ["EHLO operator.test", "STARTTLS"]),
    (StageName.TLS, ["EHLO operator.test", "STARTTLS"]),
    (StageName.HELLO, ["EHLO operator.test", "STARTTLS", "EHLO operator.test"]),
    (StageName.AUTHENTICATE, ["EHLO operator.test", "STARTTLS", "EHLO operator.test", "AUTH PLAIN"]),
]


@pytest.mark.parametrize(("until", "commands"), UNTIL)
async def test_a_session_opens_exactly_as_far_as_it_shall(authority, until, commands):
    script = [
        GREET,
        "r",
        ehlo("STARTTLS"),
        "r",
        b"220 go\r\n",
        "tls",
        "r",
        ehlo("AUTH PLAIN"),
        "r",
        b"235 in\r\n",
        "hang",
    ]
    async with Scripted(script, tls=authority.server_context()) as server:
        plan = TlsPlan(mode=TlsMode.START_TLS, ca_pem=authority.pem)
        session = await open_session(relay(server.port, tls=plan, auth=password()), dialer(), StageLog(), until=until)
        assert isinstance(session, Session)
        assert session.is_usable
        session.close()

    assert [" ".join(line.split()[:2]) for line in server.commands] == commands


async def test_a_session_opened_only_part_of_the_way_sends_no_mail_in_clear():
    async with Scripted([GREET, "r", ehlo("STARTTLS"), "hang"]) as server:
        session = await open_session(relay(server.port, tls=START_TLS), dialer(), StageLog(), until=StageName.GREETING)
        assert isinstance(session, Session)
        report = await submit(session, Envelope(USER, ("a@example.com",)), b"Subject: x\r\n\r\n", _yes)
        session.close()

    assert report.fault is not None
    assert report.fault.reason is Reason.ENCRYPTION_REQUIRED
    assert server.commands == []


async def _yes() -> bool:
    return True
