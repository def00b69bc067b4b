"""Connectors as metrics (pure): what stands in memory, read at a scrape.

Before: `reconcile` keeps in each record what was last judged. After: `metrics` asks. A standby judges nothing, so it shows nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from watchbell.api.times import moment
from watchbell.connectors.records import Record, Shown

Sample = tuple[tuple[str, ...], float]


@lru_cache(maxsize=1024)
def _shared(conditions: Shown) -> Shown:
    """A thousand connectors stand in a handful of ways: each way is kept once."""
    return conditions


def shown(conditions: Iterable[tuple[str, str, str]]) -> Shown:
    """Conditions (type, status, reason) as they are kept."""
    return _shared(tuple((str(kind), str(status), str(reason)) for kind, status, reason in conditions))


def shown_in(status: Mapping[str, Any]) -> tuple[Shown, float | None]:
    """The conditions, and when the certificate expires, of a status that an earlier process wrote."""
    conditions = status.get("conditions") or ()
    tls = (status.get("server") or {}).get("tls") or {}
    expiry = moment(tls.get("notAfter"))
    kept = shown((one.get("type", ""), one.get("status", ""), one.get("reason", "")) for one in conditions)
    return kept, expiry.timestamp() if expiry else None


def readiness(records: Iterable[Record]) -> Iterator[Sample]:
    """1 for each that is Ready, 0 for each that is not."""
    return ((_labels(record), float(record.ready)) for record in records if record.shown)


def conditions(records: Iterable[Record]) -> Iterator[Sample]:
    """1 for each condition as it stands."""
    return (((*_labels(record), *condition), 1.0) for record in records for condition in record.shown)


def expiries(records: Iterable[Record]) -> Iterator[Sample]:
    """When each server's certificate expires, as Unix time."""
    return ((_labels(one), one.certificate_expiry) for one in records if one.certificate_expiry is not None)


def _labels(record: Record) -> tuple[str, str, str]:
    return record.key.kind, record.key.namespace, record.key.name
