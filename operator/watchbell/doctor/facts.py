"""All that checks may know, as one value (pure). Made by `gather` or `files`, completed by `probing`; checks read nothing else.

What could not be read stands in `gaps` with the reason, so that a check says "skipped, because" and never "fine".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchbell.api.enums import ConnectorKind
from watchbell.connectors.credentials import SecretView
from watchbell.smtp.model import ProbeReport, Relay

Body = Mapping[str, Any]
Key = tuple[str, str]
"""Namespace and name."""


class Source(StrEnum):
    """Where the facts come from."""

    CLUSTER = "cluster"
    FILES = "files"
    SETTINGS = "settings"


class Absence(StrEnum):
    """Why an object that is named is not here."""

    MISSING = "missing"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Probed:
    """One relay that was dialled from here. `revocation`: where its certificates could be asked about (OCSP, CRL), and whether that answers."""

    label: str
    relay: Relay
    report: ProbeReport
    revocation: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """One right that somebody lacks: `list pods in namespace shop`."""

    who: str
    right: str


@dataclass(frozen=True, slots=True)
class Facts:
    """One look at everything. `objects` are bodies by kind; `home` is the operator's namespace.

    `crds` maps the plural of each kind that is served to the bundle version of its CRD (empty = not known). `skew_s` is how far this machine's clock
    is ahead of the API server's. `denied_operator` and `denied_caller` are None where they could not be asked for.
    """

    now: datetime
    source: Source
    objects: Mapping[str, tuple[Body, ...]] = field(default_factory=dict)
    home: str = "watchbell-system"
    namespaces: tuple[str, ...] = ()
    crds: Mapping[str, str] = field(default_factory=dict)
    server_version: str = ""
    skew_s: float | None = None
    secrets: Mapping[Key, SecretView | Absence] = field(default_factory=dict)
    config_maps: Mapping[Key, Mapping[str, str] | Absence] = field(default_factory=dict)
    denied_operator: tuple[Denied, ...] | None = None
    denied_caller: tuple[Denied, ...] | None = None
    probes: tuple[Probed, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> tuple[Body, ...]:
        """Every object of a kind."""
        return self.objects.get(kind, ())

    @property
    def connectors(self) -> tuple[Body, ...]:
        """Both kinds of connector."""
        return (*self.of(str(ConnectorKind.SMTP_CONNECTOR)), *self.of(str(ConnectorKind.CLUSTER_SMTP_CONNECTOR)))

    def secrets_namespace(self, body: Body) -> str:
        """Where a connector's Secrets live: its own namespace, or the operator's for a ClusterSmtpConnector."""
        return str(body["metadata"].get("namespace") or "") or self.home


def name_of(body: Body) -> str:
    """`SmtpConnector shop/default`, as findings name it."""
    meta = body.get("metadata") or {}
    where = f"{meta.get('namespace')}/" if meta.get("namespace") else ""
    return f"{body.get('kind', 'object')} {where}{meta.get('name', '')}"


def names_of(facts: Facts, body: Body) -> dict[str, str]:
    """What commands about this object need to know."""
    meta = body.get("metadata") or {}
    secret = ((spec_of(body).get("auth") or {}).get("secretRef") or {}).get("name")
    names = {
        "NAMESPACE": str(meta.get("namespace") or facts.home),
        "NAME": str(meta.get("name") or ""),
        "CONNECTOR": str(meta.get("name") or ""),
        "OPERATOR_NAMESPACE": facts.home,
        "SECRET": str(secret or ""),
    }
    return {key: value for key, value in names.items() if value}


def spec_of(body: Body) -> Mapping[str, Any]:
    """The spec, empty where it is none."""
    spec = body.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def status_of(body: Body) -> Mapping[str, Any]:
    """The status, empty where it is none."""
    status = body.get("status")
    return status if isinstance(status, Mapping) else {}


def part(node: Mapping[str, Any], *path: str) -> Any:  # noqa: ANN401 - bodies that users wrote
    """What stands at a path of maps; None where the path ends early."""
    found: Any = node
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def listed(node: Mapping[str, Any], key: str) -> Iterator[Any]:
    """The items of a list; nothing where it is none."""
    found = node.get(key)
    yield from found if isinstance(found, list | tuple) else ()
