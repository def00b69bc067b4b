"""`watchbell grant SECRET`: the smallest right by which the operator reads one Secret, as objects to look at and to apply.

Before: the flags. Nothing is written: whoever owns the namespace applies it. A cluster is not asked; only the context's namespace is read.
"""

import argparse
from typing import Any

from watchbell.cli.console import CommandError, complain, print_list
from watchbell.kube.access import AccessError, load_access

RBAC = "rbac.authorization.k8s.io"
Body = dict[str, Any]


def do(flags: argparse.Namespace) -> int:
    """0 printed, 1 no namespace is known, 2 the name cannot be one."""
    try:
        namespace = _namespace(flags)
    except CommandError as error:
        complain(error)
        return error.code
    print_list(
        grant(flags.name, namespace, account=(flags.operator_namespace, flags.operator_account), watches=flags.watch),
        flags.output or "yaml",
    )
    return 0


def _namespace(flags: argparse.Namespace) -> str:
    if "/" in flags.name or not flags.name or flags.name != flags.name.lower():
        raise CommandError(f"SECRET must be the name of a Secret, not {flags.name!r}", 2)
    if flags.namespace:
        return str(flags.namespace)
    try:
        return load_access(flags.kubeconfig, flags.context).namespace
    except AccessError as error:
        raise CommandError(f"in which namespace is the Secret? give -n NAME ({error})") from error


def grant(secret: str, namespace: str, *, account: tuple[str, str], watches: bool = False) -> tuple[Body, Body]:
    """Role and RoleBinding; `account` is (namespace, name). A resourceName allows list and watch of that one object too."""
    name = f"watchbell-{secret}"
    metadata = {"name": name, "namespace": namespace}
    rule = {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": [secret],
        "verbs": ["get", "list", "watch"] if watches else ["get"],
    }
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
    subject = {"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": reference,
        "subjects": [subject],
    }
    return role, binding
