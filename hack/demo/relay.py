"""A mail relay for the demo: a real SMTP server on loopback with STARTTLS, its own CA and a login, that keeps what it takes as files."""

import email
import email.policy
import itertools
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from controlplane.servers import free_ports


@dataclass(slots=True)
class Arrived:
    """One mail as it came."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    eml: Path
    html: Path | None


@dataclass(slots=True)
class Inbox:
    """The handler: writes each mail to `folder` and answers 250 only then."""

    folder: Path
    mails: list[Arrived] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep the mail."""
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        number = next(self._numbers)
        eml = self.folder / f"{number:02}.eml"
        eml.write_bytes(content)
        message = email.message_from_bytes(content, policy=email.policy.default)
        body = message.get_body(("html",))
        html = self.folder / f"{number:02}.html" if body is not None else None
        if body is not None and html is not None:
            html.write_text(str(body.get_content()), encoding="utf-8")
        self.mails.append(Arrived(str(envelope.mail_from), tuple(envelope.rcpt_tos), message, eml, html))
        return f"250 2.0.0 kept as {eml.name}"


class Relay:
    """The server; `port`, `ca_pem` and `inbox` after `start`."""

    def __init__(self, folder: Path, username: str, password: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.inbox = Inbox(folder)
        # aiosmtpd tries its own port once it listens, so it cannot take any free one.
        (self.port,) = free_ports(1)
        authority = trustme.CA(organization_name="watchbell demo CA")
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.ca_pem = authority.cert_pem.bytes().decode()

        def login(_server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: object) -> AuthResult:
            good = (
                isinstance(data, LoginPassword)
                and data.login == username.encode()
                and data.password == password.encode()
            )
            return AuthResult(success=good and mechanism in {"PLAIN", "LOGIN"}, handled=False)

        self._controller = Controller(
            self.inbox,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=context,
            require_starttls=True,
            authenticator=login,
            auth_required=True,
            ident="watchbell demo relay",
        )

    def start(self) -> None:
        """Listen, in a thread of its own."""
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        self._controller.stop()
