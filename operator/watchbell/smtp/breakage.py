"""From exceptions to values: the one place that knows how aiosmtplib, ssl and the socket layer say that something broke.

Comes between the library calls of a session and `verdict`. Reads exceptions only; decides nothing about their meaning. The texts of malformed replies
are never taken over: they are bytes of a foreign protocol and may be another service's secret.
"""

import errno
import socket
import ssl

import aiosmtplib

from watchbell.smtp.verdict_faults import Breakage, BreakageKind

_CHAIN_LIMIT = 8
_EAI_NAMES = {value: name for name, value in vars(socket).items() if name.startswith("EAI_") and isinstance(value, int)}


def breakage_of(error: BaseException) -> Breakage:
    """The innermost telling cause of `error` as a value, with the whole chain of causes as text (outermost first)."""
    causes = _causes(error)
    chain = tuple(_described(cause) for cause in causes)
    for cause in reversed(causes):
        if found := _told_by(cause, chain):
            return found
    return Breakage(BreakageKind.OTHER, name=type(error).__name__, chain=chain)


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in causes and len(causes) < _CHAIN_LIMIT:
        causes.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return causes


def _told_by(cause: BaseException, chain: tuple[str, ...]) -> Breakage | None:
    match cause:
        case ssl.SSLCertVerificationError():
            return Breakage(BreakageKind.CERTIFICATE, "", cause.verify_code, cause.verify_message, chain)
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return Breakage(BreakageKind.EOF, chain=chain)
        case ssl.SSLError():
            return Breakage(BreakageKind.TLS, cause.reason or type(cause).__name__, chain=chain)
        case socket.gaierror():
            return Breakage(BreakageKind.DNS, _EAI_NAMES.get(cause.errno or 0, "EAI_FAIL"), chain=chain)
        case UnicodeError():
            return Breakage(BreakageKind.UNICODE, chain=chain)
        case _:
            return _told_by_library(cause, chain) or _told_by_socket(cause, chain)


def _told_by_library(cause: BaseException, chain: tuple[str, ...]) -> Breakage | None:
    match cause:
        case aiosmtplib.SMTPResponseException() if cause.code < 200:
            return Breakage(BreakageKind.NOT_SMTP, chain=chain)
        case aiosmtplib.SMTPTimeoutError():
            return Breakage(BreakageKind.TIMEOUT, chain=chain)
        case aiosmtplib.SMTPServerDisconnected():
            return Breakage(BreakageKind.EOF, chain=chain)
        case _:
            return None


def _told_by_socket(cause: BaseException, chain: tuple[str, ...]) -> Breakage | None:
    match cause:
        case ConnectionResetError():
            return Breakage(BreakageKind.ERRNO, "ECONNRESET", chain=chain)
        case BrokenPipeError():
            return Breakage(BreakageKind.ERRNO, "EPIPE", chain=chain)
        case OSError() if cause.errno:
            return Breakage(
                BreakageKind.ERRNO,
                errno.errorcode.get(cause.errno, str(cause.errno)),
                text=cause.strerror or "",
                chain=chain,
            )
        case TimeoutError():
            return Breakage(BreakageKind.TIMEOUT, chain=chain)
        case EOFError():
            return Breakage(BreakageKind.EOF, chain=chain)
        case _:
            return None


def _described(cause: BaseException) -> str:
    """Type and text; the type alone where the text would quote what a non-SMTP server sent, or is empty."""
    if isinstance(cause, aiosmtplib.SMTPResponseException) and cause.code < 200:
        return f"{type(cause).__name__}: malformed SMTP reply"
    text = str(cause)
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__
