"""The container image for real, without a registry and without a container engine: a Debian base by mmdebstrap, the project's Dockerfile by buildah.

``build(directory)`` gives an ``Image``: its configuration, the files that it adds to the base, and a way to run it as a node would. Needs root and
Debian's packages (``hack/debian-image-packages.txt``), which are unpacked into the cache and not installed.
"""

from realimage.builder import build, prepare
from realimage.image import Image

__all__ = ["Image", "build", "prepare"]
