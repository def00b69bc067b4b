"""What to do about a refusal of the API server (pure): which right is missing, and the commands by which somebody grants it.

Before: a failed call. After: `cluster` says it in one sentence.
"""

import re

_DENIED = re.compile(
    r'^(?P<what>.*) is forbidden: User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_SAFE = re.compile(r"[A-Za-z0-9._:@/-]+")


def granting(message: str) -> str:
    """The commands for an administrator; empty where the refusal is of another kind."""
    found = _DENIED.match(message)
    if found is None or not _SAFE.fullmatch(found["user"]):
        return ""
    verb, user, namespace = found["verb"], found["user"], found["namespace"]
    resource, _, subresource = found["resource"].partition("/")
    kind = (f"{resource}.{found['group']}" if found["group"] else resource) + (f"/{subresource}" if subresource else "")
    name = f"watchbell-{verb}-{resource}"
    where = f"-n {namespace} " if namespace else ""
    role = "role" if namespace else "clusterrole"
    return (
        f"kubectl {where}create {role} {name} --verb={verb} --resource={kind}; "
        f"kubectl {where}create {role}binding {name} --{role}={name} {_subject(user)}"
    )


def _subject(user: str) -> str:
    """A service account is named by its own flag."""
    parts = user.split(":")
    is_account = parts[:2] == ["system", "serviceaccount"] and len(parts) == 4
    return f"--serviceaccount={parts[2]}:{parts[3]}" if is_account else f"--user={user}"
