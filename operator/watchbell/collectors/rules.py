"""What a policy asks for, as plain values (pure): what is a crash, what is drift, how many mails it makes.

Before: `policies` reads them from the object. After: `crash` and `drift` judge by them, `decisions` and `batches` plan by them.
"""

from dataclasses import dataclass
from datetime import datetime

from watchbell.api.enums import BaselineMode, DriftCheck, IncidentKind, Severity


@dataclass(frozen=True, slots=True)
class CrashRules:
    """What a policy calls a crash. `news_since`: an end before it, found without an earlier sight of the pod, is baseline and no news.

    `restart_threshold` restarts within `restart_window_s` are a burst; a pod is NotReady or Unschedulable only after `not_ready_s`;
    `pod_conditions` are (type, status) pairs by which a supervisor in the pod reports a dead sub-process.
    """

    kinds: frozenset[IncidentKind]
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    news_since: datetime | None = None
    restart_threshold: int = 5
    restart_window_s: float = 600.0
    not_ready_s: float = 300.0
    pod_conditions: tuple[tuple[str, str], ...] = ()

    def takes(self, container: str) -> bool:
        """Whether the policy looks at this container; an empty `include` means all."""
        return container not in self.exclude and (not self.include or container in self.include)


@dataclass(frozen=True, slots=True)
class Range:
    """Between how many and how many; None = no bound."""

    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class PinnedContainer:
    """What one container must be. Empty = not compared. Digests are `sha256:…`."""

    name: str
    images: tuple[str, ...] = ()
    image_digests: tuple[str, ...] = ()
    args_hash: str = ""
    env_hash: str = ""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A baseline that is kept in Git. `config_maps` are (name, hash of the data)."""

    containers: tuple[PinnedContainer, ...] = ()
    config_maps: tuple[tuple[str, str], ...] = ()
    replicas: Range | None = None


@dataclass(frozen=True, slots=True)
class DriftRules:
    """What is compared with what.

    `pending_s`: a difference must stand so long before it counts. `label_keys` empty = all of the template's labels.
    """

    checks: frozenset[DriftCheck] = frozenset()
    mode: BaselineMode = BaselineMode.OWNER_TEMPLATE
    capture_revision: str = ""
    pinned: Pinned | None = None
    label_keys: frozenset[str] = frozenset()
    ignored_env: frozenset[str] = frozenset()
    config_hash_annotations: tuple[str, ...] = ()
    replicas: Range | None = None
    pending_s: float = 60.0
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()

    def takes(self, container: str) -> bool:
        """Whether the policy looks at this container; an empty `include` means all."""
        return container not in self.exclude and (not self.include or container in self.include)


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy's grouping and throttle, in seconds; `repeat_s` 0 = never, `max_incidents` 1 = a mail for each incident, never a digest."""

    wait_s: float
    repeat_s: float
    resolve_after_s: float
    tells_resolved: bool
    period_s: float = 300.0
    max_incidents: int = 50
    messages_per_hour: int = 30


@dataclass(frozen=True, slots=True)
class Severities:
    """How bad a kind of incident is under a policy."""

    default: Severity = Severity.WARNING
    overrides: tuple[tuple[IncidentKind, Severity], ...] = ()

    def of(self, kind: IncidentKind) -> Severity:
        """The severity of an incident of this kind."""
        return next((severity for named, severity in self.overrides if named is kind), self.default)
