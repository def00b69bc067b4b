"""The Grafana dashboard: every query is one that Prometheus understands, of metrics that exist; and no panel hides another."""

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

import controlplane
from watchbell.reference import families

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "charts/watchbell/files/dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
QUERIES = [(title, target["expr"]) for title, panel in PANELS.items() for target in panel["targets"]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {"stat", "table", "bargauge", "timeseries"}
GRID_COLUMNS = 24


def ours(text):
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bwatchbell_\w+", text)}


def known():
    return {f"{family.name}_total" if family.type == "counter" else family.name for family, _ in families()}


def cells(panel):
    at = panel["gridPos"]
    return set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))


def test_it_can_be_found_and_imported_anywhere():
    assert (DASHBOARD["uid"], DASHBOARD["title"]) == ("watchbell", "watchbell")
    assert "id" not in DASHBOARD
    assert "__inputs" not in DASHBOARD, "a sidecar imports it without asking"
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "job"]
    assert DASHBOARD["schemaVersion"] >= 36


def test_it_has_a_row_for_each_thing_that_people_ask_about():
    assert [row["title"] for row in ROWS] == [
        "Now", "Connectors", "Outbox", "Incidents", "API server and work", "Process",
    ]  # fmt: skip


def test_no_two_panels_overlap_and_none_stands_outside_of_the_grid():
    taken = [cell for panel in DASHBOARD["panels"] for cell in cells(panel)]
    assert len(taken) == len(set(taken))
    assert {x for x, _ in taken} == set(range(GRID_COLUMNS))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_panels_leave_no_hole():
    taken = {cell for panel in DASHBOARD["panels"] for cell in cells(panel)}
    height = max(y for _, y in taken) + 1
    assert len(taken) == GRID_COLUMNS * height


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_says_what_it_shows_and_asks_the_chosen_source(title):
    panel = PANELS[title]
    assert panel["type"] in KINDS
    assert panel["description"].endswith(".")
    assert panel["datasource"] == SOURCE
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert [target["refId"] for target in panel["targets"]] == list("ABC")[: len(panel["targets"])]
    assert all(target["datasource"] == SOURCE for target in panel["targets"])


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_a_query_is_made_of_metrics_and_labels_that_exist(title, query):
    assert ours(query) <= known()
    assert ours(query) or re.search(r"\bprocess_\w+", query)
    assert 'job=~"$job"' in query
    labels = {label for _, names in families() for label in names} | {"job", "le", "pod", "instance"}
    asked = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', query))
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
    assert asked | grouped <= labels


def test_prometheus_understands_every_query(tmp_path):
    queries = [query.replace("$__rate_interval", "5m").replace("$job", ".*") for _, query in QUERIES]
    rules = [{"record": f"panel:query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = [controlplane.binary("promtool"), "check", "rules", "--lint=none", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(queries)} rules found" in done.stdout


def test_every_metric_stands_on_it():
    shown = {name for _, query in QUERIES for name in ours(query)}
    assert known() - shown == set()
