"""What the reconcilers of this package are given by `runtime`: clients, clocks and chance, in one frozen value."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from watchbell.connectors.assemble import Allowances
from watchbell.kube.client import Client
from watchbell.kube.events import EventRecorder
from watchbell.outbox.outlet import ConnectorKey
from watchbell.smtp.session import Dialer


@dataclass(frozen=True, slots=True)
class Parts:
    """`home` is the operator's namespace; `namespaces` are those that are served (none: all).

    `on_ready` hears of every connector whose readiness changed, `on_proven` of every probe that passed as far as the spec wants; `leading` says who
    may act.
    """

    client: Client
    dialer: Dialer
    recorder: EventRecorder
    home: str
    cluster_name: str
    allowances: Allowances
    workers: int
    clock: Callable[[], float]
    now: Callable[[], datetime]
    chance: Callable[[], float]
    leading: Callable[[], bool]
    on_ready: Callable[[ConnectorKey], None]
    namespaces: tuple[str, ...] = ()
    on_proven: Callable[[ConnectorKey], None] = lambda _key: None
