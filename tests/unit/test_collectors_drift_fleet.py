"""What only the pods of a workload together tell: version skew, replicas, uncovered nodes, configuration that nobody read again."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from driftrig import (
    EPOCH,
    GATEWAY,
    RULES,
    STARTED,
    Body,
    collector,
    content,
    digest,
    drift_of,
    judged,
    pod_of,
    template_body,
)
from podrig import container, ended, pod_condition, running_state, stamp
from watchbell.api.enums import DriftCheck
from watchbell.collectors.baselines.content import Content, Unread, content_of
from watchbell.collectors.baselines.drift import State, Subject, assess
from watchbell.collectors.findings import Difference
from watchbell.collectors.rules import DriftRules, Range
from watchbell.collectors.seen.pod import Pod

Change = Callable[[Body], Any]
SAID = template_body()


def running(name: str, letter: str, **fields: Any) -> Pod:
    return pod_of(SAID, name, imageID=f"docker.io/otel/x@{digest(letter)}", **fields)


# --- version skew


def test_one_tag_with_two_digests_in_a_fleet_is_drift_of_the_fewer() -> None:
    verdict = judged(SAID, running("a", "a"), running("b", "a"), running("c", "c"))
    assert verdict.differences == (
        Difference(DriftCheck.IMAGE_DIGEST, "containers[collector].imageDigest", digest("a"), digest("c")),
    )
    assert verdict.pods == ("c",)


NOT_SKEWED: dict[str, tuple[Pod, ...]] = {
    "one digest by several mirrors": (
        running("a", "a"),
        pod_of(SAID, "b", imageID=f"mirror.example.com/otel/x@{digest('a')}"),
        pod_of(SAID, "c", imageID=f"docker-pullable://otel/x@{digest('a')}"),
    ),
    "a bare image id": (
        running("a", "a"),
        pod_of(SAID, "b", imageID=digest("b")),
        pod_of(SAID, "c", imageID=f"docker://{digest('c')}"),
    ),
    "no image id yet": (running("a", "a"), pod_of(SAID, "b", imageID="")),
    "a pod that is not ready": (running("a", "a"), running("b", "b", ready=False)),
}


@pytest.mark.parametrize("pods", NOT_SKEWED.values(), ids=NOT_SKEWED)
def test_image_ids_that_say_nothing_else_are_no_skew(pods: tuple[Pod, ...]) -> None:
    assert drift_of(SAID, *pods) == ()


def test_on_nodes_of_another_architecture_another_digest_is_right() -> None:
    """Some runtimes tell the digest of the platform's manifest instead of the index."""

    def on(node: str) -> Change:
        return lambda body: body["spec"].__setitem__("nodeName", node)

    pods = (running("a", "a", change=on("amd")), running("b", "b", change=on("arm")))
    assert drift_of(SAID, *pods, architectures={"amd": "amd64", "arm": "arm64"}) == ()
    assert len(drift_of(SAID, *pods, architectures={"amd": "amd64", "arm": "amd64"})) == 1


def test_an_image_that_is_named_by_digest_cannot_skew() -> None:
    said = template_body(collector(image=f"otel/x@{digest('f')}"))
    pods = [pod_of(said, name, imageID=f"otel/x@{digest(name)}") for name in "ab"]
    assert drift_of(said, *pods) == ()


# --- replicas


@pytest.mark.parametrize(
    ("allowed", "count", "expected"),
    [
        (Range(2, 5), 6, "2 to 5"),
        (Range(2, 5), 1, "2 to 5"),
        (Range(2, None), 1, "at least 2"),
        (Range(None, 5), 6, "at most 5"),
        (Range(3, 3), 2, "3"),
    ],
)
def test_replicas_scaled_by_hand_out_of_their_range_are_drift(allowed: Range, count: int, expected: str) -> None:
    found = drift_of(SAID, pod_of(SAID), rules=replace(RULES, replicas=allowed), replicas=count)
    assert found == (Difference(DriftCheck.REPLICAS, "replicas", expected, str(count)),)


def test_an_autoscaler_that_changes_replicas_is_no_drift() -> None:
    assert drift_of(SAID, pod_of(SAID), replicas=40) == ()
    assert drift_of(SAID, pod_of(SAID), replicas=40, rules=replace(RULES, replicas=Range(2, 50))) == ()


def test_without_a_workload_the_pods_are_counted() -> None:
    rules = replace(RULES, replicas=Range(2, None))
    verdict = assess(Subject(GATEWAY, (pod_of(SAID),), None), rules, EPOCH)
    assert [one.actual for one in verdict.differences] == ["1"]


# --- nodes


def on_node(number: int, *, made: datetime = STARTED, **status: Any) -> Pod:
    def change(body: Body) -> None:
        body["spec"]["nodeName"] = f"node-{number}"
        body["metadata"]["creationTimestamp"] = stamp(made)

    return pod_of(SAID, f"agent-{number:05d}", change, **status)


def test_nodes_where_no_collector_is_ready_are_drift_and_named() -> None:
    pods = (on_node(1), on_node(2, ready=False))
    verdict = judged(SAID, *pods, nodes_wanted=4, nodes_ready=1)
    assert verdict.differences == (
        Difference(
            DriftCheck.NODE_COVERAGE,
            "nodes",
            "a ready pod on each of 4 nodes",
            "3 uncovered: not ready on node-2, no pod on 2 of them",
        ),
    )
    assert verdict.pods == ("agent-00002",)


def test_a_pod_of_a_lost_node_is_not_ready_though_its_containers_still_read_so() -> None:
    def lose(body: Body) -> None:
        body["spec"]["nodeName"] = "node-2"
        body["status"]["conditions"] = [pod_condition("Ready")]

    verdict = judged(SAID, on_node(1), pod_of(SAID, "agent-00002", lose), nodes_wanted=2, nodes_ready=1)
    assert (verdict.differences[0].actual, verdict.pods) == ("1 uncovered: not ready on node-2", ("agent-00002",))


def test_a_covered_daemon_set_is_no_drift() -> None:
    assert drift_of(SAID, on_node(1), on_node(2), nodes_wanted=2, nodes_ready=2) == ()


def test_a_new_node_has_three_minutes_before_it_counts() -> None:
    young = on_node(2, made=EPOCH - timedelta(seconds=100), ready=False)
    verdict = judged(SAID, on_node(1), young, nodes_wanted=2, nodes_ready=1)
    assert (verdict.state, verdict.again_in_s) == (State.CLEAN, 80.0)
    later = judged(SAID, on_node(1), young, nodes_wanted=2, nodes_ready=1, now=EPOCH + timedelta(seconds=80))
    assert later.state is State.DRIFTED


def test_many_uncovered_nodes_are_counted_and_a_few_named() -> None:
    pods = [on_node(number, ready=False) for number in range(1, 9)]
    (found,) = drift_of(SAID, *pods, nodes_wanted=8, nodes_ready=0)
    assert found.actual == "8 uncovered: not ready on node-1, node-2, node-3, node-4, node-5 and 3 more"


# --- stale configuration

CHANGED = STARTED + timedelta(minutes=10)
"""After the containers started, and long before now."""
STALE = {"gateway-config": content("b", CHANGED)}


def by_env(**source: Any) -> Body:
    return template_body(collector(volumeMounts=[], **source))


ENV_KEY = by_env(env=[{"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "gateway-config", "key": "level"}}}])
ENV_FROM = by_env(envFrom=[{"configMapRef": {"name": "gateway-config"}}])
SUB_PATH = template_body(
    collector(volumeMounts=[{"name": "config", "mountPath": "/conf/relay.yaml", "subPath": "relay.yaml"}])
)
PROJECTED = template_body(
    volumes=[{"name": "config", "projected": {"sources": [{"configMap": {"name": "gateway-config"}}]}}]
)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (SAID, "older: mounted, and nothing known reloads it"),
        (PROJECTED, "older: mounted, and nothing known reloads it"),
        (SUB_PATH, "older: a subPath mount is never updated"),
        (ENV_KEY, "older: env is read at the start only"),
        (ENV_FROM, "older: env is read at the start only"),
    ],
)
def test_a_config_map_that_changed_after_the_start_and_was_not_read_again_is_drift(said: Body, why: str) -> None:
    path = "containers[collector].configMap[gateway-config]"
    found = drift_of(said, pod_of(said), configs=STALE)
    assert found == (Difference(DriftCheck.STALE_CONFIG, path, f"as of {stamp(CHANGED)}", why),)


def test_a_container_that_started_after_the_change_is_not_stale() -> None:
    configs = {"gateway-config": content("b", STARTED - timedelta(seconds=1))}
    for said in (SAID, SUB_PATH, ENV_KEY, ENV_FROM):
        assert drift_of(said, pod_of(said), configs=configs) == ()


def test_a_mount_has_the_time_that_the_kubelet_takes_and_env_has_not() -> None:
    changed = EPOCH - timedelta(seconds=30)
    configs = {"gateway-config": content("b", changed)}
    verdict = judged(SAID, pod_of(SAID), configs=configs)
    assert (verdict.state, verdict.again_in_s) == (State.CLEAN, 90.0)
    assert judged(SAID, pod_of(SAID), configs=configs, now=EPOCH + timedelta(seconds=90)).state is State.DRIFTED
    assert judged(ENV_KEY, pod_of(ENV_KEY), configs=configs).state is State.DRIFTED
    assert judged(SUB_PATH, pod_of(SUB_PATH), configs=configs).state is State.DRIFTED


RELOADED: dict[str, Body] = {
    "Vector by an argument": template_body(collector(args=["--watch-config"])),
    "Vector by env": template_body(collector(env=[{"name": "VECTOR_WATCH_CONFIG", "value": "true"}])),
    "Telegraf": template_body(collector(args=["--watch-config=inotify"])),
    "Fluent Bit's hot reload": template_body(collector(args=["-Y"])),
    "Fluent Bit's hot reload in full": template_body(collector(args=["--enable-hot-reload"])),
    "a sidecar config-reloader": template_body(collector(), {"name": "config-reloader", "image": "r:1"}),
    "a sidecar configmap-reload": template_body(collector(), {"name": "alloy-configmap-reload", "image": "r:1"}),
    "a reloader by its image": template_body(
        collector(), {"name": "x", "image": "quay.io/p/prometheus-config-reloader:1"}
    ),
    "a native sidecar": template_body(
        initContainers=[{"name": "config-reloader", "image": "r:1", "restartPolicy": "Always"}]
    ),
}


@pytest.mark.parametrize("said", RELOADED.values(), ids=RELOADED)
def test_a_mounted_config_map_that_is_known_to_be_reloaded_is_not_stale(said: Body) -> None:
    assert drift_of(said, pod_of(said), configs=STALE) == ()


def test_a_reloader_does_not_help_env() -> None:
    said = template_body(
        collector(volumeMounts=[], args=["--watch-config"], envFrom=[{"configMapRef": {"name": "gateway-config"}}])
    )
    assert len(drift_of(said, pod_of(said), configs=STALE)) == 1


def test_vectors_switch_must_be_on() -> None:
    said = template_body(collector(env=[{"name": "VECTOR_WATCH_CONFIG", "value": "false"}]))
    assert len(drift_of(said, pod_of(said), configs=STALE)) == 1


def test_a_container_that_restarted_in_its_pod_has_read_its_env_again() -> None:
    pod = pod_of(ENV_KEY, state=running_state(CHANGED + timedelta(seconds=1)))
    assert drift_of(ENV_KEY, pod, configs=STALE) == ()


def test_an_init_container_that_copied_an_old_config_map_makes_the_pod_stale() -> None:
    said = template_body(
        collector(volumeMounts=[]),
        initContainers=[{"name": "render", "image": "r:1", "volumeMounts": [{"name": "config", "mountPath": "/in"}]}],
    )

    def done(at: datetime) -> Change:
        status = container("render", state=ended(at, code=0, reason="Completed"))
        return lambda body: body["status"].__setitem__("initContainerStatuses", [status])

    (found,) = drift_of(said, pod_of(said, change=done(STARTED)), configs=STALE)
    assert found.path == "initContainers[render].configMap[gateway-config]"
    assert drift_of(said, pod_of(said, change=done(CHANGED + timedelta(seconds=1))), configs=STALE) == ()


def test_config_maps_of_known_sidecars_are_their_own_business() -> None:
    mount = {"name": "istio-proxy", "image": "i:1", "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]}

    def inject(body: Body) -> None:
        body["spec"]["containers"].append(mount)
        body["spec"]["volumes"].append({"name": "ca", "configMap": {"name": "istio-ca-root-cert"}})
        body["status"]["containerStatuses"].append(container("istio-proxy", state=running_state(STARTED)))

    configs = {"istio-ca-root-cert": content("b", CHANGED)}
    assert drift_of(SAID, pod_of(SAID, change=inject), configs=configs) == ()


def test_a_collector_that_is_called_like_an_injected_one_is_nobodys_sidecar() -> None:
    said = template_body(collector(name="otc-container"))

    def rename(body: Body) -> None:
        body["status"]["containerStatuses"] = [container("otc-container", state=running_state(STARTED))]

    (found,) = drift_of(said, pod_of(said, change=rename), configs=STALE)
    assert (found.check, found.path) == (
        DriftCheck.STALE_CONFIG,
        "containers[otc-container].configMap[gateway-config]",
    )


@pytest.mark.parametrize("state", list(Unread))
def test_of_a_config_map_that_was_not_read_nothing_is_said(state: Unread) -> None:
    assert drift_of(SAID, pod_of(SAID), configs={"gateway-config": state}) == ()


def test_only_the_entry_that_a_variable_reads_counts_once_changes_were_seen() -> None:
    old, new = STARTED - timedelta(days=1), CHANGED
    meta = {"managedFields": [{"manager": "helm", "time": stamp(old), "fieldsV1": {"f:data": {}}}]}
    first = content_of({"metadata": meta, "data": {"level": "info", "other": "1"}}, None)
    later = {"managedFields": [{"manager": "helm", "time": stamp(new), "fieldsV1": {"f:data": {}}}]}
    second = content_of({"metadata": later, "data": {"level": "info", "other": "2"}}, first)
    third = content_of({"metadata": later, "data": {"level": "debug", "other": "2"}}, first)
    assert drift_of(ENV_KEY, pod_of(ENV_KEY), configs={"gateway-config": second}) == ()
    assert len(drift_of(ENV_KEY, pod_of(ENV_KEY), configs={"gateway-config": third})) == 1
    assert len(drift_of(ENV_FROM, pod_of(ENV_FROM), configs={"gateway-config": second})) == 1


# --- what a ConfigMap tells


def managed(*entries: tuple[str, datetime, str]) -> Body:
    fields = [{"manager": who, "time": stamp(at), "fieldsV1": {what: {}}} for who, at, what in entries]
    return {"metadata": {"creationTimestamp": stamp(STARTED), "managedFields": fields}, "data": {"a": "1"}}


def test_who_only_annotates_a_config_map_has_not_changed_it() -> None:
    body = managed(("helm", STARTED, "f:data"), ("kubectl-annotate", CHANGED, "f:metadata"))
    found = content_of(body, None)
    assert found is not None
    assert found.changed == STARTED


def test_the_latest_writer_of_data_says_when_it_changed() -> None:
    found = content_of(managed(("helm", STARTED, "f:data"), ("edit", CHANGED, "f:binaryData")), None)
    assert found is not None
    assert found.changed == CHANGED


def test_the_same_content_written_again_has_not_changed() -> None:
    before = content_of(managed(("helm", STARTED, "f:data")), None)
    assert content_of(managed(("helm", CHANGED, "f:data")), before) is before


def test_without_managed_fields_the_time_of_creation_counts_and_without_that_nothing() -> None:
    found = content_of(managed(), None)
    assert found is not None
    assert found.changed == STARTED
    assert content_of({"metadata": {}, "data": {"a": "1"}}, None) is None


def test_of_a_config_map_with_thousands_of_entries_only_the_whole_is_known() -> None:
    body = managed(("helm", STARTED, "f:data")) | {"data": {str(number): "x" for number in range(1000)}}
    found = content_of(body, None)
    assert isinstance(found, Content)
    assert found.keys == {}


def test_no_content_of_a_config_map_is_kept() -> None:
    found = content_of(managed(("helm", STARTED, "f:data")) | {"data": {"a": "canary-value"}}, None)
    assert "canary" not in repr(found)


# --- speed


def test_a_look_at_a_thousand_pods_costs_less_than_fifty_microseconds_a_pod() -> None:
    pods = tuple(running(f"pod-{number:05d}", "a") for number in range(1000))
    rules = DriftRules(checks=frozenset(DriftCheck), config_hash_annotations=("checksum/config",))
    best = 1.0
    for _ in range(5):
        started = time.process_time()
        assert judged(SAID, *pods, configs=STALE, rules=rules).state is State.PENDING
        best = min(best, time.process_time() - started)
    assert best / len(pods) < 50e-6
