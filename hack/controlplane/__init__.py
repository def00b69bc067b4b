"""A real Kubernetes control plane for tests, demo and benches, without a container engine.

``binary(name)`` finds or builds one program; ``start(directory)`` runs etcd and kube-apiserver on loopback ports. Standard library only,
but for the certificates, which need ``cryptography``. Knows nothing of watchbell.
"""

from controlplane.access import Access
from controlplane.errors import ControlPlaneError
from controlplane.existing import ExistingCluster
from controlplane.locate import binary
from controlplane.plane import ControlPlane, start
from controlplane.rest import Rest, RestError

__all__ = ["Access", "ControlPlane", "ControlPlaneError", "ExistingCluster", "Rest", "RestError", "binary", "start"]
