"""A real Kubernetes node for tests and recordings: kubelet, containerd and runc in namespaces of their own, pods that really run and crash.

``start()`` brings up a control plane with controller manager and scheduler and joins one node to it; needs Linux, root and Debian's packages
(``hack/debian-node-packages.txt``), no registry and no container engine. Knows nothing of watchbell.
"""

from realnode.image import IMAGE
from realnode.node import NODE_NAME, Node, prepare, start

__all__ = ["IMAGE", "NODE_NAME", "Node", "prepare", "start"]
