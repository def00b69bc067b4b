"""Writes `crds/` and `docs/reference/` from the models: `python -m watchbell.api.generate`, or `--check` to see whether they are current.

The last stage: models → `schema` → `crd` and `reference` → files. Nothing else in the repository writes these two folders.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from watchbell.api.crd import definition
from watchbell.api.kinds import KINDS
from watchbell.api.names import GROUP
from watchbell.api.reference import pages
from watchbell.generated import command

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("crds", "docs/reference")
"""Every file in them is made here."""
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


def _made(root: Path) -> dict[str, str]:
    return files(root / "docs" / "samples")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if `--check` finds a difference."""
    return command("watchbell.api.generate", _made, ROOT, FOLDERS, arguments)


if __name__ == "__main__":
    sys.exit(main())
