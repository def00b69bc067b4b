"""From where each metric is read that says what is there now: the one place that knows both the metrics and the parts.

Before: `runtime` has built the parts. After: a scrape asks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from watchbell import metrics
from watchbell.collectors.reconcile import Collectors
from watchbell.connectors import gauges
from watchbell.connectors.reconcile import Connectors
from watchbell.kube.client import Client
from watchbell.kube.events import EventRecorder
from watchbell.metrics import Sample
from watchbell.outbox.outbox import Outbox

DROP_CAUSES = ("QueueFull", "Flood", "Refused")
"""The recorder also counts by what the API server said, which is no closed set: all of that is Refused."""


class Parts(Protocol):
    """What is read."""

    connectors: Connectors
    outbox: Outbox
    collectors: Collectors


def show(parts: Parts, client: Client, recorder: EventRecorder) -> None:
    """Have the metrics read these parts from now on."""
    connectors, collectors = parts.connectors, parts.collectors
    metrics.CONNECTOR_READY.read = lambda: gauges.readiness(connectors.known)
    metrics.CONNECTOR_CONDITION.read = lambda: gauges.conditions(connectors.known)
    metrics.CERTIFICATE_EXPIRY.read = lambda: gauges.expiries(connectors.known)
    metrics.QUEUE_DEPTH.read = lambda: (((state,), count) for state, (count, _) in parts.outbox.census.items())
    metrics.QUEUE_OLDEST_SECONDS.read = lambda: (((state,), age_s) for state, (_, age_s) in parts.outbox.census.items())
    metrics.ALERTS_FIRING.read = collectors.firing
    metrics.FINDINGS.read = lambda: counted(collectors.outcomes)
    metrics.STREAM_AGE_SECONDS.read = lambda: counted(client.pulses.ages())
    metrics.EVENTS_DROPPED.read = lambda: dropped(recorder.dropped)


def counted(figures: Mapping[str, float]) -> Iterable[Sample]:
    """One label, one value."""
    return (((name,), value) for name, value in figures.items())


def dropped(counts: Counter[str]) -> Iterable[Sample]:
    """Dropped Events by a closed set of causes, also those that never happened."""
    figures = dict.fromkeys(DROP_CAUSES, 0)
    for cause, count in counts.items():
        figures[cause if cause in figures else "Refused"] += count
    return counted(figures)
