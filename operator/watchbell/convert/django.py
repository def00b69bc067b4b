"""Django's `EMAIL_*` settings as a draft (pure): from settings.py, which is read and never run, or from an .env file."""

import ast
from collections.abc import Mapping
from typing import Any

from watchbell.api.enums import TlsMode
from watchbell.convert.draft import Draft, UnreadableError, flag
from watchbell.convert.settings import read_env

_IGNORED = {
    "EMAIL_SUBJECT_PREFIX": "the words of a mail belong to its template",
    "EMAIL_USE_LOCALTIME": "the Date header is in UTC",
    "EMAIL_FILE_PATH": "mails are sent, not written into files",
}
_UNKNOWN = object()
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


def drafted(text: str) -> Draft:
    """The draft. Raises UnreadableError: not Python, or settings that Django itself refuses."""
    given = _assigned(text) if _is_python(text) else dict(read_env(text))
    wanted = {
        key: value
        for key, value in given.items()
        if key.startswith("EMAIL_") or key in {"DEFAULT_FROM_EMAIL", "SERVER_EMAIL"}
    }
    if not wanted:
        raise UnreadableError("there is no EMAIL_ setting in it")
    draft = Draft(host="localhost", port=25)
    for key, value in wanted.items():
        if value is _UNKNOWN:
            draft.refuse(key, "its value is computed when Django runs; put it in yourself")
        else:
            _take(draft, key, value)
    _decide_tls(draft, wanted)
    return draft


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _assigned(text: str) -> dict[str, Any]:
    """Names that get a literal at the top of the file; others are there as unknown. A bare word is what .env files have."""
    found: dict[str, Any] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and node.value is not None:
                    found[target.id] = _literal(node.value)
    return found


def _literal(node: ast.expr) -> Any:  # noqa: ANN401 - whatever a literal is
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return _UNKNOWN


def _take(draft: Draft, key: str, value: Any) -> None:  # noqa: ANN401 - as Python had it
    text = "" if value is None else str(value)
    match key:
        case "EMAIL_HOST":
            draft.host = text
        case "EMAIL_PORT":
            draft.set_port(key, text)
        case "EMAIL_HOST_USER":
            draft.username = text
        case "EMAIL_HOST_PASSWORD":
            draft.set_password(key, text)
        case "DEFAULT_FROM_EMAIL":
            draft.sender_name, draft.sender = _split(text)
        case "EMAIL_TIMEOUT" if text.isdecimal():
            draft.timeout_s = min(max(int(text), 1), 60)
        case "EMAIL_SSL_CERTFILE" if text:
            draft.set_client_certificate(key)
        case "EMAIL_BACKEND" if text != SMTP_BACKEND:
            draft.refuse(key, f"{text[:80]} does not speak SMTP; the connector does")
        case "SERVER_EMAIL":
            draft.ignore(key, "who gets mails about errors belongs into spec.routes of a CollectorPolicy")
        case (
            "EMAIL_USE_TLS"
            | "EMAIL_USE_SSL"
            | "EMAIL_BACKEND"
            | "EMAIL_TIMEOUT"
            | "EMAIL_SSL_CERTFILE"
            | "EMAIL_SSL_KEYFILE"
        ):
            pass
        case _ if key in _IGNORED:
            draft.ignore(key, _IGNORED[key])
        case _:
            draft.refuse(key, "watchbell has no such setting")


def _split(text: str) -> tuple[str, str]:
    name, angle, rest = text.rpartition("<")
    return (name.strip().strip('"'), rest.rstrip("> ")) if angle else ("", text.strip())


def _decide_tls(draft: Draft, given: Mapping[str, Any]) -> None:
    """Django: USE_SSL is TLS at once, USE_TLS is a STARTTLS that must succeed, and both together are an error."""
    ssl, tls = flag(given.get("EMAIL_USE_SSL", False)), flag(given.get("EMAIL_USE_TLS", False))
    if ssl and tls:
        raise UnreadableError("EMAIL_USE_SSL and EMAIL_USE_TLS are both set: Django refuses that; only one may be")
    draft.mode = TlsMode.IMPLICIT if ssl else TlsMode.START_TLS if tls else TlsMode.NONE
    if draft.mode is TlsMode.NONE:
        draft.change("EMAIL_USE_TLS", "it is not set, so there is no encryption, as before; better set it")
