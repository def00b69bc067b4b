"""Recipients that stand in ConfigMaps and Secrets, read when a mail is made.

Before: `telling` has a route. After: its addresses. A source that is not there or holds nothing usable leaves the route's other recipients
served; what is wrong is kept for the policy's condition, until the same source is read well.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from watchbell.api.names import LABEL_OPT_IN, SECRET_TYPE
from watchbell.api.route import RecipientSource, Route
from watchbell.collectors.casework.routing import read_addresses
from watchbell.collectors.policies import Policy, PolicyKey
from watchbell.kube.client import CONFIGMAPS, SECRETS, Client
from watchbell.kube.errors import ApiError, Forbidden, NotFound

DEADLINE_S = 2.0
FRESH_S = 15.0
"""A storm asks for the same list a thousand times; who edits it waits no longer than this."""


@dataclass(frozen=True, slots=True)
class _Read:
    addresses: tuple[str, ...]
    problem: str
    until: float


@dataclass(slots=True)
class Recipients:
    """Reads the sources of routes. `problems` are sentences with the cure, by policy and route; `on_change` hears when a policy's moved."""

    client: Client
    clock: Callable[[], float]
    on_change: Callable[[PolicyKey], None]
    problems: dict[PolicyKey, dict[str, str]] = field(default_factory=dict)
    _known: dict[tuple[str, str, str, str], _Read] = field(default_factory=dict)

    async def of(self, policy: Policy, route: Route) -> tuple[str, ...]:
        """The addresses of `to` and of every source that can be read."""
        if not route.to_from:
            return route.to
        reads = await asyncio.gather(*(self._read(policy.key[0], source) for source in route.to_from))
        self._note(policy.key, route.name, "; ".join(read.problem for read in reads if read.problem))
        found = (address for read in reads for address in read.addresses)
        return tuple(dict.fromkeys((*route.to, *found)))

    def problems_of(self, key: PolicyKey) -> tuple[str, ...]:
        """What could not be read, a sentence without its full stop for each route."""
        return tuple(self.problems.get(key, {}).values())

    def forget(self, key: PolicyKey) -> None:
        """The policy is gone, or was written anew."""
        self.problems.pop(key, None)

    def _note(self, key: PolicyKey, route: str, problem: str) -> None:
        known = self.problems.setdefault(key, {})
        if known.get(route, "") == problem:
            return
        known.pop(route, None)
        if problem:
            known[route] = f"Route {route}: {problem}"
        self.on_change(key)

    async def _read(self, namespace: str, source: RecipientSource) -> _Read:
        ref = source.config_map_key_ref or source.secret_key_ref
        if ref is None:
            return _Read((), "toFrom names nothing", 0.0)
        kind = "ConfigMap" if source.config_map_key_ref else "Secret"
        key = (namespace, kind, ref.name, ref.key)
        known = self._known.get(key)
        if known is not None and known.until > self.clock():
            return known
        addresses, problem = await self._fetch(namespace, kind, ref.name, ref.key)
        read = self._known[key] = _Read(addresses, problem, self.clock() + FRESH_S)
        return read

    async def _fetch(self, namespace: str, kind: str, name: str, key: str) -> tuple[tuple[str, ...], str]:
        resource = CONFIGMAPS if kind == "ConfigMap" else SECRETS
        try:
            async with asyncio.timeout(DEADLINE_S):
                body = await self.client.get(resource, name, namespace)
        except NotFound:
            return (), f"{kind} {name} does not exist in namespace {namespace}"
        except Forbidden:
            return (), f"the operator may not get {kind} {name} of namespace {namespace}: grant it with a Role"
        except (ApiError, TimeoutError) as error:
            return (), f"{kind} {name} cannot be read now: {str(error) or 'no answer in time'}"
        return _addresses(body, kind, name, key)


def _addresses(body: Mapping[str, Any], kind: str, name: str, key: str) -> tuple[tuple[str, ...], str]:
    if kind == "Secret" and not _has_opted_in(body):
        namespace = body["metadata"]["namespace"]
        cure = f"kubectl -n {namespace} label secret {name} {LABEL_OPT_IN}=true"
        return (), f"Secret {name} does not say that watchbell may use it: {cure}"
    text = (body.get("data") or {}).get(key)
    if text is None:
        return (), f"{kind} {name} has no key {key}"
    good, bad = read_addresses(_plain(text) if kind == "Secret" else str(text))
    if not good and not bad:
        return (), f"key {key} of {kind} {name} holds no address"
    # What a Secret holds is not repeated anywhere, not even where it is wrong.
    wrong = f"{len(bad)} of its entries are no addresses" if kind == "Secret" else "; ".join(bad[:3])
    return good, f"key {key} of {kind} {name}: {wrong}" if bad else ""


def _has_opted_in(body: Mapping[str, Any]) -> bool:
    labels = body["metadata"].get("labels") or {}
    return body.get("type") == SECRET_TYPE or labels.get(LABEL_OPT_IN) == "true"


def _plain(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except binascii.Error:
        return ""
