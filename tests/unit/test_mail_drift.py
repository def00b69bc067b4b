"""The mails about drift: differences that can be read on a phone, both ways out, and how it came back."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrig import FACTS, HOSTILE, POD, both, flat, is_harmless, words_of
from watchbell.api.enums import BaselineMode, DriftCheck
from watchbell.mail.crash import render_crash, render_resolved
from watchbell.mail.differences import CHECKS, MAX_DIFFERENCES, emphasised
from watchbell.mail.document import Span
from watchbell.mail.facts import CrashFacts, DifferenceFacts, Return

IMAGE = DifferenceFacts(
    "Image", "containers[otel-collector].image", "ghcr.io/otel/collector:0.138.0", "ghcr.io/otel/collector:0.139.0"
)
DRIFT = dataclasses.replace(
    FACTS,
    kind="Drift",
    severity="Warning",
    container="",
    image="",
    log_lines=(),
    pods=(dataclasses.replace(POD, exit_code=None, reason="", restarts=0, last_time=None),),
    differences=(
        IMAGE,
        DifferenceFacts("Resources", "containers[otel-collector].resources.limits.memory", "1Gi", "512Mi"),
    ),
    baseline="Captured",
    capture_revision="2026-11-01",
)


def text_of(spans: tuple[Span, ...]) -> str:
    return "".join(span.text for span in spans)


def test_a_difference_is_told_as_path_expected_and_actual_in_both_parts() -> None:
    mail = render_crash(DRIFT)
    assert mail.subject == "Collector prod/otel-gateway drifted from its baseline on prod-eu-1"
    for part in both(mail):
        assert "prod/otel-gateway has drifted from its baseline" in part
        assert (
            "1 pod of Deployment otel-gateway is not what the captured baseline says. 2 differences: Image, Resources."
            in part
        )
        assert "containers[otel-collector].image" in part
        assert re.search(r"expected:? ghcr\.io/otel/collector: ?0\.138\.0", part)
        assert re.search(r"actual:? ghcr\.io/otel/collector: ?0\.139\.0", part)
        assert re.search(r"expected:? 1Gi", part)
        assert re.search(r"actual:? 512Mi", part)
    assert is_harmless(mail)


def test_what_differs_is_marked_by_more_than_its_colour() -> None:
    html = render_crash(DRIFT).html
    marks = re.findall(r"<b class=[^>]*>([^<]*)</b>", html)
    assert marks == ["0.138.0", "0.139.0", "1Gi", "512Mi"]
    assert html.count('text-decoration:underline">0.13') == 2


@pytest.mark.parametrize("check", list(DriftCheck))
def test_every_check_is_explained(check: DriftCheck) -> None:
    mail = render_crash(dataclasses.replace(DRIFT, differences=(dataclasses.replace(IMAGE, check=str(check)),)))
    for part in both(mail):
        assert CHECKS[check] in part
        assert f"1 difference: {check}." in part


def test_no_explanation_is_without_a_check() -> None:
    assert set(CHECKS) == {str(check) for check in DriftCheck}


@pytest.mark.parametrize("mode", list(BaselineMode))
def test_both_ways_out_are_shown_for_every_kind_of_baseline(mode: BaselineMode) -> None:
    accept = {
        BaselineMode.OWNER_TEMPLATE: "put it there, in Git",
        BaselineMode.CAPTURED: "watchbell baseline accept gateways -n prod",
        BaselineMode.PINNED: "watchbell baseline capture gateways -n prod",
    }
    back = {
        BaselineMode.OWNER_TEMPLATE: "kubectl -n prod rollout restart deployment/otel-gateway",
        BaselineMode.CAPTURED: "kubectl -n prod rollout undo deployment/otel-gateway",
        BaselineMode.PINNED: "kubectl -n prod rollout undo deployment/otel-gateway",
    }
    for part in both(render_crash(dataclasses.replace(DRIFT, baseline=str(mode)))):
        assert accept[mode] in part
        assert back[mode] in part
        assert "watchbell baseline diff gateways -n prod" in part
        assert ("captureRevision" in part) is (mode is BaselineMode.CAPTURED)


@pytest.mark.parametrize("mode", list(BaselineMode))
def test_stale_configuration_and_nodes_without_a_collector_have_ways_out_of_their_own(mode: BaselineMode) -> None:
    stale = DifferenceFacts("StaleConfig", "configMaps[otel-config]", "read at start", "changed since")
    nodes = DifferenceFacts("NodeCoverage", "nodes", "12 nodes", "11 nodes")
    alone = render_crash(
        dataclasses.replace(DRIFT, baseline=str(mode), differences=(stale, nodes), owner_kind="DaemonSet")
    )
    for part in both(alone):
        assert "restart the pods" in part
        assert part.count("rollout restart daemonset/otel-gateway") == 1
        assert "kubectl -n prod describe daemonset/otel-gateway" in part
        assert "Was it meant?" not in part
    mixed = render_crash(dataclasses.replace(DRIFT, baseline=str(mode), differences=(stale, IMAGE)))
    assert "Was it meant?" in mixed.text
    assert "restart the pods" in mixed.text


def test_without_the_kind_of_baseline_no_way_out_is_promised_that_may_not_exist() -> None:
    text = render_crash(dataclasses.replace(DRIFT, baseline="")).text
    assert "make it the baseline, in Git" in text
    for absent in ("captureRevision", "baseline accept", "rollout undo", "rollout restart", "pod template of"):
        assert absent not in text


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (Return.ROLLED_BACK, "It was rolled back"),
        (Return.BASELINE_ACCEPTED, "The baseline was changed"),
        (Return.PODS_REPLACED, "replaced by new ones"),
        (Return.PODS_GONE, "nothing runs in its place"),
        (Return.UNKNOWN, "Nothing differs from the baseline any more"),
    ],
)
def test_the_mail_that_ends_a_drift_says_how_it_came_back(how: Return, said: str) -> None:
    facts = dataclasses.replace(DRIFT, return_reason=how, changes=("Revision 9 to 8",))
    mail = render_resolved(facts)
    assert mail.subject == f"Re: {render_crash(DRIFT).subject}"
    for part in both(mail):
        assert said in part
        assert ("How it came back" in part) is (how is not Return.UNKNOWN)
        assert "It had drifted for 12 min." in part
        assert "What changed meanwhile" in part
        assert ("back to its baseline" in part) is (how is not Return.PODS_GONE)
    assert is_harmless(mail)


def test_pods_that_are_gone_are_not_said_to_be_right_again() -> None:
    mail = render_resolved(dataclasses.replace(DRIFT, are_pods_gone=True, return_reason=Return.ROLLED_BACK))
    for part in both(mail):
        assert "rolled back" not in part
        assert "nothing runs in its place" in part


def test_the_text_part_has_every_word_of_the_html_part() -> None:
    for mail in (render_crash(DRIFT), render_resolved(DRIFT)):
        text, page = both(mail)
        joined = page.replace(": 0.13", ":0.13")
        assert words_of(joined) - words_of(text.replace("WARNING", "Warning").replace("RESOLVED", "Resolved")) == set()


def test_the_pods_of_a_drift_have_a_name_and_a_node_and_no_end() -> None:
    pod = dataclasses.replace(POD, reason="Drift", restarts=7)
    for part in both(render_crash(dataclasses.replace(DRIFT, pods=(pod,)))):
        shown = part.split("Pod that differs")[1].split("Details")[0]
        assert POD.name in shown
        assert "node node-7" in shown
        for absent in ("Drift", "ago", "restart", "exit"):
            assert absent not in shown


def test_what_is_not_there_is_said_in_a_word() -> None:
    extra = DifferenceFacts("UnexpectedContainer", "containers[istio-proxy]", "", "istio/proxyv2:1.24")
    missing = DifferenceFacts("Labels", "metadata.labels[team]", "search", "")
    for part in both(render_crash(dataclasses.replace(DRIFT, differences=(extra, missing)))):
        assert part.count("(nothing)") == 2


def test_of_long_arguments_the_part_that_differs_is_in_sight() -> None:
    alike = " ".join(f"--set=processors.batch.option{index}=value" for index in range(30))
    found = DifferenceFacts("Args", "containers[c].args", f"{alike} --log=info {alike}", f"{alike} --log=debug {alike}")
    mail = render_crash(dataclasses.replace(DRIFT, differences=(found,)))
    for part in both(mail):
        assert "--log=" in part
        assert "…" in part
    assert len(mail.text) < 4000


def test_differences_that_were_not_handed_on_are_counted() -> None:
    for part in both(render_crash(dataclasses.replace(DRIFT, more_differences=7))):
        assert "9 differences" in part
        assert "and 7 more" in part


def test_secrets_in_arguments_are_redacted() -> None:
    found = DifferenceFacts(
        "Args", "containers[c].args", "--password=hunter2hunter2 --a", "--password=hunter3hunter3 --a"
    )
    mail = render_crash(dataclasses.replace(DRIFT, differences=(found,)))
    assert "hunter" not in mail.text + mail.html


def test_fifty_differences_are_shown_and_the_rest_is_counted() -> None:
    found = tuple(DifferenceFacts("Labels", f"metadata.labels[{index}]", "a", "b") for index in range(70))
    mail = render_crash(dataclasses.replace(DRIFT, differences=found, pods=DRIFT.pods * 50))
    for part in both(mail):
        assert "70 differences" in part
        assert f"and {70 - MAX_DIFFERENCES} more" in part
        assert "metadata.labels[49]" in part
        assert "metadata.labels[50]" not in part
    assert is_harmless(mail)


@given(st.text(max_size=200), st.text(max_size=200))
def test_both_values_stay_whole_and_only_what_is_other_is_marked(expected: str, actual: str) -> None:
    old, new = emphasised(expected, actual)
    assert text_of(old) == (expected or "(nothing)")
    assert text_of(new) == (actual or "(nothing)")
    if expected and actual:
        same_old, same_new = ("".join(span.text for span in spans if not span.is_other) for spans in (old, new))
        assert same_old == same_new
    if expected == actual and expected:
        assert not any(span.is_other for span in (*old, *new))
    elif expected != actual:
        assert any(span.is_other for span in (*old, *new))


@given(st.lists(HOSTILE, min_size=8, max_size=8))
def test_no_difference_can_spoil_a_mail(texts: list[str]) -> None:
    found = DifferenceFacts(*texts[:4])
    facts = dataclasses.replace(
        DRIFT,
        differences=(found, found),
        baseline=texts[4],
        capture_revision=texts[5],
        policy=texts[6],
        owner_name=texts[7],
    )
    for mail in (render_crash(facts), render_resolved(facts)):
        assert is_harmless(mail)


@pytest.mark.parametrize("unit", ["a", "<", "💩", "\x00", "\u202e", "a/"])
def test_megabytes_of_differences_make_a_small_mail(unit: str) -> None:
    flood = unit * (1_000_000 // len(unit))
    found = DifferenceFacts(flood, flood, flood, f"x{flood}")
    facts: CrashFacts = dataclasses.replace(DRIFT, differences=(found,) * 60, capture_revision=flood, note=flood)
    for mail in (render_crash(facts), render_resolved(facts)):
        assert is_harmless(mail)
        assert "more" in flat(mail.text)
