"""Which tellings go now, and which of them share a mail (pure): what waits, what went out before, the policy's plan, now → mails, or waits.

Before: `mailroom` gathers what is due. After: it makes the mails. The rules, in the order in which they apply:
- `max_incidents` 1: a mail for each incident after its own wait, no period.
- Critical waits for nothing; what is Critical at the same moment shares a mail.
- Else the first that has waited long enough takes along all that waits, and begins a period; what comes within it goes as one at its end. Trouble and
  recovery have a period each, so nobody waits to hear that all is well because of the mail that said it was not.
- What a silence held back goes in one mail when it has ended.
- `messages_per_hour` is a bucket of tokens, one a mail. The last mail that it allows takes up to `THROTTLED_MAX` tellings; what is left waits for the
  next token. Nothing is dropped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from watchbell.api.enums import Severity, Transition
from watchbell.collectors.casework.decisions import Rest
from watchbell.collectors.rules import Plan

THROTTLED_MAX = 200
HOUR_S = 3600.0
_ORDER = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


class Why(StrEnum):
    """Why several tellings share a mail."""

    TOGETHER = "Together"
    THROTTLED = "Throttled"
    SILENCE_ENDED = "SilenceEnded"


@dataclass(frozen=True, slots=True)
class Request:
    """A telling that is due from `due` on. `key` names it; `silence`: which silence held it back until now."""

    key: str
    transition: Transition
    severity: Severity
    due: datetime
    silence: str = ""

    @property
    def is_urgent(self) -> bool:
        """Whether it waits for no company."""
        return self.severity is Severity.CRITICAL

    @property
    def is_recovery(self) -> bool:
        """Whether it is good news."""
        return self.transition is Transition.RESOLVED


@dataclass(frozen=True, slots=True)
class Batch:
    """The tellings of one mail, the most urgent first. One alone is told by a mail of its own."""

    keys: tuple[str, ...]
    why: Why = Why.TOGETHER
    silence: str = ""

    @property
    def is_digest(self) -> bool:
        """Whether it is a mail that lists."""
        return len(self.keys) > 1 or self.why is Why.SILENCE_ENDED


@dataclass(frozen=True, slots=True)
class History:
    """What a policy sent before: `tokens` as of `at`, and when the running periods of trouble and of recovery began."""

    tokens: float = float("inf")
    at: datetime | None = None
    trouble_since: datetime | None = None
    recovery_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Mailing:
    """What goes now; the history once it went; why the others wait, and for how long (None = nobody waits)."""

    batches: tuple[Batch, ...]
    history: History
    held: tuple[tuple[str, Rest], ...] = ()
    wait_s: float | None = None


def plan_mails(waiting: Iterable[Request], history: History, plan: Plan, now: datetime) -> Mailing:
    """See the module's text."""
    history = _refilled(history, plan, now)
    ordered = sorted(waiting, key=lambda item: (_ORDER[item.severity], item.due, item.key))
    due, held, wait_s = _due(ordered, history, plan, now)
    batches = _packed(due, plan)
    allowed = int(history.tokens)
    if len(batches) > allowed:
        batches = _squeezed(batches, allowed)
    sent = {key for batch in batches for key in batch.keys}
    throttled = [item for item in due if item.key not in sent]
    if throttled:
        token_s = (1.0 - (history.tokens - len(batches))) * HOUR_S / plan.messages_per_hour
        wait_s = token_s if wait_s is None else min(wait_s, token_s)
    held += [(item.key, Rest.THROTTLED) for item in throttled]
    went = [item for item in due if item.key in sent]
    return Mailing(batches, _after(history, went, len(batches), plan, now), tuple(held), wait_s)


def sent_before(times: Sequence[tuple[datetime, bool]], plan: Plan, now: datetime) -> History:
    """The history that the mails of an earlier process left: when each went, and whether it told of recovery only."""
    history = History(tokens=float(plan.messages_per_hour), at=None)
    for time, is_recovery in sorted(times):
        history = _refilled(history, plan, time)
        history = replace(history, tokens=max(0.0, history.tokens - 1))
        period = timedelta(seconds=plan.period_s)
        if is_recovery:
            history = replace(history, recovery_since=_begun(history.recovery_since, period, time))
        else:
            history = replace(history, trouble_since=_begun(history.trouble_since, period, time))
    return _refilled(history, plan, now)


def _refilled(history: History, plan: Plan, now: datetime) -> History:
    """Tokens drip in one by one; never more than an hour's."""
    most = float(plan.messages_per_hour)
    if history.at is None:
        return replace(history, tokens=min(history.tokens, most), at=now)
    passed_s = max(0.0, (now - history.at).total_seconds())
    return replace(history, tokens=min(most, history.tokens + passed_s * most / HOUR_S), at=max(now, history.at))


def _due(
    ordered: Sequence[Request], history: History, plan: Plan, now: datetime
) -> tuple[list[Request], list[tuple[str, Rest]], float | None]:
    """Who goes now, budget aside; who waits, why, and for how long at most."""
    due: list[Request] = []
    held: list[tuple[str, Rest]] = []
    waits: list[float] = []
    for is_recovery in (False, True):
        lane = [item for item in ordered if item.is_recovery is is_recovery]
        since = history.recovery_since if is_recovery else history.trouble_since
        period_left_s = 0.0 if since is None else plan.period_s - (now - since).total_seconds()
        # A clock that was set back must not make anybody wait for longer than a period.
        period_left_s = min(period_left_s, plan.period_s) if plan.max_incidents > 1 else 0.0
        go, stay, left_s = _lane(lane, period_left_s, plan, now)
        due += go
        held += stay
        waits += [left_s] if stay else []
    due.sort(key=lambda item: (_ORDER[item.severity], item.due, item.key))
    return due, held, min(waits, default=None)


def _lane(
    lane: Sequence[Request], period_left_s: float, plan: Plan, now: datetime
) -> tuple[list[Request], list[tuple[str, Rest]], float]:
    ripe = [item for item in lane if item.due <= now]
    if plan.max_incidents == 1:
        stay = [item for item in lane if item.due > now]
        return ripe, _held(stay, Rest.WAITING_FOR_MORE), _first_due_s(stay, now)
    at_once = [item for item in ripe if item.is_urgent or item.silence]
    others = [item for item in lane if item.due > now or not (item.is_urgent or item.silence)]
    if period_left_s > 0:
        return at_once, _held(others, Rest.HELD_FOR_DIGEST), period_left_s
    if len(ripe) > len(at_once):
        return list(lane), [], 0.0
    return at_once, _held(others, Rest.WAITING_FOR_MORE), _first_due_s(others, now)


def _held(items: Iterable[Request], rest: Rest) -> list[tuple[str, Rest]]:
    return [(item.key, rest) for item in items]


def _first_due_s(items: Iterable[Request], now: datetime) -> float:
    return max(0.0, min(((item.due - now).total_seconds() for item in items), default=0.0))


def _packed(due: Sequence[Request], plan: Plan) -> tuple[Batch, ...]:
    """Mails of at most `max_incidents`: what a silence held back apart, urgent trouble apart, recovery apart."""
    parts: dict[tuple[str, bool, bool], list[Request]] = {}
    for item in due:
        kind = (item.silence, False, False) if item.silence else ("", item.is_recovery, item.is_urgent)
        parts.setdefault(kind, []).append(item)
    batches: list[Batch] = []
    for (silence, _, _), items in parts.items():
        size = THROTTLED_MAX if silence else plan.max_incidents
        for start in range(0, len(items), size):
            keys = tuple(item.key for item in items[start : start + size])
            batches.append(Batch(keys, Why.SILENCE_ENDED if silence else Why.TOGETHER, silence))
    return tuple(batches)


def _squeezed(batches: Sequence[Batch], allowed: int) -> tuple[Batch, ...]:
    """As many mails as the budget allows, the last of which takes as many tellings as a mail can list. Ended silences keep their own mail."""
    if allowed <= 0:
        return ()
    first, rest = tuple(batches[: allowed - 1]), batches[allowed - 1 :]
    if rest[0].why is Why.SILENCE_ENDED:
        return (*first, rest[0])
    keys = [key for batch in rest if batch.why is not Why.SILENCE_ENDED for key in batch.keys]
    return (*first, Batch(tuple(keys[:THROTTLED_MAX]), Why.THROTTLED))


def _after(history: History, went: Sequence[Request], mails: int, plan: Plan, now: datetime) -> History:
    """Tokens taken, and a period begun by what would have waited for one. Urgent news within a period do not prolong it."""
    period = timedelta(seconds=plan.period_s)
    trouble = any(not item.is_recovery for item in went)
    recovery = any(item.is_recovery for item in went)
    return replace(
        history,
        tokens=history.tokens - mails,
        trouble_since=_begun(history.trouble_since, period, now) if trouble else history.trouble_since,
        recovery_since=_begun(history.recovery_since, period, now) if recovery else history.recovery_since,
    )


def _begun(since: datetime | None, period: timedelta, now: datetime) -> datetime:
    return since if since is not None and since <= now < since + period else now
