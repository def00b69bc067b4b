"""The relays of the connectors among the facts (pure): assembled by the operator's own `assemble`, so that what is dialled is what it would dial.

Before: `gather` or `files`. After: `probing`. Without `has_login` the `auth` block is left out: no Secret is needed, and no account gets locked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from watchbell.api.connector import ConnectorSpec
from watchbell.api.enums import ConnectorKind
from watchbell.api.meta import parse
from watchbell.api.reasons import Reason
from watchbell.connectors.assemble import Allowances, assemble
from watchbell.connectors.credentials import Refusal, SecretView
from watchbell.connectors.gather import Found
from watchbell.connectors.records import MODELS, key_of
from watchbell.doctor.facts import Absence, Body, Facts, name_of, spec_of
from watchbell.outbox.outlet import ConnectorKey
from watchbell.smtp.egress import EgressPolicy
from watchbell.smtp.model import Relay

EVERYWHERE = EgressPolicy(allow_cidrs=("0.0.0.0/0", "::/0"), allow_ports=frozenset(range(1, 65536)))
"""Whoever runs the doctor may go where the machine may go; the operator's own policy is its own check."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """One relay to dial; `label` names the connectors that use it."""

    label: str
    relay: Relay


def relays(facts: Facts, *, has_login: bool) -> tuple[tuple[Dialled, ...], Mapping[str, str]]:
    """The relays, each once, and why a connector has none."""
    found: dict[Relay, list[str]] = {}
    gaps: dict[str, str] = {}
    for body in facts.connectors:
        relay = _relay(facts, body, has_login=has_login)
        if isinstance(relay, Refusal):
            gaps[name_of(body)] = relay.message
        elif relay is not None:
            found.setdefault(relay, []).append(name_of(body))
    return tuple(Dialled(", ".join(names), relay) for relay, names in found.items()), gaps


def _relay(facts: Facts, body: Body, *, has_login: bool) -> Relay | Refusal | None:
    """None for a child: it uses its parent's session, which is dialled already."""
    if spec_of(body).get("parentRef") or body.get("kind") not in MODELS:
        return None
    parsed = parse(MODELS[str(body["kind"])], body)
    if isinstance(parsed, tuple):
        return Refusal("Accepted", Reason.INVALID_SPEC, "; ".join(map(str, parsed[:4])))
    spec = parsed.spec if has_login else parsed.spec.model_copy(update={"auth": None})
    found = _found(facts, key_of(body), spec, facts.secrets_namespace(body))
    if isinstance(found, Refusal):
        return found
    made = assemble(key_of(body), found, Allowances(EVERYWHERE, insecure=True))
    return made if isinstance(made, Refusal) else made.outlet.relay


def _found(facts: Facts, key: ConnectorKey, spec: ConnectorSpec, namespace: str) -> Found | Refusal:
    names = dict(_named(spec))
    views = {role: facts.secrets.get((namespace, name), Absence.MISSING) for role, name in names.items()}
    for role, view in views.items():
        if isinstance(view, Absence):
            return Refusal(
                "ResolvedRefs", Reason.SECRET_NOT_FOUND, f"Secret {names[role]} in namespace {namespace} is {view}"
            )
    ca_pem = _authority(facts, spec, namespace)
    if isinstance(ca_pem, Refusal):
        return ca_pem
    secret, cert = views.get("login"), views.get("cert")
    return Found(
        spec, spec, ConnectorKey(key.kind, "" if key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR else key.namespace, key.name),
        namespace, "", "",
        secret=secret if isinstance(secret, SecretView) else None,
        client_cert=cert if isinstance(cert, SecretView) else None,
        ca_pem=ca_pem,
    )  # fmt: skip


def _named(spec: ConnectorSpec) -> Iterator[tuple[str, str]]:
    if spec.auth and spec.auth.secret_ref:
        yield "login", spec.auth.secret_ref.name
    if spec.tls and spec.tls.client_cert_secret_ref:
        yield "cert", spec.tls.client_cert_secret_ref.name


def _authority(facts: Facts, spec: ConnectorSpec, namespace: str) -> str | Refusal | None:
    tls = spec.tls
    if tls is None:
        return None
    if tls.ca_config_map_ref is not None:
        ref = tls.ca_config_map_ref
        data = facts.config_maps.get((namespace, ref.name), Absence.MISSING)
        text = Absence.MISSING if isinstance(data, Absence) else data.get(ref.key or "ca.crt", Absence.MISSING)
        return (
            text
            if not isinstance(text, Absence)
            else Refusal(
                "ResolvedRefs", Reason.SECRET_NOT_FOUND, f"ConfigMap {ref.name} in namespace {namespace} is {text}"
            )
        )
    if tls.ca_secret_ref is not None:
        place = tls.ca_secret_ref
        view = facts.secrets.get((namespace, place.name), Absence.MISSING)
        if isinstance(view, Absence):
            return Refusal(
                "ResolvedRefs", Reason.SECRET_NOT_FOUND, f"Secret {place.name} in namespace {namespace} is {view}"
            )
        return view.data.get(place.key or "ca.crt", b"").decode("utf-8", "replace")
    return None
