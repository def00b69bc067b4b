"""Drift from the owner's template: every trap that must stay silent, and every change that must not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from driftrig import EPOCH, GATEWAY, IMAGE, RULES, Body, collector, drift_of, judged, pod_of, subject, template_body
from watchbell.api.enums import DriftCheck, IncidentKind
from watchbell.collectors.baselines.drift import Motion, State, Subject, assess, finding
from watchbell.collectors.findings import Difference

Change = Callable[[Body], Any]


def first(body: Body) -> Body:
    return body["spec"]["containers"][0]


def add_container(name: str, image: str = "sidecar:1", **fields: Any) -> Change:
    return lambda body: body["spec"]["containers"].append({"name": name, "image": image} | fields)


def add_init(name: str) -> Change:
    return lambda body: body["spec"].setdefault("initContainers", []).append({"name": name, "image": "init:1"})


def add_env(name: str, value: str) -> Change:
    return lambda body: first(body)["env"].append({"name": name, "value": value})


def set_env(name: str, value: str) -> Change:
    def change(body: Body) -> None:
        first(body)["env"] = [item for item in first(body)["env"] if item["name"] != name] + [
            {"name": name, "value": value}
        ]

    return change


def set_in(part: str, value: Any) -> Change:
    return lambda body: first(body).__setitem__(part, value)


def set_label(key: str, value: str) -> Change:
    return lambda body: body["metadata"]["labels"].__setitem__(key, value)


def annotate(key: str, value: str) -> Change:
    return lambda body: body["metadata"]["annotations"].__setitem__(key, value)


def add_volume(name: str) -> Change:
    return lambda body: body["spec"]["volumes"].append({"name": name, "emptyDir": {}})


def debug(body: Body) -> None:
    body["spec"]["ephemeralContainers"] = [{"name": "debugger", "image": "busybox", "targetContainerName": "collector"}]
    body["status"]["ephemeralContainerStatuses"] = [{"name": "debugger", "image": "busybox", "ready": False}]


QUIET: dict[str, Change] = {
    "a token of its own": lambda body: None,
    "Istio's proxy": add_container("istio-proxy"),
    "Istio's init container": add_init("istio-init"),
    "Istio's proxy as a native sidecar": add_init("istio-proxy"),
    "Linkerd's proxy": add_container("linkerd-proxy"),
    "Linkerd's init container": add_init("linkerd-init"),
    "the Vault agent": add_container("vault-agent"),
    "the Vault agent's init container": add_init("vault-agent-init"),
    "the OTel operator's sidecar": add_container("otc-container"),
    "OTel auto-instrumentation for Java": add_init("opentelemetry-auto-instrumentation-java"),
    "Dapr": add_container("daprd"),
    "an injected volume": add_volume("istio-envoy"),
    "env of a cloud identity webhook": add_env("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
    "env of OTel auto-instrumentation": add_env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4317"),
    "env that nobody asked for": add_env("INJECTED_BY_SOMEBODY", "1"),
    "the default service account": lambda body: body["spec"].__setitem__("serviceAccountName", "default"),
    "defaults of a LimitRange": set_in(
        "resources",
        {
            "limits": {"memory": "1Gi", "cpu": "500m", "ephemeral-storage": "1Gi"},
            "requests": {"memory": "512Mi", "cpu": "100m"},
        },
    ),
    "quantities in other spellings": set_in(
        "resources", {"limits": {"memory": "1024Mi", "cpu": "0.5"}, "requests": {"memory": "536870912"}}
    ),
    "an ephemeral debug container": debug,
    "labels of controllers": set_label("controller-revision-hash", "5d8"),
    "annotations of a network plug-in": annotate("cni.projectcalico.org/podIP", "10.0.0.7/32"),
    "a digest that admission added to the tag": set_in("image", f"{IMAGE}@sha256:{'a' * 64}"),
    "a digest that admission put in the tag's place": set_in("image", f"{IMAGE.rpartition(':')[0]}@sha256:{'a' * 64}"),
    "resources that the VPA set": lambda body: (
        set_in("resources", {"limits": {"memory": "4Gi"}})(body),
        annotate("vpaUpdates", "Pod resources updated by gateway: container 0: memory request")(body),
    ),
    "a user that OpenShift's SCC gave it": lambda body: (
        first(body)["securityContext"].__setitem__("runAsUser", 1000650000),
        body["spec"].__setitem__("securityContext", {"fsGroup": 1000650000, "seLinuxOptions": {"level": "s0:c25,c20"}}),
    ),
    "the command behind bank-vaults' wrapper": lambda body: (
        set_in("command", ["/vault/vault-env"])(body),
        set_in("args", ["/otelcol-contrib", "--config=/conf/relay.yaml"])(body),
    ),
    "capabilities in another order": lambda body: first(body)["securityContext"]["capabilities"]["drop"].reverse(),
}


@pytest.mark.parametrize("change", QUIET.values(), ids=QUIET)
def test_what_the_template_does_not_say_is_no_drift(change: Change) -> None:
    assert drift_of(template_body(), pod_of(template_body(), change=change)) == ()


@pytest.mark.parametrize(
    ("name", "own", "addition"),
    [
        ("JAVA_TOOL_OPTIONS", "-Xmx1g", " -javaagent:/otel-auto-instrumentation-java/javaagent.jar"),
        ("JAVA_TOOL_OPTIONS", "-Xmx1g", " -javaagent:/otel-auto-instrumentation-java-collector/javaagent.jar"),
        (
            "NODE_OPTIONS",
            "--max-old-space-size=512",
            " --require /otel-auto-instrumentation-nodejs/autoinstrumentation.js",
        ),
        ("RUBYOPT", "-W0", " -r/otel-auto-instrumentation-ruby/src/autoinstrumentation.rb"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=obs", ",k8s.pod.name=$(POD),service.instance.id=a.b,service.version=1"),
    ],
)
def test_what_auto_instrumentation_appends_to_a_variable_is_no_drift_and_another_value_is(
    name: str, own: str, addition: str
) -> None:
    said = template_body(collector(env=[{"name": name, "value": own}]))
    assert drift_of(said, pod_of(said, change=set_env(name, own + addition))) == ()
    changed = drift_of(said, pod_of(said, change=set_env(name, "other" + addition)))
    assert changed == (
        Difference(DriftCheck.ENV, f"containers[collector].env[{name}]", "as in the template", "differs"),
    )


def test_what_auto_instrumentation_prepends_to_the_python_path_is_no_drift() -> None:
    said = template_body(collector(env=[{"name": "PYTHONPATH", "value": "/app"}]))
    root = "/otel-auto-instrumentation-python"
    value = f"{root}/opentelemetry/instrumentation/auto_instrumentation:/app:{root}"
    assert drift_of(said, pod_of(said, change=set_env("PYTHONPATH", value))) == ()


def without(part: str) -> Change:
    return lambda body: first(body).__delitem__(part)


DRIFTED: dict[str, tuple[Change, DriftCheck, str, str, str]] = {
    "kubectl set image on the pod": (
        set_in("image", "evil/collector:2"), DriftCheck.IMAGE, "containers[collector].image", IMAGE, "evil/collector:2",
    ),
    "another tag with a digest": (
        set_in("image", f"otel/opentelemetry-collector-contrib:0.99.0@sha256:{'a' * 64}"),
        DriftCheck.IMAGE, "containers[collector].image", IMAGE, f"otel/opentelemetry-collector-contrib:0.99.0@sha256:{'a' * 64}",
    ),
    "another command": (
        set_in("command", ["/bin/sh", "-c", "sleep 1d"]),
        DriftCheck.COMMAND, "containers[collector].command", "/otelcol-contrib", "/bin/sh -c 'sleep 1d'",
    ),
    "another argument": (
        set_in("args", ["--config=/tmp/other.yaml"]),
        DriftCheck.ARGS, "containers[collector].args", "--config=/conf/relay.yaml", "--config=/tmp/other.yaml",
    ),
    "no arguments": (without("args"), DriftCheck.ARGS, "containers[collector].args", "--config=/conf/relay.yaml", "(none)"),
    "another value of a variable": (
        set_env("TENANT", "green"), DriftCheck.ENV, "containers[collector].env[TENANT]", "as in the template", "differs",
    ),
    "a value in place of a reference": (
        set_env("TOKEN", "s3cret"), DriftCheck.ENV, "containers[collector].env[TOKEN]", "as in the template", "differs",
    ),
    "a variable taken away": (
        lambda body: first(body)["env"].pop(0), DriftCheck.ENV, "containers[collector].env[TENANT]", "as in the template", "missing",
    ),
    "an in-place resize": (
        set_in("resources", {"limits": {"memory": "8Gi", "cpu": "500m"}, "requests": {"memory": "512Mi"}}),
        DriftCheck.RESOURCES, "containers[collector].resources.limits.memory", "1Gi", "8Gi",
    ),
    "a limit taken away": (
        set_in("resources", {"limits": {"memory": "1Gi"}, "requests": {"memory": "512Mi"}}),
        DriftCheck.RESOURCES, "containers[collector].resources.limits.cpu", "500m", "none",
    ),
    "capabilities given back": (
        set_in("securityContext", {"runAsNonRoot": True, "capabilities": {"drop": ["NET_RAW"]}}),
        DriftCheck.SECURITY_CONTEXT, "containers[collector].securityContext.capabilities.drop", '["ALL","NET_RAW"]', '["NET_RAW"]',
    ),
    "root allowed": (
        set_in("securityContext", {"capabilities": {"drop": ["ALL", "NET_RAW"]}}),
        DriftCheck.SECURITY_CONTEXT, "containers[collector].securityContext.runAsNonRoot", "true", "unset",
    ),
    "a label edited by hand": (
        set_label("team", "nobody"), DriftCheck.LABELS, "labels[team]", "observability", "nobody",
    ),
    "a label taken away": (
        lambda body: body["metadata"]["labels"].pop("team"), DriftCheck.LABELS, "labels[team]", "observability", "missing",
    ),
    "a container that nobody asked for": (
        add_container("miner", "evil/miner:1"),
        DriftCheck.UNEXPECTED_CONTAINER, "containers[miner]", "no such container", "evil/miner:1",
    ),
    "an init container that nobody asked for": (
        add_init("dropper"), DriftCheck.UNEXPECTED_CONTAINER, "initContainers[dropper]", "no such container", "init:1",
    ),
    "a hash annotation of an older roll-out": (
        annotate("checksum/config", "0ld"), DriftCheck.CONFIG_HASH_ANNOTATION, "annotations[checksum/config]", "c0ffee", "0ld",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", DRIFTED.values(), ids=DRIFTED)
def test_what_the_template_says_must_hold(row: tuple[Change, DriftCheck, str, str, str]) -> None:
    change, check, path, expected, actual = row
    pod = pod_of(template_body(), change=change)
    assert drift_of(template_body(), pod) == (Difference(check, path, expected, actual),)


@pytest.mark.parametrize("row", DRIFTED.values(), ids=DRIFTED)
def test_a_check_that_is_not_asked_for_finds_nothing(row: tuple[Change, DriftCheck, str, str, str]) -> None:
    pod = pod_of(template_body(), change=row[0])
    assert drift_of(template_body(), pod, rules=replace(RULES, checks=frozenset(DriftCheck) - {row[1]})) == ()


def test_a_container_that_the_pod_lacks_is_drift() -> None:
    said = template_body(collector(), {"name": "reloader", "image": "r:1"})
    pod = pod_of(said, change=lambda body: body["spec"]["containers"].pop())
    assert drift_of(said, pod) == (
        Difference(DriftCheck.UNEXPECTED_CONTAINER, "containers[reloader]", "a container of that name", "missing"),
    )


def test_another_service_account_is_drift() -> None:
    said = template_body(serviceAccountName="gateway")
    pod = pod_of(said, change=lambda body: body["spec"].__setitem__("serviceAccountName", "admin"))
    assert drift_of(said, pod) == (Difference(DriftCheck.SERVICE_ACCOUNT, "serviceAccountName", "gateway", "admin"),)


def test_a_source_of_env_that_is_gone_is_drift() -> None:
    said = template_body(collector(envFrom=[{"configMapRef": {"name": "settings"}}]))
    pod = pod_of(said, change=without("envFrom"))
    assert drift_of(said, pod) == (
        Difference(DriftCheck.ENV, "containers[collector].envFrom", "ConfigMap/settings", "(none)"),
    )


@pytest.mark.parametrize("motion", [Motion.MOVING, Motion.PAUSED])
def test_nothing_fires_while_a_revision_moves_or_is_paused(motion: Motion) -> None:
    pod = pod_of(template_body(), change=set_in("image", "otel/old:1"))
    verdict = judged(template_body(), pod, motion=motion)
    assert (verdict.differences, verdict.is_healthy) == ((), False)
    assert verdict.state is (State.MOVING if motion is Motion.MOVING else State.PAUSED)
    assert judged(template_body(), pod, motion=Motion.SETTLED).state is State.DRIFTED


def test_pods_that_an_update_on_delete_left_behind_are_drift() -> None:
    """With `OnDelete` nothing moves: the old pods stay until somebody deletes them, which is what drift is for."""
    new, old = template_body(collector(image="otel/x:2")), template_body(collector(image="otel/x:1"))
    found = judged(new, pod_of(new, "gateway-a"), pod_of(old, "gateway-b"))
    assert (found.differences[0].path, found.pods) == ("containers[collector].image", ("gateway-b",))


def test_pods_that_are_finished_or_on_their_way_out_are_not_compared() -> None:
    wrong = set_in("image", "evil:1")
    leaving = pod_of(
        template_body(),
        "a",
        lambda body: (wrong(body), body["metadata"].__setitem__("deletionTimestamp", "2026-11-20T11:59:00Z")),
    )
    finished = pod_of(template_body(), "b", lambda body: (wrong(body), body["status"].__setitem__("phase", "Failed")))
    assert drift_of(template_body(), leaving, finished, pod_of(template_body(), "c")) == ()


def test_a_difference_counts_only_after_it_stood_for_pending_seconds() -> None:
    rules = replace(RULES, pending_s=60.0)
    pod = pod_of(template_body(), change=set_in("image", "evil:1"))
    subject_ = subject(template_body(), pod)
    verdict = assess(subject_, rules, EPOCH)
    assert (verdict.state, verdict.again_in_s, verdict.is_healthy) == (State.PENDING, 60.0, False)
    verdict = assess(subject_, rules, EPOCH + timedelta(seconds=59), standing=verdict.standing)
    assert (verdict.state, verdict.again_in_s) == (State.PENDING, 1.0)
    verdict = assess(subject_, rules, EPOCH + timedelta(seconds=60), standing=verdict.standing)
    assert (verdict.state, verdict.again_in_s) == (State.DRIFTED, None)


def test_a_second_difference_has_a_time_of_its_own() -> None:
    rules = replace(RULES, pending_s=60.0)
    one = pod_of(template_body(), change=set_in("image", "evil:1"))
    both = pod_of(template_body(), change=lambda body: (set_in("image", "evil:1")(body), set_label("team", "x")(body)))
    verdict = assess(subject(template_body(), one), rules, EPOCH)
    verdict = assess(subject(template_body(), both), rules, EPOCH + timedelta(seconds=61), standing=verdict.standing)
    assert [difference.check for difference in verdict.differences] == [DriftCheck.IMAGE]
    assert verdict.again_in_s == 60.0


def test_a_difference_that_went_and_came_back_waits_again() -> None:
    rules, wrong = replace(RULES, pending_s=60.0), pod_of(template_body(), change=set_in("image", "evil:1"))
    verdict = assess(subject(template_body(), wrong), rules, EPOCH)
    verdict = assess(
        subject(template_body(), pod_of(template_body())),
        rules,
        EPOCH + timedelta(seconds=50),
        standing=verdict.standing,
    )
    assert verdict.state is State.CLEAN
    verdict = assess(subject(template_body(), wrong), rules, EPOCH + timedelta(seconds=61), standing=verdict.standing)
    assert verdict.state is State.PENDING


def test_containers_that_the_policy_leaves_out_are_not_compared() -> None:
    said = template_body(collector(), {"name": "sidecar", "image": "s:1"})
    pod = pod_of(said, change=lambda body: body["spec"]["containers"][1].__setitem__("image", "s:2"))
    assert drift_of(said, pod, rules=replace(RULES, exclude=frozenset({"sidecar"}))) == ()
    assert drift_of(said, pod, rules=replace(RULES, include=frozenset({"collector"}))) == ()
    assert len(drift_of(said, pod)) == 1


def test_label_keys_narrow_what_is_compared() -> None:
    pod = pod_of(template_body(), change=set_label("team", "x"))
    assert drift_of(template_body(), pod, rules=replace(RULES, label_keys=frozenset({"app", "nowhere"}))) == ()
    assert len(drift_of(template_body(), pod, rules=replace(RULES, label_keys=frozenset({"team"})))) == 1


def test_ignored_env_names_are_not_compared() -> None:
    pod = pod_of(template_body(), change=set_env("TENANT", "green"))
    assert drift_of(template_body(), pod, rules=replace(RULES, ignored_env=frozenset({"TENANT"}))) == ()


def test_of_long_argument_lists_only_what_differs_is_shown_and_no_secret_is() -> None:
    said = template_body(collector(args=["--a", "--b", "--c", "--d=1", "--password=hunter2"]))
    pod = pod_of(said, change=set_in("args", ["--a", "--b", "--c", "--d=2", "--password=swordfish"]))
    (found,) = drift_of(said, pod)
    assert (found.expected, found.actual) == ("--d=1 --password=[redacted]", "--d=2 --password=[redacted]")


def test_arguments_in_another_order_are_shown_whole() -> None:
    said = template_body(collector(args=["--a", "--b", "--c", "--d"]))
    (found,) = drift_of(said, pod_of(said, change=set_in("args", ["--d", "--c", "--b", "--a"])))
    assert (found.expected, found.actual) == ("--a --b --c --d", "--d --c --b --a")


def test_a_hostile_argument_of_a_megabyte_fits_into_a_status() -> None:
    (found,) = drift_of(template_body(), pod_of(template_body(), change=set_in("args", ["x" * 1_000_000])))
    assert len(found.actual) <= 512


def test_the_same_difference_on_many_pods_is_one_with_all_their_names() -> None:
    pods = [pod_of(template_body(), f"gateway-{number}", set_in("image", "evil:1")) for number in range(20)]
    verdict = judged(template_body(), pod_of(template_body(), "good"), *pods)
    assert (len(verdict.differences), len(verdict.pods)) == (1, 20)


def test_more_differences_than_a_status_holds_are_counted() -> None:
    said = template_body(collector(env=[{"name": f"E{number}", "value": "1"} for number in range(70)]))
    verdict = judged(said, pod_of(said, change=set_in("env", [])))
    assert (len(verdict.differences), verdict.more) == (50, 20)
    found = finding(verdict, GATEWAY, EPOCH)
    assert found is not None
    assert (found.reason, found.note) == ("Env", "20 more differences are not listed.")


def test_a_drifted_owner_is_one_finding_about_the_workload() -> None:
    verdict = judged(template_body(), pod_of(template_body(), "gateway-a", set_in("image", "evil:1")))
    found = finding(verdict, GATEWAY, EPOCH)
    assert found is not None
    assert (found.kind, found.pod, found.container, found.owner) == (IncidentKind.DRIFT, "", "", GATEWAY)
    assert (found.is_standing, found.pods, found.differences) == (True, ("gateway-a",), verdict.differences)


def test_a_clean_owner_is_no_finding() -> None:
    assert finding(judged(template_body(), pod_of(template_body())), GATEWAY, EPOCH) is None


def test_a_bare_pod_is_compared_with_nothing_but_itself() -> None:
    verdict = assess(Subject(GATEWAY, (pod_of(template_body()),), None), RULES, EPOCH)
    assert verdict.state is State.CLEAN


def test_no_pods_and_no_checks_each_say_so() -> None:
    assert assess(Subject(GATEWAY, (), None), RULES, EPOCH).state is State.NO_PODS
    assert judged(template_body(), rules=replace(RULES, checks=frozenset())).state is State.OFF
