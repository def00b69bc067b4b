"""Prometheus metrics, all defined here; labels come from closed sets or from names of our own objects, never from addresses or server text.

Two kinds: counters and histograms are moved where something happens, an increment each. What *is there* (connectors, waiting messages, open
incidents) is a `Reading`: read from the live objects at each scrape, so that it costs nothing in between, and nothing of a deleted object stays.
`runtime` says from where each is read; docs/operations/metrics.md is made from this module.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

# A second series for each counter, which says only when the process first counted.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it

REGISTRY = CollectorRegistry(auto_describe=True)
_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WORK_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60)
_LAG_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

Sample = tuple[tuple[str, ...], float]
"""The labels' values, and the value."""


class WorkResult(StrEnum):
    """How a unit of work of a queue ended."""

    SUCCEEDED = "Succeeded"
    API_ERROR = "ApiError"
    ERROR = "Error"


class Reading(Collector):
    """A family that is read anew at each scrape; `read` gives its samples. `is_total` = it only grows."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...] = (), *, is_total: bool = False) -> None:
        self.labels = labels
        self.read: Callable[[], Iterable[Sample]] = tuple
        self._name = name
        self._documentation = documentation
        self._family = CounterMetricFamily if is_total else GaugeMetricFamily
        REGISTRY.register(self)

    def describe(self) -> Iterator[Metric]:
        """The family without samples."""
        yield self._family(self._name, self._documentation, labels=self.labels)

    def collect(self) -> Iterator[Metric]:
        """The family as of now."""
        family = self._family(self._name, self._documentation, labels=self.labels)
        for labels, value in self.read():
            family.add_metric(labels, value)
        yield family


ProcessCollector(registry=REGISTRY)

# --- the process

BUILD_INFO = Gauge("watchbell_build_info", "The running version; always 1.", ["version", "python"], registry=REGISTRY)
LEADER = Gauge("watchbell_leader", "1 while this replica works, 0 while it stands by.", registry=REGISTRY)
LOOP_LAG_SECONDS = Histogram(
    "watchbell_event_loop_lag_seconds",
    "How much later than it should the event loop woke, once a second: what held it up.",
    buckets=_LAG_BUCKETS,
    registry=REGISTRY,
)
STREAM_AGE_SECONDS = Reading(
    "watchbell_stream_age_seconds",
    "How long ago a stream that must never be silent for long (a watch by its kind, or the event loop) was heard of; the oldest of each name.",
    ("stream",),
)
KUBE_REQUESTS = Counter(
    "watchbell_kube_api_requests",
    "Requests to the API server; code 0 is no answer.",
    ["verb", "code"],
    registry=REGISTRY,
)
EVENTS_DROPPED = Reading(
    "watchbell_kube_events_dropped",
    "Events that were not written: the queue was full, too many about one object, or the API server refused.",
    ("cause",),
    is_total=True,
)
RECONCILES = Counter(
    "watchbell_reconcile",
    "Units of work by their queue and result (Succeeded, ApiError, Error); what failed is tried again.",
    ["queue", "result"],
    registry=REGISTRY,
)
RECONCILE_SECONDS = Histogram(
    "watchbell_reconcile_duration_seconds",
    "How long a unit of work took.",
    ["queue"],
    buckets=_WORK_BUCKETS,
    registry=REGISTRY,
)
WORK_FAILURES = Counter(
    "watchbell_work_failures",
    "Units of work that ended in an unexpected error and are tried again.",
    ["queue"],
    registry=REGISTRY,
)

# --- connectors

CONNECTOR_READY = Reading(
    "watchbell_connector_ready", "1 if the connector is Ready, else 0.", ("kind", "namespace", "name")
)
CONNECTOR_CONDITION = Reading(
    "watchbell_connector_condition",
    "Always 1: each condition of the connector as it stands, by its status and reason.",
    ("kind", "namespace", "name", "type", "status", "reason"),
)
CONNECTOR_PROBES = Counter(
    "watchbell_connector_probe", "Probes by result and reason.", ["result", "reason"], registry=REGISTRY
)
CONNECTOR_STAGE_SECONDS = Histogram(
    "watchbell_connector_probe_duration_seconds",
    "How long each stage of a probe took.",
    ["stage"],
    buckets=_STAGE_BUCKETS,
    registry=REGISTRY,
)
CERTIFICATE_EXPIRY = Reading(
    "watchbell_connector_tls_certificate_expiry_timestamp_seconds",
    "When the server's certificate expires, as Unix time.",
    ("kind", "namespace", "name"),
)
CREDENTIALS_ROTATED = Counter(
    "watchbell_connector_credentials_rotated",
    "How often the Secret of a connector was found changed.",
    registry=REGISTRY,
)
CONNECTOR_PROVEN = Gauge(
    "watchbell_connector_proven",
    "1 if the last fire drill was accepted in time, else 0.",
    ["kind", "namespace", "name"],
    registry=REGISTRY,
)
LAST_PROVEN = Gauge(
    "watchbell_connector_last_proven_delivery_timestamp_seconds",
    "When the server last accepted a fire drill, as Unix time.",
    ["kind", "namespace", "name"],
    registry=REGISTRY,
)

# --- the outbox

MESSAGES = Counter(
    "watchbell_messages", "Messages that came to an end, by result and reason.", ["result", "reason"], registry=REGISTRY
)
SEND_SECONDS = Histogram(
    "watchbell_message_send_duration_seconds",
    "From the first byte of an attempt to its result.",
    buckets=_STAGE_BUCKETS,
    registry=REGISTRY,
)
QUEUE_DEPTH = Reading(
    "watchbell_message_queue_depth",
    "Messages that are not finished: Ready for a sender, Sending, Held for their connector, or Scheduled for later (a retry, notBeforeTime).",
    ("state",),
)
QUEUE_OLDEST_SECONDS = Reading(
    "watchbell_message_queue_oldest_seconds",
    "Age of the oldest unfinished message in each state, from its creation or its notBeforeTime; 0 when there is none.",
    ("state",),
)

LIMIT_WAITS = Counter(
    "watchbell_message_limit_waits",
    "How often the next message of a connector had to wait for a limit.",
    ["limit"],
    registry=REGISTRY,
)
SLOWDOWNS = Counter(
    "watchbell_provider_slowdowns",
    "How often a provider made a login slow down (RateLimited) or wait (QuotaExceeded).",
    ["reason"],
    registry=REGISTRY,
)
FALLBACK_MESSAGES = Counter(
    "watchbell_fallback_messages", "Messages that were taken by the fallback of their connector.", registry=REGISTRY
)
BREAKER_OPENINGS = Counter(
    "watchbell_breaker_openings",
    "How often a relay was left alone for a while: it was not reached three times in a row, or refused the login.",
    ["cause"],
    registry=REGISTRY,
)
BREAKERS_OPEN = Gauge("watchbell_breakers_open", "Relays that are left alone at present.", registry=REGISTRY)

# --- collectors

OPEN_INCIDENTS = Gauge("watchbell_incidents_open", "Incidents that are not resolved.", registry=REGISTRY)
ALERTS_FIRING = Reading(
    "watchbell_alerts_firing",
    "Incidents that go on, by policy, kind and severity (the worst so far).",
    ("namespace", "policy", "kind", "severity"),
)
ALERTS_NOTIFIED = Counter(
    "watchbell_alerts_notified",
    "Tellings of incidents that were put into the outbox.",
    ["transition"],
    registry=REGISTRY,
)
ALERTS_SUPPRESSED = Counter(
    "watchbell_alerts_suppressed",
    "How often an incident began to be held back, by cause; none of it is lost.",
    ["cause"],
    registry=REGISTRY,
)
FINDINGS = Reading(
    "watchbell_findings",
    "What was found of pods and workloads, by what it did to its incident.",
    ("outcome",),
    is_total=True,
)
WATCHED_PODS = Gauge("watchbell_watched_pods", "Pods that policies watch.", registry=REGISTRY)
