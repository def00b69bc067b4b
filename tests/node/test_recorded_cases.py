"""The rows of detection were recorded once. Here today's kubelet and scheduler write them again: detection must make the same of them."""

from pathlib import Path

import pytest

from realnode.cases import CASES, record_cases
from recorded import EXPECTED, kinds_of, pods_of

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def anew(node, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    record_cases(node, folder)
    return folder


def test_there_is_a_row_for_each_case():
    assert set(CASES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_todays_kubelet_is_understood_as_well(anew, name):
    assert kinds_of(pods_of(name, anew)) == EXPECTED[name]
