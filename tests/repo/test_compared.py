"""What docs/compared.md claims: every test that it names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "compared.md").read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "feature" not in line]
FEATURES = {
    "CrashLoopBackOff",
    "OOMKilled",
    "Non-zero exit, no loop",
    "ImagePullBackOff",
    "Eviction",
    "Node NotReady",
    "Init container",
    "Pending, unschedulable",
    "Stuck rollout",
    "Failed Job",
    "Log excerpt in mail",
    "Previous-container logs",
    "Events in mail",
    "Restart count, exit-code hint in mail",
    "Log redaction",
    "Drift against a baseline, with diff",
    "Dedup key",
    "Grouping, storm digest",
    "Repeat interval",
    "Recovered mail",
    "Hold-down, flap damping",
    "Silences",
    "Maintenance windows",
    "Working hours",
    "Inhibition (parent hides child)",
    "Severity routing",
    "Fallback channel",
    "Delivery over restart",
    "Permanent 5xx told from 4xx",
    "Partial recipients survive one bad address",
    "Rate limit, quota",
    "HA",
}


def test_every_feature_of_the_peers_has_a_row() -> None:
    assert {row[0] for row in ROWS} == FEATURES


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_every_row_names_a_test_that_exists_or_says_why_there_is_none(feature: str) -> None:
    text = next(row[1] for row in ROWS if row[0] == feature)
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+|\*)`", text)
    for path, name in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(r"def test_\w+" if name == "*" else rf"def {name}\(", source), f"{path}::{name}"
    assert named or len(text) > 60
