"""``python -m charts [--check]``: writes what of the charts is made, or says what is not current."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from charts.argocd import argocd_config
from charts.crdtemplates import crd_template
from charts.described import ValuesError, read_values
from charts.rights import SCOPES, read_rights
from charts.schema import schema_of
from charts.tables import flags_elsewhere, rights_table, with_table
from charts.texts import between

ROOT = Path(__file__).resolve().parents[2]
CHARTS = {"watchbell": "Values of watchbell", "watchbell-config": "Values of watchbell-config"}


def wanted(root: Path) -> dict[str, str]:
    """Path below the repository → text, for everything that is made. Raises ValuesError."""
    files = {
        f"charts/watchbell/templates/crds/{path.name}": _crd(path) for path in sorted((root / "crds").glob("*.yaml"))
    }
    for name, title in CHARTS.items():
        files |= _chart(root, name, title)
    page, argocd = "docs/operations/rights.md", "docs/gitops/argocd"
    return {**files, page: _rights(root, page), f"{argocd}/argocd-cm.yaml": argocd_config(root / argocd)}


def _crd(path: Path) -> str:
    return crd_template(yaml.safe_load(path.read_text(encoding="utf-8")))


def _chart(root: Path, name: str, title: str) -> dict[str, str]:
    folder = f"charts/{name}"
    values = read_values((root / folder / "values.yaml").read_text(encoding="utf-8"))
    readme = (root / folder / "README.md").read_text(encoding="utf-8")
    return {
        f"{folder}/values.schema.json": json.dumps(schema_of(title, values), indent=1) + "\n",
        f"{folder}/README.md": with_table(readme, values),
    }


def _rights(root: Path, page: str) -> str:
    text = (root / page).read_text(encoding="utf-8")
    rights = read_rights(root / "charts/watchbell/files/rights.yaml")
    for scope in SCOPES:
        text = between(text, f"rights in scope {scope}", rights_table(rights, scope))
    return between(text, "flags with a value of their own", "| flag | value |\n|---|---|\n" + flags_elsewhere())


def differences(root: Path, files: dict[str, str]) -> list[str]:
    """What is missing, stale, or no longer made."""
    stale = [path for path, text in files.items() if not _holds(root / path, text)]
    there = {path.relative_to(root).as_posix() for path in (root / "charts/watchbell/templates/crds").glob("*.yaml")}
    return sorted(stale) + sorted(there - set(files))


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if ``--check`` finds a difference, 2 if a source cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m charts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not current")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    asked = parser.parse_args(arguments)
    try:
        files = wanted(asked.root)
    except ValuesError as error:
        print(f"charts: {error}", file=sys.stderr)
        return 2
    stale = differences(asked.root, files)
    if asked.check:
        sys.stderr.writelines(f"not current: {path} (run: make generate)\n" for path in stale)
        return 1 if stale else 0
    _write(asked.root, files, stale)
    return 0


def _write(root: Path, files: dict[str, str], stale: Sequence[str]) -> None:
    for path in stale:
        target = root / path
        if path in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path], encoding="utf-8")
        else:
            target.unlink()


if __name__ == "__main__":
    sys.exit(main())
