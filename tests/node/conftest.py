"""One real node for all tests of this folder: it starts once, and its API server is the cluster of the fixtures that all tests share."""

from collections.abc import Iterator

import pytest

import realnode
from cluster import install_crds
from controlplane import Access

LONGEST_BACK_OFF_S = 5


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[realnode.Node]:
    """The node, with our CRDs. Its crash loops pause for seconds instead of minutes."""
    with realnode.start(tmp_path_factory.mktemp("node"), back_off_s=LONGEST_BACK_OFF_S) as running:
        install_crds(running.plane.rest())
        yield running


@pytest.fixture(scope="session")
def control_plane(node: realnode.Node) -> Access:
    """Here, the one with a node."""
    return node.plane
