"""Starts one real node and ends it with no trace: all of it lives in namespaces that vanish with their first process."""

import contextlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from controlplane import ControlPlane, ControlPlaneError, RestError, binary
from controlplane import start as start_plane
from controlplane.certificates import write_private
from controlplane.debian import listed, unpacked
from controlplane.progress import shown
from controlplane.servers import Server, accepts, free_ports
from controlplane.stopping import Stoppable
from realnode import cgroups, config
from realnode.image import write_archive

NODE_NAME = "worker-1"
PACKAGES = Path(__file__).resolve().parent.parent / "debian-node-packages.txt"
_SETUP = Path(__file__).with_name("namespace.sh")
_READY_S = 120.0
# Pairs of addresses for the machine's end and the node's end of their cable; documentation addresses (RFC 5737).
_CABLES = ipaddress.ip_network("198.51.100.0/24")


class Node(Stoppable):
    """A running node and its control plane; a context manager that ends both. Made by ``start``."""

    def __init__(self, plane: ControlPlane, packages: Path) -> None:
        self.plane = plane
        self._packages = packages
        self._environment = _environment(packages)
        self._work = Path(tempfile.mkdtemp(prefix="node-", dir=plane.folder.parent)).resolve()
        self._cgroup = cgroups.name_of(os.getpid(), self._work.name)
        self._servers: list[Server] = []
        self._first: int | None = None

    def launch(self, back_off_s: int | None) -> None:
        """Brings it up until the node is Ready; ``start`` calls it once."""
        deadline = time.monotonic() + _READY_S
        self._open_namespaces(deadline)
        machine, own = self._lay_cable()
        cgroups.sweep()
        cgroups.make(self._cgroup)
        self._run_containerd(deadline)
        self._run_scheduler(deadline)
        self._run_kubelet(machine, own, back_off_s, deadline)

    def stop(self) -> None:
        """Ends node and control plane and removes what they made; may be called twice."""
        if self._first is not None:
            # The kernel ends all the others with it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._first, signal.SIGKILL)
            self._first = None
        servers, self._servers = self._servers[::-1], []
        for server in servers:
            server.stop()
        cgroups.remove(self._cgroup)
        self.plane.stop()
        shutil.rmtree(self._work, ignore_errors=True)

    def logs(self) -> str:
        """The last lines of each of its servers."""
        return "\n".join(f"--- {server.name}\n{server.last_lines()}" for server in self._servers)

    def _open_namespaces(self, deadline: float) -> None:
        flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        holder = self._serve("unshare", ["unshare", *flags, "sh", _SETUP, self._work], remove=self._work)
        pid = self._work / "pid"
        holder.wait_for(pid.exists, "the namespaces were there", deadline)
        self._first = int(pid.read_text())

    def _lay_cable(self) -> tuple[str, str]:
        """A veth pair between the machine and the node, so that the kubelet reaches the API server and that one the kubelet (for logs)."""
        cable = f"wbn{os.getpid() % 10**8}{self._work.name[-3:]}"
        machine, own = self._free_pair()
        self._ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(self._first))
        self._ip("addr", "add", f"{machine}/30", "dev", cable)
        self._ip("link", "set", cable, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{own}/30", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", machine),
        ):
            self._run([*self._inside(), str(self._packages / "bin/ip"), *command])
        return machine, own

    def _free_pair(self) -> tuple[str, str]:
        taken = self._run([str(self._packages / "bin/ip"), "-o", "-4", "addr", "show"])
        for pair in _CABLES.subnets(new_prefix=30):
            machine, own = (str(address) for address in pair.hosts())
            if f" {machine}/" not in taken:
                return machine, own
        raise ControlPlaneError(f"All of {_CABLES} is in use: end some of the nodes that run on this machine.")

    def _run_containerd(self, deadline: float) -> None:
        network = self._work / "network"
        network.mkdir()
        (network / "pods.conflist").write_text(config.network())
        toml = self._work / "containerd.toml"
        toml.write_text(config.containerd(self._packages, network))
        server = self._serve("containerd", [*self._inside(), self._packages / "usr/bin/containerd", "--config", toml])
        socket = self._work / "root" / config.SOCKET.lstrip("/")
        server.wait_for(socket.exists, "its socket was there", deadline)
        archive = self._work / "images.tar"
        write_archive(self._packages / "bin/busybox", archive)
        ctr = [
            *self._inside(),
            str(self._packages / "usr/bin/ctr"),
            "--address",
            config.SOCKET,
            "--namespace",
            "k8s.io",
        ]
        self._run([*ctr, "images", "import", str(archive)])

    def _run_scheduler(self, deadline: float) -> None:
        (port,) = free_ports(1)
        flags = [
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self._work / 'scheduler'}",
        ]
        server = self._serve(
            "kube-scheduler", [binary("kube-scheduler"), f"--kubeconfig={self.plane.kubeconfig}", *flags]
        )
        server.wait_for(lambda: accepts(port), "it listened", deadline)

    def _run_kubelet(self, machine: str, own: str, back_off_s: int | None, deadline: float) -> None:
        settings = self._work / "kubelet.json"
        settings.write_text(config.kubelet(self.plane.ca_file, f"/{self._cgroup}", back_off_s))
        flags = [
            f"--config={settings}",
            f"--kubeconfig={self._kubeconfig(machine)}",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={own}",
            "--root-dir=/var/lib/kubelet",
        ]
        server = self._serve("kubelet", [*self._inside(), binary("kubelet"), *flags])
        server.wait_for(self._is_ready, "the node was Ready", deadline)

    def _kubeconfig(self, machine: str) -> Path:
        content = json.loads(self.plane.kubeconfig_for(f"system:node:{NODE_NAME}", ["system:nodes"]).read_text())
        cluster = content["clusters"][0]["cluster"]
        cluster["server"] = f"https://{machine}:{self.plane.url.rpartition(':')[2]}"
        cluster["tls-server-name"] = "localhost"
        return write_private(self._work / "kubeconfig", json.dumps(content).encode())

    def _is_ready(self) -> bool:
        rest = self.plane.rest()
        try:
            conditions = rest.get(f"/api/v1/nodes/{NODE_NAME}").get("status", {}).get("conditions", [])
            rest.get("/api/v1/namespaces/default/serviceaccounts/default")
        except RestError as problem:
            if problem.status == 404:
                return False
            raise
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _inside(self) -> list[str]:
        return ["nsenter", f"--target={self._first}", "--net", "--mount", "--pid"]

    def _ip(self, *arguments: str) -> None:
        self._run([str(self._packages / "bin/ip"), *arguments])

    def _serve(self, name: str, command: Sequence[str | Path], remove: Path | None = None) -> Server:
        server = Server(name, [*self._environment, *command], self.plane.folder / f"{name}.log", remove)
        self._servers.append(server)
        return server

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run([*self._environment, *command], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ControlPlaneError(f"The node could not be made: `{' '.join(command)}` says: {last}")
        return done.stdout


def start(directory: Path | str | None = None, *, back_off_s: int | None = None, audit_log: Path | None = None) -> Node:
    """A control plane with controller manager and scheduler, and one node that is Ready.

    ``directory`` as for ``controlplane.start``; ``back_off_s`` shortens the pauses of crash loops. Raises ControlPlaneError.
    """
    packages = prepare()
    with shown("Starting a node", 15):
        # The node is on the other side of a cable, so loopback is not enough.
        plane = start_plane(
            directory, audit_log=audit_log, with_controller_manager=True, extra_flags=["--bind-address=0.0.0.0"]
        )
        node = Node(plane, packages)
        try:
            node.launch(back_off_s)
        except BaseException:
            node.stop()
            raise
    return node


def prepare() -> Path:
    """Makes all programs ready, which takes minutes the first time; the root of the unpacked Debian packages. Raises ControlPlaneError."""
    _check_machine()
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"):
        binary(name)
    return unpacked(listed(PACKAGES))


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise ControlPlaneError("A node mounts and makes namespaces, which needs root: run it with sudo.")
    for tool in ("unshare", "nsenter", "mount"):
        if shutil.which(tool) is None:
            raise ControlPlaneError(f"A node needs {tool} (Debian's util-linux).")


def _environment(packages: Path) -> list[str]:
    """What a command begins with to find the programs of ``packages`` and their libraries first; containerd looks for its shim on PATH."""
    places = [str(packages / part) for part in ("usr/sbin", "usr/bin", "sbin", "bin")]
    libraries = sorted({str(path.parent) for path in packages.glob("**/lib/*-linux-gnu/*.so*")})
    path = os.pathsep.join([*places, os.environ.get("PATH", os.defpath)])
    return ["env", f"PATH={path}", *([f"LD_LIBRARY_PATH={os.pathsep.join(libraries)}"] if libraries else [])]
