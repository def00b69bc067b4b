"""The image that the Dockerfile builds, built for real: what is in it, what is not, and that it runs where nothing can be written."""

import re

import pytest

import realimage

pytestmark = pytest.mark.timeout(900)
LARGEST_BYTES = 120 * 1024 * 1024
NEVER = re.compile(
    r"/(?:pip|setuptools|wheel|pytest|_pytest|hypothesis|mypy|ruff|aiosmtpd)(?:/|-\d)|/(?:gcc|cc1|ld|pip3?)$|(?:^|/)tests/"
)
FOUND_IN_PACKAGES = re.compile(r"site-packages/(?:importlib_resources)/")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return realimage.build(tmp_path_factory.mktemp("image"))


def test_it_is_small_and_holds_neither_compiler_nor_installer_nor_tests(image):
    added = image.added
    assert sum(added.values()) <= LARGEST_BYTES
    assert [name for name in added if NEVER.search(name) and not FOUND_IN_PACKAGES.search(name)] == []
    assert any(name.endswith("site-packages/watchbell/runtime.py") for name in added)


def test_it_says_what_it_is_and_runs_as_nobody(image):
    found = image.configuration
    assert found["User"] == "65532:65532"
    assert (found["Entrypoint"], found["Cmd"]) == (["watchbell"], ["run"])
    labels = found["Labels"]
    assert labels["org.opencontainers.image.version"] == "test"
    assert {"title", "description", "licenses", "revision", "source"} <= {name.rpartition(".")[2] for name in labels}


def test_it_runs_where_nothing_can_be_written(image):
    done = image.run("watchbell", "version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("watchbell ")
    refused = image.run("python3", "-c", "open('/x', 'w')")
    assert "Read-only file system" in refused.stderr
    assert image.run("python3", "-c", "import os; print(os.getuid(), os.getgid())").stdout == "65532 65532\n"


def test_a_wrong_flag_and_a_cluster_that_is_not_there_are_one_sentence(image):
    wrong = image.run("watchbell", "run", "--send-workers=0")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    alone = image.run("watchbell", "run")
    assert (alone.returncode, len(alone.stderr.splitlines())) == (1, 1)
    assert "Traceback" not in alone.stderr
