"""SmtpTest: the "Test connection" button. It runs the very probe and the very send of the courier once, and keeps what it saw.

A test runs once. It says `Sending` before the mail leaves, so that one that was cut off by a crash ends as `OutcomeUnknown` and never mails
twice.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watchbell.api.conditions import Condition, condition_of, merge
from watchbell.api.enums import Level, TestLevel
from watchbell.api.meta import parse
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.api.smtptest import SmtpTest
from watchbell.api.times import moment, stamp
from watchbell.connectors import outcome
from watchbell.connectors.assemble import Assembled
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.details import personal
from watchbell.connectors.parts import Parts
from watchbell.connectors.reconcile import Connectors
from watchbell.connectors.records import Record, invalid
from watchbell.connectors.trialmail import TrialMail, trial_mail
from watchbell.kube.client import custom
from watchbell.kube.errors import ApiError, Conflict, NotFound
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.logs import about
from watchbell.outbox.outlet import ConnectorRef, Outlet, Unavailable, Use
from watchbell.smtp.model import ProbeReport, Relay
from watchbell.smtp.probe import deliver, probe

log = logging.getLogger(__name__)

MANAGER = "watchbell-tests"
RESOURCE = custom("smtptests")
CLEAN_UP_S = 1800.0
LEVELS = {TestLevel.CONNECT: Level.TLS, TestLevel.AUTHENTICATE: Level.AUTHENTICATE}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do for one test: run it, or delete it (`expires_uid`) when its time is over."""

    namespace: str
    name: str
    expires_uid: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended, as it goes into its status."""

    conditions: tuple[Condition, ...]
    details: Mapping[str, Any]


class Trials:
    """Runs SmtpTests, a few at a time."""

    def __init__(self, parts: Parts, connectors: Connectors) -> None:
        self._parts = parts
        self._connectors = connectors
        self._bodies: dict[Task, Mapping[str, Any]] = {}
        self._results: dict[Task, Result] = {}
        self.queue: WorkQueue[Task] = WorkQueue(self._run_one, workers=4, name="smtptests", clock=parts.clock)

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.queue.run())
            group.create_task(self._clean_up())

    def changed(self, body: Mapping[str, Any]) -> None:
        """A test was seen; finished ones are left alone."""
        key = Task(*_key(body))
        if (body.get("status") or {}).get("completionTime"):
            self._bodies.pop(key, None)
            return
        if key not in self._bodies:
            self._bodies[key] = body
            self.queue.add(key)

    def deleted(self, body: Mapping[str, Any]) -> None:
        """A test is gone, or finished and out of the watch."""
        task = Task(*_key(body))
        self._bodies.pop(task, None)
        self._results.pop(task, None)

    def lead(self) -> None:
        """This replica works from now on."""
        for key in self._bodies:
            self.queue.add(key)

    async def _run_one(self, task: Task) -> None:
        if not self._parts.leading():
            return
        if task.expires_uid:
            await self._expire(task)
            return
        body = self._bodies.get(task)
        if body is None:
            return
        if task not in self._results:
            # Kept until it is written: a status that could not be written must not run the test again.
            self._results[task] = CUT_OFF if _has_begun(body) else await self._result(task, body)
        await self._finish(body, self._results[task])
        self._bodies.pop(task, None)
        self._results.pop(task, None)

    async def _result(self, task: Task, body: Mapping[str, Any]) -> Result:
        parsed = parse(SmtpTest, dict(body))
        if isinstance(parsed, tuple):
            return _refused(invalid(parsed))
        ready = await self._prepare(parsed)
        if isinstance(ready, Refusal):
            return _refused(ready)
        now = self._parts.now()
        mail = trial_mail(parsed, ready.outlet, self._parts.cluster_name, now) if _delivers(parsed) else None
        if isinstance(mail, Refusal):
            return _refused(mail)
        begun = {"startTime": stamp(now)}
        await self._write(body, _running(), begun)
        self._bodies[task] = {**body, "status": {"conditions": [{"type": "Succeeded", "reason": Reason.SENDING}]}}
        report = personal(await self._act(parsed, ready, mail), ready, self._parts.home)
        details = begun | _details(report, ready.outlet) | ({"messageID": mail.message_id} if mail else {})
        return Result(_verdict(report, parsed.spec.level), details)

    async def _prepare(self, test: SmtpTest) -> Assembled | Refusal:
        namespace = test.metadata.namespace or ""
        ref = test.spec.connector_ref
        record = await self._connectors.located(namespace, ConnectorRef(str(ref.kind), ref.name) if ref else None)
        if isinstance(record, Unavailable):
            return Refusal("Accepted", record.reason, record.message)
        refusal = await self._connectors.permitted(record, namespace, Use.TEST)
        if refusal is not None:
            return refusal
        return _suspension(record) or await self._connectors.assembled(record)

    async def _act(self, test: SmtpTest, ready: Assembled, mail: TrialMail | None) -> ProbeReport:
        relay, dialer = hurried(ready.outlet.relay, test.spec.timeout_seconds), self._parts.dialer
        if mail is None:
            return await probe(relay, dialer, LEVELS[test.spec.level])
        return await deliver(relay, dialer, mail.envelope, mail.payload)

    async def _finish(self, body: Mapping[str, Any], result: Result) -> None:
        now = self._parts.now()
        await self._write(body, result.conditions, {**result.details, "completionTime": stamp(now)})
        log.info(
            "smtp test finished",
            extra=about(
                test=body["metadata"]["name"],
                namespace=body["metadata"]["namespace"],
                reason=str(result.conditions[0].reason),
            ),
        )
        seconds = (body.get("spec") or {}).get("ttlSecondsAfterFinished")
        if isinstance(seconds, int):
            self.queue.add_after(Task(*_key(body), str(body["metadata"]["uid"])), seconds)

    async def _expire(self, task: Task) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._parts.client.delete(RESOURCE, task.name, task.namespace, uid=task.expires_uid)

    async def _clean_up(self) -> None:
        """Finished tests are not watched, so the timers of those that an earlier process finished are set from a list."""
        while True:
            try:
                await self._set_timers()
            except ApiError as error:
                log.warning("cannot list finished tests", extra=about(error=str(error)))
            await asyncio.sleep(CLEAN_UP_S)

    async def _set_timers(self) -> None:
        for namespace in self._parts.namespaces or (None,):
            for body in await self._parts.client.list(RESOURCE, namespace):
                seconds = (body.get("spec") or {}).get("ttlSecondsAfterFinished")
                finished = moment((body.get("status") or {}).get("completionTime"))
                if isinstance(seconds, int) and finished is not None:
                    left_s = seconds - (self._parts.now() - finished).total_seconds()
                    self.queue.add_after(Task(*_key(body), str(body["metadata"]["uid"])), max(0.0, left_s))

    async def _write(
        self, body: Mapping[str, Any], conditions: tuple[Condition, ...], details: Mapping[str, Any]
    ) -> None:
        metadata, current = body["metadata"], body.get("status") or {}
        generation = int(metadata.get("generation") or 0)
        wanted = {
            **details,
            "observedGeneration": generation,
            "conditions": merge(current.get("conditions") or [], conditions, generation, self._parts.now()),
        }
        ref = ObjectRef(
            API_VERSION, "SmtpTest", str(metadata["name"]), str(metadata["namespace"]), str(metadata["uid"])
        )
        await write_status(self._parts.client, RESOURCE, ref, wanted, None, manager=MANAGER)


def hurried(relay: Relay, limit_s: float) -> Relay:
    """The relay with no stage longer than `limit_s`: a stage that hangs is named, where cutting off the whole would only say "too long"."""
    given = relay.timeouts
    shorter = {
        name: min(getattr(given, name), limit_s)
        for name in ("greeting_s", "command_s", "auth_s", "token_s", "total_probe_s")
    }
    data = {
        name: min(getattr(given, name), limit_s) for name in ("data_initiation_s", "data_block_s", "data_termination_s")
    }
    return replace(relay, timeouts=replace(given, **shorter, **data))


def _key(body: Mapping[str, Any]) -> tuple[str, str]:
    return str(body["metadata"]["namespace"]), str(body["metadata"]["name"])


def _delivers(test: SmtpTest) -> bool:
    return test.spec.level is TestLevel.DELIVER


def _suspension(record: Record) -> Refusal | None:
    spec = record.spec()
    if isinstance(spec, Refusal):
        return spec
    if spec.suspend:
        return Refusal("Ready", Reason.SUSPENDED, f"{record.key} is suspended: spec.suspend must be false for a test")
    return None


def _running() -> tuple[Condition, ...]:
    return (
        Condition("Succeeded", "Unknown", Reason.SENDING, "the test is running"),
        Condition("Reconciling", "True", Reason.SENDING, "the test is running"),
    )


def _has_begun(body: Mapping[str, Any]) -> bool:
    return condition_of(body, "Succeeded").get("reason") == Reason.SENDING


def _ended(reason: Reason, message: str, *, is_good: bool = False) -> tuple[Condition, ...]:
    text = message[:1024]
    if is_good:
        return (Condition("Succeeded", "True", reason, text),)
    return (Condition("Succeeded", "False", reason, text), Condition("Stalled", "True", reason, text))


def _refused(refusal: Refusal) -> Result:
    return Result(_ended(refusal.reason, refusal.message), {})


CUT_OFF = Result(
    _ended(Reason.OUTCOME_UNKNOWN, "the operator stopped while this test ran; create another one"),
    {},
)


def _verdict(report: ProbeReport, level: TestLevel) -> tuple[Condition, ...]:
    fault = report.fault
    if fault is not None:
        reason = Reason.OUTCOME_UNKNOWN if fault.reason is Reason.DELIVERY_OUTCOME_UNKNOWN else fault.reason
        return _ended(reason, "; ".join((f"{fault.stage}: {fault.message}", *fault.remedies)))
    if level is TestLevel.DELIVER:
        return _ended(
            Reason.ACCEPTED_BY_SERVER,
            "the first server took the test mail; whether it arrives, SMTP cannot tell",
            is_good=True,
        )
    return _ended(Reason.STAGES_PASSED, f"every stage up to {level} passed; nothing was sent", is_good=True)


def _details(report: ProbeReport, outlet: Outlet) -> dict[str, Any]:
    details: dict[str, Any] = {
        "endpoint": outlet.relay.endpoint,
        "tlsMode": str(outlet.relay.tls.mode),
        "resolvedFrom": str(outlet.key),
        "server": outcome.server_entry(report.server),
        "stages": outcome.stage_entries(report.stages),
        "transcript": [line[:512] for line in report.transcript[:64]],
    }
    if report.fault is not None:
        details["remediation"] = [line[:512] for line in report.fault.remedies[:8]]
    return details
