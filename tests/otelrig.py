"""An API server that serves OpenTelemetryCollectors."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster import eventually
from controlplane import Rest, RestError

OTEL_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@contextmanager
def otel_crd(rest: Rest) -> Iterator[None]:
    """A minimal OpenTelemetryCollector, as long as the block runs."""
    version = {
        "name": "v1beta1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    names = {
        "plural": "opentelemetrycollectors",
        "singular": "opentelemetrycollector",
        "kind": "OpenTelemetryCollector",
    }
    spec = {"group": "opentelemetry.io", "scope": "Namespaced", "names": names, "versions": [version]}
    name = "opentelemetrycollectors.opentelemetry.io"
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}}
    rest.post(OTEL_CRDS, crd | {"spec": spec})
    try:
        eventually(lambda: _is_served(rest), "OpenTelemetryCollectors are served")
        yield
    finally:
        rest.delete(f"{OTEL_CRDS}/{name}")
        eventually(lambda: not _is_served(rest), "OpenTelemetryCollectors are served no more")


def _is_served(rest: Rest) -> bool:
    try:
        rest.get("/apis/opentelemetry.io/v1beta1/opentelemetrycollectors")
    except RestError as error:
        if error.status in (404, 429, 503):
            return False
        raise
    return True
