"""Prometheus metrics, all defined here; labels come from closed sets or from names of our own objects, never from addresses or server text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)
_STAGE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

BUILD_INFO = Gauge("watchbell_build_info", "The running version; always 1.", ["version", "python"], registry=REGISTRY)
LEADER = Gauge("watchbell_leader", "1 while this replica works, 0 while it stands by.", registry=REGISTRY)
KUBE_REQUESTS = Counter(
    "watchbell_kube_api_requests", "Requests to the API server.", ["verb", "code"], registry=REGISTRY
)
CONNECTOR_READY = Gauge(
    "watchbell_connector_ready",
    "1 if the connector is Ready, else 0.",
    ["kind", "namespace", "name"],
    registry=REGISTRY,
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
CERTIFICATE_EXPIRY = Gauge(
    "watchbell_connector_tls_certificate_expiry_timestamp_seconds",
    "When the server's certificate expires, as Unix time.",
    ["kind", "namespace", "name"],
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
MESSAGES = Counter(
    "watchbell_messages", "Messages that came to an end, by result and reason.", ["result", "reason"], registry=REGISTRY
)
SEND_SECONDS = Histogram(
    "watchbell_message_send_duration_seconds",
    "From the first byte of an attempt to its result.",
    buckets=_STAGE_BUCKETS,
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge("watchbell_message_queue_depth", "Messages that are not finished.", registry=REGISTRY)
QUEUE_OLDEST_SECONDS = Gauge(
    "watchbell_message_queue_oldest_seconds", "Age of the oldest unfinished message.", registry=REGISTRY
)
OPEN_INCIDENTS = Gauge("watchbell_incidents_open", "Incidents that are not resolved.", registry=REGISTRY)
WATCHED_PODS = Gauge("watchbell_watched_pods", "Pods that policies watch.", registry=REGISTRY)
WORK_FAILURES = Counter(
    "watchbell_work_failures",
    "Units of work that ended in an unexpected error and are tried again.",
    ["queue"],
    registry=REGISTRY,
)
