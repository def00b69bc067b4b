"""The tables from reply to reason. First match wins, in the order provider text → enhanced code → basic code.

Used by `verdict` only. Pure data and one look-up. The code alone is never trusted: Mailgun answers 421 for a forbidden domain, SendGrid 451 for no
credit, Gmail 550 5.4.5 for a quota, and 5.7.30 means three things. Sources: RFC 5321 §4.2, RFC 3463, RFC 4954 §6, RFC 5248, providers' manuals.
"""

import re
from dataclasses import dataclass

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import StageName as S

_ANY = frozenset(S)
_ENVELOPE = frozenset({S.SENDER, S.RECIPIENT, S.DATA})
_LOGIN = frozenset({S.AUTHENTICATE})
_AFTER_HELLO = _ENVELOPE | _LOGIN
_SENDER = frozenset({S.SENDER, S.DATA})
_RECIPIENT = frozenset({S.RECIPIENT})
_DATA = frozenset({S.DATA})
_HELLO = frozenset({S.HELLO})
_GREETING = frozenset({S.GREETING})
_STARTTLS = frozenset({S.START_TLS})


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply as the tables see it: `text` is one sanitised line, `enhanced` is empty when there is none."""

    stage: S
    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; every column that is given must match. `codes` and `enhanced` are lists with `x` and `*` as wildcards."""

    reason: R
    stages: frozenset[S]
    codes: str = ""
    enhanced: str = ""
    text: str = ""
    with_token: bool = False

    def takes(self, reply: Reply, context: ReplyContext) -> bool:
        """All columns match."""
        return (
            reply.stage in self.stages
            and (not self.codes or _listed(self.codes, str(reply.code)))
            and (not self.enhanced or _listed(self.enhanced, reply.enhanced))
            and (not self.text or re.search(self.text, reply.text, re.IGNORECASE) is not None)
            and (not self.with_token or context.has_token_login)
        )


def reply_reason(reply: Reply, context: ReplyContext) -> R:
    """The one reason of a reply that is not what its stage wants."""
    for row in (*PROVIDER_TEXTS, *ENHANCED_CODES, *BASIC_CODES):
        if row.takes(reply, context):
            return row.reason
    return _by_class(reply.code)


def _by_class(code: int) -> R:
    match code // 100:
        case 4:
            return R.TEMPORARY_FAILURE
        case 5:
            return R.PERMANENT_FAILURE
        case _:
            return R.PROTOCOL_VIOLATION


def _listed(patterns: str, value: str) -> bool:
    return any(_fits(pattern, value) for pattern in patterns.split())


def _fits(pattern: str, value: str) -> bool:
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return len(pattern) == len(value) and all(p in {"x", v} for p, v in zip(pattern, value, strict=True))


PROVIDER_TEXTS: tuple[Row, ...] = (
    # Any stage: quotas, rates and accounts come first, whatever code they hide behind.
    Row(R.QUOTA_EXCEEDED, _ANY, "4xx 5xx", text=r"daily (user )?(sending|message) (quota|limit)|sending (quota|limit)s? exceeded"),
    Row(R.QUOTA_EXCEEDED, _ANY, "4xx 5xx", text=r"maximum credits exceeded|SubmissionQuotaExceeded|monthly (sending )?(quota|limit)"),
    Row(R.RATE_LIMITED, _ANY, "4xx 5xx", text=r"throttling failure|maximum sending rate|sending rate (limit )?exceeded"),
    Row(R.RATE_LIMITED, _ANY, "4xx 5xx", text=r"concurrent connections? limit|sender thread limit|too much mail|rate limit"),
    Row(R.RATE_LIMITED, _ENVELOPE, "4xx 5xx", text=r"unusual rate|receiving mail at a rate|peak SMTP relay limit|too many (messages|errors)"),
    Row(R.PROVIDER_ACCOUNT_RESTRICTED, _ANY, "4xx 5xx", text=r"sandbox subdomains are for test purposes"),
    Row(R.PROVIDER_ACCOUNT_RESTRICTED, _ANY, "4xx 5xx", text=r"domain \S+ is not allowed to send|sending paused for this account"),
    Row(R.PROVIDER_ACCOUNT_RESTRICTED, _ANY, "4xx 5xx", text=r"bad outbound sender|OutboundSpamException|WASCL UserAction"),
    Row(R.PROVIDER_ACCOUNT_RESTRICTED, _ANY, "4xx 5xx", text=r"account (is |has been )?(not (yet )?activated|suspended|disabled|locked|restricted)"),
    Row(R.SOURCE_IP_NOT_ALLOWED, _ANY, "4xx 5xx", text=r"unauthori[sz]ed ip|ip address is not authori[sz]ed|invalid credentials for relay"),
    # Greeting and EHLO
    Row(R.GREETING_REJECTED, _GREETING, "4xx 5xx", text=r"blacklist|blocklist|block list|spamhaus|\bRBL\b|no PTR|reverse DNS|reverse hostname"),
    Row(R.LMTP_SERVER, _HELLO, "5xx", text=r"\bLHLO\b|\bLMTP\b"),
    Row(R.EHLO_REJECTED, _HELLO, "4xx 5xx", text=r"\(EHLO\)|\bhelo\b|fully.qualified|invalid (domain|host) ?name|syntactically invalid"),
    # AUTHENTICATE: whoever asks for encryption means that, whatever else is wrong.
    Row(R.ENCRYPTION_REQUIRED, _AFTER_HELLO, "5xx", text=r"must issue a STARTTLS|encryption (is )?required|(TLS|SSL|STARTTLS) (is )?required"),
    Row(R.SMTP_AUTH_DISABLED, _AFTER_HELLO, "5xx", text=r"SmtpClientAuthentication is disabled"),
    Row(R.BASIC_AUTH_DISABLED, _AFTER_HELLO, "5xx", text=r"basic authentication is (disabled|not supported)|security defaults"),
    Row(R.BASIC_AUTH_DISABLED, _LOGIN, "5xx", text=r"did not meet the criteria to be authenticated"),
    Row(R.CREDENTIALS_REJECTED, _LOGIN, "5xx", text=r"user credentials were incorrect"),
    Row(R.APP_PASSWORD_REQUIRED, _LOGIN, "5xx", text=r"application-specific password|app(lication)? password (is )?required"),
    Row(R.WEB_LOGIN_REQUIRED, _LOGIN, "5xx", text=r"log ?in (with|via) your web browser|WebLoginRequired"),
    Row(R.MAILBOX_ACCESS_DENIED, _AFTER_HELLO, "4xx 5xx", text=r"STOREDRV.{0,80}mailbox logon|mailbox logon failure"),
    Row(R.AUTH_TEMPORARILY_UNAVAILABLE, _LOGIN, "4xx", text=r"too many login attempts|temporary authentication failure"),
    Row(R.NO_SHARED_AUTH_MECHANISM, _LOGIN, "5xx",
        text=r"(unrecogni[sz]ed|unsupported|unknown) auth|mechanism (is )?(not|un)|invalid (authentication )?mechanism"),
    # MAIL FROM, RCPT TO and DATA
    Row(R.AUTHENTICATION_REQUIRED, _ENVELOPE, "5xx", text=r"authentication (is )?required|not authenticated|not logged in|auth(entication)? first"),
    Row(R.AUTHENTICATION_REQUIRED, _ENVELOPE, "5xx", text=r"unauthenticated senders? not allowed|anonymous mail"),
    Row(R.DOMAIN_AUTHENTICATION_FAILED, _ENVELOPE, "4xx 5xx", text=r"\b(DKIM|DMARC)\b|\bSPF\b.{0,60}(fail|pass|check)|sender is unauthenticated"),
    Row(R.SENDER_NOT_ALLOWED, _ENVELOPE, "4xx 5xx",
        text=r"not owned by user|SendAsDenied|permissions? to send as|not authori[sz]ed to send (as|from)"),
    Row(R.SENDER_NOT_ALLOWED, _ENVELOPE, "4xx 5xx",
        text=r"verified sender identity|(email )?address(es)? (is|are) not verified|identities failed the check"),
    Row(R.SENDER_NOT_ALLOWED, _ENVELOPE, "5xx", text=r"sender address rejected|sender (verify|verification) failed|sender rejected"),
    Row(R.TOO_MANY_RECIPIENTS, _ENVELOPE, "4xx 5xx", text=r"too many recipients"),
    Row(R.GREYLISTED, _RECIPIENT | _DATA, "4xx", text=r"gr[ea]y-?list"),
    Row(R.RELAY_DENIED, _ENVELOPE, "5xx",
        text=r"relay(ing)?( access)? (is )?(denied|prohibited|not (allowed|permitted))|unable to relay|not permitted to relay"),
    Row(R.MESSAGE_TOO_LARGE, _ENVELOPE, "5xx", text=r"message size exceeds|exceeded.{0,40}message size|message (is )?too (large|big)|size limit"),
    Row(R.MAILBOX_FULL, _RECIPIENT | _DATA, "4xx 5xx", text=r"(mailbox|inbox|quota).{0,30}(full|exceeded)|over quota|overquota"),
    Row(R.RECIPIENT_UNKNOWN, _RECIPIENT, "5xx", text=r"user unknown|unknown user|no such user|does not exist|no mailbox|mailbox unavailable"),
    Row(R.CONTENT_REJECTED, _DATA, "5xx",
        text=r"\bspam|\bvirus|malware|unsolicited|potential security issue|content (rejected|filter)|blocked attachment"),
    Row(R.AUTH_TEMPORARILY_UNAVAILABLE, _AFTER_HELLO, "4xx", text=r"authentication (server|failure).{0,40}(tempor|unavailable|later)"),
)  # fmt: skip

ENHANCED_CODES: tuple[Row, ...] = (
    Row(R.EHLO_REJECTED, _HELLO, "421", "4.7.0"),
    Row(R.EHLO_REJECTED, _HELLO, "5xx", "5.5.2 5.7.1"),
    Row(R.STARTTLS_UNAVAILABLE, _STARTTLS, "4xx 5xx", "4.* 5.*"),
    # AUTHENTICATE
    Row(R.ENCRYPTION_REQUIRED, _LOGIN, "5xx", "5.7.10 5.7.11"),
    Row(R.APP_PASSWORD_REQUIRED, _LOGIN, "534", "5.7.9"),
    Row(R.WEB_LOGIN_REQUIRED, _LOGIN, "534", "5.7.14"),
    Row(R.BASIC_AUTH_DISABLED, _LOGIN, "5xx", "5.7.139 5.7.30"),
    Row(R.BASIC_AUTH_DISABLED, frozenset({S.SENDER}), "5xx", "5.7.30"),
    Row(R.MAILBOX_ACCESS_DENIED, _LOGIN, "430", "4.2.0"),
    Row(R.OAUTH_TOKEN_REJECTED, _LOGIN, "535", "5.7.*", with_token=True),
    Row(R.SOURCE_IP_NOT_ALLOWED, _LOGIN, "525", "5.7.1"),
    Row(R.CREDENTIALS_REJECTED, _LOGIN, "5xx", "5.7.8 5.7.0 5.7.3"),
    Row(R.NO_SHARED_AUTH_MECHANISM, _LOGIN, "504", "5.5.4 5.7.4"),
    Row(R.AUTH_TEMPORARILY_UNAVAILABLE, _LOGIN, "454 421 432", "4.7.0"),
    # Any stage
    Row(R.RATE_LIMITED, _ANY, "432", "4.3.2"),
    Row(R.RATE_LIMITED, _AFTER_HELLO, "421", "4.7.* 4.4.5"),
    Row(R.RATE_LIMITED, _ENVELOPE, "450", "4.2.1"),
    Row(R.QUOTA_EXCEEDED, _AFTER_HELLO, "550", "5.4.5"),
    Row(R.PROVIDER_ACCOUNT_RESTRICTED, _AFTER_HELLO, "5xx", "5.7.501 5.7.502 5.7.503 5.7.708 5.1.8"),
    # DATA
    Row(R.DOMAIN_AUTHENTICATION_FAILED, _ENVELOPE, "5xx", "5.7.26 5.7.27 5.7.515 5.7.20 5.7.21 5.7.22 5.7.23"),
    Row(R.DOMAIN_AUTHENTICATION_FAILED, _DATA, "5xx", "5.7.30"),
    # MAIL FROM
    Row(R.AUTHENTICATION_REQUIRED, _ENVELOPE, "530", "5.7.*"),
    Row(R.AUTHENTICATION_REQUIRED, _ENVELOPE, "5xx", "5.7.57"),
    Row(R.SENDER_NOT_ALLOWED, _ENVELOPE, "5xx", "5.7.60"),
    Row(R.SENDER_NOT_ALLOWED, frozenset({S.SENDER}), "553 550 554", "5.7.1 5.1.7"),
    Row(R.MESSAGE_TOO_LARGE, _ENVELOPE, "5xx", "5.3.4 5.2.3"),
    # RCPT TO
    Row(R.RELAY_DENIED, _ENVELOPE, "5xx", "5.7.64 5.7.54"),
    Row(R.RELAY_DENIED, _RECIPIENT, "550 551 553 554", "5.7.1"),
    Row(R.TOO_MANY_RECIPIENTS, _ENVELOPE, "452 552 550 554", "4.5.3 5.5.3"),
    Row(R.MAILBOX_FULL, _RECIPIENT | _DATA, "452 552", "4.2.2 5.2.2"),
    Row(R.ADDRESS_NOT_SUPPORTED, _ENVELOPE, "", "5.6.7"),
    Row(R.RECIPIENT_UNKNOWN, _RECIPIENT, "5xx", "5.1.0 5.1.1 5.1.2 5.1.3 5.1.6 5.1.10 5.2.1 5.4.1"),
    Row(R.GREYLISTED, _RECIPIENT, "450 451", "4.7.1 4.2.0"),
    Row(R.RATE_LIMITED, _ENVELOPE, "451", "4.7.*"),
    Row(R.CONTENT_REJECTED, _DATA, "550 554 552", "5.7.0 5.7.1"),
)  # fmt: skip

BASIC_CODES: tuple[Row, ...] = (
    Row(R.GREETING_REJECTED, _GREETING, "5xx"),
    Row(R.SERVER_BUSY, _GREETING, "4xx"),
    Row(R.NOT_AN_SMTP_SERVER, _GREETING, "1xx 2xx 3xx"),
    Row(R.ESMTP_UNSUPPORTED, _HELLO, "500 502"),
    Row(R.EHLO_REJECTED, _HELLO, "501 504 550 554"),
    Row(R.SERVER_BUSY, _HELLO, "421"),
    Row(R.STARTTLS_UNAVAILABLE, _STARTTLS, "4xx 5xx"),
    # AUTHENTICATE
    Row(R.OAUTH_TOKEN_REJECTED, _LOGIN, "535 501", with_token=True),
    Row(R.CREDENTIALS_REJECTED, _LOGIN, "535"),
    Row(R.SOURCE_IP_NOT_ALLOWED, _LOGIN, "525"),
    Row(R.WEB_LOGIN_REQUIRED, _LOGIN, "534", text=r"browser"),
    Row(R.NO_SHARED_AUTH_MECHANISM, _LOGIN, "504 534"),
    Row(R.ENCRYPTION_REQUIRED, _LOGIN, "538 530"),
    Row(R.AUTH_NOT_OFFERED, _LOGIN, "500 502 503"),
    Row(R.AUTH_TEMPORARILY_UNAVAILABLE, _LOGIN, "4xx"),
    # MAIL FROM, RCPT TO and DATA
    Row(R.AUTHENTICATION_REQUIRED, _ENVELOPE, "530"),
    Row(R.MESSAGE_TOO_LARGE, _SENDER, "552"),
    Row(R.SENDER_NOT_ALLOWED, frozenset({S.SENDER}), "550 553"),
    Row(R.MAILBOX_FULL, _RECIPIENT, "552"),
    Row(R.RECIPIENT_UNKNOWN, _RECIPIENT, "550 551 553"),
    Row(R.TOO_MANY_RECIPIENTS, _RECIPIENT, "452"),
    Row(R.SERVER_BUSY, _ENVELOPE, "421"),
)  # fmt: skip
