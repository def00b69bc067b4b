"""``python -m charts [--check]``: writes what of the charts is made, or says what is not current."""

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
from watchbell.generated import between, command

ROOT = Path(__file__).resolve().parents[2]
CRDS = "charts/watchbell/templates/crds"
CHARTS = {"watchbell": "Values of watchbell", "watchbell-config": "Values of watchbell-config"}


def wanted(root: Path) -> dict[str, str]:
    """Path below the repository → text, for everything that is made. Raises ValuesError."""
    files = {f"{CRDS}/{path.name}": _crd(path) for path in sorted((root / "crds").glob("*.yaml"))}
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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if ``--check`` finds a difference, 2 if a source cannot be read."""
    try:
        return command("charts", wanted, ROOT, (CRDS,), arguments)
    except ValuesError as error:
        print(f"charts: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
