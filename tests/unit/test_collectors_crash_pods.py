"""What is wrong with a pod as a whole, and which ends of a pod somebody wanted; one row for each case."""

from datetime import timedelta

import pytest

from podrig import EPOCH, container, ended, looping, owned_by, pod, pod_condition, stamp, waiting
from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import Quiet, detect, is_healthy, judge_pod, still_wrong
from watchbell.collectors.faults.podwide import PREEMPTED_NOTE, REFUSED_NOTE
from watchbell.collectors.faults.sight import PodSight
from watchbell.collectors.faults.signs import is_ready
from watchbell.collectors.rules import CrashRules

ALL = CrashRules(frozenset(IncidentKind))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
EVICTED, UNSCHEDULABLE, NOT_READY, NODE, SUBPROCESS = (
    IncidentKind.EVICTED,
    IncidentKind.UNSCHEDULABLE,
    IncidentKind.NOT_READY,
    IncidentKind.NODE_LOST,
    IncidentKind.SUBPROCESS_CRASHED,
)
HEALTHY = pod()
GOING = {"deletionTimestamp": stamp(EPOCH + timedelta(seconds=30)), "deletionGracePeriodSeconds": 30}
LOW = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61Mi. Container collector was using 410Mi."
KILLED = ended(EPOCH, 137)
UNREADY = pod_condition("Ready", reason="ContainersNotReady", message="containers with unready status: [collector]")
PENDING = {"phase": "Pending", "containerStatuses": []}


def chosen(reason: str, /, **status):
    """A pod that the control plane or the kubelet chose to go."""
    target = pod_condition("DisruptionTarget", "True", reason, message=f"{reason} said so")
    return status | {"conditions": [target, *status.get("conditions", ())]}


def unscheduled(at=EPOCH, reason="Unschedulable", **metadata):
    scheduled = pod_condition("PodScheduled", "False", reason, at, "0/5 nodes are available: 5 Insufficient memory.")
    return pod(spec={"nodeName": ""}, status=PENDING | {"conditions": [scheduled]}, **metadata)


def unready(*statuses, at=EPOCH, **more):
    ready = pod_condition("Ready", reason="ContainersNotReady", at=at)
    status = {"conditions": [ready, pod_condition("ContainersReady", at=at)]} | more.pop("status", {})
    return pod(*(statuses or (container(ready=False),)), status=status, **more)


FOUND = {
    "eviction under pressure": (
        HEALTHY,
        pod(container(state=KILLED), status={"phase": "Failed", "reason": "Evicted", "message": LOW}),
        EVICTED,
        "Evicted",
    ),
    "eviction is told before the kubelet writes the final phase": (
        HEALTHY,
        pod(container(state=KILLED), status={"reason": "Evicted", "message": LOW}),
        EVICTED,
        "Evicted",
    ),
    "eviction of a Job's pod": (
        HEALTHY,
        pod(ownerReferences=[owned_by("Job", "a")], status={"phase": "Failed", "reason": "Evicted"}),
        EVICTED,
        "Evicted",
    ),
    "preemption by the scheduler": (
        HEALTHY,
        pod(status=chosen("PreemptionByScheduler"), **GOING),
        EVICTED,
        "Preempted",
    ),
    "preemption by the kubelet": (
        HEALTHY,
        pod(container(state=KILLED), status=chosen("TerminationByKubelet", phase="Failed", reason="Preempting")),
        EVICTED,
        "Preempting",
    ),
    "the kubelet turned it away": (
        unscheduled(),
        pod(
            status={"phase": "Failed", "reason": "OutOfmemory", "message": "Pod was rejected", "containerStatuses": []}
        ),
        UNSCHEDULABLE,
        "OutOfmemory",
    ),
    "no node takes it for long": (None, unscheduled(EPOCH - HOUR), UNSCHEDULABLE, "Unschedulable"),
    "no scheduler looks at it": (None, pod(spec={"nodeName": ""}, status=PENDING), UNSCHEDULABLE, "Unschedulable"),
    "it runs and is not ready for long": (HEALTHY, unready(at=EPOCH - HOUR), NOT_READY, "ContainersNotReady"),
    "a readiness gate stays shut": (
        HEALTHY,
        pod(status={"conditions": [pod_condition("Ready", reason="ReadinessGatesNotReady", at=EPOCH - HOUR)]}),
        NOT_READY,
        "ReadinessGatesNotReady",
    ),
    "a volume cannot be mounted for long": (
        None,
        unready(
            container(state=waiting("ContainerCreating"), ready=False), at=EPOCH - HOUR, status={"phase": "Pending"}
        ),
        NOT_READY,
        "ContainersNotReady",
    ),
    "its kubelet never takes it": (None, pod(status=PENDING), NOT_READY, "NotReady"),
    "the node no longer answers": (
        HEALTHY,
        pod(status={"conditions": [pod_condition("Ready")]}),
        NODE,
        "NodeLost",
    ),
    "the node no longer answers and its pods are thrown out": (
        HEALTHY,
        pod(status=chosen("DeletionByTaintManager", conditions=[pod_condition("Ready")]), **GOING),
        NODE,
        "NodeLost",
    ),
    "the node lifecycle controller says so": (HEALTHY, pod(status={"reason": "NodeLost"}), NODE, "NodeLost"),
    "the node was removed": (
        HEALTHY,
        pod(status=chosen("DeletionByPodGC", phase="Failed"), **GOING),
        NODE,
        "NodeLost",
    ),
}
QUIET = {
    "nothing is wrong": (HEALTHY, HEALTHY, Quiet.NOTHING_ENDED),
    "a node is drained in order": (HEALTHY, pod(status=chosen("EvictionByEvictionAPI"), **GOING), Quiet.DRAINED),
    "a node is drained and the container was killed at the end of its grace": (
        HEALTHY,
        pod(container(state=KILLED), status=chosen("EvictionByEvictionAPI"), **GOING),
        Quiet.DRAINED,
    ),
    "a node is shut down in order": (
        HEALTHY,
        pod(container(state=KILLED), status=chosen("TerminationByKubelet", phase="Failed", reason="Terminated")),
        Quiet.NODE_SHUT_DOWN,
    ),
    "a node is shut down in order and the pod has not ended yet": (
        HEALTHY,
        pod(container(state=KILLED), status=chosen("TerminationByKubelet", reason="Terminated")),
        Quiet.NODE_SHUT_DOWN,
    ),
    "a node that goes down takes no pod": (
        HEALTHY,
        pod(status={"phase": "Failed", "reason": "NodeShutdown", "containerStatuses": []}),
        Quiet.NODE_SHUT_DOWN,
    ),
    "somebody set a taint": (HEALTHY, pod(status=chosen("DeletionByTaintManager"), **GOING), Quiet.TAINTED),
    "somebody deleted the pod": (HEALTHY, unready(at=EPOCH - HOUR, **GOING), Quiet.BEING_DELETED),
    "a Job's pod ran out of its time": (
        HEALTHY,
        pod(ownerReferences=[owned_by("Job", "a")], status={"phase": "Failed", "reason": "DeadlineExceeded"}),
        Quiet.POD_FINISHED,
    ),
    "a scheduling gate holds it": (None, unscheduled(EPOCH - HOUR, "SchedulingGated"), Quiet.GATED),
    "no node takes it yet": (None, unscheduled(EPOCH - MINUTE), Quiet.NOT_YET),
    "it was not ready for a moment": (HEALTHY, unready(at=EPOCH - MINUTE), Quiet.NOT_YET),
    "another kind tells why it is not ready": (HEALTHY, unready(looping(EPOCH), at=EPOCH - HOUR), Quiet.ANOTHER_KIND),
    "a container did its work and the other goes on": (
        HEALTHY,
        unready(
            container(),
            container("once", state=ended(EPOCH, 0, "Completed"), ready=False),
            at=EPOCH - HOUR,
            spec={"restartPolicy": "OnFailure"},
        ),
        Quiet.PARTLY_FINISHED,
    ),
    "the eviction was seen before": (
        pod(status={"phase": "Failed", "reason": "Evicted"}),
        pod(status={"phase": "Failed", "reason": "Evicted"}, labels={"a": "b"}),
        Quiet.SEEN_BEFORE,
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_eviction_lost_node_pending_and_unready_pods_are_found(case):
    old, new, kind, reason = FOUND[case]
    (finding,) = detect(old, new, ALL, EPOCH).findings
    assert (finding.kind, finding.reason, finding.container) == (kind, reason, "")
    assert finding.image == "otel/x:1"


@pytest.mark.parametrize("case", QUIET)
def test_what_somebody_wanted_or_what_has_time_is_left_alone_and_says_why(case):
    old, new, quiet = QUIET[case]
    assert [one for one in detect(old, new, ALL, EPOCH).findings if not one.container] == []
    assert judge_pod(PodSight(old, new, ALL, EPOCH)) == quiet


@pytest.mark.parametrize("case", [name for name in QUIET if "node" in name])
def test_no_container_of_a_pod_that_a_node_gives_up_in_order_is_told_either(case):
    old, new, _ = QUIET[case]
    assert detect(old, new, ALL, EPOCH).findings == ()


def test_eviction_says_what_the_node_was_short_of():
    (finding,) = detect(*FOUND["eviction under pressure"][:2], ALL, EPOCH).findings
    assert finding.message == LOW
    assert (finding.owner, finding.node, finding.seen_time) == (("Deployment", "gateway"), "node-1", EPOCH)


def test_eviction_by_preemption_says_so():
    for case in ("preemption by the scheduler", "preemption by the kubelet"):
        (finding,) = detect(*FOUND[case][:2], ALL, EPOCH).findings
        assert finding.note == PREEMPTED_NOTE


def test_eviction_from_before_the_policy_is_baseline():
    rules = CrashRules(frozenset(IncidentKind), news_since=EPOCH)
    old = pod(container(state=ended(EPOCH - HOUR, 137)), status={"phase": "Failed", "reason": "Evicted"})
    assert detect(None, old, rules, EPOCH).findings == ()


def test_node_not_ready_makes_the_node_the_owner_so_that_all_its_pods_are_one_trouble():
    lost = FOUND["the node no longer answers"][1]
    (finding,) = detect(HEALTHY, lost, ALL, EPOCH).findings
    assert (finding.owner, finding.is_standing) == (("Node", "node-1"), True)
    assert still_wrong(lost, frozenset({NODE}), "", ALL, EPOCH)


def test_pending_pod_that_the_kubelet_turned_away_says_who_did():
    (finding,) = detect(*FOUND["the kubelet turned it away"][:2], ALL, EPOCH).findings
    assert finding.note == REFUSED_NOTE


@pytest.mark.parametrize(
    ("seen", "kind"), [(unscheduled(EPOCH - MINUTE), UNSCHEDULABLE), (unready(at=EPOCH - MINUTE), NOT_READY)]
)
def test_a_threshold_asks_for_another_look_and_is_reached_then_though_nothing_changed(seen, kind):
    look = detect(HEALTHY, seen, ALL, EPOCH)
    assert (look.findings, look.again_in_s) == ((), 240.0)
    later = EPOCH + timedelta(seconds=look.again_in_s)
    (finding,) = detect(seen, seen, ALL, later).findings
    assert (finding.kind, finding.seen_time, finding.is_standing) == (kind, EPOCH - MINUTE, True)
    assert detect(seen, seen, ALL, later).again_in_s is None
    assert detect(seen, seen, ALL, later + HOUR).findings == (finding,), "it stays the same while it stands"


def test_a_threshold_of_a_kind_that_the_policy_leaves_out_asks_for_no_other_look():
    rules = CrashRules(frozenset({UNSCHEDULABLE}))
    assert detect(HEALTHY, unready(at=EPOCH - MINUTE), rules, EPOCH).again_in_s is None


def test_a_pod_is_judged_by_the_patience_of_the_policy():
    rules = CrashRules(frozenset(IncidentKind), not_ready_s=30)
    assert detect(HEALTHY, unready(at=EPOCH - MINUTE), rules, EPOCH).findings


def test_a_pod_of_which_only_containers_are_unready_that_the_policy_leaves_out_is_no_news():
    rules = CrashRules(frozenset(IncidentKind), exclude=frozenset({"proxy"}))
    seen = unready(container(), container("proxy", ready=False), at=EPOCH - HOUR)
    assert detect(HEALTHY, seen, rules, EPOCH).findings == ()
    assert detect(HEALTHY, seen, ALL, EPOCH).findings[0].note == "Not ready: proxy."


def test_not_ready_names_the_init_container_that_still_runs():
    running = container("migrate", ready=False)
    main = container(state=waiting("PodInitializing"), ready=False)
    seen = unready(main, at=EPOCH - HOUR, status={"phase": "Pending", "initContainerStatuses": [running]})
    (finding,) = detect(None, seen, ALL, EPOCH).findings
    assert (finding.kind, finding.note) == (NOT_READY, "Not ready: migrate.")


# --- a supervisor's word


SUPERVISED = CrashRules(frozenset(IncidentKind), pod_conditions=(("example.com/AllProcessesRun", "False"),))


@pytest.mark.parametrize(
    ("status", "rules", "kinds"),
    [
        ("False", SUPERVISED, [SUBPROCESS]),
        ("True", SUPERVISED, []),
        ("Unknown", SUPERVISED, []),
        ("False", ALL, []),
        ("False", CrashRules(frozenset({EVICTED}), pod_conditions=SUPERVISED.pod_conditions), []),
    ],
)
def test_a_condition_that_the_policy_names_tells_of_a_dead_subprocess(status, rules, kinds):
    told = pod_condition("example.com/AllProcessesRun", status, "ExporterDied", message="exporter exited with 2")
    seen = pod(status={"conditions": [told]})
    assert [one.kind for one in detect(HEALTHY, seen, rules, EPOCH).findings] == kinds


def test_a_dead_subprocess_is_told_in_the_supervisors_words_and_stands_until_it_is_well():
    told = pod_condition("example.com/AllProcessesRun", "False", "ExporterDied", message="exporter exited with 2")
    seen = pod(status={"conditions": [told]})
    (finding,) = detect(HEALTHY, seen, SUPERVISED, EPOCH).findings
    assert (finding.reason, finding.message) == ("ExporterDied", "exporter exited with 2")
    assert finding.note == "The pod's condition example.com/AllProcessesRun is False."
    assert still_wrong(seen, frozenset({SUBPROCESS}), "", SUPERVISED, EPOCH)
    assert not still_wrong(HEALTHY, frozenset({SUBPROCESS}), "", SUPERVISED, EPOCH)


# --- health of a pod as a whole


@pytest.mark.parametrize(
    ("seen", "is_well"),
    [
        (HEALTHY, True),
        (unready(), False),
        (pod(status={"conditions": [pod_condition("Ready", reason="ReadinessGatesNotReady")]}), False),
        (pod(container(ready=False)), False),
        (pod(status=PENDING), False),
        (pod(status={"conditions": [pod_condition("Ready", "True")]}), True),
    ],
)
def test_a_pod_is_ready_by_its_condition_and_by_its_containers(seen, is_well):
    assert is_ready(seen) is is_well
    assert is_healthy(seen, "", EPOCH) is is_well
