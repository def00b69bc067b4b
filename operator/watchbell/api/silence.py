"""AlertSilence: what nobody needs to be told about for a while."""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from watchbell.api import fields as f
from watchbell.api.enums import IncidentKind, MatchOperator, Severity, SilenceField
from watchbell.api.markers import InCode, ListAtomic, ListSet, Rule
from watchbell.api.meta import Block, Resource, Spec, Status


def _only(field: SilenceField, words: tuple[str, ...]) -> Rule:
    allowed = ", ".join(f"'{word}'" for word in words)
    known = frozenset(words)
    return Rule(
        f"self.field != '{field}' || self.values.all(value, value in [{allowed}])",
        f"values must be of {', '.join(words)} with field {field}",
        ".values",
        lambda matcher: matcher.field is not field or known.issuperset(matcher.values),
    )


class Matcher(Block):
    """One condition on an incident."""

    RULES = (
        _only(SilenceField.KIND, tuple(IncidentKind)),
        _only(SilenceField.SEVERITY, tuple(Severity)),
    )

    field: SilenceField = Field(description="What is looked at.")
    operator: Annotated[MatchOperator, InCode("In")] = Field(
        MatchOperator.IN,
        description="In: it must be one of the values (of pods and nodes: each of them). NotIn: it may be none.",
    )
    values: Annotated[
        tuple[Annotated[str, StringConstraints(min_length=1, max_length=253)], ...],
        Field(min_length=1, max_length=50),
        ListSet(),
    ] = Field(
        description="Whole names, or their beginnings where the value ends in `*`; an owner is `DaemonSet/otel-agent` or only its name. Kinds and "
        "severities stand here whole."
    )


class AlertSilenceSpec(Spec):
    """What to mute, until when, and why. The matchers cannot be changed: what was silenced stays on record."""

    RULES = (
        Rule(
            "self.matchers == oldSelf.matchers", "matchers may not be changed: create another AlertSilence", ".matchers"
        ),
        Rule(
            "!has(self.startTime) || self.startTime < self.endTime",
            "endTime must be after startTime",
            ".endTime",
            lambda spec: spec.start_time is None or spec.start_time < spec.end_time,
        ),
    )

    matchers: Annotated[tuple[Matcher, ...], Field(min_length=1, max_length=16), ListAtomic()] = Field(
        description="Which incidents of this namespace; all of them must match."
    )
    start_time: Annotated[AwareDatetime | None, InCode("when it was created")] = Field(
        None, description="When it begins."
    )
    end_time: AwareDatetime = Field(description="When it ends; a time that has passed ends it now.")
    comment: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="Why.")
    created_by: f.Word | None = Field(None, description="Who asked for it.")


class AlertSilenceStatus(Status):
    """How it stands."""

    matched_incidents: f.Count | None = Field(None, description="Open incidents that it mutes now.")
    held_back: f.Count | None = Field(None, description="Notifications that it has held back.")
    ended_message_time: AwareDatetime | None = Field(
        None, description="When the mail about what it held back went to the outbox, or there was nothing to tell."
    )


class AlertSilence(Resource):
    """Mutes alerts of its namespace for a time; when it ends, one mail says what it held back."""

    spec: AlertSilenceSpec
    status: AlertSilenceStatus = Field(default_factory=AlertSilenceStatus)
