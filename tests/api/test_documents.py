"""The objects that pages show are objects that the API server takes, so that a reader may copy them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane import Access
from watchbell.api.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")})
PATHS = {
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
} | {
    kind.kind: f"/apis/watchbell.dev/v1alpha1/{'namespaces/{}/' if kind.namespaced else ''}{kind.plural}"
    for kind in KINDS
}


def is_object(body: Any) -> bool:
    """Not a part of one, as a page shows it that speaks of a few fields only."""
    return isinstance(body, dict) and {"apiVersion", "kind"} <= body.keys()


def objects(page: Path) -> list[dict[str, Any]]:
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [body for block in blocks for body in yaml.safe_load_all(block) if is_object(body)]


SHOWN = [(page, body) for page in PAGES for body in objects(page)]


def test_the_readme_shows_a_connector_with_its_secret_and_a_policy() -> None:
    assert [body["kind"] for page, body in SHOWN if page.name == "README.md" and page.parent == ROOT] == [
        "Secret",
        "SmtpConnector",
        "CollectorPolicy",
    ]


@pytest.mark.parametrize(
    ("page", "body"), SHOWN, ids=[f"{page.stem}-{body['kind']}-{number}" for number, (page, body) in enumerate(SHOWN)]
)
def test_an_object_that_a_page_shows_is_accepted(
    control_plane: Access, namespace: str, page: Path, body: dict[str, Any]
) -> None:
    body["metadata"].pop("namespace", None)
    made = control_plane.rest().post(PATHS[body["kind"]].format(namespace) + "?dryRun=All&fieldValidation=Strict", body)
    assert made["metadata"]["uid"], page.name
