"""The objects that the bench applies, as the API takes them (pure)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HOME = "watchbell-system"
LOGIN = "alerts@example.com"
TO = "oncall@example.com"
LABELS = {"app.kubernetes.io/component": "collector"}
HASH = "7c9f8d6b5"
IMAGE = "otel/opentelemetry-collector-contrib:0.138.0"
GROUP = "/apis/watchbell.dev/v1alpha1"


@dataclass(frozen=True, slots=True)
class Relay:
    """What a connector has to know of the sink."""

    port: int
    ca_pem: str
    password: str


def namespace(name: str) -> dict[str, Any]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def authority(relay: Relay) -> dict[str, Any]:
    """The sink's private CA."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "relay-ca"}, "data": {"ca.crt": relay.ca_pem}}


def secret(name: str, relay: Relay) -> dict[str, Any]:
    """A login, opted in and pinned to its host."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "watchbell.dev/smtp",
        "metadata": {"name": name, "annotations": {"watchbell.dev/allowed-hosts": "localhost"}},
        "stringData": {"username": LOGIN, "password": relay.password},
    }


def connector(name: str, relay: Relay, period_s: int = 600) -> dict[str, Any]:
    """A connector whose Secret has its name."""
    return {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "SmtpConnector",
        "metadata": {"name": name},
        "spec": {
            "host": "localhost",
            "port": relay.port,
            "tls": {"mode": "StartTLS", "caConfigMapRef": {"name": "relay-ca"}},
            "auth": {"secretRef": {"name": name}},
            "from": {"address": LOGIN, "name": "Collector alerts"},
            "probe": {"periodSeconds": period_s, "authPeriodSeconds": max(3600, period_s)},
        },
    }


def policy(connector_name: str) -> dict[str, Any]:
    """All collectors of a namespace, every detector on, every check of drift; a mail for each incident, at once."""
    single = {"waitSeconds": 0, "maxIncidentsPerMessage": 1}
    return _policy(connector_name, single, {"messagesPerHour": 100_000})


def grouping_policy(connector_name: str, wait_s: int) -> dict[str, Any]:
    """The same, with digests as they come, but for how long the first of them waits."""
    return _policy(connector_name, {"waitSeconds": wait_s}, {})


def _policy(connector_name: str, grouping: dict[str, int], throttle: dict[str, int]) -> dict[str, Any]:
    return {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "CollectorPolicy",
        "metadata": {"name": "collectors"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "grouping": grouping,
            "throttle": throttle,
            "routes": [{"name": "oncall", "connectorRef": {"name": connector_name}, "to": [TO]}],
        },
    }


def pod(workload: str, number: int = 0) -> dict[str, Any]:
    """A pod of the Deployment `workload` as its ReplicaSet would make it."""
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"{workload}-{HASH}",
        "uid": "00000000-0000-4000-8000-000000000000",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(workload, number),
            "labels": {**LABELS, "app": workload, "pod-template-hash": HASH},
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": "0123456789abcdef" * 4},
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": f"worker-{number % 100}", "restartPolicy": "Always", "containers": [_container()]},
    }


def _container() -> dict[str, Any]:
    return {
        "name": "otc-container",
        "image": IMAGE,
        "args": ["--config=/conf/collector.yaml"],
        "env": [{"name": f"SETTING_{index}", "value": f"value-{index}"} for index in range(10)],
        "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
    }


def pod_name(workload: str, number: int = 0) -> str:
    """The name of a workload's pod."""
    return f"{workload}-{HASH}-{number:05}"


def running(number: int = 0) -> dict[str, Any]:
    """The status of a pod that runs well, as a kubelet writes it."""
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": "2026-11-20T12:00:00Z"}
        for name in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    status = _container_status(number) | {
        "ready": True,
        "started": True,
        "state": {"running": {"startedAt": "2026-11-20T12:00:00Z"}},
    }
    return {
        "phase": "Running",
        "startTime": "2026-11-20T12:00:00Z",
        "podIP": "10.0.0.1",
        "conditions": conditions,
        "containerStatuses": [status],
    }


def crashed(number: int, finished_at: str) -> dict[str, Any]:
    """The status of a pod in a crash loop whose last run ended with exit code 1 at `finished_at` (RFC 3339)."""
    ended = {
        "exitCode": 1,
        "reason": "Error",
        "startedAt": finished_at,
        "finishedAt": finished_at,
        "containerID": f"containerd://{number:063d}a",
    }
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=otc-container"}
    status = _container_status(number) | {
        "ready": False,
        "started": False,
        "restartCount": 2,
        "state": {"waiting": waiting},
        "lastState": {"terminated": ended},
    }
    return {"phase": "Running", "containerStatuses": [status]}


def _container_status(number: int) -> dict[str, Any]:
    return {
        "name": "otc-container",
        "image": IMAGE,
        "imageID": f"docker.io/otel/opentelemetry-collector-contrib@sha256:{'ab' * 32}",
        "containerID": f"containerd://{number:064d}",
        "restartCount": 0,
        "lastState": {},
    }


def is_true(body: Mapping[str, Any], type_: str) -> bool:
    """Whether the object's condition `type_` is True."""
    conditions: Iterable[Mapping[str, Any]] = (body.get("status") or {}).get("conditions") or ()
    return any(one["type"] == type_ and one["status"] == "True" for one in conditions)


def workloads(prefix: str, count: int) -> Iterator[str]:
    """`prefix-0000`, `prefix-0001`, …"""
    return (f"{prefix}-{index:04}" for index in range(count))
