"""Objects that must be refused, and by which words, and objects that must be taken: one table for the API server and for `parse`."""

from api import accountcases, collectorcases, mailcases
from api.caseform import ABSENT, BASES, JsonObject, Refused, body_of, spec_of

__all__ = ["ABSENT", "BASES", "BOUNDS", "IMMUTABLE", "REFUSED", "TAKEN", "JsonObject", "Refused", "body_of", "spec_of"]

REFUSED: list[Refused] = [*mailcases.REFUSED, *collectorcases.REFUSED, *accountcases.REFUSED]

IMMUTABLE: dict[str, tuple[JsonObject, str]] = {
    "SmtpTest": ({"level": "Connect"}, "spec may not be changed: a test runs once, create another SmtpTest"),
    "EmailMessage": (
        {"subject": "Another"},
        "spec may not be changed: delete the EmailMessage and create another",
    ),
    "CollectorIncident": ({"severity": "Info"}, "spec may not be changed: an incident is a record"),
    "AccountRecovery": ({"account": "bob"}, "spec may not be changed: create another AccountRecovery"),
    "AlertSilence": (
        {"matchers": [{"field": "Owner", "values": ["Deployment/gateway"]}]},
        "matchers may not be changed: create another AlertSilence",
    ),
}

# Bounds of the schema: the API server has its own words for them, `parse` says the third column.
BOUNDS: list[tuple[str, JsonObject, str, str]] = [*mailcases.BOUNDS, *collectorcases.BOUNDS, *accountcases.BOUNDS]

TAKEN: list[tuple[str, JsonObject]] = [*mailcases.TAKEN, *collectorcases.TAKEN, *accountcases.TAKEN]
