"""What an AccountRecovery comes to: the EmailMessage that carries it, what its token says, the Secret with the hashes. Pure.

Before: the object as users wrote it. After: `reconcile` makes these objects, `minter` the text. Here also is told whether an EmailMessage really is
the one that was made for an AccountRecovery: whoever may create messages must not get a link of somebody else's sent to himself.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from watchbell.accounts.keys import Trouble
from watchbell.api.account import AccountRecovery, RecoveryLink
from watchbell.api.enums import Priority, RecoveryType
from watchbell.api.names import API_VERSION, LABEL_MANAGED_BY, LABEL_RECOVERY
from watchbell.api.reasons import Reason
from watchbell.mail.recovery import RecoveryFacts, subject_of_codes, subject_of_reset

KIND = "AccountRecovery"
MANAGED_BY = "watchbell"
HASHES, KEY_ID, ACCOUNT = "hashes", "keyID", "account"
"""The keys of the Secret with the hashes."""
_MAY_BE_SET = frozenset(
    {
        "activeDeadlineSeconds",
        "connectorRef",
        "notBeforeTime",
        "onUnavailable",
        "onUncertain",
        "priority",
        "subject",
        "templateRef",
        "to",
        "ttlSecondsAfterFinished",
    }
)
_NAME_MAX = 253


def expires(recovery: AccountRecovery) -> datetime:
    """Until when the link is valid and the mail may go out. The API server has set the time of creation."""
    created = recovery.metadata.creation_timestamp
    if created is None:
        raise ValueError("an object of the API server has a time of creation")
    return created + timedelta(seconds=recovery.spec.expiration_seconds)


def message_name(recovery: AccountRecovery) -> str:
    """The one EmailMessage of this very object."""
    return _message_name(recovery.metadata.name, recovery.metadata.uid)


def codes_name(recovery: AccountRecovery) -> str:
    """The Secret with the hashes of the codes: a name that an application can know beforehand."""
    return _suffixed(recovery.metadata.name, "-codes")


def message_of(recovery: AccountRecovery, now: datetime) -> dict[str, Any]:
    """The EmailMessage: to whom, through what, until when; not what it says. The subject of a user's template is made with its text."""
    spec, left_s = recovery.spec, int((expires(recovery) - now).total_seconds())
    ref = spec.connector_ref
    wanted: dict[str, Any] = {
        "to": [spec.to],
        "subject": None if spec.template_ref else subject(recovery),
        "templateRef": {"builtin": str(spec.type)},
        "priority": str(Priority.HIGH),
        "activeDeadlineSeconds": max(1, left_s),
    }
    if ref is not None:
        wanted["connectorRef"] = {"kind": str(ref.kind), "name": ref.name}
    return {
        "apiVersion": API_VERSION,
        "kind": "EmailMessage",
        "metadata": _metadata(recovery, message_name(recovery)),
        "spec": {field: value for field, value in wanted.items() if value is not None},
    }


def subject(recovery: AccountRecovery) -> str:
    """The subject of its mail."""
    if recovery.spec.type is RecoveryType.PASSWORD_RESET:
        return subject_of_reset(application(recovery.spec.link))
    return subject_of_codes(application(recovery.spec.link))


def codes_secret(recovery: AccountRecovery, key_id: str, hashes: Sequence[str]) -> dict[str, Any]:
    """The Secret that the application checks codes against; one hash a line, in the order of the mail."""
    data = {HASHES: "".join(f"{one}\n" for one in hashes), KEY_ID: key_id, ACCOUNT: recovery.spec.account}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": _metadata(recovery, codes_name(recovery)),
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def facts_of(recovery: AccountRecovery, cluster: str) -> RecoveryFacts:
    """What the mail says beside its secret."""
    meta = recovery.metadata
    until = expires(recovery)
    return RecoveryFacts(
        account=recovery.spec.account,
        application=application(recovery.spec.link),
        requested=until - timedelta(seconds=recovery.spec.expiration_seconds),
        expires=until,
        namespace=meta.namespace,
        request=meta.name,
        cluster=cluster,
    )


def issuer(namespace: str) -> str:
    """Who signs: the operator, for this namespace. Whoever may create an AccountRecovery in another one is somebody else."""
    return f"watchbell/{namespace}"


def audience(link: RecoveryLink) -> str:
    """The origin of the application (RFC 6454): scheme, host and port, in lower case."""
    parts = urlsplit(link.base_url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def application(link: RecoveryLink | None) -> str:
    """The host that the link leads to."""
    return audience(link).removeprefix("https://") if link else ""


def address(link: RecoveryLink, token: str) -> str:
    """The link of the mail. A token holds nothing that would have to be escaped."""
    mark = "&" if "?" in link.base_url else "?"
    return f"{link.base_url}{mark}{link.token_parameter}={token}"


def stranger(message: Mapping[str, Any], recovery: AccountRecovery) -> str:
    """Why this EmailMessage is not the one of `recovery`: the path and what is wrong there; empty if it is."""
    metadata, spec = message["metadata"], message.get("spec") or {}
    if metadata.get("namespace") != recovery.metadata.namespace or not has_own_name(message):
        return "metadata.name: the message of an AccountRecovery has another name"
    if owner_uid(message) != recovery.metadata.uid:
        return "metadata.ownerReferences: its AccountRecovery is gone"
    wanted = message_of(recovery, expires(recovery))["spec"]
    for field in ("to", "subject", "templateRef", "connectorRef"):
        if _plain(spec.get(field)) != _plain(wanted.get(field)):
            return f"spec.{field}: is not what its AccountRecovery says"
    extra = sorted(field for field, value in spec.items() if value and field not in _MAY_BE_SET)
    return f"spec.{extra[0]}: may not be set for account mail" if extra else ""


def has_own_name(message: Mapping[str, Any]) -> bool:
    """Whether it is called as the message of the AccountRecovery that it says it belongs to. If not, nothing need be looked up."""
    name = owner_name(message)
    return bool(name) and message["metadata"].get("name") == _message_name(name, owner_uid(message))


def owner_uid(body: Mapping[str, Any]) -> str:
    """The uid of the AccountRecovery that controls an object; empty if none does."""
    owner = _owner(body)
    return str(owner.get("uid", "")) if owner else ""


def owner_name(body: Mapping[str, Any]) -> str:
    """Its name; empty if none does."""
    owner = _owner(body)
    return str(owner.get("name", "")) if owner else ""


def taken(what: str, name: str) -> Trouble:
    """An object that stands in the way."""
    return Trouble(
        Reason.NAME_TAKEN, f"{what} {name} exists and is not of this AccountRecovery; delete it, or choose another name"
    )


def _owner(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    owners = body["metadata"].get("ownerReferences") or ()
    return next(
        (
            one
            for one in owners
            if one.get("controller") and one.get("kind") == KIND and one.get("apiVersion") == API_VERSION
        ),
        None,
    )


def _metadata(recovery: AccountRecovery, name: str) -> dict[str, Any]:
    meta = recovery.metadata
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": meta.name, "uid": meta.uid, "controller": True}
    labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_RECOVERY: str(recovery.spec.type)}
    return {"name": name, "namespace": meta.namespace, "labels": labels, "ownerReferences": [owner]}


def _plain(value: object) -> object:
    """Without the defaults of a reference, which the API server leaves to the code."""
    if isinstance(value, Mapping):
        return {"kind": "SmtpConnector", **value} if "name" in value else dict(value)
    return value


def _message_name(name: str, uid: str) -> str:
    return _suffixed(name, f"-{uid[:8]}")


def _suffixed(name: str, suffix: str) -> str:
    return name[: _NAME_MAX - len(suffix)].rstrip("-.") + suffix
