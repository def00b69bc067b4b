"""Both ways of reading a certificate tell the same."""

import ssl

import pytest
import trustme
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from watchbell.smtp.certificate import Certificate, certificate_of, distinguished_name
from watchbell.smtp.certificate_bytes import certificate_of_bytes


def shaken(authority, leaf, tmp_path):
    """What Python's ssl tells of `leaf` once it was verified: a handshake in memory."""
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    leaf.configure_cert(server_side)
    authority.configure_trust(client_side)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname="smtp.example.com")
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert(), client.getpeercert(binary_form=True)


@pytest.mark.parametrize(
    "names",
    [
        ("smtp.example.com",),
        ("smtp.example.com", "192.0.2.7", "*.example.org"),
        ("smtp.example.com", *(f"n{i}.example" for i in range(30))),
    ],
)
def test_a_verified_certificate_and_its_bytes_say_the_same(names, tmp_path):
    authority = trustme.CA(organization_name="Private, Inc.")
    leaf = authority.issue_cert(*names, common_name="smtp.example.com", organization_name='Mail "Team"')
    told, der = shaken(authority, leaf, tmp_path)
    assert der is not None
    shown = certificate_of(told or {})
    parsed = certificate_of_bytes(der)
    assert shown is not None
    assert shown == parsed
    assert shown.names[0] == "smtp.example.com"
    assert shown.not_after.endswith("Z")


def test_an_unverified_certificate_tells_nothing_and_broken_bytes_are_no_failure():
    assert certificate_of({}) is None
    assert certificate_of_bytes(b"\x30\x03\x02\x01\x01") == Certificate()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40))
def test_names_are_escaped_as_rfc_4514_says(text):
    library = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
    assert distinguished_name(((("commonName", text),),)) == library.rfc4514_string()
