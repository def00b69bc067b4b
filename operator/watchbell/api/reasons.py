"""Every reason that a condition, a stage or an incident of watchbell can carry: a closed set that people script and alert on.

Each member's value is what stands in the object; its `doc` says in one sentence what it means, and the reference page is made from it.
What to do about a failed SMTP stage stands in `smtp/remedies.py`, one entry for each member here.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Reasons, in the order of the probe's stages. CamelCase as the Kubernetes API conventions ask."""

    doc: str

    def __new__(cls, value: str, doc: str) -> "Reason":
        """A member is a plain string with its meaning beside it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member

    # Condition Accepted
    ACCEPTED = "Accepted", "The spec is valid and allowed here."
    INVALID_SPEC = (
        "InvalidSpec",
        "The spec is wrong in a way that the schema could not catch; the message names the field.",
    )
    PARENT_NOT_FOUND = "ParentNotFound", "The ClusterSmtpConnector named by `parentRef` does not exist."
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed", "The cluster connector does not allow this namespace."
    USE_NOT_ALLOWED = "UseNotAllowed", "The cluster connector does not allow this use."
    SENDER_ADDRESS_NOT_ALLOWED = "SenderAddressNotAllowed", "The cluster connector does not allow this From address."
    HOST_NOT_ALLOWED = "HostNotAllowed", "The operator's egress policy or the Secret's pin does not allow this host."
    PORT_NOT_ALLOWED = "PortNotAllowed", "The operator's egress policy does not allow this port."
    INSECURE_NOT_ALLOWED = (
        "InsecureNotAllowed",
        "Unverified TLS or clear-text credentials need the operator's flag --allow-insecure-tls.",
    )

    # Condition ResolvedRefs
    RESOLVED_REFS = "ResolvedRefs", "Everything that is named was found and is usable."
    SECRET_NOT_FOUND = "SecretNotFound", "The Secret does not exist (yet)."
    SECRET_KEY_MISSING = "SecretKeyMissing", "The Secret lacks a key that is needed."
    SECRET_FORBIDDEN = "SecretForbidden", "The operator may not read the Secret."
    SECRET_NOT_OPTED_IN = "SecretNotOptedIn", "The Secret does not say that watchbell may use it."
    MASKED_PLACEHOLDER = "MaskedPlaceholder", "The password in the Secret is only asterisks: a mask was saved over it."
    SECRET_MALFORMED = (
        "SecretMalformed",
        "The Secret's value cannot be a credential: it is empty, not UTF-8, doubly encoded or holds control characters.",
    )
    SECRET_DOUBLE_ENCODED = "SecretDoubleEncoded", "The value in the Secret is base64 of a text: it was encoded twice."
    TRAILING_NEWLINE = (
        "TrailingNewline",
        "A line break at the end of the Secret's value was left off; everything was resolved.",
    )
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound", "The ConfigMap with the CA does not exist."
    INVALID_CA_BUNDLE = "InvalidCABundle", "The CA bundle holds no usable PEM certificate."
    INVALID_CLIENT_CERTIFICATE = (
        "InvalidClientCertificate",
        "The client certificate and its key cannot be used together.",
    )

    # Conditions Reachable, TLSVerified, Authenticated, Ready
    CONNECTED = "Connected", "The server was reached and greeted."
    VERIFIED = "Verified", "TLS is up and the certificate was verified."
    TLS_DISABLED = "TLSDisabled", "The connection is in clear text, as the spec asks."
    TLS_NOT_VERIFIED = "TLSNotVerified", "TLS is up, but the certificate is not verified, as the spec asks."
    AUTHENTICATED = "Authenticated", "The server accepted the credentials."
    AUTHENTICATION_NOT_REQUIRED = (
        "AuthenticationNotRequired",
        "No credentials are configured; the server relays by address.",
    )
    PROVEN = "Proven", "Every stage up to the probe's level passed."
    PROBE_DISABLED = "ProbeDisabled", "`probe.level` is Disabled: nothing was tried."
    SUSPENDED = "Suspended", "`suspend` is set: no probes, and messages are held."
    NOT_PROBED = "NotProbed", "The probe did not come to this stage."
    RETRYING = "Retrying", "The next try is scheduled."
    WAITING_FOR_SECRET = "WaitingForSecret", "Waiting for a Secret or ConfigMap."

    DRILL_PENDING = "DrillPending", "The first drill is on its way."
    DRILL_LATE = "DrillLate", "No drill was accepted for longer than its period: alerts may not go out either."
    DRILL_FAILED = "DrillFailed", "The last drill was not accepted; the condition says why."

    # Stage Resolve
    HOST_NOT_FOUND = "HostNotFound", "The name does not exist in DNS."
    HOST_HAS_NO_ADDRESS = "HostHasNoAddress", "The name exists but has neither an A nor an AAAA record."
    DNS_TEMPORARY_FAILURE = "DNSTemporaryFailure", "DNS did not answer, or answered with a temporary failure."
    INVALID_HOST = "InvalidHost", "The host is not a valid name or address."
    DESTINATION_NOT_ALLOWED = (
        "DestinationNotAllowed",
        "An address of the host, or the port, is outside of the operator's egress policy.",
    )
    # Stage Connect
    CONNECTION_REFUSED = "ConnectionRefused", "Nothing listens on the port."
    CONNECTION_TIMED_OUT = "ConnectionTimedOut", "The connection attempt got no answer."
    OUTBOUND_SMTP_BLOCKED = "OutboundSmtpBlocked", "Port 25 got no answer from any address: most clouds drop it."
    NO_ROUTE_TO_HOST = "NoRouteToHost", "There is no route to the address."
    CONNECT_DENIED_LOCALLY = "ConnectDeniedLocally", "The node or the network plugin refused to connect."
    CONNECTION_RESET = "ConnectionReset", "The connection was reset."
    # Stages TLS and StartTLS
    PLAINTEXT_ON_TLS_PORT = "PlaintextOnTlsPort", "TLS was expected at once, but the server speaks plain text first."
    TLS_ON_PLAINTEXT_PORT = "TlsOnPlaintextPort", "The server waits for TLS at once."
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted", "The certificate's issuer is not trusted."
    CERTIFICATE_SELF_SIGNED = "CertificateSelfSigned", "The certificate is self-signed and not trusted."
    CERTIFICATE_EXPIRED = "CertificateExpired", "The certificate has expired."
    CERTIFICATE_NOT_YET_VALID = "CertificateNotYetValid", "The certificate is not valid yet."
    CERTIFICATE_NAME_MISMATCH = "CertificateNameMismatch", "The certificate is for other names."
    CERTIFICATE_INVALID = "CertificateInvalid", "The certificate was rejected for another reason, given in the message."
    TLS_VERSION_TOO_OLD = "TlsVersionTooOld", "The server does not speak a TLS version that is allowed."
    NO_SHARED_CIPHER = "NoSharedCipher", "The server offers obsolete ciphers only."
    CLIENT_CERTIFICATE_REQUIRED = "ClientCertificateRequired", "The server seems to ask for a client certificate."
    TLS_HANDSHAKE_FAILED = "TlsHandshakeFailed", "The TLS handshake broke off."
    STARTTLS_NOT_OFFERED = "StartTlsNotOffered", "The server does not offer STARTTLS."
    STARTTLS_STRIPPED = "StartTlsStripped", "Something on the way removes STARTTLS."
    STARTTLS_UNAVAILABLE = "StartTlsUnavailable", "The server offers STARTTLS and then refuses it."
    # Stage Greeting
    GREETING_REJECTED = "GreetingRejected", "The server refuses this client with its greeting."
    SERVER_BUSY = "ServerBusy", "The server asks to come back later."
    NOT_AN_SMTP_SERVER = "NotAnSmtpServer", "What answers is not an SMTP server."
    CLOSED_BEFORE_GREETING = "ClosedBeforeGreeting", "The connection was closed before the greeting."
    GREETING_TIMED_OUT = "GreetingTimedOut", "The connection stands, but no greeting came."
    # Stage Hello
    EHLO_REJECTED = "EhloRejected", "The server refuses the name given with EHLO."
    ESMTP_UNSUPPORTED = "EsmtpUnsupported", "The server knows no EHLO, which TLS and authentication need."
    LMTP_SERVER = "LmtpServer", "This is a delivery (LMTP) port."
    # Stage Token
    OAUTH_CLIENT_REJECTED = "OAuthClientRejected", "The token endpoint rejects the client's secret or certificate."
    OAUTH_CONFIG_INVALID = (
        "OAuthConfigInvalid",
        "The token endpoint does not know the tenant, client, grant or subject.",
    )
    OAUTH_TOKEN_WRONG_SCOPE = (
        "OAuthTokenWrongScope",
        "The token is for another audience or lacks the role that SMTP needs.",
    )
    OAUTH_UNAVAILABLE = "OAuthUnavailable", "The token endpoint is not reachable or busy."
    # Stage Authenticate
    AUTH_NOT_OFFERED = "AuthNotOffered", "Credentials are configured, but the server offers no AUTH."
    NO_SHARED_AUTH_MECHANISM = (
        "NoSharedAuthMechanism",
        "The server offers none of the mechanisms that fit the credentials.",
    )
    ENCRYPTION_REQUIRED = "EncryptionRequired", "Credentials may not travel in clear text."
    CREDENTIALS_REJECTED = "CredentialsRejected", "The server rejects the user name or password."
    APP_PASSWORD_REQUIRED = "AppPasswordRequired", "The provider wants an app password."
    WEB_LOGIN_REQUIRED = "WebLoginRequired", "The provider wants a login in the browser first."
    BASIC_AUTH_DISABLED = "BasicAuthDisabled", "The provider has switched off password authentication."
    SMTP_AUTH_DISABLED = "SmtpAuthDisabled", "SMTP AUTH is switched off for the tenant or the mailbox."
    OAUTH_TOKEN_REJECTED = "OAuthTokenRejected", "The server rejects the OAuth2 token."
    MAILBOX_ACCESS_DENIED = "MailboxAccessDenied", "The token is valid, but may not use this mailbox."
    SOURCE_IP_NOT_ALLOWED = "SourceIpNotAllowed", "The provider does not accept this cluster's address."
    AUTH_TEMPORARILY_UNAVAILABLE = "AuthTemporarilyUnavailable", "The server cannot check credentials now."
    # Stages Sender, Recipient and Data
    AUTHENTICATION_REQUIRED = "AuthenticationRequired", "The server wants a login before it takes mail."
    SENDER_NOT_ALLOWED = "SenderNotAllowed", "The login may not send as this From address."
    MESSAGE_TOO_LARGE = "MessageTooLarge", "The message is larger than the server takes."
    RECIPIENT_UNKNOWN = "RecipientUnknown", "The server does not know the recipient."
    RELAY_DENIED = "RelayDenied", "The server does not relay to this recipient for this client."
    GREYLISTED = "Greylisted", "The server asks to come back in a while."
    TOO_MANY_RECIPIENTS = "TooManyRecipients", "The server takes no more recipients in one transaction."
    MAILBOX_FULL = "MailboxFull", "The recipient's mailbox is full."
    ADDRESS_NOT_SUPPORTED = "AddressNotSupported", "The address needs SMTPUTF8, which the server does not offer."
    RATE_LIMITED = "RateLimited", "The provider asks to slow down."
    QUOTA_EXCEEDED = "QuotaExceeded", "The provider's quota is used up."
    PROVIDER_ACCOUNT_RESTRICTED = "ProviderAccountRestricted", "The account at the provider is restricted."
    CONTENT_REJECTED = "ContentRejected", "The server refuses the content."
    DOMAIN_AUTHENTICATION_FAILED = "DomainAuthenticationFailed", "SPF, DKIM or DMARC of the From domain fail."
    DELIVERY_OUTCOME_UNKNOWN = (
        "DeliveryOutcomeUnknown",
        "The connection broke after the message was sent and before the server answered.",
    )
    # Any stage
    PROTOCOL_VIOLATION = "ProtocolViolation", "The server, or something on the way, breaks the SMTP protocol."
    COMMAND_TIMED_OUT = "CommandTimedOut", "The server did not answer a command in time."
    CONNECTION_CLOSED = "ConnectionClosed", "The server closed the connection in the middle of the dialogue."
    TEMPORARY_FAILURE = "TemporaryFailure", "The server answered with a temporary failure that has no better name."
    PERMANENT_FAILURE = "PermanentFailure", "The server answered with a permanent failure that has no better name."

    # EmailMessage and SmtpTest
    SENDING = "Sending", "Being sent now."
    CONNECTOR_NOT_READY = (
        "ConnectorNotReady",
        "The connector is not ready; the message waits and no attempt is counted.",
    )
    BATCHED = "Batched", "Waits for others of the same batch; `nextAttemptTime` is when it goes out at the latest."
    ACCEPTED_BY_SERVER = "AcceptedByServer", "The first server took the message. That is all SMTP can tell."
    RECIPIENT_NOT_ALLOWED = (
        "RecipientNotAllowed",
        "The connector's `recipientPolicy` does not allow the recipient's domain.",
    )
    RECIPIENTS_REFUSED = "RecipientsRefused", "The server refused every recipient, or some of them for good."
    MESSAGE_REJECTED = "MessageRejected", "The server refused the message."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The message could not be sent before its deadline."
    INVALID_MESSAGE = "InvalidMessage", "The message cannot be built; the condition names the field."
    ATTACHMENT_NOT_FOUND = (
        "AttachmentNotFound",
        "The ConfigMap, Secret or key that holds a file of the message does not exist; the condition names the field.",
    )
    ATTACHMENT_FORBIDDEN = (
        "AttachmentForbidden",
        "The operator may not read the ConfigMap or Secret that holds a file of the message.",
    )
    CONTENT_CHANGED = (
        "ContentChanged",
        "The template or a file of the message was changed after somebody may have got the mail; the others get no other mail.",
    )
    OUTCOME_UNKNOWN = "OutcomeUnknown", "The last reply was lost: the message may or may not have been taken."
    STAGES_PASSED = "StagesPassed", "The test's stages passed; nothing was sent at this level."

    # The fallback of a connector
    FALLBACK_NOT_FOUND = "FallbackNotFound", "The connector named by `fallbackRef` does not exist."
    FALLBACK_IS_ITSELF = (
        "FallbackIsItself",
        "`fallbackRef` names the connector itself, or one with the same server and login.",
    )
    FALLBACK_NOT_READY = (
        "FallbackNotReady",
        "The fallback is not ready either; its own `fallbackRef` is not followed.",
    )

    # AccountRecovery
    NAME_TAKEN = "NameTaken", "An object of the name that is needed exists and belongs to somebody else."
    SIGNING_KEY_UNCLEAR = "SigningKeyUnclear", "The Secret does not tell which of its keys signs."
    MESSAGE_DELETED = "MessageDeleted", "The EmailMessage was deleted before it was finished."

    # CollectorPolicy and CollectorIncident
    ENFORCED = "Enforced", "The policy watches its pods."
    NO_PODS_MATCH = "NoPodsMatch", "The selector matches no pod at present."
    CONNECTOR_NOT_FOUND = "ConnectorNotFound", "A route names a connector that does not exist."
    PODS_FORBIDDEN = "PodsForbidden", "The operator may not watch pods in this namespace."
    TOO_MANY_SELECTORS = (
        "TooManySelectors",
        "The operator watches as many different selectors as it may; use fewer policies, or the same selector in several.",
    )
    ALL_HEALTHY = "AllHealthy", "No pod of the policy is crashing."
    PODS_CRASHING = "PodsCrashing", "At least one pod of the policy is crashing."
    FIRING = "Firing", "The fault stands."
    HEALTHY_AGAIN = "HealthyAgain", "The workload has been ready for `resolveAfterSeconds`."
    PODS_GONE = "PodsGone", "The affected pods were deleted and nothing of the workload is failing."
    POLICY_DELETED = "PolicyDeleted", "The policy was deleted while the incident was open."
    MESSAGES_CREATED = "MessagesCreated", "The mails of this notification are in the outbox."
    NOTIFICATION_PENDING = "NotificationPending", "A notification is due and not yet in the outbox."
    NO_ROUTE = "NoRoute", "No route of the policy takes this incident."
    OWNERS_FORBIDDEN = "OwnersForbidden", "The operator may not read the workloads that pods are compared with."
    RIGHTS_MISSING = "RightsMissing", "The operator lacks a right, so something that the policy asks for is not seen."
    RECIPIENTS_NOT_FOUND = "RecipientsNotFound", "A `toFrom` names recipients that cannot be read."
    TEMPLATE_NOT_FOUND = (
        "TemplateNotFound",
        "A route, a message or an AccountRecovery names an EmailTemplate that does not exist.",
    )
    TEMPLATE_FAILED = (
        "TemplateFailed",
        "An EmailTemplate cannot be rendered. An alert goes out with the built-in one, other mail waits until the template is mended.",
    )
    BASELINE_CONTAINER_NOT_FOUND = "BaselineContainerNotFound", "The pinned baseline names a container that no pod has."
    NO_DRIFT = "NoDrift", "Every pod of the policy is as the baseline says."
    PODS_DRIFTED = "PodsDrifted", "At least one workload of the policy is not as the baseline says."
    BACK_TO_BASELINE = "BackToBaseline", "Everything is as the baseline says again."
    WAITING = "Waiting", "The mail waits for more of the same: `waitSeconds`."
    HELD_FOR_DIGEST = (
        "HeldForDigest",
        "A mail went out a short while ago; this goes into the digest at the period's end.",
    )
    THROTTLED = "Throttled", "The budget of `messagesPerHour` is used up; this goes into the next digest."
    SILENCED = "Silenced", "An AlertSilence mutes it."
    NOT_SILENCED = "NotSilenced", "No AlertSilence mutes it."
    ACKNOWLEDGED = "Acknowledged", "Somebody has acknowledged it; no more reminders."
    INHIBITED = "Inhibited", "A worse incident of the same workload or node is open and explains it."

    # AlertSilence
    SILENCE_PENDING = "Pending", "The silence has not begun."
    SILENCE_ACTIVE = "Active", "The silence mutes alerts now."
    SILENCE_EXPIRED = "Expired", "The silence is over."

    # EmailTemplate
    RENDERED = "Rendered", "The template was rendered against samples."
    RENDER_FAILED = "RenderFailed", "The template cannot be rendered; the condition says where and why."
