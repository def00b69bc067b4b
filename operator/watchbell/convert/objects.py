"""The connector and the Secret that a draft stands for, and the text that is printed (pure).

Before: a reader filled a draft. After: `watchbell convert` prints, and `kubectl apply` takes it. The password is in it only if that was asked for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from watchbell.api.connector import SmtpConnector
from watchbell.api.enums import Mechanism, TlsMode
from watchbell.api.meta import Problem, parse
from watchbell.api.names import ANNOTATION_ALLOWED_HOSTS, API_VERSION, SECRET_TYPE
from watchbell.convert.draft import Draft, Note

PLACEHOLDER = "REPLACE-ME"
CA_NAME = "smtp-ca"
_USUAL = {TlsMode.START_TLS: 587, TlsMode.IMPLICIT: 465, TlsMode.NONE: 25}
Body = dict[str, Any]


def connector(draft: Draft, name: str, namespace: str | None) -> Body | tuple[Problem, ...]:
    """The SmtpConnector, or what is wrong with it as the API would say it."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    body = {"apiVersion": API_VERSION, "kind": "SmtpConnector", "metadata": metadata, "spec": _spec(draft, name)}
    parsed = parse(SmtpConnector, body)
    return parsed if isinstance(parsed, tuple) else body


def secret(draft: Draft, name: str, namespace: str | None, *, with_password: bool) -> Body | None:
    """The Secret that the connector names, pinned to its host; None if there is no login by password."""
    if not _has_secret(draft):
        return None
    password = draft.password.reveal() if with_password and draft.password else PLACEHOLDER
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": {"name": name}
        | ({"namespace": namespace} if namespace else {})
        | {"annotations": {ANNOTATION_ALLOWED_HOSTS: draft.host}},
        "stringData": {"username": draft.username or PLACEHOLDER, "password": password},
    }


def text_of(bodies: tuple[Body, ...], notes: tuple[Note, ...], source: str) -> str:
    """YAML with the notes as comments at its head."""
    head = [f"# Made by `watchbell convert {source}`."]
    head += [f"# {line}" for note in notes for line in str(note).splitlines()]
    if any(body["kind"] == "Secret" and body["stringData"]["password"] == PLACEHOLDER for body in bodies):
        head.append(
            "# The password is not here. Put it in yourself, or convert again with --with-secret; do not commit it."
        )
    documents = yaml.safe_dump_all(bodies, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join(head) + "\n" + documents


def _has_secret(draft: Draft) -> bool:
    return draft.logs_in and draft.mechanism is not Mechanism.EXTERNAL


def _spec(draft: Draft, name: str) -> Body:
    return dict(_fields(draft, name))


def _fields(draft: Draft, name: str) -> Iterator[tuple[str, Any]]:
    mode = draft.mode or TlsMode.START_TLS
    yield "host", draft.host
    if draft.port and draft.port != _USUAL[mode]:
        yield "port", draft.port
    if tls := _tls(draft, mode):
        yield "tls", tls
    if draft.logs_in:
        yield "auth", _auth(draft, name, mode)
    if draft.sender or draft.sender_name:
        parts = {"address": draft.sender, "name": draft.sender_name}
        yield "from", {key: value for key, value in parts.items() if value}
    if draft.reply_to:
        yield "replyTo", [draft.reply_to]
    if draft.hello_name:
        yield "helloName", draft.hello_name
    if draft.timeout_s:
        yield "probe", {"timeoutSeconds": draft.timeout_s}


def _tls(draft: Draft, mode: TlsMode) -> Mapping[str, Any]:
    found: Body = {} if mode is TlsMode.START_TLS else {"mode": str(mode)}
    if mode is TlsMode.NONE:
        return found
    if draft.has_private_ca:
        found["caConfigMapRef"] = {"name": CA_NAME}
    if draft.has_client_certificate:
        found["clientCertSecretRef"] = {"name": "smtp-client"}
    if draft.server_name:
        found["serverName"] = draft.server_name
    if draft.min_version is not None:
        found["minVersion"] = str(draft.min_version)
    if draft.is_unverified:
        found["verification"] = "None"
    return found


def _auth(draft: Draft, name: str, mode: TlsMode) -> Mapping[str, Any]:
    found: Body = {"secretRef": {"name": name}} if _has_secret(draft) else {}
    if draft.domain:
        found["domain"] = draft.domain
    if draft.mechanism is not Mechanism.AUTO:
        found["mechanism"] = str(draft.mechanism)
    if mode is TlsMode.NONE:
        found["plaintext"] = "Allow"
    return found
