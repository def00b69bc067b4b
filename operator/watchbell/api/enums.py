"""The closed sets of words that users write and that status shows, each defined once for the whole program.

The values are what stands in the objects (CamelCase, as the Kubernetes API conventions ask). `smtp/model.py` hands on the ones that a session needs.
"""

from enum import StrEnum


class TlsMode(StrEnum):
    """How the connection is encrypted; never opportunistic (RFC 8314 §3)."""

    START_TLS = "StartTLS"
    IMPLICIT = "Implicit"
    NONE = "None"


class TlsVersion(StrEnum):
    """The oldest TLS version that is accepted."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


class Verification(StrEnum):
    """Whether the server's certificate is checked; `NONE` works only with the operator's flag --allow-insecure-tls."""

    FULL = "Full"
    NONE = "None"


class Mechanism(StrEnum):
    """SASL mechanisms as `auth.mechanism` names them; `AUTO` picks the best that the server offers and the credentials fit."""

    AUTO = "Auto"
    PLAIN = "Plain"
    LOGIN = "Login"
    CRAM_MD5 = "CramMD5"
    XOAUTH2 = "XOAuth2"
    OAUTHBEARER = "OAuthBearer"
    EXTERNAL = "External"


class Plaintext(StrEnum):
    """Whether credentials may travel over a connection without TLS."""

    FORBID = "Forbid"
    ALLOW = "Allow"


class Grant(StrEnum):
    """OAuth2 grants as `auth.oauth2.grant` names them (RFC 6749, RFC 7523)."""

    CLIENT_CREDENTIALS = "ClientCredentials"
    REFRESH_TOKEN = "RefreshToken"  # noqa: S105 - the name of a grant, not a secret
    WORKLOAD_IDENTITY = "WorkloadIdentity"
    GOOGLE_SERVICE_ACCOUNT = "GoogleServiceAccount"


class Level(StrEnum):
    """How far a probe goes."""

    DISABLED = "Disabled"
    CONNECT = "Connect"
    TLS = "TLS"
    AUTHENTICATE = "Authenticate"
    SENDER = "Sender"


class TestLevel(StrEnum):
    """How far an SmtpTest goes; `DELIVER` sends a mail."""

    __test__ = False  # the name is the API's; pytest would take the class for a test

    CONNECT = "Connect"
    AUTHENTICATE = "Authenticate"
    DELIVER = "Deliver"


class StageName(StrEnum):
    """The stages in the order in which a session passes them (with StartTLS the greeting and the first EHLO come before TLS)."""

    POLICY = "Policy"
    RESOLVE = "Resolve"
    CONNECT = "Connect"
    TLS = "TLS"
    GREETING = "Greeting"
    HELLO = "Hello"
    START_TLS = "StartTLS"
    TOKEN = "Token"  # noqa: S105 - the name of a stage
    AUTHENTICATE = "Authenticate"
    SENDER = "Sender"
    RECIPIENT = "Recipient"
    DATA = "Data"


class StageResult(StrEnum):
    """What became of a stage."""

    PASSED = "Passed"
    FAILED = "Failed"
    SKIPPED = "Skipped"


class RecipientOutcome(StrEnum):
    """What SMTP told about one recipient; `ACCEPTED` is by the first hop and never means delivered."""

    ACCEPTED = "Accepted"
    REFUSED = "Refused"
    DEFERRED = "Deferred"
    UNKNOWN = "Unknown"


class ConnectorKind(StrEnum):
    """The two kinds that a `connectorRef` can name."""

    SMTP_CONNECTOR = "SmtpConnector"
    CLUSTER_SMTP_CONNECTOR = "ClusterSmtpConnector"


class NamespacesFrom(StrEnum):
    """Which namespaces may use a ClusterSmtpConnector."""

    ALL = "All"
    SELECTOR = "Selector"
    NAMES = "Names"


class Use(StrEnum):
    """What a connector is used for: operator-made alerts, users' messages, tests, account recovery."""

    ALERT = "Alert"
    MESSAGE = "Message"
    TEST = "Test"
    RECOVERY = "Recovery"


class SelectorOperator(StrEnum):
    """Operators of a Kubernetes label selector."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class CrashKind(StrEnum):
    """What can be wrong with a pod, or with the roll-out that makes it."""

    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    OOM_KILLED = "OOMKilled"
    CONTAINER_ERROR = "ContainerError"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    INIT_CONTAINER_FAILED = "InitContainerFailed"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    UNSCHEDULABLE = "Unschedulable"
    NOT_READY = "NotReady"
    RESTART_BURST = "RestartBurst"
    SUBPROCESS_CRASHED = "SubprocessCrashed"
    ROLLOUT_STUCK = "RolloutStuck"


class IncidentKind(StrEnum):
    """What an incident is about: every `CrashKind`, and drift from the baseline."""

    CRASH_LOOP_BACK_OFF = "CrashLoopBackOff"
    OOM_KILLED = "OOMKilled"
    CONTAINER_ERROR = "ContainerError"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    INIT_CONTAINER_FAILED = "InitContainerFailed"
    EVICTED = "Evicted"
    NODE_LOST = "NodeLost"
    UNSCHEDULABLE = "Unschedulable"
    NOT_READY = "NotReady"
    RESTART_BURST = "RestartBurst"
    SUBPROCESS_CRASHED = "SubprocessCrashed"
    ROLLOUT_STUCK = "RolloutStuck"
    DRIFT = "Drift"


class DriftCheck(StrEnum):
    """What is compared with the baseline."""

    IMAGE = "Image"
    IMAGE_DIGEST = "ImageDigest"
    COMMAND = "Command"
    ARGS = "Args"
    ENV = "Env"
    CONFIG_MAP_CONTENT = "ConfigMapContent"
    STALE_CONFIG = "StaleConfig"
    CONFIG_HASH_ANNOTATION = "ConfigHashAnnotation"
    LABELS = "Labels"
    RESOURCES = "Resources"
    SECURITY_CONTEXT = "SecurityContext"
    SERVICE_ACCOUNT = "ServiceAccount"
    REPLICAS = "Replicas"
    NODE_COVERAGE = "NodeCoverage"
    UNEXPECTED_CONTAINER = "UnexpectedContainer"


class BaselineMode(StrEnum):
    """What a pod is compared with."""

    OWNER_TEMPLATE = "OwnerTemplate"
    CAPTURED = "Captured"
    PINNED = "Pinned"


class SilenceField(StrEnum):
    """What a matcher of an AlertSilence looks at."""

    POLICY = "Policy"
    OWNER = "Owner"
    POD = "Pod"
    NODE = "Node"
    KIND = "Kind"
    SEVERITY = "Severity"


class MatchOperator(StrEnum):
    """How a matcher of an AlertSilence compares."""

    IN = "In"
    NOT_IN = "NotIn"


class ConditionStatus(StrEnum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Severity(StrEnum):
    """How bad an incident is."""

    CRITICAL = "Critical"
    WARNING = "Warning"
    INFO = "Info"


class ResolvedMail(StrEnum):
    """Whether a route tells that an incident is over."""

    SEND = "Send"
    OMIT = "Omit"


class Transition(StrEnum):
    """What a notification of an incident tells."""

    FIRED = "Fired"
    REPEATED = "Repeated"
    ESCALATED = "Escalated"
    RESOLVED = "Resolved"


class Disposition(StrEnum):
    """How a file goes with a mail: beside it, or shown within its HTML."""

    ATTACHMENT = "Attachment"
    INLINE = "Inline"


class BuiltinTemplate(StrEnum):
    """The operator's own mails, made when they are sent: alerts, drills from the parameter `facts` (JSON), account mail from its AccountRecovery."""

    CRASH = "Crash"
    RESOLVED = "Resolved"
    DIGEST = "Digest"
    DRILL = "Drill"
    PASSWORD_RESET = "PasswordReset"  # noqa: S105 - the name of a mail
    RECOVERY_CODES = "RecoveryCodes"


class RecoveryType(StrEnum):
    """What an AccountRecovery sends; the built-in template of the same name makes the mail."""

    PASSWORD_RESET = "PasswordReset"  # noqa: S105 - the name of a mail
    RECOVERY_CODES = "RecoveryCodes"


class Priority(StrEnum):
    """Which messages of one connector go first."""

    HIGH = "High"
    NORMAL = "Normal"
    LOW = "Low"


class OnUnavailable(StrEnum):
    """What to do with a message whose connector is suspended or not ready."""

    HOLD = "Hold"
    DISCARD = "Discard"


class OnUncertain(StrEnum):
    """What to do when the last reply was lost, so that the server may or may not have the message (RFC 1047)."""

    RESEND_ONCE = "ResendOnce"
    RESEND = "Resend"
    ASSUME_SENT = "AssumeSent"
