"""Reads a cluster for the doctor, with the rights of whoever runs it. Reads only; what may not be read becomes a gap with its reason.

Before: a client and the namespaces. After: `relays`, `probing` and the checks. Secrets are read one by one, only those that connectors name.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from watchbell.api.kinds import KINDS
from watchbell.api.names import ANNOTATION_BUNDLE_VERSION, GROUP
from watchbell.api.times import moment
from watchbell.connectors.credentials import SecretView, secret_view
from watchbell.doctor.facts import Absence, Body, Denied, Facts, Key, Source, part, spec_of
from watchbell.kube.client import (
    CONFIGMAPS,
    CRDS,
    LEASES,
    NAMESPACES,
    PODS,
    SECRETS,
    Client,
    custom,
)
from watchbell.kube.crdcheck import Wanted, is_allowed, missing_crds
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.resources import Resource
from watchbell.kube.reviews import SELF_SUBJECT_REVIEWS

_Found = TypeVar("_Found")
OPERATOR_LABEL = "app.kubernetes.io/name=watchbell"
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
AT_ONCE = 8
READ_BY_DOCTOR = (
    "smtpconnectors",
    "clustersmtpconnectors",
    "emailmessages",
    "collectorpolicies",
    "alertsilences",
    "smtptests",
    "accountrecoveries",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: `namespace` None = everywhere; `home` and `account` are the operator's. `rights`: what its role must allow."""

    namespace: str | None
    home: str
    account: str
    rights: tuple[Wanted, ...] = ()


async def sees_all(client: Client) -> bool:
    """Whether the caller may list connectors of all namespaces."""
    return await is_allowed(client, Wanted("list", custom("smtpconnectors")))


async def gather(client: Client, place: Place) -> Facts:
    """One look. Raises ApiError only when the API server cannot be reached or does not know who asks."""
    version = msgspec.json.decode(await client.raw_get("/version"), type=dict[str, Any])
    reader = _Reader(client, place)
    skew_s = await reader.skew_s()
    crds = await reader.crds()
    await reader.read_objects(set(crds))
    connectors = (*reader.objects.get("SmtpConnector", ()), *reader.objects.get("ClusterSmtpConnector", ()))
    secrets, maps = await reader.references(connectors)
    return Facts(
        now=datetime.now(UTC),
        source=Source.CLUSTER,
        objects={kind: tuple(bodies) for kind, bodies in reader.objects.items()},
        home=place.home,
        namespaces=(place.namespace,) if place.namespace else (),
        crds=crds,
        server_version=str(version.get("gitVersion", "")),
        skew_s=skew_s,
        secrets=secrets,
        config_maps=maps,
        denied_caller=await reader.denied_caller(),
        denied_operator=await reader.denied_operator(connectors),
        gaps=reader.gaps,
    )


class _Reader:
    """Collects objects and gaps."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._place = place
        self._limit = asyncio.Semaphore(AT_ONCE)
        self.objects: dict[str, list[Body]] = {}
        self.gaps: dict[str, str] = {}

    async def skew_s(self) -> float | None:
        """How far our clock is ahead: the API server dates a review of ourselves (whole seconds)."""
        body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": "SelfSubjectReview"}
        try:
            answer = await self._client.create(SELF_SUBJECT_REVIEWS, body)
        except (Forbidden, NotFound):
            return None
        theirs = moment(answer["metadata"].get("creationTimestamp"))
        return (datetime.now(UTC) - theirs).total_seconds() if theirs else None

    async def crds(self) -> Mapping[str, str]:
        """Each kind that is served, with the bundle version of its CRD where that may be read."""
        plurals = [kind.plural for kind in KINDS]
        missing = set(await missing_crds(self._client, plurals))
        versions = dict.fromkeys((plural for plural in plurals if plural not in missing), "")
        try:
            bodies = await self._client.list(CRDS)
        except Forbidden:
            return versions
        for body in bodies:
            plural, _, group = str(body["metadata"]["name"]).partition(".")
            if group == GROUP and plural in versions:
                versions[plural] = str((body["metadata"].get("annotations") or {}).get(ANNOTATION_BUNDLE_VERSION, ""))
        return versions

    async def read_objects(self, served: set[str]) -> None:
        """Our kinds, and of the operator's namespace what its health shows."""
        home, reads = self._place.home, []
        for kind in KINDS:
            if kind.plural in served and kind.plural in READ_BY_DOCTOR:
                where = self._place.namespace if kind.namespaced else None
                reads.append(self._list(kind.kind, custom(kind.plural, namespaced=kind.namespaced), where))
        reads.append(self._list("Pod", PODS, home, OPERATOR_LABEL))
        reads.append(self._list("Lease", LEASES, home))
        reads.append(self._list("NetworkPolicy", NETWORK_POLICIES, home))
        reads.append(self._one("Namespace", NAMESPACES, home))
        await asyncio.gather(*reads)

    async def _list(self, kind: str, resource: Resource, namespace: str | None, selector: str = "") -> None:
        async with self._limit:
            try:
                found = await self._client.list(resource, namespace, label_selector=selector)
            except (Forbidden, NotFound) as error:
                self.gaps[kind] = error.message
            else:
                self.objects[kind] = [{"kind": kind, **body} for body in found]

    async def _one(self, kind: str, resource: Resource, name: str) -> None:
        async with self._limit:
            try:
                self.objects[kind] = [await self._client.get(resource, name)]
            except (Forbidden, NotFound) as error:
                self.gaps[kind] = error.message

    async def references(
        self, connectors: Sequence[Body]
    ) -> tuple[Mapping[Key, SecretView | Absence], Mapping[Key, Mapping[str, str] | Absence]]:
        """The Secrets and ConfigMaps that connectors name."""
        secrets = await self._each(_named(connectors, self._place.home, "secrets"), self._secret)
        maps = await self._each(_named(connectors, self._place.home, "maps"), self._config_map)
        return secrets, maps

    async def _each(self, keys: Iterable[Key], read: Callable[[Key], Awaitable[_Found]]) -> dict[Key, _Found]:
        wanted = sorted(set(keys))
        return dict(zip(wanted, await asyncio.gather(*map(read, wanted)), strict=True))

    async def _secret(self, key: Key) -> SecretView | Absence:
        body = await self._body(SECRETS, key)
        return body if isinstance(body, Absence) else secret_view(body)

    async def _config_map(self, key: Key) -> Mapping[str, str] | Absence:
        body = await self._body(CONFIGMAPS, key)
        return body if isinstance(body, Absence) else dict(body.get("data") or {})

    async def _body(self, resource: Resource, key: Key) -> dict[str, Any] | Absence:
        async with self._limit:
            try:
                return await self._client.get(resource, key[1], key[0])
            except NotFound:
                return Absence.MISSING
            except Forbidden:
                return Absence.FORBIDDEN

    async def denied_caller(self) -> tuple[Denied, ...]:
        """What whoever runs the doctor may not read of it."""
        where = self._place.namespace
        wanted = [
            Wanted("list", custom(kind.plural), where)
            for kind in KINDS
            if kind.plural in READ_BY_DOCTOR and kind.namespaced
        ]
        wanted.append(Wanted("list", custom("clustersmtpconnectors", namespaced=False)))
        wanted.append(Wanted("list", PODS, self._place.home))
        return await self._denied([(one, "") for one in wanted])

    async def denied_operator(self, connectors: Sequence[Body]) -> tuple[Denied, ...] | None:
        """What the operator's service account may not do; None where we may not ask."""
        user = f"system:serviceaccount:{self._place.home}:{self._place.account}"
        secrets = sorted(set(_named(connectors, self._place.home, "secrets")))
        asked = [
            *((one, "") for one in self._place.rights),
            *((Wanted("get", SECRETS, namespace), name) for namespace, name in secrets),
        ]
        try:
            return await self._denied(asked, user)
        except Forbidden as error:
            self.gaps["SubjectAccessReview"] = f"you may not ask what the operator may do: {error.message}"
            return None

    async def _denied(self, asked: Sequence[tuple[Wanted, str]], user: str = "") -> tuple[Denied, ...]:
        async def ask(one: Wanted, name: str) -> Denied | None:
            async with self._limit:
                allowed = await is_allowed(self._client, one, user, name)
            right = str(one).replace("secrets", f"secrets/{name}", 1) if name else str(one)
            return None if allowed else Denied(user, right)

        return tuple(found for found in await asyncio.gather(*(ask(*one) for one in asked)) if found is not None)


def _named(connectors: Sequence[Body], home: str, what: str) -> Iterable[Key]:
    paths = {"secrets": _SECRET_PATHS, "maps": _MAP_PATHS}[what]
    for body in connectors:
        namespace = str(body["metadata"].get("namespace") or "") or home
        for path in paths:
            if name := part(spec_of(body), *path, "name"):
                yield namespace, str(name)


_SECRET_PATHS = (("auth", "secretRef"), ("tls", "caSecretRef"), ("tls", "clientCertSecretRef"))
_MAP_PATHS = (("tls", "caConfigMapRef"),)
