"""CollectorPolicy: which pods are watched, what is wrong with them, and whom to tell."""

from typing import Annotated

from pydantic import Field, StrictBool

from watchbell.api import fields as f
from watchbell.api.connector import ConnectorRef
from watchbell.api.enums import CrashKind, ResolvedMail, Severity
from watchbell.api.markers import InCode, ListMap, ListSet, Rule
from watchbell.api.meta import Block, LabelSelector, Resource, Spec, Status
from watchbell.api.recipients import RECIPIENT_RULES, RouteBccList, RouteCcList, RouteToList


class Containers(Block):
    """Which containers of the pods count."""

    include: Annotated[tuple[f.ContainerName, ...], Field(max_length=32), ListSet()] = Field(
        (), description="Only these containers. Unset: all."
    )
    exclude: Annotated[tuple[f.ContainerName, ...], Field(max_length=32), ListSet()] = Field(
        (), description="Never these containers."
    )


class Crash(Block):
    """What is a crash."""

    kinds: Annotated[tuple[CrashKind, ...], Field(max_length=16), ListSet(), InCode("all of them")] = Field(
        tuple(CrashKind), description="What is looked for. An empty list turns it off."
    )
    log_tail_lines: Annotated[int, Field(strict=True, ge=0, le=200)] = Field(
        0,
        description="The last lines of the crashed container's log that the mail shows; secrets are redacted. The operator needs the right to "
        "get pods/log then. 0: none.",
    )


class SeverityRules(Block):
    """How bad incidents are."""

    default: Severity = Field(Severity.WARNING, description="The severity of every incident.")


class Route(Block):
    """Whom to tell."""

    RULES = RECIPIENT_RULES

    name: f.RouteName = Field(description="The route's name, once in the policy.")
    connector_ref: Annotated[ConnectorRef | None, InCode("the connector named default")] = Field(
        None, description="The connector that sends the mails."
    )
    to: RouteToList = Field((), description="Recipients.")
    cc: RouteCcList = Field((), description="Recipients of a copy.")
    bcc: RouteBccList = Field((), description="Recipients that the others do not see.")
    resolved: Annotated[ResolvedMail, InCode("Send")] = Field(
        ResolvedMail.SEND, description="Whether a mail tells that the incident is over."
    )


class Grouping(Block):
    """How many mails an incident makes."""

    wait_seconds: Annotated[int, Field(strict=True, ge=0, le=3600)] = Field(
        5, description="Wait so long for more pods of the same fault before the first mail."
    )
    period_seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)] = Field(
        300, description="The least time between two mails of one incident."
    )
    repeat_seconds: Annotated[int, Field(strict=True, ge=0, le=2_592_000)] = Field(
        14_400, description="Remind so often while the fault stands. 0: never."
    )
    resolve_after_seconds: Annotated[int, Field(strict=True, ge=0, le=86_400)] = Field(
        120,
        description="The workload must have been ready so long before the incident is over. A container that restarted more than once has to hold "
        "ten minutes more, the time after which the kubelet forgets a crash loop; pods that replaced it have not.",
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
    crash: Crash = Field(default_factory=Crash, description="What is a crash.")
    severity: SeverityRules = Field(default_factory=SeverityRules, description="How bad incidents are.")
    routes: Annotated[tuple[Route, ...], Field(min_length=1, max_length=8), ListMap("name")] = Field(
        description="Whom to tell."
    )
    grouping: Grouping = Field(default_factory=Grouping, description="How many mails an incident makes.")


class CollectorPolicyStatus(Status):
    """What the policy sees."""

    matched_pods: f.Count | None = Field(None, description="Pods that the selector takes.")
    crashing_pods: f.Count | None = Field(None, description="Those of them that are crashing.")
    open_incidents: f.Count | None = Field(None, description="Incidents that are not over.")
    last_handled_request: f.Text | None = Field(
        None, description="The value of the annotation watchbell.dev/requested-at that was last answered."
    )


class CollectorPolicy(Resource):
    """Watches the pods of telemetry collectors and tells people by mail when they crash."""

    spec: CollectorPolicySpec
    status: CollectorPolicyStatus = Field(default_factory=CollectorPolicyStatus)
