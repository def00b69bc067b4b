"""What containerd, its network plugins and the kubelet are told. Paths are those inside the node's mount namespace."""

import json
from pathlib import Path
from typing import Any

from realnode.image import PAUSE_IMAGE

# Documentation addresses (RFC 5737), so that nothing recorded here names a real network.
POD_NETWORK = "192.0.2.0/24"
SOCKET = "/run/containerd/containerd.sock"

_CONTAINERD = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  # Inside a container or a small virtual machine not even root may lower oom_score_adj.
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{network}"
"""


def containerd(packages: Path, network: Path) -> str:
    """The config.toml of containerd; ``packages`` is the root of the unpacked Debian packages, ``network`` the folder of the CNI list."""
    return _CONTAINERD.format(
        socket=SOCKET,
        pause=PAUSE_IMAGE,
        runc=packages / "usr/sbin/runc",
        plugins=packages / "usr/lib/cni",
        network=network,
    )


def network() -> str:
    """A bridge inside the node. No masquerading: the pods have nobody to talk to but the node, and so no iptables is needed."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": POD_NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": ipam}
    return json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}, indent=1)


def kubelet(client_ca: Path, cgroup: str, back_off_s: int | None) -> str:
    """A KubeletConfiguration. ``back_off_s`` caps the pause of a crash loop (seconds, 1 to 300); None leaves Kubernetes' own 10 s to 5 min."""
    content: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(client_ca)},
        },
        # Whoever has a certificate of this control plane's own authority: the API server, for logs.
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "evictionHard": {"memory.available": "16Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "registerNode": True,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }
    if back_off_s is not None:
        content["featureGates"] = {"KubeletCrashLoopBackOffMax": True}
        content["crashLoopBackOff"] = {"maxContainerRestartPeriod": f"{back_off_s}s"}
    return json.dumps(content, indent=1)
