"""The pure parts of the bench: how samples become a number, and what is written down."""

import importlib.util
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.enums import CrashKind, IncidentKind
from watchbell.api.meta import parse
from watchbell.api.policy import CollectorPolicy
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import Pod

PATH = Path(__file__).resolve().parents[2] / "bench" / "figures.py"


def _load(name):
    # The bench is a program and no package; only these modules of it are imported by anybody else.
    spec = importlib.util.spec_from_file_location(f"bench_{name}", PATH.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"bench_{name}"] = module
    spec.loader.exec_module(module)
    return module


figures, objects = _load("figures"), _load("objects")


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100), (99.5, 100), (1, 1), (0.1, 1)]
)
def test_a_percentile_is_the_nearest_rank(percent, expected):
    assert figures.percentile(list(range(100, 0, -1)), percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.1, 100))
def test_a_percentile_was_really_measured_and_splits_the_samples(samples, percent):
    value = figures.percentile(samples, percent)
    assert value in samples
    assert sum(one <= value for one in samples) >= len(samples) * percent / 100


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_a_percentile_of_nothing_or_outside_of_the_range_is_refused(samples, percent):
    with pytest.raises(ValueError, match="percentile"):
        figures.percentile(samples, percent)


def test_the_median_ignores_one_wild_run():
    assert figures.median([1.2, 97.0, 1.1]) == 1.2


@pytest.mark.parametrize(("value", "expected"), [(131.27, 131), (0.01234, 0.0123), (1.1849, 1.18), (0, 0)])
def test_a_value_keeps_three_digits(value, expected):
    assert figures.rounded(value) == expected


def test_without_a_choice_every_figure_is_measured():
    assert figures.chosen(None) == tuple(figures.GOALS)


def test_chosen_figures_come_in_the_order_of_the_table():
    assert figures.chosen(" startup_s,connector_ready_p95_ms ") == ("connector_ready_p95_ms", "startup_s")


@pytest.mark.parametrize("only", ["startup", "startup_s,nonsense", ""])
def test_a_wrong_name_is_told_with_those_there_are(only):
    with pytest.raises(figures.UnknownFigureError, match="idle_api_qps"):
        figures.chosen(only)


def test_measuring_one_figure_keeps_the_entries_of_the_others():
    first = figures.merged("", [figures.figure("startup_s", 1.4, "first", 0.5), _crash(20.0)])
    entries = json.loads(figures.merged(first, [figures.figure("startup_s", 1.2, "second", 0.1)]))
    assert [(one["name"], one["value"]) for one in entries] == [("crash_to_accepted_p50_ms", 20.0), ("startup_s", 1.2)]
    assert entries[1]["note"] == "second"


def test_an_entry_of_a_figure_that_is_gone_is_dropped():
    entries = json.loads(figures.merged('[{"name": "older_figure", "value": 1}]', [_crash(20.0)]))
    assert [one["name"] for one in entries] == ["crash_to_accepted_p50_ms"]


def test_an_entry_has_value_unit_goal_and_peer():
    (entry,) = json.loads(figures.merged("", [_crash(20.04, figures.Peer("Alertmanager", 9.99))]))
    assert entry == {
        "name": "crash_to_accepted_p50_ms",
        "value": 20.0,
        "unit": "ms",
        "goal": 25,
        "peer": "Alertmanager",
        "peer_value": 9.99,
        "note": "a note",
        "load": 0.5,
    }


def test_a_figure_without_a_peer_says_null():
    (entry,) = json.loads(figures.merged("", [_crash(20.0)]))
    assert (entry["peer"], entry["peer_value"]) == (None, None)


@pytest.mark.parametrize(("value", "word"), [(25.0, "ok"), (25.1, "MISSED")])
def test_the_table_says_which_goals_are_missed(value, word):
    line = figures.table([_crash(value, figures.Peer("Alertmanager", 9.5))]).splitlines()[1]
    assert line.split()[:3] == ["crash_to_accepted_p50_ms", f"{value:g}", "ms"]
    assert word in line
    assert line.endswith("Alertmanager: 9.5")


def test_the_committed_results_are_whole():
    entries = json.loads(PATH.with_name("results.json").read_text())
    assert [one["name"] for one in entries] == list(figures.GOALS)
    for one in entries:
        goal = figures.GOALS[one["name"]]
        assert (one["unit"], one["goal"]) == (goal.unit, goal.value)
        assert one["value"] > 0


@pytest.mark.parametrize(
    ("name", "unit", "at_most"),
    [
        ("storm_1000_s", "s", 2.5),
        ("storm_1000_grouped_s", "s", 1),
        ("api_writes_per_alert", "writes", 3),
        ("rss_after_storm_ratio", "of before", 1.2),
        ("detect_us_per_event", "µs", 50),
        ("cli_help_ms", "ms", 150),
    ],
)
def test_a_storm_and_detection_have_goals(name, unit, at_most):
    assert figures.GOALS[name] == figures.Goal(unit, at_most)


@pytest.mark.parametrize(
    ("body", "wait_s", "max_incidents"),
    [(objects.policy("alerts"), 0.0, 1), (objects.grouping_policy("alerts", 3), 3.0, 50)],
    ids=["a mail for each incident", "grouped"],
)
def test_the_policies_of_the_bench_say_how_incidents_become_mails_and_leave_every_detector_on(
    body, wait_s, max_incidents
):
    policy = parse(CollectorPolicy, body | {"metadata": {"name": "collectors", "namespace": "apps", "uid": "u"}})
    assert isinstance(policy, CollectorPolicy)
    spec = policy.spec
    assert (spec.grouping.wait_seconds, spec.grouping.max_incidents_per_message) == (wait_s, max_incidents)
    assert set(spec.crash.kinds) == set(CrashKind)


def test_a_crash_of_the_bench_is_one_that_is_found():
    finished = "2026-11-20T12:30:00Z"
    well, crashed = _pod(objects.running()), _pod(objects.crashed(1, finished))
    rules = CrashRules(frozenset(IncidentKind))
    now = datetime(2026, 11, 20, 12, 30, 1, tzinfo=UTC)
    assert [str(finding.kind) for finding in detect(well, crashed, rules, now).findings]
    assert detect(well, well, rules, now).findings == ()


def _pod(status):
    body = objects.pod("fleet-0001") | {"status": status}
    body["metadata"] |= {"uid": "u", "namespace": "apps"}
    return msgspec.json.decode(msgspec.json.encode(body), type=Pod)


def _crash(value, peer=None):
    return figures.figure("crash_to_accepted_p50_ms", value, "a note", 0.5, peer)
