"""What of the charts is made from other files is current, and the charts keep to their conventions."""

import json
import subprocess
import sys

import pytest
import yaml

from charts.described import ValuesError, leaves, read_values
from charts.flags import ELSEWHERE, key_of
from charts.rights import read_rights
from helmrig import CHARTS, ROOT
from watchbell import __version__
from watchbell.api.kinds import KINDS
from watchbell.generated import between
from watchbell.settings import OPTIONS


def test_everything_that_is_made_is_current():
    done = subprocess.run(
        [sys.executable, "-m", "charts", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": "hack", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_is_of_the_programs_version_and_says_what_hubs_ask_for(chart):
    about = yaml.safe_load((CHARTS[chart] / "Chart.yaml").read_text())
    assert about["appVersion"] == __version__
    assert about["kubeVersion"].endswith("-0")
    assert about["type"] == "application"
    assert {"artifacthub.io/category", "artifacthub.io/license", "artifacthub.io/links"} <= about["annotations"].keys()
    for name in ("links", "images", "changes", "recommendations"):
        assert isinstance(yaml.safe_load(about["annotations"].get(f"artifacthub.io/{name}", "[]")), list)


def test_the_image_that_hubs_show_is_the_one_that_runs():
    about = yaml.safe_load((CHARTS["watchbell"] / "Chart.yaml").read_text())
    image = yaml.safe_load((CHARTS["watchbell"] / "values.yaml").read_text())["image"]
    (shown,) = yaml.safe_load(about["annotations"]["artifacthub.io/images"])
    assert shown["image"] == f"{image['registry']}/{image['repository']}:{about['appVersion']}"


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_described_and_has_a_type(chart):
    schema = json.loads((CHARTS[chart] / "values.schema.json").read_text())
    for entry in leaves(read_values((CHARTS[chart] / "values.yaml").read_text())):
        found = schema
        for name in entry.path:
            found = found["properties"][name]
        assert entry.description.endswith("."), entry.path
        assert "type" in found, entry.path


def test_a_value_without_a_comment_is_told_with_its_line():
    with pytest.raises(ValuesError, match=r"line 4: a\.c has no comment"):
        read_values("a:\n  # It is.\n  b: 1\n  c: 1\n")


def test_a_hint_that_is_no_json_is_told_with_its_line():
    with pytest.raises(ValuesError, match="line 2: @schema"):
        read_values("# It is.\n# @schema {type}\na: 1\n")


def test_every_flag_has_one_value_either_way():
    fields = {option.field for option in OPTIONS}
    assert ELSEWHERE.keys() <= fields
    assert len({key_of(option) for option in OPTIONS}) == len(OPTIONS)


def test_the_chart_has_a_template_for_every_kind():
    made = {path.name for path in (CHARTS["watchbell"] / "templates" / "crds").iterdir()}
    assert made == {f"watchbell.dev_{kind.plural}.yaml" for kind in KINDS}


def test_every_right_says_what_it_is_for_and_none_is_for_everything():
    for right in read_rights(CHARTS["watchbell"] / "files" / "rights.yaml"):
        assert right.why.endswith(".")
        assert "*" not in (*right.groups, *right.resources, *right.verbs)
        assert not {"escalate", "impersonate", "bind", "deletecollection"} & set(right.verbs)
        assert "secrets" not in right.resources, "those follow from rbac.secretAccess"


def test_a_page_without_the_marks_is_told_which():
    with pytest.raises(ValueError, match="<!-- values: made by"):
        between("# Page", "values", "table")
