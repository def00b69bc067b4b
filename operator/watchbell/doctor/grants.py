"""The commands by which an administrator grants a right that a check found missing (pure)."""


def granting(right: str, who: str) -> str:
    """`get secrets in namespace shop` → the two commands that allow it."""
    what, _, namespace = right.partition(" in namespace ")
    verb, _, kind = what.partition(" ")
    scope, flag = ("", "clusterrole") if not namespace else (f"-n {namespace} ", "role")
    binding = "clusterrolebinding" if not namespace else "rolebinding"
    name = f"watchbell-{verb}-{kind.replace('/', '-').partition('.')[0]}"
    return (
        f"kubectl {scope}create {flag} {name} --verb={verb} --resource={kind}; "
        f"kubectl {scope}create {binding} {name} --{flag}={name} {who}"
    )
