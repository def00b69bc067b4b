"""What /metrics says: read from what is there at that moment, in the words of the conventions, with labels from closed sets."""

import asyncio
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from collectorrig import EPOCH, looping, pod, policy_body, until
from watchbell import metrics, readings
from watchbell.api.enums import IncidentKind, Severity
from watchbell.api.reasons import Reason
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.casework.incidents import Resolution
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.policies import read_policy
from watchbell.collectors.rules import CrashRules
from watchbell.connectors import gauges
from watchbell.connectors.records import record_of
from watchbell.kube.errors import ServerError
from watchbell.kube.workqueue import Backoff, WorkQueue
from watchbell.readings import dropped
from watchbell.reference import families

CONDITIONS = gauges.shown((("Accepted", "True", "Accepted"), ("Ready", "False", "ConnectionRefused")))


def record(name="default", namespace="obs", **fields):
    made = record_of(
        {"kind": "SmtpConnector", "metadata": {"name": name, "namespace": namespace, "uid": "u"}, "status": {}}
    )
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def samples(name):
    """(labels → value) of a family as it is served."""
    text = generate_latest(metrics.REGISTRY).decode()
    found = (one for family in text_string_to_metric_families(text) for one in family.samples if one.name == name)
    return {tuple(one.labels.values()): one.value for one in found}


@pytest.fixture
def reading(monkeypatch):
    def read(metric, samples):
        monkeypatch.setattr(metric, "read", samples)

    return read


def test_a_connector_shows_its_readiness_and_every_condition_with_its_reason():
    records = [record(shown=CONDITIONS, ready=False), record("relay", shown=CONDITIONS, ready=True)]
    assert dict(gauges.readiness(records)) == {
        ("SmtpConnector", "obs", "default"): 0.0,
        ("SmtpConnector", "obs", "relay"): 1.0,
    }
    assert dict(gauges.conditions(records[:1])) == {
        ("SmtpConnector", "obs", "default", "Accepted", "True", "Accepted"): 1.0,
        ("SmtpConnector", "obs", "default", "Ready", "False", "ConnectionRefused"): 1.0,
    }


def test_what_this_process_did_not_judge_is_not_shown():
    assert list(gauges.readiness([record()])) == list(gauges.conditions([record()])) == []
    assert list(gauges.expiries([record(shown=CONDITIONS)])) == []


def test_what_an_earlier_process_wrote_is_shown_as_it_stands():
    status = {
        "conditions": [{"type": "Ready", "status": "True", "reason": "Proven", "message": "m"}],
        "server": {"tls": {"notAfter": "2027-01-01T00:00:00Z"}},
    }
    shown, expiry = gauges.shown_in(status)
    assert shown == (("Ready", "True", "Proven"),)
    assert expiry == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert gauges.shown_in({}) == ((), None)


def test_many_connectors_that_stand_alike_share_the_memory_for_it():
    pairs = [("Ready", "True", f"{Reason.PROVEN}"), ("Accepted", "True", "Accepted")]
    assert gauges.shown(pairs) is gauges.shown(list(pairs))


def test_the_series_of_an_object_go_with_it(reading):
    records = {name: record(name, shown=CONDITIONS, certificate_expiry=1.0) for name in ("one", "two")}
    reading(metrics.CONNECTOR_READY, lambda: gauges.readiness(records.values()))
    reading(metrics.CONNECTOR_CONDITION, lambda: gauges.conditions(records.values()))
    reading(metrics.CERTIFICATE_EXPIRY, lambda: gauges.expiries(records.values()))
    assert 'name="two"' in generate_latest(metrics.REGISTRY).decode()
    del records["two"]
    text = generate_latest(metrics.REGISTRY).decode()
    assert 'name="one"' in text
    assert 'name="two"' not in text


def test_a_connector_costs_a_series_for_each_condition_and_two_more(reading):
    records = [record(f"relay-{number}", shown=CONDITIONS, certificate_expiry=1.0) for number in range(100)]
    reading(metrics.CONNECTOR_READY, lambda: gauges.readiness(records))
    reading(metrics.CONNECTOR_CONDITION, lambda: gauges.conditions(records))
    reading(metrics.CERTIFICATE_EXPIRY, lambda: gauges.expiries(records))
    text = generate_latest(metrics.REGISTRY).decode()
    assert text.count('name="relay-') == 100 * (len(CONDITIONS) + 2)


def caseload(*changes):
    """A caseload with one crash loop for each of `changes` to its incident."""
    load, policy = Caseload(), read_policy(policy_body())
    rules = CrashRules(frozenset(IncidentKind))
    for number in range(len(changes)):
        seen = pod(looping(EPOCH, 3), name=f"gateway-{number}", owner=f"gateway-{number}")
        load.absorb(policy, detect(None, seen, rules, EPOCH).findings)
    for case, change in zip(load.cases.values(), changes, strict=True):
        case.incident = replace(case.incident, **change)
    return load


def test_incidents_that_go_on_are_counted_by_policy_kind_and_severity():
    worse = {"uid": "c", "worst": IncidentKind.OOM_KILLED, "severity": Severity.CRITICAL}
    over = {"uid": "d", "resolution": Resolution(Reason.POLICY_DELETED, EPOCH)}
    load = caseload({"uid": "a"}, {"uid": "b"}, worse, over, {"uid": ""})
    firing = dict(load.firing())
    assert {labels[2:]: count for labels, count in firing.items()} == {
        ("CrashLoopBackOff", "Warning"): 2.0,
        ("OOMKilled", "Critical"): 1.0,
    }
    assert {labels[:2] for labels in firing} == {("obs", "collectors")}


def test_dropped_events_are_counted_by_a_closed_set_of_causes():
    assert dict(dropped(Counter({"QueueFull": 2, "Invalid": 1, "Forbidden": 3}))) == {
        ("QueueFull",): 2,
        ("Flood",): 0,
        ("Refused",): 4,
    }


async def test_a_queue_counts_its_work_by_result_and_an_unexpected_error_by_itself():
    name, asked = "test-of-metrics", Counter()

    async def handle(key):
        asked[key] += 1
        if asked[key] == 1 and key == "api":
            raise ServerError(500, "InternalError", "no")
        if asked[key] == 1 and key == "bug":
            raise ValueError("a bug")

    queue = WorkQueue(handle, workers=2, name=name, backoff=Backoff(0.001, 0.001))
    assert samples("watchbell_work_failures_total")[(name,)] == 0, "known before the first, or its increase is not seen"
    running = asyncio.create_task(queue.run())
    for key in ("good", "api", "bug"):
        queue.add(key)
    await until(lambda: asked == {"good": 1, "api": 2, "bug": 2}, "what failed was tried again")
    await queue.idle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    counts = samples("watchbell_reconcile_total")
    assert {result: counts[name, result] for result in metrics.WorkResult} == {
        "Succeeded": 3,
        "ApiError": 1,
        "Error": 1,
    }
    assert samples("watchbell_work_failures_total")[(name,)] == 1
    assert samples("watchbell_reconcile_duration_seconds_count")[(name,)] == 5


def test_names_and_units_follow_the_conventions():
    for family, labels in families():
        assert re.fullmatch(r"watchbell(_[a-z]+)+", family.name), family.name
        assert family.documentation.endswith(".")
        assert not set(labels) & {"le", "quantile", "job", "instance", "pod", "address", "subject", "recipient"}
        if family.type == "counter":
            assert not family.name.endswith("_total"), "the library adds it"
        elif family.type == "histogram":
            assert family.name.endswith("_seconds")
        assert not re.search(r"_(ms|milliseconds|minutes|count|sum|bucket)$", family.name)
    assert len({family.name for family, _ in families()}) == len(list(families())) > 20


def test_the_process_itself_is_measured_and_no_series_says_when_a_counter_began():
    text = generate_latest(metrics.REGISTRY).decode()
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert f"\n{name} " in text
    assert "_created" not in text


def test_every_reading_is_read_from_the_parts_of_the_runtime(monkeypatch):
    shown = [value for value in vars(metrics).values() if isinstance(value, metrics.Reading)]
    for reading in shown:
        monkeypatch.setattr(reading, "read", None)
    parts = SimpleNamespace(connectors=None, outbox=None, collectors=SimpleNamespace(firing=tuple))
    readings.show(parts, None, None)
    assert [reading for reading in shown if reading.read is None] == []
