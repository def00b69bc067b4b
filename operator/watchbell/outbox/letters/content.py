"""What a message names and does not hold, its template and files of ConfigMaps and Secrets, and what follows if they lack or have changed. Pure.

Before: `letter` read the message, `sources` the objects. After: the courier has a whole letter, or the message waits or ends with a reason that names
the field and the cure. Once somebody may have got the mail, its content may not change: the others get the same mail or none.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from watchbell.api.message import RecipientState
from watchbell.api.names import LABEL_ATTACHMENT
from watchbell.api.reasons import Reason
from watchbell.kube.grants import grant, operator_in
from watchbell.outbox.progress import Progress
from watchbell.outbox.settle import Rules, Settled, overdue, rejected
from watchbell.outbox.verdict import waiting

PATIENCE_S = 60.0
"""So long a message waits for something that does not exist: what is applied together with it may come a moment later."""
AGAIN_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file that stands in a ConfigMap or Secret of the message's namespace; `place` is its index in `spec.attachments`."""

    kind: Literal["ConfigMap", "Secret"]
    name: str
    key: str
    place: int

    @property
    def path(self) -> str:
        """The field of the message that names it."""
        return f"spec.attachments[{self.place}].{'configMapKeyRef' if self.kind == 'ConfigMap' else 'secretKeyRef'}"


class Ends(StrEnum):
    """How long a message waits for what is lacking."""

    AT_ONCE = "AtOnce"
    """Nothing that could be done would help."""
    SOON = "Soon"
    """It does not exist, but may be on its way."""
    AT_DEADLINE = "AtDeadline"
    """Somebody has to act, and the message says how."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What keeps a message from being whole; `message` names the field and the cure."""

    reason: Reason
    message: str
    ends: Ends = Ends.AT_DEADLINE


@dataclass(frozen=True, slots=True)
class File:
    """What was found: the bytes, and `version`, which changes when they do. A Secret's is never made from what it holds."""

    data: bytes
    version: str


def file_of(body: Mapping[str, Any], enclosure: Enclosure, namespace: str) -> File | Lack:
    """The file of a ConfigMap or Secret of the API server (`v1`)."""
    if enclosure.kind == "Secret" and (lack := _not_opted_in(body, enclosure, namespace)):
        return lack
    plain, encoded = body.get("data") or {}, body.get("binaryData") or {}
    if enclosure.kind == "Secret":
        plain, encoded = {}, plain
    try:
        if enclosure.key in encoded:
            data = base64.b64decode(encoded[enclosure.key], validate=True)
        elif enclosure.key in plain:
            data = str(plain[enclosure.key]).encode()
        else:
            return _no_key(sorted({*plain, *encoded}), enclosure)
    except ValueError:
        text = (
            f"{enclosure.path}.key: what {enclosure.kind} {enclosure.name} holds as {enclosure.key} cannot be decoded"
        )
        return Lack(Reason.INVALID_MESSAGE, text, Ends.AT_ONCE)
    meta = body["metadata"]
    version = (
        f"{meta.get('uid')}@{meta.get('resourceVersion')}"
        if enclosure.kind == "Secret"
        else hashlib.sha256(data).hexdigest()
    )
    return File(data, version)


def not_there(enclosure: Enclosure, namespace: str) -> Lack:
    """The object does not exist."""
    kind = "configmap" if enclosure.kind == "ConfigMap" else "secret generic"
    made = f"kubectl -n {namespace} create {kind} {enclosure.name} --from-file={enclosure.key}"
    if enclosure.kind == "Secret":
        made = f"{made}; {_opt_in(enclosure.name, namespace)}"
    return Lack(
        Reason.ATTACHMENT_NOT_FOUND,
        f"{enclosure.path}.name: there is no {enclosure.kind} {enclosure.name} in namespace {namespace}. Create it: {made}",
        Ends.SOON,
    )


def forbidden(enclosure: Enclosure, namespace: str, home: str) -> Lack:
    """The operator's role does not allow to read it; `home` is the namespace of its service account."""
    name, plural = enclosure.name, f"{enclosure.kind.lower()}s"
    return Lack(
        Reason.ATTACHMENT_FORBIDDEN,
        f"{enclosure.path}: the operator may not get {enclosure.kind} {name} in namespace {namespace}. Allow it: "
        f"{grant(name, 'get', plural, namespace, operator_in(home), only=name)}",
    )


def digest_of(parts: Iterable[str]) -> str:
    """One SHA-256 of all that was read from elsewhere, in its order."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def held_up(progress: Progress, lack: Lack, rules: Rules, moments: "Moments") -> Settled:
    """The message waits for what it lacks, ever more patiently; or it ends, where waiting is over or would not help."""
    is_over = lack.ends is Ends.SOON and moments.age_s >= moments.patience_s
    if lack.ends is Ends.AT_ONCE or is_over:
        return rejected(_given_up(progress), lack.reason, lack.message)
    if over := overdue(progress, rules, moments.now):
        return replace(over, verdict=replace(over.verdict, message=f"{over.verdict.message} It waited: {lack.message}"))
    again_s = min(max(moments.pause_s, moments.age_s), AGAIN_MAX_S)
    due = min(moments.now + timedelta(seconds=again_s), rules.deadline)
    return Settled(progress, waiting(lack.reason, lack.message), due)


@dataclass(frozen=True, slots=True)
class Moments:
    """The times that patience is measured by: `since` is when the message was there to be sent."""

    now: datetime
    since: datetime
    pause_s: float
    patience_s: float = PATIENCE_S

    @property
    def age_s(self) -> float:
        """How long it could have been sent."""
        return max(0.0, (self.now - self.since).total_seconds())


def changed(progress: Progress, digest: str) -> Settled | None:
    """The end of a message whose content is another than what somebody may have got; None when it may go out."""
    if not progress.content_digest or digest == progress.content_digest or not _may_be_out(progress):
        return None
    text = (
        "what the message takes from elsewhere (its template, ConfigMaps or Secrets) was changed after some recipient may have got the mail; "
        "the others were not sent another one under the same name. Create a new EmailMessage for them"
    )
    return rejected(_given_up(progress), Reason.CONTENT_CHANGED, text)


def _may_be_out(progress: Progress) -> bool:
    return any(one.state not in {RecipientState.PENDING, RecipientState.REFUSED} for one in progress.recipients)


def _given_up(progress: Progress) -> Progress:
    """Nobody is tried again: who may have got it stays unknown."""
    recipients = tuple(
        replace(one, state=RecipientState.UNKNOWN) if one.state is RecipientState.UNCERTAIN else one
        for one in progress.recipients
    )
    return replace(progress, recipients=recipients, resend_time=None)


def _not_opted_in(body: Mapping[str, Any], enclosure: Enclosure, namespace: str) -> Lack | None:
    if body.get("type") == "kubernetes.io/service-account-token":
        # Kubernetes fills such a Secret: who may make one, but not read it, would get the rights of any account.
        text = f"{enclosure.path}: Secret {enclosure.name} is a service account's token, which is never mailed"
        return Lack(Reason.SECRET_NOT_OPTED_IN, text, Ends.AT_ONCE)
    if (body["metadata"].get("labels") or {}).get(LABEL_ATTACHMENT) == "true":
        return None
    return Lack(
        Reason.SECRET_NOT_OPTED_IN,
        f"{enclosure.path}: Secret {enclosure.name} does not say that its content may be mailed. If it may: {_opt_in(enclosure.name, namespace)}",
    )


def _opt_in(name: str, namespace: str) -> str:
    return f"kubectl -n {namespace} label secret {name} {LABEL_ATTACHMENT}=true"


def _no_key(keys: list[str], enclosure: Enclosure) -> Lack:
    shown = ", ".join(keys[:10]) or "none"
    return Lack(
        Reason.ATTACHMENT_NOT_FOUND,
        f"{enclosure.path}.key: {enclosure.kind} {enclosure.name} has no key {enclosure.key} (keys: {shown}). Name one of these, or add it",
        Ends.SOON,
    )
