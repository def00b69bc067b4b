"""When each reason is worth another try, and whether it heals by itself: the two right-hand columns of the error taxonomy.

`verdict` finds the reason; this says what follows from it for the scheduler. Pure data.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from watchbell.api.reasons import Reason
from watchbell.smtp.model import RetryClass


@dataclass(frozen=True, slots=True)
class Nature:
    """`is_permanent` None: the reply's class decides (5xx permanent, 4xx not)."""

    retry: RetryClass
    is_permanent: bool | None


def _all(retry: RetryClass, *reasons: Reason, is_permanent: bool | None) -> dict[Reason, Nature]:
    return dict.fromkeys(reasons, Nature(retry, is_permanent))


NATURES: Mapping[Reason, Nature] = {
    **_all(
        RetryClass.A,
        Reason.DNS_TEMPORARY_FAILURE,
        Reason.CONNECTION_REFUSED,
        Reason.CONNECTION_RESET,
        Reason.CONNECTION_CLOSED,
        Reason.COMMAND_TIMED_OUT,
        Reason.OAUTH_UNAVAILABLE,
        Reason.TEMPORARY_FAILURE,
        is_permanent=False,
    ),
    **_all(
        RetryClass.B,
        Reason.CONNECTION_TIMED_OUT,
        Reason.NO_ROUTE_TO_HOST,
        Reason.TLS_HANDSHAKE_FAILED,
        Reason.SERVER_BUSY,
        Reason.CLOSED_BEFORE_GREETING,
        Reason.GREETING_TIMED_OUT,
        Reason.AUTH_TEMPORARILY_UNAVAILABLE,
        Reason.RATE_LIMITED,
        Reason.PROTOCOL_VIOLATION,
        Reason.DELIVERY_OUTCOME_UNKNOWN,
        is_permanent=False,
    ),
    **_all(RetryClass.B, Reason.HOST_NOT_FOUND, is_permanent=True),
    **_all(RetryClass.B, Reason.STARTTLS_UNAVAILABLE, Reason.MAILBOX_FULL, is_permanent=None),
    **_all(
        RetryClass.C,
        Reason.HOST_HAS_NO_ADDRESS,
        Reason.INVALID_HOST,
        Reason.DESTINATION_NOT_ALLOWED,
        Reason.HOST_NOT_ALLOWED,
        Reason.PORT_NOT_ALLOWED,
        Reason.INSECURE_NOT_ALLOWED,
        Reason.INVALID_CA_BUNDLE,
        Reason.INVALID_CLIENT_CERTIFICATE,
        Reason.OUTBOUND_SMTP_BLOCKED,
        Reason.CONNECT_DENIED_LOCALLY,
        Reason.PLAINTEXT_ON_TLS_PORT,
        Reason.TLS_ON_PLAINTEXT_PORT,
        Reason.CERTIFICATE_UNTRUSTED,
        Reason.CERTIFICATE_SELF_SIGNED,
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_NAME_MISMATCH,
        Reason.CERTIFICATE_INVALID,
        Reason.TLS_VERSION_TOO_OLD,
        Reason.NO_SHARED_CIPHER,
        Reason.CLIENT_CERTIFICATE_REQUIRED,
        Reason.STARTTLS_NOT_OFFERED,
        Reason.STARTTLS_STRIPPED,
        Reason.GREETING_REJECTED,
        Reason.NOT_AN_SMTP_SERVER,
        Reason.EHLO_REJECTED,
        Reason.ESMTP_UNSUPPORTED,
        Reason.LMTP_SERVER,
        Reason.OAUTH_CLIENT_REJECTED,
        Reason.OAUTH_CONFIG_INVALID,
        Reason.OAUTH_TOKEN_WRONG_SCOPE,
        Reason.AUTH_NOT_OFFERED,
        Reason.NO_SHARED_AUTH_MECHANISM,
        Reason.ENCRYPTION_REQUIRED,
        Reason.CREDENTIALS_REJECTED,
        Reason.APP_PASSWORD_REQUIRED,
        Reason.WEB_LOGIN_REQUIRED,
        Reason.BASIC_AUTH_DISABLED,
        Reason.SMTP_AUTH_DISABLED,
        Reason.OAUTH_TOKEN_REJECTED,
        Reason.MAILBOX_ACCESS_DENIED,
        Reason.SOURCE_IP_NOT_ALLOWED,
        Reason.AUTHENTICATION_REQUIRED,
        Reason.SENDER_NOT_ALLOWED,
        Reason.RELAY_DENIED,
        Reason.PROVIDER_ACCOUNT_RESTRICTED,
        Reason.DOMAIN_AUTHENTICATION_FAILED,
        Reason.PERMANENT_FAILURE,
        is_permanent=True,
    ),
    **_all(
        RetryClass.NEVER,
        Reason.MESSAGE_TOO_LARGE,
        Reason.RECIPIENT_UNKNOWN,
        Reason.ADDRESS_NOT_SUPPORTED,
        Reason.CONTENT_REJECTED,
        is_permanent=True,
    ),
    **_all(RetryClass.GREYLIST, Reason.GREYLISTED, is_permanent=False),
    **_all(RetryClass.NOW, Reason.TOO_MANY_RECIPIENTS, is_permanent=False),
    **_all(RetryClass.D, Reason.QUOTA_EXCEEDED, is_permanent=False),
}
