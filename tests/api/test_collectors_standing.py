"""What a policy says of itself in a real cluster: each thing that it names and that is not there has a reason and a cure, and heals by itself."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from collectorrig import OURS, Site, condition, until
from kuberig import client_of, running
from watchbell.api.reasons import Reason
from watchbell.collectors.books import Books, Unknown
from watchbell.collectors.casework.caseload import Caseload
from watchbell.collectors.policies import read_policy
from watchbell.collectors.seen.watch import PodWatches
from watchbell.collectors.sightings import DriftSight, Unresolved
from watchbell.collectors.standing import MISSING_POLL_S, Standing
from watchbell.kube.errors import Forbidden
from watchbell.kube.resources import Resource

CAPTURED = {
    "mode": "Captured",
    "revision": "v1",
    "captureTime": "2026-11-20T12:00:00Z",
    "hash": "sha256:0123456789abcdef",
    "workloads": [
        {"kind": "Deployment", "name": "gateway", "containers": [{"name": "collector", "image": "otel:1"}]},
        {"kind": "DaemonSet", "name": "gateway", "containers": [{"name": "collector", "image": "otel:1"}]},
    ],
}


class Told(Unknown):
    """Answers what the test wants to be known."""

    __slots__ = ("baseline", "drift", "problems", "refused", "unread")

    def __init__(self):
        for name, value in (
            ("drift", DriftSight()),
            ("baseline", None),
            ("problems", {}),
            ("refused", None),
            ("unread", ()),
        ):
            object.__setattr__(self, name, value)

    def know(self, **facts):
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    def sight(self, key):
        return self.drift

    def baseline_status(self, key):
        return self.baseline

    def failure(self, namespace):
        return self.refused

    def problem(self, namespace, name):
        return self.problems.get(name)

    def problems_of(self, key):
        return self.unread


class Place:
    """One policy in a namespace of its own, and the `Standing` that writes its status."""

    def __init__(self, site, client, watches):
        self.site, self.told = site, Told()
        self.watches, self.policies = watches, {}
        self.standing = Standing(
            client,
            watches,
            Caseload(),
            self.policies,
            set(),
            lambda: datetime.now(UTC),
            lambda: True,
            Books(self.told, self.told, self.told, self.told),
        )

    async def make(self, **spec):
        self.site.rest.post(
            f"{OURS}/{self.site.namespace}/smtpconnectors",
            {
                "apiVersion": "watchbell.dev/v1alpha1",
                "kind": "SmtpConnector",
                "metadata": {"name": "default"},
                "spec": {"host": "smtp.example.com", "from": {"address": "alerts@example.com"}},
            },
        )
        self.policy = read_policy(self.site.make_policy(**spec))
        self.policies[self.policy.key] = self.policy
        assert self.watches.subscribe(self.policy.key, self.policy.scope)
        await until(lambda: self.watches.is_synced(self.policy.scope), "pods are listed")

    async def write(self):
        """Writes the status, and gives (seconds until the next look, the object as the API server has it)."""
        again_in_s = await self.standing.work(self.policy.key)
        [body] = await asyncio.to_thread(self.site.listed, "collectorpolicies")
        return again_in_s, body

    async def refs(self):
        again_in_s, body = await self.write()
        found = condition(body, "ResolvedRefs")
        assert again_in_s == (None if found["status"] == "True" else MISSING_POLL_S)
        assert condition(body, "Ready")["status"] == "True"
        return found["reason"], found["message"]


@pytest.fixture
def site(control_plane, namespace):
    return Site(control_plane.rest(), namespace)


@asynccontextmanager
async def placed(control_plane, site, **spec):
    async with client_of(control_plane) as client:
        watches = PodWatches(client, on_pod=lambda scope, old, new: None)
        async with running(watches.run()):
            place = Place(site, client, watches)
            await place.make(**spec)
            yield place


async def test_a_pinned_baseline_that_names_no_container_of_the_pods_says_which_ones_there_are(control_plane, site):
    site.make_pod("gateway-a")
    pinned = {"containers": [{"name": "collector"}, {"name": "colector"}]}
    async with placed(control_plane, site, baseline={"mode": "Pinned", "pinned": pinned}) as place:
        reason, message = await place.refs()
        assert reason == "BaselineContainerNotFound"
        assert "names colector, which no pod" in message
        assert "the pods have collector" in message


async def test_what_drift_says_of_a_workload_stands_in_for_what_is_seen_of_all_pods(control_plane, site):
    site.make_pod("gateway-a")
    pinned = {"containers": [{"name": "colector"}]}
    async with placed(control_plane, site, baseline={"mode": "Pinned", "pinned": pinned}) as place:
        told = Unresolved(Reason.BASELINE_CONTAINER_NOT_FOUND, "Deployment gateway has none of them.")
        place.told.know(drift=DriftSight(unresolved=(told,)))
        assert await place.refs() == ("BaselineContainerNotFound", "Deployment gateway has none of them.")


async def test_a_pinned_baseline_is_not_blamed_while_there_is_no_pod(control_plane, site):
    pinned = {"containers": [{"name": "collector"}]}
    async with placed(control_plane, site, baseline={"mode": "Pinned", "pinned": pinned}) as place:
        assert (await place.refs())[0] == "ResolvedRefs"
        _, body = await place.write()
        assert condition(body, "Ready")["reason"] == "NoPodsMatch"


async def test_workloads_that_may_not_be_read_are_told_with_the_commands_that_allow_it(control_plane, site):
    async with placed(control_plane, site) as place, client_of(control_plane, "plain") as poor:
        with pytest.raises(Forbidden) as refused:
            await poor.list(Resource("apps", "v1", "deployments"), site.namespace)
        place.told.know(refused=refused.value)
        reason, message = await place.refs()
        assert reason == "OwnersForbidden"
        assert f"kubectl -n {site.namespace} create role watchbell-workloads --verb=get,list,watch" in message
        assert 'cannot list resource "deployments"' in message
        place.told.know(refused=None)
        assert (await place.refs())[0] == "ResolvedRefs"


async def test_the_command_names_the_service_account_that_the_api_server_turned_away(control_plane, site):
    async with placed(control_plane, site) as place:
        told = (
            'deployments.apps is forbidden: User "system:serviceaccount:mail:bell" cannot list resource "deployments"'
        )
        place.told.know(refused=Forbidden(403, "Forbidden", told))
        _, message = await place.refs()
        assert message.endswith("--serviceaccount=mail:bell")


async def test_a_template_that_is_absent_or_fails_is_told_and_mails_go_out_all_the_same(control_plane, site):
    routes = [{"name": "a", "to": ["ops@example.com"], "templateRef": {"name": "short"}}]
    async with placed(control_plane, site, routes=routes) as place:
        place.told.know(problems={"short": ""})
        reason, message = await place.refs()
        assert (reason, message) == (
            "TemplateNotFound",
            f"There is no EmailTemplate short in namespace {site.namespace}: create it. Until then mails are in the built-in words.",
        )
        place.told.know(problems={"short": "line 3: unknown tag 'include'"})
        reason, message = await place.refs()
        assert reason == "TemplateFailed"
        assert "line 3: unknown tag 'include'" in message
        assert f"kubectl -n {site.namespace} get etpl short" in message
        place.told.know(problems={})
        assert (await place.refs())[0] == "ResolvedRefs"


async def test_recipients_that_cannot_be_read_are_told_with_their_route(control_plane, site):
    source = {"configMapKeyRef": {"name": "people", "key": "to"}}
    async with placed(control_plane, site, routes=[{"name": "team", "toFrom": [source]}]) as place:
        place.told.know(unread=("Route team: ConfigMap people does not exist",))
        reason, message = await place.refs()
        assert reason == "RecipientsNotFound"
        assert message.startswith("Route team: ConfigMap people does not exist. Create or correct it")


async def test_a_connector_that_is_missing_is_named_until_it_is_there(control_plane, site):
    routes = [{"name": "a", "to": ["ops@example.com"], "connectorRef": {"name": "relay"}}]
    async with placed(control_plane, site, routes=routes) as place:
        reason, message = await place.refs()
        assert reason == "ConnectorNotFound"
        assert "SmtpConnector relay" in message
        spec = {"host": "smtp.example.com", "from": {"address": "alerts@example.com"}}
        body = {
            "apiVersion": "watchbell.dev/v1alpha1",
            "kind": "SmtpConnector",
            "metadata": {"name": "relay"},
            "spec": spec,
        }
        await asyncio.to_thread(site.rest.post, f"{OURS}/{site.namespace}/smtpconnectors", body)
        assert (await place.refs())[0] == "ResolvedRefs"


async def test_drift_shows_in_its_own_condition_and_never_lowers_ready(control_plane, site):
    site.make_pod("gateway-a")
    async with placed(control_plane, site) as place:
        place.told.know(drift=DriftSight(1, ("Deployment/gateway",)))
        _, body = await place.write()
        assert (condition(body, "Drifted")["status"], condition(body, "Drifted")["reason"]) == ("True", "PodsDrifted")
        assert condition(body, "Ready")["status"] == "True"
        assert body["status"]["driftedPods"] == 1
        place.told.know(drift=DriftSight())
        _, body = await place.write()
        assert condition(body, "Drifted")["status"] == "False"
        assert body["status"]["driftedPods"] == 0


async def test_a_captured_baseline_survives_a_restart_before_drift_has_been_looked_at(control_plane, site):
    async with placed(control_plane, site, baseline={"mode": "Captured"}) as place:
        place.told.know(baseline=CAPTURED)
        _, body = await place.write()
        assert body["status"]["baseline"] == CAPTURED
        place.told.know(baseline=None, drift=DriftSight(1, ("Deployment/gateway",)))
        place.policies[place.policy.key] = read_policy(body)
        _, body = await place.write()
        assert body["status"]["driftedPods"] == 1
        assert body["status"]["baseline"] == CAPTURED
        place.told.know(baseline={"mode": "Captured", "revision": "v2"})
        _, body = await place.write()
        assert body["status"]["baseline"] == {"mode": "Captured", "revision": "v2"}
