"""The commands by which an administrator grants a right that a check found missing (pure)."""

from watchbell.kube.grants import grant


def granting(right: str, who: str) -> str:
    """`get secrets in namespace shop` → the two commands that allow it."""
    what, _, namespace = right.partition(" in namespace ")
    verb, _, kind = what.partition(" ")
    return grant(f"{verb}-{kind.replace('/', '-').partition('.')[0]}", verb, kind, namespace, who)
