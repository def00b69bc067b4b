"""Silences: which one mutes what, until when, and what is no silence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.api.enums import IncidentKind, MatchOperator, Severity, SilenceField
from watchbell.collectors.silencing.silences import (
    IncidentFacts,
    Matcher,
    Silence,
    Window,
    boundary_s,
    muted_by,
    read_silence,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def facts(**more: Any) -> IncidentFacts:
    given: dict[str, Any] = {
        "policy": "collectors",
        "owner_kind": "DaemonSet",
        "owner_name": "otel-agent",
        "pods": ("otel-agent-a", "otel-agent-b"),
        "nodes": ("worker-1", "worker-2"),
        "kind": IncidentKind.CRASH_LOOP_BACK_OFF,
        "severity": Severity.WARNING,
    }
    return IncidentFacts(**given | more)


def matcher(text: str) -> Matcher:
    """`Owner=a,b` or `Owner!=a`."""
    left, _, right = text.partition("=")
    operator = MatchOperator.NOT_IN if left.endswith("!") else MatchOperator.IN
    return Matcher(SilenceField(left.removesuffix("!")), operator, tuple(right.split(",")))


def silence(*matchers: str, name: str = "maintenance", start: datetime = NOON, end: datetime = NOON + HOUR) -> Silence:
    return Silence(("obs", name), f"uid-{name}", tuple(map(matcher, matchers)), start, end, "upgrade of the nodes")


@pytest.mark.parametrize(
    ("matchers", "is_muted"),
    [
        (("Owner=DaemonSet/otel-agent",), True),
        (("Owner=otel-agent",), True),
        (("Owner=Deployment/otel-agent",), False),
        (("Owner=otel",), False),
        (("Owner=otel-*",), True),
        (("Owner=DaemonSet/*",), True),
        (("Owner=DaemonSet/otel-*",), True),
        (("Owner=Daemon*",), False),
        (("Owner!=otel-*",), False),
        (("Owner!=Deployment/*",), True),
        (("Policy=collectors",), True),
        (("Policy=others,collectors",), True),
        (("Policy!=collectors",), False),
        (("Kind=CrashLoopBackOff",), True),
        (("Kind=OOMKilled",), False),
        (("Kind!=NodeLost,Evicted",), True),
        (("Severity=Info,Warning",), True),
        (("Severity!=Critical",), True),
        (("Severity=Critical",), False),
        (("Pod=otel-agent-a,otel-agent-b",), True),
        (("Pod=otel-agent-*",), True),
        (("Pod=otel-agent-a",), False),
        (("Pod!=otel-agent-a",), False),
        (("Pod!=otel-gateway-*",), True),
        (("Node=worker-1,worker-2,worker-3",), True),
        (("Node=worker-1",), False),
        (("Node!=worker-3",), True),
        (("Owner=otel-agent", "Kind=CrashLoopBackOff"), True),
        (("Owner=otel-agent", "Kind=OOMKilled"), False),
        (("Owner=otel-*", "Owner!=otel-agent"), False),
        (("Owner=*",), True),
    ],
    ids=lambda value: " and ".join(value) if isinstance(value, tuple) else str(value),
)
def test_all_matchers_of_a_silence_must_match(matchers: tuple[str, ...], is_muted: bool) -> None:
    assert silence(*matchers).mutes(facts()) is is_muted


@pytest.mark.parametrize(
    ("text", "pods", "is_muted"),
    [("Pod=otel-agent-a", (), False), ("Pod=*", (), False), ("Pod!=otel-agent-a", (), True)],
)
def test_what_has_no_pod_is_in_no_list_of_pods(text: str, pods: tuple[str, ...], is_muted: bool) -> None:
    assert silence(text).mutes(facts(pods=pods)) is is_muted


def test_a_pod_that_joins_from_outside_of_the_silence_is_heard() -> None:
    one_node = silence("Node=worker-1")
    assert one_node.mutes(facts(pods=("otel-agent-a",), nodes=("worker-1",)))
    assert not one_node.mutes(facts(nodes=("worker-1", "worker-2")))


def test_what_gets_worse_than_its_silence_is_heard() -> None:
    warnings = silence("Severity=Warning,Info")
    assert warnings.mutes(facts())
    assert not warnings.mutes(facts(severity=Severity.CRITICAL))


def test_a_lost_node_is_muted_by_its_own_name() -> None:
    lost = facts(owner_kind="Node", owner_name="worker-1", pods=(), nodes=(), kind=IncidentKind.NODE_LOST)
    assert silence("Node=worker-1").mutes(lost)
    assert silence("Owner=Node/worker-1").mutes(lost)
    assert not silence("Node=worker-2").mutes(lost)


@pytest.mark.parametrize(
    ("now", "window", "left_s"),
    [
        (NOON - HOUR, Window.PENDING, 3600.0),
        (NOON, Window.ACTIVE, 3600.0),
        (NOON + HOUR - timedelta(seconds=1), Window.ACTIVE, 1.0),
        (NOON + HOUR, Window.EXPIRED, None),
    ],
)
def test_a_silence_mutes_from_its_start_until_before_its_end(
    now: datetime, window: Window, left_s: float | None
) -> None:
    quiet = silence("Owner=otel-agent")
    assert quiet.window(now) is window
    assert boundary_s(quiet, now) == left_s
    assert (muted_by(facts(), [quiet], now) is quiet) is (window is Window.ACTIVE)


def test_of_several_silences_the_one_that_ends_last_is_named() -> None:
    short, long = silence("Owner=otel-*"), silence("Kind!=Drift", name="freeze", end=NOON + 2 * HOUR)
    other = silence("Owner=nobody", name="other", end=NOON + 3 * HOUR)
    assert muted_by(facts(), [long, short, other], NOON) is long
    assert muted_by(facts(), [other], NOON) is None


def test_the_sentence_says_which_until_when_and_why() -> None:
    assert silence("Owner=*").sentence == (
        "AlertSilence maintenance mutes it until 2026-11-21T13:00:00Z: upgrade of the nodes"
    )


# ---------------------------------------------------------------------- what the API server gives


def body(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "obs",
            "name": "maintenance",
            "uid": "u",
            "creationTimestamp": "2026-11-21T11:59:00Z",
        },
        "spec": {
            "matchers": [{"field": "Owner", "operator": "In", "values": ["DaemonSet/otel-agent"]}],
            "endTime": "2026-11-21T13:00:00Z",
            "comment": "upgrade of the nodes",
        }
        | spec,
    }


def test_a_silence_without_a_start_begins_when_it_was_made() -> None:
    read = read_silence(body(createdBy="ada"))
    assert isinstance(read, Silence)
    assert read.key == ("obs", "maintenance")
    assert (read.start, read.end) == (NOON - timedelta(minutes=1), NOON + HOUR)
    assert read.mutes(facts())
    assert read.sentence.startswith("AlertSilence maintenance by ada mutes it until")
    assert read.ended_told is None


def test_a_start_is_kept_and_what_was_told_is_read_back() -> None:
    read = read_silence(
        body(startTime="2026-11-21T12:30:00Z") | {"status": {"endedMessageTime": "2026-11-21T13:00:01Z"}}
    )
    assert isinstance(read, Silence)
    assert read.start == NOON + timedelta(minutes=30)
    assert read.ended_told == NOON + HOUR + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("told", "counts"), [("2026-11-21T12:59:59Z", False), ("2026-11-21T13:00:00Z", True), ("?", False)]
)
def test_a_mail_from_before_the_end_was_about_an_earlier_end(told: str, counts: bool) -> None:
    read = read_silence(body(endTime="2026-11-21T13:00:00.7Z") | {"status": {"endedMessageTime": told}})
    assert isinstance(read, Silence)
    assert (read.ended_told is not None) is counts


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"matchers": []}, "spec.matchers"),
        ({"comment": ""}, "spec.comment"),
        ({"endTime": "tomorrow"}, "spec.endTime"),
        ({"endTime": "2026-11-21T13:00:00"}, "spec.endTime"),
        ({"startTime": "2026-11-21T14:00:00Z"}, "spec"),
        ({"matchers": [{"field": "Kind", "operator": "In", "values": ["Crashed"]}]}, "spec.matchers[0].values"),
        ({"matchers": [{"field": "Severity", "operator": "In", "values": ["warning"]}]}, "spec.matchers[0].values"),
        ({"matchers": [{"field": "Owner", "operator": "Like", "values": ["a"]}]}, "spec.matchers[0].operator"),
        ({"matchers": [{"field": "Owner", "operator": "In", "values": []}]}, "spec.matchers[0].values"),
    ],
)
def test_what_is_no_silence_mutes_nothing_and_says_where(spec: dict[str, Any], path: str) -> None:
    problems = read_silence(body(**spec))
    assert isinstance(problems, tuple)
    assert any(problem.path.startswith(path) for problem in problems)


# ---------------------------------------------------------------------- what holds for all of them

NAMES = st.sampled_from(["otel-agent", "otel-gateway", "vector", "otel-", "worker-1", "worker-2"])
KINDS = st.sampled_from(["DaemonSet", "Deployment", "Node"])
FACTS = st.builds(
    IncidentFacts,
    policy=NAMES,
    owner_kind=KINDS,
    owner_name=NAMES,
    pods=st.lists(NAMES, unique=True, max_size=3).map(tuple),
    nodes=st.lists(NAMES, unique=True, max_size=3).map(tuple),
    kind=st.sampled_from(IncidentKind),
    severity=st.sampled_from(Severity),
)


@st.composite
def matchers(draw: st.DrawFn) -> Matcher:
    field = draw(st.sampled_from(SilenceField))
    closed = {SilenceField.KIND: st.sampled_from(IncidentKind), SilenceField.SEVERITY: st.sampled_from(Severity)}
    owners = st.tuples(KINDS, NAMES).map("/".join) | NAMES
    open_ = (owners if field is SilenceField.OWNER else NAMES) | st.sampled_from(["*", "otel-*", "worker-*"])
    values = draw(st.lists(closed.get(field, open_).map(str), min_size=1, max_size=3))
    return Matcher(field, draw(st.sampled_from(MatchOperator)), tuple(values))


MATCHERS = st.lists(matchers(), min_size=1, max_size=4).map(tuple)
TIMES = st.integers(0, 10_000).map(lambda seconds: NOON + timedelta(seconds=seconds))


@st.composite
def silences(draw: st.DrawFn) -> Silence:
    start, end = draw(TIMES), draw(TIMES)
    name = draw(st.sampled_from("abc"))
    return Silence(("obs", name), f"uid-{name}", draw(MATCHERS), start, end)


@given(FACTS, MATCHERS, matchers())
def test_one_matcher_more_never_mutes_more(incident: IncidentFacts, some: tuple[Matcher, ...], more: Matcher) -> None:
    narrow = Silence(("obs", "x"), "u", (*some, more), NOON, NOON + HOUR)
    wide = Silence(("obs", "x"), "u", some, NOON, NOON + HOUR)
    assert not narrow.mutes(incident) or wide.mutes(incident)


@given(FACTS, matchers())
def test_in_and_not_in_never_both_match(incident: IncidentFacts, one: Matcher) -> None:
    other = MatchOperator.IN if one.operator is MatchOperator.NOT_IN else MatchOperator.NOT_IN
    both = one.matches(incident), Matcher(one.field, other, one.values).matches(incident)
    assert both != (True, True)
    if len(incident.names(one.field)) == 1:
        assert both.count(True) == 1


@given(FACTS, st.lists(silences(), max_size=5), TIMES)
def test_muted_means_that_some_silence_is_active_and_matches(
    incident: IncidentFacts, some: list[Silence], now: datetime
) -> None:
    muting = [one for one in some if one.start <= now < one.end and one.mutes(incident)]
    found = muted_by(incident, some, now)
    assert (found is None) == (not muting)
    assert found is None or (found in muting and found.end == max(one.end for one in muting))


@given(silences(), TIMES)
def test_at_its_boundary_and_no_sooner_a_silence_changes(one: Silence, now: datetime) -> None:
    left_s = boundary_s(one, now)
    if left_s is None:
        assert one.window(now + 100 * HOUR) is one.window(now) is Window.EXPIRED
        return
    assert left_s > 0
    assert one.window(now + timedelta(seconds=left_s)) is not one.window(now)
    assert one.window(now + timedelta(seconds=left_s - 1)) is one.window(now)
