"""`watchbell probe` against living and broken servers: what it shows, what it never shows, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtprig import BYE, CANARY, GREET, OK, USER, Authority, Scripted, check_no_secret, ehlo, mail_server
from watchbell.smtp.certificate_bytes import link_of, links_of_pem

HEEDING_CTRL_C = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from watchbell.cli.main import main; sys.exit(main())"
)
"""A shell without job control starts what runs in the background with Ctrl-C ignored."""
IN_CLEAR = ("--tls", "none", "--allow-plaintext-login")
LOGIN = ("--user", USER, "--password-stdin")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, object]:
        return json.loads(self.out)


async def watchbell(*words: str, typed: str = "") -> Said:
    """The program as a process of its own; the servers run in the test's loop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "watchbell", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "NO_COLOR"},
    )
    async with asyncio.timeout(90):
        out, err = await process.communicate(typed.encode())
    said = Said(process.returncode or 0, out.decode(), err.decode())
    check_no_secret(said.out + said.err)
    return said


@pytest.fixture
def ca_file(authority: Authority, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_text(authority.pem)
    return str(path)


async def test_a_good_server_is_shown_stage_by_stage_and_takes_a_test_mail(authority, ca_file):
    async with mail_server(tls=authority.server_context()) as server:
        words = ("--ca-file", ca_file, *LOGIN, "--to", "Ops <ops@example.com>", "--transcript")
        said = await watchbell("probe", f"127.0.0.1:{server.port}", *words, typed=CANARY + "\n")
        assert said.code == 0, said.err
        stages = [line.split()[1] for line in said.out.splitlines() if line.startswith("  ok ")]
        assert stages == [
            *("Policy", "Resolve", "Connect", "Greeting", "Hello", "StartTLS", "TLS", "Hello"),
            *("Authenticate", "Sender", "Recipient", "Data"),
        ]
        for told in (
            "now encrypted",
            "TLSv1.3",
            "220 relay.test",
            "Certificates, as the server sent them",
            "for localhost, relay.test, 127.0.0.1",
            "days left",
            "takes logins: AUTH",
            "the server said: 250 2.0.0 queued as 1",
            "S: 235",
            "The server took the mail. That is all SMTP can tell",
        ):
            assert told in said.out
        assert "\x1b" not in said.out
        sender, recipients, mail = server.inbox.messages[0]
        assert (sender, recipients) == (USER, ["ops@example.com"])
        assert b"handed to 127.0.0.1:" in mail


async def test_without_a_recipient_nothing_is_sent_and_the_sender_is_only_asked_for(authority, ca_file):
    async with mail_server(tls=authority.server_context()) as server:
        said = await watchbell(
            "probe", f"127.0.0.1:{server.port}", "--ca-file", ca_file, *LOGIN, "--from", USER, typed=CANARY
        )
        assert (said.code, server.inbox.messages, server.inbox.resets) == (0, [], 1)
        assert "  ok    Sender" in said.out


async def test_json_holds_the_whole_report(authority, ca_file):
    async with mail_server(tls=authority.server_context(), is_implicit=True) as server:
        words = ("--tls", "implicit", "--ca-file", ca_file, "-o", "json")
        said = await watchbell("probe", f"127.0.0.1:{server.port}", *words)
    assert said.code == 0
    report = said.report
    assert (report["result"], report["fault"], report["tlsMode"]) == ("Passed", None, "Implicit")
    assert report["server"]["addresses"] == ["127.0.0.1"]
    assert report["server"]["certificates"][0]["names"] == ["localhost", "relay.test", "127.0.0.1"]
    assert report["transcript"][1].startswith("S: 220 relay.test")


async def test_a_certificate_that_is_not_trusted_is_shown_all_the_same(authority):
    async with mail_server(tls=authority.server_context()) as server:
        said = await watchbell("probe", f"127.0.0.1:{server.port}")
        assert said.code == 1
        assert "CertificateUntrusted, at stage TLS" in said.out
        assert "for localhost, relay.test, 127.0.0.1" in said.out
        assert "Give the issuing CA: --ca-file ca.pem" in said.out
        gone_on = await watchbell("probe", f"127.0.0.1:{server.port}", "--insecure")
        assert gone_on.code == 0
        assert "The certificate was not verified" in gone_on.out


FAULTS = {
    "a foreign protocol": ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "close"), IN_CLEAR, "NotAnSmtpServer", "Greeting"),
    "a refusing greeting": ((b"554 5.7.1 no\r\n", "close"), IN_CLEAR, "GreetingRejected", "Greeting"),
    "a busy server": ((b"421 4.3.2 later\r\n", "close"), IN_CLEAR, "ServerBusy", "Greeting"),
    "a reset": (("abort",), IN_CLEAR, "ConnectionReset", "Greeting"),
    "a refused name": ((GREET, "r", b"550 5.7.1 bad HELO\r\n", *BYE), IN_CLEAR, "EhloRejected", "Hello"),
    "no STARTTLS": ((GREET, "r", ehlo("SIZE 1000"), *BYE), (), "StartTlsNotOffered", "StartTLS"),
    "STARTTLS struck out": ((GREET, "r", ehlo("XXXXXXXA"), *BYE), (), "StartTlsStripped", "StartTLS"),
    "plain text on a TLS port": ((GREET, "hang"), ("--tls", "implicit"), "PlaintextOnTlsPort", "TLS"),
    "no logins": ((GREET, "r", ehlo("SIZE 1000"), *BYE), (*IN_CLEAR, *LOGIN), "AuthNotOffered", "Authenticate"),
    "a rejected login": (
        (GREET, "r", ehlo("AUTH PLAIN"), "r", b"535 5.7.8 bad " + CANARY.encode() + b"\r\n", *BYE),
        (*IN_CLEAR, *LOGIN), "CredentialsRejected", "Authenticate",
    ),
    "a login in clear text": ((GREET, "r", ehlo("AUTH PLAIN"), *BYE), ("--tls", "none", *LOGIN), "EncryptionRequired", "Authenticate"),
    "a refused sender": (
        (GREET, "r", ehlo(), "r", b"550 5.7.60 not yours\r\n", *BYE), (*IN_CLEAR, "--from", USER), "SenderNotAllowed", "Sender",
    ),
    "a refused recipient": (
        (GREET, "r", ehlo(), "r", OK, "r", b"550 5.1.1 who?\r\n", "r", OK, *BYE),
        (*IN_CLEAR, "--from", USER, "--to", "x@example.com"), "RecipientUnknown", "Recipient",
    ),
    "a refused mail": (
        (GREET, "r", ehlo(), "r", OK, "r", OK, "r", b"354 go\r\n", "data", b"554 5.7.1 spam\r\n", *BYE),
        (*IN_CLEAR, "--from", USER, "--to", "x@example.com"), "ContentRejected", "Data",
    ),
    "a lost last reply": (
        (GREET, "r", ehlo(), "r", OK, "r", OK, "r", b"354 go\r\n", "data", "abort"),
        (*IN_CLEAR, "--from", USER, "--to", "x@example.com"), "DeliveryOutcomeUnknown", "Data",
    ),
    "two replies at once": ((GREET, "r", OK + OK, "hang"), IN_CLEAR, "ProtocolViolation", "Hello"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_every_group_of_faults_is_told_with_its_stage_its_chain_and_what_to_do(name):
    script, words, reason, stage = FAULTS[name]
    async with Scripted(script) as server:
        said = await watchbell("probe", f"127.0.0.1:{server.port}", *words, typed=CANARY)
    assert said.code == 1, said.err
    assert f"{reason}, at stage {stage}" in said.out
    assert f"  FAIL  {stage}" in said.out
    told = said.out.split("What to do\n")[1]
    assert told.startswith("  - ")
    assert "spec." not in told
    assert "    1. " in said.out


@pytest.mark.parametrize(
    ("host", "words", "reason"),
    [
        ("127.0.0.1:1", (), "ConnectionRefused"),
        ("a..b", (), "InvalidHost"),
        ("127.0.0.1:1", ("--ca-file", "{junk}"), "InvalidCABundle"),
    ],
)
async def test_a_server_that_cannot_be_reached_is_told_and_what_was_not_tried(host, words, reason, tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    said = await watchbell("probe", host, *(word.format(junk=junk) for word in words))
    assert said.code == 1
    assert f"{reason}, at stage" in said.out
    assert "TLS                    not tried" in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("smtp://host",), "HOST must be a server's name or address, not a URL: host"),
        (("host", "--user", "u"), "--user needs a password: give it with --password-stdin, or type it on a terminal"),
        (("host", "--password-stdin"), "--password-stdin needs --user"),
        (("host", *LOGIN), "the password is empty"),
        (("host", "--to", "a@example.com"), "--to needs --from"),
        (("host", "--from", "nobody"), "--from nobody: "),
        (("host", "--from", USER, "--to", "a b"), "--to a b: "),
        (("host", "--ca-file", "nowhere.pem"), "--ca-file nowhere.pem cannot be read: No such file or directory"),
        (("host", "--client-cert", __file__), "--client-cert and --client-key must be given together"),
        (("host", "--timeout", "0"), "must be seconds from 1 to 3600, not '0'"),
    ],
)
async def test_a_wrong_order_is_told_in_one_line_with_exit_code_2(words, told):
    said = await watchbell("probe", *words)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err


async def test_ctrl_c_ends_without_a_traceback():
    async with Scripted(("hang",)) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HEEDING_CTRL_C, "probe", f"127.0.0.1:{server.port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"Connect" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
    assert process.returncode == 130
    assert err == b"watchbell: interrupted; nothing was sent\n"


def test_a_certificate_is_described_from_its_bytes_and_junk_is_not(authority):
    links = links_of_pem(authority.pem)
    assert links is not None
    assert links[0].is_authority
    assert links[0].key == "EC secp256r1"
    assert links_of_pem("nothing") is None
    assert link_of(b"junk") is None
