"""Captured and pinned baselines: what is captured, when, how it is kept, and what differs from it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from driftrig import EPOCH, GATEWAY, IMAGE, RULES, Body, collector, content, digest, pod_of, subject, template_body
from podrig import container
from watchbell.api.baseline import BaselineStatus
from watchbell.api.enums import BaselineMode, DriftCheck
from watchbell.collectors.baselines.baseline import (
    Baseline,
    CapturedWorkload,
    NotYet,
    baseline_json,
    capture,
    pinned_block,
    pinned_hash,
    read_baseline,
    with_workload,
)
from watchbell.collectors.baselines.content import Unread
from watchbell.collectors.baselines.digests import text_hash
from watchbell.collectors.baselines.drift import Motion, State, Subject, Verdict, assess
from watchbell.collectors.rules import DriftRules, Pinned, PinnedContainer, Range
from watchbell.collectors.seen.pod import Owner, Pod

Change = Callable[[Body], Any]
SAID = template_body()
CONFIGS = {"gateway-config": content("a")}
CAPTURED = replace(RULES, mode=BaselineMode.CAPTURED)
GOOD = pod_of(SAID, "gateway-a", imageID=f"otel/x@{digest('a')}")
SECRET = "canary-do-not-keep"


def seen(*pods: Pod, template: Body | None = SAID, **more: Any) -> Subject:
    made = subject(template or SAID, *pods, **({"configs": CONFIGS} | more))
    return made if template is not None else replace(made, desired=None)


def captured(*pods: Pod, rules: DriftRules = CAPTURED, **more: Any) -> CapturedWorkload:
    found = capture(seen(*(pods or (GOOD,)), **more), rules)
    assert isinstance(found, CapturedWorkload), found
    return found


def against(baseline: CapturedWorkload, *pods: Pod, rules: DriftRules = CAPTURED, **more: Any) -> Verdict:
    return assess(seen(*pods, **more), rules, EPOCH, captured=baseline)


def pod_with(change: Change, said: Body = SAID, **status: Any) -> Pod:
    return pod_of(said, "gateway-a", change, **({"imageID": f"otel/x@{digest('a')}"} | status))


def first(body: Body) -> Body:
    return body["spec"]["containers"][0]


# --- capturing


def test_a_healthy_workload_is_captured_whole() -> None:
    found = captured()
    (one,) = found.containers
    assert (found.owner, found.config_maps, found.service_account) == (
        GATEWAY,
        (("gateway-config", digest("a")),),
        "default",
    )
    assert (one.name, one.image, one.image_digests, one.args) == (
        "collector",
        IMAGE,
        (digest("a"),),
        "--config=/conf/relay.yaml",
    )
    assert one.args_hash == text_hash(["--config=/conf/relay.yaml"])
    assert all((one.command_hash, one.env_hash, one.resources_hash, one.security_hash, found.labels_hash))


NOT_YET: dict[NotYet, Subject] = {
    NotYet.NO_PODS: seen(),
    NotYet.MOVING: seen(GOOD, motion=Motion.MOVING),
    NotYet.NOT_READY: seen(GOOD, pod_of(SAID, "b", ready=False)),
    NotYet.DIFFERENT: seen(GOOD, pod_of(SAID, "b", lambda body: first(body).__setitem__("image", "x:2"))),
    NotYet.CONFIG_UNREAD: seen(GOOD, configs={"gateway-config": Unread.NOT_YET}),
}


@pytest.mark.parametrize("why", NOT_YET)
def test_what_is_not_healthy_is_not_captured_and_says_why(why: NotYet) -> None:
    assert capture(NOT_YET[why], CAPTURED) is why


def test_a_paused_roll_out_is_no_state_to_capture() -> None:
    assert capture(seen(GOOD, motion=Motion.PAUSED), CAPTURED) is NotYet.MOVING


@pytest.mark.parametrize("state", [Unread.MISSING, Unread.FORBIDDEN, Unread.TOO_MANY])
def test_a_config_map_that_cannot_be_read_does_not_hold_up_the_rest(state: Unread) -> None:
    assert captured(configs={"gateway-config": state}).config_maps == ()


def test_a_bare_pod_is_captured_too() -> None:
    baseline = captured(template=None)
    changed = pod_with(lambda body: first(body).__setitem__("image", "evil:1"))
    assert [one.check for one in against(baseline, changed, template=None).differences] == [DriftCheck.IMAGE]
    assert against(baseline, GOOD, template=None).state is State.CLEAN


def test_what_a_webhook_put_in_is_not_captured_and_its_coming_or_going_is_no_drift() -> None:
    def inject(body: Body) -> None:
        body["spec"]["containers"].append({"name": "istio-proxy", "image": "istio:1"})
        body["status"]["containerStatuses"].append(container("istio-proxy"))
        first(body)["env"].append({"name": "OTEL_TRACES_EXPORTER", "value": "otlp"})
        first(body)["resources"]["limits"]["ephemeral-storage"] = "1Gi"

    plain, injected = captured(GOOD), captured(pod_with(inject))
    assert plain == injected
    assert against(plain, pod_with(inject)).state is State.CLEAN


# --- what differs


CHANGES: dict[str, tuple[Change, DriftCheck, str, str, str]] = {
    "image": (lambda body: first(body).__setitem__("image", "evil:1"), DriftCheck.IMAGE, "containers[collector].image", IMAGE, "evil:1"),
    "command": (
        lambda body: first(body).__setitem__("command", ["/bin/sh"]),
        DriftCheck.COMMAND, "containers[collector].command", "as captured", "/bin/sh",
    ),
    "args": (
        lambda body: first(body).__setitem__("args", ["--other"]),
        DriftCheck.ARGS, "containers[collector].args", "--config=/conf/relay.yaml", "--other",
    ),
    "env": (
        lambda body: first(body)["env"].append({"name": "NEW", "value": SECRET}),
        DriftCheck.ENV, "containers[collector].env", "as captured", "differs",
    ),
    "resources": (
        lambda body: first(body)["resources"]["limits"].__setitem__("memory", "2Gi"),
        DriftCheck.RESOURCES, "containers[collector].resources", "as captured",
        "limits.cpu=500m, limits.memory=2Gi, requests.memory=512Mi",
    ),
    "security": (
        lambda body: first(body)["securityContext"].__setitem__("runAsNonRoot", False),
        DriftCheck.SECURITY_CONTEXT, "containers[collector].securityContext", "as captured",
        'capabilities.drop=["ALL","NET_RAW"], runAsNonRoot=false',
    ),
    "service account": (
        lambda body: body["spec"].__setitem__("serviceAccountName", "admin"),
        DriftCheck.SERVICE_ACCOUNT, "serviceAccountName", "default", "admin",
    ),
    "labels": (
        lambda body: body["metadata"]["labels"].__setitem__("team", "x"), DriftCheck.LABELS, "labels", "as captured", "differ",
    ),
    "a container more": (
        lambda body: body["spec"]["containers"].append({"name": "miner", "image": "evil:1"}),
        DriftCheck.UNEXPECTED_CONTAINER, "containers[miner]", "no such container", "evil:1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", CHANGES.values(), ids=CHANGES)
def test_what_left_the_captured_state_is_drift_even_when_the_template_says_so(
    row: tuple[Change, DriftCheck, str, str, str],
) -> None:
    change, check, path, expected, actual = row
    new = template_body()
    new["status"] = {"containerStatuses": []}
    change(new)
    rolled_out = pod_of({key: new[key] for key in ("metadata", "spec")}, "gateway-b", imageID=f"otel/x@{digest('a')}")
    verdict = against(captured(), rolled_out, template={key: new[key] for key in ("metadata", "spec")})
    found = {(one.check, one.path): (one.expected, one.actual) for one in verdict.differences}
    assert found == {(check, path): (expected, actual)}


def test_quantities_in_another_spelling_are_the_captured_ones() -> None:
    spelled = {"limits": {"memory": "1024Mi", "cpu": "0.5"}, "requests": {"memory": "512Mi"}}
    assert (
        against(captured(), pod_with(lambda body: first(body).__setitem__("resources", spelled))).state is State.CLEAN
    )


def test_a_digest_that_was_not_captured_is_drift() -> None:
    verdict = against(captured(), pod_of(SAID, "a", imageID=f"otel/x@{digest('b')}"))
    assert [(one.check, one.actual) for one in verdict.differences] == [(DriftCheck.IMAGE_DIGEST, digest("b"))]


def test_content_of_a_config_map_that_left_the_captured_hash_is_drift() -> None:
    verdict = against(captured(), GOOD, configs={"gateway-config": content("b")})
    assert [(one.check, one.path, one.actual) for one in verdict.differences] == [
        (DriftCheck.CONFIG_MAP_CONTENT, "configMaps[gateway-config].data", digest("b"))
    ]
    gone = against(captured(), GOOD, configs={"gateway-config": Unread.MISSING})
    assert [one.actual for one in gone.differences] == ["missing"]
    assert against(captured(), GOOD, configs={"gateway-config": Unread.FORBIDDEN}).state is State.CLEAN


def test_without_a_captured_state_nothing_is_compared_and_it_says_so() -> None:
    verdict = assess(seen(GOOD), CAPTURED, EPOCH)
    assert (verdict.state, verdict.is_healthy) == (State.NO_BASELINE, False)


def test_ignored_env_names_are_in_no_hash() -> None:
    rules = replace(CAPTURED, ignored_env=frozenset({"NEW"}))
    changed = pod_with(lambda body: first(body)["env"].append({"name": "NEW", "value": "1"}))
    assert against(captured(rules=rules), changed, rules=rules).state is State.CLEAN


# --- kept in the status


def test_a_baseline_comes_back_from_the_status_as_it_was() -> None:
    baseline = Baseline("r1", EPOCH, (captured(),))
    body = msgspec.json.decode(msgspec.json.encode(baseline_json(baseline)))
    assert read_baseline(body) == baseline


def test_the_status_fits_the_api() -> None:
    found = BaselineStatus.model_validate(baseline_json(Baseline("r1", EPOCH, (captured(),))))
    assert (found.mode, found.revision, found.workloads[0].name) == (BaselineMode.CAPTURED, "r1", "gateway")


def test_no_value_of_env_and_no_secret_argument_is_in_the_status() -> None:
    def change(body: Body) -> None:
        first(body)["env"].append({"name": "TOKEN_VALUE", "value": SECRET})
        first(body)["args"] = [f"--password={SECRET}"]

    said = template_body(collector(args=[f"--password={SECRET}"]))
    text = repr(baseline_json(Baseline("", EPOCH, (captured(pod_with(change, said), template=said),))))
    assert SECRET not in text
    assert "[redacted]" in text


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"mode": "OwnerTemplate"},
        {"mode": "Captured", "captureTime": "nonsense", "hash": text_hash([]), "workloads": []},
        {"mode": "Captured", "captureTime": "2026-11-20T12:00:00Z", "hash": "sha256:00", "workloads": []},
    ],
)
def test_a_status_that_is_no_captured_baseline_is_captured_anew(body: Any) -> None:
    assert read_baseline(body) is None


def test_a_baseline_holds_no_more_than_its_status_can() -> None:
    one = captured()
    baseline: Baseline | NotYet = Baseline("", EPOCH)
    for number in range(64):
        assert isinstance(baseline, Baseline)
        baseline = with_workload(baseline, replace(one, owner=Owner("Deployment", f"d{number}")))
    assert isinstance(baseline, Baseline)
    assert with_workload(baseline, one) is NotYet.FULL
    again = with_workload(baseline, replace(one, owner=Owner("Deployment", "d7")))
    assert isinstance(again, Baseline)
    assert len(again.workloads) == 64


# --- pinned


def pinned(*containers: PinnedContainer, **more: Any) -> DriftRules:
    return replace(RULES, mode=BaselineMode.PINNED, pinned=Pinned(containers, **more))


def judged(rules: DriftRules, *pods: Pod, **more: Any) -> list[tuple[str, str, str]]:
    verdict = assess(seen(*(pods or (GOOD,)), **more), rules, EPOCH)
    assert verdict.state in (State.CLEAN, State.DRIFTED), verdict
    return [(str(one.check), one.path, one.actual) for one in verdict.differences]


def test_what_is_printed_for_git_is_a_baseline_without_drift() -> None:
    block = pinned_block([captured()])
    (one,) = block["containers"]
    rules = pinned(
        PinnedContainer(one["name"], tuple(one["images"]), tuple(one["imageDigests"]), one["argsHash"], one["envHash"]),
        config_maps=tuple((item["name"], item["dataHash"]) for item in block["configMaps"]),
    )
    assert judged(rules) == []


def test_two_workloads_with_one_container_name_pin_what_they_share() -> None:
    other = template_body(collector(image="otel/x:2", args=["--agent"]))
    block = pinned_block([captured(), captured(pod_of(other, "b"), template=other)])
    (one,) = block["containers"]
    assert one["images"] == sorted([IMAGE, "otel/x:2"])
    assert ("argsHash" in one, "envHash" in one) == (False, True)


def test_each_pinned_field_is_compared() -> None:
    wrong = PinnedContainer("collector", ("otel/x:9",), (digest("9"),), digest("9"), digest("9"))
    assert judged(pinned(wrong)) == [
        ("Image", "containers[collector].image", IMAGE),
        ("ImageDigest", "containers[collector].imageDigest", digest("a")),
        ("Args", "containers[collector].args", "--config=/conf/relay.yaml"),
        ("Env", "containers[collector].env", "differs"),
    ]


def test_any_of_several_pinned_images_and_digests_will_do() -> None:
    """A baseline lists index and platform digests, since no status tells which of them a runtime gives."""
    right = PinnedContainer("collector", ("otel/x:9", IMAGE), (digest("9"), digest("a")))
    assert judged(pinned(right)) == []


def test_a_digest_that_cannot_be_compared_is_no_drift_from_the_pinned_one() -> None:
    rules = pinned(PinnedContainer("collector", (), (digest("9"),)))
    assert judged(rules, pod_of(SAID, "a", imageID=digest("a"))) == []


def test_what_is_not_pinned_falls_back_to_the_template() -> None:
    changed = pod_with(lambda body: first(body)["resources"]["limits"].__setitem__("memory", "8Gi"))
    assert judged(pinned(PinnedContainer("collector", (IMAGE,))), changed) == [
        ("Resources", "containers[collector].resources.limits.memory", "8Gi")
    ]


def test_what_is_pinned_is_not_compared_with_the_template_too() -> None:
    rules = pinned(PinnedContainer("collector", ("pinned:1",)))
    changed = pod_with(lambda body: first(body).__setitem__("image", "pinned:1"))
    assert judged(rules, changed) == []


def test_a_container_that_is_not_pinned_is_unexpected_even_when_the_template_has_it() -> None:
    said = template_body(collector(), {"name": "sidecar", "image": "s:1"})
    rules = pinned(PinnedContainer("collector", (IMAGE,)))
    assert judged(rules, pod_of(said, "a"), template=said) == [("UnexpectedContainer", "containers[sidecar]", "s:1")]
    assert judged(replace(rules, exclude=frozenset({"sidecar"})), pod_of(said, "a"), template=said) == []


def test_one_pinned_container_that_is_missing_is_drift() -> None:
    rules = pinned(PinnedContainer("collector", (IMAGE,)), PinnedContainer("reloader", ("r:1",)))
    assert judged(rules) == [("UnexpectedContainer", "containers[reloader]", "missing")]


def test_a_pinned_baseline_that_names_no_container_of_the_pods_says_so_with_the_cure() -> None:
    verdict = assess(seen(GOOD), pinned(PinnedContainer("otc-container", ("x:1",))), EPOCH)
    assert (verdict.state, verdict.is_healthy) == (State.BASELINE_MISMATCH, False)
    assert "names otc-container, but the pods of Deployment gateway have collector" in verdict.detail
    assert "watchbell baseline capture" in verdict.detail


def test_pinned_content_and_replicas_are_compared() -> None:
    rules = pinned(config_maps=(("gateway-config", digest("9")),), replicas=Range(2, 3))
    assert judged(rules, replicas=1) == [
        ("ConfigMapContent", "configMaps[gateway-config].data", digest("a")),
        ("Replicas", "replicas", "1"),
    ]


def test_another_pinned_baseline_has_another_hash() -> None:
    one = Pinned((PinnedContainer("collector", (IMAGE,)),))
    assert pinned_hash(one) == pinned_hash(Pinned((PinnedContainer("collector", (IMAGE,)),)))
    assert pinned_hash(one) != pinned_hash(replace(one, replicas=Range(1, None)))
