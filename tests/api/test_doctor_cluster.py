"""`watchbell doctor` as a process: against a real API server, on files, on plain settings, and when there is nothing to ask."""

import asyncio
import json
import os
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import trustme
import yaml

from commandrig import OURS, Commander, Said
from smtprig import BYE, CANARY, GREET, USER, Authority, Scripted, check_no_secret, ehlo, mail_server

NOWHERE = ("--operator-namespace", "nowhere")
CORE = "/api/v1/namespaces"


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def rest(control_plane):
    return control_plane.rest()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(trustme.CA())


def connector(name: str = "default", **spec: Any) -> dict[str, Any]:
    base = {"host": "smtp.example.com", "from": {"address": USER}, "auth": {"secretRef": {"name": "relay"}}}
    meta = {"name": name}
    return {"apiVersion": "watchbell.dev/v1alpha1", "kind": "SmtpConnector", "metadata": meta, "spec": base | spec}


def secret(password: str = CANARY) -> dict[str, Any]:
    data = {"username": USER, "password": password}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "watchbell.dev/smtp",
        "metadata": {"name": "relay"},
        "stringData": data,
    }


def config_map(authority: Authority) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca"}, "data": {"ca.crt": authority.pem}}


def found(said: Said) -> dict[str, list[dict[str, Any]]]:
    check_no_secret(said.out + said.err)
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in json.loads(said.out)["checks"]:
        entries.setdefault(entry["id"], []).append(entry)
    return entries


def test_a_cluster_is_looked_at_with_the_callers_rights_and_judged(rest, namespace, watchbell, authority):
    rest.post(f"{CORE}/{namespace}/secrets", secret("********"))
    rest.post(f"{CORE}/{namespace}/configmaps", config_map(authority))
    rest.post(f"{OURS}/{namespace}/smtpconnectors", connector(tls={"caConfigMapRef": {"name": "ca"}}))
    said = watchbell("doctor", "run", "-n", namespace, "--quick", "-o", "json", *NOWHERE)
    assert said.code == 1, said.err
    entries = found(said)
    statuses = {id_: entry[0]["status"] for id_, entry in entries.items()}
    assert statuses["check.kubernetes.crds"] == "pass"
    assert statuses["check.kubernetes.clock"] == "pass"
    assert statuses["check.kubernetes.rights"] == "pass"
    assert statuses["check.operator.running"] == "fail"
    assert statuses["check.operator.rights"] == "fail"
    assert statuses["check.connector.ca"] == "pass"
    assert statuses["check.connector.ready"] == "warn"
    assert statuses["check.config.valid"] == "pass"
    assert "MaskedPlaceholder" in entries["check.connector.secret"][0]["message"]
    grant = entries["check.operator.grant"][0]
    assert grant["object"] == f"Secret {namespace}/relay"
    assert grant["steps"] == [f"Allow it: watchbell grant relay -n {namespace} | kubectl apply -f -"]
    assert not any(id_.startswith("check.integration") for id_ in entries)


async def test_connectors_are_dialled_from_here_by_the_operators_own_probe(rest, namespace, watchbell, authority):
    rest.post(f"{CORE}/{namespace}/configmaps", config_map(authority))
    rest.post(f"{CORE}/{namespace}/secrets", secret())
    async with mail_server(tls=authority.server_context()) as good, Scripted((GREET, "r", ehlo("SIZE 1"), *BYE)) as bad:
        trusted = {"host": "127.0.0.1", "port": good.port, "tls": {"caConfigMapRef": {"name": "ca"}}}
        rest.post(f"{OURS}/{namespace}/smtpconnectors", connector("good", **trusted))
        rest.post(f"{OURS}/{namespace}/smtpconnectors", connector("bad", host="127.0.0.1", port=bad.port))
        words = ("doctor", "run", "-n", namespace, "--check", "integration.smtp", "-o", "json")
        said = await asyncio.to_thread(watchbell, *words)
        stages = {
            (entry["object"], entry["id"].rpartition(".")[2]): entry for one in found(said).values() for entry in one
        }
        assert said.code == 1
        assert stages[f"SmtpConnector {namespace}/good", "tls"]["status"] == "pass"
        assert stages[f"SmtpConnector {namespace}/good", "authenticate"]["status"] == "skip"
        failed = stages[f"SmtpConnector {namespace}/bad", "starttls"]
        assert failed["message"].startswith("StartTlsNotOffered")
        assert stages[f"SmtpConnector {namespace}/bad", "tls"]["status"] == "skip"
        assert good.inbox.logins == []
        said = await asyncio.to_thread(watchbell, *words, "--login")
        passed = {
            (entry["object"], entry["id"].rpartition(".")[2]): entry["status"]
            for one in found(said).values()
            for entry in one
        }
        assert passed[f"SmtpConnector {namespace}/good", "authenticate"] == "pass"
        assert passed[f"SmtpConnector {namespace}/good", "sender"] == "pass"
        assert good.inbox.messages == []


def test_text_names_the_object_the_cause_and_the_commands(rest, namespace, watchbell):
    rest.post(f"{OURS}/{namespace}/smtpconnectors", connector())
    said = watchbell("doctor", "--check", "check.connector.secret", "-n", namespace, "--quick", "--platform", "gitops")
    assert said.code == 1
    assert f"FAIL  check.connector.secret  SmtpConnector {namespace}/default: there is no Secret relay" in said.out
    assert "Cause: The Secret lacks the opt-in" in said.out
    assert "$ flux reconcile kustomization" in said.out
    assert "1 failed, 0 to look at, 0 well" in said.out
    assert "\x1b" not in said.out


def test_junit_and_yaml_say_the_same(rest, namespace, watchbell):
    rest.post(f"{OURS}/{namespace}/smtpconnectors", connector(port=465))
    words = (
        "doctor",
        "run",
        "-n",
        namespace,
        "--quick",
        "--check",
        "check.connector.port",
        "--check",
        "check.connector.secret",
    )
    suite = ET.fromstring(watchbell(*words, "-o", "junit").out)  # noqa: S314 - our own output
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    report = yaml.safe_load(watchbell(*words, "-o", "yaml").out)
    assert (report["apiVersion"], report["kind"]) == ("doctor.watchbell.dev/v1", "DoctorReport")
    assert report["summary"]["fail"] == report["summary"]["warn"] == 1
    only_port = words[:-2]
    assert watchbell(*only_port).code == 0
    assert watchbell(*only_port, "--fail-on", "warn").code == 1
    assert watchbell(*words, "--fail-on", "never").code == 0


def test_a_tenant_sees_his_own_namespace_and_what_he_may_not_see_is_said(control_plane, rest, namespace, tmp_path):
    user = control_plane.token_for("plain")
    assert user
    rules = [{"apiGroups": ["watchbell.dev"], "resources": ["*"], "verbs": ["get", "list"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "tenant"},
        "rules": rules,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}],
    }  # fmt: skip
    rest.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles", role)
    rest.post(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)
    rest.post(f"{CORE}/{namespace}/secrets", secret())
    rest.post(f"{OURS}/{namespace}/smtpconnectors", connector())
    said = Commander(control_plane, namespace, tmp_path, "plain")(
        "doctor", "--quick", "-o", "json", "--fail-on", "never"
    )
    assert said.code == 0, said.err
    entries = found(said)
    assert entries["check.connector.secret"][0]["status"] == "skip"
    assert entries["check.operator.rights"][0]["status"] == "skip"
    assert entries["check.operator.running"][0]["status"] == "skip"
    rights = {entry["message"].split(",")[0]: entry["steps"][0] for entry in entries["check.kubernetes.rights"]}
    assert set(rights) == {
        "you may not list clustersmtpconnectors.watchbell.dev",
        "you may not list pods in namespace watchbell-system",
    }
    assert rights["you may not list clustersmtpconnectors.watchbell.dev"].startswith(
        "Ask for it: kubectl create clusterrole "
    )


def test_who_may_see_nothing_is_told_which_right_is_missing_and_who_grants_it(control_plane, namespace, tmp_path):
    said = Commander(control_plane, namespace, tmp_path, "plain")("doctor", "--quick")
    assert (said.code, said.out, said.err.count("\n")) == (4, "", 1)
    assert "cannot list resource" in said.err
    assert (
        f"kubectl -n {namespace} create role watchbell-list-smtpconnectors --verb=list --resource=smtpconnectors.watchbell.dev"
        in said.err
    )


def test_a_cluster_that_does_not_answer_or_does_not_exist_is_told_with_what_was_tried(watchbell, tmp_path):
    config = yaml.safe_load(watchbell.kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": "https://127.0.0.1:1"}
    gone = tmp_path / "gone.kubeconfig"
    gone.write_text(yaml.safe_dump(config))
    said = watchbell("doctor", "--kubeconfig", str(gone))
    assert (said.code, said.err.count("\n")) == (4, 1)
    assert "tried https://127.0.0.1:1, context test of" in said.err
    said = watchbell("doctor", "--context", "prod")
    assert (said.code, said.err.count("\n")) == (4, 1)
    assert "has no context 'prod'; it has test" in said.err
    config["users"][0]["user"] = {"token": "stale"}
    config["clusters"] = yaml.safe_load(watchbell.kubeconfig.read_text())["clusters"]
    gone.write_text(yaml.safe_dump(config))
    said = watchbell("doctor", "--kubeconfig", str(gone))
    assert said.code == 4
    assert "does not accept your token or certificate (401)" in said.err


def alone(*words: str, typed: str = "", **environ: str) -> Said:
    """The doctor without any cluster."""
    env = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"} | environ
    done = subprocess.run(
        [sys.executable, "-m", "watchbell", "doctor", *words],
        input=typed,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    check_no_secret(done.stdout + done.stderr)
    return Said(done.returncode, done.stdout, done.stderr)


def test_manifests_are_judged_without_a_cluster(tmp_path):
    (tmp_path / "relay.yaml").write_text(yaml.safe_dump_all([connector(prt=465), secret()]))
    said = alone("-f", str(tmp_path), "--quick", "-o", "json")
    assert said.code == 1
    entries = found(said)
    assert entries["check.config.valid"][0]["message"] == "spec.prt: there is no such field; did you mean port?"
    assert entries["check.config.inlinesecret"][0]["status"] == "warn"
    assert entries["check.connector.secret"][0]["status"] == "pass"
    assert "check.operator.running" not in entries
    piped = alone("-f", "-", "--quick", "-q", typed=yaml.safe_dump(connector(prt=465)))
    assert "spec.prt: there is no such field" in piped.out


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "a: [", "a.yaml, line "),
        ("a.yaml", "just text", "a.yaml, document 1 is no Kubernetes object: it has no kind"),
        ("a.yaml", "kind: SmtpConnector", "a.yaml, document 1 (SmtpConnector) has no metadata.name"),
        ("a.env", "no equals", "a.env: line 1 is not NAME=value"),
        ("a.json", "{", "a.json: it is not JSON"),
        ("a.json", '{"Smtp": {"Port": 25}}', "a.json: there is no host: give Smtp:Host, Email:Smtp:Host or Notify:Email:Host"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told_with_its_place(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    said = alone("-f", str(path))
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-f", "nowhere.yaml"), "nowhere.yaml cannot be read: No such file or directory"),
        (("--check", "check.conector.ready"), "there is no check check.conector.ready; did you mean check.connector.ready?"),
        (("explain", "check.outbox.ag"), "did you mean check.outbox.age?"),
        (("--qiuck",), "did you mean --quick?"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_told_with_the_nearest_match(words, told):
    said = alone(*words)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert told in said.err


async def test_plain_settings_are_dialled_in_the_order_of_the_keys(tmp_path, authority):
    async with mail_server(tls=authority.server_context()) as server:
        nested = {
            "Notify": {"Email": {"Host": "10.0.0.1"}},
            "Email": {"Smtp": {"Host": "127.0.0.1", "Port": server.port}},
        }
        path = tmp_path / "appsettings.json"
        path.write_text(json.dumps(nested))
        said = await asyncio.to_thread(alone, "-f", str(path))
        assert said.code == 1
        assert "check.integration.smtp.connect" in said.out
        assert f"connected to 127.0.0.1 port {server.port}" in said.out
        assert "CertificateUntrusted" in said.out
        assert "Give the issuing CA: --ca-file ca.pem" in said.out
        assert f"watchbell probe 127.0.0.1:{server.port} --tls starttls --transcript" in said.out
    async with mail_server(has_auth=False) as server:
        variables = {
            "Smtp__Host": "127.0.0.1",
            "Smtp__Port": str(server.port),
            "Smtp__UseSsl": "false",
            "Email__Smtp__Host": "10.0.0.1",
        }
        said = await asyncio.to_thread(lambda: alone("--env", "--check", "check.integration.smtp", **variables))
        assert said.code == 0, said.out
        assert "the environment: connected to 127.0.0.1" in said.out


async def test_what_takes_too_long_ends_with_124(tmp_path):
    async with Scripted(("hang",)) as server:
        path = tmp_path / ".env"
        path.write_text(f"# relay\nSMTP__HOST='127.0.0.1'\nSMTP__PORT={server.port}\n")
        said = await asyncio.to_thread(alone, "-f", str(path), "--timeout", "1")
    assert (said.code, said.out) == (124, "")
    assert "it took longer than 1 s; give more with --timeout" in said.err


def test_checks_are_listed_and_explained(watchbell):
    rows = watchbell("doctor", "list", "--category", "upgrade").rows
    assert rows == [["ID", "CATEGORY", "SEVERITY", "NETWORK", "TITLE"], rows[1]]
    assert rows[1][:4] == ["check.kubernetes.crds", "upgrade", "critical", "no"]
    listed = json.loads(watchbell("doctor", "list", "-o", "json").out)["checks"]
    assert len(listed) > 30
    told = watchbell("doctor", "explain", "check.integration.smtp").out
    assert told.startswith("check.integration.smtp stands for 9 checks.")
    assert "Related: " in told
