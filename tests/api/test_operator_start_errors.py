"""What keeps the operator from starting is one sentence that names the cure, and an exit code; never a traceback."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from controlplane.servers import free_ports
from faultproxy import Answer, FaultProxy, Hang
from operatorrig import until, world

NOT_FOUND = json.dumps({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"}).encode()


async def start(*flags, **environment):
    """(exit code, stderr) of a `watchbell run` that must end by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHBELL_", "KUBE"))}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "watchbell", "run", *ports(), *flags],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def ports():
    health, metrics = free_ports(2)
    return f"--health-bind-address=127.0.0.1:{health}", f"--metrics-bind-address=127.0.0.1:{metrics}"


def says(answer, *parts, code=1):
    returncode, text = answer
    assert returncode == code, text
    assert len(text.splitlines()) == 1, text
    assert text.startswith("watchbell: ")
    assert len(text) < 1000
    for part in parts:
        assert part in text, text


async def test_missing_crds_are_named_with_the_command_that_installs_them(control_plane, namespace, tmp_path):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        FaultProxy(control_plane.url, control_plane.ca_pem) as proxy,
    ):
        config = f"--kubeconfig={at.kubeconfig_at(proxy.url)}"
        home = f"--cluster-resource-namespace={at.home}"
        proxy.plan = lambda request: Answer(404, NOT_FOUND) if "watchbell.dev" in request.path else None
        says(await start(config, home), "lacks the CRDs", "emailmessages", "kubectl apply --server-side -f crds/")


async def test_a_role_that_lacks_verbs_is_told_which(control_plane, namespace):
    config = control_plane.kubeconfig_with(control_plane.token_for("plain"))
    answer = await start(f"--kubeconfig={config}", f"--cluster-resource-namespace={namespace}")
    says(answer, "list, watch clustersmtpconnectors.watchbell.dev", "install the chart's RBAC")


async def test_of_a_role_that_lacks_only_what_a_flag_needs_only_that_is_told(control_plane, namespace):
    rest = control_plane.rest()
    ours = {"apiGroups": ["watchbell.dev"], "resources": ["*"], "verbs": ["*"]}
    core = {"apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["*"]}
    about = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    base = "/apis/rbac.authorization.k8s.io/v1"
    name = f"narrow-{namespace}"
    rest.post(f"{base}/clusterroles", about | {"metadata": {"name": name}, "rules": [ours, core]})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "op", "namespace": namespace}],
    }
    rest.post(f"{base}/clusterrolebindings", about | binding)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "op"}}
    rest.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    try:
        config = control_plane.kubeconfig_with(control_plane.service_account_token(namespace, "op"))
        flags = f"--kubeconfig={config}", f"--cluster-resource-namespace={namespace}"
        answer = await start(*flags, "--leader-elect", "--secret-access=Watch")
        says(answer, "leases.coordination.k8s.io", "list, watch secrets")
        assert "watchbell.dev" not in answer[1]
        assert "configmaps" not in answer[1]
    finally:
        rest.delete(f"{base}/clusterrolebindings/{name}")
        rest.delete(f"{base}/clusterroles/{name}")


async def test_an_unreachable_api_server_is_told_with_its_address(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        (port,) = free_ports(1)
        answer = await start(f"--kubeconfig={at.kubeconfig_at(f'http://127.0.0.1:{port}')}")
    says(answer, f"127.0.0.1:{port}", "kubeconfig")


async def test_a_token_that_is_not_accepted_is_told(control_plane, namespace):
    config = control_plane.kubeconfig_with("made-up-t0ken")
    answer = await start(f"--kubeconfig={config}", f"--cluster-resource-namespace={namespace}")
    says(answer, "401", "kubeconfig")
    assert "made-up-t0ken" not in answer[1]


async def test_a_missing_namespace_is_told_with_the_flag(control_plane):
    answer = await start(f"--kubeconfig={control_plane.kubeconfig}", "--cluster-resource-namespace=nowhere-at-all")
    says(answer, "no namespace nowhere-at-all", "--cluster-resource-namespace")


async def test_a_missing_kubeconfig_is_told_with_its_path(tmp_path):
    says(await start(f"--kubeconfig={tmp_path / 'none'}"), str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("flag", "parts"),
    [
        ("--send-workers=0", ("--send-workers", "1 to 64")),
        ("--egress-allow-cidr=10.0.0.1/8", ("--egress-allow-cidr",)),
        ("--no-such-flag", ("--no-such-flag", "watchbell run --help")),
    ],
)
async def test_a_bad_flag_is_told_with_its_name(flag, parts):
    says(await start(flag), *parts, code=2)


async def test_a_bad_variable_is_told_with_its_name():
    says(await start(WATCHBELL_LEASE_SECONDS="soon"), "WATCHBELL_LEASE_SECONDS", "4 to 120", code=2)


async def test_a_port_in_use_is_told_with_the_flag(control_plane, namespace):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, text = answer = await start(
            f"--kubeconfig={control_plane.kubeconfig}",
            f"--cluster-resource-namespace={namespace}",
            f"--metrics-bind-address=127.0.0.1:{port}",
        )
    says(answer, f"127.0.0.1:{port}", "--metrics-bind-address")
    assert "Unclosed" not in text


async def test_ctrl_c_while_it_still_asks_the_api_server_ends_it_without_a_traceback(
    control_plane, namespace, tmp_path
):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        FaultProxy(control_plane.url, control_plane.ca_pem) as proxy,
    ):
        proxy.plan = lambda _: Hang()
        async with at.operator(kubeconfig=at.kubeconfig_at(proxy.url)) as operator:
            await until(lambda: proxy.requests, "it asked")
            operator.signal(signal.SIGINT)
            assert await operator.ended() == 130
            assert operator.text == ""
