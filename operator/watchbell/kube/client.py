"""The façade for every Kubernetes call: get, list, pages, create, replace, apply, apply_status, delete, watch, logs.

Bodies are dicts (or raw bytes, for those who decode into types of their own). Every call ends within the client's deadline, with a value
or with one of the types in `errors`. Only the informer, the lease and the reconcilers are above; `transport` below moves the bytes.
"""

import copy
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import msgspec

from watchbell import __version__
from watchbell.kube.access import Access
from watchbell.kube.errors import Conflict, Gone, Invalid, ServerError
from watchbell.kube.pulse import Pulses
from watchbell.kube.resources import (
    CONFIGMAPS,
    CRDS,
    DAEMONSETS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SECRETS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    SERVICE_ACCOUNTS,
    STATEFULSETS,
    Resource,
    custom,
)
from watchbell.kube.transport import Call, OnRequest, Transport

__all__ = [
    "CONFIGMAPS",
    "CRDS",
    "DAEMONSETS",
    "DEPLOYMENTS",
    "EVENTS",
    "JOBS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "REPLICASETS",
    "SECRETS",
    "SELF_SUBJECT_ACCESS_REVIEWS",
    "SERVICE_ACCOUNTS",
    "STATEFULSETS",
    "Client",
    "Resource",
    "custom",
]

PAGE_LIMIT = 500
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""A list without specs and statuses (API concepts, "Metadata-only fetches")."""
BODIES_PAGE_LIMIT = 100
"""Whole bodies take ten times the memory of typed ones, so fewer are decoded at once."""
Body = dict[str, Any]


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _PageHead(msgspec.Struct):
    metadata: _ListMeta


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[Body] | None = None


_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json"
_HEAD = msgspec.json.Decoder(_PageHead)
_PAGE = msgspec.json.Decoder(_Page)
_BODY = msgspec.json.Decoder(Body)


class Client:
    """One API server, one identity. `on_request(verb, code)` hears of every exchange; code 0 = no answer. `pulses`: its watches."""

    def __init__(
        self,
        access: Access,
        *,
        deadline_s: float = 10.0,
        user_agent: str = f"watchbell/{__version__}",
        on_request: OnRequest | None = None,
    ) -> None:
        self.access = access
        self.pulses = Pulses()
        self._is_patient = False
        self._transport = Transport(access, deadline_s=deadline_s, user_agent=user_agent, on_request=on_request)

    @property
    def in_background(self) -> "Client":
        """The same client for what nobody waits for: its calls wait (`turns.PATIENCE_S` at most) while others are under way."""
        other = copy.copy(self)
        other._is_patient = True  # noqa: SLF001 - a copy of this very object
        return other

    @property
    def is_busy(self) -> bool:
        """Whether calls are under way that somebody waits for: what can be put off had better be."""
        return self._transport.turns.is_busy

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Body:
        """One object."""
        return await self._exchange(Call("get", "GET", resource.path(namespace, name), {}))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Body]:
        """All objects of a small kind, paged inside, without `managedFields`. When a continue token expires the list starts again, once."""
        for is_last in (False, True):
            items: list[Body] = []
            try:
                async with aclosing(
                    self.pages(
                        resource,
                        namespace,
                        label_selector=label_selector,
                        field_selector=field_selector,
                        limit=BODIES_PAGE_LIMIT,
                    )
                ) as pages:
                    async for page in pages:
                        items += map(_lean, _decode_page(page).items or ())
            except Gone:
                if is_last:
                    raise
            else:
                break
        return items

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_LIMIT,
        is_metadata_only: bool = False,
    ) -> AsyncGenerator[bytes, None]:
        """Raw pages of a list, for typed decoding. Raises Gone when the continue token expires between two pages."""
        params = _selectors(label_selector, field_selector) | {"limit": str(limit)}
        accept = METADATA_ONLY if is_metadata_only else "application/json"
        while True:
            page = await self.page(resource, namespace, params, accept)
            yield page
            token = _decode_head(page)
            if not token:
                return
            params["continue"] = token

    async def page(
        self, resource: Resource, namespace: str | None, params: Mapping[str, str], accept: str = "application/json"
    ) -> bytes:
        """One raw page of a list; `params` as the API names them (limit, continue, labelSelector, fieldSelector)."""
        return await self._bytes(Call("list", "GET", resource.path(namespace), params, accept=accept))

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None, *, brief: bool = False
    ) -> Body:
        """A new object. Raises AlreadyExists when the name is taken. Never repeated by itself: the first try may have counted.

        `brief`: only the metadata is asked for, and the answer is `body` with it; what the server filled in elsewhere (defaults) is not there. It
        spares both sides the way of a large body back.
        """
        accept = _METADATA_ONLY if brief else "application/json"
        call = Call("create", "POST", resource.path(namespace), {}, _encode(body), accept=accept, is_repeatable=False)
        answer = await self._exchange(call)
        return {**body, "metadata": answer["metadata"]} if brief else answer

    async def replace(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None, *, brief: bool = False
    ) -> Body:
        """PUT of a whole object that was read before: its resourceVersion makes a change in between a Conflict. `brief` as in `create`."""
        path = resource.path(namespace, str(body["metadata"]["name"]))
        accept = _METADATA_ONLY if brief else "application/json"
        answer = await self._exchange(
            Call("update", "PUT", path, {}, _encode(body), accept=accept, is_repeatable=False)
        )
        return {**body, "metadata": answer["metadata"]} if brief else answer

    async def apply(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        *,
        manager: str,
        force: bool = True,
    ) -> Body:
        """Server-side apply: the fields in `body` become ours under `manager`, those we applied before and left out go away."""
        return await self._apply(resource.path(namespace, name), body, manager=manager, force=force)

    async def apply_status(  # noqa: PLR0913 - the signature that every reconciler shares; all but three go by name
        self,
        resource: Resource,
        name: str,
        status: Mapping[str, Any],
        namespace: str | None = None,
        *,
        manager: str,
        api_version: str,
        kind: str,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Body:
        """Server-side apply on `/status`. With `uid` or `resource_version` another object of that name, or a change, is a Conflict."""
        metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": resource_version}
        body = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {key: value for key, value in metadata.items() if value},
            "status": status,
        }
        try:
            return await self._apply(resource.path(namespace, name, "status"), body, manager=manager, force=True)
        except Invalid as error:
            # Built-in kinds tell another uid this way, custom ones by 409.
            if any(field == "metadata.uid" for field, _ in error.causes):
                raise Conflict(409, "Conflict", error.message) from error
            raise

    async def _apply(self, path: str, body: Mapping[str, Any], *, manager: str, force: bool) -> Body:
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        call = Call("patch", "PATCH", path, params, _encode(body), content_type="application/apply-patch+yaml")
        return await self._exchange(call)

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
    ) -> Body:
        """JSON merge patch, for fields that more than one writer shares (event series, annotations)."""
        path = resource.path(namespace, name, subresource)
        call = Call("patch", "PATCH", path, {}, _encode(body), content_type="application/merge-patch+json")
        return await self._exchange(call)

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, uid: str | None = None
    ) -> None:
        """Delete, dependants in the background. With `uid` only that very object: another one of the name is a Conflict."""
        options: Body = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        await self._bytes(Call("delete", "DELETE", resource.path(namespace, name), {}, _encode(options)))

    async def raw_get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """The bytes of any path (`/version`, `/readyz`)."""
        return await self._bytes(Call("get", "GET", path, params or {}, accept="*/*"))

    async def pod_log(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail_lines: int, limit_bytes: int
    ) -> str:
        """The last lines of a container's log (`previous` = of the run that died). At most `limit_bytes` from the API server."""
        params = {"container": container, "tailLines": str(tail_lines), "limitBytes": str(limit_bytes)}
        if previous:
            params["previous"] = "true"
        return (await self.raw_get(PODS.path(namespace, pod, "log"), params)).decode("utf-8", "replace")

    async def watch(  # noqa: PLR0913 - what to watch, and how long; all but two go by name
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout_s: int = 600,
        stall_s: float = 70.0,
    ) -> AsyncGenerator[bytes, None]:
        """Raw JSON lines of a watch, bookmarks among them. Ends when the server ends it (after `timeout_s`).

        Raises Unreachable on a cut or after `stall_s` of silence (bookmarks come about each minute), Gone and the like as status. Close it
        (`contextlib.aclosing`) when leaving early.
        """
        params = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_s),
        }
        call = Call("watch", "GET", resource.path(namespace), params)
        async with self._transport.stream(call, stall_s=stall_s) as lines:
            async for line in lines:
                yield line

    async def _exchange(self, call: Call) -> Body:
        return _decode(await self._bytes(call))

    async def _bytes(self, call: Call) -> bytes:
        return await self._transport.exchange(replace(call, is_patient=True) if self._is_patient else call)

    async def close(self) -> None:
        """Closes every connection."""
        await self._transport.close()


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


def _encode(body: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(body)


def _decode(data: bytes) -> Body:
    try:
        return _BODY.decode(data)
    except msgspec.MsgspecError as error:
        raise _not_json(error) from error


def _lean(body: Body) -> Body:
    """Without `managedFields`, which nobody reads and which are more than half of a listed object."""
    body.get("metadata", {}).pop("managedFields", None)
    return body


def _decode_page(data: bytes) -> _Page:
    try:
        return _PAGE.decode(data)
    except msgspec.MsgspecError as error:
        raise _not_json(error) from error


def _decode_head(data: bytes) -> str:
    try:
        return _HEAD.decode(data).metadata.continue_
    except msgspec.MsgspecError as error:
        raise _not_json(error) from error


def _not_json(error: Exception) -> ServerError:
    return ServerError(200, "NotJSON", f"the API server's answer is not what the API promises: {str(error)[:200]}")
