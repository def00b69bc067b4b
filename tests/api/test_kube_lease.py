import asyncio
import contextlib
import sys
import time
from contextlib import asynccontextmanager

from faultproxy import Hang, LoseReply
from kuberig import client_of, fresh_namespace, proxied, running, until
from watchbell.kube.client import LEASES, Client
from watchbell.kube.lease import LeaseElector

LEASE_S = 2.0
NAME = "watchbell"


def elector(client: Client, namespace: str, identity: str, lease_s: float = LEASE_S, **options) -> LeaseElector:
    return LeaseElector(client, namespace, NAME, identity, lease_seconds=lease_s, **options)


@asynccontextmanager
async def stage(plane):
    """Two clients and a namespace: (leader's proxy, leader's client, other's client, namespace)."""
    async with (
        proxied(plane) as (proxy, shaky),
        client_of(plane) as sound,
        fresh_namespace(sound) as namespace,
    ):
        yield proxy, shaky, sound, namespace


async def test_of_two_electors_one_leads_and_the_other_takes_over_at_once_after_a_release(control_plane):
    async with stage(control_plane) as (_, one, two, namespace):
        lease_s = 100.0
        first, second = (
            elector(client, namespace, name, lease_s) for client, name in ((one, "first"), (two, "second"))
        )
        async with running(first.run()) as tasks:
            await asyncio.wait_for(first.wait_leading(), 30)
            assert first.covers(0.3)
            assert not first.covers(lease_s)
            async with running(second.run()):
                await until(lambda: second._live is not None)
                assert not second.leading.is_set()
                assert not second.covers(0)
                tasks[0].cancel()
                await asyncio.wait_for(second.wait_leading(), 30)
        body = await two.get(LEASES, NAME, namespace)
        assert body["spec"]["leaseTransitions"] == 1
        assert not body["spec"].get("holderIdentity")


async def test_a_leader_that_is_cut_off_stops_before_another_may_start(control_plane):
    history = []
    async with stage(control_plane) as (proxy, shaky, sound, namespace):
        first = elector(shaky, namespace, "first", on_lose=lambda: history.append("first lost"))
        second = elector(sound, namespace, "second", on_gain=lambda: history.append("second gained"))
        async with running(first.run()):
            await asyncio.wait_for(first.wait_leading(), 30)
            async with running(second.run()):
                await until(lambda: any(request.method == "PUT" for request in proxy.requests))
                proxy.plan = lambda _request: Hang()
                proxy.cut_all()
                while not second.leading.is_set():
                    assert not (first.covers(0) and second.covers(0))
                    await asyncio.sleep(0.005)
                assert not first.covers(0)
        assert history[:2] == ["first lost", "second gained"]


async def test_a_lost_reply_to_a_renewal_is_no_loss_of_the_lease(control_plane):
    lost = []
    async with stage(control_plane) as (proxy, shaky, _, namespace):
        faults = [LoseReply()]
        first = elector(shaky, namespace, "first", 10.0, on_lose=lambda: lost.append(1))
        async with running(first.run()):
            await asyncio.wait_for(first.wait_leading(), 30)
            proxy.plan = lambda request: faults.pop() if request.method == "PUT" and faults else None
            await until(lambda: not faults)
            ends = first.valid_until
            await until(lambda: first.valid_until > ends)
            assert first.leading.is_set()
            assert not lost


async def test_an_annotation_by_somebody_else_is_no_loss_and_is_kept(control_plane):
    async with stage(control_plane) as (_, one, two, namespace):
        first = elector(one, namespace, "first", 10.0)
        async with running(first.run()):
            await asyncio.wait_for(first.wait_leading(), 30)
            await two.patch(LEASES, NAME, {"metadata": {"annotations": {"note": "kept"}}}, namespace)
            ends = first.valid_until
            await until(lambda: first.valid_until > ends + LEASE_S / 5)
            assert first.leading.is_set()
        assert (await two.get(LEASES, NAME, namespace))["metadata"]["annotations"] == {"note": "kept"}


async def test_a_lease_that_another_wrote_over_is_lost_at_the_next_renewal(control_plane):
    async with stage(control_plane) as (_, one, two, namespace):
        first = elector(one, namespace, "first")
        async with running(first.run()):
            await asyncio.wait_for(first.wait_leading(), 30)
            await two.patch(
                LEASES, NAME, {"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 30}}, namespace
            )
            await until(lambda: not first.leading.is_set(), LEASE_S)
            assert not first.covers(0)


async def test_a_deleted_lease_leaves_its_holder_the_time_it_believes_to_have(control_plane):
    async with stage(control_plane) as (proxy, shaky, sound, namespace):
        first, second = elector(shaky, namespace, "first"), elector(sound, namespace, "second")
        async with running(first.run()):
            await asyncio.wait_for(first.wait_leading(), 30)
            async with running(second.run()):
                await until(lambda: second._live is not None)
                proxy.plan = lambda _request: Hang()
                proxy.cut_all()
                await sound.delete(LEASES, NAME, namespace)
                while not second.leading.is_set():
                    assert not (first.covers(0) and second.covers(0))
                    await asyncio.sleep(0.005)
                assert not first.covers(0)


HOLDER = """
import asyncio, sys
from watchbell.kube.access import load_access
from watchbell.kube.client import Client
from watchbell.kube.lease import LeaseElector

async def main():
    client = Client(load_access(sys.argv[1]))
    elector = LeaseElector(client, sys.argv[2], "watchbell", "doomed", lease_seconds=2.0, on_gain=lambda: print("leading", flush=True))
    await elector.run()

asyncio.run(main())
"""


async def test_after_kill_9_the_other_leads_within_the_lease_time(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(control_plane.kubeconfig), namespace, stdout=asyncio.subprocess.PIPE
        )
        assert holder.stdout is not None
        try:
            assert await asyncio.wait_for(holder.stdout.readline(), 20) == b"leading\n"
            second = elector(client, namespace, "second")
            async with running(second.run()):
                await until(lambda: second._live is not None)
                holder.kill()
                killed = time.monotonic()
                await asyncio.wait_for(second.wait_leading(), 30)
                took_s = time.monotonic() - killed
            assert took_s >= LEASE_S * 0.6
        finally:
            with contextlib.suppress(ProcessLookupError):
                holder.kill()
            await holder.wait()


async def test_a_follower_does_not_poll(control_plane):
    async with stage(control_plane) as (proxy, shaky, sound, namespace):
        first, second = elector(sound, namespace, "first"), elector(shaky, namespace, "second")
        async with running(first.run()):
            await asyncio.wait_for(first.wait_leading(), 30)
            async with running(second.run()):
                await until(lambda: proxy.watches)
                seen = first.valid_until
                await until(lambda: first.valid_until > seen + LEASE_S)
                assert len(proxy.requests) == 2
