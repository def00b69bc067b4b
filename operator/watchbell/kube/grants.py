"""The commands by which an administrator gives a right that is missing (pure). Every cure that is about rights prints these."""

_SERVICE_ACCOUNT = "system:serviceaccount:"
_CHART = "--serviceaccount=watchbell-system:watchbell"


def grant(name: str, verbs: str, kind: str, namespace: str, subject: str) -> str:
    """Two commands: a role `watchbell-<name>` and its binding, in one namespace or (empty) in the whole cluster.

    `verbs` as in `get,list`, `kind` as in `deployments.apps` or `pods/log`, `subject` a flag of `kubectl create rolebinding`.
    """
    role, where = ("role", f"-n {namespace} ") if namespace else ("clusterrole", "")
    return (
        f"kubectl {where}create {role} watchbell-{name} --verb={verbs} --resource={kind}; "
        f"kubectl {where}create {role}binding watchbell-{name} --{role}=watchbell-{name} {subject}"
    )


def subject_of(user: str) -> str:
    """The user as `kubectl create rolebinding` takes it: a service account has its own flag. The chart's one where nobody knows."""
    namespace, _, account = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if user.startswith(_SERVICE_ACCOUNT) and namespace and account and ":" not in account:
        return f"--serviceaccount={namespace}:{account}"
    return f"--user={user}" if user else _CHART
