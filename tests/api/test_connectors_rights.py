"""What a connector says when the operator lacks a right that concerns this object only: a condition with the commands, never a silent retry."""

import re
from contextlib import contextmanager

from connectorrig import eventually, rig
from smtprig import USER, Scripted

BASE = "/apis/rbac.authorization.k8s.io/v1"
NOBODY = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "plain"}
RELAY = {"host": "127.0.0.1", "tls": {"mode": "None"}, "from": {"address": USER}}


@contextmanager
def narrow(plane, namespace):
    """The user `plain` may do everything with our kinds and Events, and read no Secret and no Namespace."""
    rest, name = plane.rest(), f"narrow-{namespace}"
    ours = {"apiGroups": ["watchbell.dev", "events.k8s.io"], "resources": ["*"], "verbs": ["*"]}
    rest.post(f"{BASE}/clusterroles", {"metadata": {"name": name}, "rules": [ours]})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    rest.post(f"{BASE}/clusterrolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": [NOBODY]})
    try:
        yield rest
    finally:
        rest.delete(f"{BASE}/clusterrolebindings/{name}")
        rest.delete(f"{BASE}/clusterroles/{name}")


async def test_a_secret_that_may_not_be_read_is_told_with_the_commands_that_allow_it(control_plane, namespace):
    with narrow(control_plane, namespace) as rest:
        async with rig(control_plane, namespace, user="plain") as at, Scripted([]) as server:
            await at.make(
                "SmtpConnector", "default", RELAY | {"port": server.port, "auth": {"secretRef": {"name": "relay"}}}
            )
            found = await at.until("SmtpConnector", "default", "ResolvedRefs", "False", "SecretForbidden")
            assert found["Reconciling"][:2] == ("True", "WaitingForSecret")
            told = re.search(
                r"create role (\S+) --verb=(\S+) --resource=(\S+) --resource-name=(\S+);", found["Ready"][2]
            )
            assert told is not None
            name, verb, resource, secret = told.groups()
            assert (
                f"create rolebinding {name} --role={name} --serviceaccount={namespace}:watchbell" in found["Ready"][2]
            )
            rule = {"apiGroups": [""], "resources": [resource], "resourceNames": [secret], "verbs": [verb]}
            local = f"{BASE}/namespaces/{namespace}"
            rest.post(f"{local}/roles", {"metadata": {"name": name}, "rules": [rule]})
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            rest.post(f"{local}/rolebindings", {"metadata": {"name": name}, "roleRef": ref, "subjects": [NOBODY]})

            async def is_allowed():  # the API server takes a moment to notice
                at.connectors.dependency_changed("Secret", namespace, "relay")
                await at.connectors.queue.idle()
                return (await at.conditions("SmtpConnector", "default"))["ResolvedRefs"][1] == "SecretNotFound"

            await eventually(is_allowed)


async def test_a_selector_of_namespaces_that_may_not_be_read_refuses_and_says_so(control_plane, namespace):
    with narrow(control_plane, namespace) as rest:
        parent = f"corp-{namespace}"
        async with rig(control_plane, namespace, user="plain") as at, Scripted([]) as server:
            allowed = {"from": "Selector", "selector": {"matchLabels": {"mail": "yes"}}}
            suspended = {"port": server.port, "suspend": True, "allowedNamespaces": allowed}
            await at.make("ClusterSmtpConnector", parent, RELAY | suspended)
            try:
                await at.make("SmtpConnector", "child", {"parentRef": {"name": parent}})
                found = await at.until("SmtpConnector", "child", "Accepted", "False", "NamespaceNotAllowed")
                assert "may not get Namespaces" in found["Accepted"][2]
            finally:
                rest.delete(f"/apis/watchbell.dev/v1alpha1/clustersmtpconnectors/{parent}")
