"""What is known of a ConfigMap (pure): a hash of its content, and since when each part of it is as it is.

Before: `configs` reads the object. After: `fleet` compares it with the start of the containers that read it. No value of it is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchbell.api.times import moment
from watchbell.collectors.baselines.digests import data_hash, text_hash

KEYS_MAX = 256
"""Of a ConfigMap with more, only the whole is known."""


class Unread(StrEnum):
    """Why nothing is known of a ConfigMap."""

    NOT_YET = "NotYet"
    MISSING = "Missing"
    FORBIDDEN = "Forbidden"
    TOO_MANY = "TooMany"


@dataclass(frozen=True, slots=True)
class Content:
    """One ConfigMap. `changed` is when its content last changed, `keys` the same for each entry, with the entry's hash."""

    data_hash: str
    changed: datetime
    keys: Mapping[str, tuple[str, datetime]]

    def changed_at(self, key: str) -> datetime:
        """When that entry last changed; for an empty or unknown key the whole."""
        known = self.keys.get(key)
        return known[1] if known is not None else self.changed


ConfigState = Content | Unread


def content_of(body: Mapping[str, Any], before: Content | None) -> Content | None:
    """What a ConfigMap's body tells; None when it says of no time at all (then nothing can be said of it).

    A change that was seen counts for the entries that changed. At first sight it is the latest time at which a manager wrote any data (managedFields;
    who only put an annotation on it has an entry without data), for every entry alike: managers are not kept by entry.
    """
    whole = data_hash(body)
    if before is not None and before.data_hash == whole:
        return before
    changed = _last_written(body.get("metadata") or {})
    if changed is None:
        return None
    entries = {**(body.get("data") or {}), **(body.get("binaryData") or {})}
    if len(entries) > KEYS_MAX:
        return Content(whole, changed, {})
    known = before.keys if before is not None else {}
    keys = {key: _entry(known.get(key), text_hash([key, value]), changed) for key, value in entries.items()}
    return Content(whole, changed, keys)


def _entry(known: tuple[str, datetime] | None, digest: str, changed: datetime) -> tuple[str, datetime]:
    return known if known is not None and known[0] == digest else (digest, changed)


def _last_written(metadata: Mapping[str, Any]) -> datetime | None:
    times = [*_data_times(metadata.get("managedFields") or ())]
    made = moment(metadata.get("creationTimestamp"))
    return max(times) if times else made


def _data_times(entries: Iterable[Mapping[str, Any]]) -> Iterable[datetime]:
    for entry in entries:
        fields = entry.get("fieldsV1") or {}
        time = moment(entry.get("time"))
        if time is not None and ("f:data" in fields or "f:binaryData" in fields):
            yield time
