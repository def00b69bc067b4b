"""A cluster that was there before, by its kubeconfig: whatever signs in there (a plug-in, a certificate), tests get plain tokens.

Makes a namespace with two service accounts, one of them a cluster administrator, and deletes all of it at the end.
"""

import base64
import json
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from controlplane.access import ADMIN, PLAIN, Access
from controlplane.errors import ControlPlaneError
from controlplane.locate import binary
from controlplane.stopping import Stoppable

_TOKEN_LIFE = "8h"  # noqa: S105 - a duration
_TIMEOUT_S = 60


class ExistingCluster(Access, Stoppable):
    """Access to a cluster that somebody else runs; a context manager that removes what it made there."""

    def __init__(self, kubeconfig: Path) -> None:
        self._theirs = kubeconfig
        self._home = f"watchbell-tests-{secrets.token_hex(3)}"
        cluster = _cluster_of(kubeconfig)
        self._make_accounts()
        try:
            tokens = {
                user: self._kubectl("create", "token", user, f"--duration={_TOKEN_LIFE}", "-n", self._home)
                for user in (ADMIN, PLAIN)
            }
            super().__init__(
                Path(tempfile.mkdtemp(prefix="existing-cluster-")), cluster["server"], _authority_of(cluster), tokens
            )
        except BaseException:
            self._remove_accounts()
            raise

    def stop(self) -> None:
        """Removes the accounts and the files."""
        self._remove_accounts()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_accounts(self) -> None:
        self._kubectl("create", "namespace", self._home)
        for user in (ADMIN, PLAIN):
            self._kubectl("create", "serviceaccount", user, "-n", self._home)
        self._kubectl(
            "create",
            "clusterrolebinding",
            self._home,
            "--clusterrole=cluster-admin",
            f"--serviceaccount={self._home}:{ADMIN}",
        )

    def _remove_accounts(self) -> None:
        self._kubectl("delete", "clusterrolebinding", self._home, "--ignore-not-found")
        self._kubectl("delete", "namespace", self._home, "--ignore-not-found", "--wait=false")

    def _kubectl(self, *arguments: str) -> str:
        return _kubectl(self._theirs, *arguments)


def _cluster_of(kubeconfig: Path) -> dict[str, Any]:
    seen = json.loads(_kubectl(kubeconfig, "config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    cluster: dict[str, Any] = seen["clusters"][0]["cluster"]
    return cluster


def _authority_of(cluster: dict[str, Any]) -> str:
    if "certificate-authority-data" not in cluster:
        raise ControlPlaneError(
            f"The kubeconfig has no certificate authority for {cluster['server']}; add certificate-authority-data."
        )
    return base64.b64decode(cluster["certificate-authority-data"]).decode()


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    command = [str(binary("kubectl")), "--kubeconfig", str(kubeconfig), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as problem:
        raise ControlPlaneError(
            f"The cluster of {kubeconfig} did not answer `kubectl {' '.join(arguments)}` within {_TIMEOUT_S} s."
        ) from problem
    if done.returncode != 0:
        raise ControlPlaneError(
            f"The cluster of {kubeconfig} refused `kubectl {' '.join(arguments)}`: {done.stderr.strip()[:500]}"
        )
    return done.stdout.strip()
