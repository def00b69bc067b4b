"""How to reach the API server and as whom: the pod's own files, or a kubeconfig. Before `client`; knows no request.

No `kubernetes` package: importing it costs a process more than 20 MB, and the operator needs only these few fields of it. What is
not supported is refused with a sentence that names the cure, never half obeyed.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchbell.kube.kubeconfig import AccessError, Chosen, Credentials, choose, read_bounded, trusting
from watchbell.kube.kubeconfig import ssl_context as kubeconfig_ssl_context

__all__ = ["Access", "AccessError", "TokenFile", "load_access"]

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_MAX_BYTES = 64 * 1024
_CURE_IN_CLUSTER = "set automountServiceAccountToken: true on the pod, or give --kubeconfig"


@dataclass(frozen=True, slots=True)
class Access:
    """One API server and one identity.

    `token` is called for every request (files are read again when they changed); `is_token_slow` says that it may run a program, so it
    must not be called on the event loop, nor `drop_token`, which makes it forget one that the server refused. `ssl` None = plain http.
    `server_name` is the name the certificate must carry, if not the host.
    """

    server: str
    ssl: ssl.SSLContext | None
    token: Callable[[], str] | None
    namespace: str
    server_name: str | None = None
    is_token_slow: bool = False
    drop_token: Callable[[], None] | None = None
    source: str = ""


class TokenFile:
    """A bearer token in a file that somebody else renews: read again whenever the file was replaced or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._token = ""

    def __call__(self) -> str:
        """The token as it stands now. Raises AccessError when the file cannot be read."""
        try:
            facts = self._path.stat()
            seen = (facts.st_mtime_ns, facts.st_ino)
            if seen != self._seen:
                self._token = read_bounded(self._path, _TOKEN_MAX_BYTES).decode("ascii").strip()
                self._seen = seen
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"The token file {self._path} cannot be read ({_why(error)}).") from error
        return self._token


def load_access(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    service_account_dir: Path = SERVICE_ACCOUNT_DIR,
) -> Access:
    """The way to the cluster: `kubeconfig` if given, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    With a `context` the service account is left out, since it has no contexts. Raises AccessError with one sentence that names the cure.
    """
    environ = os.environ if environ is None else environ
    paths = _paths(kubeconfig or environ.get("KUBECONFIG", ""))
    if not paths and context is None and environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environ, service_account_dir)
    return _from_chosen(choose(paths or (Path.home() / ".kube" / "config",), context))


def _paths(joined: str) -> tuple[Path, ...]:
    return tuple(Path(part).expanduser() for part in joined.split(os.pathsep) if part)


def _in_cluster(environ: Mapping[str, str], folder: Path) -> Access:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    token = TokenFile(folder / "token")
    token()
    try:
        authority = read_bounded(folder / "ca.crt", 1024 * 1024).decode("ascii")
        context = trusting(authority)
        namespace = read_bounded(folder / "namespace", 1024).decode("ascii").strip()
    except (OSError, UnicodeDecodeError, ssl.SSLError) as error:
        raise AccessError(
            f"The pod's service account in {folder} is not usable ({_why(error)}): {_CURE_IN_CLUSTER}."
        ) from error
    host = f"[{host}]" if ":" in host else host
    return Access(f"https://{host}:{port}", context, token, namespace, source="the pod's service account")


def _from_chosen(chosen: Chosen) -> Access:
    credentials = chosen.credentials
    return Access(
        server=chosen.server,
        ssl=kubeconfig_ssl_context(chosen),
        token=_token_of(credentials),
        namespace=chosen.namespace,
        server_name=chosen.server_name,
        is_token_slow=credentials.exec_plugin is not None,
        drop_token=credentials.exec_plugin.drop if credentials.exec_plugin else None,
        source=f"context {chosen.context} of {chosen.source}",
    )


def _token_of(credentials: Credentials) -> Callable[[], str] | None:
    if credentials.exec_plugin is not None:
        return credentials.exec_plugin.token if credentials.exec_plugin.gives_token() else None
    if credentials.token_file is not None:
        return TokenFile(credentials.token_file)
    return credentials.token.reveal if credentials.token else None


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
