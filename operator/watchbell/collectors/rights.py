"""Rights that a policy's wishes take, beside the pods themselves: nodes, Events, logs, ConfigMaps. Where one is missing, something is not seen.

Before: `standing` asks for each policy. After: what is missing stands in `ResolvedRefs`, with what it costs and the commands that give it. The
answers of the API server are kept for a while: a policy's figures may move many times a minute, its rights do not.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from watchbell.api.enums import DriftCheck, IncidentKind
from watchbell.api.reasons import Reason
from watchbell.collectors.policies import Policy
from watchbell.collectors.sightings import Unresolved
from watchbell.kube.client import CONFIGMAPS, EVENTS, NODES, PODS, Client
from watchbell.kube.crdcheck import Wanted, forbidden_verbs
from watchbell.kube.errors import ApiError
from watchbell.kube.grants import grant, subject_of
from watchbell.kube.reviews import who_am_i

log = logging.getLogger(__name__)

REFUSED_S, ALLOWED_S = 50.0, 900.0
"""For so long an answer is believed: a right that was given shall show within a minute."""
_ABOUT_CONFIGS = frozenset({DriftCheck.STALE_CONFIG, DriftCheck.CONFIG_MAP_CONTENT})


@dataclass(frozen=True, slots=True)
class Need:
    """Verbs on one kind, what is lost without them, and what in the spec asks for it."""

    name: str
    wanted: tuple[Wanted, ...]
    loss: str
    instead: str

    def command(self, user: str) -> str:
        """What gives the right to `user`, a name as the API server knows it."""
        first = self.wanted[0]
        kind = f"{first.resource.plural}.{first.resource.group}".rstrip(".")
        what = f"{kind}/{first.subresource}" if first.subresource else kind
        verbs = ",".join(one.verb for one in self.wanted)
        return grant(self.name, verbs, what, first.namespace or "", subject_of(user))


def needs_of(policy: Policy) -> Iterator[Need]:
    """What the policy asks for that takes a right of its own. Pure."""
    namespace, kinds, checks = policy.key[0], policy.rules.kinds, policy.drift.checks
    if IncidentKind.NODE_LOST in kinds or DriftCheck.NODE_COVERAGE in checks:
        yield Need(
            "nodes",
            (Wanted("list", NODES), Wanted("watch", NODES)),
            "lost nodes are seen by their pods only, and NodeCoverage does not name nodes",
            "leave NodeLost out of spec.crash.kinds and NodeCoverage out of spec.drift.checks",
        )
    if kinds:
        yield Need(
            "events",
            (Wanted("list", EVENTS, namespace),),
            "mails carry no Warning events, and what a liveness probe ended with exit code 0 is not seen",
            "set spec.crash.kinds to []",
        )
    if policy.log_tail_lines > 0 and kinds:
        yield Need(
            "logs",
            (Wanted("get", PODS, namespace, "log"),),
            "mails carry no log lines",
            "set spec.crash.logTailLines to 0",
        )
    if _ABOUT_CONFIGS & checks:
        yield Need(
            "configmaps",
            (Wanted("get", CONFIGMAPS, namespace),),
            "StaleConfig and ConfigMapContent find nothing",
            "leave them out of spec.drift.checks",
        )


class Rights:
    """Asks the API server which of them we have. `clock` in seconds, monotonic."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._answers: dict[Wanted, tuple[bool, float]] = {}
        self._user = ""

    async def missing(self, policy: Policy) -> tuple[Unresolved, ...]:
        """What the policy wants to see and we may not; nothing where that cannot be asked now."""
        if not policy.is_enforced:
            return ()
        return tuple([self._told(need) for need in needs_of(policy) if not await self._has(need)])

    def _told(self, need: Need) -> Unresolved:
        lacking = " and ".join(str(one) for one in need.wanted)
        text = (
            f"The operator may not {lacking}, so {need.loss}. Allow it: {need.command(self._user)}; or {need.instead}."
        )
        return Unresolved(Reason.RIGHTS_MISSING, text)

    async def _has(self, need: Need) -> bool:
        unknown = [one for one in need.wanted if not self._is_fresh(one)]
        try:
            refused = set(await forbidden_verbs(self._client, unknown)) if unknown else set()
            if refused and not self._user:
                self._user = await who_am_i(self._client)
        except (ApiError, TimeoutError) as error:
            log.info("the operator's rights could not be asked for: %s", error)
            return True
        now = self._clock()
        self._answers |= {one: (str(one) not in refused, now) for one in unknown}
        return all(self._answers[one][0] for one in need.wanted)

    def _is_fresh(self, wanted: Wanted) -> bool:
        is_allowed, at = self._answers.get(wanted, (False, float("-inf")))
        return self._clock() - at < (ALLOWED_S if is_allowed else REFUSED_S)
