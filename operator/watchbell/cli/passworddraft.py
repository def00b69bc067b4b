"""What becomes of a Secret when somebody gives a new password for it (pure).

Before: `password` read standard input and the Secret. After: it writes the change. What may not be done is a ValueError with one sentence; no
sentence of this module holds a password, or tells anything about one.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watchbell.api.names import ANNOTATION_ALLOWED_HOSTS, ANNOTATION_VERBATIM, LABEL_OPT_IN, SECRET_TYPE
from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import MAX_VALUE_BYTES, Refusal, SecretView, read_value, secret_view

Body = Mapping[str, Any]
_MANAGED_BY = "app.kubernetes.io/managed-by"
_MANAGERS: Mapping[str, str] = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
    "reconcile.external-secrets.io/managed": "External Secrets",
    "reconcile.external-secrets.io/data-hash": "External Secrets",
    "sealedsecrets.bitnami.com/managed": "Sealed Secrets",
}
"""Labels and annotations of those who would write the old password back."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for. `hosts` empty = as they are; `is_opted_in`: the Secret may be given to watchbell; `is_verbatim`: it is no accident."""

    key: str
    username: str = ""
    hosts: tuple[str, ...] = ()
    is_opted_in: bool = False
    is_forced: bool = False
    is_verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch of the Secret, empty when nothing changes, and what it comes to in words."""

    patch: dict[str, Any]
    told: str


def given(raw: bytes) -> tuple[str, bool]:
    """The password in what was read, and whether a line break at its end was left off: exactly one, as `echo` adds it."""
    if len(raw) > MAX_VALUE_BYTES:
        raise ValueError(f"what was read is longer than {MAX_VALUE_BYTES} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ValueError("what was read is not UTF-8 text") from None
    line = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not line:
        raise ValueError("nothing was read, so nothing is changed: give the password on standard input")
    return line, line != text


def is_mask(password: str) -> bool:
    """Whether it is what panels show in place of a password."""
    return not password.strip("*")


def created(name: str, password: str, wish: Wish) -> dict[str, Any]:
    """A Secret of our own type, which is opted in by that. ValueError: a mask is no password."""
    if is_mask(password):
        raise ValueError(f"a mask keeps the old password, and there is none: Secret {name} does not exist")
    annotations = _annotations(wish)
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": {"name": name, "annotations": annotations},
        "data": _data(password, wish),
    }
    _check(secret_view({**body, "metadata": {**body["metadata"], "namespace": ""}}), wish)
    return body


def changed(body: Body, password: str, wish: Wish) -> Change:
    """The change of a Secret that is there. ValueError: it may not be changed so."""
    view = secret_view(body)
    if body.get("immutable"):
        raise ValueError(
            f"Secret {view.name} is immutable: delete it and set the password again, which makes a new one"
        )
    if (who := manager_of(body)) and not wish.is_forced:
        raise ValueError(
            f"Secret {view.name} is managed by {who}, which would write the old password back: change it there; --force changes it here all the same"
        )
    is_open = view.type == SECRET_TYPE or view.labels.get(LABEL_OPT_IN) == "true"
    if not is_open and not wish.is_opted_in:
        raise ValueError(
            f"Secret {view.name} does not say that watchbell may send it to a mail server: --opt-in adds the label {LABEL_OPT_IN}"
        )
    return _change(body, view, password, (wish, is_open))


def _change(body: Body, view: SecretView, password: str, what: tuple[Wish, bool]) -> Change:
    wish, is_open = what
    if is_mask(password):
        _keep(view, wish.key)
    wanted = _data("" if is_mask(password) else password, wish)
    old = {key: base64.b64encode(value).decode() for key, value in view.data.items()}
    data = {key: value for key, value in wanted.items() if old.get(key) != value}
    merged = {key: base64.b64decode(value) for key, value in (old | wanted).items()}
    annotations = _annotations(wish)
    _check(replace(view, data=merged, annotations={**view.annotations, **annotations}), wish)
    metadata: dict[str, Any] = {} if is_open else {"labels": {LABEL_OPT_IN: "true"}}
    if new := {key: value for key, value in annotations.items() if view.annotations.get(key) != value}:
        metadata["annotations"] = new
    told = _told(wish, password, data)
    if not data and not metadata:
        return Change({}, told)
    meta = body["metadata"]
    # Of the very object that was judged, as it was then.
    metadata |= {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    return Change({"metadata": metadata, **({"data": data} if data else {})}, told)


def _keep(view: SecretView, key: str) -> None:
    """A mask may stand for a password that is there; not for none, and not for another mask."""
    if key not in view.data:
        keys = ", ".join(sorted(view.data)) or "none"
        raise ValueError(
            f"a mask keeps the old password, and there is none: Secret {view.name} has no key {key} (keys: {keys})"
        )
    found = read_value(view, key)
    if isinstance(found, Refusal) and found.reason is Reason.MASKED_PLACEHOLDER:
        raise ValueError(
            f"a mask keeps the old password, and that was lost: key {key} of Secret {view.name} holds only asterisks; give the password itself"
        )


def _told(wish: Wish, password: str, data: Mapping[str, str]) -> str:
    parts = []
    if is_mask(password):
        parts.append("the password is kept")
    else:
        parts.append(f"key {wish.key} was {'set' if wish.key in data else 'this password already'}")
    if wish.username and "username" in data:
        parts.append("the user name was set")
    return ", ".join(parts)


def _data(password: str, wish: Wish) -> dict[str, str]:
    values = {wish.key: password, "username": wish.username}
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items() if value}


def _check(view: SecretView, wish: Wish) -> None:
    """As the operator will read it: what it would refuse is not written."""
    for key in (wish.key, *(("username",) if wish.username else ())):
        found = read_value(view, key)
        if isinstance(found, Refusal):
            # The rest of such a message is the command that this one is.
            cure = "; --verbatim takes it all the same" if found.reason is Reason.SECRET_DOUBLE_ENCODED else ""
            told = found.message.partition(". ")[0]
            raise ValueError(f"that cannot be a credential, so nothing was changed: {told}{cure}")  # noqa: TRY004 - a value


def _annotations(wish: Wish) -> dict[str, str]:
    hosts = {ANNOTATION_ALLOWED_HOSTS: ",".join(wish.hosts)} if wish.hosts else {}
    return hosts | ({ANNOTATION_VERBATIM: "true"} if wish.is_verbatim else {})


def manager_of(body: Body) -> str:
    """Who owns the Secret's content; empty if nobody is known to."""
    metadata = body["metadata"]
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    known = next((who for mark, who in _MANAGERS.items() if mark in marks), "")
    owner = next((f"{one['kind']} {one['name']}" for one in metadata.get("ownerReferences") or ()), "")
    return known or owner or str(marks.get(_MANAGED_BY) or "")
