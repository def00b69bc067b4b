"""The rights that the whole path needs, and no others: what the chart's role must hold."""

from contextlib import contextmanager

from operatorrig import until, world
from watchbell.kube.client import PODS

RBAC = "rbac.authorization.k8s.io"
BASE = f"/apis/{RBAC}/v1"
OURS = (
    "clustersmtpconnectors",
    "smtpconnectors",
    "smtptests",
    "emailmessages",
    "collectorpolicies",
    "collectorincidents",
    "alertsilences",
    "emailtemplates",
    "accountrecoveries",
)
WORKLOADS = ("deployments", "statefulsets", "daemonsets", "replicasets")
EVERYWHERE = (
    ("watchbell.dev", OURS, ("get", "list", "watch")),
    ("watchbell.dev", tuple(f"{kind}/status" for kind in OURS), ("patch",)),
    ("watchbell.dev", ("emailmessages", "collectorincidents"), ("create",)),
    ("watchbell.dev", ("emailmessages", "collectorincidents", "smtptests", "accountrecoveries"), ("delete",)),
    ("", ("pods", "nodes"), ("list", "watch")),
    ("apps", WORKLOADS, ("get", "list", "watch")),
    ("batch", ("jobs",), ("get", "list", "watch")),
    ("opentelemetry.io", ("opentelemetrycollectors",), ("get", "list", "watch")),
    ("events.k8s.io", ("events",), ("list",)),
    ("", ("secrets", "configmaps", "namespaces"), ("get",)),
    ("events.k8s.io", ("events",), ("create", "patch")),
)
AT_HOME = (
    ("", ("configmaps",), ("create", "update")),
    ("coordination.k8s.io", ("leases",), ("get", "list", "watch", "create", "update")),
)


def rules(entries):
    return [{"apiGroups": [group], "resources": list(kinds), "verbs": list(verbs)} for group, kinds, verbs in entries]


@contextmanager
def operator_account(plane, home):
    """A kubeconfig of a service account in `home` with exactly these rights."""
    rest, name = plane.rest(), f"watchbell-{home}"
    subject = {"kind": "ServiceAccount", "name": "watchbell", "namespace": home}
    local = f"{BASE}/namespaces/{home}"
    rest.post(f"/api/v1/namespaces/{home}/serviceaccounts", {"metadata": {"name": "watchbell"}})
    rest.post(f"{BASE}/clusterroles", {"metadata": {"name": name}, "rules": rules(EVERYWHERE)})
    rest.post(f"{local}/roles", {"metadata": {"name": name}, "rules": rules(AT_HOME)})
    for path, kind in ((f"{BASE}/clusterrolebindings", "ClusterRole"), (f"{local}/rolebindings", "Role")):
        ref = {"apiGroup": RBAC, "kind": kind, "name": name}
        rest.post(path, {"metadata": {"name": name}, "roleRef": ref, "subjects": [subject]})
    try:
        yield plane.kubeconfig_with(plane.service_account_token(home, "watchbell"))
    finally:
        for path in (f"{BASE}/clusterrolebindings", f"{BASE}/clusterroles"):
            rest.delete(f"{path}/{name}")


async def test_the_whole_path_works_with_these_rights_and_asks_for_no_others(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        with operator_account(control_plane, at.home) as kubeconfig:
            async with at.operator("--leader-elect", kubeconfig=kubeconfig) as operator:
                await operator.ready()
                await at.connector()
                await at.has("SmtpConnector", "default", "Ready", "True")
                await at.make("SmtpTest", "try", {"to": ["you@example.com"], "ttlSecondsAfterFinished": 1})
                await at.policy()
                await at.pod("gateway-a")
                await at.has("CollectorPolicy", "collectors", "Ready", "True")
                await at.crash("gateway-a")
                await at.settled(1)
                await at.client.delete(PODS, "gateway-a", at.namespace)
                await at.pod("gateway-b")
                await at.settled(2)

                async def is_deleted():
                    return not await at.listed("SmtpTest")

                await until(is_deleted, "the test's time is over")
                denied = [line for line in (await operator.metrics()).splitlines() if 'code="403"' in line]
                assert not denied
                operator.terminate()
                assert await operator.ended() == 0
            assert await at.holder() == ""
            assert "orbidden" not in operator.text
