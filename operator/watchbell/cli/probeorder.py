"""The flags of `watchbell probe` as one order: the relay, how far to go, and the test mail if there is one.

Before: `diagnosisoptions` read the flags. After: `probe` carries it out. Reads the files that flags name and the password, and nothing else.
"""

import argparse
import getpass
import secrets
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from watchbell.api.enums import Level, Mechanism
from watchbell.api.sensitive import Sensitive
from watchbell.api.times import stamp
from watchbell.cli.console import CommandError, harmless
from watchbell.cli.target import USUAL_PORTS, mode_of, read_target
from watchbell.mail.address import AddressProblem, Mailbox, WireAddress, parse_mailbox, wire_address
from watchbell.mail.message import Draft, MessageProblem, build, message_id
from watchbell.smtp.model import AuthPlan, Envelope, Relay, Timeouts, TlsPlan

MAX_FILE_BYTES = 1_048_576
MAX_PASSWORD_CHARACTERS = 8_192


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done: `mail` None = nothing is sent."""

    relay: Relay
    level: Level
    mail: tuple[Envelope, bytes] | None


def order_of(flags: argparse.Namespace) -> Order:
    """The flags as an order. Raises CommandError (code 2) with the flag's name."""
    try:
        host, port = read_target(flags.target)
    except ValueError as error:
        raise CommandError(str(error), 2) from error
    sender = _wire("--from", flags.sender or (flags.user if "@" in (flags.user or "") and flags.to else None))
    tls = _tls(flags, port)
    relay = Relay(
        host=host,
        port=port or USUAL_PORTS[tls.mode],
        tls=tls,
        auth=_login(flags),
        mail_from=sender.text if sender else "",
        hello_name=flags.hello or "",
        timeouts=replace(Timeouts(), total_probe_s=flags.timeout, quit_s=2),
    )
    return Order(relay, Level.SENDER if sender else Level.AUTHENTICATE, _mail(flags, relay, sender))


def _tls(flags: argparse.Namespace, port: int | None) -> TlsPlan:
    plan = TlsPlan(
        mode=mode_of(flags.tls, port),
        server_name=flags.server_name,
        ca_pem=_file("--ca-file", flags.ca_file),
        client_cert_pem=_file("--client-cert", flags.client_cert),
        client_key_pem=_secret_file("--client-key", flags.client_key),
        verify=not flags.insecure,
    )
    if (plan.client_cert_pem is None) != (plan.client_key_pem is None):
        raise CommandError("--client-cert and --client-key must be given together", 2)
    return plan


def _login(flags: argparse.Namespace) -> AuthPlan | None:
    mechanism = next(one for one in Mechanism if one.lower() == flags.mechanism)
    if mechanism is Mechanism.EXTERNAL:
        return AuthPlan(flags.user or "", mechanism=mechanism)
    if not flags.user:
        if flags.password_stdin:
            raise CommandError("--password-stdin needs --user", 2)
        return None
    return AuthPlan(flags.user, _password(flags), mechanism, plaintext_allowed=flags.allow_plaintext_login)


def _password(flags: argparse.Namespace) -> Sensitive:
    """From standard input or typed unseen; never from a flag, which every user of the machine can read in the list of processes."""
    if flags.password_stdin:
        text = sys.stdin.read(MAX_PASSWORD_CHARACTERS).removesuffix("\n").removesuffix("\r")
    elif sys.stdin.isatty():
        text = getpass.getpass(f"Password of {harmless(flags.user)}: ")
    else:
        raise CommandError("--user needs a password: give it with --password-stdin, or type it on a terminal", 2)
    if not text:
        raise CommandError("the password is empty", 2)
    if any(ord(char) < 32 for char in text):
        raise CommandError("the password must be one line without control characters", 2)
    return Sensitive(text)


def _file(flag: str, name: str | None) -> str | None:
    if name is None:
        return None
    try:
        with Path(name).open(encoding="utf-8") as file:
            return file.read(MAX_FILE_BYTES)
    except UnicodeError:
        raise CommandError(f"{flag} {name} must be a PEM file, which is text", 2) from None
    except OSError as error:
        raise CommandError(f"{flag} {name} cannot be read: {error.strerror}", 2) from error


def _secret_file(flag: str, name: str | None) -> Sensitive | None:
    text = _file(flag, name)
    return Sensitive(text) if text is not None else None


def _wire(flag: str, address: str | None) -> WireAddress | None:
    if address is None:
        return None
    wire = wire_address(address)
    if isinstance(wire, AddressProblem):
        raise CommandError(f"{flag} {address}: {wire.message}", 2)
    return wire


def _mail(flags: argparse.Namespace, relay: Relay, sender: WireAddress | None) -> tuple[Envelope, bytes] | None:
    if not flags.to:
        return None
    if sender is None:
        raise CommandError("--to needs --from: the address that the test mail comes from", 2)
    boxes = tuple(_recipient(text) for text in flags.to)
    wires = [wire for box in boxes if (wire := _wire("--to", box.address)) is not None]
    payload = build(_draft(Mailbox("", flags.sender or flags.user), boxes, relay, sender.domain))
    if isinstance(payload, MessageProblem):
        raise CommandError(f"the test mail cannot be made: {payload.field}: {payload.message}", 2)
    needs_utf8 = any(wire.needs_smtputf8 for wire in (*wires, sender))
    return Envelope(relay.mail_from, tuple(wire.text for wire in wires), needs_utf8), payload


def _recipient(text: str) -> Mailbox:
    box = parse_mailbox(text)
    if isinstance(box, AddressProblem):
        raise CommandError(f"--to {text}: {box.message}", 2)
    return box


def _draft(sender: Mailbox, recipients: tuple[Mailbox, ...], relay: Relay, domain: str) -> Draft:
    now = datetime.now(UTC)
    return Draft(
        sender=sender,
        to=recipients,
        subject=f"Test mail through {relay.host}",
        text=f"This mail was handed to {relay.endpoint} by `watchbell probe` on {stamp(now)}, and it reached you.\n\n"
        "Did it land in the spam folder? Then the sender's domain lacks an SPF, DKIM or DMARC record that fits this server.\n",
        message_id=message_id((secrets.token_hex(8), "probe"), domain),
        date=now,
    )
