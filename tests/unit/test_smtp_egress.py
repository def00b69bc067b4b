# ruff: noqa: S104 - a row of a table stays on its line, and nothing is bound to 0.0.0.0 here
"""The egress policy: what may never be dialled is not dialled in any spelling, and flags lift exactly what they name."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.api.reasons import Reason
from watchbell.smtp.egress import EgressPolicy, check_address, check_port
from watchbell.smtp.model import StageName

USUAL = EgressPolicy(api_servers=("10.96.0.1", "kubernetes.default.svc"))
ALWAYS_DENIED_V4 = (
    "127.0.0.0/8",
    "169.254.0.0/16",
    "0.0.0.0/8",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "168.63.129.16/32",
    "100.100.100.200/32",
    "10.96.0.1/32",
)
DENIED = [
    "127.0.0.1", "127.255.255.254", "0.1.2.3", "169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16",
    "100.100.100.200", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "10.96.0.1", "0.0.0.0", "::", "::1", "fe80::1", "fe80::1%eth0",
    "ff02::1", "fd00:ec2::254", "fd20:ce::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1::a9fe:a9fe", "::ffff:0:127.0.0.1", "fe80::5efe:10.0.0.1",
    "2001:db8::5efe:127.0.0.1", "2001:0:a9fe:a9fe::", "::ffff:10.96.0.1", "64:ff9b::10.96.0.1",
]  # fmt: skip
ALLOWED = [
    "192.0.2.7",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.50",
    "100.64.0.1",
    "10.96.0.2",
    "2001:db8::1",
    "fd00::1",
    "64:ff9b::10.1.2.3",
    "::ffff:10.1.2.3",
]


@pytest.mark.parametrize("ip", DENIED)
def test_what_is_never_a_mail_server_is_denied(ip):
    found = check_address(USUAL, "smtp.example.com", ip)
    assert found is not None
    assert found.reason is Reason.DESTINATION_NOT_ALLOWED
    assert found.stage is StageName.POLICY
    assert found.is_permanent


@pytest.mark.parametrize("ip", ALLOWED)
def test_private_and_public_relays_are_allowed(ip):
    assert check_address(USUAL, "smtp.example.com", ip) is None


def spellings(address: IPv4Address) -> list[str]:
    """Each way in which an IPv4 address can hide in an IPv6 one."""
    value = int(address)
    return [
        str(address),
        str(IPv6Address((0xFFFF << 32) | value)),
        str(IPv6Address((0xFFFF << 48) | value)),
        str(IPv6Address((0x64FF9B << 96) | value)),
        str(IPv6Address((0x64FF9B0001 << 80) | value)),
        str(IPv6Address((0x2002 << 112) | (value << 80) | 1)),
        str(IPv6Address((0x20010000 << 96) | (value << 64))),
        str(IPv6Address((0x20010000 << 96) | (value ^ 0xFFFFFFFF))),
        str(IPv6Address((0x20010DB8 << 96) | (0x5EFE << 32) | value)),
    ]


denied_v4 = st.sampled_from(ALWAYS_DENIED_V4).map(IPv4Network).flatmap(
    lambda network: st.integers(0, network.num_addresses - 1).map(lambda offset: network[offset])
)  # fmt: skip


@given(denied_v4, st.sampled_from(["smtp.example.com", "localhost", "a.allowed.example"]))
@settings(max_examples=200, deadline=None)
def test_no_always_denied_address_passes_in_any_spelling(address, host):
    for spelling in spellings(address):
        mostly_zero = int(address) < 1 << 24
        if spelling == str(address) or not mostly_zero:
            assert check_address(USUAL, host, spelling) is not None, spelling


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_what_is_no_address_is_denied(text):
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        assert check_address(USUAL, "h", text) is not None


def test_an_allowed_cidr_lifts_loopback_and_its_mapped_form():
    policy = EgressPolicy(allow_cidrs=("127.0.0.0/8",))
    assert check_address(policy, "localhost", "127.0.0.1") is None
    assert check_address(policy, "localhost", "::ffff:127.0.0.1") is None
    assert check_address(policy, "localhost", "::1") is not None
    assert check_address(policy, "localhost", "169.254.169.254") is not None


def test_an_allowed_name_lifts_loopback_but_never_the_platform():
    policy = EgressPolicy(
        allow_hosts=("localhost", "*.corp.example"), api_servers=("10.96.0.1",), deny_cidrs=("10.0.0.0/8",)
    )
    assert check_address(policy, "localhost", "127.0.0.1") is None
    assert check_address(policy, "LOCALHOST.", "::1") is None
    assert check_address(policy, "mx.corp.example", "10.1.2.3") is None
    for ip in ("169.254.169.254", "10.96.0.1", "168.63.129.16", "fd00:ec2::254"):
        assert check_address(policy, "mx.corp.example", ip) is not None
    for host in ("corp.example", "evilcorp.example", "mx.corp.example.evil"):
        assert check_address(policy, host, "10.1.2.3") is not None


def test_denying_everything_leaves_what_is_allowed():
    policy = EgressPolicy(allow_cidrs=("192.0.2.0/24",), deny_cidrs=("0.0.0.0/0", "::/0"))
    assert check_address(policy, "a", "192.0.2.7") is None
    assert check_address(policy, "a", "::ffff:192.0.2.7") is None
    assert check_address(policy, "a", "198.51.100.1") is not None
    assert check_address(policy, "a", "2001:db8::1") is not None


def test_a_denied_cidr_denies_its_mapped_form_too():
    policy = EgressPolicy(deny_cidrs=("10.0.0.0/8",))
    assert check_address(policy, "a", "::ffff:10.1.2.3") is not None
    assert check_address(policy, "a", "11.1.2.3") is None


def test_the_api_servers_name_is_denied_wherever_it_points():
    assert check_address(USUAL, "kubernetes.default.svc", "192.0.2.7") is not None


@pytest.mark.parametrize(
    ("port", "is_allowed"),
    [
        (25, True),
        (465, True),
        (587, True),
        (2465, True),
        (2525, True),
        (2587, True),
        (22, False),
        (443, False),
        (0, False),
    ],
)
def test_only_mail_ports_are_allowed(port, is_allowed):
    assert (check_port(USUAL, port) is None) is is_allowed
