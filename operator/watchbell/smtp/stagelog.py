"""The record of one session: each stage with its result and duration, and a short redacted transcript.

Written by `session`, `probe` and `submit` as they go; read by those who report. It never sees an AUTH line of ours.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.model import Fault, ServerFacts, StageName, StageReport, StageResult
from watchbell.smtp.server_text import sanitise

TRANSCRIPT_LINES = 64
_LINE_BYTES = 512
_FULL = "-- more was said and is not kept --"


class StageMark:
    """What the code inside of a stage says about its end; silence means that the stage passed."""

    __slots__ = ("fault", "reason")

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self.reason: Reason | None = None


Watcher = Callable[[StageName, StageReport | None], None]
"""Told of a stage that begins (None) and of each that ends, for those who show a session as it happens. It must not raise."""


def _nobody(_: StageName, __: StageReport | None) -> None:
    """The operator reads reports when they are whole."""


class StageLog:
    """Collects the reports of one session's stages in the order in which they were first entered.

    With StartTLS the Hello stage is passed twice; its report holds the sum of both durations and the later result. A `watch` is told of both.
    `keeps_certificates`: the chain that the server shows is kept in `facts`, which costs some kilobytes.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, watch: Watcher = _nobody, keeps_certificates: bool = False
    ) -> None:
        self._clock = clock
        self._watch = watch
        self.keeps_certificates = keeps_certificates
        self._reports: dict[StageName, StageReport] = {}
        self._lines: list[str] = []
        self._secrets: tuple[Sensitive, ...] = ()
        self.current: StageName | None = None
        """The stage under way, or the one that was under way when the session was cancelled."""
        self.facts = ServerFacts()
        """What the server showed of itself so far, also when the session failed later."""

    @property
    def stages(self) -> tuple[StageReport, ...]:
        """All reports so far."""
        return tuple(self._reports.values())

    @property
    def transcript(self) -> tuple[str, ...]:
        """At most 64 lines: `S:` the server, `C:` we, `--` a remark. Scrubbed here and not line by line: most transcripts are never read."""
        return tuple(sanitise(line, self._secrets, _LINE_BYTES) for line in self._lines)

    def keep_out(self, secrets: tuple[Sensitive, ...]) -> None:
        """Name what may never show up in the transcript, whoever says it."""
        self._secrets += secrets

    @contextmanager
    def stage(self, name: StageName) -> Iterator[StageMark]:
        """Time one stage. A cancelled stage stays `current` and is reported as failed, its reason to be given by `fail`."""
        mark = StageMark()
        started = self._clock()
        self.current = name
        self._watch(name, None)
        try:
            yield mark
        except BaseException:
            self._write(StageReport(name, StageResult.FAILED), started)
            raise
        self.current = None
        self._write(_report(name, mark), started)

    def learn(self, **facts: object) -> None:
        """Add to `facts`; a later EHLO replaces what an earlier one said."""
        self.facts = replace(self.facts, **facts)  # type: ignore[arg-type] # names and types are those of ServerFacts, checked at run time

    def fail(self, name: StageName, fault: Fault) -> None:
        """Give a stage its fault after the fact: when the whole probe ran out of time within it."""
        self._reports[name] = _failed(name, fault, self._duration_ms(name))

    def append(self, reports: tuple[StageReport, ...]) -> None:
        """Add the reports of a transaction that kept its own."""
        self._reports.update({report.name: report for report in reports})
        for report in reports:
            self._watch(report.name, report)

    def skip(self, name: StageName, reason: Reason = Reason.NOT_PROBED) -> None:
        """Report a stage as not done, unless it was."""
        self._reports.setdefault(name, StageReport(name, StageResult.SKIPPED, reason=reason))

    def said(self, line: str) -> None:
        """A line of ours, without the line end. Never call it with an AUTH line."""
        self._note("C: " + line)

    def heard(self, code: int, text: str) -> None:
        """A reply of the server."""
        lines = text.split("\n")
        for line in lines[:-1]:
            self._note(f"S: {code}-{line}")
        self._note(f"S: {code} {lines[-1]}".rstrip())

    def remark(self, text: str) -> None:
        """Something that happened between lines: TLS, a time-out, AUTH that is not shown."""
        self._note(f"-- {text} --")

    @property
    def is_full(self) -> bool:
        """Whether the transcript takes no more lines, so that the hot path need not make them."""
        return len(self._lines) >= TRANSCRIPT_LINES

    def _note(self, line: str) -> None:
        if len(self._lines) < TRANSCRIPT_LINES - 1:
            self._lines.append(line)
        elif len(self._lines) == TRANSCRIPT_LINES - 1:
            self._lines.append(_FULL)

    def _duration_ms(self, name: StageName) -> int:
        report = self._reports.get(name)
        return report.duration_ms if report else 0

    def _write(self, report: StageReport, started: float) -> None:
        elapsed_ms = round((self._clock() - started) * 1000)
        self._watch(report.name, replace(report, duration_ms=elapsed_ms))
        self._reports[report.name] = replace(report, duration_ms=elapsed_ms + self._duration_ms(report.name))


def _report(name: StageName, mark: StageMark) -> StageReport:
    if mark.fault is not None:
        return _failed(name, mark.fault, 0)
    return StageReport(name, StageResult.PASSED, reason=mark.reason)


def _failed(name: StageName, fault: Fault, duration_ms: int) -> StageReport:
    return StageReport(
        name,
        StageResult.FAILED,
        duration_ms,
        fault.reason,
        fault.code,
        fault.enhanced_code,
        fault.message,
        fault.chain,
    )
