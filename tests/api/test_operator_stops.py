"""How the process ends, and how another takes over: a signal is obeyed within seconds, a kill is made good within the lease's time."""

import signal
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from faultproxy import Answer, FaultProxy, Hang
from kuberig import client_of, fresh_namespace, running
from operatorrig import condition, slow_data, until, world
from watchbell.kube.client import CONFIGMAPS, LEASES
from watchbell.kube.lease import LeaseElector
from watchbell.runtime import DRAIN_S

LEASE_S = 4
REPLICA = ("--leader-elect", f"--lease-seconds={LEASE_S}")
PATIENT_REPLICA = ("--leader-elect", "--lease-seconds=120")
"""Whoever takes over from it within a minute was told so, and did not wait for the lease's end."""


async def all_ready(at, operators, owners, **policy):
    """A connector, a policy and a pod `<owner>-1` of each workload, seen by every replica."""
    await at.connector()
    await at.policy(**policy)
    for owner in owners:
        await at.pod(f"{owner}-1", owner=owner)
    for operator in operators:
        await operator.ready()
    await at.has("CollectorPolicy", "collectors", "Ready", "True")


async def test_a_signal_ends_it_with_the_mail_under_way_finished_and_the_lease_released(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at, at.operator(*REPLICA) as operator:
        await at.connector()
        await at.policy()
        await at.pod("gateway-a")
        await operator.ready()
        await at.has("SmtpConnector", "default", "Ready", "True")
        await at.has("CollectorPolicy", "collectors", "Ready", "True")
        assert await at.holder()
        pending = slow_data(at.inbox, 1.0)
        await at.crash("gateway-a")
        await until(pending, "the relay thinks about the mail")
        operator.terminate()
        assert await operator.ended() == 0
        assert len(at.inbox.messages) == 1
        (message,) = await at.listed("EmailMessage")
        assert condition(message, "Succeeded")["reason"] == "AcceptedByServer"
        assert await at.holder() == ""
        journal = await at.client.get(CONFIGMAPS, "watchbell-outbox-journal", at.home)
        assert not journal.get("data")
        assert '"level":"error"' not in operator.text
        assert "Traceback" not in operator.text


async def test_idle_it_ends_at_once_and_leaves_no_warning(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator("--log-level=debug") as operator:
        await operator.ready()
        asked = time.monotonic()
        operator.terminate()
        assert await operator.ended() == 0
        assert time.monotonic() - asked < DRAIN_S, "there was nothing to wait for"
        assert "watchbell stopped" in operator.text
        assert '"level":"warning"' not in operator.text
        assert "Unclosed" not in operator.text


@pytest.mark.parametrize(("ending", "flags"), [("kill", REPLICA), ("terminate", PATIENT_REPLICA)])
async def test_of_two_replicas_one_works_and_when_it_ends_the_other_does(
    control_plane, namespace, tmp_path, ending, flags
):
    async with world(control_plane, namespace, tmp_path) as at, AsyncExitStack() as stack:
        first = await stack.enter_async_context(at.operator(*flags, name="first"))
        await until(first.is_leading, "the first leads")
        second = await stack.enter_async_context(at.operator(*flags, name="second"))
        await at.connector()
        await at.policy()
        for owner in ("one", "two"):
            await at.pod(f"{owner}-1", owner=owner)
        await first.ready()
        await second.ready()
        await at.has("SmtpConnector", "default", "Ready", "True")
        await at.crash("one-1")
        await at.settled(1)
        assert not await second.is_leading()
        assert "mail" not in [line.partition('"msg":"')[2].partition('"')[0] for line in second.text.splitlines()]
        getattr(first, ending)()
        await at.crash("two-1")
        await at.settled(2)
        assert await second.is_leading()
        assert set(at.message_ids().values()) == {1}
        assert len(await at.listed("CollectorIncident")) == 2
        second.terminate()
        assert await second.ended() == 0
        assert await at.holder() == ""


@pytest.mark.parametrize("fault", [Hang(), Answer(503)])
async def test_a_signal_is_obeyed_even_when_the_api_server_does_not_answer(control_plane, namespace, tmp_path, fault):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        FaultProxy(control_plane.url, control_plane.ca_pem) as proxy,
        at.operator(*REPLICA, kubeconfig=at.kubeconfig_at(proxy.url)) as operator,
    ):
        await at.connector()
        await at.policy()
        await at.pod("gateway-a")
        await operator.ready()
        await at.has("CollectorPolicy", "collectors", "Ready", "True")
        await at.crash("gateway-a")
        await at.settled(1)
        proxy.plan = lambda _: fault
        operator.terminate()
        assert await operator.ended(within_s=20) == 0
        assert "Traceback" not in operator.text


async def test_a_leader_that_is_cut_off_ends_and_the_other_sends_and_nothing_is_sent_twice(
    control_plane, namespace, tmp_path
):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        FaultProxy(control_plane.url, control_plane.ca_pem) as proxy,
        at.operator(*REPLICA, kubeconfig=at.kubeconfig_at(proxy.url), name="first") as first,
    ):
        await until(first.is_leading, "the first leads")
        async with at.operator(*REPLICA, name="second") as second:
            await all_ready(at, (first, second), ("one", "two", "three"))
            await at.crash("one-1")
            await at.settled(1)
            await at.crash("two-1")
            proxy.plan = lambda _: Hang()
            proxy.cut_all()
            await at.crash("three-1")
            await at.settled(3)
            assert await second.is_leading()
            assert await first.ended(within_s=25) == 1
            assert "the lease was lost" in first.text
            assert len(at.message_ids()) == 3
            assert sum(at.message_ids().values()) == 3


async def test_a_leader_that_stood_still_for_longer_than_its_lease_sends_nothing_more_when_it_goes_on(
    control_plane, namespace, tmp_path
):
    """As a node does that hangs, or a virtual machine that is moved: the process knows nothing of the time that went by."""
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator(*REPLICA, name="first") as first,
    ):
        await until(first.is_leading, "the first leads")
        async with at.operator(*REPLICA, name="second") as second:
            await all_ready(at, (first, second), ("one", "two", "three"))
            await at.crash("one-1")
            await at.settled(1)
            first.signal(signal.SIGSTOP)
            try:
                await at.crash("two-1")
                await at.settled(2)
                assert await second.is_leading()
            finally:
                first.signal(signal.SIGCONT)
            assert await first.ended() == 1
            await at.crash("three-1")
            await at.settled(3)
            assert "the lease was lost" in first.text
            assert len(at.message_ids()) == 3
            assert sum(at.message_ids().values()) == 3


async def test_a_leader_that_stood_still_in_the_middle_of_a_mail_leaves_at_most_one_for_each_connection_in_doubt(
    control_plane, namespace, tmp_path
):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator(*REPLICA, name="first", is_impatient=True) as first,
    ):
        await until(first.is_leading, "the first leads")
        async with at.operator(*REPLICA, name="second", is_impatient=True) as second:
            each = {"waitSeconds": 0, "maxIncidentsPerMessage": 1}
            await all_ready(at, (first, second), [f"o{number}" for number in range(6)], grouping=each)
            pending = slow_data(at.inbox, 1.0)
            for number in range(6):
                await at.crash(f"o{number}-1")
            await until(pending, "the relay thinks about a mail")
            first.signal(signal.SIGSTOP)
            try:
                await at.settled(6)
            finally:
                first.signal(signal.SIGCONT)
            assert await first.ended() == 1
            assert len(at.message_ids()) == 6
            assert sum(at.message_ids().values()) <= 6 + 2, "the connector has two connections"


@pytest.mark.parametrize("shift", ["-3 hours", "+3 hours"])
async def test_the_lease_goes_by_no_wall_clock(control_plane, shift):
    """Two replicas whose clocks differ by hours agree on who leads: each counts from when it saw the other's last change."""
    hours = timedelta(hours=int(shift.split()[0]))
    async with client_of(control_plane) as one, client_of(control_plane) as two, fresh_namespace(one) as namespace:
        first = LeaseElector(one, namespace, "watchbell", "first", lease_seconds=2)
        second = LeaseElector(
            two, namespace, "watchbell", "second", lease_seconds=2, now=lambda: datetime.now(UTC) + hours
        )
        async with running(first.run()) as tasks:
            await until(first.leading.is_set, "the first leads")
            async with running(second.run()):
                seen = await two.get(LEASES, "watchbell", namespace)
                await until(lambda: second._live is not None, "the second saw it")

                async def is_renewed() -> bool:
                    return (await two.get(LEASES, "watchbell", namespace))["spec"]["renewTime"] > seen["spec"][
                        "renewTime"
                    ]

                await until(is_renewed, "the first renewed it")
                assert first.leading.is_set()
                assert not second.leading.is_set()
                tasks[0].cancel()
                await until(second.leading.is_set, "the second leads")
