"""What may be done to a message of the outbox, and the copy that is sent in its place (pure).

Before: `outbox` read the EmailMessage. After: it creates the copy, or deletes the message. What may not be done is a ValueError with one sentence.
"""

from collections.abc import Mapping
from typing import Any

from watchbell.api.conditions import condition_of
from watchbell.api.enums import BuiltinTemplate
from watchbell.api.message import RecipientState
from watchbell.api.names import ANNOTATION_RETRY_OF, ANNOTATION_THREAD, API_VERSION

Body = Mapping[str, Any]
INCIDENT = "CollectorIncident"
STEM_MAX = 200
_ACCOUNT = frozenset({BuiltinTemplate.PASSWORD_RESET, BuiltinTemplate.RECOVERY_CODES})
_NOT_COPIED = frozenset({"notBeforeTime", "batch"})
_LISTS = ("to", "cc", "bcc")
_HAVE_IT = frozenset({RecipientState.ACCEPTED})


def succeeded(body: Body) -> Body:
    """The condition `Succeeded`; empty while nothing was said about it."""
    return condition_of(body, "Succeeded")


def is_finished(body: Body) -> bool:
    """Whether it is settled."""
    return bool((body.get("status") or {}).get("completionTime"))


def recipients(body: Body) -> tuple[tuple[str, str, Body], ...]:
    """(list, address, result) of each, in the order of `recipientResults`."""
    found = {one["index"]: one for one in (body.get("status") or {}).get("recipientResults") or ()}
    named = [(name, address) for name in _LISTS for address in body["spec"].get(name) or ()]
    return tuple((name, address, found.get(i, {})) for i, (name, address) in enumerate(named))


def copy_of(body: Body, *, is_for_everyone: bool) -> dict[str, Any]:
    """The EmailMessage that is sent instead, to those who do not have it. ValueError: it may not be sent again."""
    name = str(body["metadata"]["name"])
    if _is_account_mail(body):
        raise ValueError(
            f"{name} is account mail: its link or codes are made for one request and end with it; create a new AccountRecovery"
        )
    if not is_finished(body):
        raise ValueError(f"{name} is not finished: the outbox tries it again by itself (watchbell outbox show {name})")
    spec = {key: value for key, value in body["spec"].items() if key not in _NOT_COPIED}
    if not is_for_everyone:
        spec |= _missing(body)
    if not any(spec.get(field) for field in _LISTS):
        raise ValueError(f"{name} was accepted for every recipient; --everyone sends it to all of them once more")
    return {
        "apiVersion": API_VERSION,
        "kind": "EmailMessage",
        "metadata": _metadata(body, name),
        "spec": {key: value for key, value in spec.items() if value not in ([], None)},
    }


def _missing(body: Body) -> dict[str, list[str]]:
    """Each list without those whom the server took it for."""
    wanted: dict[str, list[str]] = {field: [] for field in _LISTS}
    for field, address, result in recipients(body):
        if result.get("result") not in _HAVE_IT:
            wanted[field].append(address)
    return wanted


def _metadata(body: Body, name: str) -> dict[str, Any]:
    """No labels: those of Git tools and charts would make the copy theirs. An alert stays its incident's, which decides what it may use."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    kept = {key: annotations[key] for key in (ANNOTATION_THREAD,) if key in annotations}
    owners = [one for one in metadata.get("ownerReferences") or () if one.get("kind") == INCIDENT]
    made: dict[str, Any] = {
        "generateName": f"{name[:STEM_MAX].rstrip('-.')}-retry-",
        "namespace": metadata["namespace"],
        "annotations": {**kept, ANNOTATION_RETRY_OF: name},
    }
    return made | ({"ownerReferences": owners} if owners else {})


def _is_account_mail(body: Body) -> bool:
    return (body["spec"].get("templateRef") or {}).get("builtin") in _ACCOUNT


def doubt(body: Body) -> str:
    """Why some recipient may have the mail, or get it in this moment, although it is not finished; empty if nobody can."""
    status = body.get("status") or {}
    states = [one.get("result") for one in status.get("recipientResults") or ()]
    for state, told in (
        (RecipientState.ACCEPTED, "was accepted for {} of its recipients"),
        (RecipientState.UNCERTAIN, "may have been taken for {} of its recipients: a reply was lost"),
    ):
        if state in states:
            return told.format(states.count(state))
    if status.get("attempts"):
        return f"was tried {status['attempts']} times and may be on its way now"
    return "" if succeeded(body) else "was not told about yet, so it may be on its way now"
