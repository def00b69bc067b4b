"""What the operator is started with: one table of options, read once from flags and environment into one frozen value.

Each option is a flag `--like-this`, an environment variable `WATCHBELL_LIKE_THIS` and a chart value; the flag wins. The reference page of the
flags is made from `OPTIONS`.
"""

import argparse
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ENVIRONMENT_PREFIX = "WATCHBELL_"
DEFAULT_PORTS = "25,465,587,2465,2525,2587"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SettingError(ValueError):
    """An option that cannot be used; the text names the option and says what it must be."""


class SecretAccess(StrEnum):
    """How Secrets are read: by name when needed, watched as well, or by name in granted namespaces only."""

    GET = "Get"
    WATCH = "Watch"
    NAMESPACED = "Namespaced"


class LogFormat(StrEnum):
    """One line of JSON for machines, or a line for people."""

    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class BindAddress:
    """Where a small HTTP server listens; port 0 takes a free one."""

    host: str
    port: int


def _csv(text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


def namespace(text: str) -> str:
    """A DNS label (RFC 1123)."""
    if not _NAMESPACE.fullmatch(text):
        raise SettingError(f"must be a namespace name, not {text!r}")
    return text


def namespaces(text: str) -> tuple[str, ...]:
    """Namespace names with commas between them; empty for all."""
    return tuple(namespace(part) for part in _csv(text))


def hosts(text: str) -> tuple[str, ...]:
    """Host names or addresses with commas between them; `*.example.com` stands for all names below."""
    return tuple(part.lower().rstrip(".") for part in _csv(text))


def cidrs(text: str) -> tuple[str, ...]:
    """Networks such as 10.0.0.0/8 with commas between them."""
    try:
        return tuple(str(ipaddress.ip_network(part)) for part in _csv(text))
    except ValueError as error:
        raise SettingError(f"must be networks such as 10.0.0.0/8 or fd00::/8: {error}") from error


def ports(text: str) -> tuple[PortRange, ...]:
    """Ports and ranges such as `25,465,2500-2600`."""
    return tuple(_port_range(part) for part in _csv(text))


def _port_range(part: str) -> PortRange:
    first, _, last = part.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise SettingError(f"must be ports such as 587 or ranges such as 2500-2600, not {part!r}")
    found = PortRange(int(first), int(last or first))
    if not 1 <= found.first <= found.last <= 65535:
        raise SettingError(f"must lie within 1 and 65535 and rise, not {part!r}")
    return found


def address(text: str) -> BindAddress:
    """`0.0.0.0:8080`, `[::]:8080` or `:8080`."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise SettingError(f"must be an address such as 0.0.0.0:8080, not {text!r}")
    return BindAddress(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - a pod's probes come from outside of it


def flag(text: str) -> bool:
    """`true` or `false`."""
    if text.lower() not in {"true", "false", "1", "0", "yes", "no", ""}:
        raise SettingError(f"must be true or false, not {text!r}")
    return text.lower() in {"true", "1", "yes"}


@dataclass(frozen=True, slots=True)
class Number:
    """Reads a whole number from `low` to `high`."""

    low: int
    high: int

    def __call__(self, text: str) -> int:
        """The number. Raises SettingError."""
        if not text.isdecimal() or not self.low <= int(text) <= self.high:
            raise SettingError(f"must be a whole number from {self.low} to {self.high}, not {text!r}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """Reads one of the values of an enum, in its own spelling."""

    kind: type[StrEnum]

    def __call__(self, text: str) -> StrEnum:
        """The enum's member. Raises SettingError."""
        try:
            return self.kind(text)
        except ValueError:
            raise SettingError(f"must be one of {', '.join(self.kind)}, not {text!r}") from None


def number(low: int, high: int) -> Number:
    """A whole number from `low` to `high`."""
    return Number(low, high)


def choice(kind: type[StrEnum]) -> Choice:
    """One of the values of an enum, in its own spelling."""
    return Choice(kind)


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its field in `Settings`, how its text is read, its default as text, and what it does."""

    field: str
    read: Callable[[str], Any]
    default: str
    help: str

    @property
    def flag(self) -> str:
        """The command line's spelling."""
        return "--" + self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment's spelling."""
        return ENVIRONMENT_PREFIX + self.field.upper()


OPTIONS = (
    Option("watch_namespaces", namespaces, "", "Namespaces to serve, with commas between them; empty for all."),
    Option(
        "cluster_resource_namespace",
        namespace,
        "watchbell-system",
        "The operator's own namespace: Secrets of ClusterSmtpConnectors, the journal and the Lease live there.",
    ),
    Option(
        "policy_namespaces",
        namespaces,
        "",
        "Namespaces whose policies may watch pods of other namespaces (for namespaceSelector, which this version does not have yet).",
    ),
    Option(
        "egress_allow_host",
        hosts,
        "",
        "Host names that may be reached whatever their address, and that may be given OAuth2 client secrets; `*.example.com` for all below.",
    ),
    Option(
        "egress_allow_cidr",
        cidrs,
        "",
        "Networks that may be reached even if they are denied by default, such as 127.0.0.0/8.",
    ),
    Option(
        "egress_deny_cidr",
        cidrs,
        "",
        "Networks that may never be reached, beside loopback, link-local and metadata addresses.",
    ),
    Option("egress_allow_port", ports, DEFAULT_PORTS, "Ports that connectors may use; ranges are written a-b."),
    Option(
        "allow_insecure_tls",
        flag,
        "false",
        "Let connectors switch off certificate verification or send passwords in clear text.",
    ),
    Option("secret_access", choice(SecretAccess), "Get", "How Secrets are read: Get, Watch or Namespaced."),
    Option("send_workers", number(1, 64), "4", "Senders in all."),
    Option("probe_workers", number(1, 200), "50", "Probes in flight at once."),
    Option(
        "leader_elect", flag, "false", "Hold a Lease, so that of several replicas one works and the others stand by."
    ),
    Option("lease_seconds", number(4, 120), "5", "How long a lease lasts that is not renewed."),
    Option("metrics_bind_address", address, "0.0.0.0:8080", "Where /metrics is served."),
    Option("health_bind_address", address, "0.0.0.0:8081", "Where /livez and /readyz are served."),
    Option("log_level", choice(LogLevel), "info", "debug, info, warning or error."),
    Option("log_format", choice(LogFormat), "json", "json or text."),
    Option("cluster_name", str, "", "The cluster's name, as it stands in mails."),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options as values; see `OPTIONS` for each one's meaning."""

    watch_namespaces: tuple[str, ...]
    cluster_resource_namespace: str
    policy_namespaces: tuple[str, ...]
    egress_allow_host: tuple[str, ...]
    egress_allow_cidr: tuple[str, ...]
    egress_deny_cidr: tuple[str, ...]
    egress_allow_port: tuple[PortRange, ...]
    allow_insecure_tls: bool
    secret_access: SecretAccess
    send_workers: int
    probe_workers: int
    leader_elect: bool
    lease_seconds: int
    metrics_bind_address: BindAddress
    health_bind_address: BindAddress
    log_level: LogLevel
    log_format: LogFormat
    cluster_name: str

    @property
    def secret_namespaces(self) -> tuple[str, ...]:
        """Where Secrets are that connectors use; empty for everywhere. Those of ClusterSmtpConnectors are in the operator's own namespace."""
        return tuple(sorted({*self.watch_namespaces, self.cluster_resource_namespace})) if self.watch_namespaces else ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Put every option on `parser`; switches may stand alone or take a value."""
    for option in OPTIONS:
        extra: dict[str, Any] = {"nargs": "?", "const": "true"} if option.read is flag else {}
        shown = f" (default {option.default})" if option.default else ""
        parser.add_argument(option.flag, default=None, metavar="VALUE", help=option.help + shown, **extra)


def read_settings(flags: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Settings from parsed flags (by field) and the environment.

    Raises:
        SettingError: names the flag or variable and what it must be.
    """
    return Settings(**{option.field: _read(option, flags.get(option.field), environment) for option in OPTIONS})


def _read(option: Option, given: str | None, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - the table's readers differ
    source, text = option.flag, given
    if text is None:
        source, text = option.variable, environment.get(option.variable)
    if text is None:
        source, text = option.flag, option.default
    try:
        return option.read(text)
    except SettingError as error:
        raise SettingError(f"{source} {error}") from error


def settings_from(arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from a plain argument list; for tests, the demo and benches."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_settings(vars(parser.parse_args(list(arguments))), environment or {})
