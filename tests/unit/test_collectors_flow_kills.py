"""The whole route of tellings, killed at any call to the API server and started again: each mail lists each telling once, and in the end all is told.

The objects live in a plain store in place of an API server: a thousand lives, each with its deaths, need one that is quick.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collectorrig import mail_of, policy_body
from podrig import EPOCH, container, looping, pod, running_state, stamp
from watchbell.api import names
from watchbell.api.enums import Severity, Transition
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.casework.health import View
from watchbell.collectors.casework.naming import read_members
from watchbell.collectors.casework.recovery import MailPage, Outgone, case_of, record_of, sent_of
from watchbell.collectors.casework.surroundings import Surroundings
from watchbell.collectors.desk import Desk
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.mailing.clues import Clues
from watchbell.collectors.mailing.recipients import Recipients
from watchbell.collectors.mailing.telling import Teller
from watchbell.collectors.mailing.wording import Wording
from watchbell.collectors.policies import read_policy
from watchbell.collectors.seen.pod import Owner, Pod, owner_of
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.silencing.silences import IncidentFacts, Silence
from watchbell.kube.errors import AlreadyExists, NotFound, Unreachable

ROUTES = ("oncall", "team")
OWNERS = tuple(f"w{number}" for number in range(5))


class KilledError(BaseException):
    """The process is dead: nothing that it does from now on has any effect."""


class Store:
    """Objects by kind and name. `deadline` calls from now the process dies, before the call has an effect, or (`is_late`) after it.

    With `is_lost_reply` it does not die, but the reply is lost.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {"collectorincidents": {}, "emailmessages": {}}
        self.deadline: int | None = None
        self.is_late = self.is_lost_reply = self.is_dead = False
        self.made = 0

    def arm(self, deadline: int | None, *, is_late: bool = False, is_lost_reply: bool = False) -> None:
        self.deadline, self.is_late, self.is_lost_reply, self.is_dead = deadline, is_late, is_lost_reply, False

    def _reached(self) -> bool:
        if self.deadline is None:
            return False
        self.deadline -= 1
        return self.deadline < 0

    def _before(self) -> bool:
        if self.is_dead:
            raise KilledError
        is_reached = self._reached()
        if is_reached and not self.is_late and not self.is_lost_reply:
            self.is_dead = True
            raise KilledError
        return is_reached

    def _after(self, *, is_reached: bool) -> None:
        if is_reached and self.is_lost_reply:
            self.deadline = None
            raise Unreachable("the reply was lost")
        if is_reached:
            self.is_dead = True
            raise KilledError

    is_busy = False

    async def create(self, resource, body, namespace=None, *, brief=False):
        is_reached = self._before()
        kind = self.objects[resource.plural]
        name = body["metadata"]["name"]
        if name in kind:
            raise AlreadyExists(409, "AlreadyExists", name)
        self.made += 1
        stored = msgspec.json.decode(msgspec.json.encode(body))
        stored["metadata"] |= {"uid": f"u{self.made}", "creationTimestamp": stamp(EPOCH)}
        kind[name] = stored
        await asyncio.sleep(0)
        self._after(is_reached=is_reached)
        return stored

    async def get(self, resource, name, namespace=None):
        is_reached = self._before()
        found = self.objects[resource.plural].get(name)
        if found is None:
            raise NotFound(404, "NotFound", name)
        self._after(is_reached=is_reached)
        return found

    async def apply_status(self, resource, name, status, namespace=None, **_options):
        is_reached = self._before()
        self.objects[resource.plural][name]["status"] = msgspec.json.decode(msgspec.json.encode(status))
        await asyncio.sleep(0)
        self._after(is_reached=is_reached)
        return {}


class Muffler:
    """One silence that mutes everything while it lasts."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.silence: Silence | None = None
        self.settled = 0

    def begin(self, number: int) -> None:
        end = self.now + timedelta(days=9)
        self.silence = Silence(("obs", f"night-{number}"), f"s{number}", (), self.now, end, "maintenance", "me", None)

    def muting(self, _namespace: str, _facts: IncidentFacts) -> Silence | None:
        return self.silence if self.silence and self.now < self.silence.end else None

    def find(self, _namespace: str, name: str) -> Silence | None:
        return self.silence if self.silence and self.silence.key[1] == name else None

    def ended(self, _namespace: str) -> tuple[Silence, ...]:
        return (self.silence,) if self.silence and self.now >= self.silence.end else ()

    def told(self, _key: tuple[str, str]) -> None:
        self.settled += 1

    def counted(self, key: tuple[str, str]) -> None:
        assert key[0] == "obs"


class Sink:
    def submit(self, body: dict[str, Any]) -> None:
        assert body["metadata"]["uid"]


class Quiet:
    def emit(self, *_arguments: Any, **_fields: Any) -> None:
        return


class Life(RuleBasedStateMachine):
    @initialize(
        most=st.sampled_from([1, 2, 50]),
        budget=st.sampled_from([2, 30, 1000]),
        severity=st.sampled_from([Severity.WARNING, Severity.CRITICAL]),
    )
    def begin(self, most: int, budget: int, severity: Severity) -> None:
        self.now, self.store, self.muffler = EPOCH, Store(), Muffler()
        body = policy_body(
            grouping={
                "waitSeconds": 5,
                "periodSeconds": 300,
                "resolveAfterSeconds": 60,
                "repeatSeconds": 7200,
                "maxIncidentsPerMessage": most,
            },
            throttle={"messagesPerHour": budget},
            severity={"default": str(severity)},
            routes=[
                {"name": "oncall", "to": ["a@example.com"]},
                {"name": "team", "to": ["b@example.com"], "resolved": "Omit"},
            ],
        )
        body["metadata"] |= {"uid": "p", "generation": 1, "creationTimestamp": stamp(EPOCH - timedelta(days=30))}
        self.policy = read_policy(body)
        assert not self.policy.problems
        self.pods: dict[str, Pod] = {owner: self._well(owner) for owner in OWNERS}
        self.number = 0
        self._start()

    def _well(self, owner: str, restarts: int = 0) -> Pod:
        return pod(
            container(state=running_state(self.now), restartCount=restarts),
            name=f"{owner}-0",
            ownerReferences=_own(owner),
        )

    # --- the process

    def _start(self) -> None:
        """As after a kill: memory is what the objects say."""
        self.store.arm(None)
        self.load = Caseload()
        watches = PodWatches(self.store, on_pod=lambda *_: None)
        around = Surroundings(
            client=self.store,
            watches=watches,
            load=self.load,
            silences=self.muffler,
            recorder=Quiet(),
            clock=self._seconds,
            now=lambda: self.now,
            leading=lambda: not self.store.is_dead,
            is_busy=bool,
            policy=lambda _key: self.policy,
            view=self._view,
            survey=lambda policy, group: self._see(group.owner.name),
            on_change=lambda _key: None,
            requeue=lambda _key: None,
        )
        watches.is_synced = lambda _scope: True
        teller = Teller(
            self.store,
            watches,
            Sink(),
            lambda: self.now,
            "",
            Recipients(self.store, around.clock, print),
            Wording(print),
        )
        self.desk = Desk(around, teller, Clues(self.store, watches))
        outgone = Outgone()
        page = msgspec.convert({"items": list(self.store.objects["emailmessages"].values())}, MailPage)
        outgone.add(sent_of(page, self.now), EPOCH)
        teller.chains.update(outgone.chains)
        for body in self.store.objects["collectorincidents"].values():
            record = record_of(body)
            if record.past is not None:
                self.load.end(record.spec.fingerprint, record.past)
                continue
            case = case_of(record, self.policy, self.now)
            outgone.settle(case)
            self.load.put(case)
        for owner in OWNERS:
            self._see(owner)

    def _seconds(self) -> float:
        return (self.now - EPOCH).total_seconds()

    def _view(self, _policy: Any, incident: Any) -> View:
        return View(tuple(one for one in self.pods.values() if owner_of(one) == incident.group.owner))

    def _see(self, owner: str) -> None:
        if owner in self.pods:
            rules = self.policy.rules_at(self.now)
            self.load.absorb(self.policy, detect(None, self.pods[owner], rules, self.now).findings)

    async def _round(self) -> None:
        for fingerprint in tuple(self.load.cases):
            await self._try(self.desk.work(fingerprint))
        await self._try(self.desk.mailroom._work(self.policy.key))
        for case in tuple(self.load.cases.values()):
            if case.dirty_since is not None and case.incident.uid:
                await self._try(self.desk.statuses.write(case))
        self.desk.settle_silences("obs")

    @staticmethod
    async def _try(work: Any) -> None:
        """As a queue does: what the API server does not answer is tried again."""
        try:
            await work
        except Unreachable:
            return

    def _work(self, rounds: int) -> None:
        async def go() -> None:
            for _ in range(rounds):
                await self._round()

        try:
            asyncio.run(go())
        except KilledError:
            self._start()

    # --- what happens

    @rule(owner=st.sampled_from(OWNERS))
    def a_workload_crashes(self, owner: str) -> None:
        self.now += timedelta(seconds=1)
        self.number += 1
        self.pods[owner] = pod(looping(self.now, self.number), name=f"{owner}-0", ownerReferences=_own(owner))
        self._see(owner)

    @rule(count=st.integers(2, 5))
    def a_storm(self, count: int) -> None:
        for owner in OWNERS[:count]:
            self.a_workload_crashes(owner)

    @rule(owner=st.sampled_from(OWNERS))
    def a_workload_recovers(self, owner: str) -> None:
        self.now += timedelta(seconds=1)
        self.pods[owner] = self._well(owner, self.number)

    @rule(seconds=st.sampled_from([1, 6, 90, 301, 1000, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.muffler.now = self.now

    @rule()
    def a_silence_begins(self) -> None:
        self.muffler.now = self.now
        if self.muffler.silence is None or self.muffler.ended("obs"):
            self.number += 1
            self.muffler.begin(self.number)

    @rule()
    def the_silence_ends(self) -> None:
        if self.muffler.silence is not None:
            self.muffler.silence = replace(self.muffler.silence, end=min(self.muffler.silence.end, self.now))
            self.muffler.now = self.now

    @rule(rounds=st.integers(1, 4))
    def it_works(self, rounds: int) -> None:
        self.store.arm(None)
        self._work(rounds)

    @rule(calls=st.integers(0, 12), is_late=st.booleans())
    def it_is_killed_at_some_call(self, calls: int, is_late: bool) -> None:
        self.store.arm(calls, is_late=is_late)
        self._work(3)
        self._start()

    @rule(count=st.integers(2, 5), calls=st.integers(0, 6), is_late=st.booleans(), is_lost_reply=st.booleans())
    def it_dies_while_a_storm_is_told(self, count: int, calls: int, is_late: bool, is_lost_reply: bool) -> None:
        """Chance alone finds these few lines too rarely."""
        self.a_storm(count)
        self.it_works(1)
        self.time_passes(301)
        self.store.arm(calls, is_late=is_late, is_lost_reply=is_lost_reply)
        self._work(2)
        self._start()

    @rule(owner=st.sampled_from(OWNERS), calls=st.integers(0, 6), is_late=st.booleans())
    def it_dies_while_recovery_is_told(self, owner: str, calls: int, is_late: bool) -> None:
        for each in (owner, OWNERS[0], OWNERS[1]):
            self.a_workload_recovers(each)
        self.it_works(1)
        self.time_passes(4000)
        self.store.arm(calls, is_late=is_late)
        self._work(2)
        self._start()

    @rule(calls=st.integers(0, 8))
    def a_reply_is_lost(self, calls: int) -> None:
        self.store.arm(calls, is_lost_reply=True)
        self._work(3)
        self.store.arm(None)

    # --- what must hold

    def _tellings(self) -> Iterator[tuple[str, str, int, Transition]]:
        for body in self.store.objects["emailmessages"].values():
            annotations = body["metadata"]["annotations"]
            route = annotations[names.ANNOTATION_BATCH].split("/")[1]
            for member in read_members(annotations[names.ANNOTATION_INCIDENTS]):
                yield route, member.incident, member.sequence, member.transition

    @invariant()
    def no_telling_is_in_two_mails(self) -> None:
        if not hasattr(self, "store"):
            return
        seen = [(route, incident, sequence) for route, incident, sequence, _ in self._tellings()]
        assert len(seen) == len(set(seen))

    @invariant()
    def a_mail_that_lists_shows_every_incident_that_it_settles(self) -> None:
        if not hasattr(self, "store"):
            return
        for body in self.store.objects["emailmessages"].values():
            members = read_members(body["metadata"]["annotations"][names.ANNOTATION_INCIDENTS])
            if len(members) > 1:
                (table,) = mail_of(body).attachments
                assert all(member.incident in table.text for member in members)
            assert len(body["metadata"]["ownerReferences"]) == len(members)

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.store.arm(None)
        if self.muffler.silence is not None:
            self.the_silence_ends()
        for _ in range(8):
            self.now += timedelta(seconds=3700)
            self.muffler.now = self.now
            self._work(6)
        told = {(route, incident) for route, incident, _, _ in self._tellings()}
        for name, body in self.store.objects["collectorincidents"].items():
            assert {(route, name) for route in ROUTES} <= told, f"{name} was never told: {body.get('status')}"
            transitions = [item[3] for item in self._tellings() if item[:2] == ("oncall", name)]
            is_over = record_of(body).past is not None
            assert transitions.count(Transition.FIRED) <= 1
            assert transitions.count(Transition.RESOLVED) == is_over
        failing = {owner for owner, one in self.pods.items() if one.status.container_statuses[0].waiting_reason}
        open_owners = {case.incident.group.owner for case in self.load.cases.values()}
        assert open_owners == {Owner("Deployment", owner) for owner in failing}


def _own(owner: str) -> list[dict[str, Any]]:
    name = f"{owner}-6b7f9"
    return [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": name, "controller": True}]


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_delivery_over_a_lost_reply_a_digest_is_not_made_again_under_the_next_number() -> None:
    life = Life()
    life.begin(most=2, budget=2, severity=Severity.WARNING)
    life.it_dies_while_a_storm_is_told(calls=0, count=4, is_late=False, is_lost_reply=True)
    life.no_telling_is_in_two_mails()
    life.teardown()
