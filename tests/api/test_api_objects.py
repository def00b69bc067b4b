"""Defaults, status and field selectors, as the real API server handles them."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from api.cases import body_of, spec_of
from controlplane import Access, Rest
from watchbell.api.crd import block_of
from watchbell.api.kinds import KINDS, Kind
from watchbell.api.meta import parse
from watchbell.api.names import API_VERSION
from watchbell.api.schema import structural

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "docs" / "samples").glob("*.yaml"))
BY_KIND = {kind.kind: kind for kind in KINDS}
MANAGER = "watchbell"


def collection(kind: Kind, namespace: str) -> str:
    scope = f"namespaces/{namespace}/" if kind.namespaced else ""
    return f"/apis/watchbell.dev/v1alpha1/{scope}{kind.plural}"


@pytest.fixture
def rest(control_plane: Access) -> Rest:
    return control_plane.rest()


@pytest.fixture
def made(rest: Rest, namespace: str, kind: Kind) -> Iterator[dict[str, Any]]:
    """A least valid object of `kind`, deleted at the end (a cluster-scoped one goes with no namespace)."""
    body = body_of(kind.kind, spec_of(kind.kind, {}))
    body["metadata"]["name"] = namespace
    path = collection(kind, namespace)
    yield rest.post(path, body)
    rest.delete(f"{path}/{namespace}")


def status_of(now: str, kind: Kind) -> dict[str, Any]:
    conditions = [
        {
            "type": type_,
            "status": "True",
            "reason": "Proven",
            "message": "so it is",
            "lastTransitionTime": now,
            "observedGeneration": 1,
        }
        for type_, _ in kind.conditions
    ]
    return {"observedGeneration": 1, "conditions": conditions}


def apply_status(
    rest: Rest, kind: Kind, made: dict[str, Any], status: dict[str, Any], manager: str = MANAGER
) -> dict[str, Any]:
    name = made["metadata"]["name"]
    body = {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": {"name": name}, "status": status}
    return rest.apply(f"{collection(kind, made['metadata'].get('namespace', ''))}/{name}/status", body, manager)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_fresh_object_was_not_observed_and_its_model_says_so(kind: Kind, made: dict[str, Any]):
    assert made["status"] == {"observedGeneration": -1}
    model = parse(kind.model, made)
    assert isinstance(model, kind.model)
    assert model.status.observed_generation == -1  # type: ignore[attr-defined]  # each kind has a status


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_status_is_applied_beside_another_field_manager(rest: Rest, kind: Kind, made: dict[str, Any]):
    first = apply_status(rest, kind, made, status_of("2026-01-31T08:00:00Z", kind))
    assert first["status"]["observedGeneration"] == 1
    foreign = {
        "type": "Foreign",
        "status": "True",
        "reason": "Other",
        "message": "",
        "lastTransitionTime": "2026-01-31T08:00:00Z",
    }
    apply_status(rest, kind, made, {"conditions": [foreign]}, "somebody-else")
    fewer = status_of("2026-01-31T08:00:00Z", kind)
    fewer["conditions"] = fewer["conditions"][:1]
    last = apply_status(rest, kind, made, fewer)
    assert [condition["type"] for condition in last["status"]["conditions"]] == [kind.conditions[0][0], "Foreign"]
    assert last["spec"] == made["spec"]
    assert last["metadata"]["generation"] == made["metadata"]["generation"]
    fields = {entry["manager"]: entry for entry in last["metadata"]["managedFields"]}
    assert set(fields[MANAGER]["fieldsV1"]) == {"f:status"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_status_with_every_field_of_the_model_is_taken(rest: Rest, kind: Kind, made: dict[str, Any]):
    full = example(structural(block_of(kind, "status")))
    written = apply_status(rest, kind, made, full)
    assert written["status"] == full
    model = parse(kind.model, written)
    assert isinstance(model, kind.model)
    dumped = model.status.model_dump(mode="json", by_alias=True, exclude_unset=True)  # type: ignore[attr-defined]  # each kind has a status
    assert dumped == full


def example(node: dict[str, Any]) -> Any:
    """A value with every field of the schema set."""
    match node["type"]:
        case "object":
            return {name: example(child) for name, child in node["properties"].items()}
        case "array":
            return [example(node["items"])]
        case "integer":
            return max(node["minimum"], 0)
    if "enum" in node:
        return node["enum"][0]
    return "2026-01-31T08:00:00Z" if node.get("format") == "date-time" else "word"


def test_defaults_stand_in_the_object_only_where_their_block_is(rest: Rest, namespace: str):
    path = collection(BY_KIND["SmtpConnector"], namespace)
    bare = rest.post(path, body_of("SmtpConnector", spec_of("SmtpConnector", {})))
    assert bare["spec"] == spec_of("SmtpConnector", {}) | {"suspend": False}
    body = body_of(
        "SmtpConnector", spec_of("SmtpConnector", {"tls": {"caSecretRef": {"name": "ca"}}, "probe": {}, "limits": {}})
    )
    body["metadata"]["name"] = "more"
    spec = rest.post(path, body)["spec"]
    assert spec["tls"] == {
        "mode": "StartTLS",
        "minVersion": "TLS12",
        "verification": "Full",
        "caSecretRef": {"name": "ca", "key": "ca.crt"},
    }
    assert spec["probe"] == {
        "level": "Authenticate",
        "periodSeconds": 600,
        "authPeriodSeconds": 3600,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
    assert spec["limits"] == {}


def test_nothing_is_filled_into_list_items_so_that_gitops_tools_see_no_drift(rest: Rest, namespace: str):
    body = body_of("CollectorPolicy", spec_of("CollectorPolicy", {}))
    body["spec"]["routes"][0]["connectorRef"] = {"name": "default"}
    spec = rest.post(collection(BY_KIND["CollectorPolicy"], namespace), body)["spec"]
    assert spec == body["spec"] | {"suspend": False}


def test_a_policys_blocks_get_their_leaves_and_absent_lists_stay_absent(rest: Rest, namespace: str):
    blocks: dict[str, Any] = {
        name: {} for name in ("baseline", "drift", "crash", "severity", "grouping", "throttle", "links")
    }
    spec = rest.post(
        collection(BY_KIND["CollectorPolicy"], namespace),
        body_of("CollectorPolicy", spec_of("CollectorPolicy", blocks)),
    )["spec"]
    assert {name: spec[name] for name in blocks} == {
        "baseline": {"mode": "OwnerTemplate"},
        "drift": {"pendingSeconds": 60},
        "crash": {"logTailLines": 0, "notReadySeconds": 300, "restartThreshold": 5, "restartWindowSeconds": 600},
        "severity": {"default": "Warning"},
        "grouping": {
            "maxIncidentsPerMessage": 50,
            "periodSeconds": 300,
            "repeatSeconds": 14_400,
            "resolveAfterSeconds": 120,
            "waitSeconds": 5,
        },
        "throttle": {"messagesPerHour": 30},
        "links": {},
    }


def test_a_silence_can_be_prolonged_and_ended_before_its_time(rest: Rest, namespace: str):
    path = collection(BY_KIND["AlertSilence"], namespace)
    made = rest.post(path, body_of("AlertSilence", spec_of("AlertSilence", {"startTime": "2026-11-20T08:00:00Z"})))
    for end in ("2026-11-21T10:00:00Z", "2026-11-20T08:00:01Z"):
        made["spec"] |= {"endTime": end, "comment": "changed"}
        made = rest.put(f"{path}/case", made)
        assert made["spec"]["endTime"] == end


def test_an_email_message_gets_its_deadline_and_policy_from_the_schema(rest: Rest, namespace: str):
    spec = rest.post(
        collection(BY_KIND["EmailMessage"], namespace), body_of("EmailMessage", spec_of("EmailMessage", {}))
    )["spec"]
    assert (spec["activeDeadlineSeconds"], spec["onUncertain"], spec["priority"]) == (86_400, "ResendOnce", "Normal")
    assert "ttlSecondsAfterFinished" not in spec


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_every_sample_applies_and_parses(rest: Rest, namespace: str, sample: Path):
    bodies = list(yaml.safe_load_all(sample.read_text(encoding="utf-8")))
    assert any(body["kind"] in BY_KIND for body in bodies)
    for body in bodies:
        kind = BY_KIND.get(body["kind"])
        path = (
            f"/api/v1/namespaces/{namespace}/{body['kind'].lower()}s" if kind is None else collection(kind, namespace)
        )
        made = rest.post(f"{path}?fieldValidation=Strict&dryRun=All", body)
        assert kind is None or isinstance(parse(kind.model, made), kind.model)


def test_there_is_a_sample_for_each_kind():
    kinds = {body["kind"] for sample in SAMPLES for body in yaml.safe_load_all(sample.read_text(encoding="utf-8"))}
    assert set(BY_KIND) <= kinds


@pytest.mark.parametrize("name", ["SmtpTest", "EmailMessage"])
def test_a_field_selector_takes_the_messages_of_one_connector(rest: Rest, namespace: str, name: str):
    path = collection(BY_KIND[name], namespace)
    for connector in ("one", "two"):
        body = body_of(name, spec_of(name, {"connectorRef": {"name": connector}}))
        body["metadata"]["name"] = connector
        rest.post(path, body)
    found = rest.get(f"{path}?fieldSelector=spec.connectorRef.name%3Done")["items"]
    assert [item["metadata"]["name"] for item in found] == ["one"]


FINISHED = [("EmailMessage", "completionTime"), ("SmtpTest", "completionTime"), ("CollectorIncident", "resolvedTime")]


@pytest.mark.parametrize(("name", "field"), FINISHED)
async def test_a_finished_object_leaves_the_watch_of_the_unfinished_as_deleted(
    control_plane: Access, rest: Rest, namespace: str, name: str, field: str
):
    kind = BY_KIND[name]
    path = collection(kind, namespace)
    body = body_of(name, spec_of(name, {}))
    body["metadata"]["name"] = "mine"
    made = await asyncio.to_thread(rest.post, path, body)
    listed = await asyncio.to_thread(rest.get, f"{path}?fieldSelector=status.{field}%3D")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["mine"]
    tls = ssl.create_default_context(cadata=control_plane.ca_pem)
    query = {
        "watch": "1",
        "fieldSelector": f"status.{field}=",
        "resourceVersion": listed["metadata"]["resourceVersion"],
    }
    headers = {"Authorization": f"Bearer {control_plane.token}"}
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession() as session,
        session.get(f"{control_plane.url}{path}", params=query, headers=headers, ssl=tls) as stream,
    ):
        await asyncio.to_thread(apply_status, rest, kind, made, {field: "2026-01-31T08:00:00Z"})
        event = json.loads(await stream.content.readline())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "mine")
    assert (await asyncio.to_thread(rest.get, f"{path}?fieldSelector=status.{field}%3D"))["items"] == []
    assert len((await asyncio.to_thread(rest.get, path))["items"]) == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_kubectl_gets_a_table_whose_columns_end_in_age(rest: Rest, namespace: str, kind: Kind):
    discovered = rest.get("/apis/watchbell.dev/v1alpha1")["resources"]
    [found] = [one for one in discovered if one["name"] == kind.plural]
    assert found["categories"] == ["watchbell"]
    assert found.get("shortNames", []) == list(kind.short_names)
    shown = [column.name for column in kind.columns if not column.is_wide]
    assert shown[-1] == "Age"
    assert f"{kind.plural}/status" in {one["name"] for one in discovered}
