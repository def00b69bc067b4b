"""What the tests of drift share: a template as people write it, and the pods that an API server and its webhooks make of it."""

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from podrig import EPOCH, container, owned_by, running_state, stamp
from watchbell.api.enums import DriftCheck
from watchbell.collectors.baselines.comparison import Marked
from watchbell.collectors.baselines.content import Content
from watchbell.collectors.baselines.drift import Desired, State, Subject, Verdict, assess
from watchbell.collectors.findings import Difference
from watchbell.collectors.rules import DriftRules
from watchbell.collectors.seen.pod import Owner, Pod
from watchbell.collectors.seen.shape import Template

GATEWAY = Owner("Deployment", "gateway")
IMAGE = "otel/opentelemetry-collector-contrib:0.110.0"
RULES = DriftRules(checks=frozenset(DriftCheck), config_hash_annotations=("checksum/config",), pending_s=0.0)
STARTED = EPOCH - timedelta(hours=1)
Body = dict[str, Any]


def collector(**fields: Any) -> Body:
    """The collector's container as a chart writes it."""
    return {
        "name": "collector",
        "image": IMAGE,
        "command": ["/otelcol-contrib"],
        "args": ["--config=/conf/relay.yaml"],
        "env": [
            {"name": "TENANT", "value": "blue"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "backend", "key": "token"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "resources": {"limits": {"memory": "1Gi", "cpu": "500m"}, "requests": {"memory": "512Mi"}},
        "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL", "NET_RAW"]}},
        "volumeMounts": [{"name": "config", "mountPath": "/conf"}],
    } | fields


def template_body(*containers: Body, annotations: Body | None = None, **spec: Any) -> Body:
    return {
        "metadata": {
            "labels": {"app": "gateway", "team": "observability"},
            "annotations": annotations if annotations is not None else {"checksum/config": "c0ffee"},
        },
        "spec": {
            "containers": list(containers) or [collector()],
            "volumes": [{"name": "config", "configMap": {"name": "gateway-config"}}],
        }
        | spec,
    }


def marked(body: Body) -> Marked:
    template = msgspec.json.decode(msgspec.json.encode(body), type=Template)
    return Marked(template.spec.shape, template.metadata.labels, template.metadata.annotations)


def pod_of(
    body: Body, name: str = "gateway-6b7f9-aaaaa", change: Callable[[Body], Any] = lambda pod: None, **status: Any
) -> Pod:
    """A healthy pod as the API server makes it of a template: with a token's volume, defaults, and a status. `change` has its body last."""
    made = copy.deepcopy(body)
    token = f"kube-api-access-{name[-5:]:x>5}"
    made["metadata"] |= {
        "name": name,
        "namespace": "obs",
        "uid": f"uid-{name}",
        "creationTimestamp": stamp(STARTED),
        "ownerReferences": [owned_by("ReplicaSet", "gateway-6b7f9")],
    }
    made["metadata"]["labels"]["pod-template-hash"] = "6b7f9"
    spec = made["spec"]
    spec["volumes"] = [
        *spec.get("volumes", ()),
        {
            "name": token,
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}}]
            },
        },
    ]
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("nodeName", "node-1")
    for part in spec["containers"]:
        part["volumeMounts"] = [
            *part.get("volumeMounts", ()),
            {"name": token, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ]
        for variable in part.get("env", ()):
            if "fieldRef" in variable.get("valueFrom", {}):
                variable["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    statuses = [
        container(part["name"], **({"image": part["image"], "state": running_state(STARTED)} | status))
        for part in spec["containers"]
    ]
    made |= {"apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running", "containerStatuses": statuses}}
    change(made)
    return msgspec.json.decode(msgspec.json.encode(made), type=Pod)


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def content(text: str = "a", changed: datetime = EPOCH - timedelta(days=1)) -> Content:
    return Content(digest(text), changed, {})


def subject(template: Body, *pods: Pod, **desired: Any) -> Subject:
    configs = desired.pop("configs", {})
    architectures = desired.pop("architectures", {})
    return Subject(GATEWAY, pods, Desired(marked(template), **desired), configs, architectures)


def judged(template: Body, *pods: Pod, rules: DriftRules = RULES, now: datetime = EPOCH, **desired: Any) -> Verdict:
    return assess(subject(template, *pods, **desired), rules, now)


def drift_of(
    template: Body, *pods: Pod, rules: DriftRules = RULES, now: datetime = EPOCH, **desired: Any
) -> tuple[Difference, ...]:
    """The differences; every state but drifted and clean is a mistake of the test."""
    verdict = judged(template, *pods, rules=rules, now=now, **desired)
    assert verdict.state in (State.DRIFTED, State.CLEAN), verdict
    return verdict.differences
