"""The flags of ``watchbell run`` as chart values below ``config``: made from the program's own table, so that a new flag is a value at once."""

from collections.abc import Mapping
from typing import Any

from watchbell.settings import OPTIONS, Choice, Number, Option, cidrs, flag, hosts, namespace, namespaces, ports

# Decided by other values of the chart, which make roles and ports beside the flag.
ELSEWHERE = {
    "watch_namespaces": "watch.namespaces",
    "secret_access": "rbac.secretAccess",
    "leader_elect": "leaderElection.enabled",
    "lease_seconds": "leaderElection.leaseSeconds",
    "metrics_bind_address": "metrics.port",
    "health_bind_address": "health.port",
}
_LISTS: Mapping[Any, dict[str, Any]] = {
    namespaces: {"type": "string"},
    hosts: {"type": "string"},
    cidrs: {"type": "string"},
    ports: {"type": ["integer", "string"]},
}


def key_of(option: Option) -> str:
    """`egress_allow_cidr` → `egressAllowCidr`; the chart's template turns it back."""
    first, *rest = option.field.split("_")
    return first + "".join(part.capitalize() for part in rest)


def config_options() -> tuple[Option, ...]:
    """The flags that are set below `config`."""
    return tuple(option for option in OPTIONS if option.field not in ELSEWHERE)


def config_schema() -> dict[str, Any]:
    """The schema of `config`: every key may be left out, or be null."""
    return {key_of(option): _schema(option) for option in config_options()}


def default_of(option: Option) -> str:
    """The default as it is shown in the table."""
    return "the release's namespace" if option.field == "cluster_resource_namespace" else option.default


def _schema(option: Option) -> dict[str, Any]:
    return {"description": option.help, **_type(option)}


def _type(option: Option) -> dict[str, Any]:
    read = option.read
    if isinstance(read, Number):
        return {"type": ["integer", "null"], "minimum": read.low, "maximum": read.high}
    if isinstance(read, Choice):
        return {"enum": [*map(str, read.kind), None]}
    if read is flag:
        return {"type": ["boolean", "null"]}
    if read in _LISTS:
        return {"type": ["array", "null"], "items": _LISTS[read]}
    if read is namespace or read is str:
        return {"type": ["string", "null"]}
    # A reader that is not known here: the program itself says what the text must be.
    return {"type": ["string", "integer", "boolean", "null"]}
