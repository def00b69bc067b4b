"""Which programs there are, and what pins each of them: a Go module of ``hack/go`` whose go.mod and go.sum are committed.

Comes before everything else in this package and does nothing but read go.mod.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from controlplane.errors import ControlPlaneError

GO_MODULES = Path(__file__).resolve().parent.parent / "go"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: the folder below ``hack/go``, the package to build and the Go module that gives the version.

    ``usual_s`` is what a cold build took on two cores; ``in_envtest`` says that the envtest archive carries it too.
    """

    name: str
    folder: str
    package: str
    versioned_by: str
    usual_s: int
    in_envtest: bool = False
    from_path: bool = False

    @property
    def module_folder(self) -> Path:
        """Where go.mod stands."""
        return GO_MODULES / self.folder

    @property
    def version(self) -> str:
        """The pinned version, for example ``v1.34.4``."""
        return self._read(rf"^(?:require)?\s*{re.escape(self.versioned_by)} (v\S+)")

    @property
    def oldest_go(self) -> str:
        """The ``go`` line of go.mod, for example ``1.24.0``: an older toolchain refuses the module."""
        return self._read(r"^go (\S+)")

    def _read(self, pattern: str) -> str:
        found = re.search(pattern, (self.module_folder / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise ControlPlaneError(f"{self.module_folder / 'go.mod'} does not pin {self.versioned_by}.")
        return found[1]


def _kubernetes(name: str, usual_s: int, *, in_envtest: bool = False, from_path: bool = False) -> Program:
    return Program(
        name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", usual_s, in_envtest, from_path
    )


_ALL = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", 27, in_envtest=True),
    _kubernetes("kube-apiserver", 172, in_envtest=True),
    _kubernetes("kube-controller-manager", 64),
    _kubernetes("kube-scheduler", 5),
    _kubernetes("kubelet", 15),
    _kubernetes("kube-proxy", 8),
    _kubernetes("kubectl", 60, in_envtest=True, from_path=True),
    Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4", 78),
    Program("helm3", "helm3", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3", 60),
    Program("kube-score", "kube-score", "github.com/zegl/kube-score/cmd/kube-score", "github.com/zegl/kube-score", 15),
    Program("kstatus", "kstatus", ".", "github.com/fluxcd/cli-utils", 7),
    Program(
        "crd-schema-checker",
        "crd-schema-checker",
        "github.com/openshift/crd-schema-checker/cmd/crd-schema-checker",
        "github.com/openshift/crd-schema-checker",
        73,
    ),
)

PROGRAMS: Mapping[str, Program] = MappingProxyType({program.name: program for program in _ALL})


def program_named(name: str) -> Program:
    """The program, or a sentence that lists the names there are."""
    if name not in PROGRAMS:
        raise ControlPlaneError(f"There is no program {name!r} here; the names are {', '.join(PROGRAMS)}.")
    return PROGRAMS[name]
