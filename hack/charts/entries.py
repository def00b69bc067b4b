"""The objects of the chart watchbell-config: a mapping from names to specs, which Helm checks with the very schema of the CRD.

So a field that does not exist is told at `helm template`, before anything reaches a cluster.
"""

from typing import Any

from watchbell.api.crd import definition
from watchbell.api.kinds import KINDS

_KEPT = {
    "type", "description", "enum", "default", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "required",
}  # fmt: skip
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def entry_schema(plural: str) -> dict[str, Any]:
    """The schema of a mapping from names to objects of one kind. A null entry is one that a later values file took out."""
    (kind,) = (kind for kind in KINDS if kind.plural == plural)
    crd = definition(kind)["spec"]
    spec = crd["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    about: dict[str, Any] = {
        "labels": {"description": "Further labels.", **_TEXTS},
        "annotations": {"description": "Annotations.", **_TEXTS},
        "spec": from_open_api(spec),
    }
    if crd["scope"] == "Namespaced":
        about["namespace"] = {"type": "string", "description": "Where, if not in the release's namespace."}
    entry = {"type": ["object", "null"], "required": ["spec"], "properties": about, "additionalProperties": False}
    return {"type": "object", "additionalProperties": entry}


def from_open_api(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema of Kubernetes as JSON schema: its own extensions left out, unknown keys refused."""
    found = {key: value for key, value in schema.items() if key in _KEPT}
    if "properties" in schema:
        found["properties"] = {name: from_open_api(one) for name, one in schema["properties"].items()}
        found["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = from_open_api(schema["additionalProperties"])
    if "items" in schema:
        found["items"] = from_open_api(schema["items"])
    return found
