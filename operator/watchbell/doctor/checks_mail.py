# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""Checks of mails and of who gets them: the outbox, policies, routes, silences (pure)."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from watchbell.api.conditions import condition_of
from watchbell.api.enums import ConnectorKind
from watchbell.api.times import moment
from watchbell.doctor.facts import Body, Facts, Source, listed, name_of, names_of, part, spec_of, status_of
from watchbell.doctor.model import Category, Check, Finding, Severity, Status, change, high, low, medium

STUCK_S = 900.0
RECENT = timedelta(days=1)
LONG_SILENCE = timedelta(days=7)
NAMED_MAX = 5
HELD = frozenset({"Suspended", "Batched", "Waiting"})


def _made(body: Body) -> datetime | None:
    return moment(body["metadata"].get("creationTimestamp"))


def _outbox(facts: Facts) -> Iterator[Finding]:
    if facts.source is not Source.CLUSTER:
        return
    if gap := facts.gaps.get("EmailMessage"):
        yield Finding(Status.SKIP, gap)
        return
    waiting = [body for body in facts.of("EmailMessage") if not status_of(body).get("completionTime")]
    stuck = sorted((body for body in waiting if _waits_s(body, facts.now) > STUCK_S), key=lambda body: str(_made(body)))
    if not stuck:
        yield Finding(Status.PASS, f"{len(waiting)} messages wait, none for longer than {STUCK_S / 60:.0f} minutes")
        return
    oldest = stuck[0]
    reasons = Counter(str(condition_of(body, "Succeeded").get("reason", "not seen by the operator")) for body in stuck)
    evidence = (
        ("oldest", f"{name_of(oldest)}, {_waits_s(oldest, facts.now) / 60:.0f} minutes"),
        *((reason, str(count)) for reason, count in reasons.most_common()),
        ("message", str(condition_of(oldest, "Succeeded").get("message", ""))),
    )
    message = (
        f"{len(stuck)} messages wait for longer than {STUCK_S / 60:.0f} minutes; mostly {reasons.most_common(1)[0][0]}"
    )
    yield Finding(Status.FAIL, message, name_of(oldest), evidence, names=names_of(facts, oldest))


def _waits_s(body: Body, now: datetime) -> float:
    """Since it was made or, if that is later, since it was to be sent; a message that is held on purpose does not wait."""
    start = max(filter(None, (_made(body), moment(str(spec_of(body).get("notBeforeTime") or "")))), default=None)
    is_held = condition_of(body, "Succeeded").get("reason") in HELD
    return 0.0 if start is None or is_held else (now - start).total_seconds()


def _failed(facts: Facts) -> Iterator[Finding]:
    if facts.source is not Source.CLUSTER or "EmailMessage" in facts.gaps:
        return
    failed = [
        body
        for body in facts.of("EmailMessage")
        if condition_of(body, "Succeeded").get("status") == "False"
        and (moment(str(status_of(body).get("completionTime") or "")) or facts.now) > facts.now - RECENT
    ]
    if not failed:
        yield Finding(Status.PASS, "no message failed within a day")
    for reason, bodies in _by_reason(failed).items():
        names = ", ".join(name_of(body) for body in bodies[:NAMED_MAX])
        more = f" and {len(bodies) - NAMED_MAX} more" if len(bodies) > NAMED_MAX else ""
        evidence = (
            ("messages", names + more),
            ("message", str(condition_of(bodies[0], "Succeeded").get("message", ""))),
        )
        yield Finding(
            Status.WARN,
            f"{len(bodies)} messages failed within a day: {reason}",
            name_of(bodies[0]),
            evidence,
            names=names_of(facts, bodies[0]),
        )


def _by_reason(bodies: list[Body]) -> dict[str, list[Body]]:
    found: dict[str, list[Body]] = {}
    for body in bodies:
        found.setdefault(str(condition_of(body, "Succeeded").get("reason")), []).append(body)
    return found


def _policy_ready(facts: Facts) -> Iterator[Finding]:
    for body in facts.of("CollectorPolicy") if facts.source is Source.CLUSTER else ():
        ready, what, names = condition_of(body, "Ready"), name_of(body), names_of(facts, body)
        refs = condition_of(body, "ResolvedRefs")
        if status_of(body).get("observedGeneration") != part(body, "metadata", "generation"):
            yield Finding(
                Status.WARN, "the operator has not looked at this version of the policy yet", what, names=names
            )
        elif spec_of(body).get("suspend"):
            yield Finding(Status.INFO, "suspended: nothing is watched and nobody is told", what)
        elif ready.get("status") != "True":
            yield Finding(Status.FAIL, f"{ready.get('reason')}: {ready.get('message')}", what, names=names)
        elif refs.get("status") == "False":
            yield Finding(Status.WARN, f"{refs.get('reason')}: {refs.get('message')}", what, names=names)
        else:
            yield Finding(Status.PASS, f"{ready.get('reason')}: {ready.get('message')}", what)


def _policy_pods(facts: Facts) -> Iterator[Finding]:
    for body in facts.of("CollectorPolicy") if facts.source is Source.CLUSTER else ():
        count = status_of(body).get("matchedPods")
        if spec_of(body).get("suspend") or count is None:
            continue
        if count == 0:
            labels = ", ".join(
                f"{key}={value}" for key, value in (part(spec_of(body), "selector", "matchLabels") or {}).items()
            )
            evidence = (("selector", labels or "expressions"),)
            yield Finding(
                Status.WARN,
                "the selector matches no pod: nothing is watched",
                name_of(body),
                evidence,
                names=names_of(facts, body),
            )
        else:
            yield Finding(Status.PASS, f"the selector matches {count} pods", name_of(body))


def _policy_connector(facts: Facts) -> Iterator[Finding]:
    known = {(str(body["kind"]), _scope(body), str(body["metadata"]["name"])) for body in facts.connectors}
    for body in facts.of("CollectorPolicy"):
        namespace = str(body["metadata"].get("namespace") or "")
        for route in listed(spec_of(body), "routes"):
            name = part(route, "connectorRef", "name")
            if not name or "SmtpConnector" in facts.gaps:
                continue
            kind = str(part(route, "connectorRef", "kind") or ConnectorKind.SMTP_CONNECTOR)
            scope = "" if kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR else namespace
            if (kind, scope, str(name)) in known:
                yield Finding(Status.PASS, f"route {route.get('name')} finds {kind} {name}", name_of(body))
            elif facts.source is Source.FILES:
                yield Finding(
                    Status.INFO,
                    f"route {route.get('name')} names {kind} {name}, which is not among the files",
                    name_of(body),
                )
            else:
                message = f"route {route.get('name')} names {kind} {name}, which does not exist"
                yield Finding(Status.FAIL, message, name_of(body), names=names_of(facts, body))


def _scope(body: Body) -> str:
    return str(body["metadata"].get("namespace") or "")


def _recipients(facts: Facts) -> Iterator[Finding]:
    for body in facts.of("CollectorPolicy"):
        twice = []
        for route in listed(spec_of(body), "routes"):
            told = Counter(_bare(one) for field in ("to", "cc", "bcc") for one in listed(route, field))
            twice += [f"{address} in route {route.get('name')}" for address, count in told.items() if count > 1]
        twice += _across(body)
        if twice:
            evidence = tuple(("recipient", text) for text in twice)
            yield Finding(
                Status.WARN, "somebody gets the same mail twice", name_of(body), evidence, names=names_of(facts, body)
            )
        else:
            yield Finding(Status.PASS, "nobody gets the same mail twice", name_of(body))


def _across(body: Body) -> list[str]:
    """Addresses of several routes that take everything alike: such routes tell them the same incident twice."""
    plain = [
        route for route in listed(spec_of(body), "routes") if not route.get("kinds") and not route.get("minSeverity")
    ]
    seen = Counter(address for route in plain for address in {_bare(one) for one in listed(route, "to")})
    return [f"{address} in {count} routes" for address, count in seen.items() if count > 1]


def _bare(text: object) -> str:
    """`Ops <ops@example.com>` → `ops@example.com`."""
    return str(text).rpartition("<")[2].rstrip(">").strip().lower()


def _silences(facts: Facts) -> Iterator[Finding]:
    for body in facts.of("AlertSilence"):
        end = moment(str(spec_of(body).get("endTime") or ""))
        start = moment(str(spec_of(body).get("startTime") or "")) or _made(body) or facts.now
        if end is None or end <= facts.now or start > facts.now:
            continue
        if end - start > LONG_SILENCE:
            evidence = (
                ("comment", str(spec_of(body).get("comment") or "")),
                ("heldBack", str(status_of(body).get("heldBack", 0))),
            )
            message = f"mutes alerts for {(end - start).days} days, until {end:%Y-%m-%d}"
            yield Finding(Status.WARN, message, name_of(body), evidence, names=names_of(facts, body))
        else:
            yield Finding(Status.INFO, f"mutes alerts until {end:%Y-%m-%d %H:%M} UTC", name_of(body))


CHECKS = (
    Check(
        id="check.outbox.age",
        title="No message waits for long",
        category=Category.DELIVERY,
        severity=Severity.ERROR,
        tags=("outbox", "email"),
        looks_at="EmailMessages that are not finished, wait on nothing that was asked for, and are older than 15 minutes.",
        why="A message that waits is a mail that somebody does not have: an alert, a reset link, a licence.",
        causes=(high("Their connector is not ready."), medium("The provider limits the rate."), low("The operator does not run.")),
        remedies=change(
            "Mend the connector; the messages go out by themselves.",
            "kubectl get emailmessages -A -o wide",
            "kubectl -n $NAMESPACE get emailmessage $NAME -o 'jsonpath={.status.conditions}'",
        ),
        judge=_outbox,
        related=("check.connector.ready", "check.operator.running"),
    ),
    Check(
        id="check.outbox.failed",
        title="No message failed within a day",
        category=Category.DELIVERY,
        severity=Severity.WARN,
        tags=("outbox", "email"),
        looks_at="EmailMessages with Succeeded=False that ended within 24 hours, by reason.",
        why="They are over: nobody sends them again by himself.",
        causes=(high("A recipient is unknown or refused."), medium("The content was refused."), low("The connector was not ready until the deadline.")),
        remedies=change(
            "Correct what the reason names and send it again.",
            "kubectl -n $NAMESPACE get emailmessage $NAME -o yaml",
        ),
        judge=_failed,
        related=("check.outbox.age",),
    ),
    Check(
        id="check.policy.ready",
        title="The policy is enforced",
        category=Category.COLLECTORS,
        severity=Severity.ERROR,
        tags=("policy",),
        looks_at="The conditions Ready and ResolvedRefs of each CollectorPolicy.",
        why="A policy that is not enforced sees no crash and tells nobody.",
        causes=(high("The spec is wrong; the message names the field."), medium("The operator may not watch pods there."), low("It is suspended.")),
        remedies=change("Correct what the message names.", "kubectl -n $NAMESPACE describe collectorpolicy $NAME"),
        judge=_policy_ready,
        related=("check.policy.pods", "check.operator.rights"),
    ),
    Check(
        id="check.policy.pods",
        title="The policy's selector matches pods",
        category=Category.COLLECTORS,
        severity=Severity.WARN,
        tags=("policy",),
        looks_at="status.matchedPods of each CollectorPolicy.",
        why="A selector that matches nothing looks healthy for ever.",
        causes=(high("A label is spelt otherwise on the pods."), medium("The policy is in another namespace than the pods."), low("They are scaled to zero.")),
        remedies=change("Compare the selector with the labels of the pods.", "kubectl -n $NAMESPACE get pods --show-labels"),
        judge=_policy_pods,
        related=("check.policy.ready",),
    ),
    Check(
        id="check.policy.connector",
        title="Routes name connectors that exist",
        category=Category.COLLECTORS,
        severity=Severity.ERROR,
        tags=("policy", "connector"),
        looks_at="spec.routes[].connectorRef of each CollectorPolicy.",
        why="Alerts of such a route wait until the connector comes.",
        causes=(high("A slip in the name or the kind."), medium("The connector is in another namespace."), low("It was deleted.")),
        remedies=change("Name a connector that is there.", "kubectl get smtpconnectors -A; kubectl get clustersmtpconnectors"),
        judge=_policy_connector,
        related=("check.connector.default",),
    ),
    Check(
        id="check.policy.recipients",
        title="Nobody gets the same mail twice",
        category=Category.COLLECTORS,
        severity=Severity.WARN,
        tags=("policy", "recipients"),
        looks_at="Addresses that stand twice in to, cc and bcc of a route, or in several routes that take everything.",
        why="People who get each alert twice read neither.",
        causes=(high("A route was copied."), medium("A person is on the list and in the group.")),
        remedies=change("Take the address out of one of the places.", "kubectl -n $NAMESPACE edit collectorpolicy $NAME"),
        judge=_recipients,
    ),
    Check(
        id="check.silence.long",
        title="No silence is forgotten",
        category=Category.COLLECTORS,
        severity=Severity.WARN,
        tags=("silence",),
        looks_at="AlertSilences that are in force for longer than a week.",
        why="A long silence hides the next trouble as well as the one that it was made for.",
        causes=(high("It was made for a maintenance that is over."), low("It is meant so.")),
        remedies=change("End it; one mail will say what it held back.", "watchbell silence expire $NAME -n $NAMESPACE"),
        judge=_silences,
    ),
)  # fmt: skip
