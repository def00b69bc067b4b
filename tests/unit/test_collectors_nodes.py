"""When a node is lost, and what that says of the pods on it."""

from datetime import timedelta

import msgspec
import pytest

from podrig import EPOCH, pod, pod_condition, stamp
from watchbell.api.enums import IncidentKind
from watchbell.collectors.findings import Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.node import CORDONED_NOTE, NEW_NODE_S, Node, lost_at, node_look

RULES = CrashRules(frozenset(IncidentKind))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SILENT = pod_condition("Ready", "Unknown", "NodeStatusUnknown", EPOCH - MINUTE, "Kubelet stopped posting node status.")


def node(*conditions, created=EPOCH - 9 * HOUR, **spec):
    body = {
        "metadata": {"name": "node-1", "uid": "n", "resourceVersion": "1", "creationTimestamp": stamp(created)},
        "spec": spec,
        "status": {"conditions": [pod_condition("MemoryPressure"), *conditions]},
    }
    return msgspec.json.decode(msgspec.json.encode(body), type=Node)


PODS = (pod(name="b"), pod(name="a"), pod(name="done", status={"phase": "Failed"}))


def test_node_not_ready_gives_one_finding_for_each_pod_on_it_and_all_are_one_trouble():
    found = node_look(PODS, node(SILENT), RULES, EPOCH).findings
    assert [one.pod for one in found] == ["a", "b"]
    assert {(one.owner, one.container, one.kind) for one in found} == {(("Node", "node-1"), "", IncidentKind.NODE_LOST)}
    first = found[0]
    assert (first.reason, first.message) == ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    assert (first.seen_time, first.is_standing, first.node) == (EPOCH - MINUTE, True, "node-1")
    assert node_look(PODS, node(SILENT), RULES, EPOCH + HOUR).findings == found, "it stays the same while it stands"


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        (node(pod_condition("Ready", "True")), None),
        (node(), None),
        (node(SILENT), EPOCH - MINUTE),
        (node(pod_condition("Ready", "False", "KubeletNotReady")), EPOCH),
        (
            node(pod_condition("Ready", "False", "KubeletNotReady", EPOCH + MINUTE / 2), created=EPOCH),
            EPOCH + timedelta(seconds=NEW_NODE_S),
        ),
        (node(pod_condition("Ready", "Unknown", at=EPOCH + 2 * MINUTE), created=EPOCH), EPOCH + 2 * MINUTE),
    ],
)
def test_a_node_is_lost_when_it_was_ready_before_and_a_new_one_is_given_time(seen, since):
    assert lost_at(seen) == since


def test_a_node_that_still_joins_asks_for_another_look():
    joining = node(pod_condition("Ready", "False", "KubeletNotReady", EPOCH), created=EPOCH)
    assert node_look(PODS, joining, RULES, EPOCH + MINUTE) == Look(again_in_s=NEW_NODE_S - 60)
    assert node_look(PODS, joining, RULES, EPOCH + HOUR).findings


def test_a_cordoned_node_may_be_rebooted_on_purpose_and_is_given_time():
    cordoned = node(SILENT, unschedulable=True)
    assert node_look(PODS, cordoned, RULES, EPOCH) == Look(again_in_s=RULES.not_ready_s - 60)
    (first, _) = node_look(PODS, cordoned, RULES, EPOCH + HOUR).findings
    assert first.note == CORDONED_NOTE


def test_a_node_that_is_ready_or_nobodys_business_is_left_alone():
    assert node_look(PODS, node(pod_condition("Ready", "True")), RULES, EPOCH) == Look()
    assert node_look(PODS, node(SILENT), CrashRules(frozenset({IncidentKind.EVICTED})), EPOCH) == Look()
    assert node_look((), node(SILENT), RULES, EPOCH) == Look()


def test_of_a_node_only_its_readiness_is_kept():
    assert [one.type for one in node(SILENT).status.conditions] == ["Ready"]
