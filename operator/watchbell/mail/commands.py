"""What to run next, for each kind of incident: lines to copy, every name quoted for a shell.

Before: `facts` and `incident`. After: the block near the end of a mail. Nothing here changes a cluster except what says so.
"""

import shlex
from collections.abc import Callable, Mapping

from watchbell.mail.document import Commands
from watchbell.mail.facts import CrashFacts
from watchbell.mail.incident import Names, incident_command
from watchbell.mail.untrusted import name

Rows = tuple[tuple[str, str], ...]

_ROLLOUTS = {"Deployment", "StatefulSet", "DaemonSet"}


def run_next(facts: CrashFacts, names: Names) -> Commands:
    """The block for a mail about a failure."""
    make = _KINDS.get(facts.worst) or _KINDS.get(facts.kind) or _ended
    return Commands("Run next", (*make(facts, names), incident_command(facts, names)))


def baseline(facts: CrashFacts, names: Names) -> Commands:
    """The block for a mail about drift: look, then either accept or go back. `watchbell` is the command of the operator's package."""
    policy, where = shlex.quote(name(facts.policy)), shlex.quote(names.namespace)
    rows: list[tuple[str, str]] = [
        ("Every difference of this policy, as it is now", f"watchbell baseline diff {policy} -n {where}")
    ]
    match facts.baseline:
        case "Captured":
            rows.append(
                ("Accept what runs now as the new baseline", f"watchbell baseline accept {policy} -n {where}"),
            )
        case "Pinned":
            rows.append(
                (
                    "Accept what runs now: print it as a block for spec.baseline.pinned in Git",
                    f"watchbell baseline capture {policy} -n {where}",
                )
            )
        case _:
            pass
    rows += [*_remedies(facts, names), *_back(facts, names), *_rollout_history(facts, names)]
    rows.append(incident_command(facts, names))
    return Commands("Run next", tuple(rows))


def _back(facts: CrashFacts, names: Names) -> Rows:
    owner = _owner(facts, names)
    if not owner:
        return ()
    match facts.baseline:
        case "Captured" | "Pinned":
            return (("Or go back to the revision before", f"{_kubectl(names)} rollout undo {owner}"),)
        case "OwnerTemplate":
            return (("Make all pods anew from their template", f"{_kubectl(names)} rollout restart {owner}"),)
        case _:
            return ()


def _remedies(facts: CrashFacts, names: Names) -> Rows:
    """What some checks ask for whatever the baseline is."""
    owner, checks = _owner(facts, names), {item.check for item in facts.differences}
    rows: list[tuple[str, str]] = []
    if "StaleConfig" in checks and owner and facts.baseline != "OwnerTemplate":
        rows.append(("Let the pods read their configuration anew", f"{_kubectl(names)} rollout restart {owner}"))
    if "NodeCoverage" in checks and owner:
        rows.append(("Why nodes have no collector: its events", f"{_kubectl(names)} describe {owner}"))
        rows.append(("Taints and room of the nodes", "kubectl describe nodes"))
    return tuple(rows)


def _kubectl(names: Names) -> str:
    return f"kubectl -n {shlex.quote(names.where)}" if names.where else "kubectl"


def _pod(facts: CrashFacts) -> str:
    return shlex.quote(name(facts.pods[0].name)) if facts.pods else ""


def _owner(facts: CrashFacts, names: Names) -> str:
    """`deployment/otel-gateway`; empty for an owner that `kubectl rollout` does not know."""
    return shlex.quote(f"{facts.owner_kind.lower()}/{names.owner}") if facts.owner_kind in _ROLLOUTS else ""


def _log(facts: CrashFacts, names: Names, *, previous: bool) -> Rows:
    pod = _pod(facts)
    if not pod:
        return ()
    container = f" -c {shlex.quote(names.container)}" if names.container else ""
    what = "The log of the container that failed" if names.container else "Its log"
    flag = " --previous" if previous and not facts.pods[0].is_never_restarted else ""
    return ((what, f"{_kubectl(names)} logs {pod}{container}{flag} --tail=100"),)


def _describe(facts: CrashFacts, names: Names, what: str) -> Rows:
    pod = _pod(facts)
    return ((what, f"{_kubectl(names)} describe pod {pod}"),) if pod else ()


def _rollout_history(facts: CrashFacts, names: Names) -> Rows:
    owner = _owner(facts, names)
    return (("What changed before it began", f"{_kubectl(names)} rollout history {owner}"),) if owner else ()


def _ended(facts: CrashFacts, names: Names) -> Rows:
    return (
        *_log(facts, names, previous=True),
        *_describe(facts, names, "Events, limits, probes and mounts of the pod"),
        *_rollout_history(facts, names),
    )


def _out_of_memory(facts: CrashFacts, names: Names) -> Rows:
    pod = _pod(facts)
    top = (("What it uses now", f"{_kubectl(names)} top pod {pod} --containers"),) if pod else ()
    return (
        *_log(facts, names, previous=True),
        *_describe(facts, names, "Events, limits, probes and mounts of the pod"),
        *top,
        *_rollout_history(facts, names),
    )


def _sub_process(facts: CrashFacts, names: Names) -> Rows:
    return (
        *_log(facts, names, previous=False),
        *_describe(facts, names, "Conditions and events of the pod"),
        *_rollout_history(facts, names),
    )


def _not_created(facts: CrashFacts, names: Names) -> Rows:
    return (
        *_describe(facts, names, "The event that names what is missing"),
        ("Which ConfigMaps and Secrets are there", f"{_kubectl(names)} get configmaps,secrets"),
        *_rollout_history(facts, names),
    )


def _not_pulled(facts: CrashFacts, names: Names) -> Rows:
    pod = _pod(facts)
    image = '{range .spec.containers[*]}{.image}{"\\n"}{end}{.spec.imagePullSecrets[*].name}{"\\n"}'
    secrets = (
        (("Its images and pull secrets", f"{_kubectl(names)} get pod {pod} -o jsonpath={shlex.quote(image)}"),)
        if pod
        else ()
    )
    return (*_describe(facts, names, "The registry's answer, in the events"), *secrets, *_rollout_history(facts, names))


def _evicted(facts: CrashFacts, names: Names) -> Rows:
    node = shlex.quote(name(facts.pods[0].node)) if facts.pods and facts.pods[0].node else ""
    rows = (("Pressure and allocations of the node", f"kubectl describe node {node}"),) if node else ()
    return (
        *_describe(facts, names, "What the kubelet said when it evicted the pod"),
        *rows,
        ("Where its pods run now", f"{_kubectl(names)} get pods -o wide"),
    )


def _unschedulable(facts: CrashFacts, names: Names) -> Rows:
    return (
        *_describe(facts, names, "The scheduler's count of nodes, in the events"),
        ("Which nodes are there, with labels", "kubectl get nodes --show-labels"),
        ("Quotas that may be used up", f"{_kubectl(names)} describe resourcequota"),
    )


def _not_ready(facts: CrashFacts, names: Names) -> Rows:
    return (
        *_describe(facts, names, "Readiness probe, gates and events of the pod"),
        *_log(facts, names, previous=False),
        *_rollout_history(facts, names),
    )


def _stuck(facts: CrashFacts, names: Names) -> Rows:
    owner = _owner(facts, names)
    if not owner:
        return (("Its pods", f"{_kubectl(names)} get pods -o wide"),)
    return (
        ("How far it is", f"{_kubectl(names)} rollout status {owner} --timeout=5s"),
        ("Its conditions and events", f"{_kubectl(names)} describe {owner}"),
        ("Its pods, the newest last", f"{_kubectl(names)} get pods -o wide --sort-by=.metadata.creationTimestamp"),
        ("Go back to the revision before", f"{_kubectl(names)} rollout undo {owner}"),
    )


def _node_lost(_facts: CrashFacts, names: Names) -> Rows:
    node = shlex.quote(names.owner)
    on_it = shlex.quote(f"spec.nodeName={names.owner}")
    return (
        ("Its conditions, and when its kubelet last reported", f"kubectl describe node {node}"),
        ("Everything that was on it", f"kubectl get pods -A -o wide --field-selector {on_it}"),
        ("Once the machine is surely off: let its pods go elsewhere", f"kubectl delete node {node}"),
    )


_KINDS: Mapping[str, Callable[[CrashFacts, Names], Rows]] = {
    "CrashLoopBackOff": _ended,
    "OOMKilled": _out_of_memory,
    "ContainerError": _ended,
    "ContainerConfigError": _not_created,
    "ImagePullFailed": _not_pulled,
    "InitContainerFailed": _ended,
    "Evicted": _evicted,
    "NodeLost": _node_lost,
    "Unschedulable": _unschedulable,
    "NotReady": _not_ready,
    "RestartBurst": _ended,
    "SubprocessCrashed": _sub_process,
    "RolloutStuck": _stuck,
}
