"""Resolving and dialling against real sockets and a small real DNS server."""

import asyncio
import errno
import gc
import socket
import threading
import time
from contextlib import asynccontextmanager, suppress

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from watchbell.api.reasons import Reason
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.endpoint import Address, Connected, EgressPolicy, Resolver, close_resolver, connect, resolve
from watchbell.smtp.model import Fault, StageName, Timeouts

LOOPBACK = EgressPolicy(allow_cidrs=("127.0.0.0/8", "::1/128"))
QUICK = Timeouts(connect_each_s=0.4, connect_all_s=0.8)
NOT_FOUND = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class NameServer(asyncio.DatagramProtocol):
    """Answers every question with one response code and no records; None: not at all."""

    def __init__(self, rcode):
        self.rcode = rcode
        self.questions = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        query = dns.message.from_wire(data)
        self.questions.append(str(query.question[0].name))
        if self.rcode is None:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        response.set_rcode(self.rcode)
        self.transport.sendto(response.to_wire(), peer)


@asynccontextmanager
async def name_server(rcode):
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(rcode), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@asynccontextmanager
async def resolver_of(lookup, port=53):
    resolver = Resolver(lookup, nameservers=["127.0.0.1"], nameserver_port=port)
    try:
        yield resolver
    finally:
        resolver.close()


def answers(*ips):
    def lookup(host, port):
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]

    return lookup


def fails(error):
    def lookup(host, port):
        raise error

    return lookup


@pytest.mark.parametrize(
    ("rcode", "reason", "words"),
    [
        (dns.rcode.NXDOMAIN, Reason.HOST_NOT_FOUND, "lookup mail.example.: no such host (NXDOMAIN)"),
        (dns.rcode.NOERROR, Reason.HOST_HAS_NO_ADDRESS, "lookup mail.example.: no A or AAAA record (NODATA)"),
        (dns.rcode.SERVFAIL, Reason.DNS_TEMPORARY_FAILURE, "lookup mail.example.: server misbehaving (SERVFAIL)"),
        (dns.rcode.REFUSED, Reason.DNS_TEMPORARY_FAILURE, "lookup mail.example.: server refused the query (REFUSED)"),
        (None, Reason.DNS_TEMPORARY_FAILURE, "lookup mail.example.: i/o timeout (TIMEOUT)"),
    ],
)
async def test_the_response_code_tells_a_missing_name_from_one_without_addresses(rcode, reason, words):
    async with name_server(rcode) as (server, port), resolver_of(fails(NOT_FOUND), port) as resolver:
        found = await resolve("mail.example.", 587, LOOPBACK, timeout_s=0.7, resolver=resolver)
    assert isinstance(found, Fault)
    assert found.reason is reason
    assert found.stage is StageName.RESOLVE
    assert found.chain[0] == words
    assert server.questions[0] == "mail.example."


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "", "a\0b", "a" * 300])
async def test_a_name_that_is_none_is_an_invalid_host(host):
    found = await resolve(host, 587, LOOPBACK)
    close_resolver()
    assert isinstance(found, Fault)
    assert found.reason is Reason.INVALID_HOST


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "::1", "[::1]", "::ffff:127.0.0.1"],
)
async def test_loopback_is_refused_in_every_spelling_unless_it_is_allowed(host):
    denied = await resolve(host, 587, EgressPolicy())
    assert isinstance(denied, Fault)
    assert denied.reason is Reason.DESTINATION_NOT_ALLOWED
    allowed = await resolve(host, 587, LOOPBACK)
    close_resolver()
    assert isinstance(allowed, tuple)
    assert allowed[0].port == 587


async def test_one_forbidden_address_among_good_ones_forbids_the_name():
    async with resolver_of(answers("192.0.2.7", "169.254.169.254")) as resolver:
        found = await resolve("rebound.example", 587, EgressPolicy(), resolver=resolver)
    assert isinstance(found, Fault)
    assert found.reason is Reason.DESTINATION_NOT_ALLOWED


async def test_at_most_eight_addresses_are_kept_in_their_order():
    async with resolver_of(answers(*(f"192.0.2.{number // 2}" for number in range(60)))) as resolver:
        found = await resolve("many.example", 587, EgressPolicy(), resolver=resolver)
    assert [address.ip for address in found] == [f"192.0.2.{number}" for number in range(8)]


async def test_a_forbidden_port_is_refused_before_any_question_is_asked():
    async with resolver_of(fails(AssertionError("asked"))) as resolver:
        found = await resolve("mail.example", 22, EgressPolicy(), resolver=resolver)
    assert isinstance(found, Fault)
    assert found.reason is Reason.DESTINATION_NOT_ALLOWED


async def test_a_resolver_that_hangs_costs_no_more_than_its_time():
    release = threading.Event()

    def hang(host, port):
        release.wait(120)
        return []

    async with resolver_of(hang) as resolver:
        started = time.monotonic()
        found = await resolve("slow.example", 587, EgressPolicy(), timeout_s=0.1, resolver=resolver)
        release.set()
    assert time.monotonic() - started < 60
    assert isinstance(found, Fault)
    assert found.reason is Reason.DNS_TEMPORARY_FAILURE
    assert "no answer within 0.1 s" in found.chain


@asynccontextmanager
async def listening():
    async def serve(reader, writer):
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def black_hole():
    """A listener whose queue is full: further attempts get no answer, as behind a firewall that drops."""
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.bind(("0.0.0.0", 0))  # noqa: S104 - every loopback address is needed
    listener.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.settimeout(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await loop.sock_connect(filler, ("127.0.0.1", listener.getsockname()[1]))
    try:
        yield listener.getsockname()[1]
    finally:
        for sock in (*fillers, listener):
            sock.close()


def at(port, ip="127.0.0.1"):
    return Address(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip, (ip, port))


def refused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def test_the_checked_address_itself_is_dialled():
    async with listening() as port:
        found = await connect([at(port)])
        assert isinstance(found, Connected)
        assert found.sock.getpeername() == ("127.0.0.1", port)
        assert found.sock.gettimeout() == 0
        found.sock.close()


async def test_a_black_hole_costs_a_quarter_of_a_second_when_another_address_answers():
    async with black_hole() as silent, listening() as port:
        started = time.monotonic()
        found = await connect([at(silent), at(port)], Timeouts(connect_each_s=60, connect_all_s=90))
        elapsed = time.monotonic() - started
        assert isinstance(found, Connected)
        assert found.address.port == port
        assert 0.2 < elapsed < 50
        found.sock.close()


async def test_a_refusal_starts_the_next_address_at_once(monkeypatch):
    monkeypatch.setattr("watchbell.smtp.endpoint.STAGGER_S", 100.0)
    async with listening() as port:
        started = time.monotonic()
        found = await connect([at(refused_port()), at(port)], Timeouts(connect_each_s=60, connect_all_s=90))
        assert time.monotonic() - started < 50
        assert isinstance(found, Connected)
        found.sock.close()


async def test_a_refused_connection_is_told_as_people_search_for_it():
    port = refused_port()
    found = await connect([at(port)])
    assert isinstance(found, Fault)
    assert found.reason is Reason.CONNECTION_REFUSED
    assert found.chain[0] == f"dial tcp 127.0.0.1:{port}: connect: connection refused (ECONNREFUSED)"
    assert any(entry.startswith("ConnectionRefusedError: ") for entry in found.chain)


async def test_silence_ends_at_the_time_for_each_address():
    async with black_hole() as port:
        started = time.monotonic()
        found = await connect([at(port)], Timeouts(connect_each_s=0.4, connect_all_s=100))
        assert time.monotonic() - started < 60
    assert isinstance(found, Fault)
    assert found.reason is Reason.CONNECTION_TIMED_OUT
    assert found.chain[0] == f"dial tcp 127.0.0.1:{port}: connect: connection timed out (ETIMEDOUT)"


async def test_the_time_for_all_addresses_ends_it_too():
    async with black_hole() as port:
        found = await connect([at(port), at(port, "127.0.0.2")], Timeouts(connect_each_s=9, connect_all_s=0.4))
    assert isinstance(found, Fault)
    assert found.reason is Reason.CONNECTION_TIMED_OUT
    assert [entry for entry in found.chain if "ETIMEDOUT" in entry] == [
        f"dial tcp 127.0.0.{number}:{port}: connect: connection timed out (ETIMEDOUT)" for number in (1, 2)
    ]


async def test_every_address_is_named_with_its_errno_and_the_telling_one_first(monkeypatch):
    port = refused_port()

    async def dial(sock, sockaddr):
        if ":" in sockaddr[0]:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return await real(sock, sockaddr)

    loop = asyncio.get_running_loop()
    real = loop.sock_connect
    monkeypatch.setattr(loop, "sock_connect", dial)
    found = await connect([at(port, "2001:db8::1"), at(port)], context=ReplyContext(host="mail.example", port=port))
    assert isinstance(found, Fault)
    assert found.reason is Reason.CONNECTION_REFUSED
    assert found.chain[:2] == (
        f"dial tcp 127.0.0.1:{port}: connect: connection refused (ECONNREFUSED)",
        f"dial tcp [2001:db8::1]:{port}: connect: network is unreachable (ENETUNREACH)",
    )


async def test_no_addresses_at_all_is_a_fault_of_resolving():
    found = await connect([])
    assert isinstance(found, Fault)
    assert found.reason is Reason.HOST_HAS_NO_ADDRESS


def open_sockets():
    gc.collect()
    return sum(isinstance(thing, socket.socket) and thing.fileno() >= 0 for thing in gc.get_objects())


async def test_no_socket_is_left_when_the_dialler_is_cancelled_at_any_moment():
    async with black_hole() as silent, listening() as port:
        before = open_sockets()
        for delay_s in (0, 0.001, 0.01, 0.26, 0.3):
            attempt = asyncio.create_task(connect([at(silent), at(port)]))
            await asyncio.wait([attempt], timeout=delay_s)
            attempt.cancel()
            with suppress(asyncio.CancelledError):
                (await attempt).sock.close()
        assert open_sockets() <= before + 1  # the listener's own side of the last connection may linger


async def test_losers_are_closed_and_only_the_winner_stays_open():
    async with black_hole() as silent, listening() as port:
        before = open_sockets()
        found = await connect([at(silent), at(silent), at(silent, "127.0.0.2"), at(port)])
        assert isinstance(found, Connected)
        found.sock.close()
        assert open_sockets() <= before + 1
