from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from watchbell.kube.errors import Invalid, Throttled, Unauthorized, error_from_response
from watchbell.kube.informer import Pace
from watchbell.kube.resources import LEASES, NAMESPACES, PODS, ObjectRef, custom
from watchbell.kube.series import BURST, KEPT_MAX, SERIES_IDLE, EventKey, Ledger

NOW = datetime(2030, 1, 1, tzinfo=UTC)
REF = ObjectRef("v1", "Pod", "web-1", "shop", "u-1")
KEY = EventKey(REF, "Warning", "Bad", "Probe", "note")


@given(st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_every_repetition_is_counted_and_the_sweep_tells_what_is_still_untold(gaps):
    ledger, now, told = Ledger(), NOW, 0
    expected = 0
    for gap in gaps:
        now += timedelta(seconds=gap)
        series = ledger.seen(KEY, now)
        if series is None:
            ledger.begin(KEY, "first", now)
            expected = told = 1
            continue
        expected += 1
        assert series.count == expected
        if series.is_due():
            ledger.written(KEY, series)
            told = series.count
    due = ledger.sweep(now + SERIES_IDLE * 2)
    assert [series.count for _, series in due] == ([expected] if expected > told else [])
    assert ledger.seen(KEY, now + SERIES_IDLE * 2) is None


def test_a_quiet_series_is_over_and_begins_anew():
    ledger = Ledger()
    ledger.begin(KEY, "first", NOW)
    assert ledger.seen(KEY, NOW + SERIES_IDLE + timedelta(seconds=1)) is None


def test_an_object_gets_a_burst_and_then_one_each_five_minutes():
    ledger = Ledger()
    assert sum(ledger.admits(REF, NOW) for _ in range(100)) == BURST
    later = NOW + timedelta(minutes=15)
    assert sum(ledger.admits(REF, later) for _ in range(100)) == 3
    other = ObjectRef("v1", "Pod", "web-2", "shop", "u-2")
    assert ledger.admits(other, NOW)


def test_what_is_remembered_is_bounded():
    ledger = Ledger()
    for number in range(KEPT_MAX + 10):
        ref = ObjectRef("v1", "Pod", f"p-{number}", "shop", str(number))
        assert ledger.admits(ref, NOW)
        ledger.begin(EventKey(ref, "Normal", "R", "A", ""), "e", NOW)
    assert len(ledger._series) == KEPT_MAX
    assert len(ledger._tokens) == KEPT_MAX


def test_paths_are_those_of_the_api():
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("shop", "web-1", "log") == "/api/v1/namespaces/shop/pods/web-1/log"
    assert NAMESPACES.path("shop", "x") == "/api/v1/namespaces/x"
    assert LEASES.path("a", "b") == "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"
    assert custom("smtptests").path("a", "../../b") == "/apis/watchbell.dev/v1alpha1/namespaces/a/smtptests/..%2F..%2Fb"
    assert custom("smtptests").api_version == "watchbell.dev/v1alpha1"


def test_a_reference_names_its_object_as_events_do():
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1"}}
    assert ObjectRef.of(body) == REF
    named = {"apiVersion": "v1", "kind": "Pod", "name": "web-1", "namespace": "shop", "uid": "u-1"}
    assert REF.as_regarding() == named
    assert "namespace" not in ObjectRef("v1", "Node", "n").as_regarding()


def test_an_error_is_typed_by_its_code_and_never_longer_than_a_line():
    invalid = error_from_response(
        422,
        b'{"reason":"Invalid","message":"no\\n good","details":{"causes":[{"field":"spec.host","message":"bad\\nvalue"}]}}',
    )
    assert isinstance(invalid, Invalid)
    assert (invalid.message, invalid.causes) == ("no good", (("spec.host", "bad value"),))
    throttled = error_from_response(429, b'{"details":{"retryAfterSeconds":7}}')
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after_s == 7
    assert error_from_response(429, b"", "3").retry_after_s == 3
    assert isinstance(error_from_response(401, b"\xff\xfe"), Unauthorized)
    assert str(error_from_response(404, b"")) == "the API server answered 404 without a message (404 HTTP404)"


@given(st.integers(0, 1000), st.floats(0, 1))
def test_the_informers_back_off_is_bounded_and_jittered(failures, chance):
    pace = Pace(backoff_first_s=0.5, backoff_most_s=30)
    delay = pace.backoff_s(failures, chance)
    assert 0 <= delay <= 30
    assert (delay == 0) == (failures == 0)
    assert delay <= pace.backoff_s(failures + 1, chance)
