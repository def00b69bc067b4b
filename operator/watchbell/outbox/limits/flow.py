"""The gate with its news passed on: metrics, the connector's condition, lines that may move again, counts that are to be kept.

Before it: the courier asks for every mail, and tells how every relay that was tried took it. After it: `gate` decides, purely; here nothing is
decided and nothing is waited for.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from watchbell import metrics
from watchbell.outbox.limits.breaker import cause_of
from watchbell.outbox.limits.gate import Blocked, Gate, Pass, Request
from watchbell.outbox.outlet import ConnectorKey, Outlet, OutletSource
from watchbell.smtp.model import Fault


@dataclass(frozen=True, slots=True)
class Flow:
    """`keep` has the counts written if that is due; `release` lets lanes move again."""

    gate: Gate
    outlets: OutletSource
    now: Callable[[], datetime]
    keep: Callable[[], None]
    release: Callable[[Iterable[ConnectorKey]], None]

    def admit(self, outlet: Outlet, request: Request) -> Pass | Blocked:
        """Whether a mail may go now."""
        answer = self.gate.admit(outlet, request, self._seconds())
        if isinstance(answer, Blocked) and answer.fault is not None:
            self.outlets.broken(outlet.key, answer.fault)
        return answer

    def unused(self, passed: Pass) -> None:
        """The mail did not go after all."""
        self.release(self.gate.unused(passed, self._seconds()))

    def ended(self, passed: Pass, fault: Fault | None) -> None:
        """The relay was tried."""
        key = passed.outlet.key
        news = self.gate.ended(passed, fault, self._seconds())
        if news.opened is not None:
            metrics.BREAKER_OPENINGS.labels(cause_of(news.opened).value).inc()
            self.outlets.broken(key, news.opened)
        if news.slowdown is not None:
            metrics.SLOWDOWNS.labels(news.slowdown.reason.value).inc()
            self.outlets.slowed(key, news.slowdown)
        if news.released:
            self.release(news.released)
        self.keep()

    def _seconds(self) -> float:
        return self.now().timestamp()
