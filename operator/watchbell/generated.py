"""Files that are made from code and committed: what of them is not current, and the command line that writes them.

Before: `api.generate`, `reference` and `charts` say which text belongs where. Used by developers and CI only; the operator never imports it.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Files = Mapping[str, str]
"""Path below the repository → text."""


def between(page: str, what: str, made: str) -> str:
    """A page that is otherwise written by hand, with `made` between its marks for `what`. Raises ValueError when it has none."""
    begin, end = f"<!-- {what}: made by `make generate` -->", f"<!-- end of {what} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page needs the marks {begin} and {end}")
    return f"{before}{begin}\n{made}{end}{after}"


def differences(root: Path, wanted: Files, folders: Sequence[str]) -> list[str]:
    """The paths that are missing, stale, or (in `folders`, where every file is made) no longer made."""
    stale = [path for path, text in wanted.items() if not _holds(root / path, text)]
    present = {path.relative_to(root).as_posix() for folder in folders for path in (root / folder).glob("*.*")}
    return sorted(stale) + sorted(present - set(wanted))


def command(
    program: str,
    make: Callable[[Path], Files],
    root: Path,
    folders: Sequence[str] = (),
    arguments: Sequence[str] | None = None,
) -> int:
    """`python -m <program> [--check] [--root DIR]`; the exit code: 1 if `--check` finds a difference. What `make` raises passes through."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description="Writes files that are made from code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    parser.add_argument("--root", type=Path, default=root, help="the repository")
    asked = parser.parse_args(arguments)
    wanted = make(asked.root)
    stale = differences(asked.root, wanted, folders)
    if asked.check:
        sys.stderr.writelines(f"not current: {path} (run: make generate)\n" for path in stale)
        return 1 if stale else 0
    _write(asked.root, wanted, stale)
    return 0


def _write(root: Path, wanted: Files, stale: Sequence[str]) -> None:
    for path in stale:
        target = root / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted[path], encoding="utf-8")
        else:
            target.unlink()


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
