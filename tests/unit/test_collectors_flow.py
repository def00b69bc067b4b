"""Told once, told right: what holds back a telling and says why, when it is over, what gets worse, and what comes back again and again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from podrig import EPOCH, container, looping, pod, running_state, stamp
from watchbell.api.enums import DriftCheck, IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.api.route import Route
from watchbell.collectors.casework.caseload import Case, Caseload
from watchbell.collectors.casework.decisions import (
    HOLD_MAX_S,
    Hold,
    Rest,
    Step,
    decide,
    hold_s,
    intend,
    observe,
    relapse,
    resolve,
    settle,
    silence,
    withdraw,
)
from watchbell.collectors.casework.folding import Outcome, fold
from watchbell.collectors.casework.health import Health, Standing, View, judge
from watchbell.collectors.casework.incidents import FAMILIES, Family, closed_at, group_of
from watchbell.collectors.casework.naming import (
    BatchMark,
    Member,
    digest_name,
    members_text,
    read_mark,
    read_members,
)
from watchbell.collectors.casework.records import incident_body, incident_status
from watchbell.collectors.casework.recovery import Outgone, Sent, record_of
from watchbell.collectors.casework.routing import read_addresses, takes
from watchbell.collectors.findings import NODE_OWNER, Difference, Finding
from watchbell.collectors.rules import Plan, Severities
from watchbell.collectors.seen.pod import Owner

SECOND = timedelta(seconds=1)
PLAN = Plan(wait_s=5, repeat_s=3600, resolve_after_s=120, tells_resolved=True)
SEVERITIES = Severities(Severity.WARNING, ((IncidentKind.OOM_KILLED, Severity.CRITICAL),))
OWNER = Owner("Deployment", "gateway")
FAILING, READY, UNKNOWN = Health(Standing.FAILING, 1), Health(Standing.READY), Health(Standing.UNKNOWN)
NIGHT = Hold(Rest.SILENCED, "night", "2026-11-21T06:00:00Z")
HIDDEN = Hold(Rest.INHIBITED, "gateway-crash-1")


def finding(kind: IncidentKind = IncidentKind.CONTAINER_ERROR, at_s: float = 0, **fields) -> Finding:
    return replace(
        Finding(kind, "gateway-0", "uid-gateway-0", OWNER, "node-1", "collector", False, 0, EPOCH),
        **({"seen_time": EPOCH + at_s * SECOND} | fields),
    )


def opened(first: Finding | None = None, past=None):
    first = first or finding()
    incident, _ = fold(None, group_of("obs", "collectors", "uid-1", first), (first,), past, SEVERITIES)
    return replace(incident, uid="u")


def told(incident=None, at_s: float = 0):
    return settle(intend(incident or opened(), Transition.FIRED, EPOCH + at_s * SECOND), ("m-1",))


def update(incident, *findings: Finding):
    return fold(incident, incident.group, findings, None, SEVERITIES)


class TestFamilies:
    def test_every_kind_has_a_family(self):
        assert set(FAMILIES) == set(IncidentKind)

    def test_dedup_key_what_is_about_the_whole_pod_is_one_incident_whatever_its_container(self):
        one = group_of("obs", "p", "u", finding(IncidentKind.NOT_READY, container="collector"))
        other = group_of("obs", "p", "u", finding(IncidentKind.NOT_READY, container=""))
        assert one == other

    def test_dedup_key_crash_and_image_of_one_container_are_two_troubles(self):
        kinds = (IncidentKind.CONTAINER_ERROR, IncidentKind.IMAGE_PULL_FAILED)
        assert len({group_of("obs", "p", "u", finding(kind)).fingerprint for kind in kinds}) == 2

    def test_a_finding_without_a_pod_is_no_news_a_second_time_and_names_whom_it_concerns(self):
        difference = Difference(DriftCheck.IMAGE, "containers[collector].image", "a:1", "a:2")
        drift = finding(
            IncidentKind.DRIFT, pod="", container="", is_standing=True, differences=(difference,), pods=("a", "b")
        )
        incident = opened(drift)
        assert (incident.affected_count, {item.name for item in incident.pods}) == (2, {"a", "b"})
        again, outcome = update(incident, replace(drift, seen_time=EPOCH + 60 * SECOND))
        assert (outcome, again.occurrences) == (Outcome.NOTHING_NEW, 1)
        grown, outcome = update(incident, replace(drift, pods=("a", "b", "c")))
        assert (outcome, grown.affected_count) == (Outcome.UPDATED, 3)

    def test_a_standing_kind_keeps_the_message_that_says_more(self):
        pull = finding(IncidentKind.IMAGE_PULL_FAILED, is_standing=True, message="manifest unknown: a/b:1")
        incident, outcome = update(opened(pull), replace(pull, message="Back-off"))
        assert (outcome, incident.pods[0].message) == (Outcome.NOTHING_NEW, "manifest unknown: a/b:1")


class TestHoldingBack:
    def test_silences_a_silenced_incident_is_opened_and_not_told_and_remembers_by_whom(self):
        incident = opened()
        decision = decide(incident, FAILING, PLAN, EPOCH, NIGHT)
        assert decision.step is Step.HOLD
        held = silence(incident, NIGHT)
        assert decide(held, FAILING, PLAN, EPOCH + 999 * SECOND, NIGHT).rest is Rest.SILENCED
        assert decide(held, FAILING, PLAN, EPOCH + 999 * SECOND).transition is Transition.FIRED

    def test_silences_what_came_and_went_under_one_is_told_when_it_ends(self):
        held = observe(silence(opened(), NIGHT), READY, EPOCH)
        over = EPOCH + 130 * SECOND
        assert decide(held, READY, PLAN, over, NIGHT).step is Step.RESOLVE
        done = resolve(held, Reason.HEALTHY_AGAIN, PLAN, over, NIGHT)
        assert decide(done, READY, PLAN, over, NIGHT).rest is Rest.SILENCED
        assert decide(done, READY, PLAN, over).step is Step.DELIVER
        assert settle(done, ("digest",)).silenced_by == ""

    def test_silences_do_not_hold_what_people_know_already(self):
        assert decide(told(), FAILING, PLAN, EPOCH + 9999 * SECOND, NIGHT).rest is Rest.SILENCED
        assert told().silenced_by == ""

    def test_a_silence_that_comes_while_a_telling_waits_takes_it_back(self):
        waiting = intend(opened(), Transition.FIRED, EPOCH)
        assert decide(waiting, FAILING, PLAN, EPOCH, NIGHT).step is Step.WITHDRAW
        assert withdraw(waiting).notifications == ()
        under_way = replace(waiting, is_under_way=True)
        assert decide(under_way, FAILING, PLAN, EPOCH, NIGHT).step is Step.DELIVER

    def test_inhibition_a_hidden_incident_is_not_told_and_if_it_passes_nobody_hears_of_it(self):
        hidden = opened(finding(IncidentKind.NOT_READY, container=""))
        assert decide(hidden, FAILING, PLAN, EPOCH + 99 * SECOND, HIDDEN).rest is Rest.INHIBITED
        well = observe(hidden, READY, EPOCH)
        assert decide(well, READY, PLAN, EPOCH + 200 * SECOND, HIDDEN).step is Step.RESOLVE
        assert resolve(well, Reason.HEALTHY_AGAIN, PLAN, EPOCH, HIDDEN).pending is None

    @pytest.mark.parametrize("kind", [IncidentKind.ROLLOUT_STUCK, IncidentKind.NOT_READY])
    def test_inhibition_a_crash_hides_what_it_explains_and_nothing_else(self, kind):
        load = Caseload()
        for case in (Case(opened()), child := Case(opened(finding(kind, container="")))):
            load.put(case)
        other = Case(opened(finding(kind, container="", owner=Owner("Deployment", "other"))))
        load.put(other)
        assert load.hider(child).startswith("gateway-crash-")
        assert load.hider(other) == ""
        load.drop(opened().group.fingerprint)
        assert load.hider(child) == ""

    def test_inhibition_of_drift_only_nodes_without_a_collector_are_explained_by_a_crash(self):
        load = Caseload()
        load.put(Case(opened()))
        for check, hidden in ((DriftCheck.NODE_COVERAGE, True), (DriftCheck.IMAGE, False)):
            drift = finding(IncidentKind.DRIFT, pod="", differences=(Difference(check, "x", "a", "b"),))
            assert bool(load.hider(Case(opened(drift)))) is hidden

    def test_inhibition_pods_that_never_get_ready_are_one_trouble_with_the_rollout_that_they_hold_up(self):
        load = Caseload()
        coverage = (Difference(DriftCheck.NODE_COVERAGE, "nodes", "a", "b"),)
        drift = Case(opened(finding(IncidentKind.DRIFT, pod="", container="", differences=coverage)))
        stuck = Case(opened(finding(IncidentKind.ROLLOUT_STUCK, pod="", container="")))
        unready = Case(opened(finding(IncidentKind.NOT_READY, container="")))
        for case in (drift, stuck, unready):
            load.put(case)
        assert load.hider(unready) == ""
        assert load.hider(stuck) == load.hider(drift) == unready.incident.name
        # Whoever was told goes on, and everybody else keeps quiet.
        stuck.incident = told(stuck.incident)
        assert (load.hider(stuck), load.hider(unready)) == ("", stuck.incident.name)
        unready.incident = told(unready.incident)
        assert (load.hider(unready), load.hider(stuck)) == ("", unready.incident.name)

    def test_inhibition_a_lost_node_explains_why_its_pods_leave_it_uncovered_but_not_other_nodes(self):
        load = Caseload()
        coverage = (Difference(DriftCheck.NODE_COVERAGE, "nodes", "a", "b"),)
        lost = finding(IncidentKind.NODE_LOST, pod="a-1", container="", owner=Owner(NODE_OWNER, "n-1"))
        load.put(node := Case(opened(lost)))
        for pods, hidden in ((("a-1",), True), (("a-1", "a-2"), False), ((), False)):
            drift = Case(opened(finding(IncidentKind.DRIFT, pod="", container="", differences=coverage, pods=pods)))
            assert load.hider(drift) == (node.incident.name if hidden else "")

    def test_inhibition_nothing_is_hidden_from_those_who_do_not_hear_of_what_hides_it(self):
        load = Caseload()
        load.put(crash := Case(opened()))
        load.put(unready := Case(opened(finding(IncidentKind.NOT_READY, container=""))))
        route = {"name": "oncall", "to": ["a@example.com"]}
        assert load.hider(unready, [Route.model_validate(route)]) == crash.incident.name
        only = Route.model_validate(route | {"name": "readiness", "kinds": ["NotReady"]})
        assert load.hider(unready, [Route.model_validate(route), only]) == ""

    @pytest.mark.parametrize(
        ("rest", "reason", "silenced"),
        [
            (Rest.WAITING_FOR_MORE, Reason.WAITING, "False"),
            (Rest.HELD_FOR_DIGEST, Reason.HELD_FOR_DIGEST, "False"),
            (Rest.THROTTLED, Reason.THROTTLED, "False"),
            (Rest.SILENCED, Reason.SILENCED, "True"),
            (Rest.INHIBITED, Reason.INHIBITED, "False"),
            (Rest.RECIPIENTS_NOT_FOUND, Reason.RECIPIENTS_NOT_FOUND, "False"),
            (None, Reason.NOTIFICATION_PENDING, "False"),
        ],
    )
    def test_saying_nothing_has_a_named_reason_in_the_incident(self, rest, reason, silenced):
        incident = intend(opened(), Transition.FIRED, EPOCH)
        conditions = {item["type"]: item for item in incident_status(incident, (), EPOCH, rest, "x")["conditions"]}
        assert (conditions["Notified"]["status"], conditions["Notified"]["reason"]) == ("False", reason)
        assert conditions["Silenced"]["status"] == silenced

    def test_an_acknowledged_incident_says_so(self):
        incident = replace(told(), is_acknowledged=True, acknowledged_by="ana")
        conditions = {item["type"]: item for item in incident_status(incident, (), EPOCH)["conditions"]}
        assert conditions["Notified"]["reason"] == "Acknowledged"
        waiting = intend(incident, Transition.REPEATED, EPOCH)
        assert decide(waiting, FAILING, PLAN, EPOCH).step is Step.WITHDRAW


class TestEscalation:
    def test_severity_that_rises_is_told_once_more(self):
        worse, outcome = update(told(), finding(IncidentKind.OOM_KILLED, 60, restarts=1))
        assert (outcome, worse.severity) == (Outcome.ESCALATED, Severity.CRITICAL)
        assert decide(worse, FAILING, PLAN, EPOCH + 60 * SECOND).transition is Transition.ESCALATED
        done = settle(intend(worse, Transition.ESCALATED, EPOCH), ("m-2",))
        assert decide(done, FAILING, PLAN, EPOCH + 61 * SECOND).rest is Rest.TOLD

    def test_what_was_critical_when_it_was_told_first_needs_no_second_mail(self):
        worse, _ = update(opened(), finding(IncidentKind.OOM_KILLED, 60, restarts=1))
        assert decide(told(worse), FAILING, PLAN, EPOCH + 60 * SECOND).rest is Rest.TOLD

    def test_a_restart_knows_how_bad_it_was_told(self):
        worse, _ = update(told(), finding(IncidentKind.OOM_KILLED, 60, restarts=1))
        status = incident_status(worse, (), EPOCH)
        assert (status["worst"], status["severity"]) == ("OOMKilled", "Critical")
        assert status["notifications"][0]["severity"] == "Warning"
        assert incident_body(worse)["spec"]["severity"] == "Warning"


class TestRecovery:
    def test_hold_down_what_nobody_can_tell_is_no_proof_of_health(self):
        well = observe(told(), READY, EPOCH)
        assert observe(well, UNKNOWN, EPOCH + SECOND).healthy_since is None

    def test_recovered_mail_that_nobody_got_yet_is_taken_back_when_it_fails_again(self):
        over = resolve(observe(told(), READY, EPOCH), Reason.HEALTHY_AGAIN, PLAN, EPOCH)
        assert decide(over, FAILING, PLAN, EPOCH).step is Step.RELAPSE
        back = relapse(over)
        assert (back.resolution, back.pending, back.flaps) == (None, None, 1)
        crashed, outcome = update(over, finding(at_s=300, restarts=1))
        assert (outcome, crashed.resolution, crashed.flaps) == (Outcome.UPDATED, None, 1)
        under_way = replace(over, is_under_way=True)
        assert update(under_way, finding(at_s=300, restarts=1))[1] is Outcome.BEING_RESOLVED

    def test_flap_damping_counts_how_often_it_failed_again_after_being_well(self):
        incident = told()
        for number in range(1, 4):
            incident = observe(incident, READY, EPOCH + number * 600 * SECOND)
            incident, _ = update(incident, finding(at_s=number * 600 + 300, restarts=number))
        assert incident.flaps == 3
        assert incident_status(incident, (), EPOCH)["flaps"] == 3

    @pytest.mark.parametrize("every_s", [600, 1800])
    def test_flap_damping_a_pod_that_crashes_at_intervals_never_counts_as_recovered(self, every_s):
        incident, ends = told(), 0
        for number in range(1, 8):
            crash_s = number * every_s
            well = observe(incident, READY, EPOCH + (crash_s - every_s + 10) * SECOND)
            decision = decide(well, READY, PLAN, EPOCH + (crash_s - 1) * SECOND)
            if decision.step is Step.RESOLVE:
                ends += 1
                over = resolve(well, Reason.HEALTHY_AGAIN, PLAN, EPOCH + (crash_s - 1) * SECOND)
                past = closed_at(settle(over, ("m",)), EPOCH + (crash_s - 1) * SECOND)
                incident = told(opened(finding(at_s=crash_s, restarts=number, is_live=True), past), crash_s)
            else:
                incident, _ = update(well, finding(at_s=crash_s, restarts=number))
        assert ends <= 1, "only before anybody could know"
        assert incident.interval_s == every_s

    def test_the_hold_has_an_end(self):
        assert hold_s(replace(told(), interval_s=1e9), Health(Standing.GONE), PLAN) == HOLD_MAX_S


class TestHealthByFamily:
    def assess(self, kind: IncidentKind, view: View, **fields) -> Standing:
        incident = opened(finding(kind, **fields))
        return judge(incident, view, EPOCH).standing

    @pytest.mark.parametrize("standing", list(Standing))
    def test_node_rollout_and_drift_are_what_their_own_state_says(self, standing):
        assert self.assess(IncidentKind.NODE_LOST, View(node=standing), owner=Owner(NODE_OWNER, "n")) is standing
        assert self.assess(IncidentKind.ROLLOUT_STUCK, View(rollout=standing), pod="") is standing
        assert self.assess(IncidentKind.DRIFT, View(drift=standing), pod="") is standing

    @pytest.mark.parametrize("kind", [kind for kind, family in FAMILIES.items() if family is not Family.NODE])
    def test_nothing_known_and_a_stale_picture_are_never_proof(self, kind):
        assert self.assess(kind, View(are_fresh=False)) is Standing.UNKNOWN

    def test_unschedulable_is_over_when_it_has_a_node(self):
        waiting = pod(spec={"nodeName": ""}, status={"phase": "Pending", "containerStatuses": []})
        assert self.assess(IncidentKind.UNSCHEDULABLE, View((waiting,))) is Standing.FAILING
        assert self.assess(IncidentKind.UNSCHEDULABLE, View((pod(),))) is Standing.READY

    def test_an_evicted_pod_needs_a_successor_that_is_ready(self):
        gone = pod(status={"phase": "Failed", "reason": "Evicted"})
        made = {"name": "gateway-1", "creationTimestamp": stamp(EPOCH + SECOND)}
        assert self.assess(IncidentKind.EVICTED, View((gone, pod(container(ready=False), **made)))) is Standing.FAILING
        assert self.assess(IncidentKind.EVICTED, View((gone, pod(**made)))) is Standing.REPLACED

    def test_a_pod_on_a_lost_node_looks_as_it_did_when_it_was_last_heard_of(self):
        view = View((pod(),), is_lost=lambda name: name == "node-1")
        assert self.assess(IncidentKind.CONTAINER_ERROR, view) is Standing.FAILING

    def test_a_job_that_gave_up_is_not_well_because_its_pods_are_through(self):
        through = pod(status={"phase": "Failed"})
        assert self.assess(IncidentKind.CONTAINER_ERROR, View((through,))) is Standing.GONE
        assert self.assess(IncidentKind.CONTAINER_ERROR, View((through,), is_given_up=True)) is Standing.FAILING

    def test_a_reported_subprocess_must_be_reported_no_more(self):
        told_so = {"conditions": [{"type": "PipelineDead", "status": "True"}]}
        view = View((pod(status=told_so),), conditions=(("PipelineDead", "True"),))
        assert self.assess(IncidentKind.SUBPROCESS_CRASHED, view, container="") is Standing.FAILING
        assert self.assess(IncidentKind.SUBPROCESS_CRASHED, View((pod(),)), container="") is Standing.READY

    def test_a_container_that_runs_again_is_ready(self):
        assert self.assess(IncidentKind.CONTAINER_ERROR, View((pod(looping(EPOCH)),))) is Standing.FAILING
        again = container(state=running_state(EPOCH - SECOND), restartCount=1)
        assert self.assess(IncidentKind.CONTAINER_ERROR, View((pod(again),))) is Standing.READY


def test_a_crash_after_the_clock_of_its_node_was_set_back_is_news():
    first = told(opened(finding(at_s=3600, restarts=1, end_id="a")))
    again, outcome = update(first, finding(at_s=0, restarts=2, end_id="b"))
    assert (outcome, again.occurrences, again.interval_s) == (Outcome.UPDATED, 2, 0.0)
    assert update(again, finding(at_s=0, restarts=2, end_id="b"))[1] is Outcome.NOTHING_NEW
    assert update(first, finding(at_s=0, restarts=1, end_id="b"))[1] is Outcome.OLDER_THAN_KNOWN


class TestRoutes:
    def route(self, **fields) -> Route:
        return Route.model_validate({"name": "oncall", "to": ["a@example.com"]} | fields)

    def test_severity_routing_takes_what_is_bad_enough_of_the_kinds_it_wants(self):
        warning, critical = told(), told(opened(finding(IncidentKind.OOM_KILLED)))
        assert takes(self.route(), warning)
        assert not takes(self.route(minSeverity="Critical"), warning)
        assert takes(self.route(minSeverity="Critical"), critical)
        assert takes(self.route(kinds=["OOMKilled"]), critical)
        assert not takes(self.route(kinds=["Drift"]), critical)

    def test_an_end_goes_only_to_who_wants_ends_but_what_a_silence_hid_is_news(self):
        over = resolve(told(), Reason.HEALTHY_AGAIN, PLAN, EPOCH)
        assert not takes(self.route(resolved="Omit"), over)
        hidden = resolve(silence(opened(), NIGHT), Reason.HEALTHY_AGAIN, PLAN, EPOCH, NIGHT)
        assert takes(self.route(resolved="Omit"), hidden)

    def test_addresses_are_read_as_people_write_them(self):
        good, bad = read_addresses('# team\na@example.com, "Ng, Ana" <b@example.com>;\r\nc@example.com\nnobody\n')
        assert good == ("a@example.com", '"Ng, Ana" <b@example.com>', "c@example.com")
        assert len(bad) == 1


class TestNames:
    def test_the_next_digest_of_a_route_has_one_name_whatever_it_lists(self):
        names = {digest_name("p", BatchMark(uid, route, number)) for uid in "ab" for route in "rs" for number in (1, 2)}
        assert len(names) == 8

    def test_members_and_marks_are_read_back(self):
        members = tuple(Member(f"i-{number}", number, Transition.FIRED) for number in range(1, 4))
        assert read_members(members_text(members)) == members
        assert read_members("x,y:1,z:-1:Fired,i:1:Nothing,") == ()
        mark = BatchMark("uid/with/slashes".replace("/", "-"), "oncall", 7)
        assert read_mark(str(mark)) == mark
        assert read_mark("nothing") is None

    def test_delivery_over_restart_a_telling_that_a_mail_lists_is_under_way_and_keeps_its_thread(self):
        incident = replace(opened(), notifications=())
        sent = Sent(
            "digest", "obs", BatchMark("uid-1", "a", 3), (Member(incident.name, 1, Transition.FIRED),), EPOCH, "other"
        )
        outgone = Outgone()
        outgone.add((sent,), EPOCH)
        case = Case(incident)
        outgone.settle(case)
        assert (case.incident.is_under_way, case.incident.thread, case.sent_of(1)) == (True, "other", {"a": "digest"})
        assert outgone.chains == {("uid-1", "a"): 3}

    def test_an_incident_about_no_container_names_none(self):
        body = incident_body(opened(finding(IncidentKind.EVICTED, container="")))
        assert "container" not in body["spec"]
        assert record_of(body | {"metadata": {"name": "x", "namespace": "obs", "uid": "u"}}).spec.container == ""
