"""What each kind of incident is called, and what it usually means: the knowledge of the mails.

Before: a kind. After: `crash`, `drift` and `digest` put the words into sentences. Sources: the kubelet's reasons for waiting and terminated
containers (kubernetes `pkg/kubelet/container`, `pkg/kubelet/eviction`), the scheduler's and the controllers' conditions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from watchbell.mail.untrusted import visible


class About(Enum):
    """What an incident of a kind is about: whose name its sentences begin with, and what can be run to learn more."""

    CONTAINER = auto()
    POD = auto()
    OWNER = auto()
    NODE = auto()


@dataclass(frozen=True, slots=True)
class KindWords:
    """`phrase` stands in the subject for the whole life of an incident: Gmail and Outlook thread by it, so it holds no number and no bracket.

    `link` joins name and phrase in the title: `prod/otel is crash looping`, `prod/otel: container failed`. `does` goes on from what `about` names.
    `usually` are whole sentences; empty where the exit code says more.
    """

    phrase: str
    does: str
    link: str = ": "
    about: About = About.CONTAINER
    usually: tuple[str, ...] = ()


KINDS: Mapping[str, KindWords] = {
    "CrashLoopBackOff": KindWords("crash looping", "keeps failing and waits longer before each restart", link=" is "),
    "OOMKilled": KindWords("out of memory", "was killed for using more memory than its limit", link=" is "),
    "ContainerError": KindWords("container failed", "ended with an error"),
    "ContainerConfigError": KindWords(
        "container cannot be created",
        "cannot be created: something that its definition refers to is missing or wrong",
        usually=(
            (
                "A ConfigMap, a Secret or a key in one of them is not there, or a volume, a user or a sub-path does not fit; "
                "the last event of the pod names it."
            ),
            "The kubelet tries again by itself: once the missing object exists, the container starts without a restart of the pod.",
        ),
    ),
    "ImagePullFailed": KindWords(
        "image cannot be pulled",
        "waits for an image that cannot be pulled",
        usually=(
            (
                "The tag or the digest does not exist, the registry wants a login (imagePullSecrets), limits the rate, or cannot be reached from "
                "the node; the last event of the pod says which."
            ),
            "Pods that already have the image go on running; new ones and those on other nodes do not start.",
        ),
    ),
    "InitContainerFailed": KindWords(
        "init container failed",
        "is an init container and ended with an error, so that the collector itself does not start",
    ),
    "Evicted": KindWords(
        "pod evicted",
        "was evicted by the kubelet: its node ran short of memory, disk or process ids",
        about=About.POD,
        usually=(
            (
                "The kubelet chooses first the pods that use more than they requested: set requests near what the collector really uses, and bound "
                "its queues on disk (file_storage) and its emptyDir volumes."
            ),
        ),
    ),
    "NodeLost": KindWords(
        "lost",
        "does not answer any more: its kubelet has stopped reporting",
        link=" is ",
        about=About.NODE,
        usually=(
            (
                "The machine is down, cut off from the control plane, or its kubelet or its disk hangs. Kubernetes moves the pods of Deployments "
                "after five minutes; those of StatefulSets and DaemonSets, and volumes, wait for the node or for its deletion."
            ),
            "Until then nobody collects telemetry on this node, and what its collectors held in memory may be lost.",
        ),
    ),
    "Unschedulable": KindWords(
        "cannot be scheduled",
        "waits for a node that would take it, and none does",
        link=" ",
        about=About.POD,
        usually=(
            (
                "No node has enough free memory or CPU for its requests, or none fits its node selector, affinity, tolerations or volumes; the "
                "scheduler's last event counts the nodes for each of these."
            ),
        ),
    ),
    "NotReady": KindWords(
        "not ready",
        "runs, but has not been ready for too long",
        link=" is ",
        about=About.POD,
        usually=(
            (
                "Its readiness probe fails or one of its readiness gates is closed: no Service sends it any data. A collector is not ready while its "
                "pipelines do not start, and often while its exporters cannot reach their target."
            ),
        ),
    ),
    "RestartBurst": KindWords(
        "restarting too often",
        "restarts again and again in a short time",
        link=" is ",
        usually=(
            (
                "Each run is long enough to escape the back-off of a crash loop, so a memory limit that is reached after minutes, a failing liveness "
                "probe or a watchdog is more likely than a wrong configuration."
            ),
        ),
    ),
    "SubprocessCrashed": KindWords(
        "sub-process crashed",
        "reports that a process it supervises has crashed",
        usually=(
            "The container itself goes on, so Kubernetes restarts nothing: the supervisor's log says whether it starts the process again.",
        ),
    ),
    "RolloutStuck": KindWords(
        "roll-out stuck",
        "makes no progress with its new revision",
        about=About.OWNER,
        usually=(
            (
                "New pods do not become ready, so the old ones are kept: the telemetry still flows, but with the old version. For a DaemonSet it may "
                "also be that some nodes have no pod at all."
            ),
            "The pods of the new revision say why: their events and logs are the next place to look.",
        ),
    ),
    "Drift": KindWords("drifted from its baseline", "is not what its baseline says", link=" has ", about=About.OWNER),
}


def words(kind: str) -> KindWords:
    """The words of a kind; a kind that is not known is called by its own name."""
    shown = visible(kind, 63)
    return KINDS.get(kind) or KindWords(f"failing with {shown}", f"fails with {shown}", link=" is ")
