"""Any order, replay, restart or death at any line ends in the same incidents: each fault told once, and over only when it is."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from collectorrig import EPOCH, backing_off, container, ended, looping, pod, policy_body, running_state, stamp
from watchbell.api.enums import IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.api.times import moment
from watchbell.collectors.casework.caseload import Case, Caseload
from watchbell.collectors.casework.decisions import (
    LOOP_HOLD_S,
    Rest,
    Step,
    decide,
    hold_s,
    intend,
    observe,
    relapse,
    resolve,
    settle,
    withdraw,
)
from watchbell.collectors.casework.folding import Outcome, fold
from watchbell.collectors.casework.health import Health, Standing, assess
from watchbell.collectors.casework.incidents import Family, Group, Past, closed_at, group_of, incident_name
from watchbell.collectors.casework.naming import message_name
from watchbell.collectors.casework.records import incident_body, incident_status
from watchbell.collectors.casework.recovery import adopt, case_of, past_of, record_of
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.policies import read_policy
from watchbell.collectors.rules import CrashRules, Plan, Severities
from watchbell.collectors.seen.pod import Owner, Pod

SECOND = timedelta(seconds=1)
GROUP = Group("obs", "collectors", "uid-1", Owner("Deployment", "gateway"), Family.CRASH, "collector")
SEVERITIES = Severities()
ALL = CrashRules(frozenset(IncidentKind))
PLAN = Plan(wait_s=5, repeat_s=3600, resolve_after_s=120, tells_resolved=True, max_incidents=1)
FAILING, READY, GONE = Health(Standing.FAILING, 1), Health(Standing.READY), Health(Standing.GONE)


def crash_at(time: datetime, restarts: int = 0, name: str = "gateway-0", **end: Any):
    return detect(
        None, pod(container(state=ended(time, **end), restartCount=restarts, ready=False), name=name), ALL, time
    ).findings


def loop_at(time: datetime, restarts: int = 1, name: str = "gateway-0", **end: Any):
    return detect(None, pod(looping(time, restarts, **end), name=name), ALL, time).findings


def opened(*findings):
    incident, _ = fold(None, GROUP, findings or crash_at(EPOCH), None, SEVERITIES)
    return replace(incident, uid="u")


def told(time: datetime = EPOCH):
    return settle(intend(opened(), Transition.FIRED, time), ("m-1",))


class TestFolding:
    def test_the_same_finding_again_changes_nothing(self):
        incident = opened()
        assert fold(incident, GROUP, crash_at(EPOCH), None, SEVERITIES) == (incident, Outcome.NOTHING_NEW)

    def test_a_loop_after_an_error_is_the_same_incident_and_rises_in_kind(self):
        incident, outcome = fold(opened(), GROUP, loop_at(EPOCH), None, SEVERITIES)
        assert outcome is Outcome.ESCALATED
        assert (incident.kind, incident.worst) == (IncidentKind.CONTAINER_ERROR, IncidentKind.CRASH_LOOP_BACK_OFF)
        assert (incident.occurrences, incident.affected_count) == (1, 1)

    def test_another_end_counts_and_another_pod_is_listed(self):
        later = EPOCH + 60 * SECOND
        incident, _ = fold(opened(), GROUP, crash_at(later, 1), None, SEVERITIES)
        incident, _ = fold(incident, GROUP, crash_at(later, 0, "gateway-1"), None, SEVERITIES)
        assert (incident.occurrences, incident.affected_count, set(incident.affected)) == (
            3,
            2,
            {"gateway-0", "gateway-1"},
        )

    def test_crashes_between_two_events_are_counted_by_the_restarts(self):
        incident, _ = fold(opened(), GROUP, crash_at(EPOCH + 60 * SECOND, 4), None, SEVERITIES)
        assert incident.occurrences == 5

    def test_an_older_end_is_known_to_be_older(self):
        incident, outcome = fold(opened(), GROUP, crash_at(EPOCH - SECOND), None, SEVERITIES)
        assert (incident.last_seen, outcome) == (EPOCH, Outcome.OLDER_THAN_KNOWN)

    @pytest.mark.parametrize(
        ("findings", "outcome"),
        [
            (crash_at(EPOCH - SECOND), Outcome.ALREADY_TOLD),
            (crash_at(EPOCH), Outcome.OPENED),
            (crash_at(EPOCH + SECOND), Outcome.OPENED),
            (tuple(item for item in loop_at(EPOCH - SECOND) if item.is_standing), Outcome.OPENED),
        ],
    )
    def test_what_the_incident_before_covered_is_no_news(self, findings, outcome):
        past = Past("before", EPOCH + timedelta(milliseconds=500))
        incident, done = fold(None, GROUP, findings, past, SEVERITIES)
        assert done is outcome
        assert incident is None or incident.name == incident_name(GROUP, "before")

    def test_a_storm_of_one_workload_is_one_incident_with_a_bound(self):
        incident = None
        for number in range(2100):
            incident, _ = fold(incident, GROUP, crash_at(EPOCH + number * SECOND, name=f"p{number}"), None, SEVERITIES)
        assert (incident.affected_count, len(incident.affected), incident.occurrences) == (2100, 2000, 2100)
        assert "p0" not in incident.affected


class TestDecisions:
    def test_it_is_written_before_it_is_told(self):
        assert decide(replace(opened(), uid=""), FAILING, PLAN, EPOCH).step is Step.CREATE

    @pytest.mark.parametrize(
        ("severity", "after_s", "step"),
        [("Warning", 0, Step.REST), ("Warning", 5, Step.NOTIFY), ("Critical", 0, Step.NOTIFY)],
    )
    def test_the_first_mail_waits_for_company_unless_it_is_critical(self, severity, after_s, step):
        incident = replace(opened(), severity=Severity(severity))
        assert decide(incident, FAILING, PLAN, EPOCH + after_s * SECOND).step is step

    def test_a_nodes_clock_that_runs_ahead_delays_no_mail_for_longer_than_the_wait(self):
        decision = decide(opened(), FAILING, PLAN, EPOCH - timedelta(hours=1))
        assert (decision.rest, decision.again_in_s) == (Rest.WAITING_FOR_MORE, 5)

    def test_without_a_wait_it_is_told_at_once(self):
        decision = decide(opened(), FAILING, replace(PLAN, wait_s=0), EPOCH)
        assert (decision.step, decision.transition) == (Step.NOTIFY, Transition.FIRED)

    def test_a_fault_that_is_gone_before_it_was_told_is_told_all_the_same(self):
        assert decide(observe(opened(), GONE, EPOCH), GONE, PLAN, EPOCH + 999 * SECOND).transition is Transition.FIRED

    def test_it_reminds_while_it_stands_and_not_when_acknowledged_or_switched_off(self):
        later = EPOCH + timedelta(hours=1)
        assert decide(told(), FAILING, PLAN, later - SECOND).rest is Rest.TOLD
        assert decide(told(), FAILING, PLAN, later).transition is Transition.REPEATED
        assert decide(told(), FAILING, replace(PLAN, repeat_s=0), later).rest is Rest.TOLD
        assert decide(replace(told(), is_acknowledged=True), FAILING, PLAN, later).rest is Rest.ACKNOWLEDGED

    def test_readiness_must_hold_before_it_is_over(self):
        incident = observe(told(), READY, EPOCH + 10 * SECOND)
        early, due = EPOCH + 129 * SECOND, EPOCH + 130 * SECOND
        assert decide(incident, READY, PLAN, early).rest is Rest.READY_NOT_LONG_ENOUGH
        assert decide(incident, READY, PLAN, due).reason is Reason.HEALTHY_AGAIN
        assert observe(incident, FAILING, early).healthy_since is None

    def test_a_container_that_came_back_in_a_loop_must_outlive_the_kubelets_back_off(self):
        incident, _ = fold(told(), GROUP, crash_at(EPOCH + SECOND, 1), None, SEVERITIES)
        incident = observe(incident, READY, EPOCH + SECOND)
        late = EPOCH + timedelta(seconds=1 + 120 + LOOP_HOLD_S)
        assert decide(incident, READY, PLAN, late - SECOND).step is Step.REST
        assert decide(incident, READY, PLAN, late).step is Step.RESOLVE
        replaced = Health(Standing.REPLACED)
        assert decide(incident, replaced, PLAN, EPOCH + 121 * SECOND).step is Step.RESOLVE

    def test_pods_that_are_gone_end_it_with_that_reason(self):
        incident = observe(told(), GONE, EPOCH)
        assert decide(incident, GONE, PLAN, EPOCH + 120 * SECOND).reason is Reason.PODS_GONE

    def test_the_end_is_told_before_the_object_leaves_our_sight(self):
        over = resolve(told(), Reason.HEALTHY_AGAIN, PLAN, EPOCH)
        assert decide(over, READY, PLAN, EPOCH).step is Step.DELIVER
        assert "resolvedTime" not in incident_status(over, (), EPOCH)
        assert decide(settle(over, ("m-2",)), READY, PLAN, EPOCH).step is Step.CLOSE
        silent = resolve(told(), Reason.HEALTHY_AGAIN, replace(PLAN, tells_resolved=False), EPOCH)
        assert decide(silent, READY, PLAN, EPOCH).step is Step.CLOSE


class TestHealth:
    def test_an_untouched_older_pod_says_nothing(self):
        other = pod(container(ready=False), name="gateway-9")
        assert assess(opened(), (other,), EPOCH).standing is Standing.GONE

    def test_after_a_roll_back_the_pods_that_ran_all_along_are_the_workload(self):
        before, other = pod(name="gateway-8"), pod(name="gateway-9")
        assert assess(opened(), (before, other), EPOCH).standing is Standing.REPLACED
        assert (
            assess(opened(), (before, pod(container(ready=False), name="gateway-9")), EPOCH).standing is Standing.GONE
        )

    def test_a_successor_must_be_ready(self):
        made = {"name": "gateway-9", "creationTimestamp": stamp(EPOCH + SECOND)}
        waiting = pod(container(ready=False, state={}), **made)
        assert assess(opened(), (waiting,), EPOCH) == FAILING
        assert assess(opened(), (pod(**made),), EPOCH).standing is Standing.REPLACED
        assert assess(opened(), (pod(status={"containerStatuses": []}, **made),), EPOCH) == FAILING

    def test_the_pod_that_failed_must_be_ready_itself(self):
        assert assess(opened(), (pod(),), EPOCH) == READY
        assert assess(opened(), (pod(looping(EPOCH)),), EPOCH) == FAILING


def test_what_an_object_holds_is_read_back_as_it_was():
    incident, _ = fold(told(), GROUP, loop_at(EPOCH + SECOND, 1, message="boom"), None, SEVERITIES)
    body = incident_body(incident) | {"status": incident_status(incident, (), EPOCH)}
    body["metadata"]["uid"] = "u"
    again = case_of(record_of(body), read_policy(policy(uid="uid-1")), EPOCH).incident
    assert again.group == GROUP
    same = (
        "name",
        "uid",
        "kind",
        "severity",
        "start_time",
        "last_seen",
        "affected_count",
        "occurrences",
        "notifications",
    )
    assert {field: getattr(again, field) for field in same} == {field: getattr(incident, field) for field in same}
    folded, outcome = fold(again, GROUP, loop_at(EPOCH + SECOND, 1, message="boom"), None, SEVERITIES)
    assert outcome is Outcome.NOTHING_NEW
    assert folded.image == incident.image


def test_a_termination_message_with_a_secret_is_redacted_in_the_status():
    incident = opened(*crash_at(EPOCH, message="dial failed: password=hunter2hunter2 rejected"))
    (listed,) = incident_status(incident, (), EPOCH)["affectedPods"]
    assert "hunter2" not in listed["message"]


def policy(uid: str = "uid-1", **spec: Any) -> dict[str, Any]:
    body = policy_body(**spec)
    body["metadata"] |= {"uid": uid, "generation": 1, "creationTimestamp": stamp(EPOCH - timedelta(days=30))}
    return body


class Life(RuleBasedStateMachine):
    """A workload of three pods, a process that watches, may be killed at any line and starts again, and objects that outlive it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = EPOCH
        self.policy = read_policy(
            policy(
                grouping={
                    "waitSeconds": 5,
                    "resolveAfterSeconds": 120,
                    "repeatSeconds": 7200,
                    "maxIncidentsPerMessage": 1,
                }
            )
        )
        self.pods: dict[str, dict[str, Any]] = {}
        self.made = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, str] = {}
        self.ends: list[tuple[str, datetime]] = []
        for _ in range(3):
            self._make()
        self._start()

    # --- the world

    def _make(self) -> str:
        self.made += 1
        fresh = {"created": self.now, "rc": 0, "state": running_state(self.now), "last": {}, "ready": True}
        self.pods[f"gateway-{self.made}"] = fresh
        return f"gateway-{self.made}"

    def _pod(self, name: str) -> Pod:
        it = self.pods[name]
        status = container(state=it["state"], lastState=it["last"], restartCount=it["rc"], ready=it["ready"])
        return pod(status, name=name, creationTimestamp=stamp(it["created"]))

    def _pick(self, index: int) -> str:
        return sorted(self.pods)[index % len(self.pods)]

    @rule(seconds=st.sampled_from([1, 3, 7, 60, 200, 900]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(index=st.integers(0, 2), code=st.sampled_from([1, 2, 137]), oom=st.booleans())
    def a_container_crashes(self, index: int, code: int, oom: bool) -> None:
        name = self._pick(index)
        it = self.pods[name]
        if "running" not in it["state"]:
            return
        self.now += SECOND
        it["state"], it["ready"] = ended(self.now, code, "OOMKilled" if oom else "Error"), False
        self.ends.append((name, self.now))

    @rule(index=st.integers(0, 2))
    def the_kubelet_goes_on(self, index: int) -> None:
        it = self.pods[self._pick(index)]
        if "terminated" in it["state"]:
            it["last"] = it["state"]
            if it["rc"]:
                it["state"] = backing_off()
                return
        elif "waiting" not in it["state"]:
            it["ready"] = True
            return
        it["rc"] += 1
        it["state"] = running_state(self.now)

    @rule(index=st.integers(0, 2))
    def a_pod_is_replaced(self, index: int) -> None:
        name = self._pick(index)
        self.see(index)
        del self.pods[name]
        self.cache.pop(name, None)
        successor = self._make()
        self.cache[successor] = self._pod(successor)

    # --- the process

    def _start(self) -> None:
        """As after a kill: memory is built from objects and pods."""
        self.load, self.cache = Caseload(), {}
        for body in self.objects.values():
            record = record_of(body)
            if record.past is not None:
                self.load.end(record.spec.fingerprint, record.past)
            else:
                self.load.put(case_of(record, self.policy, self.now))
        for name in self.pods:
            self.cache[name] = self._pod(name)
            self.load.absorb(
                self.policy, detect(None, self.cache[name], self.policy.rules_at(self.now), self.now).findings
            )

    @rule()
    def the_process_is_killed(self) -> None:
        # The end of a pod that is gone dies with the memory if it was not written yet: nobody can know of it.
        listed = self._listed()
        self.ends = [(name, end) for name, end in self.ends if name in self.pods or listed.get(name, EPOCH) >= end]
        self._start()

    def _listed(self) -> dict[str, datetime]:
        listed: dict[str, datetime] = {}
        for _, item in self._items():
            listed[item["name"]] = max(moment(item["lastTime"]), listed.get(item["name"], EPOCH))
        return listed

    def _items(self) -> list[tuple[str, dict[str, Any]]]:
        """Every pod that an object lists, with the object's name."""
        statuses = [(name, body.get("status", {})) for name, body in self.objects.items()]
        return [(name, item) for name, status in statuses for item in status.get("affectedPods", ())]

    @rule(index=st.integers(0, 2))
    def see(self, index: int) -> None:
        name = self._pick(index)
        old, new = self.cache.get(name), self._pod(name)
        self.cache[name] = new
        self.load.absorb(self.policy, detect(old, new, self.policy.rules_at(self.now), self.now).findings)

    @rule(index=st.integers(0, 2))
    def an_event_is_replayed(self, index: int) -> None:
        name = self._pick(index)
        self.load.absorb(
            self.policy,
            detect(None, self.cache.get(name) or self._pod(name), self.policy.rules_at(self.now), self.now).findings,
        )

    @rule(steps=st.integers(1, 6))
    def the_process_works(self, steps: int) -> None:
        for _ in range(steps):
            busy = [case for case in tuple(self.load.cases.values()) if self._step(case)]
            if not busy:
                return

    @rule()
    def the_status_is_written(self) -> None:
        for case in tuple(self.load.cases.values()):
            if case.incident.uid:
                self._write(case)

    def _step(self, case: Case) -> bool:
        health = assess(case.incident, self.cache.values(), self.now)
        case.incident = observe(case.incident, health, self.now)
        decision = decide(case.incident, health, self.policy.plan, self.now)
        match decision.step:
            case Step.REST:
                return False
            case Step.CREATE:
                self._create(case)
            case Step.NOTIFY:
                case.incident = intend(case.incident, decision.transition, self.now)
                if decision.transition is not Transition.FIRED:
                    self._write(case)
            case Step.DELIVER:
                self._deliver(case)
            case Step.WITHDRAW:
                case.incident = withdraw(case.incident)
            case Step.RELAPSE:
                case.incident = relapse(case.incident)
            case Step.RESOLVE:
                self._check_recovered(case, health)
                case.incident = resolve(case.incident, decision.reason, self.policy.plan, self.now)
                self._write(case)
            case Step.CLOSE:
                self._close(case)
        return True

    def _create(self, case: Case) -> None:
        name, fingerprint = case.incident.name, case.incident.group.fingerprint
        there = self.objects.get(name)
        if there is None:
            ends = [record_of(body).past for body in self.objects.values()]
            assert None not in ends, "a second incident beside an open one"
            told = {(item["name"], item["lastTime"]) for _, item in self._items()}
            assert any(item.is_standing or (item.pod, stamp(item.seen_time)) not in told for item in case.evidence)
            body = incident_body(case.incident)
            body["metadata"]["uid"] = f"uid-{len(self.objects)}"
            self.objects[name] = msgspec.json.decode(msgspec.json.encode(body))
            case.incident = replace(case.incident, uid=body["metadata"]["uid"])
            return
        past = past_of(there, case.incident.group)
        if past is None:
            adopt(case, there, self.now)
            return
        self.load.drop(fingerprint)
        self.load.succeed(fingerprint, past)
        self.load.absorb(self.policy, [replace(item, is_live=False) for item in case.evidence])

    def _deliver(self, case: Case) -> None:
        pending = case.incident.pending
        name = message_name(case.incident.name, pending.sequence, "oncall")
        known = self.messages.setdefault(name, pending.transition)
        assert known == pending.transition, "one name for two different tellings"
        case.incident = settle(case.incident, (name,))

    def _write(self, case: Case) -> None:
        status = incident_status(case.incident, case.conditions, self.now)
        case.conditions = status["conditions"]
        self.objects[case.incident.name]["status"] = msgspec.json.decode(msgspec.json.encode(status))

    def _close(self, case: Case) -> None:
        case.incident = replace(case.incident, is_closed=True)
        self._write(case)
        fingerprint = case.incident.group.fingerprint
        self.load.drop(fingerprint)
        self.load.end(fingerprint, closed_at(case.incident, case.incident.resolution.time))
        self.load.absorb(self.policy, case.deferred)
        for seen in self.cache.values():
            self.load.absorb(self.policy, detect(None, seen, self.policy.rules_at(self.now), self.now).findings)

    @rule()
    def everything_recovers_for_long(self) -> None:
        """So that random lives come to their ends often enough."""
        for index, it in enumerate(self.pods[name] for name in sorted(self.pods)):
            if "running" not in it["state"]:
                it["last"] = it["state"] if "terminated" in it["state"] else it["last"]
                it["rc"], it["state"] = it["rc"] + 1, running_state(self.now)
            it["ready"] = True
            self.see(index)
        self.the_process_works(6)
        self.now += timedelta(seconds=900)
        self.the_process_works(6)

    # --- what must hold

    def _check_recovered(self, case: Case, health: Health) -> None:
        held_s = hold_s(case.incident, health, self.policy.plan)
        assert held_s >= self.policy.plan.resolve_after_s
        if health.standing is Standing.READY and case.incident.is_looping:
            assert held_s >= LOOP_HOLD_S
        assert case.incident.last_seen + timedelta(seconds=held_s) <= self.now
        for name in case.incident.affected:
            if name in self.cache:
                assert self.cache[name].status.container_statuses[0].ready

    @invariant()
    def no_fault_is_told_twice(self) -> None:
        fired = [name for name, transition in self.messages.items() if transition is Transition.FIRED]
        assert all(name.endswith("-1-oncall") for name in fired)

    @invariant()
    def one_incident_is_open_at_most(self) -> None:
        assert sum(record_of(body).past is None for body in self.objects.values()) <= 1

    @precondition(lambda self: self.ends)
    @rule()
    def when_all_is_quiet_every_end_is_covered_by_an_incident_that_was_told(self) -> None:
        for index in range(len(self.pods)):
            self.see(index)
        self.now += timedelta(seconds=10)
        self.the_process_works(40)
        self.the_status_is_written()
        assert all(f"{name}-1-oncall" in self.messages for name in self.objects), "an incident that nobody heard of"
        listed = self._listed()
        for name, end in self.ends:
            assert name in listed, f"{name} is not told"
            assert listed[name] >= end, f"{end} of {name} is not told"
        standing = any("waiting" in it["state"] for it in self.pods.values())
        assert not standing or len(self.load.cases) == 1


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_ends_of_long_ago_are_forgotten():
    load = Caseload()
    for number in range(5):
        load.end(f"{number}", Past(f"past-{number}", EPOCH + number * SECOND))
    load.forget_ends_before(EPOCH + 3 * SECOND)
    assert set(load.past) == {"3", "4"}


def test_a_group_is_made_of_identity_only():
    one, other = crash_at(EPOCH), crash_at(EPOCH + SECOND, 3, "gateway-7", code=2, message="other words")
    assert group_of("obs", "collectors", "uid-1", one[0]) == group_of("obs", "collectors", "uid-1", other[0]) == GROUP
    assert incident_name(GROUP, "") != incident_name(replace(GROUP, policy_uid="uid-2"), "")
    assert len(incident_name(replace(GROUP, owner=Owner("Deployment", "x" * 253)), "")) < 70


def test_an_end_in_the_second_in_which_its_incident_was_over_is_not_told_again():
    (crash,) = crash_at(EPOCH)
    incident = opened(crash)
    past = closed_at(incident, EPOCH + timedelta(milliseconds=400))
    again, outcome = fold(None, incident.group, (crash,), past, SEVERITIES)
    assert (again, outcome) == (None, Outcome.ALREADY_TOLD)


def test_another_end_in_that_second_is_news():
    incident = opened(*crash_at(EPOCH))
    past = closed_at(incident, EPOCH + timedelta(milliseconds=400))
    (other,) = crash_at(EPOCH, name="gateway-1")
    assert fold(None, incident.group, (other,), past, SEVERITIES)[1] is Outcome.OPENED
