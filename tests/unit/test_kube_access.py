import base64
import json
import ssl
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
import yaml

from watchbell.kube.access import AccessError, load_access

AUTHORITY = trustme.CA()
CLIENT = AUTHORITY.issue_cert("someone@example.com")
CA_PEM = AUTHORITY.cert_pem.bytes()
CERTIFICATE = CLIENT.cert_chain_pems[0].bytes()
KEY = CLIENT.private_key_pem.bytes()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def kubeconfig(cluster: dict | None = None, user: dict | None = None, context: dict | None = None) -> dict:
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority-data": b64(CA_PEM), **(cluster or {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", **(context or {})}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user if user is not None else {"token": "t0"}}],
    }


@pytest.fixture
def write(tmp_path):
    def write(body: object, name: str = "config") -> str:
        path = tmp_path / name
        path.write_text(body if isinstance(body, str) else yaml.safe_dump(body))
        return str(path)

    return write


def test_a_token_a_namespace_and_a_server_are_taken_from_the_current_context(write):
    access = load_access(write(kubeconfig(context={"namespace": "shop"})))
    assert access.server == "https://127.0.0.1:6443"
    assert access.namespace == "shop"
    assert access.token is not None
    assert access.token() == "t0"
    assert access.ssl is not None
    assert access.ssl.verify_mode is ssl.CERT_REQUIRED
    assert not access.ssl.verify_flags & ssl.VERIFY_X509_STRICT
    assert "main" in access.source
    assert "t0" not in repr(access)


def test_files_named_in_a_kubeconfig_are_relative_to_its_folder(write, tmp_path):
    (tmp_path / "ca.pem").write_bytes(CA_PEM)
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE)
    (tmp_path / "key.pem").write_bytes(KEY)
    (tmp_path / "token").write_text("from-a-file\n")
    body = kubeconfig(
        {"certificate-authority": "ca.pem"},
        {"client-certificate": "cert.pem", "client-key": "key.pem", "tokenFile": "token"},
    )
    del body["clusters"][0]["cluster"]["certificate-authority-data"]
    access = load_access(write(body))
    assert access.token is not None
    assert access.token() == "from-a-file"
    assert access.ssl is not None
    assert len(access.ssl.get_ca_certs()) == 1


def test_a_renewed_token_file_is_read_again_and_a_lost_one_is_a_sentence(write, tmp_path):
    token = tmp_path / "token"
    token.write_text("one")
    access = load_access(write(kubeconfig(user={"tokenFile": str(token)})))
    assert access.token is not None
    assert access.token() == "one"
    fresh = tmp_path / "fresh"
    fresh.write_text("two")
    fresh.replace(token)
    assert access.token() == "two"
    token.unlink()
    with pytest.raises(AccessError, match=r"token file .* cannot be read"):
        access.token()


def test_client_certificate_data_is_loaded_and_leaves_no_file(write, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    path = write(kubeconfig(user={"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(KEY)}))
    assert load_access(path).token is None
    assert set(tmp_path.iterdir()) - before == {Path(path)}


def test_insecure_and_a_server_name_are_honoured(write):
    access = load_access(write(kubeconfig({"insecure-skip-tls-verify": True, "tls-server-name": "kube.example.com"})))
    assert access.ssl is not None
    assert access.ssl.verify_mode is ssl.CERT_NONE
    assert access.server_name == "kube.example.com"


def test_plain_http_needs_no_tls(write):
    assert load_access(write(kubeconfig({"server": "http://127.0.0.1:8001/"}))).ssl is None


def test_several_files_are_merged_and_the_first_word_counts(write, tmp_path):
    first = write({"current-context": "main", "users": [{"name": "u", "user": {"token": "first"}}]}, "one")
    second = write(kubeconfig(), "two")
    access = load_access(environ={"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{second}"})
    assert access.token is not None
    assert access.token() == "first"


def test_another_context_can_be_chosen(write):
    body = kubeconfig()
    body["contexts"].append({"name": "other", "context": {"cluster": "c", "user": "u", "namespace": "elsewhere"}})
    assert load_access(write(body), "other").namespace == "elsewhere"


BROKEN = {
    "it is not YAML": ("{broken: [", "is not YAML"),
    "it is empty": ("", "empty or not a kubeconfig"),
    "it has no current context": ({"contexts": []}, "kubectl config use-context"),
    "its context is missing": ({**kubeconfig(), "current-context": "gone"}, r"no context 'gone'; it has main"),
    "its cluster is missing": ({**kubeconfig(), "clusters": []}, r"no cluster 'c'; it has none"),
    "its user is missing": ({**kubeconfig(), "users": []}, r"no user 'u'"),
    "its server is no address": (kubeconfig({"server": "127.0.0.1"}), "no server that begins with https"),
    "it wants a proxy": (kubeconfig({"proxy-url": "http://proxy:3128"}), "proxy-url.*not supported"),
    "it uses an auth provider": (kubeconfig(user={"auth-provider": {"name": "gcp"}}), "use an exec plugin"),
    "it uses a password": (kubeconfig(user={"username": "a", "password": "hunter2"}), "use a token"),
    "it impersonates": (kubeconfig(user={"as": "root"}), "impersonation is not supported"),
    "its CA is no base64": (kubeconfig({"certificate-authority-data": "%%%"}), "not base64"),
    "its CA is no PEM": (kubeconfig({"certificate-authority-data": b64(b"nonsense")}), "no usable PEM"),
    "its key does not fit": (
        kubeconfig(user={"client-certificate-data": b64(CERTIFICATE), "client-key-data": b64(b"nonsense")}),
        "do not fit together",
    ),
    "its CA file is missing": (
        kubeconfig({"certificate-authority-data": None, "certificate-authority": "no.pem"}),
        "no.pem cannot",
    ),
    "its plugin has no command": (kubeconfig(user={"exec": {}}), "names no command"),
    "its plugin is too old": (
        kubeconfig(user={"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}),
        "update it to client.authentication.k8s.io/v1",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_kubeconfig_that_cannot_be_used_is_refused_with_one_sentence(write, case):
    body, sentence = BROKEN[case]
    with pytest.raises(AccessError, match=sentence) as refused:
        load_access(write(body))
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_kubeconfig_that_is_not_there_names_the_cure(tmp_path):
    with pytest.raises(AccessError, match="set KUBECONFIG or give --kubeconfig"):
        load_access(str(tmp_path / "nothing"))


def test_a_pod_without_its_token_is_told_what_to_set(tmp_path):
    environ = {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "443"}
    (tmp_path / "token").write_text("t")
    with pytest.raises(AccessError, match=r"ca\.crt"):
        load_access(environ=environ, service_account_dir=tmp_path)
    (tmp_path / "ca.crt").write_text("nonsense")
    with pytest.raises(AccessError, match="automountServiceAccountToken"):
        load_access(environ=environ, service_account_dir=tmp_path)


def test_a_pods_own_files_are_used_with_an_ipv6_address(tmp_path):
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "ca.crt").write_bytes(CA_PEM)
    (tmp_path / "namespace").write_text("watchbell")
    access = load_access(environ={"KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account_dir=tmp_path)
    assert (access.server, access.namespace) == ("https://[fd00::1]:443", "watchbell")


# --- exec plugins: real programs


@pytest.fixture
def plugin(tmp_path):
    """Writes a plugin whose body is Python; returns the kubeconfig's user entry. Each run adds a line to `runs`."""

    def plugin(body: str, **extra: object) -> dict:
        path = tmp_path / "plugin"
        path.write_text(
            f"#!{sys.executable}\nimport json, os, sys\nopen({str(tmp_path / 'runs')!r}, 'a').write('x')\n{body}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", **extra}}

    return plugin


def credential(**status: object) -> str:
    body = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(body)!r})"


def test_a_plugins_token_is_kept_until_shortly_before_it_expires(write, plugin, tmp_path):
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    access = load_access(write(kubeconfig(user=plugin(credential(token="fresh", expirationTimestamp=expires)))))
    assert access.is_token_slow
    assert access.token is not None
    assert [access.token(), access.token()] == ["fresh", "fresh"]
    assert (tmp_path / "runs").read_text() == "x"


def test_a_plugin_is_run_again_when_its_token_is_about_to_expire(write, plugin, tmp_path):
    expires = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
    access = load_access(write(kubeconfig(user=plugin(credential(token="short", expirationTimestamp=expires)))))
    before = len((tmp_path / "runs").read_text())
    assert access.token is not None
    access.token()
    assert len((tmp_path / "runs").read_text()) == before + 1


def test_a_plugin_gets_its_arguments_environment_and_cluster(write, plugin):
    body = (
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "token = '|'.join([*sys.argv[1:], os.environ['REGION'], info['spec']['cluster']['server']])\n"
        "print(json.dumps({'status': {'token': token}}))"
    )
    user = plugin(body, args=["get", "token"], env=[{"name": "REGION", "value": "eu"}], provideClusterInfo=True)
    access = load_access(write(kubeconfig(user=user)))
    assert access.token is not None
    assert access.token() == "get|token|eu|https://127.0.0.1:6443"


def test_a_plugin_may_give_a_certificate_instead(write, plugin):
    user = plugin(credential(clientCertificateData=CERTIFICATE.decode(), clientKeyData=KEY.decode()))
    access = load_access(write(kubeconfig(user=user)))
    assert access.token is None
    assert access.ssl is not None


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("sys.stderr.write('secret stuff'); sys.exit(3)", "failed with exit code 3; run it by hand"),
        ("print('hello secret stuff')", "printed no ExecCredential"),
        ("print('{}')", "printed no ExecCredential"),
        (credential(), "neither a token nor a certificate"),
    ],
)
def test_a_plugin_that_fails_is_one_sentence_without_its_output(write, plugin, body, sentence):
    with pytest.raises(AccessError, match=sentence) as refused:
        load_access(write(kubeconfig(user=plugin(body))))
    assert "secret stuff" not in str(refused.value)


def test_a_plugin_that_is_not_installed_says_how_to_get_it(write):
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "no-such-plugin-anywhere",
            "installHint": "Install it with\nyour package manager.",
        }
    }
    with pytest.raises(AccessError, match=r"is not installed\. Install it with your package manager"):
        load_access(write(kubeconfig(user=user)))
