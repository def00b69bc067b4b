"""`watchbell doctor --from-operator`: through the real API server to a kubelet of ours, which runs the very program as a process."""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from collectorrig import container, pod_body, status_body
from commandrig import OURS, Commander
from kuberig import access_to
from smtprig import BYE, GREET, Scripted, ehlo
from watchbell.doctor.remote import chosen_pod, results_of
from watchbell.kube.errors import ApiError, Forbidden
from watchbell.kube.execute import PROTOCOL, exit_code, run_in_pod

CORE = "/api/v1"


class Kubelet:
    """Enough of a kubelet for `exec`: a websocket whose command is run here."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.commands: list[list[str]] = []
        self.port = 0

    async def execute(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        words = request.query.getall("command")
        self.commands.append(words)
        if words[0] != "watchbell":
            status = {"status": "Failure", "message": "executable file not found"}
        else:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *words),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environ,
            )
            out, err = await process.communicate()
            await socket.send_bytes(b"\x01" + out)
            await socket.send_bytes(b"\x02" + err)
            causes = [{"reason": "ExitCode", "message": str(process.returncode)}]
            status = (
                {"status": "Success"}
                if process.returncode == 0
                else {"status": "Failure", "details": {"causes": causes}}
            )
        await socket.send_bytes(b"\x03" + json.dumps(status).encode())
        await socket.close()
        return socket


@asynccontextmanager
async def kubelet(plane, namespace: str, environ: dict[str, str]) -> AsyncIterator[Kubelet]:
    """A node with this kubelet, and a ready pod of the operator on it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    served = Kubelet(environ)
    app = web.Application()
    app.router.add_get("/exec/{namespace}/{pod}/{container}", served.execute)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    served.port = runner.addresses[0][1]
    rest, node = plane.rest(), f"node-{namespace}"
    rest.post(f"{CORE}/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    endpoint = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": served.port}},
    }
    rest.merge(f"{CORE}/nodes/{node}/status", {"status": endpoint})
    body = pod_body("watchbell-0", namespace, "watchbell", labels={"app.kubernetes.io/name": "watchbell"})
    body["spec"]["nodeName"] = node
    rest.post(f"{CORE}/namespaces/{namespace}/pods", body)
    rest.merge(f"{CORE}/namespaces/{namespace}/pods/watchbell-0/status", {"status": status_body(container())})
    try:
        yield served
    finally:
        await runner.cleanup()
        rest.delete(f"{CORE}/nodes/{node}")


async def test_the_doctor_runs_where_the_operator_is_and_its_findings_are_shown_here(
    control_plane, namespace, tmp_path
):
    watchbell = Commander(control_plane, namespace, tmp_path)
    environ = os.environ | {"KUBECONFIG": str(watchbell.kubeconfig)}
    async with (
        Scripted((GREET, "r", ehlo("SIZE 1"), *BYE)) as relay,
        kubelet(control_plane, namespace, environ) as served,
    ):
        spec = {"host": "127.0.0.1", "port": relay.port, "from": {"address": "a@example.com"}}
        body = {
            "apiVersion": "watchbell.dev/v1alpha1",
            "kind": "SmtpConnector",
            "metadata": {"name": "default"},
            "spec": spec,
        }
        control_plane.rest().post(f"{OURS}/{namespace}/smtpconnectors", body)
        words = (
            "doctor",
            "--from-operator",
            "-n",
            namespace,
            "--operator-namespace",
            namespace,
            "--check",
            "integration.smtp",
        )
        said = await asyncio.to_thread(watchbell, *words, "-o", "json")
        assert said.code == 1, said.err
        entries = {entry["id"].rpartition(".")[2]: entry for entry in json.loads(said.out)["checks"]}
        assert entries["connect"]["status"] == "pass"
        assert entries["starttls"]["message"].startswith("StartTlsNotOffered")
        assert entries["starttls"]["evidence"][-1] == {"key": "seenFrom", "value": "pod watchbell-0"}
        assert served.commands[0][:3] == ["watchbell", "doctor", "run"]
        assert f"--namespace={namespace}" in served.commands[0]
        said = await asyncio.to_thread(watchbell, *words)
        assert "seen from pod watchbell-0" in said.out
        assert "seenFrom: pod watchbell-0" in said.out


async def test_a_pod_without_the_program_and_a_pod_that_is_not_there_are_told(control_plane, namespace):
    async with kubelet(control_plane, namespace, dict(os.environ)):
        access = access_to(control_plane)
        ran = await run_in_pod(access, namespace, "watchbell-0", "collector", ["nothing"])
        assert (ran.code, ran.err) == (-1, "executable file not found")
        with pytest.raises(ApiError) as error:
            await run_in_pod(access, namespace, "nobody", "collector", ["nothing"])
        assert "nobody" in str(error.value) or error.value.status == 404
        with pytest.raises(Forbidden, match="you may not run commands in pods of namespace"):
            await run_in_pod(access_to(control_plane, "plain"), namespace, "watchbell-0", "collector", ["nothing"])


def test_without_a_pod_the_doctor_says_so(control_plane, namespace, tmp_path):
    said = Commander(control_plane, namespace, tmp_path)("doctor", "--from-operator", "--operator-namespace", namespace)
    assert (said.code, said.out) == (4, "")
    assert f"no pod of the operator runs in namespace {namespace}" in said.err


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (b'{"status": "Success"}', (0, "")),
        (b'{"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}', (7, "")),
        (b'{"status": "Failure", "message": "container not found"}', (-1, "container not found")),
        (b"", (-1, "the connection ended before the command did")),
        (b"junk", (-1, "the connection ended before the command did")),
    ],
)
def test_how_a_command_ended_is_read_from_its_status(status, expected):
    assert exit_code(status) == expected


def test_a_ready_pod_is_preferred_and_something_else_than_a_report_is_told(tmp_path: Path):
    def pod(name: str, ready: str, phase: str = "Running") -> dict[str, object]:
        return {
            "metadata": {"name": name}, "spec": {"containers": [{"name": "proxy"}, {"name": "watchbell"}]},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        }  # fmt: skip

    assert chosen_pod([pod("a", "False"), pod("b", "True"), pod("c", "True", "Pending")]) == ("b", "watchbell")
    assert chosen_pod([pod("c", "False", "Pending")]) is None
    assert "is no report" in results_of("watchbell: invalid choice: 'doctor'", "b")
    assert results_of('{"checks": [{"id": "check.of.tomorrow", "status": "pass", "message": "x"}]}', "b") == ()
