"""What may go out now by the limits of a connector, its parent and its provider, and else when. Pure; the hour comes in.

Before it: `gate` has a mail that is ready to go. After it: the mail goes, or its connector's line waits. A mail counts against every allowance
that it falls under, or against none. A tenth of each limit (none of limits below ten) is kept back for priority High, so that an alert still goes
out when a mass mailing has used up the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watchbell.outbox.limits.window import DAY, MINUTE, Row, Span, Window
from watchbell.outbox.outlet import Allowance


class Measure(StrEnum):
    """What is counted; also the label of metrics and the name of the field in `limits`."""

    MESSAGES_PER_MINUTE = "messagesPerMinute"
    MESSAGES_PER_DAY = "messagesPerDay"
    RECIPIENTS_PER_DAY = "recipientsPerDay"

    @property
    def span(self) -> Span:
        """Over which time."""
        return MINUTE if self is Measure.MESSAGES_PER_MINUTE else DAY


KEPT = (Measure.MESSAGES_PER_DAY, Measure.RECIPIENTS_PER_DAY)
"""What is kept over a restart: forgetting a minute's count costs a minute's worth at most."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit of one scope. `limit` 0 = none, but it is counted all the same."""

    scope: str
    measure: Measure
    limit: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The mail may go. What it took, for `give_back`: messages and recipients under these rules, at `time`."""

    time: float
    recipients: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Full:
    """The mail must wait. `until`: when the next one may go by what is known now; `batch` more go in each `span_s` after that."""

    until: float
    rule: Rule
    batch: int
    span_s: float


def open_to(limit: int, *, is_high: bool) -> int:
    """How much of a limit a mail of this priority may use."""
    return limit if is_high else limit - limit // 10


def rules_of(allowances: Iterable[Allowance]) -> tuple[Rule, ...]:
    """Every limit that is set."""
    rules = [
        Rule(allowance.scope, measure, limit)
        for allowance in allowances
        for measure, limit in (
            (Measure.MESSAGES_PER_MINUTE, allowance.messages_per_minute),
            (Measure.MESSAGES_PER_DAY, allowance.messages_per_day),
            (Measure.RECIPIENTS_PER_DAY, allowance.recipients_per_day),
        )
    ]
    return tuple(rule for rule in rules if rule.limit)


def recipients_at_once(most: int, allowances: Iterable[Allowance]) -> int:
    """So many recipients a transaction may have that it fits into every allowance once that is free."""
    daily = (open_to(one.recipients_per_day, is_high=False) for one in allowances if one.recipients_per_day)
    return max(1, min((most, *daily)))


class Budgets:
    """The counts of all scopes.

    `is_due`: some count has used up half of its margin since it was last kept, and so is to be kept now.
    """

    def __init__(self) -> None:
        self.is_due = False
        self._windows: dict[tuple[str, Measure], Window] = {}
        self._unsaved: dict[tuple[str, Measure], int] = {}
        self._limits: dict[tuple[str, Measure], int] = {}

    def ask(self, rules: Sequence[Rule], recipients: int, *, is_high: bool, now: float) -> Grant | Full:
        """Count the mail under all rules, or under none."""
        waits = [full for rule in rules if (full := self._full(rule, recipients, is_high=is_high, now=now)) is not None]
        if waits:
            return max(waits, key=lambda full: full.until)
        grant = Grant(now, recipients, tuple(rules))
        self._count(grant, recipients, 1)
        return grant

    def give_back(self, grant: Grant, *, recipients: int = 0, is_sent: bool = False) -> None:
        """The mail went to `recipients` only, or (not `is_sent`) was not sent at all."""
        self._count(grant, recipients - grant.recipients, 0 if is_sent else -1)

    def used(self, scope: str, measure: Measure, now: float) -> int:
        """What counts now."""
        window = self._windows.get((scope, measure))
        return window.used(now) if window else 0

    def kept(self, now: float) -> dict[tuple[str, Measure], tuple[Row, ...]]:
        """What has to be kept over a restart, a little too much of it: `margin` more stand in it than were counted, and may go unkept."""
        kept = {}
        for key, window in self._windows.items():
            if key[1] in KEPT and (rows := window.rows(now)):
                kept[key] = rows
        return kept

    def load(self, scope: str, measure: Measure, rows: Iterable[Row]) -> None:
        """What an earlier process has counted."""
        self._windows[scope, measure] = Window(measure.span, rows)

    def margin(self, key: tuple[str, Measure]) -> int:
        """So many may be counted before the count has to be kept again: a hundredth of the limit."""
        return max(1, self._limits.get(key, 0) // 100)

    @property
    def is_saved(self) -> bool:
        """Whether nothing was counted since the counts were last kept."""
        return not self._unsaved

    def saving(self) -> dict[tuple[str, Measure], int]:
        """The counts are about to be kept. What was not kept yet, to be given back to `unsaved` should that fail."""
        unsaved, self._unsaved, self.is_due = self._unsaved, {}, False
        return unsaved

    def unsaved(self, counts: Mapping[tuple[str, Measure], int]) -> None:
        """So much more is to be kept."""
        for key, count in counts.items():
            total = self._unsaved[key] = max(0, self._unsaved.get(key, 0) + count)
            self.is_due = self.is_due or 2 * total >= self.margin(key)

    def sweep(self, now: float) -> None:
        """Forget scopes of which nothing counts any more."""
        for key in [key for key, window in self._windows.items() if not window.used(now)]:
            del self._windows[key]
            self._limits.pop(key, None)

    def _full(self, rule: Rule, recipients: int, *, is_high: bool, now: float) -> Full | None:
        if not rule.limit:
            return None
        limit = open_to(rule.limit, is_high=is_high)
        count = recipients if rule.measure is Measure.RECIPIENTS_PER_DAY else 1
        free_at = self._window(rule).free_at(now, limit, count)
        if free_at <= now:
            return None
        span = rule.measure.span
        return Full(free_at, rule, max(1, limit // max(1, count)), span.span_s + span.slot_s)

    def _count(self, grant: Grant, recipients: int, messages: int) -> None:
        for rule in grant.rules:
            count = recipients if rule.measure is Measure.RECIPIENTS_PER_DAY else messages
            if not count:
                continue
            key = rule.scope, rule.measure
            self._window(rule).add(grant.time, count)
            if rule.measure in KEPT:
                self._limits[key] = rule.limit
                self.unsaved({key: count})

    def _window(self, rule: Rule) -> Window:
        key = rule.scope, rule.measure
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(rule.measure.span)
        return window
