"""Writes `crds/` and `docs/reference/` from the models: `python -m watchbell.api.generate`, or `--check` to see whether they are current.

The last stage: models → `schema` → `crd` and `reference` → files. Nothing else in the repository writes these two folders.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from watchbell.api.crd import definition
from watchbell.api.kinds import KINDS
from watchbell.api.names import GROUP
from watchbell.api.reference import pages

ROOT = Path(__file__).resolve().parents[3]
_HEADER = "# Made from operator/watchbell/api by `python -m watchbell.api.generate`. Do not edit.\n"


def crd_files() -> dict[str, str]:
    """Path below the repository → text, for each CRD."""
    return {
        f"crds/{GROUP}_{kind.plural}.yaml": _HEADER
        + yaml.safe_dump(definition(kind), sort_keys=True, width=150, allow_unicode=False)
        for kind in KINDS
    }


def files(samples: Path) -> dict[str, str]:
    """Path below the repository → text, for everything that is generated. `samples` is the folder with one YAML file for each kind's page."""
    texts = {kind.sample: (samples / kind.sample).read_text(encoding="utf-8") for kind in KINDS}
    return crd_files() | {f"docs/reference/{name}": text for name, text in pages(texts).items()}


def differences(root: Path, wanted: Mapping[str, str]) -> list[str]:
    """The paths that are missing, stale, or no longer made."""
    stale = [path for path, text in wanted.items() if not _holds(root / path, text)]
    folders = {str(Path(path).parent) for path in wanted}
    present = {str(path.relative_to(root)) for folder in folders for path in (root / folder).glob("*.*")}
    return sorted(stale) + sorted(present - set(wanted))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m watchbell.api.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    options = parser.parse_args(arguments)
    wanted = files(options.root / "docs" / "samples")
    stale = differences(options.root, wanted)
    if options.check:
        sys.stderr.writelines(f"not current: {path} (run: python -m watchbell.api.generate)\n" for path in stale)
        return 1 if stale else 0
    _write(options.root, wanted, stale)
    return 0


def _write(root: Path, wanted: Mapping[str, str], stale: Sequence[str]) -> None:
    for path in stale:
        target = root / path
        if path in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(wanted[path], encoding="utf-8")
        else:
            target.unlink()


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
