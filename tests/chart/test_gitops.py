"""What Argo CD and Flux see of our objects, by the very scripts that the docs give to people: Lua 5.1, CEL, and the real kstatus."""

import json
import subprocess

import cel
import pytest
import yaml
from lupa.lua51 import LuaRuntime

import controlplane
from api.cases import body_of, spec_of
from helmrig import ROOT
from watchbell.api.kinds import KINDS

GITOPS = ROOT / "docs" / "gitops"
SETTINGS = yaml.safe_load((GITOPS / "argocd" / "argocd-cm.yaml").read_text())["data"]
CHECKS = {
    check["kind"]: check
    for document in yaml.safe_load_all((GITOPS / "flux/example/clusters/prod/apps.yaml").read_text())
    for check in document["spec"].get("healthCheckExprs", ())
}
ONE_SHOT = {"SmtpTest", "EmailMessage", "AccountRecovery"}
TELLING = {"CollectorIncident", "AlertSilence"}


def condition(type_, status, message="so it is"):
    return {"type": type_, "status": status, "reason": "Because", "message": message}


READY, NOT_READY, UNKNOWN = (condition("Ready", status) for status in ("True", "False", "Unknown"))
RECONCILING, STALLED = condition("Reconciling", "True"), condition("Stalled", "True", "the password is wrong")
# What the status holds → health in Argo CD, verdict of kstatus and of Flux's expressions.
STATES = [
    ("fresh", {"observedGeneration": -1}, "Progressing", "InProgress"),
    ("changed since", {"observedGeneration": 1, "conditions": [READY]}, "Progressing", "InProgress"),
    ("ready", {"observedGeneration": 2, "conditions": [READY]}, "Healthy", "Current"),
    ("trying again", {"observedGeneration": 2, "conditions": [NOT_READY, RECONCILING]}, "Progressing", "InProgress"),
    ("failed for good", {"observedGeneration": 2, "conditions": [NOT_READY, STALLED]}, "Degraded", "Failed"),
    ("not ready", {"observedGeneration": 2, "conditions": [NOT_READY]}, "Degraded", "InProgress"),
    ("not known", {"observedGeneration": 2, "conditions": [UNKNOWN]}, "Progressing", "InProgress"),
]
NAMES = [name for name, *_ in STATES]


def object_of(kind, status, **spec):
    body = {"apiVersion": "watchbell.dev/v1alpha1", "kind": kind, "metadata": {"name": "x", "generation": 2}}
    return body | {"spec": spec, "status": status}


def one_shot(status):
    """The same state of a kind that is done once."""
    renamed = [one | {"type": "Succeeded"} if one["type"] == "Ready" else one for one in status.get("conditions", ())]
    return status | {"conditions": renamed}


def lua(script, body):
    runtime = LuaRuntime(unpack_returned_tuples=True)
    runtime.globals().obj = runtime.table_from(body, recursive=True)
    return plain(runtime.execute(script))


def plain(value):
    return {key: plain(one) for key, one in value.items()} if hasattr(value, "items") else value


def health(body):
    return lua(SETTINGS[f"resource.customizations.health.watchbell.dev_{body['kind']}"], body)


def kstatus(body):
    done = subprocess.run(
        [controlplane.binary("kstatus")], input=json.dumps(body), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["status"]


def flux(body):
    """As Flux evaluates them: failed, then in progress, then current; the object's own fields are the names."""
    check, context = CHECKS[body["kind"]], {"status": body["status"], "metadata": body["metadata"]}
    for name, verdict in (("failed", "Failed"), ("inProgress", "InProgress"), ("current", "Current")):
        if cel.evaluate(check[name], context):
            return verdict
    return "InProgress"


@pytest.mark.parametrize("kind", [kind.kind for kind in KINDS if kind.kind not in ONE_SHOT | TELLING])
@pytest.mark.parametrize(("name", "status", "argo", "verdict"), STATES, ids=NAMES)
def test_a_lasting_kind_is_seen_as_it_is(kind, name, status, argo, verdict):
    body = object_of(kind, status)
    assert health(body)["status"] == argo
    assert flux(body) == verdict


@pytest.mark.parametrize(("name", "status", "argo", "verdict"), STATES, ids=NAMES)
def test_the_real_kstatus_agrees_with_the_expressions(name, status, argo, verdict):
    assert kstatus(object_of("SmtpConnector", status)) == verdict


@pytest.mark.parametrize("kind", sorted(ONE_SHOT))
@pytest.mark.parametrize(("name", "status", "argo", "verdict"), STATES, ids=NAMES)
def test_a_kind_that_is_done_once_is_seen_as_it_is(kind, name, status, argo, verdict):
    assert health(object_of(kind, one_shot(status)))["status"] == argo


@pytest.mark.parametrize("kind", sorted(TELLING))
def test_an_open_incident_or_a_silence_does_not_block_the_deploy_that_would_mend_it(kind):
    status = {"observedGeneration": 2, "conditions": [condition("Resolved", "False"), condition("Active", "True")]}
    assert health(object_of(kind, status))["status"] == "Healthy"


def test_a_crashing_fleet_does_not_make_its_policy_unhealthy():
    status = {
        "observedGeneration": 2,
        "conditions": [READY, condition("Crashing", "True"), condition("Drifted", "True")],
    }
    assert health(object_of("CollectorPolicy", status))["status"] == "Healthy"


def test_what_is_suspended_says_so_and_the_message_of_a_failure_is_shown():
    assert health(object_of("SmtpConnector", {}, suspend=True))["status"] == "Suspended"
    failed = object_of("SmtpConnector", {"observedGeneration": 2, "conditions": [NOT_READY, STALLED]})
    assert health(failed)["message"] == "the password is wrong"


def test_the_state_that_the_api_server_gives_a_fresh_object_is_no_false_green(control_plane, namespace):
    rest = control_plane.rest()
    for kind in KINDS:
        if kind.kind == "ClusterSmtpConnector":
            continue
        body = body_of(kind.kind, spec_of(kind.kind, {}))
        body["metadata"] = {"name": "fresh"}
        made = rest.post(f"/apis/watchbell.dev/v1alpha1/namespaces/{namespace}/{kind.plural}", body)
        assert health(made)["status"] == "Progressing", kind.kind


def test_the_buttons_of_a_connector_do_what_they_say():
    actions = yaml.safe_load(SETTINGS["resource.customizations.actions.watchbell.dev_SmtpConnector"])
    scripts = {one["name"]: one["action.lua"] for one in actions["definitions"]}
    running, held = object_of("SmtpConnector", {}), object_of("SmtpConnector", {}, suspend=True)
    assert lua(scripts["suspend"], running)["spec"]["suspend"] is True
    assert lua(scripts["resume"], held)["spec"]["suspend"] is False
    asked = lua(scripts["probe-now"], running)["metadata"]["annotations"]["watchbell.dev/requested-at"]
    assert asked.endswith("Z")
    shown = lua(actions["discovery.lua"], running)
    assert shown == {"probe-now": {}, "suspend": {"disabled": False}, "resume": {"disabled": True}}


def test_the_overlay_is_taken_by_the_api_server(control_plane, namespace):
    done = subprocess.run(
        [controlplane.binary("kubectl"), "kustomize", GITOPS / "kustomize" / "overlays" / "prod"],
        capture_output=True,
        text=True,
        check=True,
    )
    made = list(yaml.safe_load_all(done.stdout))
    assert {one["kind"] for one in made} == {"SmtpConnector", "CollectorPolicy"}
    rest = control_plane.rest()
    for one in made:
        assert one["metadata"]["namespace"] == "observability"
        plural = {"SmtpConnector": "smtpconnectors", "CollectorPolicy": "collectorpolicies"}[one["kind"]]
        one["metadata"]["namespace"] = namespace
        rest.post(
            f"/apis/watchbell.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict", one
        )


def test_the_examples_install_the_charts_that_there_are_with_values_that_they_take():
    example = yaml.safe_load((GITOPS / "argocd" / "example" / "operator.yaml").read_text())["spec"]["source"]
    (_, release) = yaml.safe_load_all((GITOPS / "flux" / "example" / "apps" / "watchbell.yaml").read_text())
    for path, values in (
        (example["path"], example["helm"]["valuesObject"]),
        (release["spec"]["chart"]["spec"]["chart"], release["spec"]["values"]),
    ):
        schema = json.loads((ROOT / path / "values.schema.json").read_text())
        assert values.keys() <= schema["properties"].keys()
        assert values["config"].keys() <= schema["properties"]["config"]["properties"].keys()
