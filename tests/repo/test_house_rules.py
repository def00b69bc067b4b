"""Rules of the repository itself: what may be committed, and that its lists agree with one another."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Spelled so that this file does not contain what it forbids.
MACHINE_PATHS = re.compile(r"(?<![\w.$}-])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/\w+)/[\w.]")
REGISTRY_HOSTS = re.compile(
    r"(?:pypi\." + r"org|python" + r"hosted\.org|proxy\.go" + r"lang\.org|sum\.go" + r"lang\.org|npm" + r"js\.org)"
)
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")
PINNED = (*sorted((ROOT / "requirements").glob("*.txt")), ROOT / "hack/uv.txt", ROOT / "hack/go/toolchain.txt")
PICTURES = {".png", ".svg", ".gif", ".jpg"}


def committed() -> tuple[Path, ...]:
    """The files that git knows or would add; an unpacked source archive has no git, and then all files count."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = (ROOT / line for line in listed.stdout.splitlines())
    else:
        paths = (path for path in ROOT.rglob("*") if not any(map(is_made_here, path.relative_to(ROOT).parts[:-1])))
    return tuple(sorted(path for path in paths if path.is_file()))


def is_made_here(folder: str) -> bool:
    """Environments and caches."""
    return folder == "__pycache__" or (folder.startswith(".") and folder != ".ci")


def texts() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_bytes().decode()
        for path in committed()
        if path.suffix not in PICTURES and path.name != "go.sum"
    }


def entries(name: str) -> tuple[str, ...]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements" / name).read_text().splitlines())
    return tuple(line for line in lines if line)


def test_the_folder_operator_is_a_source_root_and_never_a_package() -> None:
    # As a package it would hide the standard library's module of the same name from everything that runs in this folder.
    assert not list((ROOT / "operator").glob("*.py"))
    assert (ROOT / "operator" / "watchbell" / "__init__.py").is_file()


def test_nothing_that_is_committed_is_binary_but_pictures() -> None:
    binary = [path for path in committed() if path.suffix not in PICTURES and b"\0" in path.read_bytes()]
    assert binary == []


def test_pictures_are_small() -> None:
    large = [path for path in committed() if path.suffix in PICTURES and path.stat().st_size > 500_000]
    assert large == []


@pytest.mark.parametrize("text", ["cd /wo" + "rk/main", '"/ro' + 'ot/.cache"', "see /ho" + "me/jane/x"])
def test_the_rule_about_folders_knows_one_when_it_sees_one(text: str) -> None:
    assert MACHINE_PATHS.search(text)


def test_no_committed_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    found = {name: match[0] for name, text in texts().items() if (match := MACHINE_PATHS.search(text))}
    assert found == {}


def test_no_committed_file_names_a_package_registry() -> None:
    found = {name: match[0] for name, text in texts().items() if (match := REGISTRY_HOSTS.search(text))}
    assert found == {}


def test_there_is_no_second_lock_file() -> None:
    assert not [path for path in committed() if path.name in {"uv.lock", "poetry.lock", "Pipfile.lock"}]


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_pinned_package_has_a_hash(path: Path) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", path.read_text())
    pinned = [block for block in blocks if NAME.match(block)]
    assert pinned
    assert [block.splitlines()[0] for block in pinned if "==" not in block or "--hash=sha256:" not in block] == []


def test_the_image_gets_exactly_the_dependencies_of_the_package() -> None:
    assert sorted(entries("runtime.in")) == sorted(PYPROJECT["project"]["dependencies"])


def test_the_wheel_is_built_with_what_the_package_asks_for() -> None:
    assert sorted(entries("build.in")) == sorted(PYPROJECT["build-system"]["requires"])


@pytest.mark.parametrize("name", ["runtime", "build", "dev", "sbom"])
def test_every_wish_is_pinned(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    pinned = {found[0].lower() for found in re.finditer(NAME.pattern, text, re.MULTILINE)}
    wished = {found[0].lower() for line in entries(f"{name}.in") if (found := NAME.match(line))}
    assert wished - pinned == set()


def test_developers_test_the_versions_that_the_image_holds() -> None:
    def pins(name: str) -> set[str]:
        return set(
            re.findall(r"^([A-Za-z0-9][\w.-]*==[^\s;]+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE)
        )

    assert pins("runtime") - pins("dev") == set()


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT)], capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    assert [line.split()[0] for line in shown.splitlines()] == phony[1].split()
    assert all(len(line.split()) > 2 for line in shown.splitlines()), "each target says what it does"


def pages() -> dict[Path, str]:
    return {path: path.read_text() for path in committed() if path.suffix == ".md"}


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them: lower case, no punctuation, a dash for each space."""
    titles = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    known = committed()
    if not anchor:
        return there in known or any(there in one.parents for one in known)
    return there in known and anchor in anchors(there.read_text())


def test_every_link_to_a_file_or_heading_of_this_repository_leads_there() -> None:
    links = [(page, target) for page, text in pages().items() for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    ours = [(page, target) for page, target in links if not re.match(r"[a-z]+:", target)]
    assert len(ours) > 10
    assert [(page.name, target) for page, target in ours if not leads_somewhere(page, target)] == []


def test_every_make_target_that_is_spoken_of_exists() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT)], capture_output=True, text=True, check=True
    )
    targets = {line.split()[0] for line in shown.stdout.splitlines()}
    spoken = {
        word
        for name, text in texts().items()
        if name.endswith(".md") or name in {".ci/run", "Makefile"}
        for word in re.findall(r"(?:^|`|root |step '?[\w .-]+'? )make ([a-z][a-z-]*)\b", text, re.MULTILINE)
    }
    assert spoken >= {"demo", "test", "check"}
    assert spoken - targets == set()


def test_the_changelog_says_what_is_not_released_yet() -> None:
    assert re.search(r"^## \[Unreleased\]$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [".ci/run", "hack/setup", "hack/uv", "hack/find-python", "hack/image", "hack/sbom"])
def test_scripts_can_be_run_and_stop_at_the_first_error(path: str) -> None:
    assert (ROOT / path).stat().st_mode & 0o111
    assert "\nset -euo pipefail\n" in (ROOT / path).read_text()
    subprocess.run(["bash", "-n", str(ROOT / path)], check=True)


def test_no_test_is_skipped() -> None:
    skips = re.compile(r"pytest\." + r"(?:skip|importorskip|xfail|mark\.(?:skip|skipif|xfail))\b")
    assert [name for name, text in texts().items() if name.startswith("tests/") and skips.search(text)] == []
