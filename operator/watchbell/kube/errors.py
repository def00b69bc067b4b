"""What the Kubernetes API can answer instead of what was asked for: one exception type for each answer that callers treat differently.

Raised by `client` only; informer, lease and the reconcilers catch the types they can act on. Every message is one line and holds no body
of a request, so nothing secret gets into a log through it.
"""

import msgspec

# ruff: noqa: N818 - the API's own words (NotFound, Conflict) are the names that people look for

MESSAGE_MAX = 1024


class ApiError(Exception):
    """Any failed call. `status` is the HTTP code (0 = no answer), `reason` the API's own word (`NotFound`, `Forbidden`, …)."""

    def __init__(self, status: int, reason: str, message: str, details: str = "") -> None:
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details
        super().__init__(f"{message} ({status} {reason})" if status else message)


class NotFound(ApiError):
    """404: the object, or the kind itself, does not exist."""


class Conflict(ApiError):
    """409: the object changed meanwhile (resourceVersion or uid differ), or another field manager owns the field."""


class AlreadyExists(Conflict):
    """409 of a create: an object of this name is there already."""


class Forbidden(ApiError):
    """403: the role lacks the verb; `message` names verb, resource and who asked."""


class Unauthorized(ApiError):
    """401: the token or client certificate is not accepted (expired, revoked, of another cluster)."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """400 or 422: the server refuses the object. `causes` are (field path, message), at most 32."""

    def __init__(self, status: int, reason: str, message: str, causes: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, reason, message, "; ".join(f"{field}: {text}" for field, text in causes))
        self.causes = causes


class Throttled(ApiError):
    """429: asked too often; come again after `retry_after_s` seconds."""

    def __init__(self, reason: str, message: str, retry_after_s: float) -> None:
        super().__init__(429, reason, message)
        self.retry_after_s = retry_after_s


class ServerError(ApiError):
    """5xx, or an answer that is not what the API promises (not JSON, too large)."""


class Unreachable(ApiError):
    """No answer: network, TLS, or the deadline of the call. Whether the server acted on a write is not known."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)


class StreamCut(Unreachable):
    """A watch that was established was cut, or fell silent for too long; what came before counts."""


class _Cause(msgspec.Struct):
    field: str = ""
    message: str = ""


class _Details(msgspec.Struct, rename="camel"):
    causes: list[_Cause] = []
    retry_after_seconds: int = 0


class Status(msgspec.Struct):
    """The API's `Status` object, as far as errors need it; also the object of an ERROR event in a watch."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(Status)


def error_from_response(code: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The typed error of an HTTP answer. A body that is no Status (a proxy's page, aggregated API down) still gives its first line."""
    try:
        status = _STATUS.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError):
        text = body[:MESSAGE_MAX].decode("utf-8", "replace").strip()
        status = Status(message=text.splitlines()[0] if text else "")
    return error_from_status(status, code, retry_after)


def error_from_status(status: Status, code: int = 0, retry_after: str | None = None) -> ApiError:
    """The typed error of a decoded `Status`; `code` is the HTTP code where there is one (in a watch there is only the Status' own)."""
    code = code or status.code
    reason = status.reason or f"HTTP{code}"
    message = _one_line(status.message) or f"the API server answered {code} without a message"
    match code:
        case 409:
            return (AlreadyExists if reason == "AlreadyExists" else Conflict)(code, reason, message)
        case 400 | 422:
            return Invalid(code, reason, message, _causes(status))
        case 429:
            return Throttled(reason, message, _retry_after_s(status, retry_after))
        case 401 | 403 | 404 | 410:
            return _BY_CODE[code](code, reason, message)
    return (ServerError if code >= 500 else ApiError)(code, reason, message)


_BY_CODE: dict[int, type[ApiError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 410: Gone}


def _causes(status: Status) -> tuple[tuple[str, str], ...]:
    causes = status.details.causes if status.details else []
    return tuple((cause.field, _one_line(cause.message)) for cause in causes[:32])


def _retry_after_s(status: Status, header: str | None) -> float:
    if header is not None and header.isascii() and header.isdigit():
        return float(header)
    return float(status.details.retry_after_seconds) if status.details and status.details.retry_after_seconds else 1.0


def _one_line(text: str) -> str:
    return " ".join(text.split())[:MESSAGE_MAX]
