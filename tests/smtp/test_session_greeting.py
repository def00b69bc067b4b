"""What a connection and a greeting can do to a session: one reason each, no hang, no secret."""

import asyncio
import socket
import ssl
import time

import pytest

from smtprig import GREET, LOOPBACK, OK, Scripted, dialer, ehlo, password, provoke, relay
from watchbell.api.reasons import Reason
from watchbell.smtp.egress import EgressPolicy
from watchbell.smtp.model import Level, StageName, StageResult, TlsMode, TlsPlan
from watchbell.smtp.probe import probe

BANNERS = [
    ("refused for good", [b"554 5.7.1 no mail from your address\r\n", "close"], Reason.GREETING_REJECTED),
    ("busy and closed", [b"421 4.3.2 too many connections\r\n", "close"], Reason.SERVER_BUSY),
    ("busy", [b"450 later\r\n", "hang"], Reason.SERVER_BUSY),
    ("speaks HTTP", [b"HTTP/1.1 400 Bad Request\r\n\r\n", "hang"], Reason.NOT_AN_SMTP_SERVER),
    ("speaks SSH", [b"SSH-2.0-OpenSSH_9.2 k3y\r\n", "hang"], Reason.NOT_AN_SMTP_SERVER),
    ("speaks POP3", [b"+OK ready\r\n", "hang"], Reason.NOT_AN_SMTP_SERVER),
    ("binary without a line end", [b"\x00\x01\x02", "hang"], Reason.NOT_AN_SMTP_SERVER),
    ("an alert of TLS", [b"\x15\x03\x01\x00\x02\x02\x28", "hang"], Reason.TLS_ON_PLAINTEXT_PORT),
    ("a flood without a line end", [b"220 " + b"x" * 100_000, "hang"], Reason.PROTOCOL_VIOLATION),
    ("endless lines", [b"220-more\r\n" * 10_000, "hang"], Reason.PROTOCOL_VIOLATION),
    ("a code that is none", [b"999 hello\r\n", "hang"], Reason.PROTOCOL_VIOLATION),
    ("codes that differ within one reply", [b"220-hello\r\n554 no\r\n", "hang"], Reason.PROTOCOL_VIOLATION),
    ("two greetings in one segment", [GREET + GREET, "hang"], Reason.PROTOCOL_VIOLATION),
    ("closed at once", ["close"], Reason.CLOSED_BEFORE_GREETING),
    ("reset at once", [0.05, "abort"], Reason.CONNECTION_RESET),
]


@pytest.mark.parametrize(("script", "reason"), [pytest.param(s, r, id=i) for i, s, r in BANNERS])
async def test_a_greeting_that_is_none_ends_in_its_one_reason(script, reason):
    async with Scripted(script) as server:
        fault = await provoke(server.port, auth=password())

    assert fault.stage is StageName.GREETING
    assert fault.reason is reason
    assert server.heard == [], "nothing may be said before a greeting, least of all a password"


ODD_BANNERS = [
    ("in three segments", [b"220-one\r\n22", 0.02, b"0-two\r", 0.02, b"\n220 three\r\n"]),
    ("byte by byte", [step for byte in GREET for step in (bytes([byte]), 0.001)]),
    ("Latin-1, an emoji and a NUL", [b"220 caf\xe9 \xf0\x9f\x92\xa9 \x00 ready\r\n"]),
    ("with bare line feeds", [b"220 relay\n"]),
    ("with nothing but the code", [b"220\r\n"]),
]


@pytest.mark.parametrize("script", [pytest.param(s, id=i) for i, s in ODD_BANNERS])
async def test_an_odd_greeting_is_still_a_greeting(script):
    async with Scripted([*script, "r", ehlo(), "hang"]) as server:
        report = await probe(relay(server.port, impatient=("quit_s",)), dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert all("\0" not in line and "\udce9" not in line for line in report.transcript)


async def test_a_drip_of_bytes_ends_with_the_stage_and_not_with_each_byte():
    drip = [step for _ in range(2000) for step in (b"2", 0.05)]
    async with Scripted([b"220-", *drip]) as server:
        started = time.monotonic()
        fault = await provoke(server.port, impatient=("greeting_s",))

    assert fault.reason is Reason.GREETING_TIMED_OUT
    assert time.monotonic() - started < 60


async def test_a_silent_server_is_told_from_one_that_waits_for_tls(authority_context):
    async with Scripted(["hang"]) as server:
        silent = await provoke(server.port, impatient=("greeting_s", "tls_s"))
    async with Scripted(["hang"], tls=authority_context, is_implicit=True) as server:
        waiting = await provoke(server.port, impatient=("greeting_s",), tls=TlsPlan(mode=TlsMode.START_TLS))

    assert silent.reason is Reason.GREETING_TIMED_OUT
    assert waiting.reason is Reason.TLS_ON_PLAINTEXT_PORT
    assert any("Implicit" in remedy for remedy in waiting.remedies)


@pytest.fixture
def authority_context(authority) -> ssl.SSLContext:
    return authority.server_context()


async def test_a_refused_connection_says_so_in_the_words_people_search_for():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        fault = await provoke(port)

    assert fault.reason is Reason.CONNECTION_REFUSED
    assert fault.chain[0] == f"dial tcp 127.0.0.1:{port}: connect: connection refused (ECONNREFUSED)"


async def test_a_black_hole_times_out_after_the_stage():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            fault = await provoke(port, impatient=("connect_each_s", "connect_all_s"))
        finally:
            for filler in fillers:
                filler.close()

    assert fault.reason is Reason.CONNECTION_TIMED_OUT
    assert fault.stage is StageName.CONNECT


async def test_loopback_is_denied_unless_the_operator_allows_it():
    async with Scripted([GREET, "hang"]) as server:
        denied = await probe(relay(server.port), dialer(EgressPolicy(allow_ports=LOOPBACK.allow_ports)), Level.CONNECT)
        port_denied = await probe(relay(server.port), dialer(EgressPolicy(allow_cidrs=("127.0.0.0/8",))), Level.CONNECT)

    assert denied.fault is not None
    assert port_denied.fault is not None
    assert denied.fault.reason is Reason.DESTINATION_NOT_ALLOWED
    assert port_denied.stages[0].name is StageName.POLICY
    assert port_denied.stages[0].result is StageResult.FAILED
    assert server.connections == 0


async def test_level_connect_stops_at_the_greeting():
    async with Scripted([GREET, "r", b"221 bye\r\n", "close"]) as server:
        report = await probe(relay(server.port), dialer(), Level.CONNECT)

    assert report.fault is None
    assert server.commands == ["QUIT"]
    results = {stage.name: stage.result for stage in report.stages}
    assert results[StageName.GREETING] is StageResult.PASSED
    assert results[StageName.HELLO] is StageResult.SKIPPED


async def test_a_disabled_probe_opens_nothing():
    async with Scripted([GREET]) as server:
        report = await probe(relay(server.port), dialer(), Level.DISABLED)
        await asyncio.sleep(0)

    assert report.fault is None
    assert server.connections == 0
    assert {stage.result for stage in report.stages} == {StageResult.SKIPPED}


async def test_no_answer_to_quit_is_no_failure():
    async with Scripted([GREET, "r", ehlo(), "r", "hang"]) as server:
        report = await probe(relay(server.port, impatient=("quit_s",)), dialer(), Level.AUTHENTICATE)

    assert report.fault is None
    assert server.commands[-1] == "QUIT"


async def test_a_sender_check_leaves_no_transaction_behind():
    async with Scripted([GREET, "r", ehlo(), "r", OK, "r", OK, "r", b"221 bye\r\n", "close"]) as server:
        report = await probe(relay(server.port), dialer(), Level.SENDER)

    assert report.fault is None
    assert server.commands == ["EHLO operator.test", "MAIL FROM:<alerts@example.com>", "RSET", "QUIT"]
