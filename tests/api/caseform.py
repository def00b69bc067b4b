"""The form of the tables of objects that must be refused or taken, and the least valid object of each kind."""

import copy
from dataclasses import dataclass
from typing import Any

JsonObject = dict[str, Any]

BASES: dict[str, JsonObject] = {
    "SmtpConnector": {"host": "smtp.example.com", "from": {"address": "alerts@example.com"}},
    "ClusterSmtpConnector": {
        "host": "smtp.example.com",
        "from": {"address": "alerts@example.com"},
        "allowedNamespaces": {"from": "All"},
    },
    "SmtpTest": {"to": ["ops@example.com"]},
    "EmailMessage": {"to": ["ops@example.com"], "subject": "Hello", "body": {"text": "Hello."}},
    "CollectorPolicy": {
        "selector": {"matchLabels": {"app": "otel"}},
        "routes": [{"name": "main", "to": ["ops@example.com"]}],
    },
    "CollectorIncident": {
        "policyRef": {"name": "collectors"},
        "kind": "OOMKilled",
        "owner": {"kind": "DaemonSet", "name": "otel"},
        "severity": "Critical",
        "fingerprint": "0123456789abcdef",
        "startTime": "2026-11-20T08:00:00Z",
    },
    "AlertSilence": {
        "matchers": [{"field": "Owner", "values": ["DaemonSet/otel"]}],
        "endTime": "2026-11-20T10:00:00Z",
        "comment": "Upgrade",
    },
    "EmailTemplate": {"subject": "Hello", "text": "Hello."},
    "AccountRecovery": {
        "type": "PasswordReset",
        "account": "alice",
        "to": "alice@example.com",
        "link": {"baseURL": "https://app.example.com/reset"},
        "signingKeySecretRef": {"name": "account-mail"},
    },
}

ABSENT = object()
"""In a change: take the field away."""


def spec_of(kind: str, change: JsonObject) -> JsonObject:
    """The least valid spec of `kind`, with top-level fields replaced."""
    spec = copy.deepcopy(BASES[kind]) | copy.deepcopy(
        {key: value for key, value in change.items() if value is not ABSENT}
    )
    for key, value in change.items():
        if value is ABSENT:
            spec.pop(key, None)
    return spec


def body_of(kind: str, spec: JsonObject) -> JsonObject:
    return {"apiVersion": "watchbell.dev/v1alpha1", "kind": kind, "metadata": {"name": "case"}, "spec": spec}


@dataclass(frozen=True)
class Refused:
    """`message` is what the rule says, word for word; `path` the field that both the API server and `parse` blame."""

    kind: str
    change: JsonObject
    path: str
    message: str

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.path}:{self.message[:40]}".replace(" ", "_")


NAME = "name must be a Kubernetes object name: lower-case letters, digits, '-' and '.'"
KEY = "key must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'"
HIDDEN = "may not contain line breaks, control characters or characters that turn the direction of text"


def mailbox(field: str) -> str:
    return f"{field} must be an address such as ops@example.com or Ops <ops@example.com>"
