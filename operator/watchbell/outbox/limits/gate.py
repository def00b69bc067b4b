"""Whether a mail that is ready to go may go now: limits, the provider's own pace, and the breaker of its relay. Pure; the hour comes in.

Before it: the courier has composed a mail. After it: a session is opened, or the connector's line waits. Every `Pass` comes back exactly once, with
`ended` or `unused`; what came of it moves pace and breaker, and the courier passes the news on. `counts` keeps what must survive a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from watchbell.api.reasons import Reason
from watchbell.outbox.limits import breaker as breakers
from watchbell.outbox.limits.breaker import CLOSED, Answer, Breaker
from watchbell.outbox.limits.budget import Budgets, Full, Grant, Measure, Rule, rules_of
from watchbell.outbox.limits.pace import Pace, slowed
from watchbell.outbox.outlet import ConnectorKey, Outlet, Slowdown
from watchbell.outbox.retry import Schedule, delay_s
from watchbell.smtp.model import Fault, Relay, RetryClass, StageName

_AFTER_LOGIN = frozenset({StageName.SENDER, StageName.RECIPIENT, StageName.DATA})
_SWEEP_S = 600.0
_STALE_S = 7200.0
_NAMES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """One mail that is ready to go, to so many recipients; `lane` is the line that it stands in."""

    lane: ConnectorKey
    recipients: int
    is_high: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """The mail may go, now. To be given back."""

    outlet: Outlet
    circuit: str
    account: str
    grant: Grant
    is_trial: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """The mail must wait, and no attempt is counted. `until`: when the next of its line may go; then `batch` in each `span_s`.

    `measure` is the limit that was met, if it was one of ours. `fault` is set when the breaker is open and its connector has not been told so.
    """

    reason: Reason
    message: str
    until: float
    batch: int = 1
    span_s: float = 0.0
    measure: Measure | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What the end of a mail has changed: the breaker opened, lines that wait no more, the provider's wish to slow down."""

    opened: Fault | None = None
    released: tuple[ConnectorKey, ...] = ()
    slowdown: Slowdown | None = None


@dataclass(frozen=True, slots=True)
class Closure:
    """The provider's quota is used up until then."""

    start: float
    until: float


@dataclass(slots=True)
class _Circuit:
    """The breaker of one server and login, who waits for it, and which connectors know that it is open."""

    breaker: Breaker
    lanes: set[ConnectorKey]
    told: set[ConnectorKey]


class Gate:
    """All limits, paces and breakers of the process."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._circuits: dict[str, _Circuit] = {}
        self._swept = 0.0
        self._full: dict[tuple[str, Measure], set[ConnectorKey]] = {}
        self._names: dict[int, tuple[Relay, str, str]] = {}
        self.budgets = Budgets()
        self.paces: dict[str, Pace] = {}
        self.closures: dict[str, Closure] = {}
        self.is_changed = False

    @property
    def open_breakers(self) -> int:
        """How many relays are left alone at present."""
        return sum(circuit.breaker.is_open for circuit in self._circuits.values())

    def admit(self, outlet: Outlet, request: Request, now: float) -> Pass | Blocked:
        """Whether the mail may go now. Blocked takes nothing away from any limit."""
        self._sweep(now)
        key, account = self._names_of(outlet.relay)
        circuit = self._circuits.get(key)
        answer = breakers.ask(circuit.breaker, now) if circuit else Answer.GO
        if circuit is not None and answer is Answer.WAIT:
            return _broken(circuit, outlet, request)
        closure = self.closures.get(account)
        if closure is not None and now < closure.until:
            text = f"the provider's quota of {outlet.key} is used up; the next mail tries at {_hour(closure.until)}"
            return Blocked(Reason.RATE_LIMITED, text, closure.until)
        rules = (*rules_of(outlet.limits.allowances), *self._own_rule(account, now))
        asked = self.budgets.ask(rules, request.recipients, is_high=request.is_high, now=now)
        if isinstance(asked, Full):
            self._full.setdefault((asked.rule.scope, asked.rule.measure), set()).add(request.lane)
            return _full(asked, outlet, is_slowed=asked.rule.scope == _pace_scope(account))
        if circuit is not None and answer is Answer.TRY:
            circuit.breaker = breakers.trying(circuit.breaker, now)
        return Pass(outlet, key, account, asked, is_trial=answer is Answer.TRY)

    def unused(self, passed: Pass, now: float) -> tuple[ConnectorKey, ...]:
        """The mail did not go after all: nothing was said to the relay. The lanes that wait for what it has taken or was to find out."""
        lanes = self._give_back(passed)
        circuit = self._circuits.get(passed.circuit)
        if not passed.is_trial or circuit is None:
            return lanes
        return lanes + _ajar(circuit, now)

    def ended(self, passed: Pass, fault: Fault | None, now: float) -> News:
        """The relay was tried. `fault` is that of the session or transaction; a session that could not be opened has used nothing up."""
        is_unused = fault is not None and fault.stage not in _AFTER_LOGIN
        lanes = self._give_back(passed) if is_unused else ()
        slowdown = self._slow_down(passed, fault, now) if fault is not None else None
        opened, released = self._move(passed, fault, now)
        return News(opened, lanes + released, slowdown)

    def proven(self, key: ConnectorKey, now: float) -> tuple[ConnectorKey, ...]:
        """A probe of this connector passed: one mail may try its relay, if that was left alone. The lanes that wait for it."""
        lanes = [_ajar(circuit, now) for circuit in self._circuits.values() if key in circuit.told]
        return tuple(lane for row in lanes for lane in row)

    # --- inside

    def _names_of(self, relay: Relay) -> tuple[str, str]:
        """Circuit and account, which cost two hashes: once for each connector and not for each mail."""
        known = self._names.get(id(relay))
        if known is None or known[0] is not relay:
            if len(self._names) >= _NAMES_MAX:
                self._names.clear()
            known = self._names[id(relay)] = (relay, relay.circuit, relay.account)
        return known[1:]

    def _give_back(self, passed: Pass) -> tuple[ConnectorKey, ...]:
        """There is room again: the lanes that were told that there is none."""
        self.budgets.give_back(passed.grant)
        rows = [self._full.pop((rule.scope, rule.measure), ()) for rule in passed.grant.rules]
        return tuple(lane for row in rows for lane in row)

    def _own_rule(self, account: str, now: float) -> tuple[Rule]:
        """What the provider's complaints have left of the rate. Without any it limits nothing, and counts what one would be halved from."""
        pace = self.paces.get(account)
        return (Rule(_pace_scope(account), Measure.MESSAGES_PER_MINUTE, pace.limit_at(now) if pace else 0),)

    def _move(self, passed: Pass, fault: Fault | None, now: float) -> tuple[Fault | None, tuple[ConnectorKey, ...]]:
        circuit = self._circuits.get(passed.circuit) or _Circuit(CLOSED, set(), set())
        before = circuit.breaker
        if before.is_open and not passed.is_trial and fault is not None and not breakers.is_refusal(fault):
            # It was on its way when the breaker opened, and tells nothing new.
            return None, ()
        circuit.breaker = breakers.after(before, fault, now)
        if circuit.breaker == CLOSED:
            self._circuits.pop(passed.circuit, None)
            return None, tuple(circuit.lanes)
        self._circuits[passed.circuit] = circuit
        if not circuit.breaker.is_open or before.is_open:
            return None, ()
        circuit.told.add(passed.outlet.key)
        return circuit.breaker.fault, ()

    def _slow_down(self, passed: Pass, fault: Fault, now: float) -> Slowdown | None:
        """Only what is said after the login counts: before it, anybody who knows the user name could slow others down."""
        if fault.stage not in _AFTER_LOGIN:
            return None
        if fault.reason is Reason.QUOTA_EXCEEDED:
            return self._close(passed.account, now)
        if fault.reason is not Reason.RATE_LIMITED:
            return None
        before = self.paces.get(passed.account)
        limits = [
            rule.limit for rule in passed.grant.rules if rule.measure is Measure.MESSAGES_PER_MINUTE and rule.limit
        ]
        sent = self.budgets.used(_pace_scope(passed.account), Measure.MESSAGES_PER_MINUTE, now)
        pace = slowed(before, min(limits, default=0), sent, now)
        if pace == before:
            return None
        self.paces[passed.account] = pace
        self.is_changed = True
        return Slowdown(fault.reason, pace.limit_at(now), _time(now), _time(pace.recovered_at))

    def _close(self, account: str, now: float) -> Slowdown | None:
        before = self.closures.get(account)
        if before is not None and now < before.until:
            return None
        wait_s = delay_s(self._schedule, RetryClass.D, 1, 0.5) or 0.0
        self.closures[account] = Closure(now, now + wait_s)
        self.is_changed = True
        return Slowdown(Reason.QUOTA_EXCEEDED, 0, _time(now), _time(now + wait_s))

    def _sweep(self, now: float) -> None:
        if 0 <= now - self._swept < _SWEEP_S:
            return
        self._swept = now
        self.budgets.sweep(now)
        self.paces = {key: pace for key, pace in self.paces.items() if pace.limit_at(now)}
        self.closures = {key: closure for key, closure in self.closures.items() if now < closure.until}
        self._circuits = _living(self._circuits, now)


def _ajar(circuit: _Circuit, now: float) -> tuple[ConnectorKey, ...]:
    circuit.breaker = breakers.half_open(circuit.breaker, now)
    lanes = tuple(circuit.lanes)
    circuit.lanes.clear()
    return lanes


def _living(circuits: Mapping[str, _Circuit], now: float) -> dict[str, _Circuit]:
    """Without those that nobody has asked for long: their password or host is another now."""
    return {key: circuit for key, circuit in circuits.items() if not 0 < circuit.breaker.until < now - _STALE_S}


def _broken(circuit: _Circuit, outlet: Outlet, request: Request) -> Blocked:
    breaker, fault = circuit.breaker, circuit.breaker.fault
    is_new, why = outlet.key not in circuit.told, f"{fault.reason}: {fault.message}" if fault else "it was changed"
    circuit.lanes.add(request.lane)
    circuit.told.add(outlet.key)
    text = f"{outlet.key} takes no mail at present, so its relay is left alone for a while; the last failure was {why}"
    return Blocked(Reason.CONNECTOR_NOT_READY, text, breaker.until, fault=fault if is_new else None)


def _full(full: Full, outlet: Outlet, *, is_slowed: bool) -> Blocked:
    rule = full.rule
    if is_slowed:
        text = f"the provider asked {outlet.key} to slow down, to {rule.limit} messages a minute for now"
    else:
        text = f"limits.{rule.measure} ({rule.limit}) of {_owner(rule.scope, outlet)} is used up"
    return Blocked(Reason.RATE_LIMITED, text, full.until, full.batch, full.span_s, rule.measure)


def _owner(scope: str, outlet: Outlet) -> str:
    return f"the provider of {outlet.key}" if scope == outlet.relay.account else scope


def _pace_scope(account: str) -> str:
    return f"pace/{account}"


def _time(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC)


def _hour(now: float) -> str:
    return _time(now).strftime("%H:%M UTC")
