"""Manifests or plain settings as facts, without a cluster (pure): text in, facts or one sentence about the text out.

Before: the command line read the files. After: `relays` and the checks, as for a cluster. A manifest without namespace counts as of the one given.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from watchbell.api.sensitive import Sensitive
from watchbell.connectors.credentials import SecretView
from watchbell.convert import settings
from watchbell.convert.draft import Draft, UnreadableError
from watchbell.doctor.facts import Body, Facts, Key, Source
from watchbell.smtp.model import AuthPlan, Relay, TlsMode, TlsPlan

MAX_DOCUMENTS = 10_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def manifests(texts: Sequence[tuple[str, str]], namespace: str, home: str, now: datetime) -> Facts:
    """Facts of YAML or JSON manifests; `texts` are (file name, text). Raises UnreadableError with the file and the line."""
    objects: dict[str, list[Body]] = {}
    for name, text in texts:
        for body in _documents(name, text):
            objects.setdefault(str(body["kind"]), []).append(_placed(body, namespace))
    secrets = {
        key: view
        for body in objects.get("Secret", ())
        if (view := _secret(body)) and (key := (view.namespace, view.name))
    }
    maps = {
        _key(body): {k: str(v) for k, v in (body.get("data") or {}).items()} for body in objects.get("ConfigMap", ())
    }
    frozen = {kind: tuple(bodies) for kind, bodies in objects.items()}
    return Facts(now=now, source=Source.FILES, objects=frozen, home=home, secrets=secrets, config_maps=maps)


def is_settings(name: str, text: str) -> bool:
    """Whether a file holds plain settings rather than manifests."""
    if name.endswith(".env") or name.rpartition("/")[2].startswith(".env"):
        return True
    return text.lstrip().startswith("{") and '"apiVersion"' not in text


def settings_pairs(name: str, text: str) -> Mapping[str, str]:
    """The keys of a settings file. Raises UnreadableError."""
    try:
        return settings.read_json(text) if text.lstrip().startswith("{") else settings.read_env(text)
    except UnreadableError as error:
        raise UnreadableError(f"{name}: {error}") from error


def relay_of_settings(pairs: Mapping[str, str]) -> Relay:
    """The relay that settings speak of. Raises UnreadableError where no host is, or a value cannot be used."""
    draft = settings.drafted(pairs)
    wrong = [note for note in draft.notes if note.verdict == "refused"]
    if wrong and not draft.port:
        raise UnreadableError(f"{wrong[0].key} {wrong[0].reason}")
    mode = draft.mode or TlsMode.START_TLS
    return Relay(draft.host, draft.port, tls=TlsPlan(mode=mode), auth=_login(draft, mode), mail_from=draft.sender)


def of_settings(now: datetime) -> Facts:
    """The frame for what was dialled."""
    return Facts(now=now, source=Source.SETTINGS)


def _login(draft: Draft, mode: TlsMode) -> AuthPlan | None:
    if not draft.username or draft.password is None:
        return None
    name = f"{draft.domain}\\{draft.username}" if draft.domain else draft.username
    return AuthPlan(name, Sensitive(draft.password.reveal()), plaintext_allowed=mode is TlsMode.NONE)


def _documents(name: str, text: str) -> Iterator[dict[str, Any]]:
    try:
        for number, document in enumerate(yaml.load_all(text, Loader=_LOADER), 1):
            if number > MAX_DOCUMENTS:
                raise UnreadableError(f"{name} holds more than {MAX_DOCUMENTS} documents")
            yield from _objects(name, number, document)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise UnreadableError(f"{name}{place} is not YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise UnreadableError(f"{name} is nested too deep") from error


def _objects(name: str, number: int, document: object) -> Iterator[dict[str, Any]]:
    if document is None:
        return
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise UnreadableError(f"{name}, document {number} is no Kubernetes object: it has no kind")
    if document["kind"].endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(name, number, item)
        return
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise UnreadableError(f"{name}, document {number} ({document['kind']}) has no metadata.name")
    yield document


def _placed(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    meta = dict(body["metadata"])
    meta.setdefault("name", meta.get("generateName"))
    if body["kind"] != "ClusterSmtpConnector":
        meta["namespace"] = meta.get("namespace") or namespace
    return {**body, "metadata": meta}


def _key(body: Body) -> Key:
    return str(body["metadata"]["namespace"]), str(body["metadata"]["name"])


def _secret(body: Body) -> SecretView | None:
    """As the API server would keep it: stringData wins over data (Secret v1). None where the base64 is none."""
    namespace, name = _key(body)
    meta = body["metadata"]
    try:
        data = {
            str(key): base64.b64decode(str(value), validate=True) for key, value in (body.get("data") or {}).items()
        }
    except binascii.Error:
        return None
    data |= {str(key): str(value).encode() for key, value in (body.get("stringData") or {}).items()}
    labels, annotations = dict(meta.get("labels") or {}), dict(meta.get("annotations") or {})
    return SecretView(namespace, name, "", str(body.get("type") or ""), labels, annotations, data)
