"""The words of the doctor (pure): a check, what it found, and the remedies that it offers.

`checks_*` make these; `record` turns them into the documents that people and programs read. A check is a fixed text and one pure function.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchbell.doctor.facts import Facts

PREFIX = "check."


class Severity(StrEnum):
    """How bad it is when a check fails, the least first."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """For comparisons."""
        return list(Severity).index(self)


class Status(StrEnum):
    """How a check ended for one object. ERROR: the check itself could not be done though it should have been."""

    PASS = "pass"  # noqa: S105 - a word of the report
    INFO = "info"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


class Category(StrEnum):
    """What a check is about."""

    CONNECTIVITY = "connectivity"
    SECURITY = "security"
    CONFIGURATION = "configuration"
    RBAC = "rbac"
    DELIVERY = "delivery"
    COLLECTORS = "collectors"
    UPGRADE = "upgrade"


class Likelihood(StrEnum):
    """How often a cause is the one."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Platform(StrEnum):
    """By what the objects are kept."""

    KUBECTL = "kubectl"
    HELM = "helm"
    GITOPS = "gitops"


@dataclass(frozen=True, slots=True)
class Cause:
    """What usually is behind it."""

    text: str
    likelihood: Likelihood


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do. `commands` may hold `$NAMESPACE`, `$NAME`, `$SECRET` and `$OPERATOR_NAMESPACE`; `is_safe`: nothing is lost or stopped by it."""

    platform: Platform
    steps: tuple[str, ...]
    commands: tuple[str, ...] = ()
    is_safe: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found at one object.

    `steps` are remedies for this very finding, said before the check's own. `names` fill the variables of commands.
    """

    status: Status
    message: str
    object: str = ""
    evidence: tuple[tuple[str, str], ...] = ()
    steps: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    duration_ms: int = 0


Judge = Callable[["Facts"], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its fixed text, and the function that judges. `is_quick` False: it needs the network beyond the API server."""

    id: str
    title: str
    category: Category
    severity: Severity
    tags: tuple[str, ...]
    looks_at: str
    why: str
    causes: tuple[Cause, ...]
    remedies: tuple[Remedy, ...]
    judge: Judge
    related: tuple[str, ...] = ()
    is_quick: bool = True
    verification: str = ""

    @property
    def how_to_verify(self) -> str:
        """The command that shows whether it is mended."""
        return self.verification or f"watchbell doctor run --check {self.id}"


@dataclass(frozen=True, slots=True)
class Result:
    """A check's finding."""

    check: Check
    finding: Finding

    @property
    def weight(self) -> int:
        """The severity that counts for the exit code; -1 for what is no finding."""
        match self.finding.status:
            case Status.FAIL | Status.ERROR:
                return self.check.severity.rank
            case Status.WARN:
                return min(self.check.severity.rank, Severity.WARN.rank)
            case Status.INFO:
                return Severity.INFO.rank
        return -1


def high(text: str) -> Cause:
    """The usual cause."""
    return Cause(text, Likelihood.HIGH)


def medium(text: str) -> Cause:
    """A frequent cause."""
    return Cause(text, Likelihood.MEDIUM)


def low(text: str) -> Cause:
    """A rare cause."""
    return Cause(text, Likelihood.LOW)


def change(what: str, *commands: str, is_safe: bool = True) -> tuple[Remedy, ...]:
    """The same change for each way of keeping objects: by hand with these commands, in a release's values, in Git."""
    return (
        Remedy(Platform.KUBECTL, (what,), commands, is_safe),
        Remedy(
            Platform.HELM,
            (f"In the values of the release that holds the object: {_lowered(what)}",),
            ("helm upgrade RELEASE CHART --namespace $NAMESPACE --reuse-values --values values.yaml",),
            is_safe,
        ),
        Remedy(
            Platform.GITOPS,
            (f"In the manifest in Git: {_lowered(what)}", "Push, and let Flux or Argo CD reconcile."),
            ("flux reconcile kustomization KUSTOMIZATION --with-source", "argocd app sync APPLICATION"),
            is_safe,
        ),
    )


def _lowered(text: str) -> str:
    first = text.partition(" ")[0]
    return text if first.isupper() or "." in first.rstrip(".") else text[:1].lower() + text[1:]
