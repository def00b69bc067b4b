"""The fixtures that all tests share. Nothing starts before a test asks for it."""

import inspect
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from cluster import fresh_namespace, session_cluster
from controlplane import Access
from leaks import tasks_left

# How long an example takes is the machine's business, and a busy one is slow.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A real API server with our CRDs. ``url``, ``ca_file``, ``ca_pem``, ``token``, ``token_for("plain")``, ``kubeconfig``, ``rest()``."""
    with session_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def kube_url(control_plane: Access) -> str:
    """The address of the API server."""
    return control_plane.url


@pytest.fixture
def kube_token(control_plane: Access) -> str:
    """The administrator's token."""
    return control_plane.token


@pytest.fixture
def namespace(control_plane: Access) -> Iterator[str]:
    """The name of a namespace of this test's own."""
    with fresh_namespace(control_plane.rest()) as name:
        yield name


@pytest.fixture
async def _loop_ends_empty() -> AsyncIterator[None]:
    yield
    left = await tasks_left()
    if left:
        pytest.fail("tasks were left running:\n  " + "\n  ".join(left[:10]))


@pytest.fixture(autouse=True)
def _no_task_is_left(request: pytest.FixtureRequest) -> None:
    """Made before a test's other fixtures, so judged after they are gone."""
    if _is_async(request.function):
        request.getfixturevalue("_loop_ends_empty")


def _is_async(function: object) -> bool:
    # Hypothesis wraps the coroutine function in a plain one.
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return inspect.iscoroutinefunction(inner)
