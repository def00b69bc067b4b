"""SmtpTest: the "Test connection" button. It runs the very probe and the very send of the courier once, and keeps what it saw.

A test runs once. It says `Sending` before the mail leaves, so that one that was cut off by a crash ends as `OutcomeUnknown` and never mails
twice.
"""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watchbell.api.conditions import Condition, find, merge
from watchbell.api.enums import Level, TestLevel, TlsMode
from watchbell.api.meta import parse
from watchbell.api.names import API_VERSION
from watchbell.api.reasons import Reason
from watchbell.api.smtptest import SmtpTest
from watchbell.connectors import outcome
from watchbell.connectors.assemble import Assembled
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.parts import Parts
from watchbell.connectors.reconcile import Connectors
from watchbell.connectors.records import Record, invalid
from watchbell.connectors.restore import moment
from watchbell.kube.client import custom
from watchbell.kube.errors import Conflict, NotFound
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.logs import about
from watchbell.mail.address import Mailbox, WireAddress, parse_mailbox, wire_address
from watchbell.mail.message import Draft, MessageProblem, build, message_id
from watchbell.mail.trial import TrialFacts, render_trial
from watchbell.outbox.outlet import ConnectorRef, Outlet, Unavailable, Use
from watchbell.smtp.model import Envelope, Fault, ProbeReport, Relay, RetryClass, ServerFacts, StageName
from watchbell.smtp.probe import deliver, probe
from watchbell.smtp.remedies import personalise

log = logging.getLogger(__name__)

MANAGER = "watchbell-tests"
RESOURCE = custom("smtptests")
LEVELS = {TestLevel.CONNECT: Level.TLS, TestLevel.AUTHENTICATE: Level.AUTHENTICATE}


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do for one test: run it, or delete it (`expires_uid`) when its time is over."""

    namespace: str
    name: str
    expires_uid: str = ""


class Trials:
    """Runs SmtpTests, a few at a time."""

    def __init__(self, parts: Parts, connectors: Connectors) -> None:
        self._parts = parts
        self._connectors = connectors
        self._bodies: dict[Task, Mapping[str, Any]] = {}
        self.queue: WorkQueue[Task] = WorkQueue(self._run_one, workers=4, name="smtptests", clock=parts.clock)

    async def run(self) -> None:
        """Works until cancelled."""
        await self.queue.run()

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
        self._bodies.pop(Task(*_key(body)), None)

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
        started = find((body.get("status") or {}).get("conditions") or [], "Succeeded")
        if started and started.get("reason") == Reason.SENDING:
            await self._finish(
                body, _ended(Reason.OUTCOME_UNKNOWN, "the operator stopped while this test ran; create another one"), {}
            )
        else:
            await self._try(body)
        self._bodies.pop(task, None)

    async def _try(self, body: Mapping[str, Any]) -> None:
        parsed = parse(SmtpTest, dict(body))
        if isinstance(parsed, tuple):
            refusal = invalid(parsed)
            await self._finish(body, _ended(refusal.reason, refusal.message), {})
            return
        ready = await self._prepare(parsed)
        if isinstance(ready, Refusal):
            await self._finish(body, _ended(ready.reason, ready.message), {})
            return
        await self._write(body, _running(), {})
        report = await self._act(parsed, ready)
        await self._finish(body, _verdict(report, parsed.spec.level), _details(report, ready.outlet, self._parts.home))

    async def _prepare(self, test: SmtpTest) -> Assembled | Refusal:
        namespace = test.metadata.namespace or ""
        ref = test.spec.connector_ref
        record = self._connectors.find(namespace, ConnectorRef(str(ref.kind), ref.name) if ref else None)
        if isinstance(record, Unavailable):
            return Refusal("Accepted", record.reason, record.message)
        refusal = await self._connectors.permitted(record, namespace, Use.TEST)
        if refusal is not None:
            return refusal
        return _suspension(record) or await self._connectors.assembled(record)

    async def _act(self, test: SmtpTest, ready: Assembled) -> ProbeReport:
        relay, dialer = hurried(ready.outlet.relay, test.spec.timeout_seconds), self._parts.dialer
        if test.spec.level is not TestLevel.DELIVER:
            return await probe(relay, dialer, LEVELS[test.spec.level])
        mail = self._mail(test, ready.outlet)
        if isinstance(mail, MessageProblem):
            return _failed(f"{mail.field}: {mail.message}")
        return await deliver(relay, dialer, *mail)

    def _mail(self, test: SmtpTest, outlet: Outlet) -> tuple[Envelope, bytes] | MessageProblem:
        boxes = [parse_mailbox(text) for text in test.spec.to or ()]
        recipients = tuple(box for box in boxes if isinstance(box, Mailbox))
        wires = tuple(
            wire for wire in (wire_address(box.address) for box in recipients) if isinstance(wire, WireAddress)
        )
        if len(wires) != len(boxes) or not wires:
            return MessageProblem("spec.to", "spec.to: every entry must be a mail address, and there must be one")
        now = self._parts.now()
        facts = TrialFacts(
            cluster=self._parts.cluster_name,
            namespace=outlet.key.namespace,
            connector=outlet.key.name,
            endpoint=outlet.relay.endpoint,
            tls="" if outlet.relay.tls.mode is TlsMode.NONE else str(outlet.relay.tls.mode),
            now=now,
            requested_by=f"SmtpTest {test.metadata.name}",
        )
        rendered = render_trial(facts)
        domain = outlet.sender.address.rpartition("@")[2]
        draft = Draft(
            sender=outlet.sender,
            to=recipients,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            message_id=message_id((test.metadata.uid, "test"), domain),
            date=now,
            reply_to=outlet.reply_to[0] if outlet.reply_to else None,
            extra_headers=outlet.headers,
        )
        payload = build(draft)
        if isinstance(payload, MessageProblem):
            return payload
        return Envelope(
            outlet.relay.mail_from, tuple(wire.text for wire in wires), any(wire.needs_smtputf8 for wire in wires)
        ), payload

    async def _finish(
        self, body: Mapping[str, Any], conditions: tuple[Condition, ...], details: Mapping[str, Any]
    ) -> None:
        now = self._parts.now()
        await self._write(body, conditions, {**details, "completionTime": outcome.timestamp(now)})
        log.info(
            "smtp test finished",
            extra=about(
                test=body["metadata"]["name"], namespace=body["metadata"]["namespace"], reason=str(conditions[0].reason)
            ),
        )
        seconds = (body.get("spec") or {}).get("ttlSecondsAfterFinished")
        if isinstance(seconds, int):
            self.queue.add_after(Task(*_key(body), str(body["metadata"]["uid"])), seconds)

    async def _expire(self, task: Task) -> None:
        with contextlib.suppress(NotFound, Conflict):
            await self._parts.client.delete(RESOURCE, task.name, task.namespace, uid=task.expires_uid)

    async def audit(self) -> None:
        """Set the timers of tests that were finished by an earlier process."""
        for body in await self._parts.client.list(RESOURCE):
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


def _ended(reason: Reason, message: str, *, is_good: bool = False) -> tuple[Condition, ...]:
    text = message[:1024]
    if is_good:
        return (Condition("Succeeded", "True", reason, text),)
    return (Condition("Succeeded", "False", reason, text), Condition("Stalled", "True", reason, text))


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


def _details(report: ProbeReport, outlet: Outlet, home: str) -> dict[str, Any]:
    details: dict[str, Any] = {
        "endpoint": outlet.relay.endpoint,
        "tlsMode": str(outlet.relay.tls.mode),
        "resolvedFrom": str(outlet.key),
        "server": outcome.server_entry(report.server),
        "stages": outcome.stage_entries(report.stages),
        "transcript": [line[:512] for line in report.transcript[:64]],
    }
    if report.fault is not None:
        names = {"NAMESPACE": outlet.key.namespace or home, "CONNECTOR": outlet.key.name, "OPERATOR_NAMESPACE": home}
        details["remediation"] = [line[:512] for line in personalise(report.fault.remedies, names)[:8]]
    return details


def _failed(message: str) -> ProbeReport:
    """A report of a test that failed outside of any stage."""
    fault = Fault(StageName.DATA, Reason.TEST_FAILED, message, RetryClass.NEVER, is_permanent=True)
    return ProbeReport((), fault, ServerFacts())
