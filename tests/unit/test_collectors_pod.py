"""What is kept of a pod, and that ten thousand of them fit."""

import tracemalloc

import msgspec
import pytest

from podrig import EPOCH, container, owned_by, pod, pod_body, pod_condition, stamp, status_body
from watchbell.collectors.seen.pod import GOOD_CONDITIONS, Pod, is_sidecar, main_container, owner_of, spec_of

PAGE = msgspec.json.Decoder(list[Pod])
BYTES_PER_POD_MAX = 1100
"""What decoding keeps of a healthy pod on average; ten thousand are then some ten megabytes."""


def fleet(count):
    """Pods of one template as an API server lists them: each with its own name, uid, token volume and times."""
    bodies = []
    for number in range(count):
        body = pod_body(f"gateway-{number}")
        token = f"kube-api-access-{number:05}"
        body["metadata"] |= {"uid": f"8f14e45f-ceea-467f-a83c-{number:012}", "resourceVersion": str(10_000 + number)}
        body["metadata"]["annotations"] = {"checksum/config": "0123456789abcdef" * 4}
        body["spec"]["containers"][0] |= {
            "env": [{"name": f"SETTING_{n}", "value": f"hunter-{n}"} for n in range(10)],
            "volumeMounts": [{"name": token, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        }
        body["spec"]["volumes"] = [{"name": token, "projected": {"sources": []}}]
        good = [pod_condition(type_, "True") for type_ in GOOD_CONDITIONS]
        body["status"] = status_body(container(containerID=f"containerd://{number:064}"), conditions=good)
        bodies.append(body)
    return msgspec.json.encode(bodies)


def test_pods_of_one_template_share_what_the_template_says():
    first, *others = PAGE.decode(fleet(50))
    for other in others:
        assert other.spec.shape is first.spec.shape
        assert other.metadata.labels is first.metadata.labels
        assert other.metadata.annotations is first.metadata.annotations
        assert other.metadata.owner_references is first.metadata.owner_references


def test_ten_thousand_pods_cost_no_more_than_their_share():
    data = fleet(500)
    PAGE.decode(data)
    tracemalloc.start()
    try:
        kept = PAGE.decode(data)
        size_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size_bytes / len(kept) < BYTES_PER_POD_MAX


def test_no_value_of_an_env_variable_is_kept():
    (seen,) = PAGE.decode(fleet(1))
    assert "hunter" not in repr(seen)
    assert [name for name, _ in seen.spec.containers[0].env][:2] == ["SETTING_0", "SETTING_1"]


def test_of_a_healthy_pods_conditions_none_is_kept_and_of_others_what_says_something():
    assert (
        pod(status={"conditions": [pod_condition(type_, "True") for type_ in GOOD_CONDITIONS]}).status.conditions == ()
    )
    told = [
        pod_condition("Ready", "False", "ContainersNotReady", EPOCH),
        pod_condition("PodScheduled", "True"),
        pod_condition("DisruptionTarget", "True", "EvictionByEvictionAPI", message="x" * 5000),
        pod_condition("example.com/Wired", "True"),
    ]
    seen = pod(status={"conditions": told})
    assert [one.type for one in seen.status.conditions] == ["Ready", "DisruptionTarget", "example.com/Wired"]
    assert seen.status.condition("Ready").last_transition_time == stamp(EPOCH)
    assert len(seen.status.condition("DisruptionTarget").message) == 1024
    assert seen.status.condition("PodScheduled") is None


TWO = {"containers": [{"name": "collector"}, {"name": "reloader"}]}


@pytest.mark.parametrize(
    ("annotations", "main"),
    [
        ({}, "collector"),
        ({"kubectl.kubernetes.io/default-container": "reloader"}, "reloader"),
        ({"kubectl.kubernetes.io/default-container": "gone"}, "collector"),
    ],
)
def test_the_main_container_is_the_one_that_kubectl_takes(annotations, main):
    assert main_container(pod(spec=TWO, annotations=annotations)) == main


def test_a_pod_of_nothing_has_no_main_container():
    assert main_container(pod(spec={"containers": []})) == ""


def test_a_sidecar_is_an_init_container_that_goes_on():
    spec = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "fetch"}]}
    seen = pod(spec=spec)
    assert [is_sidecar(seen, name) for name in ("proxy", "fetch", "collector", "unknown")] == [
        True,
        False,
        False,
        False,
    ]
    assert spec_of(seen, "unknown") is None


def test_what_an_owner_calls_itself_is_cut_to_what_an_incident_holds():
    seen = pod(ownerReferences=[owned_by("K" * 900, "n" * 900)])
    assert [len(part) for part in owner_of(seen)] == [63, 253]
