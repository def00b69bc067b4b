"""CollectorIncident: one thing that is wrong, kept until it is right. Made by the operator only; its memory of what was noticed and who was told."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from watchbell.api import fields as f
from watchbell.api.enums import DriftCheck, IncidentKind, Severity, Transition
from watchbell.api.markers import ListAtomic, ListMap, immutable
from watchbell.api.meta import Block, LocalRef, Resource, Spec, Status


class Owner(Block):
    """The workload that the pods belong to."""

    kind: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Its kind, such as DaemonSet.")
    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Its name.")


class CollectorIncidentSpec(Spec):
    """What is wrong. It cannot be changed."""

    RULES = (immutable("spec may not be changed: an incident is a record"),)

    policy_ref: LocalRef = Field(description="The CollectorPolicy that found it.")
    kind: IncidentKind = Field(description="What is wrong.")
    owner: Owner = Field(description="The workload.")
    container: f.ContainerName | None = Field(None, description="The container, where the fault is about one.")
    severity: Severity = Field(description="How bad it is.")
    fingerprint: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="The same for each incident of this fault."
    )
    start_time: AwareDatetime = Field(description="When it was first seen.")


class AffectedPod(Block):
    """One pod of the incident, as it was last seen."""

    name: f.Word = Field(description="The pod's name.")
    node: f.Word | None = Field(None, description="Its node.")
    reason: f.Word | None = Field(None, description="The reason that the kubelet gives.")
    exit_code: Annotated[int, Field(ge=-2_147_483_648, le=2_147_483_647)] | None = Field(
        None, description="The container's exit code."
    )
    signal: Annotated[int, Field(ge=0, le=255)] | None = Field(None, description="The signal that ended the container.")
    restarts: f.Count | None = Field(None, description="Restarts of the container.")
    last_time: AwareDatetime | None = Field(None, description="When it last happened.")
    message: f.Text | None = Field(None, description="The kubelet's message, or the container's own last words.")


class IncidentDifference(Block):
    """One departure from the baseline. Values of variables never stand here."""

    path: f.Text = Field(description="The field, such as containers[collector].image.")
    check: DriftCheck = Field(description="The check that found it.")
    expected: f.Paragraph = Field(description="What the baseline says.")
    actual: f.Paragraph = Field(description="What is there.")


class Notification(Block):
    """One time that people were told."""

    sequence: Annotated[int, Field(ge=0, le=2_147_483_647)] = Field(description="Its number, from 0.")
    transition: Transition = Field(description="Fired, Repeated, Escalated or Resolved.")
    message_ref: LocalRef | None = Field(None, description="The EmailMessage.")
    severity: Severity | None = Field(None, description="How bad it was said to be.")
    time: AwareDatetime | None = Field(None, description="When it was decided.")


class CollectorIncidentStatus(Status):
    """How it stands."""

    affected_pods: Annotated[tuple[AffectedPod, ...], Field(max_length=50), ListMap("name")] = Field(
        (), description="The pods, at most 50 of them."
    )
    affected_count: f.Count | None = Field(None, description="How many pods there are in all.")
    worst: IncidentKind | None = Field(None, description="The worst kind so far; `spec.kind` is the first.")
    severity: Severity | None = Field(None, description="How bad it is by now; `spec.severity` is how bad it began.")
    occurrences: f.Count | None = Field(None, description="How often it happened.")
    flaps: f.Count | None = Field(None, description="How often it failed again after it had been healthy for a while.")
    interval_seconds: f.Count | None = Field(
        None,
        description="The longest time between two failures; it holds back the end of an incident that comes and goes.",
    )
    last_seen_time: AwareDatetime | None = Field(None, description="When it was last seen.")
    resolved_time: AwareDatetime | None = Field(None, description="When it was over.")
    silenced_by: f.Word | None = Field(None, description="The AlertSilence that mutes it now.")
    differences: Annotated[tuple[IncidentDifference, ...], Field(max_length=50), ListAtomic()] = Field(
        (), description="For Drift: what is not as the baseline says, at most 50 entries."
    )
    notifications: Annotated[tuple[Notification, ...], Field(max_length=64), ListMap("sequence")] = Field(
        (), description="Who was told what, and when; the last 64."
    )
    thread: Annotated[str, Field(max_length=998)] | None = Field(None, description="The key of the mail thread.")


class CollectorIncident(Resource):
    """One fault of one workload: what was noticed, and who was told."""

    spec: CollectorIncidentSpec
    status: CollectorIncidentStatus = Field(default_factory=CollectorIncidentStatus)
