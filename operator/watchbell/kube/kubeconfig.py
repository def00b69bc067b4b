"""Reading kubeconfig files as kubectl does: several files merged (the first that names a thing wins), one context chosen.

Used by `access` only. Paths inside a file are relative to that file. Every error is one AccessError sentence with the cure.
"""

import base64
import binascii
import contextlib
import os
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from watchbell.api.sensitive import Sensitive
from watchbell.kube.execplugin import AccessError, ExecPlugin

__all__ = ["AccessError", "Chosen", "Credentials", "choose", "read_bounded", "ssl_context", "trusting"]

_FILE_MAX_BYTES = 8 * 1024 * 1024
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFUSED_USER_KEYS = {
    "auth-provider": "use an exec plugin (for example gke-gcloud-auth-plugin or kubelogin) instead",
    "username": "the API server has had no passwords since 1.19; use a token or a client certificate",
    "as": "impersonation is not supported here; use a context of that user",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are; at most one of `token`, `token_file` and `exec_plugin` is used, in that order of the kubeconfig's own precedence."""

    token: Sensitive | None = None
    token_file: Path | None = None
    exec_plugin: ExecPlugin | None = None
    client_certificate: bytes | None = None
    client_key: Sensitive | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """One context, with everything that its cluster and user entries say."""

    context: str
    source: str
    server: str
    namespace: str
    credentials: Credentials
    authority: str | None
    is_insecure: bool
    server_name: str | None


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    body: Mapping[str, Any]
    folder: Path

    def data(self, key: str) -> bytes | None:
        """The bytes of `KEY-data` (base64), else of the file that `KEY` names."""
        inline, path = self.body.get(f"{key}-data"), self.body.get(key)
        if inline:
            try:
                return base64.b64decode(str(inline), validate=True)
            except (binascii.Error, ValueError) as error:
                raise AccessError(f"The field {key}-data of {self.name!r} in the kubeconfig is not base64.") from error
        return read_bounded(self.file(str(path)), _FILE_MAX_BYTES) if path else None

    def file(self, path: str) -> Path:
        """A path as the kubeconfig means it: relative to its own folder."""
        return self.folder / Path(path).expanduser()


def choose(paths: Sequence[Path], context: str | None) -> Chosen:
    """The named context, or the current one. A missing file among several is passed over, as kubectl does."""
    documents = [(path, _read(path)) for path in paths if len(paths) == 1 or path.exists()]
    source = os.pathsep.join(str(path) for path, _ in documents)
    if not documents:
        raise AccessError(f"None of the kubeconfig files {', '.join(map(str, paths))} exists.")
    name = context or next((str(d["current-context"]) for _, d in documents if d.get("current-context")), "")
    if not name:
        raise AccessError(
            f"The kubeconfig {source} has no current context: run kubectl config use-context, or give --context."
        )
    chosen = _entry(documents, "context", name)
    cluster = _entry(documents, "cluster", str(chosen.body.get("cluster") or ""))
    user_name = str(chosen.body.get("user") or "")
    user = _entry(documents, "user", user_name) if user_name else _Entry("", {}, cluster.folder)
    return _chosen(source, chosen, cluster, user)


def _chosen(source: str, context: _Entry, cluster: _Entry, user: _Entry) -> Chosen:
    body = cluster.body
    if body.get("proxy-url"):
        raise AccessError(
            f"The cluster {cluster.name!r} in {source} asks for a proxy (proxy-url), which is not supported: "
            "remove the field and reach the API server directly or through kubectl port-forwarding."
        )
    server = str(body.get("server") or "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise AccessError(f"The cluster {cluster.name!r} in {source} has no server that begins with https://.")
    authority = cluster.data("certificate-authority")
    return Chosen(
        context=context.name,
        source=source,
        server=server,
        namespace=str(context.body.get("namespace") or "default"),
        credentials=_credentials(user, cluster),
        authority=authority.decode("utf-8", "replace") if authority else None,
        is_insecure=bool(body.get("insecure-skip-tls-verify")),
        server_name=str(body["tls-server-name"]) if body.get("tls-server-name") else None,
    )


def _credentials(user: _Entry, cluster: _Entry) -> Credentials:
    body = user.body
    for key, cure in _REFUSED_USER_KEYS.items():
        if body.get(key):
            raise AccessError(f"The user {user.name!r} of the kubeconfig uses {key}, which is not supported: {cure}.")
    token, token_file, plugin = body.get("token"), body.get("tokenFile"), body.get("exec")
    client_key = user.data("client-key")
    return Credentials(
        token=Sensitive(str(token)) if token and not token_file else None,
        token_file=user.file(str(token_file)) if token_file else None,
        exec_plugin=ExecPlugin.parse(plugin, user.folder, cluster.body)
        if plugin is not None and not (token or token_file)
        else None,
        client_certificate=user.data("client-certificate"),
        client_key=Sensitive(client_key.decode("ascii", "replace")) if client_key else None,
    )


def ssl_context(chosen: Chosen) -> ssl.SSLContext | None:
    """The TLS side of a context; None for plain http. An exec plugin that gives a certificate is run here, once."""
    if chosen.server.startswith("http://"):
        return None
    try:
        context = trusting(chosen.authority)
    except ssl.SSLError as error:
        raise AccessError(f"The certificate authority of context {chosen.context!r} holds no usable PEM.") from error
    if chosen.is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    credentials = chosen.credentials
    certificate, key = credentials.client_certificate, credentials.client_key
    if credentials.exec_plugin is not None and certificate is None:
        certificate, key = credentials.exec_plugin.certificate()
    if certificate is not None:
        _load_client_certificate(context, certificate, key, chosen.context)
    return context


def trusting(authority: str | None) -> ssl.SSLContext:
    """A client's context that trusts `authority` (PEM; None = the system's roots). Raises ssl.SSLError when it holds no certificate.

    Python 3.13 turned on RFC 5280 strictness, which refuses the authorities of many living clusters (no key identifiers), while every
    other Kubernetes client takes them: so it is off here on all versions.
    """
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: Sensitive | None, name: str) -> None:
    """Python loads certificates from files only: a private temporary one, gone before this returns."""
    handle, path = tempfile.mkstemp(prefix="watchbell-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate + b"\n" + (key.reveal().encode() if key else b""))
        context.load_cert_chain(path)
    except (ssl.SSLError, OSError) as error:
        raise AccessError(f"The client certificate and key of context {name!r} do not fit together.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The whole of a small file. Raises AccessError when it is missing, unreadable or larger than `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise AccessError(f"The file {path} cannot be read ({error.strerror}).") from error
    if len(data) > max_bytes:
        raise AccessError(f"The file {path} is larger than {max_bytes} bytes: it cannot be what it is meant to be.")
    return data


def _read(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        raise AccessError(f"There is no kubeconfig at {path}: set KUBECONFIG or give --kubeconfig.")
    try:
        body = yaml.load(read_bounded(path, _FILE_MAX_BYTES), Loader=_LOADER)  # noqa: S506 - a safe loader, in C where there is one
    except yaml.YAMLError as error:
        raise AccessError(f"The kubeconfig {path} is not YAML: {' '.join(str(error).split())[:200]}.") from error
    if not isinstance(body, dict):
        raise AccessError(f"The kubeconfig {path} is empty or not a kubeconfig.")
    return body


def _entry(documents: Sequence[tuple[Path, Mapping[str, Any]]], kind: str, name: str) -> _Entry:
    for path, body in documents:
        for item in body.get(f"{kind}s") or ():
            if isinstance(item, dict) and item.get("name") == name:
                return _Entry(name, item.get(kind) or {}, path.parent)
    known = sorted(str(item.get("name")) for _, body in documents for item in body.get(f"{kind}s") or ())
    raise AccessError(f"The kubeconfig has no {kind} {name!r}; it has {', '.join(known) or 'none'}.")
