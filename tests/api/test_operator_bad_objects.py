"""Objects that were stored before the CRDs changed, and that today's would refuse: each gets a verdict that names the field."""

from contextlib import contextmanager

import yaml

from cluster import CRD_FOLDER, install_crds
from controlplane import RestError
from operatorrig import KINDS, condition, until, world

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RULES = {
    "x-kubernetes-validations", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
    "pattern", "format",
}  # fmt: skip
BAD = {
    "SmtpConnector": ({"host": "relay.example.com", "port": 99999, "from": {"address": "a@example.com"}}, "spec.port"),
    "CollectorPolicy": ({"selector": {"matchLabels": {"app": "x"}}, "routes": []}, "spec.routes"),
    "SmtpTest": ({"level": "Authenticate", "timeoutSeconds": 0}, "spec.timeoutSeconds"),
    "EmailMessage": ({"to": ["nobody"], "subject": "s", "body": {"text": "t"}}, "to"),
}


def loosened(schema):
    """A schema that knows the fields and nothing else of them."""
    if isinstance(schema, list):
        return [loosened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: loosened(value) for key, value in schema.items() if key not in RULES or isinstance(value, dict)}


@contextmanager
def yesterdays_crds(rest):
    """CRDs that let everything through, while the block runs; today's are back after it."""
    for kind in BAD:
        (path,) = CRD_FOLDER.glob(f"*_{KINDS[kind].plural}.yaml")
        crd = yaml.safe_load(path.read_text())
        spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        spec["spec"] = loosened(spec["spec"])
        rest.apply(f"{CRDS}/{crd['metadata']['name']}", crd)
    try:
        yield
    finally:
        install_crds(rest)


def is_taken(rest, namespace, kind, name, spec):
    """Whether the API server takes such an object now; it needs a moment for a new schema."""
    path = f"/apis/watchbell.dev/v1alpha1/namespaces/{namespace}/{KINDS[kind].plural}"
    body = {"apiVersion": "watchbell.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    try:
        rest.post(path, body)
    except RestError as problem:
        if problem.status == 422:
            return False
        raise
    return True


async def test_a_stored_object_that_todays_rules_refuse_is_told_so_with_its_field(control_plane, namespace, tmp_path):
    rest = control_plane.rest()
    async with world(control_plane, namespace, tmp_path) as at:
        with yesterdays_crds(rest):
            for kind, (spec, _) in BAD.items():
                await until(lambda k=kind, s=spec: is_taken(rest, namespace, k, "stale", s), f"a bad {kind} is stored")
        for number, (kind, (spec, _)) in enumerate(BAD.items()):
            names = iter(f"late-{number}-{n}" for n in range(10_000))
            await until(
                lambda k=kind, s=spec, n=names: not is_taken(rest, namespace, k, next(n), s), f"{kind} has its rules"
            )
        async with at.operator() as operator:
            await operator.ready()
            for kind, verdict in (
                ("SmtpConnector", "Accepted"),
                ("CollectorPolicy", "Accepted"),
                ("SmtpTest", "Succeeded"),
                ("EmailMessage", "Succeeded"),
            ):
                await at.has(kind, "stale", verdict, "False")
                told = condition(await at.get(kind, "stale"), verdict)
                assert told["reason"] in {"InvalidSpec", "InvalidMessage"}
                assert BAD[kind][1] in told["message"], told
            assert condition(await at.get("SmtpConnector", "stale"), "Ready")["status"] == "False"
            assert "Traceback" not in operator.text
            await at.connector("good")
            await at.has("SmtpConnector", "good", "Ready", "True")
