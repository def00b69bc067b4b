"""SmtpTest: the "Test connection" button as an object. A kind of its own, so that who may make the relay mail whom is a verb in RBAC."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from watchbell.api import fields as f
from watchbell.api.connector import ConnectorRef
from watchbell.api.enums import TestLevel, TlsMode
from watchbell.api.markers import InCode, ListAtomic, ListSet, Rule, immutable
from watchbell.api.meta import Resource, Spec, Status
from watchbell.api.stages import Remediation, Server, Stages


class SmtpTestSpec(Spec):
    """What to test. It cannot be changed: a test runs once."""

    RULES = (
        immutable("spec may not be changed: a test runs once, create another SmtpTest"),
        Rule(
            "self.level != 'Deliver' || (has(self.to) && size(self.to) > 0)",
            "to must name a recipient at level Deliver",
            ".to",
            lambda spec: spec.level is not TestLevel.DELIVER or bool(spec.to),
        ),
    )

    connector_ref: Annotated[ConnectorRef | None, InCode("the connector named default")] = Field(
        None, description="The connector to test."
    )
    to: Annotated[tuple[f.To, ...], Field(max_length=5), ListSet()] = Field((), description="Who gets the test mail.")
    level: TestLevel = Field(
        TestLevel.DELIVER,
        description="How far to go: Connect, Authenticate, or Deliver, which sends a mail to each of `to`.",
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=600)] = Field(
        30, description="The time for the whole test."
    )
    ttl_seconds_after_finished: Annotated[int, Field(strict=True, ge=0, le=31_536_000)] | None = Field(
        None, description="Delete the object so long after it finished. Unset: keep it."
    )


class SmtpTestStatus(Status):
    """How it went."""

    start_time: AwareDatetime | None = Field(None, description="When it began.")
    completion_time: AwareDatetime | None = Field(None, description="When it ended, either way.")
    endpoint: f.Word | None = Field(None, description="The host and port that were tested.")
    tls_mode: TlsMode | None = Field(None, description="The TLS mode that was used.")
    resolved_from: f.Text | None = Field(None, description="The connector that was tested.")
    message_id: Annotated[str, Field(max_length=998)] | None = Field(
        None, description="The Message-ID of the test mail."
    )
    server: Server | None = Field(None, description="What the server says of itself.")
    stages: Stages = Field((), description="The stages in their order.")
    transcript: Annotated[tuple[f.Paragraph, ...], Field(max_length=64), ListAtomic()] = Field(
        (), description="The dialogue with the server; credentials and content are left out."
    )
    remediation: Remediation = Field((), description="What to do, in plain sentences with commands.")


class SmtpTest(Resource):
    """Tests a connector once, stage by stage, and sends a mail if asked to."""

    spec: SmtpTestSpec
    status: SmtpTestStatus = Field(default_factory=SmtpTestStatus)
