"""One CustomResourceDefinition for each kind. Pure: the table of kinds comes in, plain data goes out."""

from typing import Any

from watchbell import __version__
from watchbell.api.kinds import Column, Kind
from watchbell.api.meta import Block
from watchbell.api.names import ANNOTATION_BUNDLE_VERSION, CATEGORY, GROUP, VERSION
from watchbell.api.schema import Schema, structural

UNSEEN = {"observedGeneration": -1}
"""The status of a fresh object: kstatus takes it for work in progress, never for done."""


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of `kind`."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd, "annotations": {ANNOTATION_BUNDLE_VERSION: __version__}},
        "spec": {
            "group": GROUP,
            "names": _names(kind),
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [_version(kind)],
        },
    }


def block_of(kind: Kind, field: str) -> type[Block]:
    """The model class of `spec` or `status`."""
    annotation = kind.model.model_fields[field].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, Block)):
        raise TypeError(f"{kind.kind}.{field} is no block")
    return annotation


def _names(kind: Kind) -> dict[str, Any]:
    names: dict[str, Any] = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
        "categories": [CATEGORY],
    }
    return names | ({"shortNames": list(kind.short_names)} if kind.short_names else {})


def _version(kind: Kind) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": root(kind)},
    }
    return version | ({"selectableFields": [{"jsonPath": path} for path in kind.selectable]} if kind.selectable else {})


def root(kind: Kind) -> Schema:
    """The whole schema of one object."""
    status = structural(block_of(kind, "status")) | {"default": UNSEEN}
    return {
        "type": "object",
        "description": (kind.model.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.kind},
            "metadata": {"type": "object"},
            "spec": structural(block_of(kind, "spec")),
            "status": status,
        },
    }


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return entry | ({"priority": 1} if column.is_wide else {})
