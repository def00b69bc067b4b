"""The operator at work under exactly the rights that the chart gives to its ServiceAccount, compared with the API server's audit log.

Nothing is missing (no request is refused) and nothing is unused (every verb of every rule is asked for by somebody).
"""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager

import pytest

import controlplane
from accountrig import CODES, KEY, SECRET, SPEC
from cluster import install_crds
from helmrig import CHARTS, helm, of_kind, rendered
from operatorrig import KINDS, encoded, until, world
from otelrig import otel_crd
from rightsrig import asked, grants
from watchbell.accounts.minter import RECOVERIES
from watchbell.kube.client import CONFIGMAPS, PODS, SECRETS

pytestmark = pytest.mark.timeout(240)
ASKS_FOR_ITSELF = {"selfsubjectaccessreviews"}
# Rights whose situation is not made here, with the reason.
NOT_MADE = {
    ("delete", "collectorincidents"): "resolved incidents are removed after seven days",
    ("get", "collectorincidents"): "only a restart between making an incident and remembering it finds its name taken",
    (
        "patch",
        "events",
    ): "an Event is patched when the very same thing happens to the same object again within the hour",
}


@pytest.fixture(scope="module")
def audit_log(tmp_path_factory):
    return tmp_path_factory.mktemp("audit") / "audit.log"


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory, audit_log):
    """A control plane of this file's own, which writes down who asked for what."""
    with controlplane.start(tmp_path_factory.mktemp("cluster"), audit_log=audit_log) as plane:
        rest = plane.rest()
        install_crds(rest)
        rest.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}})
        with otel_crd(rest):
            yield plane


@contextmanager
def installed(at, *sets):
    """The chart in the operator's namespace, with its ServiceAccount's kubeconfig and the grants that follow from its roles."""
    values = ",".join(("crds.enabled=false", "replicas=0", f"fullnameOverride={at.home}", *sets))
    arguments = (f"--namespace={at.home}", f"--set={values}")
    done = helm("helm", "install", at.home, CHARTS["watchbell"], *arguments, kubeconfig=at.plane.kubeconfig)
    assert done.returncode == 0, done.stderr
    try:
        given = grants(rendered("watchbell", *arguments, release=at.home), "watchbell")
        yield at.plane.kubeconfig_with(at.plane.service_account_token(at.home, "watchbell")), given
    finally:
        done = helm("helm", "uninstall", at.home, f"--namespace={at.home}", kubeconfig=at.plane.kubeconfig)
        assert done.returncode == 0, done.stderr


@asynccontextmanager
async def cluster_connector(at):
    """One for every namespace whose label fits, with its Secret and CA in the operator's namespace."""
    await at.secret(namespace=at.home)
    await at.authority_map(at.home)
    selector = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": at.namespace}}}
    name = f"shared-{at.home}"
    await at.make("ClusterSmtpConnector", name, at.connector_spec(allowedNamespaces=selector))
    try:
        await at.has("ClusterSmtpConnector", name, "Ready", "True")
        yield name
    finally:
        await at.client.delete(KINDS["ClusterSmtpConnector"], name)


async def is_gone(at, resource, count_of=""):
    return not [one for one in await at.client.list(resource, at.namespace) if count_of in one["metadata"]["name"]]


async def everything_happens(at, *, with_codes):
    """What users, kubelets and time do to an operator; each wait is for what must come of it."""
    await at.connector()
    await at.has("SmtpConnector", "default", "Ready", "True")
    await account_mail(at, with_codes=with_codes)
    await at.make("EmailTemplate", "short", {"subject": "{{ incident.kind }}", "text": "{{ incident.owner }}"})
    await at.make("AlertSilence", "old", silence())
    await a_collector_crashes_and_recovers(at)
    async with cluster_connector(at) as shared:
        ref = {"kind": "ClusterSmtpConnector", "name": shared}
        await at.make("SmtpTest", "try", {"connectorRef": ref, "to": ["you@example.com"], "ttlSecondsAfterFinished": 1})
        await until(lambda: is_gone(at, KINDS["SmtpTest"]), "the test's time is over")
    spec = {"to": ["you@example.com"], "subject": "Hello", "body": {"text": "there"}, "ttlSecondsAfterFinished": 1}
    await at.make("EmailMessage", "hello", spec)
    await until(lambda: is_gone(at, KINDS["EmailMessage"], "hello"), "the message's time is over")


def silence():
    matcher = {"field": "Owner", "operator": "In", "values": ["Deployment/other"]}
    times = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2099-01-01T00:00:00Z"}
    return {"matchers": [matcher], "comment": "Not this one.", "createdBy": "ada@example.com", **times}


async def account_mail(at, *, with_codes):
    about = {"name": SECRET, "labels": {"watchbell.dev/signing-key": "true"}}
    await at.client.create(SECRETS, {"metadata": about, "data": {"k1": encoded(KEY.decode())}}, at.namespace)
    for name, more in (("link", {}), ("codes", CODES)) if with_codes else (("link", {}),):
        spec = {field: value for field, value in (SPEC | more).items() if value is not None}
        body = {"apiVersion": "watchbell.dev/v1alpha1", "kind": "AccountRecovery", "metadata": {"name": name}}
        await at.client.create(RECOVERIES, body | {"spec": spec | {"ttlSecondsAfterFinished": 1}}, at.namespace)
    await until(lambda: is_gone(at, RECOVERIES), "the account mails' time is over")


async def a_collector_crashes_and_recovers(at):
    recipients = {"metadata": {"name": "people"}, "data": {"oncall": "ada@example.com"}}
    await at.client.create(CONFIGMAPS, recipients, at.namespace)
    to_from = [{"configMapKeyRef": {"name": "people", "key": "oncall"}}]
    routes = [{"name": "oncall", "to": ["oncall@example.com"], "toFrom": to_from, "templateRef": {"name": "short"}}]
    await at.policy(routes=routes, crash={"logTailLines": 5})
    await at.pod("gateway-a", node="worker-1")
    await at.has("CollectorPolicy", "collectors", "Ready", "True")
    before = len(at.mails)
    await at.crash("gateway-a")
    await at.mailed(before + 1)
    await at.client.delete(PODS, "gateway-a", at.namespace)
    await at.pod("gateway-b", node="worker-1")
    await at.mailed(before + 2)


def compare(at, audit_log, given):
    """Asserts that what was asked for is what was granted."""
    user = f"system:serviceaccount:{at.home}:watchbell"
    requests = asked(audit_log, user)
    refused = {(one.verb, one.kind, one.namespace) for one, code in requests if code == 403}
    assert refused == set()
    made = {one for one, _ in requests if one.kind not in ASKS_FOR_ITSELF}
    beyond = {one for one in made if not any(grant.covers(one) for grant in given)}
    assert beyond == set(), "asked for, allowed, but not by the chart"
    unused = {grant for grant in given if not any(grant.covers(one) for one in made)}
    return {grant for grant in unused if (grant.verb, grant.kind) not in NOT_MADE}


def told(unused):
    return sorted(str(grant) for grant in unused)


async def run_under(at, audit_log, sets, *flags, with_codes=False):
    """The unused grants of an operator that lived through everything."""
    with installed(at, *sets) as (kubeconfig, given):
        async with at.operator("--leader-elect", *flags, kubeconfig=kubeconfig) as operator:
            await operator.ready()
            async with at.operator("--leader-elect", *flags, kubeconfig=kubeconfig, name="standby") as standby:
                await standby.ready()
                await everything_happens(at, with_codes=with_codes)
            operator.terminate()
            assert await operator.ended() == 0
        return compare(at, audit_log, given)


async def test_with_get_every_right_is_used_and_none_is_missing(control_plane, namespace, tmp_path, audit_log):
    async with world(control_plane, namespace, tmp_path) as at:
        unused = await run_under(at, audit_log, ("rbac.accountCodes=true",), with_codes=True)
    assert not unused, told(unused)


async def test_with_watch_every_right_is_used_and_none_is_missing(control_plane, namespace, tmp_path, audit_log):
    async with world(control_plane, namespace, tmp_path) as at:
        unused = await run_under(at, audit_log, ("rbac.secretAccess=Watch",), "--secret-access=Watch")
    assert not unused, told(unused)


async def test_with_namespaced_every_right_is_used_and_none_is_missing(control_plane, namespace, tmp_path, audit_log):
    sets = ("rbac.secretAccess=Namespaced", f"rbac.secretNamespaces={{{namespace}}}")
    async with world(control_plane, namespace, tmp_path) as at:
        unused = await run_under(at, audit_log, sets, "--secret-access=Namespaced")
    assert not unused, told(unused)


@pytest.mark.parametrize("access", ["Get", "Watch"])
async def test_in_named_namespaces_every_right_is_used_and_none_is_missing(
    control_plane, namespace, tmp_path, audit_log, access
):
    sets = (f"watch.namespaces={{{namespace}}}", f"rbac.secretAccess={access}")
    flags = (f"--watch-namespaces={namespace}", f"--secret-access={access}")
    async with world(control_plane, namespace, tmp_path) as at:
        unused = await run_under(at, audit_log, sets, *flags)
    assert not unused, told(unused)


async def test_a_team_lets_the_operator_read_its_secrets_with_one_binding(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        with installed(at, "rbac.secretAccess=Namespaced") as (kubeconfig, _):
            async with at.operator("--secret-access=Namespaced", kubeconfig=kubeconfig, is_impatient=True) as operator:
                await operator.ready()
                await at.connector()
                await at.has("SmtpConnector", "default", "ResolvedRefs", "False", "SecretForbidden")
                binding = {
                    "metadata": {"name": "watchbell-secrets"},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": f"{at.home}-secret-reader",
                    },
                    "subjects": [{"kind": "ServiceAccount", "name": "watchbell", "namespace": at.home}],
                }
                path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
                at.plane.rest().post(path, binding)
                await at.has("SmtpConnector", "default", "Ready", "True")


async def test_with_rights_trimmed_mails_still_go_out_and_what_is_missing_is_told(control_plane, namespace, tmp_path):
    trimmed = [f"rbac.{name}=false" for name in ("nodes", "workloads", "podLogs", "podEvents")]
    async with world(control_plane, namespace, tmp_path) as at:
        with installed(at, *trimmed) as (kubeconfig, _):
            async with at.operator("--leader-elect", kubeconfig=kubeconfig) as operator:
                await operator.ready()
                await at.connector()
                await at.policy(crash={"logTailLines": 5})
                await at.pod("gateway-a", node="worker-1")
                found = await at.has("CollectorPolicy", "collectors", "ResolvedRefs", "False", "OwnersForbidden")
                assert f"--serviceaccount={at.home}:watchbell" in found["message"]
                await at.crash("gateway-a")
                await at.mailed(1)


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("view", ("list smtpconnectors", "get collectorincidents"), ("get emailmessages", "list accountrecoveries")),
        (
            "edit",
            ("create emailmessages", "patch collectorincidents"),
            ("create smtpconnectors", "get accountrecoveries"),
        ),
        ("admin", ("create smtpconnectors", "create accountrecoveries"), ("create clustersmtpconnectors",)),
        ("tester", ("create smtptests", "get smtpconnectors"), ("create emailmessages", "list collectorpolicies")),
        ("sender", ("create emailmessages", "get emailmessages"), ("create smtptests", "delete emailmessages")),
    ],
)
async def test_a_role_for_people_gives_what_it_is_for_and_no_more(
    control_plane, namespace, tmp_path, role, may, may_not
):
    rest = control_plane.rest()
    async with world(control_plane, namespace, tmp_path) as at:
        with installed(at):
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"ada-{at.home}"}
            path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"
            names = {"view": ("view",), "edit": ("view", "edit"), "admin": ("view", "edit", "admin")}.get(role, (role,))
            for one in names:
                rest.post(
                    path,
                    {
                        "metadata": {"name": one},
                        "roleRef": ref | {"name": f"{at.home}-{one}"},
                        "subjects": [subject],
                    },
                )
            assert [right for right in may if not is_allowed(rest, at, subject["name"], right)] == []
            assert [right for right in may_not if is_allowed(rest, at, subject["name"], right)] == []


def is_allowed(rest, at, user, right):
    verb, kind = right.split()
    attributes = {"verb": verb, "group": "watchbell.dev", "resource": kind, "namespace": at.namespace}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    asked_for = review | {"spec": {"user": user, "resourceAttributes": attributes}}
    return rest.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", asked_for)["status"]["allowed"]


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_the_clusters_own_roles_get_ours(role):
    labels = {
        one["metadata"]["name"].rpartition("-")[2]: one["metadata"]["labels"]
        for one in rendered("watchbell")
        if one["kind"] == "ClusterRole"
    }
    key = f"rbac.authorization.k8s.io/aggregate-to-{role}"
    mine = {name for name, found in labels.items() if found.get(key) == "true"}
    assert mine == {"view": {"view"}, "edit": {"view", "edit"}, "admin": {"view", "edit", "admin"}}[role]


async def test_the_doctor_that_helm_test_runs_may_see_what_it_looks_at_and_finds_nothing_amiss(
    control_plane, namespace, tmp_path
):
    async with world(control_plane, namespace, tmp_path) as at:
        with installed(at) as (kubeconfig, _):
            async with at.operator(kubeconfig=kubeconfig) as operator:
                await operator.ready()
                await at.connector()
                await at.has("SmtpConnector", "default", "Ready", "True")
                await at.pod(
                    "operator", owner="operator", namespace=at.home, labels={"app.kubernetes.io/name": "watchbell"}
                )
                is_ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
                await at.client.patch(PODS, "operator", is_ready, at.home, subresource="status")
                (pod,) = of_kind(rendered("watchbell", "--namespace=" + at.home), "Pod")
                arguments = pod["spec"]["containers"][0]["args"]
                assert arguments[-1] == f"--operator-namespace={at.home}"
                command = [sys.executable, "-m", "watchbell", *arguments, f"--kubeconfig={kubeconfig}"]
                done = await asyncio.to_thread(
                    subprocess.run, command, capture_output=True, text=True, check=False, timeout=100
                )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
