"""Whom a CollectorPolicy tells, of what, and in which words."""

from typing import Annotated

from pydantic import Field, StringConstraints

from watchbell.api import fields as f
from watchbell.api.connector import ConnectorRef
from watchbell.api.enums import IncidentKind, ResolvedMail, Severity
from watchbell.api.markers import InCode, ListAtomic, ListSet, Matches, Rule
from watchbell.api.meta import Block, LocalRef
from watchbell.api.recipients import ROUTE_RECIPIENT_RULES, RouteBccList, RouteCcList, RouteToList

# Visible ASCII that may stand in a link, without quotes and braces. No placeholder and no user before the first slash.
_SAFE = r"[!#$%&()*+,\-./0-9:;=?@A-Z\[\]_a-z~]"
_HOST = r"(?i:https?)://[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]*"
_PLACEHOLDER = r"\{(?:cluster|namespace|owner|kind|pod|incident)\}"

DashboardUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    Matches(
        rf"{_HOST}(?:[/?#](?:{_SAFE}|{_PLACEHOLDER})*)?",
        "dashboardURLTemplate must be an http or https address; behind its host it may hold {cluster}, {namespace}, {owner}, {kind}, {pod} and "
        "{incident}, and no other braces",
    ),
]
RunbookUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    Matches(rf"{_HOST}(?:[/?#]{_SAFE}*)?", "runbookURL must be an http or https address without user and braces"),
]


class KeyOf(Block):
    """A key of a Secret or ConfigMap of the policy's namespace."""

    name: f.Name = Field(description="The object's name.")
    key: f.SecretKey = Field(description="The key.")


class RecipientSource(Block):
    """Where recipients stand: addresses divided by commas or lines."""

    RULES = (
        Rule(
            "has(self.configMapKeyRef) != has(self.secretKeyRef)",
            "toFrom must hold either configMapKeyRef or secretKeyRef in each item",
            "",
            lambda source: (source.config_map_key_ref is None) is not (source.secret_key_ref is None),
        ),
    )

    config_map_key_ref: KeyOf | None = Field(None, description="A key of a ConfigMap.")
    secret_key_ref: KeyOf | None = Field(
        None, description="A key of a Secret; like a connector's, the Secret must say that watchbell may use it."
    )


class Route(Block):
    """Whom to tell."""

    RULES = ROUTE_RECIPIENT_RULES

    name: f.RouteName = Field(description="The route's name, once in the policy.")
    connector_ref: Annotated[ConnectorRef | None, InCode("the connector named default")] = Field(
        None, description="The connector that sends the mails."
    )
    to: RouteToList = Field((), description="Recipients.")
    cc: RouteCcList = Field((), description="Recipients of a copy.")
    bcc: RouteBccList = Field((), description="Recipients that the others do not see.")
    to_from: Annotated[tuple[RecipientSource, ...], Field(max_length=4), ListAtomic()] = Field(
        (), description="More recipients, from ConfigMaps and Secrets."
    )
    template_ref: Annotated[LocalRef | None, InCode("the built-in ones")] = Field(
        None, description="The EmailTemplate of its mails. If it fails, the built-in one takes its place and says so."
    )
    min_severity: Annotated[Severity, InCode("Info")] = Field(
        Severity.INFO, description="Only incidents that are at least so bad."
    )
    kinds: Annotated[tuple[IncidentKind, ...], Field(max_length=16), ListSet(), InCode("all of them")] = Field(
        (), description="Only incidents of these kinds."
    )
    resolved: Annotated[ResolvedMail, InCode("Send")] = Field(
        ResolvedMail.SEND, description="Whether a mail tells that the incident is over."
    )


class Links(Block):
    """Where the buttons of a mail lead."""

    dashboard_url_template: DashboardUrl | None = Field(
        None,
        description="An address in which {cluster}, {namespace}, {owner}, {kind}, {pod} and {incident} are filled in, escaped.",
    )
    runbook_url: RunbookUrl | None = Field(None, description="The page that says what to do.")
