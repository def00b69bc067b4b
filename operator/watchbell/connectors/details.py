"""What a reconcile needs to know of an assembled connector beside its outlet: its rhythm, its plain facts, the advice. Pure.

Between `assemble` and `schedule`, and again between the probe and `outcome`.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from watchbell.api.enums import Level
from watchbell.api.reasons import Reason
from watchbell.api.times import moment, stamp, stamp_if_any
from watchbell.connectors import outcome, schedule
from watchbell.connectors.assemble import NEWLINE_NOTE, Assembled
from watchbell.connectors.gather import Found
from watchbell.connectors.records import Record
from watchbell.outbox.outlet import Outlet
from watchbell.smtp.model import ProbeReport
from watchbell.smtp.providers import warnings
from watchbell.smtp.remedies import personalise


def rhythm_of(found: Found, outlet: Outlet, chance: float) -> schedule.Rhythm:
    """How often and how far it is probed."""
    rules = found.base.probe
    return schedule.Rhythm(
        level=rules.level if rules else Level.AUTHENTICATE,
        period_s=rules.period_seconds if rules else 600,
        auth_period_s=rules.auth_period_seconds if rules else 3600,
        failure_threshold=rules.failure_threshold if rules else 3,
        is_suspended=bool(found.spec.suspend or found.base.suspend),
        needs_login=outlet.relay.auth is not None,
        chance=chance,
    )


def advice(report: ProbeReport, outlet: Outlet) -> tuple[str, ...]:
    """What to do about the fault, and what is known to go wrong at this provider even if all is well today."""
    auth = outlet.relay.auth
    known = warnings(
        outlet.relay.host,
        auth.username if auth else "",
        outlet.relay.mail_from,
        has_password=auth is not None and auth.password is not None,
    )
    remedies = report.fault.remedies if report.fault else ()
    return tuple(dict.fromkeys((*remedies, *known)))[:8]


def subject_of(found: Found, assembled: Assembled) -> outcome.Subject:
    """What the conditions speak of."""
    relay = assembled.outlet.relay
    note = (
        (Reason.TRAILING_NEWLINE, NEWLINE_NOTE)
        if assembled.had_newline
        else (Reason.RESOLVED_REFS, "all references were resolved")
    )
    return outcome.Subject(
        endpoint=relay.endpoint,
        tls_mode=relay.tls.mode,
        verifies=relay.tls.verify,
        has_login=relay.auth is not None,
        level=found.base.probe.level if found.base.probe else Level.AUTHENTICATE,
        note=note[0],
        note_message=note[1],
    )


def slowdown_entry(record: Record, now: datetime) -> dict[str, Any] | None:
    """`status.slowdown`: what the outbox told, or what an earlier process has written, until it is over."""
    told, stands = record.slowdown, record.status().get("slowdown")
    if told is None:
        end = moment(stands.get("endTime")) if stands else None
        return stands if end and now < end else None
    if now >= told.end:
        return None
    rate = {"messagesPerMinute": told.messages_per_minute} if told.messages_per_minute else {}
    return {"reason": str(told.reason), "startTime": stamp(told.start), "endTime": stamp(told.end)} | rate


def basics(record: Record, found: Found, assembled: Assembled, due: datetime | None, now: datetime) -> dict[str, Any]:
    """The plain facts of `status`, absent ones left out."""
    memory, relay = record.memory, assembled.outlet.relay
    login = stamp_if_any(memory.last_login)
    credentials = {"secretResourceVersion": found.secret.resource_version} if found.secret else {}
    entries: dict[str, Any] = {
        "probedRevision": memory.fingerprint or None,
        "endpoint": relay.endpoint,
        "tlsMode": str(relay.tls.mode),
        "resolvedFrom": str(found.base_key),
        "lastProbeTime": stamp_if_any(memory.last_probe),
        "lastSuccessTime": stamp_if_any(memory.last_success),
        "nextProbeTime": stamp_if_any(due),
        "consecutiveFailures": memory.failures,
        "slowdown": slowdown_entry(record, now),
        "credentials": (credentials | ({"lastAuthenticationTime": login} if login else {})) or None,
    }
    return {key: value for key, value in entries.items() if value is not None}


def personal(report: ProbeReport, assembled: Assembled, home: str) -> ProbeReport:
    """The report with the names of this connector in the commands of its remedies."""
    if report.fault is None:
        return report
    names = {
        "NAMESPACE": assembled.secret_namespace,
        "CONNECTOR": assembled.outlet.key.name,
        "SECRET": assembled.secret_name or "NAME",
        "OPERATOR_NAMESPACE": home,
    }
    return replace(report, fault=replace(report.fault, remedies=personalise(report.fault.remedies, names)))
