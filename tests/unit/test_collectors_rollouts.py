"""Roll-outs that move, rest, are held or are stuck; Jobs that gave up; one row for each case."""

from datetime import timedelta

import msgspec
import pytest

from podrig import EPOCH, container, ended, owned_by, pod, pod_condition, stamp
from watchbell.api.enums import IncidentKind
from watchbell.collectors.findings import Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.rollouts import RolloutState, failed_job, misses_nodes, rollout_state, stuck
from watchbell.collectors.seen.workload import KINDS, read_workload

RULES = CrashRules(frozenset(IncidentKind))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SETTLED, MOVING, PAUSED, STUCK = RolloutState
DONE = pod_condition("Progressing", "True", "NewReplicaSetAvailable")
LATE = pod_condition(
    "Progressing", "False", "ProgressDeadlineExceeded", message='ReplicaSet "gateway-2" has timed out progressing.'
)
REFUSED = pod_condition("ReplicaFailure", "True", "FailedCreate", EPOCH - HOUR, "pods is forbidden: exceeded quota")


def workload(kind, spec=None, status=None, **metadata):
    body = {
        "metadata": {"name": "gateway", "namespace": "obs", "uid": "u", "generation": 2} | metadata,
        "spec": {"template": {"spec": {"containers": [{"name": "collector", "image": "otel/x:2"}]}}} | (spec or {}),
        "status": {"observedGeneration": 2} | (status or {}),
    }
    return read_workload(msgspec.json.encode(body), kind)


def deployment(*conditions, spec=None, **status):
    counts = {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    return workload("Deployment", {"replicas": 3} | (spec or {}), counts | {"conditions": list(conditions)} | status)


def stateful_set(spec=None, **status):
    counts = {"replicas": 3, "updatedReplicas": 1, "currentRevision": "gateway-1", "updateRevision": "gateway-2"}
    return workload("StatefulSet", {"replicas": 3} | (spec or {}), counts | status)


def daemon_set(spec=None, **status):
    counts = {"desiredNumberScheduled": 5, "currentNumberScheduled": 5, "updatedNumberScheduled": 5}
    return workload("DaemonSet", spec, counts | status)


STATES = {
    "a Deployment at rest": (deployment(DONE), SETTLED),
    "a Deployment at rest of which a pod crashes": (deployment(DONE, availableReplicas=2, readyReplicas=2), SETTLED),
    "a Deployment whose change nobody has seen yet": (deployment(DONE, observedGeneration=1), MOVING),
    "a Deployment with pods still to be made": (deployment(updatedReplicas=1), MOVING),
    "a Deployment with old pods still there": (deployment(replicas=4), MOVING),
    "a Deployment whose new pods get ready": (
        deployment(pod_condition("Progressing", "True", "ReplicaSetUpdated"), availableReplicas=1),
        MOVING,
    ),
    "a paused Deployment": (deployment(spec={"paused": True}, updatedReplicas=1), PAUSED),
    "a Deployment past its deadline": (deployment(LATE, updatedReplicas=1), STUCK),
    "a Deployment whose pods are refused": (deployment(REFUSED, updatedReplicas=1), STUCK),
    "a Deployment of none": (deployment(spec={"replicas": 0}, replicas=0, updatedReplicas=0), SETTLED),
    "a StatefulSet at rest": (stateful_set(currentRevision="gateway-2"), SETTLED),
    "a StatefulSet that moves": (stateful_set(), MOVING),
    "a StatefulSet held by a partition": (
        stateful_set({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}),
        PAUSED,
    ),
    "a StatefulSet that waits for deletions": (stateful_set({"updateStrategy": {"type": "OnDelete"}}), PAUSED),
    "a DaemonSet at rest": (daemon_set(), SETTLED),
    "a DaemonSet that moves": (daemon_set(updatedNumberScheduled=2), MOVING),
    "a DaemonSet that waits for deletions": (
        daemon_set({"updateStrategy": {"type": "OnDelete"}}, updatedNumberScheduled=2),
        PAUSED,
    ),
    "a DaemonSet that misses a node": (daemon_set(currentNumberScheduled=4, updatedNumberScheduled=4), SETTLED),
    "a ReplicaSet": (workload("ReplicaSet", {"replicas": 2}, {"replicas": 1}), SETTLED),
    "a ReplicaSet whose pods are refused": (workload("ReplicaSet", status={"conditions": [REFUSED]}), STUCK),
    "a Job": (workload("Job", status={"observedGeneration": 2}), SETTLED),
    "a suspended Job": (workload("Job", {"suspend": True}), PAUSED),
    "an OpenTelemetryCollector": (workload("OpenTelemetryCollector", {"mode": "daemonset"}), SETTLED),
}


@pytest.mark.parametrize("case", STATES)
def test_it_is_known_how_a_roll_out_stands(case):
    seen, state = STATES[case]
    assert rollout_state(seen).state is state


FOUND = {
    "the deadline passed": (deployment(LATE, updatedReplicas=1), None, "ProgressDeadlineExceeded", "timed out"),
    "pods are refused": (deployment(REFUSED, updatedReplicas=1), None, "FailedCreate", "exceeded quota"),
    "a StatefulSet moves for too long": (stateful_set(), EPOCH - HOUR, "RolloutStuck", "1 of 3 pods are new"),
    "a DaemonSet moves for too long": (
        daemon_set(updatedNumberScheduled=2),
        EPOCH - HOUR,
        "RolloutStuck",
        "2 of 5 nodes have the new template",
    ),
    "a DaemonSet misses nodes": (
        daemon_set(currentNumberScheduled=3, updatedNumberScheduled=3),
        EPOCH - HOUR,
        "NodesMissed",
        "2 of 5 nodes that should run a pod have none",
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_stuck_rollout_is_found_with_the_reason_and_without_a_pod(case):
    seen, since, reason, words = FOUND[case]
    (finding,) = stuck(seen, RULES, EPOCH, since).findings
    assert (finding.kind, finding.reason, finding.is_standing) == (IncidentKind.ROLLOUT_STUCK, reason, True)
    assert (finding.owner, finding.pod, finding.container) == ((seen.kind, "gateway"), "", "")
    assert finding.image == "otel/x:2"
    assert words in finding.message
    assert stuck(seen, RULES, EPOCH + HOUR, since).findings == (finding,), "it stays the same while it stands"


QUIET = {
    "it rests": (deployment(DONE), None),
    "it moves and has time": (deployment(updatedReplicas=1), EPOCH),
    "it is paused": (deployment(spec={"paused": True}, updatedReplicas=1), EPOCH - HOUR),
    "a partition holds it": (STATES["a StatefulSet held by a partition"][0], EPOCH - HOUR),
    "it is being deleted": (
        workload("Deployment", status={"conditions": [LATE]}, deletionTimestamp=stamp(EPOCH)),
        None,
    ),
    "it is not known since when it moves": (stateful_set(), None),
}


@pytest.mark.parametrize("case", QUIET)
def test_what_is_not_stuck_is_left_alone(case):
    assert stuck(QUIET[case][0], RULES, EPOCH, QUIET[case][1]) == Look()


@pytest.mark.parametrize(
    ("seen", "left_s"),
    [
        (stateful_set(), 540.0),
        (daemon_set(updatedNumberScheduled=2), 540.0),
        (daemon_set(currentNumberScheduled=3, updatedNumberScheduled=3), 240.0),
        (deployment(pod_condition("ReplicaFailure", "True", "FailedCreate", EPOCH - MINUTE)), 240.0),
    ],
)
def test_stuck_rollout_asks_for_another_look_while_it_has_time(seen, left_s):
    assert stuck(seen, RULES, EPOCH, EPOCH - MINUTE) == Look(again_in_s=left_s)


def test_stuck_rollout_is_told_only_where_the_policy_asks_for_it():
    assert stuck(deployment(LATE), CrashRules(frozenset({IncidentKind.EVICTED})), EPOCH) == Look()


def test_a_replica_set_that_is_refused_is_told_as_its_deployment():
    mine = workload("ReplicaSet", status={"conditions": [REFUSED]}, ownerReferences=[owned_by("Deployment", "gateway")])
    (finding,) = stuck(mine, RULES, EPOCH).findings
    assert finding.owner == ("Deployment", "gateway")


def test_a_daemon_set_misses_nodes_only_if_pods_are_missing_not_if_they_are_unready():
    assert misses_nodes(daemon_set(currentNumberScheduled=4))
    assert not misses_nodes(daemon_set(numberReady=1))
    assert not misses_nodes(deployment())


# --- Jobs


GAVE_UP = pod_condition("Failed", "True", "BackoffLimitExceeded", EPOCH, "Job has reached the specified backoff limit")
JOB = workload("Job", status={"conditions": [GAVE_UP]})


def tried(name, at, code=1, **status):
    owner = [owned_by("Job", "gateway")]
    over = container(state=ended(at, code, **status))
    return pod(over, name=name, ownerReferences=owner, spec={"restartPolicy": "Never"}, status={"phase": "Failed"})


def test_failed_job_is_told_once_as_the_failure_of_its_last_pod():
    pods = [tried("a", EPOCH - MINUTE, 2), tried("b", EPOCH, 3, message="no route to host"), tried("c", EPOCH - HOUR)]
    (finding,) = failed_job(JOB, pods, RULES, EPOCH).findings
    assert (finding.kind, finding.owner) == (IncidentKind.CONTAINER_ERROR, ("Job", "gateway"))
    assert (finding.pod, finding.container, finding.exit_code) == ("b", "collector", 3)
    assert (finding.message, finding.seen_time) == ("no route to host", EPOCH)
    assert finding.note == "The Job gave up: Job has reached the specified backoff limit"


def test_failed_job_whose_last_pod_had_no_memory_is_told_as_that():
    (finding,) = failed_job(JOB, [tried("a", EPOCH, 137, reason="OOMKilled")], RULES, EPOCH).findings
    assert (finding.kind, finding.memory_limit) == (IncidentKind.OOM_KILLED, "512Mi")


def test_failed_job_without_any_pod_left_is_told_in_its_own_words():
    (finding,) = failed_job(JOB, [], RULES, EPOCH).findings
    assert (finding.reason, finding.pod, finding.container) == ("BackoffLimitExceeded", "", "")


@pytest.mark.parametrize(
    ("seen", "rules"),
    [
        (workload("Job"), RULES),
        (workload("Job", status={"conditions": [pod_condition("Complete", "True")]}), RULES),
        (JOB, CrashRules(frozenset({IncidentKind.EVICTED}))),
        (JOB, CrashRules(frozenset(IncidentKind), exclude=frozenset({"collector"}))),
        (JOB, CrashRules(frozenset(IncidentKind), news_since=EPOCH + MINUTE)),
    ],
)
def test_a_job_that_goes_on_or_is_done_or_nobodys_business_is_left_alone(seen, rules):
    assert failed_job(seen, [tried("a", EPOCH)], rules, EPOCH) == Look()


def test_every_kind_of_owner_can_be_read():
    assert set(KINDS) == {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "OpenTelemetryCollector"}
    for kind, (resource, struct) in KINDS.items():
        seen = workload(kind)
        assert type(seen) is struct
        assert seen.owner == (kind, "gateway")
        assert resource.path("obs", "gateway").endswith("/namespaces/obs/" + resource.plural + "/gateway")
