"""What a child connector learns from its parent, so that one wrong password is not tried once for each child. Pure.

A child has the host, TLS and login of its parent; a hundred children that each try a password that the parent saw rejected would lock the
account. Before this `schedule` decided that a probe is due; after it the probe runs, or the parent's verdict takes its place.
"""

from dataclasses import replace
from enum import StrEnum

from watchbell.api.reasons import Reason
from watchbell.connectors.gather import Found
from watchbell.connectors.records import Record
from watchbell.connectors.schedule import Memory, is_login_rejected
from watchbell.smtp.model import Fault, ProbeReport, ServerFacts, StageReport, StageResult


class Lineage(StrEnum):
    """What a child does instead of a probe of its own."""

    WAIT = "Wait"


def inherited(parent: Record | None, found: Found) -> ProbeReport | Lineage | None:
    """The parent's rejected login as the child's report; None: probe.

    WAIT while the parent was not heard of yet, or is still to be probed with what `found` holds.
    """
    if parent is None:
        return Lineage.WAIT
    memory = parent.memory
    if memory.fingerprint != found.base_fingerprint:
        is_to_be_probed = parent.ready_reason is Reason.NOT_PROBED or parent.outlet is not None
        return Lineage.WAIT if is_to_be_probed else None
    if memory.fault is None or not is_login_rejected(memory.fault):
        return None
    return failed_report(replace(memory.fault, message=f"{parent.key}: {memory.fault.message}"))


def concerns_children(before: Memory, after: Memory) -> bool:
    """Whether children have to look again after a probe of their parent: something new was proven, or the login's verdict changed."""
    return before.fingerprint != after.fingerprint or is_login_rejected(before.fault) != is_login_rejected(after.fault)


def relieved(memory: Memory, parent: Record | None, found: Found) -> Memory:
    """A child's memory without the rejection that it had from its parent, once the parent's login was accepted: it is probed at once."""
    if parent is None or found.base_fingerprint == found.fingerprint or not is_login_rejected(memory.fault):
        return memory
    is_newer = (
        memory.last_probe is not None
        and parent.memory.last_login is not None
        and parent.memory.last_login > memory.last_probe
    )
    is_accepted = parent.memory.is_proven and parent.memory.fingerprint == found.base_fingerprint
    return replace(memory, fingerprint="") if is_newer and is_accepted else memory


def failed_report(fault: Fault) -> ProbeReport:
    """A report that holds one fault, which was not found by a probe of this connector."""
    stage = StageReport(
        fault.stage,
        StageResult.FAILED,
        reason=fault.reason,
        code=fault.code,
        enhanced_code=fault.enhanced_code,
        message=fault.message,
        chain=fault.chain,
    )
    return ProbeReport((stage,), fault, ServerFacts())
