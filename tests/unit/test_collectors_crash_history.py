"""Nothing is missed: whole lives of pods, invented by Hypothesis and recorded from a real kubelet, seen in part, twice, or out of order."""

import json
from datetime import timedelta
from importlib import resources

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podrig import EPOCH, container, pod, pod_body, running_state, stamp, waiting
from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.faults.restarts import Restarts
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import Pod

ALL = CrashRules(frozenset(IncidentKind), not_ready_s=86_400)
ERROR, OOM, LOOP, PULL = (
    IncidentKind.CONTAINER_ERROR,
    IncidentKind.OOM_KILLED,
    IncidentKind.CRASH_LOOP_BACK_OFF,
    IncidentKind.IMAGE_PULL_FAILED,
)
ENDS_OF_A_CONTAINER = frozenset({ERROR, OOM})
SECOND = timedelta(seconds=1)


def life(codes):
    """The statuses of a container that ends with these codes, one run after the other: runs, ends, is held back, runs again."""
    steps, last, at = [], {}, EPOCH
    for number, code in enumerate(codes):
        reason = "OOMKilled" if code == 137 else "Completed" if code == 0 else "Error"
        end = {"exitCode": code, "reason": reason, "finishedAt": stamp(at), "containerID": f"containerd://{number}"}
        common = {"lastState": last, "restartCount": number}
        steps.append(container(state=running_state(at), **common))
        steps.append(container(state={"terminated": end}, ready=False, **common))
        last = {"terminated": end}
        steps.append(container(state=waiting("CrashLoopBackOff"), lastState=last, restartCount=number, ready=False))
        at += 30 * SECOND
    return [pod(step) for step in (*steps, container(state=running_state(at), lastState=last, restartCount=len(codes)))]


def visible_ends(statuses):
    """The failed ends that somebody could see in these statuses."""
    seen = (status for one in statuses for status in one.status.container_statuses)
    ends = (end for status in seen for end in (status.ended, status.ended_before))
    return {end.container_id for end in ends if end is not None and end.exit_code != 0}


def told_ends(statuses, first=None):
    """The ends that are told when the statuses come in this order, `first` being what was known before."""
    told, before = set(), first
    for one in statuses:
        told |= {
            finding.end_id
            for finding in detect(before, one, ALL, EPOCH).findings
            if finding.kind in ENDS_OF_A_CONTAINER
        }
        before = one
    return told


LIVES = st.lists(st.sampled_from([0, 1, 2, 137, 143]), min_size=1, max_size=6).map(life)


def latest_news(statuses):
    """What each look has to tell: of the failed ends that the look before did not have the latest of each kind."""
    told, known = set(), set()
    for one in statuses:
        status = one.status.container_statuses[0]
        ends = [end for end in (status.ended_before, status.ended) if end is not None]
        fresh = [end for end in ends if end.container_id not in known and end.exit_code != 0]
        told |= set({end.reason: end.container_id for end in fresh}.values())
        known = {end.container_id for end in ends}
    return told


@given(data=st.data())
def test_missed_and_repeated_events_hide_no_crash_that_a_seen_status_tells_of(data):
    statuses = data.draw(LIVES)
    seen = data.draw(st.lists(st.sampled_from(range(len(statuses))), min_size=1, max_size=20).map(sorted))
    arrived = [statuses[number] for number in seen]
    assert told_ends(arrived, pod()) == latest_news(arrived)


@given(data=st.data())
def test_in_any_order_each_crash_that_a_status_tells_of_is_found(data):
    statuses = data.draw(LIVES)
    arrived = data.draw(st.permutations(statuses))
    assert told_ends(arrived, pod()) == latest_news(arrived)


@given(data=st.data())
def test_a_pod_that_crashes_and_disappears_while_it_is_watched_is_told(data):
    statuses = data.draw(LIVES)
    last = data.draw(st.integers(0, len(statuses) - 1))
    assert told_ends(statuses[: last + 1], pod()) == visible_ends(statuses[: last + 1])


@given(data=st.data(), age_s=st.integers(0, 500))
def test_at_the_start_exactly_the_ends_older_than_the_horizon_are_baseline(data, age_s):
    found_at_start = data.draw(LIVES.flatmap(st.sampled_from))
    horizon = EPOCH + age_s * SECOND
    rules = CrashRules(ENDS_OF_A_CONTAINER, news_since=horizon)
    status = found_at_start.status.container_statuses[0]
    ends = [end for end in (status.ended_before, status.ended) if end is not None and end.exit_code != 0]
    expected = {end.reason: end.container_id for end in ends if end.finished_at >= stamp(horizon)}
    findings = detect(None, found_at_start, rules, EPOCH).findings
    # One incident for each kind of crash: the latest end of each kind is told, as in latest_news.
    assert sorted(finding.end_id for finding in findings) == sorted(expected.values())


@given(data=st.data())
def test_every_restart_is_counted_however_many_looks_there_were(data):
    statuses = data.draw(LIVES)
    looks = data.draw(st.lists(st.sampled_from(range(len(statuses))), min_size=1, max_size=20).map(sorted))
    tally, before = Restarts(), pod()
    for number in looks:
        tally.heed(before, statuses[number], EPOCH + timedelta(hours=1))
        before = statuses[number]
    assert len(tally.times(before, "collector")) == before.status.container_statuses[0].restart_count


# --- recorded from a real kubelet (hack/realnode), see the files


def recorded(name):
    """The statuses of a recording, as pods of a Deployment."""
    parsed = json.loads((resources.files("demo") / "recordings" / f"{name}.json").read_text(encoding="utf-8"))
    bodies = (pod_body() | {"status": step["status"]} for step in parsed["steps"])
    return [msgspec.json.decode(msgspec.json.encode(body), type=Pod) for body in bodies]


def kinds_of(statuses):
    found, before = [], None
    for one in statuses:
        look = detect(before, one, ALL, EPOCH)
        found += [finding.kind for finding in look.findings if finding.kind not in found]
        before = one
    return found


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("crash-loop", [ERROR, LOOP]),
        ("recovered", [ERROR, LOOP]),
        ("error-once", [ERROR]),
        ("oom", [OOM, LOOP]),
        ("completed", [LOOP]),
        ("image-pull", [PULL]),
    ],
)
def test_what_a_real_kubelet_wrote_is_told_as_what_it_was(name, kinds):
    assert kinds_of(recorded(name)) == kinds


def test_previous_container_ends_that_a_real_kubelet_wrote_are_each_told_once():
    statuses = recorded("crash-loop")
    told = []
    for before, one in zip([None, *statuses], statuses, strict=False):
        told += [finding.end_id for finding in detect(before, one, ALL, EPOCH).findings if finding.kind is ERROR]
    ends = {end.container_id for one in statuses for status in one.status.container_statuses if (end := status.ended)}
    assert len(told) == len(set(told))
    assert set(told) >= ends


def test_image_pull_back_off_that_a_real_kubelet_wrote_never_changes_its_words():
    found = [
        finding
        for before, one in zip([None, *recorded("image-pull")], recorded("image-pull"), strict=False)
        for finding in detect(before, one, ALL, EPOCH).findings
    ]
    assert len(found) >= 2
    assert len({(finding.reason, finding.message, finding.seen_time) for finding in found}) == 1
    assert "registry.invalid" in found[0].message
