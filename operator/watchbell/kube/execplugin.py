"""Credential plugins of a kubeconfig (client.authentication.k8s.io ExecCredential): a program that prints a token or a certificate.

Used by `kubeconfig`. The program is run only when nothing fresh is at hand, bounded in time and output; what it prints never gets into
an error, since it may be the secret itself.
"""

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from watchbell.api.sensitive import Sensitive

_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_RUN_TIMEOUT_S = 30
_OUTPUT_MAX_BYTES = 1024 * 1024
_FRESH_MARGIN = timedelta(seconds=30)


class AccessError(Exception):
    """The cluster cannot be spoken to as things stand. The message is one sentence for people and names the cure."""


@dataclass(frozen=True, slots=True)
class _Answer:
    token: Sensitive | None
    certificate: bytes | None
    key: Sensitive | None
    expires: datetime | None

    def is_fresh(self, now: datetime) -> bool:
        """Without an expiry an answer holds for the life of the process (client-go does the same)."""
        return self.expires is None or now + _FRESH_MARGIN < self.expires


@dataclass(slots=True)
class ExecPlugin:
    """One `exec` entry; keeps its last answer until shortly before that expires. Safe to call from several threads."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    api_version: str
    cluster: Mapping[str, Any] | None
    install_hint: str
    _answer: _Answer | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def parse(cls, body: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any]) -> Self:
        """From a kubeconfig's `exec`; a command with a slash is relative to the kubeconfig's folder, one without is looked up in PATH."""
        command, api_version = str(body.get("command") or ""), str(body.get("apiVersion") or "")
        if not command:
            raise AccessError("The exec plugin of the kubeconfig names no command.")
        if api_version not in _API_VERSIONS:
            raise AccessError(f"The exec plugin {command} speaks {api_version!r}; update it to {_API_VERSIONS[0]}.")
        if os.sep in command:
            command = str(folder / Path(command).expanduser())
        pairs = {str(item["name"]): str(item.get("value") or "") for item in body.get("env") or ()}
        return cls(
            argv=(command, *(str(argument) for argument in body.get("args") or ())),
            env=pairs,
            api_version=api_version,
            cluster=_cluster_info(cluster) if body.get("provideClusterInfo") else None,
            install_hint=" ".join(str(body.get("installHint") or "").split())[:300],
        )

    def gives_token(self) -> bool:
        """Whether the plugin logs in by token; else by client certificate."""
        return self._current().token is not None

    def token(self) -> str:
        """A token that is good for another 30 s at least. Blocks while the program runs."""
        token = self._current().token
        if token is None:
            raise AccessError(f"The exec plugin {self.argv[0]} gave no token this time; log in again with it.")
        return token.reveal()

    def drop(self) -> None:
        """The server refused what the plugin gave: it is run again at the next use."""
        with self._lock:
            self._answer = None

    def certificate(self) -> tuple[bytes | None, Sensitive | None]:
        """The client certificate and key that the plugin gave, if any."""
        answer = self._current()
        return answer.certificate, answer.key

    def _current(self) -> _Answer:
        with self._lock:
            if self._answer is None or not self._answer.is_fresh(datetime.now(UTC)):
                self._answer = self._parse_answer(self._run())
            return self._answer

    def _run(self) -> bytes:
        spec: dict[str, Any] = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = dict(self.cluster)
        info = {"kind": "ExecCredential", "apiVersion": self.api_version, "spec": spec}
        env = {**os.environ, **self.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        try:
            done = subprocess.run(  # noqa: S603 - running it is what the user's kubeconfig asks for; no shell
                self.argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=_RUN_TIMEOUT_S, check=False
            )
        except FileNotFoundError as error:
            raise AccessError(
                f"The exec plugin {self.argv[0]} of the kubeconfig is not installed. {self.install_hint}".strip()
            ) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AccessError(
                f"The exec plugin {self.argv[0]} cannot be run or gave no answer within {_RUN_TIMEOUT_S} s."
            ) from error
        if done.returncode != 0:
            raise AccessError(
                f"The exec plugin {self.argv[0]} failed with exit code {done.returncode}; run it by hand to log in."
            )
        return done.stdout[:_OUTPUT_MAX_BYTES]

    def _parse_answer(self, output: bytes) -> _Answer:
        try:
            status = json.loads(output)["status"]
            expires = status.get("expirationTimestamp")
            certificate, key, token = (
                status.get("clientCertificateData"),
                status.get("clientKeyData"),
                status.get("token"),
            )
            answer = _Answer(
                token=Sensitive(str(token)) if token else None,
                certificate=str(certificate).encode() if certificate else None,
                key=Sensitive(str(key)) if key else None,
                expires=datetime.fromisoformat(expires) if expires else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AccessError(f"The exec plugin {self.argv[0]} printed no ExecCredential with a status.") from error
        if answer.token is None and answer.certificate is None:
            raise AccessError(f"The exec plugin {self.argv[0]} gave neither a token nor a certificate.")
        return answer


def _cluster_info(cluster: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data")
    return {key: cluster[key] for key in keys if cluster.get(key)}
