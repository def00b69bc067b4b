"""CollectorPolicy: which pods are watched, what is wrong with them, and whom to tell."""

from typing import Annotated

from pydantic import Field, StrictBool, StringConstraints

from watchbell.api import fields as f
from watchbell.api.baseline import Baseline, BaselineStatus, Drift
from watchbell.api.enums import ConditionStatus, CrashKind, IncidentKind, Severity
from watchbell.api.markers import InCode, ListMap, ListSet, Rule
from watchbell.api.meta import Block, LabelSelector, Resource, Spec, Status
from watchbell.api.route import Links, Route

__all__ = [
    "CollectorPolicy",
    "CollectorPolicySpec",
    "CollectorPolicyStatus",
    "Containers",
    "Crash",
    "Grouping",
    "PodCondition",
    "Route",
    "SeverityOverride",
    "SeverityRules",
    "Throttle",
]


class Containers(Block):
    """Which containers of the pods count."""

    include: Annotated[tuple[f.ContainerName, ...], Field(max_length=32), ListSet()] = Field(
        (), description="Only these containers. Unset: all."
    )
    exclude: Annotated[tuple[f.ContainerName, ...], Field(max_length=32), ListSet()] = Field(
        (), description="Never these containers."
    )


class PodCondition(Block):
    """A condition of the pod that says that something in it is dead."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(description="The condition's type.")
    status: ConditionStatus = Field(description="The status that means trouble.")


class Crash(Block):
    """What is a crash."""

    kinds: Annotated[tuple[CrashKind, ...], Field(max_length=16), ListSet(), InCode("all of them")] = Field(
        tuple(CrashKind), description="What is looked for. An empty list turns it off."
    )
    restart_threshold: Annotated[int, Field(strict=True, ge=2, le=100)] = Field(
        5, description="RestartBurst: so many restarts of a container within `restartWindowSeconds`."
    )
    restart_window_seconds: Annotated[int, Field(strict=True, ge=60, le=86_400)] = Field(
        600, description="RestartBurst: within so long."
    )
    not_ready_seconds: Annotated[int, Field(strict=True, ge=30, le=86_400)] = Field(
        300, description="NotReady, Unschedulable: a pod must have been so for so long."
    )
    pod_conditions: Annotated[tuple[PodCondition, ...], Field(max_length=8), ListMap("type")] = Field(
        (), description="SubprocessCrashed: conditions by which a supervisor in the pod reports a dead sub-process."
    )
    log_tail_lines: Annotated[int, Field(strict=True, ge=0, le=200)] = Field(
        0,
        description="The last lines of the crashed container's log that the mail shows; secrets are redacted. The operator needs the right to "
        "get pods/log then. 0: none.",
    )


class SeverityOverride(Block):
    """How bad incidents of one kind are."""

    kind: IncidentKind = Field(description="The kind.")
    severity: Severity = Field(description="Its severity.")


class SeverityRules(Block):
    """How bad incidents are."""

    default: Severity = Field(Severity.WARNING, description="The severity of every incident.")
    overrides: Annotated[tuple[SeverityOverride, ...], Field(max_length=16), ListMap("kind")] = Field(
        (), description="Kinds that are worse than that, or not so bad."
    )


class Grouping(Block):
    """How many mails an incident makes."""

    wait_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = Field(
        5, description="Wait so long for more pods and more incidents before the first mail. Critical ones do not wait."
    )
    period_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = Field(
        300,
        description="After a mail, what comes within this time goes as one digest at its end; Critical goes at once. Also the least time between "
        "two mails of one incident.",
    )
    repeat_seconds: Annotated[int, Field(strict=True, ge=0, le=2_592_000)] = Field(
        14_400, description="Remind so often while the fault stands. 0: never."
    )
    resolve_after_seconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = Field(
        120,
        description="The workload must have been ready so long before the incident is over. A container that restarted more than once has to hold "
        "ten minutes more, the time after which the kubelet forgets a crash loop; pods that replaced it have not.",
    )

    max_incidents_per_message: Annotated[int, Field(strict=True, ge=1, le=200)] = Field(
        50, description="A digest lists at most so many incidents. 1: each has a mail of its own, at once."
    )


class Throttle(Block):
    """How many mails at most."""

    messages_per_hour: Annotated[int, Field(strict=True, ge=1, le=100_000)] = Field(
        30, description="What is over this budget waits and goes into a digest. Nothing is dropped."
    )


class CollectorPolicySpec(Spec):
    """A selector and one route with recipients are a whole policy."""

    RULES = (
        Rule(
            "(has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0) || "
            "(has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)",
            "selector must hold matchLabels or matchExpressions: an empty one would take every pod",
            ".selector",
            lambda spec: bool(spec.selector.match_labels or spec.selector.match_expressions),
        ),
    )

    suspend: StrictBool = Field(False, description="Nothing is watched and nobody is told.")  # noqa: FBT003 - a field's default
    selector: LabelSelector = Field(description="The pods of this namespace that the policy is about.")
    containers: Containers = Field(default_factory=Containers, description="Which containers of the pods count.")
    baseline: Baseline = Field(default_factory=Baseline, description="What pods are compared with.")
    drift: Drift = Field(default_factory=Drift, description="What is compared with the baseline.")
    crash: Crash = Field(default_factory=Crash, description="What is a crash.")
    severity: SeverityRules = Field(default_factory=SeverityRules, description="How bad incidents are.")
    routes: Annotated[tuple[Route, ...], Field(min_length=1, max_length=8), ListMap("name")] = Field(
        description="Whom to tell."
    )
    grouping: Grouping = Field(default_factory=Grouping, description="How many mails an incident makes.")
    throttle: Throttle = Field(default_factory=Throttle, description="How many mails at most.")
    links: Links = Field(default_factory=Links, description="Where the buttons of a mail lead.")


class CollectorPolicyStatus(Status):
    """What the policy sees."""

    matched_pods: f.Count | None = Field(None, description="Pods that the selector takes.")
    crashing_pods: f.Count | None = Field(None, description="Those of them that are crashing.")
    drifted_pods: f.Count | None = Field(None, description="Pods that are not as the baseline says.")
    open_incidents: f.Count | None = Field(None, description="Incidents that are not over.")
    baseline: BaselineStatus | None = Field(None, description="The baseline that is in force.")
    last_handled_request: f.Text | None = Field(
        None, description="The value of the annotation watchbell.dev/requested-at that was last answered."
    )


class CollectorPolicy(Resource):
    """Watches the pods of telemetry collectors and tells people by mail when they crash or drift."""

    spec: CollectorPolicySpec
    status: CollectorPolicyStatus = Field(default_factory=CollectorPolicyStatus)
