"""Shapes: what pods of one template share is one object, what differs from pod to pod stays out, and no value of env is kept."""

import json
from typing import Any

import msgspec
import pytest

from driftrig import Body, collector, pod_of, template_body
from watchbell.collectors.seen.pod import Pod
from watchbell.collectors.seen.shape import Access, ConfigUse, Shape, Template, env_digest
from watchbell.collectors.seen.shaping import CACHE_MAX

SECRET = "canary-of-a-password"


def shape_of(**spec: Any) -> Shape:
    return msgspec.json.decode(json.dumps({"spec": spec}), type=Template).spec.shape


def one(**fields: Any) -> Shape:
    return shape_of(containers=[{"name": "collector"} | fields])


def test_pods_of_one_template_share_one_shape_though_their_token_volumes_differ() -> None:
    pods = [pod_of(template_body(), f"gateway-{number:05d}") for number in range(5)]
    assert len({id(pod.spec.shape) for pod in pods}) == 1
    assert len({id(pod.metadata.labels) for pod in pods}) == 1


def test_pods_of_a_stateful_set_share_one_shape_though_their_claims_and_labels_differ() -> None:
    def change(number: int) -> Any:
        def apply(body: Body) -> None:
            claim = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{number}"}}
            body["spec"]["volumes"].append(claim)
            body["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = f"gateway-{number}"
            body["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = str(number)
            body["metadata"]["annotations"]["cni.projectcalico.org/podIP"] = f"10.0.0.{number}"

        return apply

    pods = [pod_of(template_body(), f"gateway-{number}", change(number)) for number in range(5)]
    assert len({id(pod.spec.shape) for pod in pods}) == 1
    assert len({id(pod.metadata.labels) for pod in pods}) == 1
    assert len({id(pod.metadata.annotations) for pod in pods}) == 1


def test_pods_of_two_templates_have_two_shapes() -> None:
    other = template_body(collector(args=["--other"]))
    assert pod_of(template_body(), "a").spec.shape != pod_of(other, "a").spec.shape


@pytest.mark.parametrize(
    "change",
    [{"serviceAccountName": "x"}, {"hostNetwork": True}, {"hostPID": True}, {"securityContext": {"runAsUser": 1}}],
)
def test_what_a_template_says_of_the_whole_pod_is_part_of_the_shape(change: Body) -> None:
    assert shape_of(containers=[{"name": "x"}], **change) != shape_of(containers=[{"name": "x"}])


def test_a_decoded_pod_keeps_none_of_the_bytes() -> None:
    spec = pod_of(template_body()).spec
    assert not any(bytes(raw) for raw in (spec.raw_containers, spec.raw_init, spec.raw_volumes, spec.raw_security))


def test_a_copy_of_a_pod_keeps_its_shape() -> None:
    pod = pod_of(template_body())
    assert msgspec.structs.replace(pod.spec, node_name="other").shape is pod.spec.shape


def test_no_value_of_env_is_in_a_shape() -> None:
    found = one(env=[{"name": "PASSWORD", "value": SECRET}])
    assert SECRET not in repr(found)
    assert found.containers[0].env == (("PASSWORD", env_digest("PASSWORD", SECRET)),)


def test_env_is_known_by_name_value_and_source() -> None:
    def digest_of(**variable: Any) -> str:
        return one(env=[{"name": "A"} | variable]).containers[0].env[0][1]

    def key(**reference: Any) -> Body:
        return {"secretKeyRef": {"name": "s", "key": "k"} | reference}

    assert digest_of(value="1") != digest_of(value="2")
    assert digest_of(value="1") != env_digest("B", "1")
    assert digest_of(valueFrom=key()) == digest_of(valueFrom=key(optional=False))
    assert digest_of(valueFrom=key()) != digest_of(valueFrom=key(key="other"))
    assert digest_of(valueFrom=key()) != digest_of(valueFrom=key(optional=True))
    field = {"fieldRef": {"fieldPath": "status.podIP"}}
    api_says = {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}
    assert digest_of(valueFrom=field) == digest_of(valueFrom=api_says)


def test_of_a_variable_that_is_set_twice_the_last_counts_in_any_order_of_the_others() -> None:
    twice = one(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}])
    once = one(env=[{"name": "B", "value": "2"}, {"name": "A", "value": "3"}])
    assert twice.containers[0].env == once.containers[0].env


def test_each_way_to_read_a_config_map_is_known() -> None:
    found = shape_of(
        containers=[
            {
                "name": "c",
                "env": [{"name": "L", "valueFrom": {"configMapKeyRef": {"name": "levels", "key": "l"}}}],
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}}],
                "volumeMounts": [
                    {"name": "v", "mountPath": "/v"},
                    {"name": "v", "mountPath": "/x", "subPath": "x.yaml"},
                    {"name": "p", "mountPath": "/p"},
                ],
            }
        ],
        volumes=[
            {"name": "v", "configMap": {"name": "files"}},
            {
                "name": "p",
                "projected": {
                    "sources": [{"configMap": {"name": "part"}}, {"configMap": {"name": "kube-root-ca.crt"}}]
                },
            },
            {"name": "unused", "configMap": {"name": "nobody"}},
        ],
    )
    assert set(found.uses) == {
        ConfigUse("ConfigMap", "levels", "c", Access.ENV, "L", "l"),
        ConfigUse("ConfigMap", "settings", "c", Access.ENV_FROM, "P_"),
        ConfigUse("Secret", "keys", "c", Access.ENV_FROM),
        ConfigUse("ConfigMap", "files", "c", Access.MOUNT, "/v"),
        ConfigUse("ConfigMap", "files", "c", Access.SUB_PATH, "/x", "x.yaml"),
        ConfigUse("ConfigMap", "part", "c", Access.MOUNT, "/p"),
    }


def test_long_arguments_end_in_their_digest_so_that_equal_stays_equal() -> None:
    def args(text: str) -> tuple[str, ...]:
        return one(args=[text]).containers[0].args

    (cut,) = args("x" * 1_000_000)
    assert len(cut) < 5000
    assert args("x" * 1_000_000) == (cut,)
    assert args("x" * 999_999 + "y") != (cut,)


def test_annotations_are_few_and_short() -> None:
    body = template_body(annotations={f"a{number}": "x" * 10_000 for number in range(500)})
    annotations = pod_of(body).metadata.annotations
    assert len(annotations) == 256
    assert max(map(len, annotations.values())) < 300


def test_ten_times_more_templates_than_are_looked_up_are_all_right() -> None:
    found = [one(image=f"x:{number}") for number in range(CACHE_MAX * 2)]
    assert [shape.containers[0].image for shape in found[:2]] == ["x:0", "x:1"]
    assert one(image="x:0") == found[0]


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": None},
        {"containers": []},
        {"containers": [{"name": "x"}], "volumes": None, "initContainers": None, "securityContext": None},
        {},
    ],
)
def test_a_spec_with_nothing_in_it_decodes(spec: Body) -> None:
    pod = msgspec.json.decode(json.dumps({"metadata": {"name": "x"}, "spec": spec}), type=Pod)
    assert pod.spec.shape.uses == ()


def test_a_probe_that_may_kill_is_known() -> None:
    probe = {"httpGet": {"path": "/", "port": "health"}}
    assert one(livenessProbe=probe).containers[0].is_probed
    assert one(startupProbe=probe).containers[0].is_probed
    assert not one(readinessProbe=probe).containers[0].is_probed
