"""What detection hands on (pure): one thing that is wrong, with what is known of it.

Before: `crash` and its neighbours look at pods, nodes and roll-outs, `drift` at baselines. After: `incidents` folds findings into incidents, so it
does no harm to find the same thing twice.
"""

from dataclasses import dataclass
from datetime import datetime

from watchbell.api.enums import DriftCheck, IncidentKind
from watchbell.collectors.seen.pod import Owner

NODE_OWNER = "Node"
"""The owner's kind of what is about a whole node."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One departure from the baseline. `path` is a field path such as `containers[collector].image`; values of env variables never stand here."""

    check: DriftCheck
    path: str
    expected: str
    actual: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. Text from the pod is untrusted.

    `container` is empty where it is about the whole pod, `pod` (with its uid) where it is about the workload. `is_standing`: it is so now.
    `is_live`: it was seen before without this, so it is news whatever the clock of its node says. `note`: what else there is to say, one sentence
    (a liveness probe killed it; which condition a supervisor set). `pods`: whom a finding about the workload concerns, by name.
    """

    kind: IncidentKind
    pod: str
    pod_uid: str
    owner: Owner
    node: str
    container: str
    is_init: bool
    restarts: int
    seen_time: datetime
    is_standing: bool = False
    is_live: bool = False
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    memory_limit: str = ""
    end_id: str = ""
    note: str = ""
    differences: tuple[Difference, ...] = ()
    pods: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a pod, a node or a roll-out found.

    `again_in_s`: when a threshold may be reached although nothing changes until then; None = only a change brings news. `doubtful` are what a
    status alone cannot prove: they count once an Event confirms them (`podevents.probe_kill`).
    """

    findings: tuple[Finding, ...] = ()
    again_in_s: float | None = None
    doubtful: tuple[Finding, ...] = ()
