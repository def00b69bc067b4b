"""What the tests of the operator's rights share: what a chart's roles grant to its ServiceAccount, and what the audit log says was asked for."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helmrig import of_kind


@dataclass(frozen=True, slots=True)
class Request:
    """One kind of request, as the API server's audit log has it. `kind` has its subresource."""

    verb: str
    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Grant:
    """One verb on one kind; `namespace` empty = everywhere, `names` empty = all."""

    verb: str
    group: str
    kind: str
    namespace: str = ""
    names: tuple[str, ...] = ()

    def covers(self, request: Request) -> bool:
        same = (self.verb, self.group, self.kind) == (request.verb, request.group, request.kind)
        here = self.namespace in ("", request.namespace)
        return same and here and (not self.names or request.name in self.names)

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.kind}{group}" + (f" in {self.namespace}" if self.namespace else "")


def grants(found: Iterable[dict[str, Any]], account: str) -> set[Grant]:
    """What the ServiceAccount may do by the roles and bindings of a rendered chart."""
    found = list(found)
    roles = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["rules"]
        for one in of_kind(found, "Role", "ClusterRole")
    }
    granted = set()
    for binding in of_kind(found, "RoleBinding", "ClusterRoleBinding"):
        assert [subject["name"] for subject in binding["subjects"]] == [account]
        namespace, ref = binding["metadata"].get("namespace", ""), binding["roleRef"]
        rules = roles[ref["kind"], namespace if ref["kind"] == "Role" else "", ref["name"]]
        granted |= {
            Grant(verb, group, kind, namespace, tuple(rule.get("resourceNames", ())))
            for rule in rules
            for group in rule["apiGroups"]
            for kind in rule["resources"]
            for verb in rule["verbs"]
        }
    return granted


def asked(log: Path, user: str) -> list[tuple[Request, int]]:
    """The requests of one user with the codes that they were answered with; those for no resource (discovery) are left out."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if f'"{user}"' in line]
    return [
        (_request(line["verb"], line["objectRef"]), line.get("responseStatus", {}).get("code", 0))
        for line in lines
        if line["user"]["username"] == user and "objectRef" in line
    ]


def _request(verb: str, ref: dict[str, Any]) -> Request:
    kind = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
    return Request(verb, ref.get("apiGroup", ""), kind, ref.get("namespace", ""), ref.get("name", ""))
