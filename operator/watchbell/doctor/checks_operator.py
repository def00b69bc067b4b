# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""Checks of the operator itself: does it run, may it do its work, and can it get out of its namespace (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from watchbell.api.conditions import is_ready
from watchbell.api.meta import LabelSelector, selects
from watchbell.api.times import moment
from watchbell.doctor.facts import Body, Denied, Facts, Source, listed, part, spec_of, status_of
from watchbell.doctor.grants import granting
from watchbell.doctor.model import Category, Check, Finding, Severity, Status, change, high, low, medium

LEASE_STALE_S = 120.0
TOLD_ONE_BY_ONE = 3


def _in_cluster(facts: Facts) -> bool:
    return facts.source is Source.CLUSTER


def _operator_rights(facts: Facts) -> Iterator[Finding]:
    if not _in_cluster(facts):
        return
    if facts.denied_operator is None:
        yield Finding(
            Status.SKIP, facts.gaps.get("SubjectAccessReview", "the operator's rights could not be asked for")
        )
        return
    lacking = [denied for denied in facts.denied_operator if not denied.right.startswith("get secrets")]
    if len(lacking) > TOLD_ONE_BY_ONE:
        yield _without_role(facts, lacking)
        return
    for denied in lacking:
        account = denied.who.removeprefix("system:serviceaccount:")
        message = f"the operator ({account}) may not {denied.right}"
        steps = (f"Allow it: {granting(denied.right, f'--serviceaccount={account}')}",)
        yield Finding(Status.FAIL, message, steps=steps, names={"OPERATOR_NAMESPACE": facts.home})
    if not lacking:
        yield Finding(Status.PASS, "the operator's role allows what it does")


def _without_role(facts: Facts, lacking: Sequence[Denied]) -> Finding:
    """So much is missing that it is not one right that was forgotten, but the role."""
    account = lacking[0].who.removeprefix("system:serviceaccount:")
    rest = f" and {len(lacking) - TOLD_ONE_BY_ONE} things more"
    message = f"the operator ({account}) may not {', '.join(one.right for one in lacking[:TOLD_ONE_BY_ONE])}{rest}"
    step = "Its role is not there, or not bound to it: install the chart (helm upgrade --install), or name its namespace with --operator-namespace."
    beside = "An operator that runs beside the cluster has the rights of its kubeconfig, which are not looked at here."
    return Finding(Status.FAIL, message, steps=(step, beside), names={"OPERATOR_NAMESPACE": facts.home})


def _grant(facts: Facts) -> Iterator[Finding]:
    if not _in_cluster(facts) or not any(part(spec_of(body), "auth", "secretRef") for body in facts.connectors):
        return
    if facts.denied_operator is None:
        yield Finding(
            Status.SKIP, facts.gaps.get("SubjectAccessReview", "the operator's rights could not be asked for")
        )
        return
    lacking = [denied for denied in facts.denied_operator if denied.right.startswith("get secrets")]
    for denied in lacking:
        # "get secrets/NAME in namespace NS"
        what, _, namespace = denied.right.partition(" in namespace ")
        name = what.partition("/")[2]
        yield Finding(
            Status.FAIL,
            f"the operator may not get Secret {name} in namespace {namespace}",
            f"Secret {namespace}/{name}",
            steps=(f"Allow it: watchbell grant {name} -n {namespace} | kubectl apply -f -",),
            names={"NAMESPACE": namespace, "SECRET": name, "OPERATOR_NAMESPACE": facts.home},
        )
    if not lacking:
        yield Finding(Status.PASS, "the operator may read every Secret that connectors name")


def _running(facts: Facts) -> Iterator[Finding]:
    if not _in_cluster(facts):
        return
    if gap := facts.gaps.get("Pod"):
        yield Finding(Status.SKIP, gap)
        return
    names = {"OPERATOR_NAMESPACE": facts.home, "NAMESPACE": facts.home}
    pods = facts.of("Pod")
    ready = [pod for pod in pods if is_ready(pod)]
    evidence = tuple((str(pod["metadata"]["name"]), str(status_of(pod).get("phase"))) for pod in pods[:8])
    if ready:
        yield Finding(
            Status.PASS,
            f"{len(ready)} of {len(pods)} pods of the operator are ready",
            f"Namespace {facts.home}",
            evidence,
        )
    elif pods:
        yield Finding(Status.FAIL, "no pod of the operator is ready", f"Namespace {facts.home}", evidence, names=names)
    elif _lease_age_s(facts) is not None and (_lease_age_s(facts) or 0) < LEASE_STALE_S:
        yield Finding(Status.PASS, "an operator outside of the cluster holds the Lease", f"Namespace {facts.home}")
    else:
        message = f"there is no pod with the label app.kubernetes.io/name=watchbell in namespace {facts.home}"
        yield Finding(Status.FAIL, message, f"Namespace {facts.home}", names=names)


def _lease_age_s(facts: Facts) -> float | None:
    leases = [body for body in facts.of("Lease") if body["metadata"]["name"] == "watchbell"]
    renewed = moment(str(spec_of(leases[0]).get("renewTime") or "")) if leases else None
    return (facts.now - renewed).total_seconds() if renewed else None


def _lease(facts: Facts) -> Iterator[Finding]:
    age_s = _lease_age_s(facts)
    if age_s is None:
        return
    holder = next(
        str(spec_of(body).get("holderIdentity") or "")
        for body in facts.of("Lease")
        if body["metadata"]["name"] == "watchbell"
    )
    evidence = (("holder", holder or "nobody"), ("renewedSecondsAgo", f"{age_s:.0f}"))
    if age_s > LEASE_STALE_S:
        yield Finding(
            Status.FAIL,
            f"nobody has renewed the Lease for {age_s:.0f} s: no replica works",
            f"Lease {facts.home}/watchbell",
            evidence,
        )
    else:
        yield Finding(
            Status.PASS, f"{holder or 'nobody yet'} holds the Lease", f"Lease {facts.home}/watchbell", evidence
        )


def _pod_security(facts: Facts) -> Iterator[Finding]:
    home = next((body for body in facts.of("Namespace") if body["metadata"]["name"] == facts.home), None)
    if home is None:
        return
    level = (home["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
    if level == "restricted":
        yield Finding(
            Status.PASS,
            "pods of the operator's namespace are held to the restricted profile",
            f"Namespace {facts.home}",
        )
    else:
        message = f"pod-security.kubernetes.io/enforce is {level or 'not set'}; the operator works under restricted"
        yield Finding(Status.INFO, message, f"Namespace {facts.home}", names={"OPERATOR_NAMESPACE": facts.home})


def _egress(facts: Facts) -> Iterator[Finding]:
    if not _in_cluster(facts) or not facts.of("Pod"):
        return
    if gap := facts.gaps.get("NetworkPolicy"):
        yield Finding(Status.SKIP, gap)
        return
    labels = facts.of("Pod")[0]["metadata"].get("labels") or {}
    binding = [one for one in facts.of("NetworkPolicy") if _binds_egress(one, labels)]
    if not binding:
        yield Finding(
            Status.PASS, "no NetworkPolicy limits where the operator may connect to", f"Namespace {facts.home}"
        )
        return
    names = {"OPERATOR_NAMESPACE": facts.home, "NAMESPACE": facts.home}
    evidence = tuple(("NetworkPolicy", str(one["metadata"]["name"])) for one in binding)
    for what, ports, protocol in (("DNS", (53,), "UDP"), ("SMTP", _wanted_ports(facts), "TCP")):
        closed = [port for port in ports if not any(_opens(one, port, protocol) for one in binding)]
        if closed:
            message = f"NetworkPolicies let the operator not reach {what} on port {', '.join(map(str, closed))}"
            yield Finding(Status.FAIL, message, f"Namespace {facts.home}", evidence, names=names)
        else:
            yield Finding(
                Status.PASS, f"NetworkPolicies let the operator reach {what}", f"Namespace {facts.home}", evidence
            )


def _wanted_ports(facts: Facts) -> tuple[int, ...]:
    usual = {"StartTLS": 587, "Implicit": 465, "None": 25}
    found = {
        int(spec_of(body).get("port") or usual.get(str(part(spec_of(body), "tls", "mode") or "StartTLS"), 587))
        for body in facts.connectors
        if spec_of(body).get("host")
    }
    return tuple(sorted(found)) or (587,)


def _binds_egress(policy: Body, labels: Mapping[str, str]) -> bool:
    spec = spec_of(policy)
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    selector = LabelSelector.model_validate(spec.get("podSelector") or {})
    return "Egress" in types and selects(selector, labels)


def _opens(policy: Body, port: int, protocol: str) -> bool:
    """Whether some rule lets this port through, to whomever: which addresses that are is left to the probe."""
    for rule in listed(spec_of(policy), "egress"):
        ports = rule.get("ports") or ()
        if not ports or any(_covers(one, port, protocol) for one in ports):
            return True
    return False


def _covers(entry: Mapping[str, Any], port: int, protocol: str) -> bool:
    if entry.get("protocol", "TCP") != protocol:
        return False
    first = entry.get("port")
    if first is None or isinstance(first, str):
        return True
    return int(first) <= port <= int(entry.get("endPort") or first)


CHECKS = (
    Check(
        id="check.operator.rights",
        title="The operator's role allows what it does",
        category=Category.RBAC,
        severity=Severity.ERROR,
        tags=("rbac", "operator"),
        looks_at="A SubjectAccessReview for each verb that the operator needs, as its service account.",
        why="The operator does not start without its rights, and says which one is missing.",
        causes=(high("The role is older than the operator."), medium("It watches more namespaces than its roles cover."), low("A policy took rights away.")),
        remedies=change("Install the roles of the operator's version.", "kubectl -n $OPERATOR_NAMESPACE logs deploy/watchbell --tail=20"),
        judge=_operator_rights,
        related=("check.operator.grant", "check.operator.running"),
    ),
    Check(
        id="check.operator.grant",
        title="The operator may read the Secrets that connectors name",
        category=Category.RBAC,
        severity=Severity.ERROR,
        tags=("rbac", "secret", "operator"),
        looks_at="A SubjectAccessReview for `get` of each Secret that a connector names, as the operator's service account.",
        why="By default the operator may read no Secret of yours: each namespace grants it.",
        causes=(high("Nobody has granted it yet."), low("The grant names another Secret or service account.")),
        remedies=change("Grant `get` on this one Secret.", "watchbell grant $SECRET -n $NAMESPACE | kubectl apply -f -"),
        judge=_grant,
        related=("check.connector.secret",),
    ),
    Check(
        id="check.operator.running",
        title="The operator runs",
        category=Category.DELIVERY,
        severity=Severity.CRITICAL,
        tags=("operator",),
        looks_at="Pods with the label app.kubernetes.io/name=watchbell in the operator's namespace, else a fresh Lease.",
        why="Without it nothing is probed, watched or sent. Nothing is lost: messages wait, and incidents are found when it is back.",
        causes=(high("It cannot start: its log says why in one sentence."), medium("It is installed in another namespace: give --operator-namespace."),
                low("It was scaled down.")),
        remedies=change(
            "Read the operator's log; it ends with one sentence that names the cure.",
            "kubectl -n $OPERATOR_NAMESPACE get pods -l app.kubernetes.io/name=watchbell",
            "kubectl -n $OPERATOR_NAMESPACE logs -l app.kubernetes.io/name=watchbell --tail=50",
        ),
        judge=_running,
        related=("check.operator.lease", "check.operator.rights"),
    ),
    Check(
        id="check.operator.lease",
        title="One replica works",
        category=Category.DELIVERY,
        severity=Severity.ERROR,
        tags=("operator", "lease"),
        looks_at="When the Lease watchbell in the operator's namespace was last renewed, if there is one.",
        why="Only the holder of the Lease sends; a Lease that nobody renews means that nobody does.",
        causes=(high("Every replica is down."), medium("The API server is slow, and renewals time out."), low("The role lacks update on leases.")),
        remedies=change("Look at the replicas.", "kubectl -n $OPERATOR_NAMESPACE get lease watchbell -o yaml"),
        judge=_lease,
        related=("check.operator.running",),
    ),
    Check(
        id="check.operator.podsecurity",
        title="The operator's namespace enforces the restricted profile",
        category=Category.SECURITY,
        severity=Severity.INFO,
        tags=("security", "operator"),
        looks_at="The label pod-security.kubernetes.io/enforce of the operator's namespace.",
        why="The operator needs no privilege; the label makes the API server keep it so.",
        causes=(high("The label was never set."),),
        remedies=change(
            "Label the namespace.",
            "kubectl label namespace $OPERATOR_NAMESPACE pod-security.kubernetes.io/enforce=restricted",
        ),
        judge=_pod_security,
    ),
    Check(
        id="check.operator.egress",
        title="Network policies let the operator reach DNS and mail servers",
        category=Category.CONNECTIVITY,
        severity=Severity.ERROR,
        tags=("network", "operator"),
        looks_at="NetworkPolicies that select the operator's pod and limit egress: whether some rule opens DNS and the ports of the connectors.",
        why="A port that is not opened looks like a server that is down: the connection times out.",
        causes=(high("A default-deny policy stands in the namespace."), medium("A connector uses a port that the policy does not name.")),
        remedies=change(
            "Allow egress from the operator to UDP and TCP 53 and to the ports of the connectors.",
            "kubectl -n $OPERATOR_NAMESPACE get networkpolicies -o yaml",
            is_safe=False,
        ),
        judge=_egress,
        related=("check.integration.smtp.connect",),
    ),
)  # fmt: skip
