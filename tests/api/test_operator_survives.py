"""The process is killed, the API server vanishes: everything is told, nothing twice but a mail whose last reply was lost."""

import asyncio
import random

from collectorrig import condition
from faultproxy import Answer, FaultProxy, LoseReply
from operatorrig import stays, until, world

OWNERS = 30
KILLS = 6


async def test_killed_again_and_again_in_a_storm_it_loses_nothing_and_doubles_at_most_one_mail_a_kill(
    control_plane, namespace, tmp_path
):
    seed = random.randrange(2**32)  # noqa: S311 - a kill's moment is no secret
    print(f"seed {seed}")  # noqa: T201 - to play a failure again
    chance = random.Random(seed)  # noqa: S311 - see above
    async with world(control_plane, namespace, tmp_path) as at:
        await at.connector()
        each = {"waitSeconds": 0, "resolveAfterSeconds": 3600, "maxIncidentsPerMessage": 1}
        await at.policy(grouping=each, throttle={"messagesPerHour": 1000})
        for number in range(OWNERS):
            await at.pod(f"pod-{number}", owner=f"owner-{number}")
        storm = asyncio.create_task(_storm(at, chance))
        for kill in range(KILLS):
            async with at.operator(name=f"killed-{kill}", is_impatient=True) as operator:
                await _more_mails(at, chance.randint(1, 4))
                await asyncio.sleep(chance.random() * 0.05)
                operator.kill()
        await storm
        async with at.operator(name="last", is_impatient=True):
            messages = await at.settled(OWNERS)
            await stays(lambda: True, "a late double has time to come", 0.5)
        incidents = await at.listed("CollectorIncident")
        assert {one["spec"]["owner"]["name"] for one in incidents} == {f"owner-{n}" for n in range(OWNERS)}
        told = [(one["metadata"]["name"], one["status"].get("notifications")) for one in incidents]
        assert len(incidents) == len(messages) == OWNERS, told
        came = at.message_ids()
        results = {_id(one): condition(one, "Succeeded")["reason"] for one in messages}
        # Who is killed twice over one and the same mail does not know whether it went out, says so, and asks for no third copy.
        unknown = {name for name, reason in results.items() if reason == "OutcomeUnknown"}
        assert set(results.values()) <= {"AcceptedByServer", "OutcomeUnknown"}
        assert len(unknown) <= KILLS // 2
        assert results.keys() - unknown <= came.keys() <= results.keys()
        assert sum(came.values()) - len(came) <= KILLS
        assert max(came.values()) <= 2


def _id(message):
    return f"<{message['status']['messageID'].strip('<>')}>"


async def _more_mails(at, count):
    wanted = len(at.inbox.messages) + count
    await until(lambda: len(at.inbox.messages) >= min(wanted, OWNERS), "some mails come")


async def _storm(at, chance):
    for number in range(OWNERS):
        await at.crash(f"pod-{number}")
        await asyncio.sleep(chance.random() * 0.5)


async def test_an_api_server_that_is_gone_for_a_moment_is_waited_out_and_nothing_is_told_twice(
    control_plane, namespace, tmp_path
):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        FaultProxy(control_plane.url, control_plane.ca_pem) as proxy,
        at.operator(kubeconfig=at.kubeconfig_at(proxy.url)) as operator,
    ):
        await operator.ready()
        await at.connector()
        await at.policy()
        for owner in ("before", "meanwhile", "after"):
            await at.pod(f"{owner}-1", owner=owner)
        await at.has("CollectorPolicy", "collectors", "Ready", "True")
        await at.crash("before-1")
        await at.settled(1)
        proxy.plan = lambda _: Answer(503)
        proxy.cut_all()
        await at.crash("meanwhile-1")
        asked = len(proxy.requests)
        await until(lambda: len(proxy.requests) > asked + 5, "the operator asked in vain")
        lost = []

        def lose_first_create(request):
            if request.method == "POST" and request.path.endswith(("emailmessages", "collectorincidents")):
                lost.append(request.path.rsplit("/", 1)[1])
                return LoseReply() if lost.count(lost[-1]) == 1 else None
            return None

        proxy.plan = lose_first_create
        await at.settled(2)
        await at.crash("after-1")
        await at.settled(3)
        await at.make("SmtpConnector", "second", at.connector_spec())
        await at.has("SmtpConnector", "second", "Ready", "True")
        assert set(lost) == {"emailmessages", "collectorincidents"}
        assert len(await at.listed("CollectorIncident")) == 3
        assert set(at.message_ids().values()) == {1}
        assert len(at.inbox.messages) == 3
        assert operator.returncode is None
