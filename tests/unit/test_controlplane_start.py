"""The control plane as tests get it: identities, the end of its processes, its errors."""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import controlplane
from cluster import eventually
from controlplane import Access, ControlPlane, ControlPlaneError, ExistingCluster, RestError

HACK = Path(__file__).resolve().parents[2] / "hack"
NAMESPACES = "/api/v1/namespaces"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory):
    """A control plane of this module's own, with an audit log and a further user."""
    folder = tmp_path_factory.mktemp("own")
    with controlplane.start(folder, audit_log=folder / "audit.log", users={"mary": ("crew",)}) as plane:
        yield plane


def test_each_test_has_a_namespace_of_its_own(control_plane: Access, namespace: str) -> None:
    assert control_plane.rest().get(f"{NAMESPACES}/{namespace}")["status"]["phase"] == "Active"


def test_the_administrator_may_do_everything_and_the_plain_user_nothing(own: ControlPlane) -> None:
    assert own.rest().get(NAMESPACES)["items"]
    with pytest.raises(RestError) as refused:
        own.rest("plain").get(NAMESPACES)
    assert refused.value.status == 403
    assert 'User "plain" cannot list resource "namespaces"' in refused.value.message


def test_a_named_user_is_in_its_groups_and_a_stranger_has_no_token(own: ControlPlane) -> None:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    who = own.rest("mary").post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert who["status"]["userInfo"]["groups"] == ["crew", "system:authenticated"]
    with pytest.raises(ControlPlaneError, match="'john' has no token"):
        own.token_for("john")


def test_the_administrator_may_look_through_the_eyes_of_a_service_account(own: ControlPlane) -> None:
    with pytest.raises(RestError, match=r'"system:serviceaccount:default:robot" cannot list'):
        own.rest(impersonate="system:serviceaccount:default:robot").get(NAMESPACES)


def test_a_service_account_gets_a_real_token(own: ControlPlane) -> None:
    robot = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    own.rest().post(f"{NAMESPACES}/default/serviceaccounts", robot)
    rest = controlplane.Rest(own.url, own.ca_pem, own.service_account_token("default", "robot"))
    with pytest.raises(RestError, match="system:serviceaccount:default:robot"):
        rest.get(NAMESPACES)


def test_a_client_certificate_makes_anybody_of_any_group(own: ControlPlane, tmp_path: Path) -> None:
    user = json.loads(own.kubeconfig_for("ann", ["system:masters"]).read_text())["users"][0]["user"]
    pair = tmp_path / "pair.pem"
    pair.write_bytes(b"".join(base64.b64decode(user[name]) for name in ("client-key-data", "client-certificate-data")))
    tls = ssl.create_default_context(cafile=str(own.ca_file))
    tls.verify_flags |= ssl.VERIFY_X509_STRICT
    tls.load_cert_chain(pair)
    with urllib.request.urlopen(own.url + NAMESPACES, context=tls) as answer:  # noqa: S310 - https on loopback
        assert answer.status == 200


def test_the_audit_log_names_who_asked_for_what(own: ControlPlane) -> None:
    own.rest("mary").text("/version")
    log = own.folder.parent / "audit.log"

    def seen() -> bool:
        events = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
        return any(event["user"]["username"] == "mary" and event["requestURI"] == "/version" for event in events)

    eventually(seen, "the audit log has mary's request")


def test_files_with_tokens_are_for_their_owner_only(own: ControlPlane) -> None:
    readable = [
        path.name
        for path in own.folder.iterdir()
        if path.is_file() and path.stat().st_mode & 0o077 and path.suffix != ".log"
    ]
    assert readable == []


def test_a_cluster_that_was_there_before_serves_as_well_and_is_left_clean(own: ControlPlane) -> None:
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    before = {one["metadata"]["name"] for one in own.rest().get(bindings)["items"]}
    with ExistingCluster(own.kubeconfig) as cluster:
        assert cluster.rest().get(NAMESPACES)["items"]
        with pytest.raises(RestError, match="403"):
            cluster.rest("plain").get(NAMESPACES)
        folder = cluster.folder
    assert {one["metadata"]["name"] for one in own.rest().get(bindings)["items"]} == before
    assert not folder.exists()


def test_a_server_that_cannot_start_shows_its_last_lines_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneError, match=r"kube-apiserver ended before .*(?s:.)*unknown flag: --no-such-flag"):
        controlplane.start(tmp_path, extra_flags=["--no-such-flag"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_the_servers_end_with_the_process_that_asked_for_them(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "controlplane", "up", "--directory", str(tmp_path)]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(HACK)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as up:
        assert up.stdout is not None
        kubeconfig = Path(up.stdout.readline().strip())
        assert kubeconfig.parent.parent == tmp_path
        servers = pids_that_mention(kubeconfig.parent)
        assert len(servers) == 4, "two servers, each with its guard"
        up.send_signal(number)
        up.wait(30)
    eventually(lambda: not pids_that_mention(kubeconfig.parent), "no server is left")
    eventually(lambda: not kubeconfig.parent.exists(), "its folder is gone")


def pids_that_mention(path: Path) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if str(path) in line]
