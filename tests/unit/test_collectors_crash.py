"""What is a crash and what is not: one row for each case."""

from datetime import timedelta

import pytest

from podrig import EPOCH, backing_off, container, ended, looping, owned_by, pod, running_state, stamp
from watchbell.api.enums import CrashKind
from watchbell.collectors.faults.crash import Quiet, Sight, detect, is_healthy, judge
from watchbell.collectors.faults.ends import KILL_NOTE, PROBE_DOUBT, PROBE_NOTE, STOP_NOTE
from watchbell.collectors.findings import Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import Pod, memory_limit, owner_of

ERROR, LOOP, OOM = CrashKind.CONTAINER_ERROR, CrashKind.CRASH_LOOP_BACK_OFF, CrashKind.OOM_KILLED
SUBPROCESS = CrashKind.SUBPROCESS_CRASHED
ALL = CrashRules(frozenset(CrashKind))
HOUR = timedelta(hours=1)
AT_START = CrashRules(frozenset(CrashKind), news_since=EPOCH - HOUR)
SIDECAR = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}


def after(**fields):
    return pod(container(**fields))


HEALTHY = pod()
OLD_END = ended(EPOCH - 9 * HOUR)
BARE = {"ownerReferences": [], "spec": {"restartPolicy": "Never"}}
JOB = {"ownerReferences": [owned_by("Job", "backup")], "spec": {"restartPolicy": "Never"}}
GOING = {"deletionTimestamp": stamp(EPOCH + timedelta(seconds=30)), "deletionGracePeriodSeconds": 30}

BOTH = pod(container(), container("reloader"))
TWO = {"containers": [{"name": "collector"}, {"name": "reloader"}]}
RELOADER_IS_MAIN = {"kubectl.kubernetes.io/default-container": "reloader"}

CRASHES = {
    "it ended with an error and is not restarted yet": (HEALTHY, after(state=ended(EPOCH)), [ERROR]),
    "it ended and runs again by the time anybody looks": (
        HEALTHY,
        after(lastState=ended(EPOCH), restartCount=1),
        [ERROR],
    ),
    "it crashed three times between two events": (HEALTHY, after(lastState=ended(EPOCH), restartCount=3), [ERROR]),
    "it was killed for its memory": (HEALTHY, after(state=ended(EPOCH, 137, "OOMKilled")), [OOM]),
    "a child was killed for memory and the rest ended well": (
        HEALTHY,
        after(state=ended(EPOCH, 0, "OOMKilled")),
        [OOM],
    ),
    "a child was killed for memory and the rest ended with an error": (
        HEALTHY,
        after(state=ended(EPOCH, 1, "OOMKilled")),
        [OOM],
    ),
    "it was killed for its memory before it was restarted": (
        HEALTHY,
        after(lastState=ended(EPOCH, 137, "OOMKilled"), restartCount=1),
        [OOM],
    ),
    "it died beside the main container that runs on": (
        BOTH,
        pod(container(), container("reloader", state=ended(EPOCH, 2)), spec=TWO),
        [SUBPROCESS],
    ),
    "it is held back beside the main container that runs on": (
        BOTH,
        pod(container(), looping(EPOCH) | {"name": "reloader"}, spec=TWO),
        [SUBPROCESS, LOOP],
    ),
    "the main one died, whichever comes first in the list": (
        BOTH,
        pod(container("reloader"), container(state=ended(EPOCH, 2)), spec=TWO),
        [ERROR],
    ),
    "the annotation names the main one": (
        BOTH,
        pod(container("reloader"), container(state=ended(EPOCH, 2)), spec=TWO, annotations=RELOADER_IS_MAIN),
        [SUBPROCESS],
    ),
    "all died together": (
        BOTH,
        pod(container(state=ended(EPOCH, 1)), container("reloader", state=ended(EPOCH, 2)), spec=TWO),
        [ERROR, ERROR],
    ),
    "its last words name a process that died": (
        HEALTHY,
        after(state=ended(EPOCH, 1, message="supervisor: child process exporter exited with status 139")),
        [SUBPROCESS],
    ),
    "a supervisor that ends well names a process that died": (
        HEALTHY,
        after(state=ended(EPOCH, 0, "Completed", message="sub-process 41 was killed by signal 9")),
        [SUBPROCESS],
    ),
    "its last words name no process": (
        HEALTHY,
        after(state=ended(EPOCH, 1, message="cannot unmarshal the configuration: unknown type")),
        [ERROR],
    ),
    "it is held back after an error": (HEALTHY, pod(looping(EPOCH)), [ERROR, LOOP]),
    "it is held back after an OOM kill": (HEALTHY, pod(looping(EPOCH, code=137, reason="OOMKilled")), [OOM, LOOP]),
    "it is held back though it ends well each time": (HEALTHY, pod(looping(EPOCH, code=0, reason="Completed")), [LOOP]),
    "it is still held back for the same end": (after(state=ended(EPOCH)), pod(looping(EPOCH)), [LOOP]),
    "it could not be started at all": (HEALTHY, after(state=ended(EPOCH, 128, "StartError")), [ERROR]),
    "the liveness probe had it killed": (HEALTHY, after(lastState=ended(EPOCH, 137, "Error"), restartCount=1), [ERROR]),
    "it segfaulted": (HEALTHY, after(state=ended(EPOCH, 139, "Error", signal=11)), [ERROR]),
    "it ended twice within one second": (
        after(lastState=ended(EPOCH, containerID="containerd://first"), restartCount=1),
        after(lastState=ended(EPOCH, containerID="containerd://second"), restartCount=2),
        [ERROR],
    ),
    "an earlier end is a crash though the last one is none": (
        HEALTHY,
        after(state=ended(EPOCH, 0, "Completed"), lastState=ended(EPOCH - HOUR), restartCount=1),
        [ERROR],
    ),
    "it was killed for its memory and then failed, all between two events": (
        HEALTHY,
        after(state=ended(EPOCH, 2), lastState=ended(EPOCH - HOUR, 137, "OOMKilled"), restartCount=1),
        [OOM, ERROR],
    ),
    "it crashed before somebody deleted it": (HEALTHY, pod(container(state=ended(EPOCH - HOUR)), **GOING), [ERROR]),
    "a bare pod that may not restart failed": (
        pod(**BARE),
        pod(container(state=ended(EPOCH)), **BARE | {"status": {"phase": "Failed"}}),
        [ERROR],
    ),
    "the next pod of the same name crashed": (
        after(state=ended(EPOCH)),
        pod(looping(EPOCH), uid="another"),
        [ERROR, LOOP],
    ),
}
NO_CRASHES = {
    "nothing happened": (HEALTHY, HEALTHY, Quiet.NOTHING_ENDED),
    "it ended well and was restarted": (
        HEALTHY,
        after(lastState=ended(EPOCH, 0, "Completed"), restartCount=1),
        Quiet.ENDED_WELL,
    ),
    "the crash was seen before": (
        after(state=ended(EPOCH)),
        after(lastState=ended(EPOCH), restartCount=1),
        Quiet.SEEN_BEFORE,
    ),
    "it got ready after a crash that was seen": (
        after(lastState=ended(EPOCH), restartCount=1, ready=False),
        after(lastState=ended(EPOCH), restartCount=1),
        Quiet.SEEN_BEFORE,
    ),
    "somebody deleted the pod": (HEALTHY, pod(container(state=ended(EPOCH, 143)), **GOING), Quiet.BEING_DELETED),
    "it is held back and somebody deleted the pod": (
        pod(looping(EPOCH - HOUR)),
        pod(looping(EPOCH - HOUR), **GOING),
        Quiet.SEEN_BEFORE,
    ),
    "the pod did its work": (
        HEALTHY,
        pod(container(state=ended(EPOCH)), status={"phase": "Succeeded"}),
        Quiet.POD_FINISHED,
    ),
    "a Job's pod is through": (
        pod(**JOB),
        pod(container(state=ended(EPOCH)), **JOB | {"status": {"phase": "Failed"}}),
        Quiet.POD_FINISHED,
    ),
    "its node was shut down in order": (
        HEALTHY,
        pod(container(state=ended(EPOCH, 137)), status={"phase": "Failed", "reason": "Terminated"}),
        Quiet.POD_FINISHED,
    ),
    "the kubelet lost track of it": (
        HEALTHY,
        after(lastState=ended(EPOCH, 137, "ContainerStatusUnknown"), restartCount=1),
        Quiet.END_NOT_TOLD,
    ),
    "the image is being pulled": (None, after(state={"waiting": {"reason": "ContainerCreating"}}), Quiet.STARTING),
}


@pytest.mark.parametrize("case", CRASHES)
def test_a_crash_is_found(case):
    old, new, kinds = CRASHES[case]
    assert [finding.kind for finding in detect(old, new, ALL, EPOCH).findings] == kinds


@pytest.mark.parametrize("case", NO_CRASHES)
def test_what_is_no_crash_is_left_alone_and_says_why(case):
    old, new, quiet = NO_CRASHES[case]
    assert detect(old, new, ALL, EPOCH) == Look()
    before = old.status.container_statuses[0] if old else None
    assert judge(Sight(old, new, before, new.status.container_statuses[0], False, ALL, EPOCH)) == quiet


def test_at_the_start_an_old_crash_is_baseline_and_a_fresh_one_is_news():
    assert detect(None, after(lastState=OLD_END, restartCount=1), AT_START, EPOCH) == Look()
    (fresh,) = detect(None, after(lastState=ended(EPOCH), restartCount=1), AT_START, EPOCH).findings
    assert fresh.kind == ERROR


def test_a_loop_that_stands_now_is_news_at_any_age():
    (finding,) = detect(None, pod(looping(EPOCH - 9 * HOUR)), AT_START, EPOCH).findings
    assert (finding.kind, finding.is_standing) == (LOOP, True)


def test_while_a_pod_is_watched_an_end_is_news_whatever_the_nodes_clock_says():
    assert detect(HEALTHY, after(state=OLD_END), AT_START, EPOCH).findings


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (CrashRules(frozenset({LOOP})), [LOOP]),
        (CrashRules(frozenset({ERROR})), [ERROR]),
        (CrashRules(frozenset()), []),
        (CrashRules(frozenset(CrashKind), include=frozenset({"collector"})), [ERROR, LOOP]),
        (CrashRules(frozenset(CrashKind), include=frozenset({"other"})), []),
        (CrashRules(frozenset(CrashKind), exclude=frozenset({"collector"})), []),
    ],
)
def test_only_the_kinds_and_containers_of_the_policy_count(rules, found):
    assert [finding.kind for finding in detect(HEALTHY, pod(looping(EPOCH)), rules, EPOCH).findings] == found


def test_init_containers_are_told_apart():
    broken = pod(
        container(state={"waiting": {"reason": "PodInitializing"}}),
        status={"initContainerStatuses": [looping(EPOCH) | {"name": "fetch"}]},
    )
    found = detect(None, broken, ALL, EPOCH).findings
    assert {(item.container, item.is_init) for item in found} == {("fetch", True)}


def test_a_process_beside_the_main_one_is_told_under_another_kind_where_the_policy_leaves_this_one_out():
    dead = pod(container(), container("reloader", state=ended(EPOCH, 2)), spec=TWO)
    (finding,) = detect(BOTH, dead, CrashRules(frozenset({ERROR})), EPOCH).findings
    assert (finding.kind, finding.container) == (ERROR, "reloader")


PROBED = {"containers": [{"name": "collector", "livenessProbe": {"httpGet": {"path": "/", "port": 13133}}}]}


@pytest.mark.parametrize(
    ("code", "reason", "spec", "note"),
    [
        (137, "Error", PROBED, PROBE_NOTE),
        (143, "Error", PROBED, PROBE_NOTE),
        (137, "Error", {}, KILL_NOTE),
        (143, "Error", {}, STOP_NOTE),
        (1, "Error", PROBED, ""),
        (137, "OOMKilled", PROBED, ""),
    ],
)
def test_a_container_that_a_liveness_probe_had_killed_counts_as_a_crash_and_says_so(code, reason, spec, note):
    seen = pod(container(lastState=ended(EPOCH, code, reason), restartCount=1), spec=spec)
    (finding,) = detect(HEALTHY, seen, ALL, EPOCH).findings
    assert finding.note == note


ENDED_WELL = {"lastState": ended(EPOCH, 0, "Completed"), "restartCount": 1}


@pytest.mark.parametrize(
    ("old", "new", "doubts"),
    [
        (HEALTHY, pod(container(**ENDED_WELL), spec=PROBED), 1),
        (HEALTHY, pod(container(**ENDED_WELL)), 0),
        (HEALTHY, pod(container(**ENDED_WELL), spec=PROBED | {"restartPolicy": "OnFailure"}), 0),
        (pod(container(**ENDED_WELL), spec=PROBED), pod(container(**ENDED_WELL), spec=PROBED, labels={"a": "b"}), 0),
        (HEALTHY, pod(container(**ENDED_WELL), spec=PROBED, **GOING), 0),
        (HEALTHY, pod(container(lastState=ended(EPOCH - 2 * HOUR, 0, "Completed"), restartCount=1), spec=PROBED), 0),
    ],
)
def test_a_probed_container_that_ends_well_is_in_doubt_until_an_event_tells_who_ended_it(old, new, doubts):
    look = detect(old, new, ALL, EPOCH)
    assert look.findings == ()
    assert [(one.kind, one.note) for one in look.doubtful] == [(ERROR, PROBE_DOUBT)] * doubts


def test_a_kind_that_the_policy_leaves_out_is_not_in_doubt_either():
    look = detect(HEALTHY, pod(container(**ENDED_WELL), spec=PROBED), CrashRules(frozenset({LOOP})), EPOCH)
    assert look.doubtful == ()


def test_each_container_of_a_pod_has_findings_of_its_own():
    both = pod(looping(EPOCH), container("reloader", state=ended(EPOCH, 2)))
    found = {(item.container, item.kind) for item in detect(HEALTHY, both, ALL, EPOCH).findings}
    assert found == {("collector", ERROR), ("collector", LOOP), ("reloader", ERROR)}


def test_a_finding_says_all_that_the_mail_needs():
    end = ended(EPOCH, 137, "OOMKilled", message="heap is full")
    (finding,) = detect(HEALTHY, after(state=end, restartCount=4), ALL, EPOCH).findings
    assert (finding.pod, finding.node, finding.container) == ("gateway-0", "node-1", "collector")
    assert (finding.exit_code, finding.restarts, finding.memory_limit) == (137, 4, "512Mi")
    assert (finding.message, finding.seen_time) == ("heap is full", EPOCH)
    assert finding.owner == ("Deployment", "gateway")
    assert "@sha256:" in finding.image_id


@pytest.mark.parametrize(
    ("status", "is_well"),
    [
        (container(), True),
        (container(ready=False), False),
        (container(state=running_state(EPOCH)), False),
        (container(state=backing_off(), ready=False), False),
        (container(state=ended(EPOCH), ready=False), False),
        (container(state={}), False),
    ],
)
def test_only_a_container_that_is_ready_and_has_run_long_enough_is_healthy(status, is_well):
    assert is_healthy(pod(status), "collector", EPOCH - timedelta(seconds=120)) is is_well


@pytest.mark.parametrize("gone", [GOING, {"status": {"phase": "Failed"}}])
def test_a_pod_on_its_way_out_is_no_proof_of_health(gone):
    assert not is_healthy(pod(container(), **gone), "collector", EPOCH)


@pytest.mark.parametrize(
    ("status", "spec", "is_well"),
    [
        (container("proxy", state=ended(EPOCH, 0, "Completed")), {}, True),
        (container("proxy", state=ended(EPOCH)), {}, False),
        (container("proxy"), {}, False),
        (container("proxy"), SIDECAR, True),
        (container("proxy", state=ended(EPOCH, 0, "Completed"), ready=False), SIDECAR, False),
    ],
)
def test_an_init_container_is_healthy_when_it_is_done_and_a_sidecar_while_it_runs(status, spec, is_well):
    assert is_healthy(pod(spec=spec, status={"initContainerStatuses": [status]}), "proxy", EPOCH) is is_well


def owner_case(*references, **labels) -> Pod:
    return pod(ownerReferences=list(references), labels=labels)


@pytest.mark.parametrize(
    ("seen", "owner"),
    [
        (pod(), ("Deployment", "gateway")),
        (owner_case(owned_by("ReplicaSet", "gateway-6b7f9")), ("ReplicaSet", "gateway-6b7f9")),
        (owner_case(owned_by("DaemonSet", "agent"), **{"pod-template-hash": "x"}), ("DaemonSet", "agent")),
        (owner_case(owned_by("Job", "a") | {"controller": False}), ("Pod", "gateway-0")),
        (owner_case(owned_by("Node", "worker-1")), ("Pod", "gateway-0")),
        (owner_case(), ("Pod", "gateway-0")),
    ],
)
def test_the_workload_is_known_without_a_call(seen, owner):
    assert owner_of(seen) == owner


def test_a_pod_without_limits_and_statuses_decodes():
    bare = pod(spec={"containers": [{"name": "collector"}]}, status={"containerStatuses": []})
    assert memory_limit(bare, "collector") == ""
    assert detect(None, bare, ALL, EPOCH) == Look()


def test_a_flood_of_text_in_a_termination_message_is_cut():
    (finding,) = detect(HEALTHY, after(state=ended(EPOCH, message="x" * 100_000 + "end")), ALL, EPOCH).findings
    assert len(finding.message) == 1024
    assert finding.message.endswith("end")
