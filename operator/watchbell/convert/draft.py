"""What every reader of foreign settings fills in, and what it says about each key that it did not take (pure).

Before: `javamail`, `settings`, `alertmanager`, `grafana`, `django`. After: `objects` makes the connector and the Secret of it.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from watchbell.api.enums import Mechanism, TlsMode, TlsVersion
from watchbell.api.sensitive import Sensitive

TRUE_WORDS = frozenset({"true", "1", "yes", "on", "y", "t"})
FALSE_WORDS = frozenset({"false", "0", "no", "off", "n", "f", ""})


class Verdict(StrEnum):
    """What became of a key that is not simply taken over."""

    REFUSED = "refused"
    IGNORED = "ignored"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Note:
    """One key of the source and why it is not in the result as it stood. Never holds a secret value."""

    verdict: Verdict
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.key}: {self.reason}"


class UnreadableError(ValueError):
    """The source as a whole cannot be read; the text names the place and the cure."""


@dataclass(slots=True)
class Draft:
    """A connector in the making. Empty = the source did not say. `has_login` None: a login follows from the user name."""

    host: str = ""
    port: int = 0
    mode: TlsMode | None = None
    username: str = ""
    password: Sensitive | None = None
    domain: str = ""
    mechanism: Mechanism = Mechanism.AUTO
    has_login: bool | None = None
    sender: str = ""
    sender_name: str = ""
    reply_to: str = ""
    hello_name: str = ""
    server_name: str = ""
    min_version: TlsVersion | None = None
    is_unverified: bool = False
    has_private_ca: bool = False
    has_client_certificate: bool = False
    timeout_s: int = 0
    notes: list[Note] = field(default_factory=list)

    def refuse(self, key: str, reason: str) -> None:
        """A key that has no equal here, or must not have one."""
        self.notes.append(Note(Verdict.REFUSED, key, reason))

    def ignore(self, key: str, reason: str) -> None:
        """A key without which nothing is missing."""
        self.notes.append(Note(Verdict.IGNORED, key, reason))

    def change(self, key: str, reason: str) -> None:
        """A key that is taken, but not as it stood."""
        self.notes.append(Note(Verdict.CHANGED, key, reason))

    @property
    def logs_in(self) -> bool:
        """Whether there is a login."""
        return bool(self.username) if self.has_login is None else self.has_login

    def set_port(self, key: str, text: str) -> None:
        """A port, or a refusal."""
        if text.strip().isdecimal() and 1 <= int(text) <= 65535:
            self.port = int(text)
        else:
            self.refuse(key, f"must be a port from 1 to 65535, not {text[:40]!r}")

    def set_address(self, key: str, text: str) -> None:
        """`host:port` as Go programs write it, IPv6 in brackets; port 25 where none is given."""
        host, colon, port = text.rpartition(":")
        self.host = (host if colon else text).strip("[]")
        if colon:
            self.set_port(key, port)
        else:
            self.port = 25

    def set_client_certificate(self, key: str) -> None:
        """A certificate in a file, which stands in a Secret here."""
        self.has_client_certificate = True
        self.change(
            key,
            "put both files into a Secret that opts in: kubectl create secret tls smtp-client --cert=FILE --key=FILE",
        )

    def set_password(self, key: str, text: str) -> None:
        """A password, unless it is only the mask that a panel shows in its place."""
        if text and not text.strip("*"):
            self.refuse(key, "holds only asterisks: that is the mask of a panel and not the password")
        elif text:
            self.password = Sensitive(text)
            self.change(key, "goes into the Secret; it is printed with --with-secret only")


def flag(text: object) -> bool | None:
    """A yes or no as configuration files spell it; None for anything else."""
    word = str(text).strip().lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None
