"""Other people's judges of our API: OpenShift's crd-schema-checker on the CRDs, the real kstatus (Flux, `helm --wait`) on our conditions."""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

import controlplane
from api.cases import body_of, spec_of
from cluster import CRD_FOLDER
from watchbell.api.conditions import Condition, merge
from watchbell.api.kinds import KINDS
from watchbell.api.reasons import Reason

# What the checker complains of and we keep, with the reason.
EXCEPTIONS = {
    (
        "NoBools",
        "suspend",
    ): "`suspend` is the name and type that Flux, CronJob and Job have taught people; it has no third state",
    ("NoMaps", "matchLabels"): "a label selector is Kubernetes' own type, and a map there",
}
MAX_CRD_BYTES = 256 * 1024
NOW = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_schema_checker_finds_nothing_but_the_exceptions_that_are_explained(kind):
    checker = controlplane.binary("crd-schema-checker")
    path = CRD_FOLDER / f"watchbell.dev_{kind.plural}.yaml"
    run = subprocess.run(
        [checker, "check-manifests", "--new-crd-filename", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = [line for line in (run.stdout + run.stderr).splitlines() if line.strip()]
    for line in complaints:
        validator = line.split('"')[1]
        field = line.split("field/^")[1].split()[0]
        assert (validator, field.rsplit(".", 1)[1]) in EXCEPTIONS, line
    assert (run.returncode == 0) == (not complaints)


def test_the_schema_checker_sees_a_field_that_was_taken_away(tmp_path):
    checker = controlplane.binary("crd-schema-checker")
    path = CRD_FOLDER / "watchbell.dev_emailmessages.yaml"
    less = tmp_path / "less.yaml"
    less.write_text(path.read_text(encoding="utf-8").replace("notBeforeTime", "notUntilTime"), encoding="utf-8")
    arguments = [checker, "check-manifests", "--existing-crd-filename", path, "--new-crd-filename", less]
    run = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert "NoFieldRemoval" in run.stdout + run.stderr


@pytest.mark.parametrize("path", sorted(CRD_FOLDER.glob("*.yaml")), ids=lambda path: path.name)
def test_a_crd_is_small_enough_for_the_annotation_that_kubectl_apply_writes(path):
    assert path.stat().st_size < MAX_CRD_BYTES


def condition(type_: str, status: str, reason: Reason) -> Condition:
    return Condition(type_, status, reason, "")  # type: ignore[arg-type]  # tables hold plain text


READY = condition("Ready", "True", Reason.PROVEN)
NOT_READY = condition("Ready", "False", Reason.CONNECTION_REFUSED)
BUSY = condition("Reconciling", "True", Reason.WAITING_FOR_SECRET)
RETRYING = condition("Reconciling", "True", Reason.RETRYING)
STALLED = condition("Stalled", "True", Reason.CREDENTIALS_REJECTED)
QUEUED = condition("Succeeded", "Unknown", Reason.CONNECTOR_NOT_READY)
SENT = condition("Succeeded", "True", Reason.ACCEPTED_BY_SERVER)
REFUSED = condition("Succeeded", "False", Reason.RECIPIENTS_REFUSED)
LONG_RUNNING = ("SmtpConnector", "ClusterSmtpConnector", "CollectorPolicy")
ONE_SHOT = ("SmtpTest", "EmailMessage")

# kinds, conditions, generation that was observed (the object's is 2), verdict
VERDICTS = [
    (LONG_RUNNING, (READY,), 2, "Current"),
    (LONG_RUNNING, (READY,), 1, "InProgress"),
    (LONG_RUNNING, (condition("Ready", "True", Reason.PROBE_DISABLED),), 2, "Current"),
    (LONG_RUNNING, (NOT_READY,), 2, "InProgress"),
    (LONG_RUNNING, (NOT_READY, RETRYING), 2, "InProgress"),
    (LONG_RUNNING, (condition("Ready", "Unknown", Reason.WAITING_FOR_SECRET), BUSY), 2, "InProgress"),
    (LONG_RUNNING, (NOT_READY, STALLED), 2, "Failed"),
    # The failure of a spec that has been mended since is no verdict on the new one.
    (LONG_RUNNING, (NOT_READY, STALLED), 1, "InProgress"),
    (LONG_RUNNING, (READY, condition("Crashing", "True", Reason.PODS_CRASHING)), 2, "Current"),
    (ONE_SHOT, (QUEUED, BUSY), 2, "InProgress"),
    (ONE_SHOT, (SENT,), 2, "Current"),
    (ONE_SHOT, (REFUSED, STALLED), 2, "Failed"),
    # Why an unfinished one must carry Reconciling, and a failed one Stalled: kstatus does not know Succeeded.
    (ONE_SHOT, (QUEUED,), 2, "Current"),
    (ONE_SHOT, (REFUSED,), 2, "Current"),
    (("CollectorIncident",), (condition("Resolved", "False", Reason.FIRING),), 2, "Current"),
    (("CollectorIncident",), (condition("Resolved", "True", Reason.HEALTHY_AGAIN),), 2, "Current"),
]


def verdicts(objects: list[dict[str, Any]]) -> list[str]:
    """What kstatus says of each object."""
    lines = "".join(json.dumps(one) + "\n" for one in objects)
    run = subprocess.run(
        [controlplane.binary("kstatus")], input=lines, capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line)["status"] for line in run.stdout.splitlines()]


def observed(kind: str, conditions: tuple[Condition, ...], generation: int) -> dict[str, Any]:
    body = body_of(kind, spec_of(kind, {}))
    body["metadata"] |= {"namespace": "default", "generation": 2}
    return body | {"status": {"observedGeneration": generation, "conditions": merge([], conditions, generation, NOW)}}


def test_helm_and_flux_read_our_conditions_as_they_are_meant():
    table = [(kind, *row[1:]) for row in VERDICTS for kind in row[0]]
    said = verdicts([observed(kind, conditions, generation) for kind, conditions, generation, _ in table])
    assert said == [verdict for *_, verdict in table]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_fresh_object_is_in_progress_and_never_taken_for_done(control_plane, namespace, kind):
    rest = control_plane.rest()
    scope = f"namespaces/{namespace}/" if kind.namespaced else ""
    made = rest.post(
        f"/apis/watchbell.dev/v1alpha1/{scope}{kind.plural}?dryRun=All", body_of(kind.kind, spec_of(kind.kind, {}))
    )
    assert verdicts([made]) == ["InProgress"]
