"""An incident's object in memory: small however large it is in the cluster, and refused when it is none."""

import tracemalloc

import msgspec
import pytest

from watchbell.collectors.casework.records import IncidentRecord
from watchbell.collectors.casework.recovery import IncidentPage, record_of

COUNT = 200
NOISE = "x" * 20_000


def body(name="gateway-crash", **status):
    told = {
        "resolvedTime": "",
        "flaps": 2,
        "affectedPods": [{"name": f"{name}-pod", "lastTime": "2026-11-20T12:00:00Z"}],
    }
    return {
        "metadata": {"name": name, "namespace": "obs", "uid": f"uid-{name}", "managedFields": [{"noise": NOISE}]},
        "spec": {"kind": "OOMKilled", "severity": "Critical", "policyRef": {"name": "fleet"}},
        "status": told | status,
    }


def test_a_record_keeps_nothing_of_the_line_or_page_that_it_came_in():
    lines = [msgspec.json.encode(body(f"incident-{number}")) for number in range(COUNT)]
    page = msgspec.json.encode({"items": [body(f"other-{number}") for number in range(COUNT)]})
    tracemalloc.start()
    try:
        kept = [msgspec.json.decode(bytes(bytearray(line)), type=IncidentRecord) for line in lines]
        kept += msgspec.json.decode(bytes(bytearray(page)), type=IncidentPage).items or []
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 2 * COUNT
    assert used_bytes / len(kept) < 2_000
    assert kept[-1].status.affected_pods[0].name == f"other-{COUNT - 1}-pod"
    assert kept[0].status.flaps == 2
    assert kept[0].spec.kind is kept[-1].spec.kind, "what all have in common is there once"


def test_an_object_without_a_status_is_an_incident_that_was_just_opened():
    bare = {key: value for key, value in body().items() if key != "status"}
    assert record_of(bare).past is None
    assert record_of(bare).status.notifications == []


@pytest.mark.parametrize("status", [{"flaps": "two"}, {"affectedPods": {}}, {"resolvedTime": 5}])
def test_a_status_that_is_none_is_refused_when_it_comes_and_not_when_it_is_needed(status):
    with pytest.raises(msgspec.ValidationError):
        record_of(body(**status))


def test_the_end_of_an_incident_is_read_from_its_status():
    past = record_of(
        body(resolvedTime="2026-11-20T13:00:00Z", intervalSeconds=90, lastSeenTime="2026-11-20T12:30:00Z")
    ).past
    assert past is not None
    assert past.interval_s == 90.0
    assert past.last_seen is not None
    assert past.last_seen.minute == 30
