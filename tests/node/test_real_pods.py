"""Containers that really crash, in Deployments, on a real node: what watchbell makes of them, up to the mail at the relay."""

from typing import Any

import pytest

from cluster import eventually
from operatorrig import condition, stays, until, world
from realnode import NODE_NAME, pods
from realnode.pods import CONTAINER, Script

pytestmark = pytest.mark.timeout(240)
LABELS = {"app": "gateway"}


class Gateway:
    """A Deployment of one pod that runs a script."""

    def __init__(self, plane, namespace: str, script: Script) -> None:
        self._rest, self._namespace = plane.rest(), namespace
        template = {"metadata": {"labels": LABELS}, "spec": pods.pod_spec(script)}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "gateway"},
            "spec": {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template},
        }
        self._rest.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)

    @property
    def pod(self) -> dict[str, Any]:
        """The pod; empty while there is none."""
        items = self._rest.get(f"/api/v1/namespaces/{self._namespace}/pods?labelSelector=app%3Dgateway")["items"]
        return items[0] if items else {}

    @property
    def restarts(self) -> int:
        found = self.pod.get("status", {}).get("containerStatuses", ())
        return found[0]["restartCount"] if found else 0

    @property
    def is_ready(self) -> bool:
        return condition(self.pod, "Ready").get("status") == "True"


async def prepared(at, **policy: Any) -> None:
    """A proven connector and a policy."""
    await at.connector()
    await at.has("SmtpConnector", "default", "Ready", "True", "Proven")
    await at.policy(**{"grouping": {"waitSeconds": 0, "resolveAfterSeconds": 3600}} | policy)
    await at.has("CollectorPolicy", "collectors", "Ready", "True")


async def restarted(gateway: Gateway, times: int) -> None:
    await until(lambda: gateway.restarts >= times, f"the kubelet restarted it {times} times", 90)


async def test_a_deployment_that_crashes_is_one_incident_and_one_mail(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await prepared(at, crash={"logTailLines": 10})
        gateway = Gateway(control_plane, namespace, pods.crashes(ready_s=1))
        (mail,) = await at.mailed(1, 60)
        await at.settled(1)
        await restarted(gateway, 3)
        await stays(lambda: len(at.inbox.messages) == 1, "a restart of the same pod is no news", 1)
        (incident,) = await at.listed("CollectorIncident")
        text = mail.get_body(("plain",)).get_content()
        pod = gateway.pod["metadata"]["name"]
    assert incident["spec"]["owner"] == {"kind": "Deployment", "name": "gateway"}
    assert incident["spec"]["container"] == CONTAINER
    assert incident["status"]["affectedPods"][0]["name"] == pod
    assert condition(incident, "Resolved")["status"] == "False"
    assert "gateway" in mail["Subject"]
    for part in (pod, NODE_NAME, CONTAINER, "ended with exit 1", "busybox"):
        assert part in text
    assert "cannot unmarshal the configuration" in text, "the last line of its log is there"


async def test_a_container_without_memory_is_told_with_its_limit(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await prepared(at)
        gateway = Gateway(control_plane, namespace, pods.runs_out_of_memory("24Mi"))
        (mail,) = await at.mailed(1, 60)
        await restarted(gateway, 2)
        await stays(lambda: len(at.inbox.messages) == 1, "one mail was all", 1)
        (incident,) = await at.listed("CollectorIncident")
        text = mail.get_body(("plain",)).get_content()
    assert incident["spec"]["kind"] == "OOMKilled"
    assert "24Mi" in text
    assert "out of memory" in f"{mail['Subject']} {text}".lower()


async def test_a_container_that_ends_well_is_told_to_nobody(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await prepared(at, crash={"kinds": ["ContainerError", "OOMKilled"]})
        gateway = Gateway(control_plane, namespace, pods.ends_well(ready_s=1))
        await restarted(gateway, 3)
        await stays(lambda: not at.inbox.messages, "no mail comes", 2)
        assert await at.listed("CollectorIncident") == []
        assert await at.listed("EmailMessage") == []


async def test_a_pod_that_stays_up_after_its_crash_ends_the_incident(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await prepared(at, grouping={"waitSeconds": 0, "resolveAfterSeconds": 3})
        # One crash: after a second one watchbell would wait ten minutes longer, since a loop looks ready in between.
        gateway = Gateway(control_plane, namespace, pods.crashes_then_runs(1, ready_s=1))
        _, second = await at.mailed(2, 60)
        assert gateway.is_ready
        assert gateway.restarts == 1
        (incident,) = await at.listed("CollectorIncident")
        await at.has("CollectorIncident", incident["metadata"]["name"], "Resolved", "True")
    assert second["Subject"].startswith("Re: ")
    assert second["References"]


def test_the_api_server_reads_a_pods_log_from_the_kubelet(control_plane, namespace):
    Gateway(control_plane, namespace, Script("echo spoken; exec sleep 3600"))
    rest = control_plane.rest()

    def running() -> str:
        items = rest.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
        return next((one["metadata"]["name"] for one in items if one["status"]["phase"] == "Running"), "")

    eventually(lambda: bool(running()), "the pod runs", 60)
    assert rest.text(f"/api/v1/namespaces/{namespace}/pods/{running()}/log") == "spoken\n"
