"""Starts etcd and kube-apiserver on loopback and hands out their address and identities; ends both with no trace left."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from controlplane.access import ADMIN, PLAIN, Access, encoded
from controlplane.cache import folder
from controlplane.certificates import Authority, service_account_key, write_private
from controlplane.errors import ControlPlaneError
from controlplane.flags import Settings, api_flags, etcd_flags, manager_flags
from controlplane.locate import binary
from controlplane.servers import Server, accepts, free_ports
from controlplane.stopping import Stoppable

_READY_S = 60.0
_ATTEMPTS = 3
_CLASHES = ("address already in use", "bind: permission denied")
_AUDIT_POLICY = (
    '{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],"rules":[{"level":"Metadata"}]}'
)


@dataclass(frozen=True, slots=True)
class _Identity:
    user: str
    groups: tuple[str, ...]
    token: str


class ControlPlane(Access, Stoppable):
    """A running control plane; a context manager that stops it. Made by ``start``.

    Its ``folder`` is deleted at the end, even when this process is killed.
    """

    def __init__(self, place: Path, port: int, identities: Sequence[_Identity]) -> None:
        self._authority = Authority()
        self._identities = tuple(identities)
        self._servers: list[Server] = []
        tokens = {identity.user: identity.token for identity in identities}
        super().__init__(place, f"https://127.0.0.1:{port}", self._authority.certificate_pem.decode(), tokens)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate that makes its bearer ``user`` in ``groups``: any user, at any time."""
        certificate, key = self._authority.client(user, groups)
        identity = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
        return self.write_kubeconfig(f"kubeconfig-{secrets.token_hex(4)}", identity)

    def stop(self) -> None:
        """Ends all servers and deletes the folder; may be called twice."""
        # All at once, etcd included: nothing of it is kept, so nobody has to say good-bye.
        servers, self._servers = self._servers[::-1], []
        if servers:
            with ThreadPoolExecutor(len(servers)) as pool:
                list(pool.map(Server.stop, servers))
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self, settings: Settings, port: int) -> None:
        """Writes the files and starts the servers; ``start`` calls it once."""
        deadline = time.monotonic() + _READY_S
        self._write_files()
        etcd_port, etcd_peer_port, manager_port = free_ports(3)
        etcd = self._serve("etcd", etcd_flags(self.folder, etcd_port, etcd_peer_port), remove=self.folder)
        etcd.wait_for(lambda: accepts(etcd_port), "it listened", deadline)
        api = self._serve("kube-apiserver", [*api_flags(self.folder, port, etcd_port), *settings.flags()])
        api.wait_for(self._ready, "/readyz said ok", deadline)
        if settings.with_controller_manager:
            manager = self._serve("kube-controller-manager", manager_flags(self.folder, manager_port))
            manager.wait_for(lambda: accepts(manager_port), "it listened", deadline)

    def _serve(self, name: str, flags: Sequence[str], remove: Path | None = None) -> Server:
        server = Server(name, [binary(name), *flags], self.folder / f"{name}.log", remove)
        self._servers.append(server)
        return server

    def _ready(self) -> bool:
        try:
            return self.rest().text("/readyz") == "ok"
        except (OSError, ControlPlaneError):
            return False

    def _write_files(self) -> None:
        certificate, key = self._authority.serving()
        client_certificate, client_key = self._authority.client("kube-apiserver", ["system:masters"])
        tokens = "".join(f'{one.token},{one.user},{one.user},"{",".join(one.groups)}"\n' for one in self._identities)
        files = {
            "serving.crt": certificate,
            "serving.key": key,
            "kubelet-client.crt": client_certificate,
            "kubelet-client.key": client_key,
            "service-accounts.key": service_account_key(),
            "tokens.csv": tokens.encode(),
            "audit-policy.json": _AUDIT_POLICY.encode(),
        }
        for name, content in files.items():
            write_private(self.folder / name, content)


def start(
    directory: Path | str | None = None,
    *,
    audit_log: Path | None = None,
    with_controller_manager: bool = False,
    users: Mapping[str, Sequence[str]] | None = None,
    extra_flags: Sequence[str] = (),
) -> ControlPlane:
    """Starts a control plane in a fresh folder below ``directory`` (the system's temporary folder without one).

    ``audit_log`` gets one JSON line for each request (level Metadata) and is the caller's to keep. ``users`` maps further users to their groups;
    each gets a plain token. ``extra_flags`` go to kube-apiserver. Without a controller manager the admission plugin ServiceAccount is off and a
    deleted namespace stays ``Terminating``. Raises ControlPlaneError.
    """
    for name in ("etcd", "kube-apiserver", *(("kube-controller-manager",) if with_controller_manager else ())):
        binary(name)
    people = {ADMIN: ("system:masters",), PLAIN: (), **{user: tuple(groups) for user, groups in (users or {}).items()}}
    identities = [_Identity(user, groups, secrets.token_urlsafe(24)) for user, groups in people.items()]
    for attempt in range(1, _ATTEMPTS + 1):
        place = _fresh_folder(directory)
        (port,) = free_ports(1)
        plane = ControlPlane(place, port, identities)
        try:
            plane.launch(Settings(audit_log, with_controller_manager, place, tuple(extra_flags)), port)
        except ControlPlaneError as problem:
            plane.stop()
            # A port can be taken between asking for a free one and using it.
            if attempt == _ATTEMPTS or not any(clash in str(problem) for clash in _CLASHES):
                raise
        except BaseException:
            plane.stop()
            raise
        else:
            return plane
    raise ControlPlaneError("No free loopback port could be had.")


def _fresh_folder(directory: Path | str | None) -> Path:
    parent = None if directory is None else folder(Path(directory))
    try:
        return Path(tempfile.mkdtemp(prefix="control-plane-", dir=parent)).resolve()
    except OSError as problem:
        sentence = f"No folder for the control plane could be made ({problem.strerror}); free some space or choose another one."
        raise ControlPlaneError(sentence) from problem
