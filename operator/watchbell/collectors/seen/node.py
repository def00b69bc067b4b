"""Nodes as alerts need them (pure): the shape into which `nodes` decodes, and when one is lost.

Before: bytes of a list or watch. After: `incidents` folds the pods of a lost node into one incident. The control plane's own judgement counts: it
calls a node not ready when the kubelet was silent for its grace period, or when the kubelet says so itself.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from sys import intern

import msgspec

from watchbell.api.enums import IncidentKind
from watchbell.api.times import moment
from watchbell.collectors.findings import NODE_OWNER, Finding, Look
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import Owner, Pod, PodCondition, main_container

NEW_NODE_S = 300.0
"""A node that was never ready may take so long to join."""
CORDONED_NOTE = "The node was cordoned: somebody may be working on it."


class NodeMeta(msgspec.Struct, rename="camel", gc=False):
    """Which node."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class NodeSpec(msgspec.Struct, rename="camel", gc=False):
    """`unschedulable`: it is cordoned."""

    unschedulable: bool = False


class NodeInfo(msgspec.Struct, rename="camel", gc=False):
    """What the kubelet says of the machine; `architecture` as Go names it (`amd64`, `arm64`)."""

    architecture: str = ""

    def __post_init__(self) -> None:
        self.architecture = intern(self.architecture)


class NodeStatus(msgspec.Struct, rename="camel", gc=False):
    """Of the conditions only Ready stays."""

    conditions: tuple[PodCondition, ...] = ()
    node_info: NodeInfo = msgspec.field(default_factory=NodeInfo)

    def __post_init__(self) -> None:
        self.conditions = tuple(one for one in self.conditions if one.type == "Ready")
        for condition in self.conditions:
            condition.reason, condition.message = intern(condition.reason), intern(condition.message[:1024])


class Node(msgspec.Struct, gc=False):
    """One node."""

    metadata: NodeMeta
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)

    @property
    def ready(self) -> PodCondition | None:
        """The condition Ready; None before the kubelet's first word."""
        return self.status.conditions[0] if self.status.conditions else None

    @property
    def lost_since(self) -> datetime | None:
        """Since when it is not ready (Unknown or False); None while it is, or when nobody ever said. A new node is given time by `lost_at`."""
        ready = self.ready
        return moment(ready.last_transition_time) if ready is not None and ready.status != "True" else None


def lost_at(node: Node) -> datetime | None:
    """From when on it counts as lost: at once when it was ready before, after a while when it is still joining; None while it is ready."""
    since = node.lost_since
    created = moment(node.metadata.creation_timestamp)
    if since is None or created is None:
        return since
    grace = timedelta(seconds=NEW_NODE_S)
    return created + grace if since < created + timedelta(seconds=60) else since


def node_look(pods: Iterable[Pod], node: Node, rules: CrashRules, now: datetime) -> Look:
    """One NodeLost finding for each pod of a policy on a lost node; the node owns them all, so they are one trouble.

    A cordoned node is given `not_ready_s`: it may be rebooted on purpose, and pods of a DaemonSet are not drained.
    """
    at = lost_at(node)
    if at is None or IncidentKind.NODE_LOST not in rules.kinds:
        return Look()
    if node.spec.unschedulable:
        at += timedelta(seconds=rules.not_ready_s)
    if now < at:
        return Look(again_in_s=(at - now).total_seconds())
    there = sorted((pod for pod in pods if not pod.is_finished), key=lambda pod: pod.metadata.name)
    since = node.lost_since or at
    return Look(tuple(_finding(pod, node, since) for pod in there))


def _finding(pod: Pod, node: Node, since: datetime) -> Finding:
    ready = node.ready
    main = pod.spec.shape.find(main_container(pod))
    return Finding(
        kind=IncidentKind.NODE_LOST,
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        owner=Owner(NODE_OWNER, node.metadata.name),
        node=node.metadata.name,
        container="",
        is_init=False,
        restarts=max((status.restart_count for status in pod.status.container_statuses), default=0),
        seen_time=since,
        is_standing=True,
        reason=(ready.reason if ready else "") or "NotReady",
        message=ready.message if ready else "",
        image=main.image if main else "",
        note=CORDONED_NOTE if node.spec.unschedulable else "",
    )
