"""The commands by which an administrator gives a right that is missing (pure). Every cure that is about rights prints these."""

_SERVICE_ACCOUNT = "system:serviceaccount:"


def operator_in(home: str) -> str:
    """The operator's service account in the namespace `home`, as the chart calls it, for `kubectl create rolebinding`."""
    return f"--serviceaccount={home}:watchbell"


def grant(name: str, verbs: str, kind: str, namespace: str, subject: str, *, only: str = "") -> str:
    """Two commands: a role `watchbell-<name>` and its binding, in one namespace or (empty) in the whole cluster.

    `verbs` as in `get,list`, `kind` as in `deployments.apps` or `pods/log`, `subject` a flag of `kubectl create rolebinding`.
    `only` is the name of the one object that it is for.
    """
    role, where = ("role", f"-n {namespace} ") if namespace else ("clusterrole", "")
    one = f" --resource-name={only}" if only else ""
    return (
        f"kubectl {where}create {role} watchbell-{name} --verb={verbs} --resource={kind}{one}; "
        f"kubectl {where}create {role}binding watchbell-{name} --{role}=watchbell-{name} {subject}"
    )


def subject_of(user: str) -> str:
    """The user as `kubectl create rolebinding` takes it: a service account has its own flag. The chart's one where nobody knows."""
    namespace, _, account = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if user.startswith(_SERVICE_ACCOUNT) and namespace and account and ":" not in account:
        return f"--serviceaccount={namespace}:{account}"
    return f"--user={user}" if user else operator_in("watchbell-system")
