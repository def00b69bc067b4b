"""Which kinds are spoken of, and the paths that the API serves them under. Pure.

Built-in kinds are constants; our own come from `custom(plural)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from watchbell.api.names import GROUP, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API's paths name it; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in an object: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of the collection, of one object, or of its subresource. A namespaced kind without namespace = all namespaces."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(quote(part, safe=":") for part in parts)


PODS = Resource("", "v1", "pods")
SECRETS = Resource("", "v1", "secrets")
CONFIGMAPS = Resource("", "v1", "configmaps")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts")
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
NODES = Resource("", "v1", "nodes", namespaced=False)
EVENTS = Resource("events.k8s.io", "v1", "events")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
DEPLOYMENTS = Resource("apps", "v1", "deployments")
DAEMONSETS = Resource("apps", "v1", "daemonsets")
STATEFULSETS = Resource("apps", "v1", "statefulsets")
REPLICASETS = Resource("apps", "v1", "replicasets")
JOBS = Resource("batch", "v1", "jobs")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
SELF_SUBJECT_ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False)
SUBJECT_ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False)


def custom(plural: str, *, namespaced: bool = True) -> Resource:
    """One of our own kinds."""
    return Resource(GROUP, VERSION, plural, namespaced)


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One very object (the `uid` tells it from a later one of the same name); `namespace` None for kinds without one."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Of an object as the API gives it."""
        meta = body["metadata"]
        return cls(body["apiVersion"], body["kind"], meta["name"], meta.get("namespace"), meta.get("uid", ""))

    def as_regarding(self) -> dict[str, str]:
        """As an Event names its object."""
        named = {"apiVersion": self.api_version, "kind": self.kind, "name": self.name}
        named |= {"namespace": self.namespace or "", "uid": self.uid}
        return {key: value for key, value in named.items() if value}
