"""The tables for failures without a usable reply: DNS, errnos, TLS, silence and broken protocol; and the headline that people search for.

Used by `verdict` only. Pure: exceptions were turned into a `Breakage` by `breakage` before. Sources: X.509 codes of OpenSSL's x509_vfy.h,
RFC 8446 §6 alerts, RFC 1035 §4.1.1 response codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import StageName as S
from watchbell.smtp.model import TlsMode


class BreakageKind(StrEnum):
    """What kind of thing broke; `Breakage.name` says which one."""

    DNS = "dns"  # name: NXDOMAIN, NODATA, SERVFAIL, REFUSED, TIMEOUT, EAI_AGAIN, EAI_NONAME, …
    ERRNO = "errno"  # name: ECONNREFUSED, …
    TIMEOUT = "timeout"
    EOF = "eof"
    CERTIFICATE = "certificate"  # verify_code of OpenSSL
    TLS = "tls"  # name: OpenSSL's reason, WRONG_VERSION_NUMBER, …
    UNICODE = "unicode"  # a host name that cannot be encoded
    NOT_SMTP = "not-smtp"  # name: the guess HTTP, SSH, TLS or empty
    PROTOCOL = "protocol"  # name: what was broken, in plain words
    OTHER = "other"  # name: the exception's type


@dataclass(frozen=True, slots=True)
class Breakage:
    """A failure as a value. `text` is the library's sentence, `chain` the causes, outermost first; neither quotes bytes of foreign protocols."""

    kind: BreakageKind
    name: str = ""
    verify_code: int = 0
    text: str = ""
    chain: tuple[str, ...] = ()


_DNS: Mapping[str, R] = {
    "NXDOMAIN": R.HOST_NOT_FOUND,
    "EAI_NONAME": R.HOST_NOT_FOUND,
    "NODATA": R.HOST_HAS_NO_ADDRESS,
    "EAI_NODATA": R.HOST_HAS_NO_ADDRESS,
    "EAI_ADDRFAMILY": R.HOST_HAS_NO_ADDRESS,
}
_ERRNOS: Mapping[str, R] = {
    "ECONNREFUSED": R.CONNECTION_REFUSED,
    "ETIMEDOUT": R.CONNECTION_TIMED_OUT,
    "EHOSTUNREACH": R.NO_ROUTE_TO_HOST,
    "ENETUNREACH": R.NO_ROUTE_TO_HOST,
    "EHOSTDOWN": R.NO_ROUTE_TO_HOST,
    "ENETDOWN": R.NO_ROUTE_TO_HOST,
    "EADDRNOTAVAIL": R.NO_ROUTE_TO_HOST,
    "EAFNOSUPPORT": R.NO_ROUTE_TO_HOST,
    "EPERM": R.CONNECT_DENIED_LOCALLY,
    "EACCES": R.CONNECT_DENIED_LOCALLY,
    "ECONNRESET": R.CONNECTION_RESET,
    "EPIPE": R.CONNECTION_RESET,
    "ECONNABORTED": R.CONNECTION_RESET,
}
_VERIFY_CODES: Mapping[int, R] = {
    2: R.CERTIFICATE_UNTRUSTED,
    9: R.CERTIFICATE_NOT_YET_VALID,
    10: R.CERTIFICATE_EXPIRED,
    18: R.CERTIFICATE_SELF_SIGNED,
    19: R.CERTIFICATE_UNTRUSTED,
    20: R.CERTIFICATE_UNTRUSTED,
    21: R.CERTIFICATE_UNTRUSTED,
    62: R.CERTIFICATE_NAME_MISMATCH,
    64: R.CERTIFICATE_NAME_MISMATCH,
}
_TOO_OLD = (
    "ALERT_PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "VERSION_TOO_LOW",
    "WRONG_SSL_VERSION",
    "NO_PROTOCOLS_AVAILABLE",
)
_CIPHERS = (
    "HANDSHAKE_FAILURE",
    "INSUFFICIENT_SECURITY",
    "NO_SHARED_CIPHER",
    "DH_KEY_TOO_SMALL",
    "EE_KEY_TOO_SMALL",
    "CA_MD_TOO_WEAK",
)
_CLIENT_CERTIFICATE = (
    "CERTIFICATE_REQUIRED",
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_ACCESS_DENIED",
)
_PLAINTEXT = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "BAD_PACKET_LENGTH",
)
_WRONG_NAME = ("UNRECOGNIZED_NAME",)
_TLS_WORDS: tuple[tuple[tuple[str, ...], R], ...] = (
    (_TOO_OLD, R.TLS_VERSION_TOO_OLD),
    (_CIPHERS, R.NO_SHARED_CIPHER),
    (_CLIENT_CERTIFICATE, R.CLIENT_CERTIFICATE_REQUIRED),
    (_WRONG_NAME, R.CERTIFICATE_NAME_MISMATCH),
)
_ERRNO_WORDS: Mapping[str, str] = {
    "ECONNREFUSED": "connection refused",
    "ETIMEDOUT": "connection timed out",
    "EHOSTUNREACH": "no route to host",
    "ENETUNREACH": "network is unreachable",
    "EPERM": "operation not permitted",
    "EACCES": "permission denied",
    "ECONNRESET": "connection reset by peer",
    "EPIPE": "broken pipe",
}
_DNS_WORDS: Mapping[str, str] = {
    "NXDOMAIN": "no such host",
    "EAI_NONAME": "no such host",
    "NODATA": "no A or AAAA record",
    "EAI_NODATA": "no A or AAAA record",
    "TIMEOUT": "i/o timeout",
    "SERVFAIL": "server misbehaving",
    "REFUSED": "server refused the query",
}
_VERIFY_WORDS: Mapping[int, str] = {
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "self-signed certificate",
    19: "self-signed certificate in certificate chain",
    20: "unable to get local issuer certificate: certificate signed by unknown authority",
    21: "unable to verify the first certificate",
}
_BROKEN_OFF = frozenset({BreakageKind.EOF, BreakageKind.TLS, BreakageKind.ERRNO})


def breakage_reason(stage: S, breakage: Breakage, context: ReplyContext) -> R:
    """The one reason of a failure at `stage`."""
    if _looks_like_a_refused_client_certificate(stage, breakage, context):
        return R.CLIENT_CERTIFICATE_REQUIRED
    match stage:
        case S.POLICY | S.RESOLVE:
            return _resolve_reason(breakage)
        case S.TOKEN:
            return R.OAUTH_UNAVAILABLE
        case S.CONNECT:
            return _connect_reason(breakage, context)
        case S.TLS:
            return _tls_reason(breakage, context)
        case S.GREETING:
            return _greeting_reason(breakage, context)
        case _:
            return _dialogue_reason(breakage, context)


def _looks_like_a_refused_client_certificate(stage: S, breakage: Breakage, context: ReplyContext) -> bool:
    """In TLS 1.3 the server refuses a missing client certificate only after our side of the handshake is done (RFC 8446 §4.4.2.4)."""
    if stage not in {S.GREETING, S.HELLO} or breakage.kind not in _BROKEN_OFF:
        return False
    return context.is_fresh_tls and not context.has_client_certificate


def _resolve_reason(breakage: Breakage) -> R:
    match breakage.kind:
        case BreakageKind.UNICODE:
            return R.INVALID_HOST
        case BreakageKind.DNS:
            return _DNS.get(breakage.name, R.DNS_TEMPORARY_FAILURE)
        case _:
            return R.DNS_TEMPORARY_FAILURE


def _connect_reason(breakage: Breakage, context: ReplyContext) -> R:
    is_silent = breakage.kind is BreakageKind.TIMEOUT or breakage.name == "ETIMEDOUT"
    if is_silent:
        return R.OUTBOUND_SMTP_BLOCKED if context.port == 25 else R.CONNECTION_TIMED_OUT
    if breakage.kind is BreakageKind.EOF:
        return R.CONNECTION_CLOSED
    return _ERRNOS.get(breakage.name, R.TEMPORARY_FAILURE)


def _tls_reason(breakage: Breakage, context: ReplyContext) -> R:
    if breakage.kind is BreakageKind.CERTIFICATE:
        return _VERIFY_CODES.get(breakage.verify_code, R.CERTIFICATE_INVALID)
    if breakage.kind is BreakageKind.PROTOCOL:
        return R.PROTOCOL_VIOLATION
    if breakage.kind is not BreakageKind.TLS:
        return R.TLS_HANDSHAKE_FAILED
    for words, reason in _TLS_WORDS:
        if breakage.name.endswith(words):
            return reason
    if context.tls_mode is TlsMode.IMPLICIT and breakage.name.endswith(_PLAINTEXT):
        return R.PLAINTEXT_ON_TLS_PORT
    return R.TLS_HANDSHAKE_FAILED


def _greeting_reason(breakage: Breakage, context: ReplyContext) -> R:
    match breakage.kind:
        case BreakageKind.NOT_SMTP if breakage.name == "TLS":
            return R.TLS_ON_PLAINTEXT_PORT
        case BreakageKind.NOT_SMTP:
            return R.NOT_AN_SMTP_SERVER
        case BreakageKind.EOF:
            return R.CLOSED_BEFORE_GREETING
        case BreakageKind.TIMEOUT:
            return R.GREETING_TIMED_OUT
        case _:
            return _dialogue_reason(breakage, context)


def _dialogue_reason(breakage: Breakage, context: ReplyContext) -> R:
    match breakage.kind:
        case BreakageKind.TIMEOUT:
            return R.COMMAND_TIMED_OUT
        case BreakageKind.EOF:
            return R.CONNECTION_CLOSED
        case BreakageKind.PROTOCOL | BreakageKind.NOT_SMTP | BreakageKind.UNICODE:
            return R.PROTOCOL_VIOLATION
        case BreakageKind.CERTIFICATE:
            return _tls_reason(breakage, context)
        case BreakageKind.TLS:
            return R.CONNECTION_CLOSED if "EOF" in breakage.name else _tls_reason(breakage, context)
        case _:
            return _ERRNOS.get(breakage.name, R.TEMPORARY_FAILURE)


def headline(stage: S, breakage: Breakage, context: ReplyContext) -> str:
    """The one-liner in front of the chain, in the words that people paste into a search engine."""
    if breakage.kind is BreakageKind.CERTIFICATE:
        return f"tls: failed to verify certificate: {_certificate_words(breakage, context)} (X509_V_ERR {breakage.verify_code})"
    match stage:
        case S.POLICY | S.RESOLVE:
            return _lookup_words(breakage, context)
        case S.CONNECT:
            return f"dial tcp {context.peer}: connect: {_cause_words(breakage, is_connect=True)}"
        case S.TLS:
            return _handshake_words(breakage)
        case _:
            return f"read tcp {context.peer}: {_cause_words(breakage)}"


def _lookup_words(breakage: Breakage, context: ReplyContext) -> str:
    match breakage.kind:
        case BreakageKind.UNICODE:
            return f"lookup {context.host}: invalid host name"
        case BreakageKind.TIMEOUT:
            return f"lookup {context.host}: i/o timeout"
        case _:
            words = _DNS_WORDS.get(breakage.name, "temporary failure in name resolution")
            return f"lookup {context.host}: {words} ({breakage.name or breakage.kind})"


def _certificate_words(breakage: Breakage, context: ReplyContext) -> str:
    if breakage.verify_code in {62, 64}:
        names = ", ".join(context.certificate_names[:8]) or "other names"
        return f"x509: certificate is valid for {names}, not {context.server_name or context.host}"
    return _VERIFY_WORDS.get(breakage.verify_code) or breakage.text or "certificate not accepted"


def _handshake_words(breakage: Breakage) -> str:
    if breakage.kind is BreakageKind.TLS and breakage.name.endswith(_PLAINTEXT):
        return f"tls: first record does not look like a TLS handshake ({breakage.name})"
    return f"tls: handshake failure: {_cause_words(breakage)}"


def _cause_words(breakage: Breakage, *, is_connect: bool = False) -> str:
    match breakage.kind:
        case BreakageKind.ERRNO:
            return f"{_ERRNO_WORDS.get(breakage.name) or breakage.text or 'failed'} ({breakage.name})"
        case BreakageKind.TIMEOUT:
            return "connection timed out (ETIMEDOUT)" if is_connect else "i/o timeout"
        case BreakageKind.EOF:
            return "EOF"
        case BreakageKind.TLS:
            return f"{breakage.name.lower().replace('_', ' ')} ({breakage.name})"
        case BreakageKind.NOT_SMTP:
            return f"not an SMTP server{f' (it looks like {breakage.name})' if breakage.name else ''}"
        case BreakageKind.PROTOCOL:
            return f"protocol violation: {breakage.name}"
        case _:
            return breakage.name or breakage.kind
