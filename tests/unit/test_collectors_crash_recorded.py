"""Detection on what a real kubelet and scheduler wrote. What one node cannot show (its loss, its shutdown, pressure) is composed in other files."""

from datetime import timedelta

import pytest

from recorded import EXPECTED, FOLDER, RULES, findings_of, kinds_of, pods_of
from watchbell.api.times import moment
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.faults.ends import PROBE_DOUBT, PROBE_NOTE
from watchbell.collectors.faults.podwide import PREEMPTED_NOTE

STANDING = ("config-error", "init-container", "invalid-image", "never-pull", "not-ready", "sidecar", "unschedulable")


def test_every_recording_is_a_row():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_real_kubelet_wrote_is_told_as_what_it_was(name):
    assert kinds_of(pods_of(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_a_pod_seen_for_the_first_time_at_its_end_tells_the_same(name):
    last = pods_of(name)[-1:]
    assert kinds_of(last) == EXPECTED[name]


@pytest.mark.parametrize("name", STANDING)
def test_what_stands_is_told_in_the_same_words_at_each_later_look(name):
    last = pods_of(name)[-1]
    later = [moment(last.metadata.creation_timestamp) + timedelta(hours=hours) for hours in (1, 2, 3)]
    looks = {detect(last, last, RULES, at).findings for at in later}
    assert len(looks) == 1
    assert all(finding.is_standing for finding in looks.pop())


def test_a_liveness_kill_of_a_real_kubelet_counts_as_a_crash_and_says_so():
    (found,) = findings_of(pods_of("liveness-kill"))
    assert (found.exit_code, found.note) == (137, PROBE_NOTE)


def test_a_liveness_stop_of_a_real_kubelet_is_in_doubt_until_an_event_tells():
    before, after = pods_of("liveness-stop")[-2:]
    (doubt,) = detect(before, after, RULES, moment(after.metadata.creation_timestamp)).doubtful
    assert (doubt.exit_code, doubt.note) == (0, PROBE_DOUBT)


def test_oom_killed_child_of_a_parent_that_ended_well_is_told_with_its_limit():
    found = findings_of(pods_of("child-out-of-memory"))[0]
    assert (found.exit_code, found.memory_limit) == (0, "24Mi")


def test_eviction_by_preemption_of_a_real_scheduler_says_so():
    (found,) = findings_of(pods_of("preempted"))
    assert found.note == PREEMPTED_NOTE


def test_image_that_is_no_image_is_told_in_the_kubelets_words():
    assert "couldn't parse image name" in findings_of(pods_of("invalid-image"))[0].message
