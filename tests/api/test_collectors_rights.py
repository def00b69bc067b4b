"""A right that the operator lacks is named in the policy, with what it costs and commands that give it: they are run here as they are printed."""

import asyncio
import os
import re
import shlex
import subprocess

import pytest

from collectorrig import Site
from controlplane import binary
from kuberig import client_of
from watchbell.api.reasons import Reason
from watchbell.collectors.policies import read_policy
from watchbell.collectors.rights import ALLOWED_S, REFUSED_S, Rights, needs_of

ALL_OFF = {"crash": {"kinds": []}, "drift": {"checks": []}}


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


def run_as_printed(text, kubeconfig):
    """Runs the commands of a cure."""
    cure = re.search(r"Allow it: (.*); or ", text)[1]
    for command in cure.split("; "):
        words = shlex.split(command)
        assert words[0] == "kubectl"
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        done = subprocess.run(
            [str(binary("kubectl")), *words[1:]],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, {"nodes", "events", "configmaps"}),
        ({"crash": {"logTailLines": 20}}, {"nodes", "events", "logs", "configmaps"}),
        (ALL_OFF, set()),
        ({"crash": {"kinds": [], "logTailLines": 20}, "drift": {"checks": ["NodeCoverage"]}}, {"nodes"}),
        ({"crash": {"kinds": ["OOMKilled"]}, "drift": {"checks": ["Image"]}}, {"events"}),
        ({"crash": {"kinds": ["NodeLost"]}, "drift": {"checks": ["StaleConfig"]}}, {"nodes", "events", "configmaps"}),
        ({"crash": {"kinds": []}, "drift": {"checks": ["ConfigMapContent"]}}, {"configmaps"}),
    ],
)
def test_only_what_a_policy_asks_for_takes_a_right(site, spec, names):
    policy = read_policy(site.make_policy(**spec))

    assert {need.name for need in needs_of(policy)} == names


async def test_each_missing_right_is_told_and_the_printed_commands_give_it(control_plane, site):
    policy = read_policy(await asyncio.to_thread(lambda: site.make_policy(crash={"logTailLines": 5})))
    clock = Clock()
    async with client_of(control_plane, "plain") as client:
        rights = Rights(client, clock)
        missing = await rights.missing(policy)

        assert {item.reason for item in missing} == {Reason.RIGHTS_MISSING}
        texts = [item.text for item in missing]
        assert [text.split(", so ")[0] for text in texts] == [
            "The operator may not list nodes and watch nodes",
            f"The operator may not list events.events.k8s.io in namespace {site.namespace}",
            f"The operator may not get pods/log in namespace {site.namespace}",
            f"The operator may not get configmaps in namespace {site.namespace}",
        ]
        assert all("--user=" in text for text in texts)
        for text in texts[1:]:
            await asyncio.to_thread(run_as_printed, text, control_plane.kubeconfig)
        clock.now_s = REFUSED_S - 1
        assert len(await rights.missing(policy)) == 4, "answers are believed for a while"
        clock.now_s = REFUSED_S + 1
        assert [item.text for item in await rights.missing(policy)] == texts[:1]


async def test_the_command_for_nodes_gives_the_right_in_the_whole_cluster(control_plane, site):
    policy = read_policy(
        await asyncio.to_thread(lambda: site.make_policy(crash={"kinds": []}, drift={"checks": ["NodeCoverage"]}))
    )
    clock = Clock()
    async with client_of(control_plane, "plain") as client:
        rights = Rights(client, clock)
        (item,) = await rights.missing(policy)
        try:
            await asyncio.to_thread(run_as_printed, item.text, control_plane.kubeconfig)
            clock.now_s = REFUSED_S + 1
            assert await rights.missing(policy) == ()
            clock.now_s += ALLOWED_S - 1
            assert await rights.missing(policy) == ()
        finally:
            rbac = "/apis/rbac.authorization.k8s.io/v1"
            for path in (f"{rbac}/clusterrolebindings/watchbell-nodes", f"{rbac}/clusterroles/watchbell-nodes"):
                await asyncio.to_thread(site.rest.delete, path)


async def test_a_suspended_policy_needs_no_right(control_plane, site):
    policy = read_policy(await asyncio.to_thread(lambda: site.make_policy(suspend=True)))
    async with client_of(control_plane, "plain") as client:
        assert await Rights(client, Clock()).missing(policy) == ()


async def test_whoever_has_all_rights_lacks_none(control_plane, site):
    policy = read_policy(await asyncio.to_thread(lambda: site.make_policy(crash={"logTailLines": 5})))
    async with client_of(control_plane) as client:
        assert await Rights(client, Clock()).missing(policy) == ()
