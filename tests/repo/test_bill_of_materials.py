"""The bill of materials is that of the image: every pinned package, its version and its licence, and nothing of the tools."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from watchbell import __version__

ROOT = Path(__file__).resolve().parents[2]


def names_in(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return {
        found[1].lower(): found[2] for found in re.finditer(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", text, re.MULTILINE)
    }


@pytest.mark.timeout(400)
def test_it_lists_every_package_of_the_image_with_a_licence_and_none_of_the_tools(tmp_path: Path) -> None:
    target = tmp_path / "sbom.json"
    done = subprocess.run(
        [ROOT / "hack/sbom", target],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    bill = json.loads(target.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "watchbell"
    assert bill["metadata"]["component"]["version"] == __version__
    listed = {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]}
    assert listed.items() <= names_in("runtime").items()
    assert {"kopf", "aiohttp", "aiosmtplib", "pydantic", "cryptography"} <= listed.keys()
    assert [one["name"] for one in bill["components"] if not one.get("licenses")] == []
