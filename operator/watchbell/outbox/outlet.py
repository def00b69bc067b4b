"""The port through which the outbox asks where a message may go: connectors answer it, and the outbox knows nothing else of them.

Before it: a message that is due names a connector (or none). After it: the courier opens a session to `Outlet.relay`, or the message waits.
It must not know how a connector is found, proven or allowed, nor read a Secret.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from watchbell.api.enums import Use
from watchbell.api.reasons import Reason
from watchbell.mail.address import Mailbox
from watchbell.mail.dkim import DkimKey
from watchbell.smtp.model import Fault, Relay

__all__ = [
    "Allowance",
    "ConnectorKey",
    "ConnectorRef",
    "Outlet",
    "OutletLimits",
    "OutletSource",
    "Slowdown",
    "Unavailable",
    "Use",
]


@dataclass(frozen=True, slots=True)
class ConnectorRef:
    """`spec.connectorRef` of a message: `kind` is SmtpConnector (same namespace) or ClusterSmtpConnector."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class ConnectorKey:
    """One connector of the cluster; `namespace` is empty for a ClusterSmtpConnector."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much may go out over a minute and a day; 0 = no limit. All connectors with the same `scope` share it."""

    scope: str
    messages_per_minute: int = 0
    messages_per_day: int = 0
    recipients_per_day: int = 0

    @property
    def is_limited(self) -> bool:
        """Whether any limit is set."""
        return bool(self.messages_per_minute or self.messages_per_day or self.recipients_per_day)


@dataclass(frozen=True, slots=True)
class OutletLimits:
    """What one connector takes: `limits` and `recipientPolicy` of its spec, domains in lower case as A-labels.

    `allowances`: the connector's own, its parent's, and what is known of the provider; a mail counts against each of them.
    """

    max_connections: int = 2
    max_recipients_per_message: int = 50
    max_message_bytes: int = 10_485_760
    allowed_domains: tuple[str, ...] = ()
    denied_domains: tuple[str, ...] = ()
    allowances: tuple[Allowance, ...] = ()


@dataclass(frozen=True, slots=True)
class Outlet:
    """A connector that takes mail now: the relay to open and what each mail through it must carry.

    `stands_in_for`: the connector that the message names, when this one is its `fallbackRef` and takes over.
    """

    key: ConnectorKey
    relay: Relay
    sender: Mailbox
    reply_to: tuple[Mailbox, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    limits: OutletLimits = OutletLimits()
    stands_in_for: ConnectorKey | None = None
    dkim: DkimKey | None = None


@dataclass(frozen=True, slots=True)
class Slowdown:
    """The provider asked a connector's login to slow down. `messages_per_minute` 0 = nothing goes out before `end`."""

    reason: Reason
    messages_per_minute: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No mail can go out through this connector now; the message waits, and no attempt is counted. `reason` is shown on the message.

    `is_unjudged`: this process has only just begun and knows nothing of the connector yet; the message waits a moment and nothing is shown.
    """

    reason: Reason
    message: str
    is_unjudged: bool = False


class OutletSource(Protocol):
    """What the outbox needs of connectors. `outlet` answers from memory where it can: it stands on the path of every mail."""

    async def outlet(self, namespace: str, ref: ConnectorRef | None, use: Use) -> Outlet | Unavailable:
        """The connector that a message of this namespace may use; `ref` None = the default connector."""
        ...

    def report(self, key: ConnectorKey, fault: Fault) -> None:
        """A send ended in this fault of the session or transaction; never called for a fault of single recipients."""
        ...

    def broken(self, key: ConnectorKey, fault: Fault) -> None:
        """No mail goes to the connector's relay for now: sending failed again and again, or its login was refused. `fault` is the last failure."""
        ...

    def slowed(self, key: ConnectorKey, slowdown: Slowdown) -> None:
        """The provider asked to slow down, or says that the quota is used up."""
        ...
