"""Whom `standing` asks for what it does not see itself: drift, workloads, recipients, templates, rights.

Each is a protocol, so that `standing` knows none of those who answer; `Unknown` stands for one that is not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from watchbell.api.route import Route
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.collectors.sightings import DriftSight, Unresolved
from watchbell.kube.errors import ApiError


class DriftBook(Protocol):
    """What is known of drift."""

    def sight(self, key: PolicyKey) -> DriftSight:
        """How the policy's pods compare with the baseline now."""
        ...

    def baseline_status(self, key: PolicyKey) -> Mapping[str, Any] | None:
        """`status.baseline`; None = not known (yet): what stands there is kept."""
        ...


class OwnerBook(Protocol):
    """What is known of workloads."""

    def failure(self, namespace: str) -> ApiError | None:
        """Why the workloads of a namespace cannot be read."""
        ...


class RecipientBook(Protocol):
    """What is known of recipients that stand elsewhere."""

    async def of(self, policy: Policy, route: Route) -> tuple[str, ...]:
        """The addresses of a route; what cannot be read is a problem from then on."""
        ...

    def problems_of(self, key: PolicyKey) -> tuple[str, ...]:
        """What could not be read, a sentence without its full stop for each route."""
        ...


class TemplateBook(Protocol):
    """What is known of EmailTemplates."""

    def problem(self, namespace: str, name: str) -> str | None:
        """None = it works, or nobody knows yet; empty = there is none of this name; else why it fails, in one line."""
        ...


class RightBook(Protocol):
    """What is known of the operator's own rights."""

    async def missing(self, policy: Policy) -> tuple[Unresolved, ...]:
        """What the policy asks to see and the operator may not."""
        ...


@dataclass(frozen=True, slots=True)
class Unknown:
    """Stands for a source that is not there: nothing is drifted, forbidden or broken."""

    async def missing(self, policy: Policy) -> tuple[Unresolved, ...]:  # noqa: ARG002 - as the protocol has it
        """None."""
        return ()

    def sight(self, key: PolicyKey) -> DriftSight:  # noqa: ARG002 - as the protocol has it
        """No drift."""
        return DriftSight()

    def baseline_status(self, key: PolicyKey) -> Mapping[str, Any] | None:  # noqa: ARG002 - as the protocol has it
        """Not known."""
        return None

    def failure(self, namespace: str) -> ApiError | None:  # noqa: ARG002 - as the protocol has it
        """None."""
        return None

    async def of(self, policy: Policy, route: Route) -> tuple[str, ...]:  # noqa: ARG002 - as the protocol has it
        """Only those that stand in the policy."""
        return route.to

    def problems_of(self, key: PolicyKey) -> tuple[str, ...]:  # noqa: ARG002 - as the protocol has it
        """None."""
        return ()

    def problem(self, namespace: str, name: str) -> str | None:  # noqa: ARG002 - as the protocol has it
        """None."""
        return None


_UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class Books:
    """Who is asked for what `standing` does not see itself."""

    drift: DriftBook = _UNKNOWN
    owners: OwnerBook = _UNKNOWN
    recipients: RecipientBook = _UNKNOWN
    templates: TemplateBook = _UNKNOWN
    rights: RightBook = _UNKNOWN
