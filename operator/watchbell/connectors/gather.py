"""Finds out what a connector names: its parent, its Secret, its CA, and whether it may have them. The first stage of a reconcile.

Reads only; what it found is one value, or a refusal that names the cure. `assemble` makes the relay of it, purely.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from watchbell.api.connector import ConfigMapKeyRef, ConnectorSpec, SecretKeyRef
from watchbell.api.enums import ConnectorKind
from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal, SecretView, refs_refusal, secret_view
from watchbell.connectors.fallback import fallback_key
from watchbell.connectors.records import Dependency, Record
from watchbell.connectors.tenancy import namespace_refusal, sender_refusal
from watchbell.kube.client import CONFIGMAPS, NAMESPACES, SECRETS, Client
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.grants import grant, operator_in
from watchbell.outbox.outlet import ConnectorKey


@dataclass(frozen=True, slots=True)
class Found:
    """All that a connector stands on. `spec` is the connector's own; `base` the spec that holds host, TLS and auth (the parent's for a child).

    `namespace` is where `base`'s Secrets live. `fingerprint` changes whenever anything that matters for a probe changes, `base_fingerprint`
    whenever anything of `base` does: it is the fingerprint of the parent itself.
    """

    spec: ConnectorSpec
    base: ConnectorSpec
    base_key: ConnectorKey
    namespace: str
    fingerprint: str
    base_fingerprint: str
    secret: SecretView | None = None
    client_cert: SecretView | None = None
    ca_pem: str | None = None
    dkim: SecretView | None = None


class Gatherer:
    """Reads what connectors name. `parent` finds a ClusterSmtpConnector by its name; `home` is the operator's namespace."""

    def __init__(self, client: Client, home: str, parent: Callable[[str], Awaitable[Record | None]]) -> None:
        self._client = client
        self._home = home
        self._parent = parent

    async def gather(self, record: Record) -> Found | Refusal:
        """Everything that `record` names, or why it cannot be had. Raises ApiError when the API server does not answer."""
        spec = record.spec()
        if isinstance(spec, Refusal):
            return spec
        if record.key.kind == ConnectorKind.CLUSTER_SMTP_CONNECTOR:
            return await self._complete(spec, spec, record, self._home, "")
        if spec.parent_ref is None:
            return await self._complete(spec, spec, record, record.key.namespace, "")
        return await self._inherit(record, spec, spec.parent_ref.name)

    async def _inherit(self, record: Record, spec: ConnectorSpec, parent_name: str) -> Found | Refusal:
        parent = await self._parent(parent_name)
        if parent is None:
            return Refusal(
                "Accepted",
                Reason.PARENT_NOT_FOUND,
                f"spec.parentRef.name: there is no ClusterSmtpConnector {parent_name} (see: kubectl get clustersmtpconnectors)",
            )
        base = parent.spec()
        if isinstance(base, Refusal):
            return Refusal(
                "Accepted", base.reason, f"the parent ClusterSmtpConnector {parent_name} is not usable: {base.message}"
            )
        refusal = await self.namespace_refusal(base, parent_name, record.key.namespace)
        if refusal is None and spec.from_ is not None and spec.from_.address:
            refusal = sender_refusal(base.allowed_from_addresses, parent_name, spec.from_.address)
        if refusal is not None:
            return refusal
        return await self._complete(spec, base, parent, self._home, f"{record.generation}+{parent.uid}.")

    async def namespace_refusal(self, base: ConnectorSpec, name: str, namespace: str) -> Refusal | None:
        """None if the cluster connector `base` allows `namespace`."""
        rule = base.allowed_namespaces
        if rule is None:
            return Refusal(
                "Accepted",
                Reason.NAMESPACE_NOT_ALLOWED,
                f"ClusterSmtpConnector {name} allows no namespace: spec.allowedNamespaces is missing",
            )
        labels = await self._labels(namespace) if rule.selector is not None else {}
        if isinstance(labels, Refusal):
            return labels
        return namespace_refusal(rule, name, namespace, labels)

    async def _labels(self, namespace: str) -> Mapping[str, str] | Refusal:
        try:
            body = await self._client.get(NAMESPACES, namespace)
        except NotFound:
            return {}
        except Forbidden:
            return Refusal(
                "Accepted",
                Reason.NAMESPACE_NOT_ALLOWED,
                "the operator may not get Namespaces, so it cannot tell whether spec.allowedNamespaces.selector fits: let its ClusterRole get "
                "namespaces, or use from: Names",
            )
        labels: Mapping[str, str] = body["metadata"].get("labels") or {}
        return labels

    async def _complete(
        self, spec: ConnectorSpec, base: ConnectorSpec, origin: Record, namespace: str, child: str
    ) -> Found | Refusal:
        """`origin` is the connector that `base` is the spec of; `child` stands for the connector's own part in the fingerprint."""
        secret = (
            await self._secret(namespace, base.auth.secret_ref.name) if base.auth and base.auth.secret_ref else None
        )
        if isinstance(secret, Refusal):
            return secret
        tls = base.tls
        cert = (
            await self._secret(namespace, tls.client_cert_secret_ref.name)
            if tls and tls.client_cert_secret_ref
            else None
        )
        if isinstance(cert, Refusal):
            return cert
        dkim = await self._secret(namespace, base.dkim.secret_ref.name) if base.dkim else None
        if isinstance(dkim, Refusal):
            return dkim
        authority = await self._authority(base, namespace)
        if isinstance(authority, Refusal):
            return authority
        ca_pem, ca_version = authority
        versions = (
            str(origin.generation),
            secret and secret.resource_version,
            cert and cert.resource_version,
            ca_version,
            *((dkim.resource_version,) if dkim else ()),
        )
        fingerprint = "/".join(text or "-" for text in versions)
        return Found(spec, base, origin.key, namespace, child + fingerprint, fingerprint, secret, cert, ca_pem, dkim)

    async def _authority(self, base: ConnectorSpec, namespace: str) -> tuple[str | None, str | None] | Refusal:
        tls = base.tls
        if tls is None or (tls.ca_secret_ref is None and tls.ca_config_map_ref is None):
            return None, None
        if tls.ca_secret_ref is not None:
            return await self._authority_of_secret(tls.ca_secret_ref, namespace)
        assert tls.ca_config_map_ref is not None  # noqa: S101 - told apart above; for the type checker
        return await self._authority_of_config_map(tls.ca_config_map_ref, namespace)

    async def _authority_of_secret(self, ref: SecretKeyRef, namespace: str) -> tuple[str, str] | Refusal:
        secret = await self._secret(namespace, ref.name)
        if isinstance(secret, Refusal):
            return secret
        raw = secret.data.get(ref.key or "ca.crt")
        if raw is None:
            return refs_refusal(
                Reason.SECRET_KEY_MISSING, f"spec.tls.caSecretRef: Secret {ref.name} has no key {ref.key or 'ca.crt'}"
            )
        return raw.decode("utf-8", "replace"), secret.resource_version

    async def _authority_of_config_map(self, ref: ConfigMapKeyRef, namespace: str) -> tuple[str, str] | Refusal:
        try:
            body = await self._client.get(CONFIGMAPS, ref.name, namespace)
        except NotFound:
            return refs_refusal(
                Reason.CONFIG_MAP_NOT_FOUND,
                f"spec.tls.caConfigMapRef: there is no ConfigMap {ref.name} in namespace {namespace}",
            )
        except Forbidden:
            return refs_refusal(
                Reason.SECRET_FORBIDDEN,
                f"spec.tls.caConfigMapRef: the operator may not get ConfigMap {ref.name} in namespace {namespace}",
            )
        text = (body.get("data") or {}).get(ref.key or "ca.crt")
        if text is None:
            return refs_refusal(
                Reason.INVALID_CA_BUNDLE,
                f"spec.tls.caConfigMapRef: ConfigMap {ref.name} has no key {ref.key or 'ca.crt'}",
            )
        return str(text), str(body["metadata"]["resourceVersion"])

    async def _secret(self, namespace: str, name: str) -> SecretView | Refusal:
        """Read anew each time: a Secret is not kept, so a rotated one is used at once."""
        try:
            body: dict[str, Any] = await self._client.get(SECRETS, name, namespace)
        except NotFound:
            return refs_refusal(
                Reason.SECRET_NOT_FOUND,
                f"there is no Secret {name} in namespace {namespace}. Create it: kubectl -n {namespace} create secret generic {name} "
                f"--type=watchbell.dev/smtp --from-literal=username=... --from-file=password=/dev/stdin",
            )
        except Forbidden:
            return refs_refusal(
                Reason.SECRET_FORBIDDEN,
                f"the operator may not get Secret {name} in namespace {namespace}. Allow it: "
                f"{grant(name, 'get', 'secrets', namespace, operator_in(self._home), only=name)}",
            )
        return secret_view(body)


def dependencies(found: Found | Refusal, record: Record, home: str) -> tuple[Dependency, ...]:
    """What to listen to, whether it is there or not."""
    spec = record.spec() if isinstance(found, Refusal) else found.spec
    if isinstance(spec, Refusal):
        return ()
    if spec.parent_ref is not None:
        parent = ((str(ConnectorKind.CLUSTER_SMTP_CONNECTOR), "", spec.parent_ref.name),)
        if isinstance(found, Refusal):
            return parent
        return parent + _fallback(spec, found.base, record) + _references(found.base, home)
    return _fallback(spec, spec, record) + _references(spec, record.key.namespace or home)


def _fallback(spec: ConnectorSpec, base: ConnectorSpec, record: Record) -> tuple[Dependency, ...]:
    key = fallback_key(spec, base, record.key.namespace)
    return ((key.kind, key.namespace, key.name),) if key else ()


def _references(base: ConnectorSpec, namespace: str) -> tuple[Dependency, ...]:
    tls, auth = base.tls, base.auth
    secrets = [
        auth.secret_ref if auth else None,
        tls.ca_secret_ref if tls else None,
        tls.client_cert_secret_ref if tls else None,
        base.dkim.secret_ref if base.dkim else None,
    ]
    maps = [tls.ca_config_map_ref] if tls else []
    return tuple(("Secret", namespace, ref.name) for ref in secrets if ref) + tuple(
        ("ConfigMap", namespace, ref.name) for ref in maps if ref
    )
