"""How to reach a cluster and as whom: address, authority, tokens, kubeconfigs. The same for a cluster of ours and one that was there before."""

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controlplane.certificates import write_private
from controlplane.errors import ControlPlaneError
from controlplane.rest import Rest

ADMIN = "admin"
PLAIN = "plain"


class Access:
    """One API server and the tokens for it.

    ``url`` and ``ca_file`` (PEM; its text is ``ca_pem``) are what a client needs, ``token`` is the administrator's, ``kubeconfig`` says all of it
    in one file. All files lie in ``folder``.
    """

    def __init__(self, folder: Path, url: str, ca_pem: str, tokens: Mapping[str, str]) -> None:
        self.folder = folder
        self.url = url
        self.ca_pem = ca_pem
        self.ca_file = write_private(folder / "ca.crt", ca_pem.encode())
        self._tokens = dict(tokens)
        self.kubeconfig = self.write_kubeconfig("kubeconfig", {"token": self.token})

    @property
    def token(self) -> str:
        """The administrator's token."""
        return self.token_for(ADMIN)

    @property
    def users(self) -> tuple[str, ...]:
        """Who has a plain token: ``admin``, ``plain`` (no rights at all) and those that were named at the start."""
        return tuple(self._tokens)

    def token_for(self, user: str = PLAIN) -> str:
        """The token of one of ``users``."""
        if user not in self._tokens:
            raise ControlPlaneError(
                f"{user!r} has no token: name it in start(users={{...}}), or use kubeconfig_for() or service_account_token()."
            )
        return self._tokens[user]

    def rest(self, user: str = ADMIN, *, impersonate: str | None = None) -> Rest:
        """A small client as ``user``; ``impersonate`` makes the API server judge it as somebody else."""
        return Rest(self.url, self.ca_pem, self.token_for(user), impersonate=impersonate)

    def service_account_token(self, namespace: str, name: str, lifetime_s: int = 3600) -> str:
        """A real token of a service account, which has to exist."""
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": lifetime_s},
        }
        answer = self.rest().post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", asked)
        return str(answer["status"]["token"])

    def kubeconfig_with(self, token: str) -> Path:
        """A kubeconfig that uses ``token``."""
        return self.write_kubeconfig(f"kubeconfig-{secrets.token_hex(4)}", {"token": token})

    def write_kubeconfig(self, name: str, identity: Mapping[str, str]) -> Path:
        """A kubeconfig file ``name`` in ``folder`` whose user is ``identity``."""
        content: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority-data": encoded(self.ca_pem.encode())},
                }
            ],
            "users": [{"name": "test", "user": dict(identity)}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        }
        # JSON is YAML: no library is needed to write it.
        return write_private(self.folder / name, json.dumps(content, indent=1).encode())


def encoded(content: bytes) -> str:
    """Base64, as kubeconfigs want it."""
    return base64.b64encode(content).decode()
