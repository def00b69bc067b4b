"""The operator's own mails as facts: what an EmailMessage holds until it is sent, and what is rendered from it then (pure).

Before: the collectors have the facts of an incident or of a digest. After: the outbox renders them, always the same from the same facts. A message
is a tenth in size so (1.5 KB of JSON instead of 17 KB of text and HTML), and its size is what writing it costs the API server. The text is of the
moment when the message was made, since the facts are. Secrets are taken out before anything is packed: an object is no place for them.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

import msgspec

from watchbell.api.enums import BuiltinTemplate
from watchbell.mail import digest, incident
from watchbell.mail.crash import render_crash, render_resolved
from watchbell.mail.differences import MAX_VALUE
from watchbell.mail.document import Rendered
from watchbell.mail.drill import DrillFacts, render_drill
from watchbell.mail.evidence import MAX_CHANGES, MAX_EVENTS, log_lines
from watchbell.mail.facts import CrashFacts, DigestEntry, DigestFacts, PodFacts
from watchbell.mail.kinds import words
from watchbell.mail.redaction import redact

FACTS = "facts"
"""The parameter that holds them."""
PACKED_MAX_BYTES = 480 * 1024
"""What a parameter of an EmailMessage holds, with room to spare. What is larger is rendered at once."""
MESSAGE_MAX_CHARACTERS = 1024

_RENDER: Mapping[BuiltinTemplate, tuple[type[Any], Callable[[Any], Rendered]]] = {
    BuiltinTemplate.CRASH: (CrashFacts, render_crash),
    BuiltinTemplate.RESOLVED: (CrashFacts, render_resolved),
    BuiltinTemplate.DIGEST: (DigestFacts, digest.render_digest),
    BuiltinTemplate.DRILL: (DrillFacts, render_drill),
}


@dataclass(frozen=True, slots=True)
class Packed:
    """A mail that waits as facts, with the subject that it will have."""

    builtin: BuiltinTemplate
    subject: str
    facts: str


def packed_or_rendered(builtin: BuiltinTemplate, facts: CrashFacts | DigestFacts) -> Packed | Rendered:
    """The mail as facts; as the finished text where these are too large for an object."""
    packed = pack(facts)
    return _RENDER[builtin][1](facts) if packed is None else Packed(builtin, subject_of(builtin, facts), packed)


def subject_of(builtin: BuiltinTemplate, facts: CrashFacts | DigestFacts) -> str:
    """The subject that the mail will have."""
    if isinstance(facts, DigestFacts):
        return digest.subject_of(facts)
    subject = incident.subject(incident.names_of(facts), words(facts.kind))
    return f"Re: {subject}" if builtin is BuiltinTemplate.RESOLVED else subject


def pack(facts: CrashFacts | DigestFacts) -> str | None:
    """The facts as JSON, without secrets; None if they are too large for a message."""
    sealed = _sealed_digest(facts) if isinstance(facts, DigestFacts) else _sealed(facts)
    packed = msgspec.json.encode(_lean(sealed))
    return packed.decode() if len(packed) <= PACKED_MAX_BYTES else None


def pack_drill(facts: DrillFacts) -> str:
    """The facts of a drill as JSON; they hold nothing secret and little of anything."""
    return msgspec.json.encode(_lean(facts)).decode()


def unpack(builtin: BuiltinTemplate, packed: str, belated: str = "") -> Rendered | str:
    """The mail, or in one sentence why these are no facts. A field that a later version added has its default.

    `belated`: one more sentence, for a mail about one incident that stands for earlier ones too.
    """
    if builtin not in _RENDER:
        return f"is not what the built-in template {builtin} takes: it is made from an AccountRecovery"
    kind, render = _RENDER[builtin]
    try:
        facts = msgspec.json.decode(packed, type=kind)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        return f"is not what the built-in template {builtin} takes: {error}"
    return render(replace(facts, belated=belated) if belated and isinstance(facts, CrashFacts) else facts)


def _sealed(facts: CrashFacts) -> CrashFacts:
    return replace(
        facts,
        pods=tuple(_sealed_pod(pod) for pod in facts.pods),
        log_lines=log_lines(facts.log_lines),
        # As one text: a key may span events as it spans lines.
        events=tuple(redact("\n".join(text[:4096] for text in facts.events[-MAX_EVENTS:])).splitlines()),
        changes=tuple(redact(text[:4096])[:MESSAGE_MAX_CHARACTERS] for text in facts.changes[: MAX_CHANGES + 1]),
        note=redact(facts.note[:4096]),
        template_failure=redact(facts.template_failure[:4096])[:MESSAGE_MAX_CHARACTERS],
        differences=tuple(
            replace(
                one,
                expected=redact(one.expected[:MAX_VALUE]),
                actual=redact(one.actual[:MAX_VALUE]),
            )
            for one in facts.differences
        ),
    )


def _sealed_digest(facts: DigestFacts) -> DigestFacts:
    return replace(facts, entries=tuple(_sealed_entry(entry) for entry in facts.entries))


def _sealed_entry(entry: DigestEntry) -> DigestEntry:
    return replace(
        entry, reason=redact(entry.reason[:4096])[:MESSAGE_MAX_CHARACTERS], pods=tuple(map(_sealed_pod, entry.pods))
    )


def _sealed_pod(pod: PodFacts) -> PodFacts:
    """The last words of a container are where stack traces and connection strings stand."""
    return replace(pod, message=redact(pod.message[:4096])[-MESSAGE_MAX_CHARACTERS:]) if pod.message else pod


def _lean(value: Any) -> Any:  # noqa: ANN401 - any part of the facts
    """Plain JSON values; what has its default is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _lean(item)
            for field in _fields(type(value))
            if (item := getattr(value, field.name)) != field.default or field.default is MISSING
        }
    return [_lean(item) for item in value] if isinstance(value, tuple) else value


@cache
def _fields(kind: type[Any]) -> tuple[Field[Any], ...]:
    return fields(kind)
