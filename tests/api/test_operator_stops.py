"""How the process ends, and how another takes over: a signal is obeyed within seconds, a kill is made good within the lease's time."""

import time
from contextlib import AsyncExitStack

import pytest

from faultproxy import Answer, FaultProxy, Hang
from operatorrig import condition, slow_data, until, world
from watchbell.kube.client import CONFIGMAPS

LEASE_S = 4
REPLICA = ("--leader-elect", f"--lease-seconds={LEASE_S}")


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
        asked = time.monotonic()
        operator.terminate()
        assert await operator.ended(within_s=8) == 0
        assert time.monotonic() - asked < 6
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
        assert time.monotonic() - asked < 4
        assert "watchbell stopped" in operator.text
        assert '"level":"warning"' not in operator.text
        assert "Unclosed" not in operator.text


@pytest.mark.parametrize("ending", ["kill", "terminate"])
async def test_of_two_replicas_one_works_and_when_it_ends_the_other_does(control_plane, namespace, tmp_path, ending):
    async with world(control_plane, namespace, tmp_path) as at, AsyncExitStack() as stack:
        first = await stack.enter_async_context(at.operator(*REPLICA, name="first"))
        await until(first.is_leading, "the first leads")
        second = await stack.enter_async_context(at.operator(*REPLICA, name="second"))
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
        gone = time.monotonic()
        getattr(first, ending)()
        await at.crash("two-1")
        await at.settled(2, within_s=LEASE_S + 6)
        took_s = time.monotonic() - gone
        assert took_s < (LEASE_S + 2 if ending == "kill" else 3)
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
            await at.connector()
            await at.policy()
            for owner in ("one", "two", "three"):
                await at.pod(f"{owner}-1", owner=owner)
            await first.ready()
            await second.ready()
            await at.has("CollectorPolicy", "collectors", "Ready", "True")
            await at.crash("one-1")
            await at.settled(1)
            await at.crash("two-1")
            proxy.plan = lambda _: Hang()
            proxy.cut_all()
            await at.crash("three-1")
            await at.settled(3, within_s=LEASE_S + 8)
            assert await second.is_leading()
            assert await first.ended(within_s=25) == 1
            assert "the lease was lost" in first.text
            assert len(at.message_ids()) == 3
            assert sum(at.message_ids().values()) == 3
