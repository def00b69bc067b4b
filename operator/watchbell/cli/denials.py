"""What to do about a refusal of the API server (pure): which right is missing, and the commands by which somebody grants it.

Before: a failed call. After: `cluster` says it in one sentence.
"""

import re

from watchbell.kube.grants import grant, subject_of

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
    return grant(f"{verb}-{resource}", verb, kind, namespace or "", subject_of(user))
