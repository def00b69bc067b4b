"""Containers that should run and do not: images, configuration, init containers; one row for each case."""

from datetime import timedelta

import pytest

from podrig import EPOCH, container, ended, looping, pod, pod_condition, running_state, stamp, waiting
from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import Quiet, Sight, detect, judge, still_wrong
from watchbell.collectors.faults.waits import CONFIG_FAILURES, PULL_FAILURES
from watchbell.collectors.findings import Look
from watchbell.collectors.rules import CrashRules

ALL = CrashRules(frozenset(IncidentKind))
HOUR = timedelta(hours=1)
PULL, CONFIG, INIT = (
    IncidentKind.IMAGE_PULL_FAILED,
    IncidentKind.CONTAINER_CONFIG_ERROR,
    IncidentKind.INIT_CONTAINER_FAILED,
)
ERROR, LOOP = IncidentKind.CONTAINER_ERROR, IncidentKind.CRASH_LOOP_BACK_OFF
WHY = 'failed to pull and unpack image "otel/x:2": not found'
UNREADY = [pod_condition("Ready", reason="ContainersNotReady", at=EPOCH - HOUR)]
GOING = {"deletionTimestamp": stamp(EPOCH + timedelta(seconds=30)), "deletionGracePeriodSeconds": 30}
HEALTHY = pod()


def held(reason: str, message: str = "", status: dict | None = None, **metadata):
    """A pod whose one container waits for `reason`."""
    held_back = container(state=waiting(reason, message), ready=False)
    return pod(held_back, status={"phase": "Pending", "conditions": UNREADY} | (status or {}), **metadata)


def init_pod(*statuses, **spec):
    main = container(state=waiting("PodInitializing"), ready=False)
    return pod(main, status={"phase": "Pending", "initContainerStatuses": list(statuses)}, spec=spec)


def found(old, new, rules=ALL):
    return [(one.kind, one.container) for one in detect(old, new, rules, EPOCH).findings]


@pytest.mark.parametrize("reason", sorted(PULL_FAILURES))
def test_an_image_that_cannot_be_had_is_found_whatever_the_kubelet_calls_it(reason):
    (finding,) = detect(None, held(reason, WHY), ALL, EPOCH).findings
    assert (finding.kind, finding.is_standing, finding.message) == (PULL, True, WHY)


@pytest.mark.parametrize("reason", sorted(CONFIG_FAILURES))
def test_a_container_that_cannot_be_made_is_found_whatever_the_kubelet_calls_it(reason):
    (finding,) = detect(None, held(reason, 'secret "otel-token" not found'), ALL, EPOCH).findings
    assert (finding.kind, finding.reason, finding.is_standing) == (CONFIG, reason, True)
    assert finding.message == 'secret "otel-token" not found'


def test_image_pull_back_off_and_err_image_pull_take_turns_and_are_one_finding_that_stays_the_same():
    tried = detect(HEALTHY, held("ErrImagePull", WHY), ALL, EPOCH).findings
    holds_back = held("ImagePullBackOff", f'Back-off pulling image "otel/x:2": ErrImagePull: {WHY}')
    again = detect(held("ErrImagePull", WHY), holds_back, ALL, EPOCH + HOUR).findings
    assert tried == again
    assert (again[0].reason, again[0].seen_time) == ("ImagePullBackOff", EPOCH - HOUR)


def test_a_pull_that_fails_after_a_crash_counts_from_the_end_of_the_last_run():
    after_crash = container(state=waiting("ErrImagePull", WHY), lastState=ended(EPOCH), restartCount=1, ready=False)
    (crash, pull) = detect(HEALTHY, pod(after_crash, status={"conditions": UNREADY}), ALL, EPOCH + HOUR).findings
    assert (crash.kind, pull.kind, pull.seen_time) == (ERROR, PULL, EPOCH)


QUIET = {
    "the container is being made": (held("ContainerCreating"), Quiet.STARTING),
    "the init containers run": (held("PodInitializing"), Quiet.STARTING),
    "somebody deleted the pod that cannot pull": (held("ErrImagePull", **GOING), Quiet.BEING_DELETED),
    "somebody deleted the pod without its Secret": (
        held("CreateContainerConfigError", **GOING),
        Quiet.BEING_DELETED,
    ),
    "the pod is over": (held("ErrImagePull", status={"phase": "Failed"}), Quiet.POD_FINISHED),
    "the runtime could not start it, as its end tells": (
        pod(
            container(
                state=waiting("RunContainerError"), lastState=ended(EPOCH - 9 * HOUR, 128, "StartError"), ready=False
            )
        ),
        Quiet.BASELINE,
    ),
}


@pytest.mark.parametrize("case", QUIET)
def test_what_waits_for_a_good_reason_is_left_alone_and_says_why(case):
    seen, quiet = QUIET[case]
    rules = CrashRules(frozenset(IncidentKind), news_since=EPOCH - HOUR, not_ready_s=86_400)
    assert detect(None, seen, rules, EPOCH).findings == ()
    assert judge(Sight(None, seen, None, seen.status.container_statuses[0], False, rules, EPOCH)) == quiet


@pytest.mark.parametrize("reason", ["RunContainerError", "PostStartHookError"])
def test_a_start_that_failed_is_told_once_by_its_end_and_not_as_configuration_too(reason):
    end = ended(EPOCH, 128, "StartError", message="exec: otelcol: not found")
    seen = pod(container(state=waiting(reason, "exec: otelcol: not found"), lastState=end, restartCount=1, ready=False))
    assert found(HEALTHY, seen) == [(ERROR, "collector")]


# --- init containers


def test_init_container_that_fails_is_told_as_such():
    (finding,) = detect(None, init_pod(container("fetch", state=ended(EPOCH), ready=False)), ALL, EPOCH).findings
    assert (finding.kind, finding.container, finding.is_init, finding.exit_code) == (INIT, "fetch", True, 1)


def test_init_container_in_a_loop_is_one_finding_that_stands():
    (finding,) = detect(None, init_pod(looping(EPOCH) | {"name": "fetch"}), ALL, EPOCH).findings
    assert (finding.kind, finding.is_standing, finding.exit_code) == (INIT, True, 1)


def test_init_container_without_memory_is_told_by_its_cause():
    out_of_memory = container("fetch", state=ended(EPOCH, 137, "OOMKilled"), ready=False)
    assert found(None, init_pod(out_of_memory)) == [(IncidentKind.OOM_KILLED, "fetch")]


def test_init_container_whose_image_is_missing_is_an_image_pull_failure():
    assert found(None, init_pod(container("fetch", state=waiting("ErrImagePull"), ready=False))) == [(PULL, "fetch")]


@pytest.mark.parametrize("state", [ended(EPOCH), ended(EPOCH, 0, "Completed")])
def test_init_container_that_is_a_sidecar_and_is_held_back_is_told_even_if_it_ends_well(state):
    proxy = looping(EPOCH) | {"name": "proxy", "lastState": state}
    sidecar = pod(
        spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
        status={"initContainerStatuses": [proxy]},
    )
    assert found(None, sidecar) == [(INIT, "proxy")]


def test_init_container_is_told_under_another_kind_where_the_policy_leaves_this_one_out():
    failing = init_pod(looping(EPOCH) | {"name": "fetch"})
    assert found(None, failing, CrashRules(frozenset({ERROR, LOOP}))) == [(ERROR, "fetch"), (LOOP, "fetch")]
    assert found(None, failing, CrashRules(frozenset({PULL}))) == []


@pytest.mark.parametrize("state", [ended(EPOCH, 0, "Completed"), running_state(EPOCH), waiting("PodInitializing"), {}])
def test_init_container_that_works_or_did_its_work_is_no_news(state):
    rules = CrashRules(frozenset(IncidentKind), not_ready_s=86_400)
    assert detect(None, init_pod(container("fetch", state=state, ready=False)), rules, EPOCH).findings == ()


def test_a_debug_container_that_fails_is_nobodys_crash():
    debugged = pod(status={"ephemeralContainerStatuses": [container("debugger-x7", state=ended(EPOCH, 130))]})
    assert detect(HEALTHY, debugged, ALL, EPOCH) == Look()


# --- what stands


def test_what_stands_is_found_at_each_look_until_it_stands_no_more():
    kinds = frozenset({PULL})
    assert still_wrong(held("ErrImagePull"), kinds, "collector", ALL, EPOCH)
    assert not still_wrong(held("ErrImagePull"), kinds, "other", ALL, EPOCH)
    assert not still_wrong(held("ErrImagePull"), frozenset({CONFIG}), "collector", ALL, EPOCH)
    assert not still_wrong(HEALTHY, kinds, "collector", ALL, EPOCH)


def test_a_flood_of_text_in_a_waiting_message_is_cut():
    (finding,) = detect(None, held("ErrImagePull", "x" * 100_000), ALL, EPOCH).findings
    assert len(finding.message) == 1024
