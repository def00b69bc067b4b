"""Every Event that watchbell posts, and its reference page: reasons and actions are closed sets that people filter and alert on. Pure.

Before: reconcilers call `emit` with a row of this table. After: `generate` writes docs/reference/events.md; a test compares the table with the code.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from watchbell.api.enums import IncidentKind
from watchbell.api.names import GROUP
from watchbell.api.reasons import Reason

CONTROLLER = f"{GROUP}/watchbell"
"""`reportingController` of each."""
CONNECTORS = ("SmtpConnector", "ClusterSmtpConnector")


class Action(StrEnum):
    """What the operator was doing, in the words of the Events API."""

    PROBE = "Probe"
    OPEN = "Open"
    RESOLVE = "Resolve"
    SEND = "Send"
    DRILL = "Drill"


@dataclass(frozen=True, slots=True)
class Told:
    """One kind of Event: about which kinds of objects, and what it means."""

    kinds: tuple[str, ...]
    type: str
    reason: str
    action: Action
    doc: str


def _of_connectors() -> Iterator[Told]:
    yield Told(CONNECTORS, "Normal", "ProbeSucceeded", Action.PROBE, "It is proven, for the first time or again.")
    yield Told(
        CONNECTORS,
        "Warning",
        "ProbeFailed",
        Action.PROBE,
        "A probe failed, or it cannot be probed as it stands; the note begins with the reason. Once for each reason, not for each probe.",
    )
    yield Told(
        CONNECTORS,
        "Normal",
        "CredentialsRotated",
        Action.PROBE,
        "Its Secret has another version; it is being proven with it.",
    )
    yield Told(
        CONNECTORS,
        "Warning",
        "CertificateExpiring",
        Action.PROBE,
        "The server's certificate expires within 21 days. Once for each certificate.",
    )


def _of_mail() -> Iterator[Told]:
    yield Told(
        CONNECTORS, "Warning", "FallbackUsed", Action.SEND, "It is not ready, and its fallback took over its mail."
    )
    yield Told(CONNECTORS, "Normal", "FallbackEnded", Action.SEND, "It is ready again, and its mail goes through it.")
    yield Told(
        CONNECTORS, "Warning", "SlowedDown", Action.SEND, "The provider asked to send less; the note says how long."
    )
    yield Told(
        CONNECTORS,
        "Normal",
        "DrillSucceeded",
        Action.DRILL,
        "The server accepted a fire drill, for the first time or again.",
    )
    for reason in (Reason.DRILL_LATE, Reason.DRILL_FAILED):
        yield Told(CONNECTORS, "Warning", str(reason), Action.DRILL, reason.doc)
    kinds = ("EmailMessage",)
    yield Told(
        kinds,
        "Warning",
        "MailFailed",
        Action.SEND,
        "It did not go out, and is not tried again; the note begins with the reason.",
    )


def _of_incidents() -> Iterator[Told]:
    kinds = ("CollectorIncident",)
    for kind in IncidentKind:
        yield Told(kinds, "Warning", str(kind), Action.OPEN, f"An incident of the kind {kind} began.")
    for reason in (Reason.HEALTHY_AGAIN, Reason.BACK_TO_BASELINE, Reason.PODS_GONE, Reason.POLICY_DELETED):
        yield Told(kinds, "Normal", str(reason), Action.RESOLVE, f"It is over. {reason.doc}")


def _of_recoveries() -> Iterator[Told]:
    kinds = ("AccountRecovery",)
    yield Told(
        kinds, "Normal", str(Reason.ACCEPTED_BY_SERVER), Action.SEND, f"The end. {Reason.ACCEPTED_BY_SERVER.doc}"
    )
    for reason in (
        Reason.DEADLINE_EXCEEDED,
        Reason.INVALID_MESSAGE,
        Reason.INVALID_SPEC,
        Reason.MESSAGE_DELETED,
        Reason.MESSAGE_REJECTED,
        Reason.MESSAGE_TOO_LARGE,
        Reason.OUTCOME_UNKNOWN,
        Reason.RECIPIENTS_REFUSED,
    ):
        yield Told(kinds, "Warning", str(reason), Action.SEND, f"The end. {reason.doc}")


EVENTS: tuple[Told, ...] = (*_of_connectors(), *_of_mail(), *_of_incidents(), *_of_recoveries())

_INTRODUCTION = f"""# Events

Posted to `events.k8s.io/v1` with `reportingController: {CONTROLLER}`; those about cluster connectors live in the namespace `default`.

- One for a change, none for a state: what goes on is told once. What an earlier process told is not told again.
- `reason` and `action` are from the closed set below; what differs from object to object stands in the `note`, at most 1,024 bytes, without secrets,
  addresses of people or what a mail says.
- The same again is counted in the `series` of the first Event. An object has 25 at once and then one every five minutes.
- An Event is a courtesy: it lives for an hour and may be dropped (`watchbell_kube_events_dropped_total`). Whatever somebody has to act on also stands
  in the object's conditions.

```console
kubectl get events -A --field-selector reportingController={CONTROLLER}
kubectl get events -A --field-selector reason=CertificateExpiring
```

| about | type | reason | action | meaning |
|---|---|---|---|---|
"""


def events_page() -> str:
    """The page, without the note that it is made."""
    rows = (
        f"| {', '.join(told.kinds)} | {told.type} | `{told.reason}` | `{told.action}` | {told.doc} |\n"
        for told in EVENTS
    )
    return _INTRODUCTION + "".join(rows)
