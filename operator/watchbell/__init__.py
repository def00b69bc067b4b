"""watchbell: mail that a Kubernetes cluster can rely on."""

__version__ = "0.1.0.dev0"
