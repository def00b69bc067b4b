"""The optional ValidatingAdmissionPolicies, judged by a real API server."""

import base64
import time

import pytest

from controlplane import RestError
from helmrig import of_kind, path_of, rendered

VALUES = (
    "--set=admissionPolicies.allowedHosts={smtp.example.com,*.mail.example.com}",
    "--set=admissionPolicies.secureTransport=true,admissionPolicies.refuseMask=true",
    "--set=admissionPolicies.namespaceSelector.matchLabels.judged=yes",
)
SPEC = {"host": "smtp.example.com", "from": {"address": "a@example.com"}}
IN_FORCE_S = 60


@pytest.fixture(scope="module")
def policies(control_plane):
    """In force for namespaces with a label only, so that no other test feels them."""
    rest = control_plane.rest()
    made = of_kind(
        rendered("watchbell", *VALUES, release="judge"),
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    )
    for one in made:
        _scoped(one)
        rest.apply(path_of(one), one)
    yield rest
    for one in made:
        rest.delete(path_of(one))


def _scoped(one):
    """Kinds without a namespace are judged whatever the selector says, so here they are left out."""
    for rule in one["spec"].get("matchConstraints", {}).get("resourceRules", ()):
        rule["scope"] = "Namespaced"


@pytest.fixture
def judged(policies, namespace):
    """A namespace in which the policies are in force by now."""
    policies.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"judged": "yes"}}})
    deadline = time.monotonic() + IN_FORCE_S
    while why_not(policies, namespace, connector(host="evil.example.org")) is None:
        assert time.monotonic() < deadline, "the policies never came into force"
        time.sleep(0.05)
    while why_not(policies, namespace, secret({"password": "***"})) is None:
        assert time.monotonic() < deadline, "the policy for Secrets never came into force"
        time.sleep(0.05)
    return namespace


def connector(**spec):
    about = {"apiVersion": "watchbell.dev/v1alpha1", "kind": "SmtpConnector", "metadata": {"name": "default"}}
    return about | {"spec": SPEC | spec}


def secret(data, **more):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    about = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "relay"}, "type": "watchbell.dev/smtp"}
    return about | {"data": encoded} | more


def why_not(rest, namespace, body):
    """None if the API server would take it, else what it says."""
    plural = {"SmtpConnector": "smtpconnectors", "Secret": "secrets"}[body["kind"]]
    base = "/api/v1" if body["kind"] == "Secret" else "/apis/watchbell.dev/v1alpha1"
    try:
        rest.post(f"{base}/namespaces/{namespace}/{plural}?dryRun=All", body)
    except RestError as problem:
        return problem.message
    return None


@pytest.mark.parametrize("host", ["smtp.example.com", "SMTP.Example.com", "eu.mail.example.com"])
def test_hosts_on_the_list_are_taken(policies, judged, host):
    assert why_not(policies, judged, connector(host=host)) is None


@pytest.mark.parametrize(
    "host", ["smtp.example.com.evil.org", "mail.example.com", "evilmail.example.com", "127.0.0.1", "xsmtp.example.com"]
)
def test_other_hosts_are_refused_with_the_list(policies, judged, host):
    told = why_not(policies, judged, connector(host=host))
    assert (
        "spec.host must be one of those that the cluster's admin allows: smtp.example.com, *.mail.example.com" in told
    )


def test_a_child_that_inherits_its_host_is_taken(policies, judged):
    body = connector() | {"spec": {"parentRef": {"name": "corporate"}}}
    assert why_not(policies, judged, body) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"tls": {"mode": "None"}},
        {"tls": {"verification": "None"}},
        {"auth": {"secretRef": {"name": "relay"}, "plaintext": "Allow"}},
    ],
)
def test_connectors_without_verified_tls_are_refused(policies, judged, spec):
    assert "the cluster's admin asks for verified TLS" in why_not(policies, judged, connector(**spec))


def test_connectors_with_verified_tls_are_taken(policies, judged):
    spec = {"tls": {"mode": "Implicit", "minVersion": "TLS13"}, "auth": {"secretRef": {"name": "relay"}}}
    assert why_not(policies, judged, connector(**spec)) is None


@pytest.mark.parametrize("label", [True, False])
def test_a_mask_in_place_of_a_password_is_refused(policies, judged, label):
    opted = {"type": "Opaque", "metadata": {"name": "relay", "labels": {"watchbell.dev/smtp": "true"}}} if label else {}
    told = why_not(policies, judged, secret({"username": "ada", "password": "********"}, **opted))
    assert "is the mask of a form and not a password" in told
    assert "ada" not in told


def test_other_secrets_are_nobodys_business_here(policies, judged):
    assert why_not(policies, judged, secret({"password": "********"}, type="Opaque")) is None
    assert why_not(policies, judged, secret({"password": "a***b", "empty": ""})) is None


def test_a_namespace_that_was_not_selected_is_not_judged(policies, namespace):
    assert why_not(policies, namespace, connector(host="evil.example.org")) is None
