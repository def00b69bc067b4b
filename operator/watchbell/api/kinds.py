"""The table of kinds: how each is called, what `kubectl get` shows of it, what may be selected on, which conditions it has.

The generator of CRDs and reference pages works down this table; so do whoever registers watches.
"""

from dataclasses import dataclass

from watchbell.api.account import AccountRecovery
from watchbell.api.connector import ClusterSmtpConnector, SmtpConnector
from watchbell.api.incident import CollectorIncident
from watchbell.api.message import EmailMessage
from watchbell.api.meta import Resource
from watchbell.api.names import GROUP
from watchbell.api.policy import CollectorPolicy
from watchbell.api.silence import AlertSilence
from watchbell.api.smtptest import SmtpTest
from watchbell.api.template import EmailTemplate


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; wide ones show with `-o wide` only. `type` is string, integer or date."""

    name: str
    path: str
    type: str = "string"
    is_wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: names, model, columns, selectable fields, its conditions with their meaning, and the sample that its page opens with."""

    kind: str
    plural: str
    singular: str
    model: type[Resource]
    columns: tuple[Column, ...]
    conditions: tuple[tuple[str, str], ...]
    sample: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    selectable: tuple[str, ...] = ()

    @property
    def crd(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


def _of_condition(type_: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


AGE = Column("Age", ".metadata.creationTimestamp", "date")

_CONNECTOR_COLUMNS = (
    Column("Ready", _of_condition("Ready", "status")),
    Column("Reason", _of_condition("Ready", "reason")),
    Column("Endpoint", ".status.endpoint"),
    Column("TLS", ".status.tlsMode"),
    AGE,
    Column("From", ".spec.from.address", is_wide=True),
    Column("Last-Probe", ".status.lastProbeTime", "date", is_wide=True),
    Column("Message", _of_condition("Ready", "message"), is_wide=True),
)

_CONNECTOR_CONDITIONS = (
    ("Accepted", "The spec is valid and allowed here."),
    ("ResolvedRefs", "Every Secret and ConfigMap that is named was found and is usable."),
    ("Reachable", "A TCP connection stood and the server greeted."),
    (
        "TLSVerified",
        "The connection is encrypted and the certificate was verified, or is in clear text because the spec asks for it.",
    ),
    ("Authenticated", "The server accepted the credentials, or none are configured."),
    ("Ready", "Mail can go out. The reason is the first condition that fails."),
    ("Reconciling", "Only while True: the operator is still at it, or tries again."),
    ("Stalled", "Only while True: nothing gets better until somebody changes something."),
)

_ONE_SHOT_CONDITIONS = (
    ("Succeeded", "Unknown while it is under way; True or False once it is finished."),
    ("Reconciling", "Only while True: it is under way."),
    ("Stalled", "Only while True: it is finished and failed."),
)

KINDS: tuple[Kind, ...] = (
    Kind(
        "SmtpConnector",
        "smtpconnectors",
        "smtpconnector",
        SmtpConnector,
        _CONNECTOR_COLUMNS,
        _CONNECTOR_CONDITIONS,
        "smtpconnector-starttls.yaml",
        ("smtpc",),
    ),
    Kind(
        "ClusterSmtpConnector",
        "clustersmtpconnectors",
        "clustersmtpconnector",
        ClusterSmtpConnector,
        _CONNECTOR_COLUMNS,
        _CONNECTOR_CONDITIONS,
        "clustersmtpconnector.yaml",
        ("csmtpc",),
        namespaced=False,
    ),
    Kind(
        "SmtpTest",
        "smtptests",
        "smtptest",
        SmtpTest,
        (
            Column("Succeeded", _of_condition("Succeeded", "status")),
            Column("Reason", _of_condition("Succeeded", "reason")),
            Column("Connector", ".spec.connectorRef.name"),
            Column("Level", ".spec.level"),
            AGE,
            Column("Endpoint", ".status.endpoint", is_wide=True),
            Column("Message", _of_condition("Succeeded", "message"), is_wide=True),
        ),
        _ONE_SHOT_CONDITIONS,
        "smtptest.yaml",
        selectable=(".status.completionTime", ".spec.connectorRef.name"),
    ),
    Kind(
        "EmailMessage",
        "emailmessages",
        "emailmessage",
        EmailMessage,
        (
            Column("Succeeded", _of_condition("Succeeded", "status")),
            Column("Reason", _of_condition("Succeeded", "reason")),
            Column("Connector", ".spec.connectorRef.name"),
            Column("Attempts", ".status.attempts", "integer"),
            AGE,
            Column("Subject", ".spec.subject", is_wide=True),
            Column("Next-Attempt", ".status.nextAttemptTime", is_wide=True),
            Column("Message", _of_condition("Succeeded", "message"), is_wide=True),
        ),
        _ONE_SHOT_CONDITIONS,
        "emailmessage.yaml",
        ("emsg",),
        selectable=(".status.completionTime", ".spec.connectorRef.name"),
    ),
    Kind(
        "CollectorPolicy",
        "collectorpolicies",
        "collectorpolicy",
        CollectorPolicy,
        (
            Column("Ready", _of_condition("Ready", "status")),
            Column("Reason", _of_condition("Ready", "reason")),
            Column("Pods", ".status.matchedPods", "integer"),
            Column("Crashing", ".status.crashingPods", "integer"),
            Column("Drifted", ".status.driftedPods", "integer"),
            Column("Incidents", ".status.openIncidents", "integer"),
            AGE,
            Column("Message", _of_condition("Ready", "message"), is_wide=True),
        ),
        (
            ("Accepted", "The spec is valid and allowed here."),
            ("Ready", "The policy is enforced. A crash or drift of a pod never lowers it."),
            (
                "ResolvedRefs",
                "Everything that the policy names was found: connectors, templates, recipients, the workloads of pods, pinned containers.",
            ),
            ("Crashing", "True while an incident of a crash is open. It never lowers Ready."),
            ("Drifted", "True while a workload is not as the baseline says. It never lowers Ready."),
            ("Reconciling", "Only while True: the operator is still at it, or tries again."),
            ("Stalled", "Only while True: nothing gets better until somebody changes something."),
        ),
        "collectorpolicy.yaml",
        ("colpol",),
    ),
    Kind(
        "CollectorIncident",
        "collectorincidents",
        "collectorincident",
        CollectorIncident,
        (
            Column("Kind", ".spec.kind"),
            Column("Owner", ".spec.owner.name"),
            Column("Severity", ".spec.severity"),
            Column("Resolved", _of_condition("Resolved", "status")),
            Column("Pods", ".status.affectedCount", "integer"),
            Column("Last-Mail", ".status.notifications[-1:].time", "date"),
            AGE,
            Column("Container", ".spec.container", is_wide=True),
            Column("Policy", ".spec.policyRef.name", is_wide=True),
        ),
        (
            ("Resolved", "True once the fault is over."),
            ("Silenced", "True while an AlertSilence mutes it."),
            ("Notified", "The mails of the last notification are in the outbox. False: why nobody is told now."),
        ),
        "collectorincident.yaml",
        ("colinc",),
        selectable=(".status.resolvedTime",),
    ),
    Kind(
        "AlertSilence",
        "alertsilences",
        "alertsilence",
        AlertSilence,
        (
            Column("Active", _of_condition("Active", "status")),
            Column("Reason", _of_condition("Active", "reason")),
            Column("Starts", ".spec.startTime"),
            Column("Ends", ".spec.endTime"),
            AGE,
            Column("Comment", ".spec.comment", is_wide=True),
            Column("By", ".spec.createdBy", is_wide=True),
            Column("Incidents", ".status.matchedIncidents", "integer", is_wide=True),
        ),
        (
            ("Accepted", "The spec is valid."),
            ("Active", "True while it mutes alerts. False: it has not begun, or is over."),
            ("Stalled", "Only while True: nothing gets better until somebody changes something."),
        ),
        "alertsilence.yaml",
        ("asil",),
    ),
    Kind(
        "EmailTemplate",
        "emailtemplates",
        "emailtemplate",
        EmailTemplate,
        (
            Column("Ready", _of_condition("Ready", "status")),
            Column("Reason", _of_condition("Ready", "reason")),
            AGE,
            Column("Subject", ".spec.subject", is_wide=True),
            Column("Message", _of_condition("Ready", "message"), is_wide=True),
        ),
        (
            ("Ready", "The template was rendered against samples."),
            ("Stalled", "Only while True: nothing gets better until somebody changes something."),
        ),
        "emailtemplate.yaml",
        ("etpl",),
    ),
    Kind(
        "AccountRecovery",
        "accountrecoveries",
        "accountrecovery",
        AccountRecovery,
        (
            Column("Succeeded", _of_condition("Succeeded", "status")),
            Column("Reason", _of_condition("Succeeded", "reason")),
            Column("Type", ".spec.type"),
            Column("Account", ".spec.account"),
            Column("Expires", ".status.expirationTime"),
            AGE,
            Column("To", ".spec.to", is_wide=True),
            Column("Message", _of_condition("Succeeded", "message"), is_wide=True),
        ),
        _ONE_SHOT_CONDITIONS,
        "accountrecovery.yaml",
        ("arec",),
        selectable=(".status.completionTime", ".spec.connectorRef.name"),
    ),
)
