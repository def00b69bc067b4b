"""What there is to say about a policy now, and the status that says it (pure).

Before: `standing` gathers a Sighting. After: the status is written. `Crashing` and `Drifted` are abnormal-true and never lower Ready, or they would
hold up the very deploy that mends them; nor does an unresolved reference, for the rest of the policy is enforced all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbell.api.conditions import Condition, merge
from watchbell.api.enums import BaselineMode
from watchbell.api.reasons import Reason
from watchbell.collectors.policies import Policy

ALL_RESOLVED = "Connectors, templates, recipients and workloads were found."
TOLD_MAX = 10
_ORDER = (
    Reason.CONNECTOR_NOT_FOUND,
    Reason.OWNERS_FORBIDDEN,
    Reason.RECIPIENTS_NOT_FOUND,
    Reason.TEMPLATE_NOT_FOUND,
    Reason.TEMPLATE_FAILED,
    Reason.BASELINE_CONTAINER_NOT_FOUND,
    Reason.RIGHTS_MISSING,
)
"""What costs most mails comes first: it is the condition's reason; the message tells all."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Something that the policy needs and that is not there, or not usable; `text` says what it means and how to mend it."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class DriftSight:
    """How a policy's pods compare with the baseline now. `workloads` are the drifted ones, as `DaemonSet/otel-agent`.

    `unresolved`: workloads that could not be compared (OwnersForbidden, BaselineContainerNotFound).
    """

    pods: int = 0
    workloads: tuple[str, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()


@dataclass(frozen=True, slots=True)
class Sighting:
    """What there is to say about a policy now. `refusal` is why its pods cannot be watched; `baseline` None = nobody knows it now.

    `drift_incidents` of the `open_incidents` are about drift.
    """

    matched: int = 0
    crashing: int = 0
    open_incidents: int = 0
    drift: DriftSight = DriftSight()
    refusal: tuple[Reason, str] | None = None
    unresolved: tuple[Unresolved, ...] = ()
    baseline: Mapping[str, Any] | None = None
    drift_incidents: int = 0


def policy_status(policy: Policy, sighting: Sighting, now: datetime) -> dict[str, Any]:
    """The whole status."""
    status: dict[str, Any] = {
        "observedGeneration": policy.generation,
        "conditions": merge(_existing(policy), _conditions(policy, sighting), policy.generation, now),
        "matchedPods": sighting.matched,
        "crashingPods": sighting.crashing,
        "driftedPods": sighting.drift.pods,
        "openIncidents": sighting.open_incidents,
    }
    if baseline := sighting.baseline if sighting.baseline is not None else _captured_before(policy):
        status["baseline"] = dict(baseline)
    return status | ({"lastHandledRequest": policy.requested_at} if policy.requested_at else {})


def _existing(policy: Policy) -> Sequence[Mapping[str, Any]]:
    conditions = policy.status.get("conditions")
    return conditions if isinstance(conditions, list) else ()


def _captured_before(policy: Policy) -> Mapping[str, Any]:
    """What was captured is nowhere else: it stays until somebody knows better, also while the policy is suspended or has a mistake."""
    baseline = policy.status.get("baseline")
    return baseline if isinstance(baseline, Mapping) and baseline.get("mode") == BaselineMode.CAPTURED else {}


def _conditions(policy: Policy, sighting: Sighting) -> tuple[Condition, ...]:
    if policy.problems:
        text = "; ".join(str(problem) for problem in policy.problems)
        return (
            Condition("Accepted", "False", Reason.INVALID_SPEC, text),
            Condition("Ready", "False", Reason.INVALID_SPEC, text),
            Condition("Stalled", "True", Reason.INVALID_SPEC, text),
        )
    accepted = Condition("Accepted", "True", Reason.ACCEPTED, Reason.ACCEPTED.doc)
    return (accepted, _refs(sighting), _crashing(sighting), _drifted(policy, sighting), _ready(policy, sighting))


def _refs(sighting: Sighting) -> Condition:
    if not sighting.unresolved:
        return Condition("ResolvedRefs", "True", Reason.RESOLVED_REFS, ALL_RESOLVED)
    ranked = sorted(sighting.unresolved, key=lambda item: _ORDER.index(item.reason))
    texts = [item.text for item in ranked[:TOLD_MAX]]
    if len(ranked) > TOLD_MAX:
        texts.append(f"And {len(ranked) - TOLD_MAX} more.")
    return Condition("ResolvedRefs", "False", ranked[0].reason, " ".join(texts))


def _crashing(sighting: Sighting) -> Condition:
    crashes = sighting.open_incidents - sighting.drift_incidents
    if crashes:
        text = f"{_are(crashes, 'incident')} open, {_are(sighting.crashing, 'pod')} crashing."
        return Condition("Crashing", "True", Reason.PODS_CRASHING, text)
    return Condition("Crashing", "False", Reason.ALL_HEALTHY, Reason.ALL_HEALTHY.doc)


def _drifted(policy: Policy, sighting: Sighting) -> Condition:
    drift = sighting.drift
    if not drift.workloads and any(item.reason is Reason.OWNERS_FORBIDDEN for item in sighting.unresolved):
        return Condition("Drifted", "Unknown", Reason.OWNERS_FORBIDDEN, Reason.OWNERS_FORBIDDEN.doc)
    if not drift.workloads:
        return Condition("Drifted", "False", Reason.NO_DRIFT, Reason.NO_DRIFT.doc)
    named = ", ".join(drift.workloads[:5]) + (
        f" and {len(drift.workloads) - 5} more" if len(drift.workloads) > 5 else ""
    )
    who = _are(drift.pods, "pod") if drift.pods else "the workload is"
    text = (
        f"{named}: {who} not as the baseline says. See `kubectl get colinc -n {policy.key[0]}`, or "
        f"`watchbell baseline diff {policy.key[1]} -n {policy.key[0]}`."
    )
    return Condition("Drifted", "True", Reason.PODS_DRIFTED, text)


def _ready(policy: Policy, sighting: Sighting) -> Condition:
    if policy.is_suspended:
        return Condition("Ready", "False", Reason.SUSPENDED, "`suspend` is set: nothing is watched, nobody is told.")
    if sighting.refusal:
        return Condition("Ready", "False", *sighting.refusal)
    if not sighting.matched:
        selector = policy.scope.selector if policy.scope else ""
        text = f"No pod matches now; see `kubectl get pods -n {policy.key[0]} -l '{selector}'`."
        return Condition("Ready", "True", Reason.NO_PODS_MATCH, text)
    return Condition("Ready", "True", Reason.ENFORCED, Reason.ENFORCED.doc)


def _are(number: int, noun: str) -> str:
    return f"1 {noun} is" if number == 1 else f"{number} {noun}s are"
