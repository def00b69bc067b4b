"""The flags with which the servers start; every one of them was tried on the pinned versions."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What a caller of ``start`` chose."""

    audit_log: Path | None
    with_controller_manager: bool
    place: Path
    extra: tuple[str, ...]

    def flags(self) -> list[str]:
        """The flags of kube-apiserver that follow from it."""
        flags = list(self.extra)
        if not self.with_controller_manager:
            # Nobody makes the service account "default" of a namespace, and without it the plugin refuses every pod.
            flags.append("--disable-admission-plugins=ServiceAccount")
        if self.audit_log is not None:
            flags += [
                f"--audit-log-path={self.audit_log.resolve()}",
                f"--audit-policy-file={self.place / 'audit-policy.json'}",
            ]
        return flags


def etcd_flags(place: Path, port: int, peer_port: int) -> list[str]:
    """A single member on loopback that never syncs to disk: nothing of it outlives the control plane."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={place / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def api_flags(place: Path, port: int, etcd_port: int) -> list[str]:
    """The API server with RBAC, plain tokens, client certificates and signed service-account tokens."""
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={place}",
        f"--tls-cert-file={place / 'serving.crt'}",
        f"--tls-private-key-file={place / 'serving.key'}",
        f"--kubelet-client-certificate={place / 'kubelet-client.crt'}",
        f"--kubelet-client-key={place / 'kubelet-client.key'}",
        # A node's name does not resolve here.
        "--kubelet-preferred-address-types=InternalIP",
        f"--client-ca-file={place / 'ca.crt'}",
        f"--token-auth-file={place / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={place / 'service-accounts.key'}",
        f"--service-account-signing-key-file={place / 'service-accounts.key'}",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--allow-privileged=true",
    ]


def manager_flags(place: Path, port: int) -> list[str]:
    """The controller manager, which makes service accounts and finishes the deletion of namespaces."""
    return [
        f"--kubeconfig={place / 'kubeconfig'}",
        f"--service-account-private-key-file={place / 'service-accounts.key'}",
        f"--root-ca-file={place / 'ca.crt'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={place / 'manager'}",
    ]
