"""What the real API server says to objects that break a rule, and to those that keep them all."""

import copy
import json
from typing import Any

import pytest

from api.cases import BOUNDS, IMMUTABLE, REFUSED, TAKEN, Refused, body_of, spec_of
from controlplane import Access, Rest, RestError
from watchbell.api.crd import definition
from watchbell.api.kinds import KINDS, Kind

BY_KIND = {kind.kind: kind for kind in KINDS}


def collection(kind: Kind, namespace: str) -> str:
    scope = f"namespaces/{namespace}/" if kind.namespaced else ""
    return f"/apis/watchbell.dev/v1alpha1/{scope}{kind.plural}"


def dry_run(rest: Rest, namespace: str, kind: str, change: dict[str, Any]) -> dict[str, Any]:
    path = f"{collection(BY_KIND[kind], namespace)}?dryRun=All&fieldValidation=Strict"
    return rest.post(path, body_of(kind, spec_of(kind, change)))


def causes(refused: RestError) -> list[tuple[str, str]]:
    """(field, message) of each cause."""
    details = json.loads(refused.text).get("details", {})
    return [(cause.get("field", ""), cause["message"]) for cause in details.get("causes", [])]


@pytest.fixture(scope="session")
def rest(control_plane: Access) -> Rest:
    return control_plane.rest()


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_the_api_server_refuses_it_with_the_exact_message_at_the_field(rest: Rest, case: Refused):
    with pytest.raises(RestError) as refused:
        dry_run(rest, "default", case.kind, case.change)
    assert refused.value.status == 422
    said = [
        (field, message.split(": ", 2)[-1] if message.startswith("Invalid value") else message)
        for field, message in causes(refused.value)
    ]
    assert any(field == case.path and message.endswith(case.message) for field, message in said), said


@pytest.mark.parametrize(("kind", "change", "path", "_message"), BOUNDS)
def test_the_api_server_refuses_what_is_out_of_bounds_and_names_the_field(rest: Rest, kind, change, path, _message):
    with pytest.raises(RestError) as refused:
        dry_run(rest, "default", kind, change)
    # A routes list that repeats a key is told with the key's name behind the index.
    assert any(field.startswith(path) for field, _ in causes(refused.value)), causes(refused.value)


@pytest.mark.parametrize(("kind", "change"), TAKEN)
def test_the_api_server_takes_a_valid_object(rest: Rest, kind, change):
    assert dry_run(rest, "default", kind, change)["kind"] == kind


def _rules(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [rule for item in node for rule in _rules(item)]
    if not isinstance(node, dict):
        return []
    return [
        *node.get("x-kubernetes-validations", []),
        *(rule for child in node.values() for rule in _rules(child) if child),
    ]


def test_every_rule_of_every_crd_has_a_bad_object_in_the_table():
    rules = {rule["message"] for kind in KINDS for rule in _rules(definition(kind))}
    covered = {case.message for case in REFUSED} | {message for _, message in IMMUTABLE.values()}
    assert covered == rules


def test_every_message_says_must_or_may_and_begins_with_the_field():
    for message in {rule["message"] for kind in KINDS for rule in _rules(definition(kind))}:
        assert " must " in message or " may " in message, message


@pytest.mark.parametrize("kind", sorted(IMMUTABLE))
def test_a_spec_that_may_not_change_cannot_be_changed(rest: Rest, namespace: str, kind: str):
    change, message = IMMUTABLE[kind]
    path = collection(BY_KIND[kind], namespace)
    made = rest.post(path, body_of(kind, spec_of(kind, {})))
    changed = copy.deepcopy(made)
    changed["spec"] |= change
    with pytest.raises(RestError) as refused:
        rest.put(f"{path}/case", changed)
    assert [text.split(": ", 2)[-1] for _, text in causes(refused.value)] == [message]
    made["metadata"]["labels"] = {"still": "allowed"}
    assert rest.put(f"{path}/case", made)["metadata"]["labels"] == {"still": "allowed"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("SmtpConnector", {"password": "hunter2"}),
        ("SmtpConnector", {"allowedNamespaces": {"from": "All"}}),
        ("ClusterSmtpConnector", {"parentRef": {"name": "other"}}),
    ],
)
def test_a_field_that_the_kind_does_not_have_is_refused_by_a_strict_client(rest: Rest, kind, change):
    with pytest.raises(RestError) as refused:
        dry_run(rest, "default", kind, change)
    assert refused.value.status == 400
    assert f'unknown field "spec.{next(iter(change))}"' in refused.value.message
