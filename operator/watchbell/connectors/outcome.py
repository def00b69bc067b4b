"""What a connector's status says after a step. Pure: memory, refusal or report, and the time come in; the status goes out.

The last stage before the write. `Reconciling` and `Stalled` stand only while True (kstatus): what may mend itself is Reconciling, what waits for
a person (a wrong spec, credentials that were rejected, a certificate that is not trusted) is Stalled.
"""

from dataclasses import dataclass
from typing import Any

from watchbell.api.conditions import Condition
from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.schedule import Memory
from watchbell.smtp.model import Fault, Level, ProbeReport, ServerFacts, StageName, StageReport, StageResult, TlsMode

MAX_MESSAGE = 1024
TLS_STAGES = (StageName.TLS, StageName.START_TLS)
REACH_STAGES = (StageName.POLICY, StageName.RESOLVE, StageName.CONNECT, StageName.GREETING, StageName.HELLO)
LOGIN_STAGES = (StageName.TOKEN, StageName.AUTHENTICATE)
_MENDS_ITSELF = frozenset({Reason.PARENT_NOT_FOUND})
_UNUSABLE_REFERENCE = frozenset({Reason.INVALID_CA_BUNDLE, Reason.INVALID_CLIENT_CERTIFICATE})
_OUTSIDE_OF_THE_POLICY = {
    Reason.DESTINATION_NOT_ALLOWED: Reason.HOST_NOT_ALLOWED,
    Reason.HOST_NOT_ALLOWED: Reason.HOST_NOT_ALLOWED,
    Reason.PORT_NOT_ALLOWED: Reason.PORT_NOT_ALLOWED,
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What the conditions speak of: the connector's demands, as far as the words depend on them."""

    endpoint: str
    tls_mode: TlsMode
    verifies: bool
    has_login: bool
    level: Level
    note: Reason = Reason.RESOLVED_REFS
    note_message: str = "all references were resolved"


def refused(refusal: Refusal, *, still_proven: str = "") -> tuple[Condition, ...]:
    """Conditions of a connector that cannot be probed.

    `still_proven` names what stays in use although the references are bad (the last good credential beside a masked Secret).
    """
    text = refusal.message[:MAX_MESSAGE]
    accepted = refusal.condition != "Accepted"
    conditions = [
        Condition("Accepted", "True", Reason.ACCEPTED, "the spec is valid and allowed here")
        if accepted
        else Condition("Accepted", "False", refusal.reason, text),
        Condition("ResolvedRefs", "False", refusal.reason, text)
        if accepted
        else Condition("ResolvedRefs", "Unknown", Reason.NOT_PROBED, "not tried"),
    ]
    if still_proven:
        return (*conditions, Condition("Ready", "True", Reason.PROVEN, f"{still_proven}; {text}"[:MAX_MESSAGE]))
    conditions += [
        Condition(name, "Unknown", Reason.NOT_PROBED, "not tried")
        for name in ("Reachable", "TLSVerified", "Authenticated")
    ]
    conditions.append(Condition("Ready", "False", refusal.reason, text))
    if accepted:
        conditions.append(Condition("Reconciling", "True", Reason.WAITING_FOR_SECRET, text))
    elif refusal.reason in _MENDS_ITSELF:
        conditions.append(Condition("Reconciling", "True", Reason.RETRYING, text))
    else:
        conditions.append(Condition("Stalled", "True", refusal.reason, text))
    return tuple(conditions)


def unprobed(subject: Subject, reason: Reason) -> tuple[Condition, ...]:
    """Conditions of a connector that is suspended or whose probe is disabled."""
    if reason is Reason.SUSPENDED:
        ready = Condition("Ready", "False", reason, "spec.suspend is set: no probes, and messages are held")
    else:
        ready = Condition("Ready", "True", reason, "the probe is disabled: nothing was tried")
    return (
        Condition("Accepted", "True", Reason.ACCEPTED, "the spec is valid and allowed here"),
        Condition("ResolvedRefs", "True", subject.note, subject.note_message),
        ready,
    )


def probed(subject: Subject, report: ProbeReport, memory: Memory) -> tuple[Condition, ...]:
    """Conditions after a probe; `memory` is the one that includes it."""
    stages = {stage.name: stage for stage in report.stages}
    conditions = (
        _accepted(report.fault),
        _resolved(subject, report.fault),
        _reachable(report, stages),
        _tls(subject, report),
        _login(subject, report, memory),
        _ready(subject, report.fault, memory),
    )
    return conditions + _progress(report.fault, memory)


def _accepted(fault: Fault | None) -> Condition:
    """An address outside of the egress policy is found out by resolving, so the probe may still turn this one down."""
    if fault is not None and (reason := _OUTSIDE_OF_THE_POLICY.get(fault.reason)) is not None:
        return Condition("Accepted", "False", reason, "; ".join((fault.message, *fault.remedies))[:MAX_MESSAGE])
    return Condition("Accepted", "True", Reason.ACCEPTED, "the spec is valid and allowed here")


def _resolved(subject: Subject, fault: Fault | None) -> Condition:
    """A CA or client certificate that was found may still be of no use, which shows when TLS is set up."""
    if fault is not None and fault.reason in _UNUSABLE_REFERENCE:
        return _failed("ResolvedRefs", fault)
    return Condition("ResolvedRefs", "True", subject.note, subject.note_message)


def _reachable(report: ProbeReport, stages: dict[StageName, StageReport]) -> Condition:
    fault = report.fault
    if fault is not None and fault.stage in REACH_STAGES and fault.reason not in _UNUSABLE_REFERENCE:
        return _failed("Reachable", fault)
    where = f" at {report.server.address}" if report.server.address else ""
    if StageName.CONNECT in stages and stages[StageName.CONNECT].result is StageResult.PASSED:
        return Condition("Reachable", "True", Reason.CONNECTED, f"the server was reached{where}")
    return Condition("Reachable", "Unknown", Reason.NOT_PROBED, "the probe did not come to this stage")


def _tls(subject: Subject, report: ProbeReport) -> Condition:
    fault = report.fault
    if subject.tls_mode is TlsMode.NONE:
        return Condition(
            "TLSVerified", "True", Reason.TLS_DISABLED, "spec.tls.mode is None: the connection is in clear text"
        )
    if fault is not None and fault.stage in TLS_STAGES:
        return _failed("TLSVerified", fault)
    facts = report.server.tls
    if facts is None:
        return Condition("TLSVerified", "Unknown", Reason.NOT_PROBED, "the probe did not come to this stage")
    if not subject.verifies:
        return Condition(
            "TLSVerified",
            "False",
            Reason.TLS_NOT_VERIFIED,
            "spec.tls.verification is None: the certificate is not verified",
        )
    return Condition(
        "TLSVerified",
        "True",
        Reason.VERIFIED,
        f"{facts.version}, certificate of {facts.subject} valid until {facts.not_after}"[:MAX_MESSAGE],
    )


def _login(subject: Subject, report: ProbeReport, memory: Memory) -> Condition:
    fault = report.fault
    if not subject.has_login:
        return Condition("Authenticated", "True", Reason.AUTHENTICATION_NOT_REQUIRED, "no credentials are configured")
    if fault is not None and fault.stage in LOGIN_STAGES:
        return _failed("Authenticated", fault)
    if memory.last_login is not None:
        return Condition("Authenticated", "True", Reason.AUTHENTICATED, "the server accepted the credentials")
    return Condition("Authenticated", "Unknown", Reason.NOT_PROBED, "the probe did not come to this stage")


def _ready(subject: Subject, fault: Fault | None, memory: Memory) -> Condition:
    if memory.is_proven and fault is not None:
        text = f"proven before; the last {memory.failures} probe(s) failed: {fault.message}"
        return Condition("Ready", "True", Reason.PROVEN, text[:MAX_MESSAGE])
    if fault is not None:
        return _failed("Ready", fault)
    return Condition("Ready", "True", Reason.PROVEN, f"every stage up to {subject.level} passed at {subject.endpoint}")


def _progress(fault: Fault | None, memory: Memory) -> tuple[Condition, ...]:
    if fault is None or memory.is_proven:
        return ()
    text = "; ".join((fault.message, *fault.remedies))[:MAX_MESSAGE]
    if is_stalled(fault):
        return (Condition("Stalled", "True", fault.reason, text),)
    return (Condition("Reconciling", "True", Reason.RETRYING, text),)


def is_stalled(fault: Fault) -> bool:
    """Only a person can mend it: the policy, TLS trust, credentials or the sender's rights. What is unreachable may come up by itself."""
    return fault.is_permanent and fault.stage in {StageName.POLICY, *TLS_STAGES, *LOGIN_STAGES, StageName.SENDER}


def _failed(name: str, fault: Fault) -> Condition:
    text = "; ".join((f"{fault.stage}: {fault.message}", *fault.remedies[:1]))
    return Condition(name, "False", fault.reason, text[:MAX_MESSAGE])


def stage_entries(stages: tuple[StageReport, ...]) -> list[dict[str, Any]]:
    """`status.stages[]`; absent values are left out."""
    return [
        {
            key: value
            for key, value in (
                ("name", str(stage.name)),
                ("result", str(stage.result)),
                ("durationMilliseconds", stage.duration_ms),
                ("reason", str(stage.reason) if stage.reason else None),
                ("code", stage.code),
                ("enhancedCode", stage.enhanced_code),
                ("message", stage.message[:512]),
                ("chain", [link[:1024] for link in stage.chain[:8]]),
            )
            if value not in (None, "", [])
        }
        for stage in stages
    ]


def server_entry(server: ServerFacts) -> dict[str, Any]:
    """`status.server`."""
    entry: dict[str, Any] = {"capabilities": [name[:64] for name in server.capabilities[:32]]}
    if server.max_message_bytes:
        entry["maxMessageBytes"] = server.max_message_bytes
    if server.tls is not None:
        tls = server.tls
        entry["tls"] = {
            "version": tls.version,
            "cipher": tls.cipher,
            "subject": tls.subject[:256],
            "issuer": tls.issuer[:256],
            "notAfter": tls.not_after,
            "sha256": tls.sha256,
        }
    return entry
