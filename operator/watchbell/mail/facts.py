"""What the mails about collectors are made from: one incident, or many in one mail.

Before: the collectors fill these in, all of it text that anybody may have written. After: `crash`, `drift` and `digest` say it, `evidence` bounds it.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its zone; facts that are read from JSON are refused without one."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One affected pod as its status told; `last_time` is when the container last ended, `memory_limit` a quantity such as `512Mi`."""

    name: str
    node: str = ""
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    restarts: int = 0
    last_time: Moment | None = None
    message: str = ""
    memory_limit: str = ""
    is_never_restarted: bool = False


@dataclass(frozen=True, slots=True)
class DifferenceFacts:
    """One departure from the baseline: which check found it, at which field, what should be there and what is. Values of env variables never."""

    check: str
    path: str
    expected: str
    actual: str


class Return(StrEnum):
    """How a drift ended."""

    ROLLED_BACK = "RolledBack"
    BASELINE_ACCEPTED = "BaselineAccepted"
    PODS_REPLACED = "PodsReplaced"
    PODS_GONE = "PodsGone"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class CrashFacts:
    """All that the mails of one incident say. Every text may be hostile. `now` is when the mail is written, for a resolved one when it was resolved.

    `kind` is what the incident began as and stays, `worst` what it became. `affected_count` is the number of all affected pods, should `pods` hold
    fewer; `log_lines` are of the first pod unless `log_pod` names another; `exit_meaning` replaces our own explanation; 0 in `repeat_seconds` or
    `resolve_after_seconds` says nothing about what comes next. `are_pods_gone`: it is over because nothing is left that could fail, which does not
    say that it would run. `well_since`: since when nothing failed any more, which is before the incident was called over.

    `workload_namespace` is where the pods are, if that is not the policy's. `events` (warnings of the pod, newest last) and `changes` (what changed
    before a failure; in a resolved mail what changed meanwhile) are plain sentences. `flaps`: how often it failed again after it had been well.
    `note`: one more sentence, such as that a liveness probe killed it. `hidden_pods` of `hidden_owners` workloads are on a lost node and not told
    by alerts of their own. `template_failure`: why the user's template could not be used. `escalated_from`: the severity before this one.
    `more_differences` are not in `differences`; `baseline` is the policy's mode, `capture_revision` its revision, `return_reason` how a drift ended.
    `belated`: why this mail stands for earlier ones too, known only when it is sent.
    """

    cluster: str
    namespace: str
    policy: str
    incident: str
    owner_kind: str
    owner_name: str
    kind: str
    severity: str
    container: str
    image: str
    pods: tuple[PodFacts, ...]
    start_time: Moment
    now: Moment
    affected_count: int = 0
    log_lines: tuple[str, ...] = ()
    log_pod: str = ""
    exit_meaning: str = ""
    repeat_seconds: int = 0
    resolve_after_seconds: int = 0
    send_resolved: bool = True
    worst: str = ""
    is_reminder: bool = False
    are_pods_gone: bool = False
    well_since: Moment | None = None
    dashboard_url: str = ""
    runbook_url: str = ""
    image_id: str = ""
    workload_namespace: str = ""
    events: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    flaps: int = 0
    note: str = ""
    hidden_pods: int = 0
    hidden_owners: int = 0
    template_failure: str = ""
    escalated_from: str = ""
    acknowledged_by: str = ""
    differences: tuple[DifferenceFacts, ...] = ()
    baseline: str = ""
    capture_revision: str = ""
    return_reason: Return = Return.UNKNOWN
    more_differences: int = 0
    belated: str = ""


class DigestReason(StrEnum):
    """Why several incidents share a mail: they were due together, the policy's budget of mails was used up, or a silence ended."""

    BATCH = "batch"
    THROTTLED = "throttled"
    SILENCE_ENDED = "silence-ended"


@dataclass(frozen=True, slots=True)
class SilenceFacts:
    """An AlertSilence that no longer mutes: its words, its window and when it ended for these incidents. `was_deleted`: before its time."""

    name: str
    start_time: Moment | None = None
    end_time: Moment | None = None
    comment: str = ""
    created_by: str = ""
    was_deleted: bool = False


@dataclass(frozen=True, slots=True)
class DigestEntry:
    """One incident in a digest. `transition` as in the API (`Fired`, `Repeated`, `Escalated`, `Resolved`); `pods_count` may exceed `pods`.

    `reason` is one sentence on what is wrong, or how it ended; empty = the words of its kind and of its first pod. `occurrences`: failures seen.
    """

    incident: str
    owner_kind: str
    owner_name: str
    kind: str
    severity: str
    transition: str
    container: str = ""
    pods_count: int = 0
    first_time: Moment | None = None
    last_time: Moment | None = None
    occurrences: int = 0
    reason: str = ""
    pods: tuple[PodFacts, ...] = ()
    workload_namespace: str = ""
    flaps: int = 0
    image: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the entry tells an end."""
        return self.transition == "Resolved"


@dataclass(frozen=True, slots=True)
class DigestFacts:
    """All that a mail about several incidents says. `severity` empty = the worst of the entries that are not over.

    `total` is the number of incidents in all, should `entries` hold fewer. `period_seconds` and `messages_per_hour` are the policy's, for the
    sentence on why this is one mail; `part` of `parts` when one telling takes several digests.
    """

    cluster: str
    namespace: str
    policy: str
    severity: str
    now: Moment
    entries: tuple[DigestEntry, ...]
    reason: DigestReason = DigestReason.BATCH
    dashboard_url: str = ""
    runbook_url: str = ""
    silence: SilenceFacts | None = None
    total: int = 0
    period_seconds: int = 0
    messages_per_hour: int = 0
    part: int = 1
    parts: int = 1
    template_failure: str = ""
