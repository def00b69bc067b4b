"""Verdicts: what a reply, or the lack of one, means. The only place that looks at reply codes, errnos and TLS reasons.

Comes after every step of a session; before conditions, retries and what people read. Pure: a table look-up from values to a `Fault`. The tables are
in `verdict_replies` and `verdict_faults`, exceptions become values in `breakage`, remedies are added from `remedies`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from watchbell.api.reasons import Reason
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Fault, RetryClass, StageName
from watchbell.smtp.natures import NATURES
from watchbell.smtp.remedies import remedies
from watchbell.smtp.server_text import bounded_chain, one_line, sanitise
from watchbell.smtp.verdict_faults import Breakage, BreakageKind, breakage_reason, headline
from watchbell.smtp.verdict_replies import Reply, reply_reason

__all__ = [
    "Breakage",
    "BreakageKind",
    "Evidence",
    "ReplyContext",
    "classify_breakage",
    "classify_challenge",
    "classify_reply",
    "enhanced_code",
    "fault",
    "reply_line",
    "sanitise",
]

_ENHANCED = re.compile(r"^([245])\.(\d{1,3})\.(\d{1,3})\b")
_UNKNOWN_CONTEXT = ReplyContext()
_MESSAGE_STAGES = frozenset({StageName.RECIPIENT, StageName.DATA})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a fault rests on: the reply's codes and the chain of causes, outermost first."""

    code: int | None = None
    enhanced_code: str | None = None
    chain: tuple[str, ...] = ()


def enhanced_code(code: int, first_line: str) -> str | None:
    """The enhanced status code at the start of the first line, if its class is the reply's (RFC 2034 §4, RFC 3463, RFC 5248)."""
    match = _ENHANCED.match(first_line)
    if match is None or int(match[1]) != code // 100:
        return None
    return match[0]


def reply_line(code: int, lines: Sequence[str], context: ReplyContext = _UNKNOWN_CONTEXT) -> str:
    """The whole reply as one sanitised line: `535 5.7.8 Authentication failed`. An enhanced code repeated on each line is kept once."""
    enhanced = enhanced_code(code, lines[0]) if lines else None
    rest = [line.removeprefix(f"{enhanced} ") if enhanced else line for line in lines[1:]]
    return sanitise(" ".join((str(code), *lines[:1], *rest)), context.secrets)


def classify_reply(
    stage: StageName, code: int, lines: Sequence[str], context: ReplyContext = _UNKNOWN_CONTEXT
) -> Fault:
    """The fault that a reply stands for at `stage`. `lines` are the reply's texts without codes and separators.

    Call it for every reply that is not the one that the stage wants; even a 2xx or 3xx (out of turn: `ProtocolViolation`) gives exactly one fault.
    """
    first = lines[0] if lines else ""
    enhanced = enhanced_code(code, first)
    text = sanitise(" ".join(lines), limit_bytes=8192)
    reason = reply_reason(Reply(stage, code, enhanced or "", text), context)
    # Bytes of another service are not repeated: they may be its secret.
    line = f"{code} is no SMTP greeting" if reason is Reason.NOT_AN_SMTP_SERVER else reply_line(code, lines, context)
    return fault(stage, reason, context, line, Evidence(code, enhanced, (line,)))


def classify_breakage(
    stage: StageName, breakage: Breakage, context: ReplyContext = _UNKNOWN_CONTEXT, *, is_body_sent: bool = False
) -> Fault:
    """The fault for a failure without a usable reply. `is_body_sent`: the final dot was written, so nobody knows what became of the message."""
    reason = Reason.DELIVERY_OUTCOME_UNKNOWN if is_body_sent else breakage_reason(stage, breakage, context)
    line = headline(stage, breakage, context)
    return fault(stage, reason, context, line, Evidence(chain=(line, *breakage.chain)))


def classify_challenge(decoded: str, context: ReplyContext = _UNKNOWN_CONTEXT) -> Fault:
    """The fault for the error that XOAUTH2 and OAUTHBEARER servers put into a 334 challenge (RFC 7628 §3.2.2). `decoded`: after base64."""
    try:
        error = json.loads(decoded[:4096])
        told = {str(key): value for key, value in error.items() if key in {"status", "schemes", "scope"}}
    except (ValueError, AttributeError, RecursionError):
        told = {}
    detail = " ".join(f"{key}={value}" for key, value in sorted(told.items())) or "no readable error"
    line = sanitise(f"334 {detail}", context.secrets)
    return fault(StageName.AUTHENTICATE, Reason.OAUTH_TOKEN_REJECTED, context, line, Evidence(334, None, (line,)))


def fault(
    stage: StageName,
    reason: Reason,
    context: ReplyContext = _UNKNOWN_CONTEXT,
    detail: str = "",
    evidence: Evidence = Evidence(),
) -> Fault:
    """A fault with retry class, permanence and remedies from the tables. For what a stage decides by itself (STARTTLS not offered, …) as well."""
    nature = NATURES[reason]
    code = evidence.code
    is_permanent = nature.is_permanent if nature.is_permanent is not None else (code or 0) >= 500
    message = f"{reason.doc.rstrip('.')}: {detail}" if detail else reason.doc
    return Fault(
        stage=stage,
        reason=reason,
        message=one_line(message, context.secrets),
        retry=_retry(stage, reason, nature.retry),
        is_permanent=is_permanent,
        code=code,
        enhanced_code=evidence.enhanced_code,
        chain=bounded_chain(evidence.chain or (detail,), context.secrets),
        remedies=remedies(reason, context),
    )


def _retry(stage: StageName, reason: Reason, usual: RetryClass) -> RetryClass:
    """A nameless 5xx to one recipient or to the content ends that message; before that it is about the connector and may be mended."""
    is_final = reason is Reason.PERMANENT_FAILURE and stage in _MESSAGE_STAGES
    return RetryClass.NEVER if is_final else usual
