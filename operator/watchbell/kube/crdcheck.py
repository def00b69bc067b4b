"""What must be there before anything is started: our kinds, and the right to do what will be done. Run once, by `runtime` and `doctor`.

Both answers are values: the caller turns them into one sentence and an exit code.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from watchbell.api.names import GROUP, VERSION
from watchbell.kube.client import SELF_SUBJECT_ACCESS_REVIEWS, Client, Resource
from watchbell.kube.errors import NotFound
from watchbell.kube.resources import SUBJECT_ACCESS_REVIEWS

_AT_ONCE = 8


class _Served(msgspec.Struct):
    name: str


class _ServedList(msgspec.Struct):
    resources: list[_Served] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One verb on one kind; `namespace` None = in all of them."""

    verb: str
    resource: Resource
    namespace: str | None = None
    subresource: str = ""

    def __str__(self) -> str:
        kind = f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural
        group = f".{self.resource.group}" if self.resource.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {kind}{group}{where}"


async def missing_crds(client: Client, names: Sequence[str]) -> tuple[str, ...]:
    """Which of our kinds (`smtpconnectors`, or `smtpconnectors.watchbell.dev`) the API server does not serve in our version.

    Asks discovery, which lists a CRD once it is Established and which everybody may read. Raises ApiError when it cannot be asked.
    """
    try:
        data = await client.raw_get(f"/apis/{GROUP}/{VERSION}")
    except NotFound:
        return tuple(names)
    served = {entry.name for entry in msgspec.json.decode(data, type=_ServedList).resources or ()}
    return tuple(name for name in names if name.removesuffix(f".{GROUP}") not in served)


async def forbidden_verbs(client: Client, wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """Those of `wanted` that our role does not allow, each as `list pods in namespace shop`. Raises ApiError when it cannot be asked."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def ask(one: Wanted) -> bool:
        async with limit:
            return await is_allowed(client, one)

    answers = await asyncio.gather(*(ask(one) for one in wanted))
    return tuple(str(one) for one, answer in zip(wanted, answers, strict=True) if not answer)


async def is_allowed(client: Client, wanted: Wanted, user: str = "", name: str = "") -> bool:
    """Whether `wanted` is allowed on every object of the kind, or on the one called `name`: to us, or to `user`, a service account.

    `user` as in `system:serviceaccount:shop:relay`. Raises ApiError when it cannot be asked; only some may ask about others.
    """
    attributes = {
        "verb": wanted.verb,
        "group": wanted.resource.group,
        "version": wanted.resource.version,
        "resource": wanted.resource.plural,
        "subresource": wanted.subresource,
        "namespace": wanted.namespace or "",
        "name": name,
    }
    spec: dict[str, Any] = {"resourceAttributes": attributes}
    resource, kind = SELF_SUBJECT_ACCESS_REVIEWS, "SelfSubjectAccessReview"
    if user:
        resource, kind = SUBJECT_ACCESS_REVIEWS, "SubjectAccessReview"
        of_namespace = f"system:serviceaccounts:{user.split(':')[2]}"
        spec |= {"user": user, "groups": ["system:serviceaccounts", "system:authenticated", of_namespace]}
    answer = await client.create(resource, {"apiVersion": resource.api_version, "kind": kind, "spec": spec})
    return bool(answer["status"]["allowed"])
